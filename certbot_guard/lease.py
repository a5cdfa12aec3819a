"""Who may send for a channel: a lock file each, held by the sender and its children until the last of them is gone.

A crash lets go of it; no pid is ever looked at.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from certbot_guard import flock
from certbot_guard.errors import JournalError


@dataclass(frozen=True)
class Lease:
    """The right to send for one channel. ``descriptor`` is the lock; None where there is no other process to exclude."""

    descriptor: Optional[int]


@contextmanager
def take(directory: Path, kind: str, name: str) -> Iterator[Optional[Lease]]:
    """A lease for as long as the block, or None if somebody has it. Names are hashed: they are free text.

    Where not even an empty file can be made, sending goes on without: rather a repeat than silence.
    """
    path = directory / f"{kind}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:20]}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        yield Lease(None)
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield Lease(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def nothing() -> Iterator[Lease]:
    """The lease of something that only this process knows of."""
    yield Lease(None)


@contextmanager
def exclusive(path: Path, patience_seconds: float) -> Iterator[None]:
    """Nobody else is inside such a block of the same path. :raises JournalError: somebody is, and does not leave."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not flock.taken(descriptor, patience_seconds):
            raise JournalError(f"{path} is held by another process of certbot-guard; try again when that has ended")
        yield
    finally:
        os.close(descriptor)
