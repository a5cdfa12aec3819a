"""certbot's own files, as certbot reads them: renewal configurations and the certificates that they name. Changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Optional

from certbot_guard import entrypoints, lineages, plainfile, stakes
from certbot_guard.phrases import moment
from certbot_guard.stakes import Validity

GUARD = "guard"
# certbot 5.8 storage.py: a renewal configuration without one of these is refused
_REFERENCES = ("cert", "privkey", "chain", "fullchain")
# certbot 5.8 storage.py: due with a third of the lifetime left; with a half of it, where that is ten days or less
_SHORT_LIFETIME = timedelta(days=10)
# certbot before 4.0: 30 days, whatever the lifetime; a company's CA signs for a year
_OF_OLDER_CERTBOTS = timedelta(days=30)
_INTERVAL = re.compile(r"\s*(\d{1,4})\s*(second|minute|hour|day|week|month|year)s?\s*", re.IGNORECASE)
_SECONDS_IN = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800, "month": 2592000, "year": 31536000}
# Whoever has not missed it for a month does not need it.
_FORGOTTEN = timedelta(days=30)

Note = Callable[..., object]


@dataclass(frozen=True)
class Lineage:
    """One renewal configuration, and the certificate that it names.

    :ivar error: why certbot cannot use the file; then nothing else is known
    :ivar names: the domain names in the certificate
    :ivar parameters: all of ``[renewalparams]``
    """

    path: Path
    name: str
    error: str = ""
    installer: str = ""
    authenticator: str = ""
    autorenew: bool = True
    renew_before: Optional[timedelta] = None
    server: str = ""
    certificate: Optional[Path] = None
    key: Optional[Path] = None
    validity: Optional[Validity] = None
    names: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def guarded(self) -> bool:
        return self.installer == GUARD

    def due(self) -> Optional[datetime]:
        """From when on certbot renews it; None where the certificate cannot be read."""
        validity = self.validity
        if validity is None or validity.lifetime is None:
            return None
        try:
            if self.renew_before is not None:
                return validity.not_after - self.renew_before
            before = validity.lifetime / (2 if validity.lifetime <= _SHORT_LIFETIME else 3)
            return validity.not_after - min(before, _OF_OLDER_CERTBOTS)
        except OverflowError:  # of thousands of years
            return None


def read(config_dir: Path) -> Iterator[Lineage]:
    """Every renewal configuration, in certbot's order."""
    for path in lineages.renewal_files(config_dir):
        try:
            found = _read(path)
        except Exception as error:  # whatever stands in one file, the others are read
            found = Lineage(path, lineages.name_of(str(path)), error=f"{type(error).__name__}: {error}")
        yield found


def _read(path: Path) -> Lineage:
    name = lineages.name_of(str(path))
    try:
        found = lineages.parsed(path, interpolation=False)
    except (OSError, ValueError, SyntaxError) as error:  # ConfigObjError is a SyntaxError
        return Lineage(path, name, error=str(error))
    missing = [key for key in _REFERENCES if not isinstance(found.get(key), str)]
    if missing:
        return Lineage(path, name, error=f"renewal config file is missing a required file reference: {missing[0]}")
    parameters = found.get("renewalparams")
    if not isinstance(parameters, dict) or not parameters.get("authenticator"):
        what = "no [renewalparams]" if not isinstance(parameters, dict) else "no authenticator"
        return Lineage(path, name, error=f"renewal config file has {what}")
    certificate = Path(found["cert"])
    validity, names = _certificate(certificate)
    return Lineage(path, name, "", _word(parameters.get("installer")), _word(parameters.get("authenticator")),
                   str(parameters.get("autorenew", "True")).strip().lower() not in ("false", "no", "off", "0"),
                   _interval(str(found.get("renew_before_expiry") or "")), _word(parameters.get("server")), certificate,
                   Path(found["privkey"]), validity, names, dict(parameters))


