"""The modules that the file needs: loaded already, or to be loaded from where Apache's other modules come from.

Loading a module is a change for the whole server, so it is done only where nothing in the configuration waits for it:
``<IfModule mod_proxy.c> ProxyRequests On`` would otherwise make an open proxy of this server. Files named ``.htaccess``
are not looked at: mod_proxy has no directive for them, but with it a RewriteRule with ``[P]``, or ``SetHandler
"proxy:..."``, in one would have Apache fetch from the loopback. So it is not loaded where such a file may say that, unless
who writes it may run programs here anyway.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Optional

from certbot_guard import plainfile, text, trust
from certbot_guard.errors import GuardError, ServerError
from certbot_guard.servers.configuration import Configuration
from certbot_guard.servers.dump import FILE_LIMIT_BYTES, Dump

NEEDED = ("setenvif", "proxy", "proxy_http")
# Debian has it in mods-enabled/status.conf: the status page of mod_status shows a little more.
_HARMLESS = re.compile(rb"^[ \t]*<IfModule[ \t]+mod_proxy\.c>[ \t]*\r?\n"
                       rb"(?:[ \t]*(?:#[^\r\n]*(?<!\\)|ProxyStatus[ \t]+\w+[ \t]*)?\r?\n)*"
                       rb"[ \t]*</IfModule>", re.IGNORECASE | re.MULTILINE)
# What mod_proxy does for others, and answers with an error without it.
_FAILS_WITHOUT = (rb"|SetHandler[ \t]+[\"']?proxy:"
                  rb"|RewriteRule\b[^\r\n]*\[([^\]\r\n]*,)?[ \t]*(P|proxy)[ \t]*(,[^\]\r\n]*)?\]")
_BY_HTACCESS = re.compile(rb"^[ \t]*AllowOverride[ \t][^\r\n#]*\b(All|FileInfo)\b", re.IGNORECASE | re.MULTILINE)
# With one of these, who may write a file may also run it.
_RUN_PROGRAMS = re.compile(r"php\d*|cgid?|fcgid|fastcgi|wsgi|perl|lua|passenger")


def missing(dump: Dump, configuration: Configuration) -> list[tuple[str, str]]:
    """``(module, path)`` of each module that has to be loaded, in this order.

    :raises ServerError: one cannot be, or must not be; one sentence.
    """
    if not dump.modules:
        raise ServerError("Apache does not say which modules it has")
    absent = [module for module in NEEDED if module not in dump.modules]
    if absent:
        _refuse_what_waits(absent, dump)
    if "proxy" in absent:
        _refuse_to_arm_others(dump)
    return [(module, _file_of(module, configuration)) for module in absent]


def _file_of(module: str, configuration: Configuration) -> str:
    known = [os.path.dirname(named.path) for named in configuration.module_files if named.certain]
    for directory in dict.fromkeys(known):
        path = Path(directory) / f"mod_{module}.so"
        try:
            status = os.stat(path)
        except OSError:
            continue
        problem = _distrust(path, status)
        if problem:
            raise ServerError(problem)
        return str(path)
    raise ServerError(f"Apache has not loaded mod_{module}, and there is no mod_{module}.so beside its other modules")


def _distrust(path: Path, status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        return f"{text.line(path)} is not root's alone, so it is not loaded"
    try:
        descriptor = trust.open_directory(path.parent, make=False)
        try:
            trust.check_directory(descriptor, path.parent)
        finally:
            os.close(descriptor)
    except (OSError, GuardError) as error:
        return f"mod_{path.stem[4:]} is not loaded: {text.line(error)}"
    return ""


def _refuse_what_waits(absent: list[str], dump: Dump) -> None:
    """:raises ServerError: a part of the configuration would change its meaning with one of these modules."""
    names = "|".join(f"mod_{module}\\.c|{module}_module" for module in absent)
    waiting = re.compile(rb"^[ \t]*(<(IfModule[ \t]+[\"']?!?[\"']?(" + names.encode("ascii") + rb")\b|IfDirective\b)"
                         + (_FAILS_WITHOUT if "proxy" in absent else b"") + rb")", re.IGNORECASE | re.MULTILINE)
    for path in dict.fromkeys(dump.files):
        found = waiting.search(_HARMLESS.sub(b"", _content(path) or b""))
        if found:
            words = text.line(found.group(0).decode("utf-8", "replace").replace("<", ""))
            raise ServerError(f"Apache has not loaded mod_{absent[0]}, and {text.line(path)} has a part ({words}) that "
                              "would wake up with it")


def _refuse_to_arm_others(dump: Dump) -> None:
    """:raises ServerError: somebody's .htaccess could use mod_proxy, and can do nothing like it without."""
    if any(map(_RUN_PROGRAMS.fullmatch, dump.modules)):
        return
    for path in dict.fromkeys(dump.files):
        if _BY_HTACCESS.search(_content(path) or b""):
            raise ServerError(f"Apache has not loaded mod_proxy, and {text.line(path)} lets .htaccess files make use of "
                              "it (AllowOverride)")


def _content(path: str) -> Optional[bytes]:
    try:
        return plainfile.read(path, FILE_LIMIT_BYTES)
    except OSError:
        return None
