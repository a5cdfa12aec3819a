"""The machine-wide lock of the web server in the sentinel's hand, and whether it is another run's when it is not free.

Called by the sentinel, for as long as a window is open. The lock itself is :mod:`certbot_guard.serverlock`'s.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from certbot_guard import serverlock
from certbot_guard.errors import StateError
from certbot_guard.interfaces import IWebServer
from certbot_guard.run import Run


class ServerHold:
    """One per run. Safe to let go of at any time."""

    def __init__(self, run: Run, server: IWebServer) -> None:
        self._run = run
        self._server = server
        self._lock: Optional[int] = None

    def take(self, patience_seconds: float) -> bool:
        """Is it held now? No longer waited for once certbot is gone.

        :raises StateError: nobody can hold it
        """
        self._lock = serverlock.take(self._server.identity, patience_seconds,
                                     give_up=lambda: not self._run.certbot_lives())
        return self._lock is not None

    def take_if_free(self) -> bool:
        """False: somebody else has it."""
        if self._lock is not None:
            return True
        try:
            self._lock = serverlock.take(self._server.identity, 0.0)
        except StateError:
            return True  # where it cannot be held, nobody holds it
        return self._lock is not None

    def take_unless_another_runs(self) -> bool:
        """False: another run has it, whose business the server is now. Our certbot may have it, for a passage."""
        return self.take_if_free() or self._certbot_has_it()

    def let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _certbot_has_it(self) -> bool:
        # Not whether a passage is open by the events: its file may stay when certbot has let go of the lock.
        return self._run.certbot_lives() and holds_lock_in(serverlock.lock_directory(), int(self._run.facts["pid"]))


def holds_lock_in(directory: Path, pid: int) -> bool:
    """Does this process hold a lock on a file in there? To have it open, as one who waits has, is not enough.

    False also where the kernel does not show it to us.
    """
    there = os.path.realpath(directory)
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    return any(_is_locked_in(there, pid, name) for name in names)


def _is_locked_in(there: str, pid: int, descriptor: str) -> bool:
    try:
        if os.path.dirname(os.readlink(f"/proc/{pid}/fd/{descriptor}")) != there:
            return False
        # proc(5), fdinfo: the locks that were taken through this descriptor, and no other's.
        return "FLOCK" in Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text("ascii", "replace")
    except OSError:  # closed meanwhile
        return False
