"""A file of secrets that is replaced whole, the old one kept beside it. What it says is the caller's business.

It never follows a link, never writes where somebody else could exchange it, and never overwrites an older copy.
Used by :mod:`certbot_guard.settingsfile`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Iterator, Optional

from certbot_guard import flock, newfile
from certbot_guard.errors import GuardError
from certbot_guard.trust import READ_LIMIT_BYTES, check_directory, open_directory, read_trusted, shown

COPIES_KEPT = 5  # each holds what the file held: passwords
_MODE = 0o600
_PATIENCE_SECONDS = 5.0
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class KeptFileError(GuardError):
    """The file was not written, and is as it was."""


def read(path: Path) -> Optional[bytes]:
    """What it holds; None if there is none. :raises GuardError: it cannot be trusted, or read."""
    try:
        return read_trusted(path)[0]
    except FileNotFoundError:
        return None


def write(path: Path, data: bytes, seen: Optional[bytes] = None) -> Optional[Path]:
    """``path`` holds ``data``, mode 0600 and ours; returns the copy of what it held before, None if there is none.

    The same data writes nothing (a mode by which others could read it is mended). A crash or power cut at any moment
    leaves the old or the new, whole. Of the copies the newest few are kept.

    :param seen: what it held when the caller looked, empty if there was none; if that has changed, nothing is written
    :raises GuardError: nothing was written, and why.
    """
    path = Path(os.path.abspath(path))
    if len(data) > READ_LIMIT_BYTES:
        raise KeptFileError(f"{shown(path)} would be larger than {READ_LIMIT_BYTES} bytes; it is left as it is")
    try:
        with _directory(path) as directory:
            return _write(directory, path, data, seen)
    except FileNotFoundError as error:
        raise KeptFileError(f"{shown(path)} cannot be written: {shown(path.parent)} does not exist; make it, or name "
                            "another file") from error
    except OSError as error:
        raise KeptFileError(f"{shown(path)} cannot be written: {error.strerror or error}; it is as it was") from error


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    """A descriptor of its directory, which nobody else can change and no other writer of ours is in."""
    passage = open_directory(path.parent, make=False)
    try:
        check_directory(passage, path.parent)
        directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=passage)
    finally:
        os.close(passage)
    try:
        if not flock.taken(directory, _PATIENCE_SECONDS):
            raise KeptFileError(f"{shown(path)} is being written by another process; try again")
        yield directory
    finally:
        os.close(directory)


def _write(directory: int, path: Path, data: bytes, seen: Optional[bytes]) -> Optional[Path]:
    before = read(path)
    if seen is not None and (before or b"") != seen:
        raise KeptFileError(f"{shown(path)} was changed meanwhile by somebody else; look at it and begin again")
    if before is not None:
        owner = os.stat(path.name, dir_fd=directory, follow_symlinks=False).st_uid
        if owner != os.geteuid():
            raise KeptFileError(f"{shown(path)} belongs to user {owner}; it is left as it is. Run this as that user")
        _hide(directory, path.name, must=before != data)
    if before == data:
        return None
    _remove_torn(directory, path.name)
    temporary = f".{path.name}.{os.urandom(6).hex()}.new"
    try:
        newfile.create(directory, temporary, data)
        copy = None if before is None else _keep(directory, path.name, before)
        os.rename(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        newfile.remove(directory, temporary)
        raise
    # From here on it is written: what fails now costs a copy too many, or the new one in a power cut.
    try:
        os.fsync(directory)
        _remove_old_copies(directory, path.name, copy)
    except OSError:
        pass
    return None if copy is None else path.with_name(copy)


def _hide(directory: int, name: str, must: bool) -> None:
    """Nobody else can read it: it is about to be the copy."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
            os.fchmod(descriptor, _MODE)
    except OSError:
        if must:
            raise
    finally:
        os.close(descriptor)


def _keep(directory: int, name: str, before: bytes) -> str:
    """The name under which the old file is kept: the same file under a second name, so that it is never torn."""
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    # Above those of this second, not into a gap: a name is never used twice, and sorts behind the older ones.
    first = 1 + max((number for at, number, _ in _copies(directory, name) if at == stamp), default=0)
    for number in range(first, first + 100):
        copy = f"{name}.old-{stamp}" + (f"-{number}" if number > 1 else "")
        try:
            _link(directory, name, copy, before)
            return copy
        except FileExistsError:
            continue
    raise KeptFileError(f"{name} cannot be kept: there are too many copies of this second")


def _link(directory: int, name: str, copy: str, before: bytes) -> None:
    try:
        os.link(name, copy, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        newfile.create(directory, copy, before)  # a file system without hard links


def _remove_torn(directory: int, name: str) -> None:
    """What a killed writer left; there is no other one now."""
    for one in os.listdir(directory):
        if re.fullmatch(rf"\.{re.escape(name)}\.[0-9a-f]{{12}}\.new", one):
            newfile.remove(directory, one)


def _remove_old_copies(directory: int, name: str, newest: Optional[str]) -> None:
    # The one just made is the newest whatever its name says: the clock may have been set back.
    others = [copy for _, _, copy in _copies(directory, name) if copy != newest]
    for copy in others[:max(0, len(others) + (newest is not None) - COPIES_KEPT)]:
        newfile.remove(directory, copy)


def _copies(directory: int, name: str) -> list[tuple[str, int, str]]:
    """The copies that we made, oldest first: when, which of that second, its name."""
    pattern = re.compile(rf"{re.escape(name)}\.old-([0-9]{{8}}T[0-9]{{6}}Z)(?:-([0-9]{{1,9}}))?", re.ASCII)
    return sorted((match[1], int(match[2] or 1), match[0]) for match in map(pattern.fullmatch, os.listdir(directory))
                  if match)
