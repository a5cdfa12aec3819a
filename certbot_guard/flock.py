"""Waiting for a lock file. Whose it is, and what it guards, is the caller's business; the kernel lets go of it on any death."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

_PAUSE_SECONDS = 0.02


def taken(descriptor: int, patience_seconds: float = 0.0, give_up: Callable[[], bool] = lambda: False) -> bool:
    """Is the lock this descriptor's now? It was asked for at once, and then again until the patience was over.

    :param give_up: asked again and again while waiting; true ends the wait
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() >= deadline or give_up():
                return False
            time.sleep(_PAUSE_SECONDS)


def is_held(path: Path) -> bool:
    """Does a process hold this lock? What is not there, or is a link, is held by nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