def _word(value: Any) -> str:
    found = value.strip() if isinstance(value, str) else ""
    return "" if found == "None" else found


def _interval(words: str) -> Optional[timedelta]:
    match = _INTERVAL.fullmatch(words)
    return timedelta(seconds=int(match[1]) * _SECONDS_IN[match[2].lower()]) if match else None


def _certificate(path: Path) -> tuple[Optional[Validity], tuple[str, ...]]:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(plainfile.read(path, plainfile.PEM_LIMIT_BYTES))
    except (OSError, ValueError):
        return None, ()
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = tuple(names.get_values_for_type(x509.DNSName))
    except (ValueError, x509.ExtensionNotFound):
        found = ()
    return lineages.validity_in(certificate), found


# -- what is wrong with them -----------------------------------------------------------------------------------------


def look(found: Lineage, note: Note, now: datetime, stale_after: timedelta, plugins: frozenset[str]) -> set[str]:
    """Note what is wrong with one lineage: its file, its plugins, its key, and whether it is renewed in time.

    Returns the kinds of trouble that could be looked for; what could not be is neither wrong nor well.

    :param plugins: the names of certbot's plugins that are installed here; empty where that is not known
    """
    if found.error:
        note("lineage-broken", path=str(found.path), error=found.error)
        return {"lineage-broken"}
    looked = {"lineage-broken"}
    if found.guarded and plugins:  # which ones certbot has is known where it is the one beside us: a guard says so
        looked.add("plugin-missing")
        for role, plugin in (("authenticator", found.authenticator), ("installer", found.installer)):
            if plugin and plugin.rpartition(":")[2] not in plugins:
                note("plugin-missing", lineage=found.name, names=list(found.names), role=role, plugin=plugin)
                break
    fits = _fits(found.certificate, found.key) if found.certificate is not None and found.key is not None else None
    if fits is not None:
        looked.add("key-mismatch")
    if fits is False and found.certificate is not None:
        note("key-mismatch", lineage=found.name, names=list(found.names), directory=str(found.certificate.parent))
    if _look_at_the_time(found, note, now, stale_after):
        looked.add("not-renewed")
    return looked


def _look_at_the_time(found: Lineage, note: Note, now: datetime, stale_after: timedelta) -> bool:
    due = found.due()
    if found.validity is None or due is None or is_forgotten(found, now):
        return False
    expired = found.validity.not_after <= now
    lifetime = found.validity.lifetime or timedelta(days=90)
    # certbot tries twice a day: what it did not get then is told by those runs. Here is what no run tells.
    patience = min(stale_after, lifetime / stakes.CRITICAL_SHARE)
    overdue = now - due > patience if found.autorenew else stakes.severity(found.validity, now) == "critical"
    if expired or overdue:
        note("not-renewed", lineage=found.name, names=list(found.names), due=moment(due), expired=expired,
             autorenew=found.autorenew)
    return True


def _fits(certificate: Path, key: Path) -> Optional[bool]:
    """Whether they belong together; None where that cannot be found out."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        first, data = (plainfile.read(path, plainfile.PEM_LIMIT_BYTES) for path in (certificate, key))
        shown = x509.load_pem_x509_certificate(first).public_key()
        try:  # that an RSA key is one at all costs 30 ms, and is not the question
            private = load_pem_private_key(data, None, unsafe_skip_rsa_key_validation=True)
        except TypeError:  # cryptography < 39
            private = load_pem_private_key(data, None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return shown.public_bytes(*form) == private.public_key().public_bytes(*form)


def is_forgotten(found: Lineage, now: datetime) -> bool:
    """Its certificate expired so long ago that nobody needs it."""
    return found.validity is not None and now - found.validity.not_after > _FORGOTTEN


def installed_plugins() -> frozenset[str]:
    """The names of certbot's plugins in this Python."""
    return frozenset(point.name for point in entrypoints.of_group(entrypoints.CERTBOT_PLUGINS))
