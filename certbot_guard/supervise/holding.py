"""While a supervisor may try again, an attempt's news is kept back; a lock says whether it lives, so none can be lost.

The supervisor holds a lock file in a state directory and names it in the environment of certbot. The run that certbot
opens remembers it, and is neither told nor settled while that lock is held: whoever settles what is unfinished (the
supervisor at its end; once it is dead ``certbot-guard recover``, the next run) tells it. Asked by telling and settle.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any, Optional

from certbot_guard import flock, statedir
from certbot_guard.errors import StateError
from certbot_guard.run import Run, new_id, open_windows, utc_now

VARIABLE = "CERTBOT_GUARD_SUPERVISOR"
# Whoever set it tells the dead man's switch of this command's start and end.
BEATS = "CERTBOT_GUARD_SUPERVISED"
_DIRECTORY = "supervisors"
# A web server that is down, or was for too long, and a certbot that died: these do not wait for another attempt.
_AT_ONCE = frozenset({"start-failed", "left-down", "overdue", "died", "not-held"})


def from_environment() -> dict[str, Any]:
    """What a run remembers of its supervisor: nothing where it has none."""
    path = os.environ.get(VARIABLE, "")
    is_lock = os.path.isabs(path) and os.path.basename(os.path.dirname(path)) == _DIRECTORY
    return {**({"supervisor": path} if is_lock else {}), **({"supervised": True} if os.environ.get(BEATS) else {})}


def holds_back(run: Any) -> bool:
    """Is this run's news another process's to tell, later? Not if it could be lost, or cannot wait."""
    path = run.facts.get("supervisor")
    if not path or not isinstance(run, Run) or not run.directory.is_dir() or run.unwritten:
        return False
    events = run.events()
    if open_windows(events) or any(event["kind"] in _AT_ONCE for event in events):
        return False
    return flock.is_held(Path(str(path)))


def hold_back(run: Any) -> bool:
    """As :func:`holds_back`, and the run says so."""
    held = holds_back(run)
    return held and (run.has("held") or run.note("held"))


class Hold:
    """The supervisor's own side: what names it is held back until :meth:`release`, or until this process dies.

    :ivar path: of the lock; None where no disk has one: then nothing is held back
    """

    def __init__(self, bases: list[Path]) -> None:
        self.path: Optional[Path] = None
        self._descriptor = -1
        for base in bases:
            try:
                directory = statedir.secure_directory(base / _DIRECTORY)
                path = directory / f"{new_id(utc_now())}.lock"
                self._descriptor = statedir.open_lock(path)
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
                self.path = path
                _clear(directory)
                return
            except (OSError, StateError):
                continue

    @property
    def environment(self) -> dict[str, str]:
        return {VARIABLE: str(self.path)} if self.path is not None else {}

    @property
    def facts(self) -> dict[str, str]:
        return {"supervisor": str(self.path)} if self.path is not None else {}

    def release(self) -> None:
        """From now on everybody tells what there is."""
        if self.path is not None:
            try:
                self.path.unlink()
            except OSError:
                pass
            os.close(self._descriptor)
            self.path = None


def _clear(directory: Path) -> None:
    """The locks of supervisors that were killed."""
    for path in directory.glob("*.lock"):
        if not flock.is_held(path):
            path.unlink(missing_ok=True)
