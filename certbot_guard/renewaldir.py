"""The directory ``renewal/``: its files read with trust, replaced whole, and certbot kept out by its own lock.

Knows nothing of what stands in the files. Never follows a link there, and never writes a name that certbot takes for a
configuration (it globs ``*.conf``: storage.py renewal_conf_files, 1.12 to 5.8). Used by :mod:`certbot_guard.adoption`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Optional

from certbot_guard import newfile
from certbot_guard.errors import GuardError, StateError
from certbot_guard.lineages import name_of
from certbot_guard.trust import check_directory, open_directory, read_trusted, shown

_LOCK = ".certbot.lock"
_LOCK_FILE = os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_LISTABLE = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_TEMPORARY = re.compile(r"\.guard\.[0-9a-f]{16}")


class BusyError(GuardError):
    """Another certbot is at work with these files; nothing was changed."""


def names(config_dir: Path) -> list[str]:
    """The lineages that have a renewal configuration, in certbot's order.

    :raises GuardError: the directory is not there, or somebody else can change what is in it.
    """
    os.close(_opened(config_dir))
    try:
        there = os.listdir(config_dir / "renewal")
    except OSError as error:
        raise _cannot(config_dir / "renewal", "looked into", error) from error
    # certbot's glob passes over what begins with a dot
    return [name_of(name) for name in sorted(there) if name.endswith(".conf") and not name.startswith(".")]


def path_of(config_dir: Path, lineage: str) -> Path:
    return config_dir / "renewal" / f"{lineage}.conf"


def read(path: Path) -> bytes:
    """What a file says that is root's, or ours, alone to change.

    :raises FileNotFoundError: there is none.
    :raises GuardError: it is a link, no plain file, too large, unreadable, or others can change it.
    """
    if os.path.islink(path):
        raise GuardError(f"{shown(path)} is a symbolic link, which certbot replaces by a file at the next renewal; it "
                         "is left as it is. Put the file itself there")
    return read_trusted(path)[0]


@contextmanager
def locked(config_dir: Path) -> Iterator[None]:
    """No certbot of this configuration directory runs while this is entered.

    Every command of certbot that changes anything locks three directories first, and this one, which all certbots with
    these files have in common, is enough (certbot 2.1 to 5.8: main.py make_or_verify_needed_dirs). certbot.util's own
    function would hold it until this process ends, and ``certbot renew`` could not be run from it.

    :raises BusyError: one runs.
    :raises GuardError: the lock cannot be taken.
    """
    directory = _opened(config_dir, "")
    try:
        descriptor = _lock(directory, config_dir)
        try:
            yield
        finally:
            # certbot's order, lock.py: removed first, so that nobody locks a file that is about to go
            newfile.remove(directory, _LOCK)
            os.close(descriptor)
    finally:
        os.close(directory)


def _lock(directory: int, config_dir: Path) -> int:
    while True:
        try:
            descriptor = os.open(_LOCK, _LOCK_FILE, 0o600, dir_fd=directory)
        except OSError as error:
            raise _cannot(config_dir / _LOCK, "written", error) from error
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there, ours = os.stat(_LOCK, dir_fd=directory, follow_symlinks=False), os.fstat(descriptor)
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return descriptor
        except FileNotFoundError:
            pass  # its owner ended between our two steps, and took it away
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise BusyError(f"another certbot is at work in {shown(config_dir)}; nothing was changed. Try again "
                                "when it is done") from error
            raise _cannot(config_dir / _LOCK, "locked", error) from error
        os.close(descriptor)


def replace(path: Path, data: bytes, mode: Optional[int] = None) -> None:
    """``path`` holds ``data``, on the disk, with the mode, owner and extended attributes that it had, or with ``mode``.

    After an error, or a power cut, it holds the old or the new, whole.

    :raises GuardError: it cannot be written.
    """
    try:
        directory = _opened(path.parent.parent)
        try:
            listable = os.open(".", _LISTABLE, dir_fd=directory)
        finally:
            os.close(directory)
        try:
            newfile.replace(listable, path.name, data, f".guard.{os.urandom(8).hex()}", lambda descriptor: (
                _take_after(descriptor, path, listable) if mode is None else os.fchmod(descriptor, mode)))
            with suppress(OSError):  # written it is; without this, a power cut may yet bring the old one back
                os.fsync(listable)
        finally:
            os.close(listable)
    except OSError as error:
        raise _cannot(path, "written", error) from error


def _take_after(descriptor: int, path: Path, directory: int) -> None:
    old = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
    made = os.fstat(descriptor)
    if (made.st_uid, made.st_gid) != (old.st_uid, old.st_gid):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    try:
        attributes = os.listxattr(path, follow_symlinks=False)
    except (OSError, AttributeError):
        return
    for attribute in attributes:
        try:
            os.setxattr(descriptor, attribute, os.getxattr(path, attribute, follow_symlinks=False))
        except OSError:
            pass  # one that only the kernel sets, or that this file system does not take


def remove(path: Path) -> None:
    """``path`` is not there. :raises GuardError: it cannot be removed."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _cannot(path, "removed", error) from error


def sweep(config_dir: Path) -> None:
    """What a killed process of ours left half written is gone. To be called under the lock."""
    directory = config_dir / "renewal"
    for name in os.listdir(directory):
        if _TEMPORARY.fullmatch(name):
            remove(directory / name)


def _opened(config_dir: Path, below: str = "renewal") -> int:
    path = Path(os.path.abspath(config_dir)) / below
    try:
        directory = open_directory(path, make=False)
    except FileNotFoundError as error:
        raise GuardError(f"{shown(path)} does not exist, so certbot has no certificates there; name certbot's "
                         "directory with --config-dir") from error
    except (OSError, ValueError) as error:
        raise _cannot(path, "looked into", error) from error
    try:
        check_directory(directory, path)
    except StateError:
        os.close(directory)
        raise
    return directory


def _cannot(path: Path, what: str, error: Exception) -> GuardError:
    if isinstance(error, PermissionError) and os.geteuid() != 0:
        return GuardError(f"{shown(path)} cannot be {what}: Permission denied. Run this as the user that certbot runs "
                          "as, usually root")
    return GuardError(f"{shown(path)} cannot be {what}: {getattr(error, 'strerror', None) or error}")
