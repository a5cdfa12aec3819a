"""certbot's certificates as they are on the disk, and what stands in a certificate. Reads, judges nothing."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
import re
import warnings
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from certbot_guard import plainfile
from certbot_guard.watch.tls import Place

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")
_NUMBER = re.compile(r"cert(\d{1,9})\.pem")


@dataclass(frozen=True)
class OnDisk:
    """One lineage as it is on the disk.

    :ivar names: of its certificate; addresses as text
    :ivar fullchain: certificates (DER), its own first
    :ivar older: SHA-256 fingerprints (hex) of its earlier certificates, from archive/
    :ivar since: when the newest one was written
    :ivar live: the directory a service should load its files from
    :ivar archive: the directory that live/ points into
    :ivar files: the files in it that live/ points to now
    """

    lineage: str
    names: frozenset[str]
    fullchain: tuple[bytes, ...]
    older: frozenset[str] = frozenset()
    since: Optional[datetime] = None
    live: str = ""
    archive: str = ""
    files: frozenset[str] = frozenset()

    def follows(self, place: Place) -> bool:
        """Does the service load this lineage's files in a way that a renewal reaches?"""
        return any(path.startswith(self.live + "/") for path in place.files) or any(
            real in self.files and not path.startswith(self.archive + "/")
            for path, real in zip(place.files, place.real_files))


class Disk(list[OnDisk]):
    """All lineages, findable. To be changed no more once it was asked."""

    @cached_property
    def current(self) -> dict[str, OnDisk]:
        return {fingerprint(one.fullchain[0]): one for one in reversed(self)}

    @cached_property
    def older(self) -> dict[str, OnDisk]:
        return {print_: one for one in reversed(self) for print_ in one.older}

    @cached_property
    def by_name(self) -> dict[str, list[OnDisk]]:
        found: dict[str, list[OnDisk]] = {}
        for one in self:
            for name in one.names:
                found.setdefault(name, []).append(one)
        return found

    @cached_property
    def intermediates(self) -> dict[bytes, list[Certificate]]:
        """By subject (DER): what any lineage has behind its own certificate."""
        found: dict[bytes, list[Certificate]] = {}
        for der in {der for one in self for der in one.fullchain[1:]}:
            certificate = parse(der)
            if certificate is not None:
                found.setdefault(certificate.subject.public_bytes(), []).append(certificate)
        return found

    @cached_property
    def directories(self) -> dict[str, OnDisk]:
        return {path: one for one in reversed(self) for path in (one.live, one.archive) if path}

    def of_files(self, place: Place) -> Optional[OnDisk]:
        """The lineage whose files the service loads."""
        for path in place.files + place.real_files:
            one = self.directories.get(os.path.dirname(path))
            if one is not None:
                return one
        return None


def fingerprint(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()


def parse(der: bytes) -> Optional[Certificate]:
    from cryptography import x509

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd in a stranger's certificate is no line on a terminal
            return x509.load_der_x509_certificate(der)
    except ValueError:
        return None


def names_of(certificate: Certificate) -> frozenset[str]:
    """The names and addresses it is for, small letters; none where they cannot be read."""
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [plain_name(name) for name in found.get_values_for_type(x509.DNSName)]
        return frozenset([*names, *(str(one) for one in found.get_values_for_type(x509.IPAddress))])
    except (ValueError, x509.ExtensionNotFound):
        return frozenset()


def signed(below: Certificate, above: Certificate) -> bool:
    """Is ``above`` the issuer of ``below``? By key identifiers where both have them: a CA's name outlives its keys."""
    from cryptography import x509

    try:
        wanted = below.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        has = above.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except (ValueError, x509.ExtensionNotFound):
        return True
    return wanted is None or wanted == has


def organization(certificate: Certificate) -> str:
    """Of the CA: its intermediates change from one certificate to the next, its name does not."""
    from cryptography.x509.oid import NameOID

    found = [str(one.value) for one in certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return found[0] if found else _common_name_of(certificate.issuer).split(" ")[0]


def common_name(certificate: Certificate) -> str:
    return _common_name_of(certificate.subject)


def _common_name_of(name: Any) -> str:
    from cryptography.x509.oid import NameOID

    found = [str(one.value) for one in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return found[0] if found else name.rfc4514_string()


def plain_name(name: str) -> str:
    name = name.rstrip(".").lower()
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def on_disk(config_dir: Path) -> Disk:
    """Every lineage of certbot's directory that has a certificate that can be read."""
    found = Disk()
    try:
        directories = sorted(path for path in (config_dir / "live").iterdir() if path.is_dir())
    except OSError:
        return found
    for live in directories:
        one = _lineage(live)
        if one is not None:
            found.append(one)
    return found


def _lineage(live: Path) -> Optional[OnDisk]:
    try:
        chain = _certificates(live / "fullchain.pem") or _certificates(live / "cert.pem")
        newest = (live / "cert.pem").resolve()
        since = datetime.fromtimestamp(newest.stat().st_mtime, timezone.utc)
        archived = sorted(newest.parent.glob("cert*.pem"))
        files = frozenset(str((live / name).resolve()) for name in ("cert.pem", "fullchain.pem"))
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        return None
    leaf = parse(chain[0]) if chain else None
    if leaf is None:
        return None
    # An earlier number: after a rollback by hand there are later ones, too.
    older = {fingerprint(der) for path in archived if _number(path) < _number(newest)
             for der in _certificates(path, quietly=True)[:1]}
    return OnDisk(live.name, names_of(leaf), chain, frozenset(older - {fingerprint(chain[0])}), since, str(live),
                  str(newest.parent), files)


def _number(path: Path) -> int:
    found = _NUMBER.fullmatch(path.name)
    return int(found.group(1)) if found else 0


def _certificates(path: Path, quietly: bool = False) -> tuple[bytes, ...]:
    """Of a PEM file, DER. ``quietly``: none where it cannot be read."""
    try:
        data = plainfile.read(path, plainfile.PEM_LIMIT_BYTES)
        return tuple(base64.b64decode(match.group(1)) for match in _PEM.finditer(data))
    except (OSError, ValueError):
        if quietly:
            return ()
        raise
