"""Is the new certificate what the server shows? Asked over TLS, as a visitor would, before and after a reload."""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from pathlib import Path
from typing import Optional

from certbot_guard import lineages, plainfile
from certbot_guard.interfaces import IWebServer

_PATIENCE_SECONDS = 10.0
_CONNECT_SECONDS = 3.0
# Every name on every socket would be slow with hundreds of names: a few say whether the reload took effect.
_NAME_LIMIT = 10


def presented(address: str, port: int, name: str) -> Optional[bytes]:
    """The certificate (DER) shown to a visitor of ``name`` there, or None if there was no TLS answer."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the question is which certificate, not whether to believe it
    any_address = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1", "*": "127.0.0.1"}  # nosec B104 # not bound
    host = any_address.get(address, address)
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_SECONDS) as plain:
            with context.wrap_socket(plain, server_hostname=name.lstrip("*.")) as secure:
                return secure.getpeercert(binary_form=True)
    except (OSError, ValueError):
        return None


class Served:
    """One lineage on one server: where it was shown before a reload, and where an old one still is after it."""

    def __init__(self, server: IWebServer, config_dir: Path, lineage: str) -> None:
        self._server = server
        self._path = lineages.certificate_path(config_dir, lineage)
        self._places: list[tuple[str, int, str]] = []

    def look_before(self) -> None:
        """Remember where any certificate of this lineage, old or new, is shown now."""
        known, names = _fingerprints(self._path.resolve().parent), _names(self._path)
        sockets = [found for found in self._server.look()["sockets"] if found["gave"] == "tls"]
        for found in sockets:
            for name in names[:_NAME_LIMIT]:
                shown = presented(found["address"], found["port"], name)
                if shown is not None and _fingerprint(shown) in known:
                    self._places.append((found["address"], found["port"], name))

    def still_old(self) -> list[str]:
        """Where, after some patience, the lineage's newest certificate is still not what is shown."""
        newest = _newest(self._path)
        if newest is None:
            return []
        places, deadline = list(self._places), time.monotonic() + _PATIENCE_SECONDS
        while places:
            places = [place for place in places if _fingerprint(presented(*place) or b"") != newest]
            if not places or time.monotonic() >= deadline:
                break
            time.sleep(0.05)
        return [f"{name} ({address}:{port})" for address, port, name in places]


def _fingerprint(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()


def _fingerprints(archive: Path) -> set[str]:
    """Every certificate this lineage has had: certbot keeps them as cert1.pem, cert2.pem, ..."""
    found = set()
    for path in archive.glob("cert*.pem"):
        try:
            found.add(_fingerprint(ssl.PEM_cert_to_DER_cert(_content(path).decode("ascii"))))
        except (OSError, ValueError):
            continue
    return found


def _newest(path: Path) -> Optional[str]:
    try:
        return _fingerprint(ssl.PEM_cert_to_DER_cert(_content(path).decode("ascii")))
    except (OSError, ValueError):
        return None


def _names(path: Path) -> list[str]:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(_content(path))
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return list(found.get_values_for_type(x509.DNSName))
    except (OSError, ValueError, x509.ExtensionNotFound):
        return []


def _content(path: Path) -> bytes:
    return plainfile.read(path, plainfile.PEM_LIMIT_BYTES)
