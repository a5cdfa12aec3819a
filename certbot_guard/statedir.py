"""Where state is kept, and how: directories that are ours alone, files that are whole or not there, locks.

:mod:`certbot_guard.trust` says who else could have a hand in a path; ``read_trusted`` is offered here, too.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from pathlib import Path
from typing import Optional

from certbot_guard import newfile
from certbot_guard.errors import StateError
from certbot_guard.trust import (
    READ_LIMIT_BYTES,
    UntrustedFileError,
    check_directory,
    open_directory,
    read_trusted,
    shown,
)

__all__ = ["DURABLE", "READ_LIMIT_BYTES", "VOLATILE", "UntrustedFileError", "atomic_write", "is_others",
           "open_lock", "read_trusted", "secure_directory", "state_directories", "usable"]

DURABLE = Path("/var/lib/certbot-guard")
VOLATILE = Path("/run/certbot-guard")
_PROBE_BYTES = 4096

_LISTABLE = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOCK_FILE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def state_directories(configured: Optional[Path]) -> tuple[Path, Path]:
    """Where state lives: ``(durable, volatile)``. The volatile one need not outlive a reboot."""
    if configured is None:
        return DURABLE, VOLATILE
    return configured, configured / "run"


def every_directory(configured: Optional[Path]) -> list[Path]:
    """Where a run may have been recorded, in the order of preference. The last resort is root's own /run."""
    found = list(state_directories(configured))
    return found + ([VOLATILE] if os.geteuid() == 0 and VOLATILE not in found else [])


def secure_directory(path: Path) -> Path:
    """``path`` exists, is a directory of ours with mode 0700, and nobody else can put anything in its way.

    :raises StateError: it does not exist and cannot be made, it or a parent is somebody else's to change, or
        somebody else could write to it and did. Then its mode is what it was.
    """
    absolute = Path(os.path.abspath(path))
    try:
        on_the_way = open_directory(absolute, make=True)
        try:
            status = os.fstat(on_the_way)
            if status.st_uid != os.geteuid():
                raise StateError(f"{shown(absolute)} belongs to user {status.st_uid}, not to the user "
                                 "certbot runs as")
            os.chmod(".", 0o700, dir_fd=on_the_way)  # fchmod() does not take a descriptor made with O_PATH
            _refuse_what_was_planted(on_the_way, status, absolute)
        finally:
            os.close(on_the_way)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StateError(f"{shown(absolute)} cannot be used as a state directory: {reason}") from error
    return absolute


def refuse_unusable(path: Path) -> None:
    """Nothing is made or changed by this look.

    :raises StateError: :func:`secure_directory` would refuse this path, or nothing could be written there now.
    """
    absolute = Path(os.path.abspath(path))
    there = absolute
    while not os.path.lexists(there):
        there = there.parent
    try:
        descriptor = open_directory(there, make=False)
        try:
            if there != absolute:
                check_directory(descriptor, there)
                if not os.access(".", os.W_OK | os.X_OK, dir_fd=descriptor, effective_ids=True):
                    raise PermissionError(errno.EACCES, f"it cannot be made in {shown(there)}")
            elif os.fstat(descriptor).st_uid != os.geteuid():
                raise StateError(f"{shown(absolute)} belongs to user {os.fstat(descriptor).st_uid}, not to the user "
                                 "certbot runs as")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StateError(f"{shown(absolute)} cannot be used as a state directory: {error.strerror or error}") from error
    if there == absolute and not usable(absolute):
        raise StateError(f"{shown(absolute)} cannot be written: its disk is full or read-only")


def _refuse_what_was_planted(directory: int, before: os.stat_result, path: Path) -> None:
    # Looked at after the chmod(): from then on nobody else can add to it.
    if not before.st_mode & 0o022:
        return
    listable = os.open(".", _LISTABLE, dir_fd=directory)
    try:
        found = (os.stat(name, dir_fd=listable, follow_symlinks=False) for name in os.listdir(listable))
        strangers = {status.st_uid for status in found} - {os.geteuid()}
        if strangers:
            os.fchmod(listable, stat.S_IMODE(before.st_mode))  # else the next look would find nothing wrong
            raise StateError(f"{shown(path)} could be written by others, and user {min(strangers)} has put "
                             "something there; look at it, remove it, and run: chmod 700 "
                             + shlex.quote(shown(path)))
    finally:
        os.close(listable)


def is_others(path: Path) -> bool:
    """Whether ``path`` is a directory in use for something else, which 0700 would take from its users."""
    try:
        entries = os.listdir(path)
        open_to_others = bool(os.stat(path).st_mode & 0o077)
    except OSError:
        return False
    ours = any(name in ("runs", "servers") or name.startswith("journal.db") for name in entries)
    return open_to_others and bool(entries) and not ours


def atomic_write(path: Path, data: bytes) -> None:
    """``path`` holds ``data``, mode 0600, on the disk. After an error it holds the old or the new, whole.

    :raises StateError: it cannot be written.
    """
    try:
        directory = os.open(path.parent, _LISTABLE)
        try:
            newfile.replace(directory, path.name, data, f".{path.name}.{os.urandom(6).hex()}")
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise StateError(f"{shown(path)} cannot be written: {error.strerror or error}") from error


def usable(path: Path) -> bool:
    """Whether a file can be written there now: a directory, ours to write to, neither full nor read-only."""
    name = f".probe.{os.urandom(6).hex()}"
    try:
        directory = os.open(path, _LISTABLE)
        try:
            newfile.create(directory, name, b"\0" * _PROBE_BYTES)
            os.unlink(name, dir_fd=directory)
        finally:
            os.close(directory)
    except OSError:
        return False
    return True


def open_lock(path: Path) -> int:
    """A descriptor of the lock file, made if need be; not inherited by any child.

    :raises StateError: it cannot be opened, or is no plain file.
    """
    try:
        descriptor = os.open(path, _LOCK_FILE, 0o600)
    except OSError as error:
        raise StateError(f"{shown(path)} cannot be opened: {error.strerror or error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StateError(f"{shown(path)} is not a plain file, so it cannot be a lock")
    return descriptor
