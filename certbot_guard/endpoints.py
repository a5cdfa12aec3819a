"""A place where a service shows a certificate, as guard.ini names it: ``mail.example.com:25 starttls=smtp``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

# What a server is asked before TLS begins, by the name that openssl s_client -starttls has for it.
STARTTLS = ("smtp", "lmtp", "imap", "pop3", "sieve", "ftp", "postgres", "ldap")
_MEANT = "HOST:PORT, then perhaps starttls=" + "|".join(STARTTLS) + " or name=NAME, such as mail.example.com:25 starttls=smtp"
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:%[\w.-]{1,20})?")


@dataclass(frozen=True)
class Endpoint:
    """Where to connect, and as what.

    :ivar host: a name or an address, without brackets
    :ivar name: what is asked for (SNI), and must be in the certificate; the host where it is not given
    :ivar starttls: the protocol that is spoken before TLS, or nothing
    """

    host: str
    port: int
    starttls: str = ""
    name: str = ""

    @property
    def asked(self) -> str:
        return self.name or self.host

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + (f" ({self.name})" if self.name else "")


def endpoint(text: str) -> Endpoint:
    """The endpoint that is written so. :raises ValueError: it says what to write instead."""
    first, *rest = text.split()
    host, _, port = first.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ValueError(_MEANT)
    if not (_ADDRESS if bracketed else _HOST).fullmatch(host):
        raise ValueError(_MEANT + "; an IPv6 address stands in brackets")
    given: dict[str, str] = {}
    for word in rest:
        key, equals, value = word.partition("=")
        if key not in ("starttls", "name") or not equals or key in given:
            raise ValueError(_MEANT)
        given[key] = value
    if given.get("starttls", STARTTLS[0]) not in STARTTLS or not _HOST.fullmatch(given.get("name", host if not bracketed else "x")):
        raise ValueError(_MEANT)
    return Endpoint(host, int(port), given.get("starttls", ""), given.get("name", ""))
