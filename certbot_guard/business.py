"""Is there anything left to do for a certbot that had nothing to renew? A file's existence says so.

The journal keeps a file ``business`` beside it while a trouble stands or a message waits. A ``certbot renew`` with nothing
due starts no process of ours and writes nothing; this look, at its exit, is what it costs.
"""

from __future__ import annotations

import os
import re

from certbot_guard import invocation

FILE = "business"
_DEFAULT = ("/var/lib/certbot-guard", "/run/certbot-guard")
# Only a hint is wanted, and the settings' own reader costs ten times as much: a wrong one leads to a look in vain.
_STATE_DIR = re.compile(rb"^\[state\][^\[]*?^[ \t]*dir[ \t]*=[ \t]*(/[^\r\n]*?)[ \t]*\r?$", re.MULTILINE | re.DOTALL)
_SETTINGS_LIMIT_BYTES = 1024 * 1024


def is_left(arguments: list[str]) -> bool:
    """Whether something stands or waits in the state directory of this certbot command line. Never raises OSError."""
    return any(os.path.lexists(os.path.join(directory, FILE)) for directory in _directories(arguments))


def _directories(arguments: list[str]) -> tuple[str, ...]:
    path = invocation.read(arguments).guard_config
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not hold certbot up
        with open(descriptor, "rb") as stream:
            found = _STATE_DIR.search(stream.read(_SETTINGS_LIMIT_BYTES))
    except OSError:
        return ()  # without settings nobody was told of anything
    if found is None:
        return _DEFAULT
    named = os.fsdecode(found.group(1))
    return (named, os.path.join(named, "run"), _DEFAULT[1])
