"""The files of ours below /etc: what stands there, what should, and the change from one to the other.

A file is ours if it holds :data:`MARK`. Another one of the same name, or a link (a masked unit is one), is never
replaced and never removed.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from certbot_guard import plainfile
from certbot_guard.errors import GuardError
from certbot_guard.trust import shown

MARK = "# certbot-guard wrote this: change it with \"certbot-guard units\", or it is overwritten."
_MODE = 0o644
_READ_LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True)
class File:
    """A file that should be there: its path, and all that it says."""

    path: Path
    content: str

    @property
    def is_there(self) -> bool:
        """:raises GuardError: something else is there."""
        if read_ours(self.path) != self.content:
            return False
        status = os.stat(self.path)
        return stat.S_IMODE(status.st_mode) == _MODE and status.st_uid == os.geteuid()


def read_ours(path: Path) -> Optional[str]:
    """What a file of ours says; None if there is none.

    :raises GuardError: something else has that name, or it cannot be read.
    """
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            raise GuardError(f"{shown(path)} is no file that certbot-guard wrote but "
                             + (f"a link to {shown(Path(os.readlink(path)))}" if stat.S_ISLNK(status.st_mode)
                                else "something else") + "; it is left as it is. Remove it first")
        text = plainfile.read(path, _READ_LIMIT_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise GuardError(f"{shown(path)} cannot be read: {error.strerror}") from error
    if MARK not in text.split("\n"):
        raise GuardError(f"{shown(path)} was not written by certbot-guard; it is left as it is. Move it away first")
    return text


def difference(path: Path, content: Optional[str]) -> list[str]:
    """What would change, as lines for a person: all of a new file, ``-`` and ``+`` of one that changes or goes.

    :raises GuardError: what is there is not ours.
    """
    before = read_ours(path)
    if before == content:
        return []
    if before is None:
        found = [f"new file {path}", *(f"    {line}" for line in (content or "").splitlines())]
    else:
        found = [f"{'removed' if content is None else 'changed'}: {path}"]
        if content is not None:
            found += [f"    {line}" for line in list(difflib.unified_diff(
                before.splitlines(), content.splitlines(), lineterm="", n=2))[2:]]
    return ["".join(letter if letter.isprintable() else "?" for letter in line) for line in found]


def write(files: Sequence[File]) -> None:
    """Each of them is there, whole, mode 0644. After an error each holds the old or the new, and none is torn.

    :raises GuardError: one of them cannot be written, or would replace what is not ours; then that one is named.
    """
    for file in files:
        read_ours(file.path)
    for file in files:
        if not file.is_there:
            try:
                _write(file)
            except OSError as error:
                raise GuardError(f"{shown(file.path)} cannot be written: {error.strerror or error}") from error


def _write(file: File) -> None:
    try:
        os.mkdir(file.path.parent, 0o755)
        os.chmod(file.path.parent, 0o755)  # nosec B103 # whatever the umask is: systemctl is for everyone to ask
    except FileExistsError:
        pass
    # Neither systemd nor cron looks at a name that begins with a dot.
    temporary = file.path.with_name(f".{file.path.name}.{os.urandom(6).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(descriptor, _MODE)
            stream.write(file.content)
            stream.flush()
            os.fsync(descriptor)
        os.rename(temporary, file.path)
    except BaseException:
        os.unlink(temporary)
        raise


def remove(paths: Sequence[Path]) -> None:
    """None of them is there any more, nor a directory for drop-ins that is empty without them.

    :raises GuardError: one of them cannot be removed, or is not ours; then nothing that follows it was removed.
    """
    for path in paths:
        if read_ours(path) is None:
            continue
        try:
            os.unlink(path)
        except OSError as error:
            raise GuardError(f"{shown(path)} cannot be removed: {error.strerror or error}") from error
        if path.parent.suffix == ".d" and path.parent.name != "cron.d":
            try:
                os.rmdir(path.parent)
            except OSError:  # another drop-in is in there
                pass
