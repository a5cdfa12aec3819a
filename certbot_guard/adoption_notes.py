"""What is remembered of a renewal configuration that was adopted: all that it said, so that release can give it back.

It lies beside the file, as ``renewal/.NAME.conf.before-guard``: a backup or a move of certbot's directory takes it
along, ``[state] dir`` may be lost without it, and a person can read it when certbot-guard is gone. JSON, mode 0600,
since hooks may hold passwords. certbot does not read it, and ``certbot delete`` leaves it there: so a note knows by the
certificate which lineage it is of. Used by :mod:`certbot_guard.adoption` alone, under certbot's lock where it writes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from certbot_guard import plainfile, renewaldir
from certbot_guard.errors import GuardError
from certbot_guard.trust import shown

_SUFFIX = ".conf.before-guard"
_VERSION = 1
_NUMBER = re.compile(r"cert(\d{1,9})\.pem")


@dataclass(frozen=True)
class Note:
    """What adopt found and did.

    :ivar before: the file as it was, all of it
    :ivar after: SHA-256 of the file as adopt left it
    :ivar retired: the keys of the hooks that adopt took out
    :ivar certificate: the newest certificate then, ``cert3.pem``, and its SHA-256; empty where it could not be read
    :ivar releasing: SHA-256 of the file that a release was about to replace
    """

    before: bytes
    after: str
    retired: tuple[str, ...] = ()
    certificate: tuple[str, str] = ("", "")
    releasing: str = ""


def path_of(config_dir: Path, lineage: str) -> Path:
    return config_dir / "renewal" / f".{lineage}{_SUFFIX}"


def names(config_dir: Path) -> list[str]:
    """The lineages of which something is remembered."""
    return sorted(name[1:-len(_SUFFIX)] for name in os.listdir(config_dir / "renewal")
                  if name.startswith(".") and name.endswith(_SUFFIX) and len(name) > len(_SUFFIX) + 1)


def read(config_dir: Path, lineage: str) -> Optional[Note]:
    """None: nothing is remembered, or it is of an earlier lineage of that name.

    :raises GuardError: it cannot be read, or was damaged.
    """
    path = path_of(config_dir, lineage)
    try:
        data = renewaldir.read(path)
    except FileNotFoundError:
        return None
    try:
        found = json.loads(data)
        if found["version"] != _VERSION:
            raise ValueError("another version")
        note = Note(str(found["before"]).encode("utf-8"), str(found["after"]), tuple(map(str, found["retired"])),
                    (str(found["certificate"][0]), str(found["certificate"][1])), str(found["releasing"]))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise GuardError(f"{shown(path)} is not as certbot-guard wrote it, so what was there before adopt is not "
                         "known: look at it, then remove it") from error
    return None if _is_of_another(config_dir, lineage, note) else note


def write(config_dir: Path, lineage: str, note: Note) -> None:
    """:raises GuardError: it cannot be written; what was remembered is as it was."""
    found: dict[str, Any] = {
        "what": f"{lineage}.conf before 'certbot-guard adopt'; 'certbot-guard release' gives it back",
        "version": _VERSION, "before": note.before.decode("utf-8"), "after": note.after, "retired": note.retired,
        "certificate": note.certificate, "releasing": note.releasing}
    renewaldir.replace(path_of(config_dir, lineage), (json.dumps(found, indent=1) + "\n").encode("ascii"), 0o600)


def about_to_release(config_dir: Path, lineage: str, note: Note, current: bytes) -> None:
    """Written before the file is, so that a note which a killed release left behind is known for one.

    :raises GuardError: it cannot be written.
    """
    write(config_dir, lineage, replace(note, releasing=digest(current)))


def forget(config_dir: Path, lineage: str) -> None:
    """:raises GuardError: it cannot be removed."""
    renewaldir.remove(path_of(config_dir, lineage))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def newest_certificate(config_dir: Path, lineage: str) -> tuple[str, str]:
    """The name in archive/ of the certificate that live/ leads to, and its SHA-256; empty where none can be read."""
    try:
        name = os.path.basename(os.readlink(config_dir / "live" / lineage / "cert.pem"))
        return name, _certificate_digest(config_dir / "live" / lineage / "cert.pem")
    except OSError:
        return "", ""


def _is_of_another(config_dir: Path, lineage: str, note: Note) -> bool:
    """Was the lineage deleted and made anew since? certbot counts a lineage's certificates from 1 and never back."""
    name, known = note.certificate
    then, now = _NUMBER.fullmatch(name), _NUMBER.fullmatch(newest_certificate(config_dir, lineage)[0])
    if not then or not now:
        return False
    if int(now.group(1)) < int(then.group(1)):
        return True
    try:
        live = config_dir / "live" / lineage / "cert.pem"
        return _certificate_digest((live.parent / os.readlink(live)).with_name(name)) != known
    except OSError:
        return False  # certbot or a person has cleared old certificates away


def _certificate_digest(path: Path) -> str:
    return digest(plainfile.whole(path, plainfile.PEM_LIMIT_BYTES))
