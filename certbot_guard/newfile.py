"""A file in a directory that is open already: new and whole on the disk, or not there.

The directory is the caller's to judge, and its entries to sync; so is the temporary name, since what certbot, cron or
systemd would take for a file of its own differs. Used by all that replace a file of a person's, or of our state.
"""

from __future__ import annotations

import os
from typing import Callable

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
Dress = Callable[[int], object]


def ours_alone(descriptor: int) -> None:
    """Mode 0600, whatever the umask is."""
    os.fchmod(descriptor, 0o600)


def create(directory: int, name: str, data: bytes, dress: Dress = ours_alone) -> None:
    """There is a new file of this name with this content, on the disk.

    :param dress: gives it its mode and owner, by its descriptor; before that, nobody else can read it
    :raises FileExistsError: there is one already; it is as it was.
    :raises OSError: it could not be written, and is not there.
    """
    descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest):]
        dress(descriptor)
        os.fsync(descriptor)
    except BaseException:
        remove(directory, name)
        raise
    finally:
        os.close(descriptor)


def replace(directory: int, name: str, data: bytes, temporary: str, dress: Dress = ours_alone) -> None:
    """``name`` has this content; it had the old one until then, and has it still after an error.

    :raises OSError: it could not be written, and ``temporary`` is not there.
    """
    create(directory, temporary, data, dress)
    try:
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        remove(directory, temporary)
        raise


def remove(directory: int, name: str) -> None:
    """It is not there. What cannot be removed is the next one's to clear away."""
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        pass
