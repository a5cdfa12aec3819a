"""What certbot's own files say of a lineage: its renewal configuration and its certificate. Reads, never writes."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional

from certbot_guard import configlines, plainfile
from certbot_guard.stakes import Validity

_LIMIT_BYTES = 1024 * 1024


def renewal_files(config_dir: Path) -> list[Path]:
    """The renewal configurations in the order in which certbot looks at them (by name)."""
    try:
        return sorted(path for path in (config_dir / "renewal").iterdir() if path.name.endswith(".conf"))
    except OSError:
        return []


def name_of(renewal_file: str) -> str:
    return os.path.basename(renewal_file)[:-len(".conf")]


def resolve(config_dir: Path, shown: str) -> Optional[str]:
    """The lineage whose file certbot showed as ``shown``: it wraps what it shows at 80 columns, at any space."""
    wanted = "".join(shown.split())
    for path in renewal_files(config_dir):
        if "".join(str(path).split()) == wanted or "".join(path.name.split()) == os.path.basename(wanted):
            return name_of(str(path))
    return None


def parsed(renewal_file: Path, interpolation: bool = True) -> Any:
    """The file as configobj reads it.

    :raises OSError: it cannot be read.
    :raises ValueError, SyntaxError: it is none, is too large, or would take too long.
    """
    import configobj  # certbot requires it, and reads these files with it

    data = plainfile.read(renewal_file, _LIMIT_BYTES + 1)
    number = configlines.slow(data.decode("utf-8", "replace"))
    if number is not None or len(data) > _LIMIT_BYTES:
        raise ValueError(f"line {number} may take for ever to read" if number else "it is too large")
    return configobj.ConfigObj(str(renewal_file), encoding="utf-8", default_encoding="utf-8",
                               interpolation=interpolation)


def value(renewal_file: Path, key: str) -> Optional[str]:
    """One of the ``[renewalparams]``, as text, or None."""
    try:
        parameters = parsed(renewal_file).get("renewalparams")
        found = parameters.get(key) if isinstance(parameters, dict) else None
    except (OSError, ValueError, SyntaxError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def guarded_behind(config_dir: Path, lineage: str) -> list[str]:
    """The lineages of this guard that certbot looks at after ``lineage``, due or not."""
    files = renewal_files(config_dir)
    names = [name_of(str(path)) for path in files]
    start = names.index(lineage) + 1 if lineage in names else len(names)
    return [name for name, path in zip(names[start:], files[start:]) if value(path, "installer") == "guard"]


def certificate_path(config_dir: Path, lineage: str) -> Path:
    path = config_dir / "renewal" / f"{lineage}.conf"
    try:
        named = parsed(path).get("cert")
        if isinstance(named, str) and "\0" not in named:
            return Path(named)
    except (OSError, ValueError, SyntaxError, RecursionError):
        pass
    return config_dir / "live" / lineage / "cert.pem"


def validity(config_dir: Path, lineage: str) -> Optional[Validity]:
    """Of the certificate that this lineage has on disk now; None if it cannot be read."""
    try:
        data = plainfile.read(certificate_path(config_dir, lineage), plainfile.PEM_LIMIT_BYTES)
    except OSError:
        return None
    return validity_of(data)


def not_after(config_dir: Path, lineage: str) -> Optional[datetime]:
    """When the certificate that this lineage has on disk now expires; None if it cannot be read."""
    found = validity(config_dir, lineage)
    return found.not_after if found is not None else None


def validity_of(pem: bytes) -> Optional[Validity]:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return None
    return validity_in(certificate)


def validity_in(certificate: Any) -> Validity:
    """Of a parsed certificate, on any supported cryptography."""
    if hasattr(certificate, "not_valid_after_utc"):
        return Validity(certificate.not_valid_after_utc, certificate.not_valid_before_utc)
    # cryptography < 42
    return Validity(certificate.not_valid_after.replace(tzinfo=timezone.utc),
                    certificate.not_valid_before.replace(tzinfo=timezone.utc))
