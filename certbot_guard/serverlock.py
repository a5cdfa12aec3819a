"""One window at a time for each web server of this machine, whichever certbot and state directory it is for."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, Optional

from certbot_guard import flock, statedir
from certbot_guard.errors import StateError


def lock_directory() -> Path:
    """The place every certbot on this machine looks at; for others than root, one of their own."""
    if os.geteuid() == 0:
        return Path("/run/certbot-guard/servers")
    return Path(f"/tmp/certbot-guard-{os.geteuid()}/servers")  # nosec B108 # take() refuses one that is another's


def take(identity: str, patience_seconds: float, give_up: Callable[[], bool] = lambda: False) -> Optional[int]:
    """A descriptor that holds the lock of this server until closed, or None if it stayed taken.

    :param identity: :attr:`certbot_guard.interfaces.IWebServer.identity`
    :param give_up: asked again and again while waiting; true ends the wait
    :raises certbot_guard.errors.StateError: the lock's directory cannot be trusted
    """
    name = hashlib.sha256(identity.encode()).hexdigest()[:32] + ".lock"
    try:
        descriptor = statedir.open_lock(statedir.secure_directory(lock_directory()) / name)
    except OSError as error:
        raise StateError(f"the lock of {identity} cannot be opened: {error}") from error
    if flock.taken(descriptor, patience_seconds, give_up):
        return descriptor
    os.close(descriptor)
    return None


@contextmanager
def unless_taken(identity: str) -> Iterator[bool]:
    """Hold the lock if it is free. Yields False if another has it: a server that is down then is that run's business."""
    try:
        lock = take(identity, 0.0)
    except StateError:  # nobody can hold it, then
        yield True
        return
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)
