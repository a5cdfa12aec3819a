"""A file for node_exporter's textfile collector: whole or not there, and readable by everybody.

Its directory may be another user's to change: Debian's /var/lib/prometheus is prometheus's. So nothing but a name that
ends with ``.prom``, which no other program acts on, is ever written, nothing is followed there, and nothing that is not
a plain file is replaced.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from certbot_guard.errors import GuardError
from certbot_guard.trust import shown

SUFFIX = ".prom"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class TextfileError(GuardError):
    """The metrics could not be written; what was there is as it was."""


def write(path: Path, data: bytes) -> None:
    """``path`` holds ``data``, mode 0644. A reader sees the old one or the new one, whole.

    :raises TextfileError: the directory is not there, or somebody could have laid a trap in it.
    """
    _refuse_names_that_nobody_reads(path)
    try:
        directory = os.open(path.parent, _DIRECTORY)
        try:
            _refuse_traps(directory, path)
            _replace(directory, path.name, data)
        finally:
            os.close(directory)
    except FileNotFoundError as error:
        raise TextfileError(f"{shown(path.parent)} does not exist; make it, or name the directory that node_exporter "
                            "reads (--collector.textfile.directory)") from error
    except (OSError, ValueError) as error:
        if path.parent.is_symlink():
            raise TextfileError(f"{shown(path.parent)} is a symbolic link, which is not followed; name the directory "
                                "itself") from error
        raise TextfileError(f"{shown(path)} cannot be written: {getattr(error, 'strerror', None) or error}") from error


def refuse_unusable(path: Path) -> None:
    """Nothing is made or changed by this look.

    :raises TextfileError: :func:`write` would refuse this path, or could not make a file there.
    """
    _refuse_names_that_nobody_reads(path)
    try:
        directory = os.open(path.parent, _DIRECTORY)
        try:
            _refuse_traps(directory, path)
        finally:
            os.close(directory)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TextfileError(f"{shown(path.parent)} cannot be used: {reason}") from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise TextfileError(f"{shown(path.parent)} cannot be written: it is read-only, or somebody else's")


def _refuse_names_that_nobody_reads(path: Path) -> None:
    if not path.name.endswith(SUFFIX) or path.name.startswith("."):
        raise TextfileError(f"{shown(path)} is not written: node_exporter reads only names that end with {SUFFIX}")


def _refuse_traps(directory: int, path: Path) -> None:
    mode = os.fstat(directory).st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise TextfileError(f"{shown(path.parent)} can be written by everybody, who could replace the metrics; "
                            "run: chmod o-w, or name another directory")
    try:
        there = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(there.st_mode):
        raise TextfileError(f"{shown(path)} is no plain file, so it is left alone; remove it")
    if mode & stat.S_IWOTH and there.st_uid != os.geteuid():
        raise TextfileError(f"{shown(path)} belongs to user {there.st_uid}, and everybody can write to its directory; "
                            "remove it, or name another directory")


def _replace(directory: int, name: str, data: bytes) -> None:
    temporary = f".{name}.{os.urandom(6).hex()}"  # no name that node_exporter reads
    descriptor = os.open(temporary, _NEW_FILE, 0o600, dir_fd=directory)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)  # whatever the umask is
        # Not synced: after a power cut, the next pass writes it again.
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(temporary, dir_fd=directory)
        raise
