"""Can a place be reached from here? A TCP connection, TLS where it is meant, and what a mail server says of itself.

Nothing is sent that anybody would see: no login, no mail, no request. No text that comes of it holds more
than host and port.
"""

from __future__ import annotations

import os
import smtplib
import socket
import ssl
import urllib.request
from dataclasses import dataclass
from typing import Optional

from certbot_guard import text

SECONDS = 6.0
TLS, STARTTLS, PLAIN = "tls", "starttls", "plain"


@dataclass(frozen=True)
class Target:
    """:ivar how: ``tls``, ``starttls`` (of mail) or ``plain``
    :ivar verified: whoever connects there in earnest looks at the certificate
    """

    host: str
    port: int
    how: str = TLS
    mail: bool = False
    verified: bool = True

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{text.line(self.host, 200)}:{self.port}"


def why_not(target: Target, environment: dict[str, str]) -> str:
    """Empty if it was reached; else the reason, a part of a sentence."""
    try:
        if target.mail:
            return _mail(target)
        proxy = _proxy(target, environment)
        if proxy is not None:
            with socket.create_connection(proxy, SECONDS):
                return ""
        with socket.create_connection((target.host, target.port), SECONDS) as plain:
            if target.how == TLS:
                with _context(target, bundle(environment)).wrap_socket(plain, server_hostname=target.host):
                    pass
    except Exception as error:  # http.client's, ssl's, smtplib's and the system's own
        return reason(error)
    return ""


def reason(error: BaseException) -> str:
    """In words without anything that was sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid here: {text.line(error.verify_message, 200)}"
    if isinstance(error, (socket.timeout, TimeoutError)):
        return f"no answer in {SECONDS:.0f} s"
    if isinstance(error, socket.gaierror):
        return f"its name cannot be resolved: {text.line(error.strerror, 100)}"
    if isinstance(error, ssl.SSLError):
        return f"TLS fails: {text.line(error.reason or error.strerror, 100)}"
    if isinstance(error, smtplib.SMTPException):
        return f"it does not answer as a mail server does ({type(error).__name__})"
    if isinstance(error, OSError) and error.strerror:
        return text.line(error.strerror, 200)
    return type(error).__name__


def bundle(environment: dict[str, str]) -> Optional[str]:
    """The file of authorities that requests uses, and so Apprise and certbot; None: the system's."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if environment.get(name):
            return environment[name]
    try:
        import certifi
    except ImportError:
        return None
    return str(certifi.where())


def context(cafile: Optional[str]) -> ssl.SSLContext:
    """As requests makes it: authorities from a file or from a directory."""
    if cafile is None:
        return ssl.create_default_context()
    return ssl.create_default_context(**({"capath": cafile} if os.path.isdir(cafile) else {"cafile": cafile}))


def _context(target: Target, cafile: Optional[str]) -> ssl.SSLContext:
    found = context(cafile)
    if not target.verified:
        found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    return found


def _mail(target: Target) -> str:
    if target.how == TLS:
        server: smtplib.SMTP = smtplib.SMTP_SSL(target.host, target.port, timeout=SECONDS,
                                                context=_context(target, None))
    else:
        server = smtplib.SMTP(target.host, target.port, timeout=SECONDS)
    try:
        server.ehlo_or_helo_if_needed()
        if target.how == STARTTLS:
            if not server.has_extn("starttls"):
                return "it does not offer STARTTLS, which the URL asks for"
            server.starttls(context=_context(target, None))
        server.docmd("QUIT")
    finally:
        server.close()
    return ""


def _proxy(target: Target, environment: dict[str, str]) -> Optional[tuple[str, int]]:
    """Where requests would connect instead."""
    names = ("https_proxy", "HTTPS_PROXY") if target.how == TLS else ("http_proxy", "HTTP_PROXY")
    url = next((environment[name] for name in (*names, "all_proxy", "ALL_PROXY") if environment.get(name)), "")
    without = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if not url or urllib.request.proxy_bypass_environment(target.host, {"no": without}):  # type: ignore[attr-defined]
        return None
    from urllib.parse import urlsplit

    parts = urlsplit(url if "//" in url else f"//{url}")
    return (parts.hostname, parts.port or 3128) if parts.hostname else None
