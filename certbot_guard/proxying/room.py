"""Is there room in Apache for the reloads that a passage takes? Only looks, and waits a little.

A graceful reload leaves every worker process that still has a visitor; a websocket or a slow download may keep it for
hours. It keeps its place among ``ServerLimit``, too. Measured (2.4.68, event MPM, 16 places as by default, websockets
that stay): after the eighth reload no place was left for a process that listens, and nobody was served until one of
the old ones ended. A lineage that is stopped for costs seconds instead, and leaves all places free.
"""

from __future__ import annotations

import os
import re
import time
from typing import Optional

from certbot_guard import plainfile
from certbot_guard.errors import ServerError
from certbot_guard.servers import processes, sockets
from certbot_guard.servers.dump import FILE_LIMIT_BYTES, Dump
from certbot_guard.servers.instance import Instance, is_apache

# Most of what a reload leaves has gone by then.
PATIENCE_SECONDS = 5.0
_BETWEEN_SECONDS = 0.2
_PLACES = 16  # DEFAULT_SERVER_LIMIT in server/mpm/event/event.c
_OF_OTHERS = re.compile(rb"<IfModule[ \t]+[\"']?(mpm_)?(prefork|worker)[._].*?</IfModule>", re.IGNORECASE | re.DOTALL)
_UNIX = "/proc/self/net/unix"
_ACCEPTING = 1 << 16  # __SO_ACCEPTCON in include/linux/net.h, in the table's column Flags
_SERVER_LIMIT = re.compile(rb"^[ \t]*ServerLimit[ \t]+[\"']?(\d{1,9})", re.IGNORECASE | re.MULTILINE)


def wait(instance: Instance) -> None:
    """Two reloads in a row leave a place for a process that listens, even if nobody who is here now goes; or nobody has
    stayed since the last one, as on most machines.

    Asked of the event MPM alone: the others give the places of an old process to a new one, or have many.

    :raises ServerError: they may not, and that did not change within :data:`PATIENCE_SECONDS`.
    """
    if "mpm_event" not in instance.dump.modules:
        return
    places, deadline = _places(instance.dump), time.monotonic() + PATIENCE_SECONDS
    while True:
        listening, staying = _workers(instance.parent())
        # Now, and as many again after the first reload; one that listens after the second.
        if not staying or staying + 2 * listening + 1 <= places:
            return
        if time.monotonic() >= deadline:
            raise ServerError(f"{staying} processes of Apache from before its last reloads still have visitors, of "
                              f"{places} that it may have (ServerLimit): with more reloads it might serve nobody")
        time.sleep(_BETWEEN_SECONDS)


def _workers(parent: Optional[int]) -> tuple[int, int]:
    """How many worker processes listen, and how many have stopped to, and stay for their last visitors."""
    listening = sockets.inodes_listening()
    # Other children have no place: one for a log runs another program, one of mod_cgid has one thread.
    held = [sockets.held_by(pid) for pid in (processes.children(parent) if parent else ())
            if _threads(pid) > 1 and is_apache(pid)]
    silent = [one for one in held if not one & listening]
    # Nor has one of mod_wsgi, which has many threads. It has the socket that workers reach it by; they do not.
    daemons = _accepting_in_files() if silent else set()
    return len(held) - len(silent), sum(not one & daemons for one in silent)


def _accepting_in_files() -> set[int]:
    """The inodes of the UNIX sockets that somebody listens on."""
    found = set()
    try:
        with open(_UNIX, "rb") as table:
            for line in list(table)[1:]:
                fields = line.split(None, 7)
                if int(fields[3], 16) & _ACCEPTING:
                    found.add(int(fields[6]))
    except (OSError, ValueError, IndexError):  # so they count as workers that stay
        pass
    return found


def _threads(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


def _places(dump: Dump) -> int:
    found = [_PLACES]
    for path in dict.fromkeys(dump.files):
        try:
            content = plainfile.read(path, FILE_LIMIT_BYTES)
        except OSError:
            continue
        found += map(int, _SERVER_LIMIT.findall(_OF_OTHERS.sub(b"", content)))
    return found[-1]  # Apache, too, takes the last one
