"""A file that somebody else than root may be able to write or to exchange, read as far as a limit and without waiting.

A pipe in its place would keep its reader for ever, and a huge file would fill the memory. Links are followed: Debian's
sites-enabled is made of them. What is believed, and may be no link, is read by :mod:`certbot_guard.trust`.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import BinaryIO, Union

# No certificate with its chain is so large, and no key.
PEM_LIMIT_BYTES = 256 * 1024
# What a web server or OpenSSL loads may have all of a company's authorities in it.
BUNDLE_LIMIT_BYTES = 16 * 1024 * 1024

# Who has a file from a server of this machine (Samba, NFS) may hold it for writing. Asking for it begins to take that back.
_LEASE_PATIENCE_SECONDS = 1.0
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def opened(path: Union[str, Path]) -> BinaryIO:
    """The file, open; no read of it waits for somebody.

    :raises OSError: it cannot be read, or is a directory, a pipe or a device.
    """
    descriptor = _open(path)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _open(path: Union[str, Path]) -> int:
    deadline = time.monotonic() + _LEASE_PATIENCE_SECONDS
    while True:
        try:
            return os.open(path, _FLAGS)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def read(path: Union[str, Path], limit: int) -> bytes:
    """What it says, no more than ``limit`` bytes of it.

    :raises OSError: as :func:`opened`.
    """
    with opened(path) as file:
        return file.read(limit)


def whole(path: Union[str, Path], limit: int) -> bytes:
    """All that it says: for whom a part would be something else.

    :raises OSError: as :func:`opened`, or it is larger than ``limit`` bytes.
    """
    with opened(path) as file:
        found = file.read(limit + 1)
    if len(found) > limit:
        raise _too_large(path)
    return found


def check(path: Union[str, Path], limit: int) -> None:
    """Return if who opens it by its name now, as OpenSSL does, neither waits for somebody nor reads more than ``limit``
    bytes. Nothing is held: it may be exchanged afterwards.

    :raises OSError: as :func:`whole`.
    """
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise _too_large(path)


def _too_large(path: Union[str, Path]) -> OSError:
    return OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
