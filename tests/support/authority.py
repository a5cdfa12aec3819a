"""A certificate authority of the tests' own: for the TLS of the servers they start, and for lineages made up at once."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Any, Optional, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None, microsecond=0)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key(kind: str) -> Any:
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def _key_pem(key: Any) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


class Authority:
    """Issues certificates that :attr:`certificate` signs."""

    def __init__(self, name: str = "certbot-guard test authority") -> None:
        self._key = _key("ec")
        self._name = _name(name)
        now = _now()
        self._certificate = (
            x509.CertificateBuilder().subject_name(self._name).issuer_name(self._name)
            .public_key(self._key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=400)).not_valid_after(now + datetime.timedelta(days=400))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate: bytes = self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, names: Sequence[str], days_left: float = 60, days: float = 90, kind: str = "ec",
              key: Optional[bytes] = None) -> tuple[bytes, bytes]:
        """A certificate and its key, PEM: valid for ``days`` in all, ``days_left`` from now on."""
        private = serialization.load_pem_private_key(key, None) if key else _key(kind)
        end = _now() + datetime.timedelta(days=days_left)
        certificate = (
            x509.CertificateBuilder().subject_name(_name(names[0])).issuer_name(self._name)
            .public_key(private.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(end - datetime.timedelta(days=days)).not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            # Python 3.13 verifies strictly: it wants to see whose key signed.
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM), _key_pem(private)

    def write(self, directory: Path, name: str, names: Sequence[str], **options: Any) -> tuple[Path, Path]:
        """``NAME.pem`` and ``NAME.key`` in ``directory``, for a server on ``names``."""
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate_pem, key_pem = self.issue(names, **options)
        certificate.write_bytes(certificate_pem)
        key.write_bytes(key_pem)
        key.chmod(0o600)
        return certificate, key
