"""A file that somebody else than root may be able to write or to exchange, read as far as a limit and without waiting.

A pipe in its place would keep its reader for ever, and a huge file would fill the memory. Links are followed: Debian's
sites-enabled is made of them. What is believed, and may be no link, is read by :mod:`certbot_guard.trust`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Union

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def opened(path: Union[str, Path]) -> BinaryIO:
    """The file, open; no read of it waits for somebody.

    :raises OSError: it cannot be read, or is a directory, a pipe or a device.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is no plain file")
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read(path: Union[str, Path], limit: int) -> bytes:
    """What it says, no more than ``limit`` bytes of it.

    :raises OSError: as :func:`opened`.
    """
    with opened(path) as file:
        return file.read(limit)
