"""A file of ours on the disk: known as ours, written whole, made to say nothing, deleted; and what a killed write left.

Ours is a plain file of the user we are whose first line says so. Never reloads a server: what is changed here
:mod:`certbot_guard.proxying.placing` has Apache load or forget. Called by that one, by :mod:`certbot_guard.passage` for
the file that a run remembers, and by ``doctor``, which only looks.

The directory was nobody else's when the file was written, and may have been given to somebody since, who can exchange
what is in it at any moment. So it is opened anew for each change, on a way and with an owner that are trusted, and all
that is done is done in what was opened. Where it is somebody else's by now nothing is written, renamed or deleted.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable, Iterator, Optional

from certbot_guard import trust
from certbot_guard.errors import StateError
from certbot_guard.proxying import snippet

_MODE = 0o644
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOOK_BYTES = 4 * 1024 * 1024
_TEMPORARY_END = re.compile(r"\.[0-9a-f]{12}")


# -- looks -----------------------------------------------------------------------------------------------------------


def is_ours(path: Path) -> bool:
    """Is this a plain file that we wrote, and still the user's that we are?"""
    return snippet.is_ours(_content(path))


def is_for(path: Path, port: int, pid: int) -> bool:
    """Is this a file of ours that hands over to this ``port``, for the process ``pid``?"""
    return _is_for(_content(path), port, pid)


def claims_to_be_ours(path: Path) -> bool:
    """Does it say so, whoever it belongs to?"""
    return snippet.is_ours(_content(path, anyones=True))


def check_kept(path: Path, port: Optional[int] = None, pid: Optional[int] = None) -> None:
    """Nobody but us and root has a hand in a file that says it is ours (and is that of ``port`` and ``pid``).

    :raises OSError: somebody else could exchange it, or has it by now, so it is left as it is; ``strerror`` says who.
    """
    content = _content(path, anyones=True)
    if not snippet.is_ours(content) or (port is not None and pid is not None and not _is_for(content, port, pid)):
        return
    with _directory(path) as directory, suppress(FileNotFoundError):
        owner = os.stat(path.name, dir_fd=directory, follow_symlinks=False).st_uid
        if owner != os.geteuid():
            raise PermissionError(errno.EPERM, f"it belongs to user {owner} by now")


# -- changes ---------------------------------------------------------------------------------------------------------


def write(path: Path, data: bytes) -> None:
    """The file is there, whole, or not at all. Its name until then is none that a wildcard of Apache's meets.

    :raises OSError: it is not.
    """
    with _directory(path) as directory:
        _write(directory, path, data)


def disarm(path: Path, port: int, pid: int) -> None:
    """This file of ours says nothing any more, where it is that of ``port`` and ``pid``; the server has not been told.

    :raises OSError: it does.
    """
    _disarm(path, lambda content: _is_for(content, port, pid))


def disarm_any(path: Path) -> None:
    """As :func:`disarm`, for whomever this file of ours is.

    :raises OSError: it still says what it said.
    """
    _disarm(path, snippet.is_ours)


def unlink(path: Path) -> None:
    """No file of ours is there; one that is not ours stays.

    :raises OSError: it is still there.
    """
    if not is_ours(path):
        return
    with _directory(path) as directory:
        if snippet.is_ours(_content(path, directory)):
            _unlink(directory, path, path.name)


def clear_unfinished(path: Path) -> None:
    """What a killed write of ``path`` has left beside it is gone: an include of the whole directory would meet it.

    Never raises. A write that is at it just now fails, as on a full disk. A directory in which somebody else could
    exchange things is not looked through: what is left in one has a name that no wildcard meets.
    """
    with suppress(OSError), _directory(path) as directory:
        for name in _names(directory):
            if name.startswith(f".{path.name}.") and _TEMPORARY_END.fullmatch(name[len(path.name) + 1:]):
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                    _unlink(directory, path, name)


# -- inside ----------------------------------------------------------------------------------------------------------


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    """A descriptor of the directory that ``path`` is in; nobody else can exchange what is in it, or the way to it.

    :raises PermissionError: somebody can, and ``strerror`` says who. :raises OSError: it cannot be opened.
    """
    try:
        descriptor = trust.open_directory(path.parent, make=False)
    except StateError as error:
        raise PermissionError(errno.EPERM, str(error)) from error
    try:
        _check(descriptor, path)
        yield descriptor
    finally:
        os.close(descriptor)


def _check(directory: int, path: Path) -> None:
    try:
        trust.check_directory(directory, path.parent)
    except StateError as error:
        raise PermissionError(errno.EPERM, str(error)) from error


def _names(directory: int) -> list[str]:
    listed = os.open(".", _LIST, dir_fd=directory)  # that of the way is for passing through only
    try:
        return os.listdir(listed)
    finally:
        os.close(listed)


def _write(directory: int, path: Path, data: bytes) -> None:
    temporary = f".{path.name}.{os.urandom(6).hex()}"
    descriptor = os.open(temporary, _NEW, 0o600, dir_fd=directory)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), _MODE)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _check(directory, path)  # a slow disk takes its time
        os.rename(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(OSError):  # the first one is what is said
            _unlink(directory, path, temporary)
        raise


def _disarm(path: Path, belongs: Callable[[bytes], bool]) -> None:
    if not belongs(_content(path)):  # whosever the directory is
        return
    with _directory(path) as directory:
        content = _content(path, directory)
        if not belongs(content):
            return
        try:
            _write(directory, path, snippet.disarmed(content))
        except OSError:  # a full disk takes no new file; without it is better than with it
            _unlink(directory, path, path.name)


def _unlink(directory: int, path: Path, name: str) -> None:
    _check(directory, path)
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def _is_for(content: bytes, port: int, pid: int) -> bool:
    return snippet.is_ours(content) and snippet.is_for(content, port, pid)


def _content(path: Path, directory: Optional[int] = None, anyones: bool = False) -> bytes:
    """Of a plain file that belongs to us, or with ``anyones`` to whomever; else nothing."""
    try:
        descriptor = os.open(path if directory is None else path.name, _LOOK, dir_fd=directory)
    except OSError:
        return b""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or (status.st_uid != os.geteuid() and not anyones):
            return b""
        return os.read(descriptor, _LOOK_BYTES)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
