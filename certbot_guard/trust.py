"""What nobody but root, or the user we are, has a hand in: a path's directories, and a file that is believed.

A path is walked from ``/`` step by step, each step relative to the directory just checked, so that nothing
can be exchanged between the look and the use. Every directory on the way must belong to root or to us and be
writable by nobody else; a sticky one such as /tmp may be writable, since what is in it is its owner's still.
A link on the way is followed if it is root's or ours (/var/run leads to /run), and where it leads is walked
in the same way. A file that is read, and a directory of state, is never itself a link.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from certbot_guard.errors import StateError

READ_LIMIT_BYTES = 1024 * 1024

# O_PATH: a directory on the way needs to be passed through, not listed (/home is 0711 on many machines).
_DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a pipe in its place must not hold anybody up.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LINKS_LIMIT = 40  # as Linux has it


class UntrustedFileError(StateError):
    """A file that somebody else can change, or that is no plain file; the sentence says what to do."""


class UntrustedDirectoryError(StateError):
    """A directory on the way in which somebody else could exchange what we use; the sentence says so."""


def shown(path: Path) -> str:
    """The path as it may stand in a sentence: on one line, whatever its name is made of."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(path))


def open_directory(path: Path, make: bool) -> int:
    """A descriptor (for ``dir_fd`` and ``fstat`` only) of a directory whose parents are all trusted.

    It itself is not judged. With ``make``, what is missing was made, mode 0700, and the last component is no
    link.

    :raises UntrustedDirectoryError: a directory or link on the way is somebody else's to change.
    :raises StateError: something on the way is no directory, or the last component is a link and must not be.
    :raises OSError: it is missing, or may not be passed or made.
    """
    current = os.open("/", _DIRECTORY)
    try:
        here, ahead, links = Path("/"), _parts(path), 0
        while ahead:
            name = ahead.pop(0)
            check_directory(current, here)
            if name == "..":  # behind a link; ``here`` holds none, so its parent is what it says
                below, ahead, here = os.open("/", _DIRECTORY), [*here.parent.parts[1:], *ahead], Path("/")
            else:
                try:
                    below, here = _enter(current, name, make), here / name
                except NotADirectoryError as error:  # O_NOFOLLOW with O_DIRECTORY says so of a link (Linux)
                    target = _link_target(current, name, here / name, follow=bool(ahead) or not make)
                    links += 1
                    if links > _LINKS_LIMIT:
                        raise StateError(f"{shown(path)} leads through too many symbolic links") from error
                    ahead = [*_parts(here / target), *ahead]
                    below, here = os.open("/", _DIRECTORY), Path("/")
            os.close(current)
            current = below
        return current
    except BaseException:
        os.close(current)
        raise


def _parts(path: Path) -> list[str]:
    # Not abspath(): it would take ".." behind a link away before the link is known. Path keeps them.
    return list(path.parts[1:])


def _enter(parent: int, name: str, make: bool) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        pass  # made by somebody else this moment: opened and checked all the same
    return os.open(name, _DIRECTORY, dir_fd=parent)


def _link_target(parent: int, name: str, path: Path, follow: bool) -> str:
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        raise StateError(f"{shown(path)} is not a directory")
    if not follow:
        raise StateError(f"{shown(path)} is a symbolic link, which is not followed; "
                         "name the directory itself")
    if status.st_uid not in (0, os.geteuid()):
        raise UntrustedDirectoryError(f"{shown(path)} is a symbolic link of user {status.st_uid}, who could "
                                      "make it lead elsewhere; name the directory itself")
    return os.readlink(name, dir_fd=parent)


def check_directory(descriptor: int, path: Path) -> None:
    """:raises UntrustedDirectoryError: somebody else can exchange what is in this directory."""
    status = os.fstat(descriptor)
    if status.st_uid not in (0, os.geteuid()):
        raise UntrustedDirectoryError(f"{shown(path)} belongs to user {status.st_uid}, who could replace "
                                      "what is in it; use a directory whose parents are root's")
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        raise UntrustedDirectoryError(f"{shown(path)} can be written by others, who could replace what is "
                                      f"in it; run: chmod go-w {shlex.quote(shown(path))}")


def read_trusted(path: Path) -> tuple[bytes, int]:
    """What a file says that names commands run as root, and its mode bits.

    :raises FileNotFoundError: there is none.
    :raises UntrustedFileError: it is a link, no plain file, too large, unreadable, or others can change it.
    """
    absolute = Path(os.path.abspath(path))
    try:
        descriptor = _open_file(absolute)
    except FileNotFoundError:
        raise
    except ValueError as error:
        raise UntrustedFileError("the settings file's name holds a NUL character; name another") from error
    except OSError as error:
        raise UntrustedFileError(f"{shown(absolute)} cannot be read: {error.strerror or error}") from error
    except StateError as error:
        raise UntrustedFileError(str(error)) from error
    try:
        status = os.fstat(descriptor)
        _check_file(status, absolute)
        with open(descriptor, "rb", closefd=False) as stream:
            data = stream.read(READ_LIMIT_BYTES + 1)
    except OSError as error:
        raise UntrustedFileError(f"{shown(absolute)} cannot be read: {error.strerror or error}") from error
    finally:
        os.close(descriptor)
    if len(data) > READ_LIMIT_BYTES:
        raise UntrustedFileError(f"{shown(absolute)} is larger than {READ_LIMIT_BYTES} bytes; "
                                 "keep only settings in it")
    return data, stat.S_IMODE(status.st_mode)


def _open_file(path: Path) -> int:
    try:
        directory = open_directory(path.parent, make=False)
        try:
            check_directory(directory, path.parent)
            return os.open(path.name, _FILE, dir_fd=directory)
        finally:
            os.close(directory)
    except UntrustedDirectoryError:
        os.lstat(path)  # FileNotFoundError: nothing is there that could be distrusted
        raise
    except OSError as error:
        if os.path.islink(path):
            raise UntrustedFileError(f"{shown(path)} is a symbolic link, which is not followed; put the file "
                                     "itself there, or name its real path with --guard-config (certbot-guard: "
                                     "--config)") from error
        raise


def _check_file(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UntrustedFileError(f"{shown(path)} is not a plain file; put a text file there")
    quoted = shlex.quote(shown(path))
    if status.st_uid not in (0, os.geteuid()):
        raise UntrustedFileError(f"{shown(path)} belongs to user {status.st_uid}, who could change it; "
                                 f"run: chown {'root' if os.geteuid() == 0 else os.geteuid()} {quoted}")
    if status.st_mode & 0o022:
        raise UntrustedFileError(f"{shown(path)} can be written by others, and names commands that run as "
                                 f"root; run: chmod 600 {quoted}")
