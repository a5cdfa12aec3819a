"""Is there anything left to do for a certbot that had nothing to renew? A file's existence says so.

The journal keeps a file beside it, one for each settings file, while a trouble stands or a message waits. A ``certbot renew`` with nothing
due starts no process of ours and writes nothing; this look, at its exit, is what it costs.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from certbot_guard import invocation

_DEFAULT = ("/var/lib/certbot-guard", "/run/certbot-guard")
# Only a hint is wanted, and the settings' own reader costs ten times as much: a wrong one leads to a look in vain.
_STATE_DIR = re.compile(rb"^\[state\][^\[]*?^[ \t]*dir[ \t]*=[ \t]*(/[^\r\n]*)", re.MULTILINE)
_SETTINGS_LIMIT_BYTES = 1024 * 1024


def mark(settings: str) -> str:
    """The name of the file for these settings: several may share a directory."""
    return f"business-{hashlib.sha256(settings.encode('utf-8', 'replace')).hexdigest()[:16]}"


def is_left(arguments: list[str]) -> bool:
    """Whether something stands or waits for the settings of this certbot command line. Never raises OSError."""
    path = invocation.read(arguments).guard_config
    name = mark(str(path))
    return any(os.path.lexists(os.path.join(directory, name)) for directory in _directories(path))


def _directories(path: Path) -> tuple[str, ...]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not hold certbot up
        with open(descriptor, "rb") as stream:
            # None: a pipe that somebody holds open and says nothing in
            found = _STATE_DIR.search(stream.read(_SETTINGS_LIMIT_BYTES) or b"")
    except OSError:
        return ()  # without settings nobody was told of anything
    if found is None:
        return _DEFAULT
    named = os.fsdecode(found.group(1).rstrip(b" \t"))
    return (named, os.path.join(named, "run"), _DEFAULT[1])
