"""The Apache of a test, seen as a visitor sees it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Optional, Sequence

from cryptography import x509

from tests.support.apache import PrivateApache
from tests.support.outage import OutageWatch, apache_answers


class Site(PrivateApache):
    """A :class:`PrivateApache` that never takes certbot's own server on its port for itself."""

    def serving(self) -> bool:
        """Apache answers on its HTTP port, and shakes hands on its HTTPS port."""
        if not apache_answers(self.address, self.http_port):
            return False
        return not self.https_port or self.tls_certificate() is not None

    serves = serving

    def wait_serving(self, timeout: float = 20.0) -> float:
        """Return when it serves: how many seconds that took."""
        began = time.monotonic()
        while not self.serving():
            if time.monotonic() - began > timeout:
                raise AssertionError(f"Apache does not serve after {timeout} s\n{self.log_tail()}")
            time.sleep(0.005)
        return time.monotonic() - began

    def wait_down(self, timeout: float = 20.0) -> None:
        """Return when it does not answer on its HTTP port."""
        began = time.monotonic()
        while apache_answers(self.address, self.http_port):
            if time.monotonic() - began > timeout:
                raise AssertionError(f"Apache still serves after {timeout} s")
            time.sleep(0.002)

    def watch(self) -> OutageWatch:
        """``with apache.watch() as outage:`` records when it was away."""
        return OutageWatch(self.address, self.http_port)

    def served_certificate(self, name: str = "localhost") -> Optional[x509.Certificate]:
        """What a visitor of https://NAME is shown, or None."""
        der = self.tls_certificate(name)
        return x509.load_der_x509_certificate(der) if der else None

    def host(self, name: str, live: Path, domains: Sequence[str]) -> None:
        """Virtual hosts for ``domains``, with the lineage in ``live``; used from the next start or reload on."""
        aliases = f"ServerAlias {' '.join(domains[1:])}" if domains[1:] else ""
        self.add_vhost(f"{name}-http", server_name=domains[0], extra=aliases)
        if self.https_port:
            self.add_vhost(f"{name}-https", server_name=domains[0], extra=aliases,
                           certificate=live / "fullchain.pem", key=live / "privkey.pem")
