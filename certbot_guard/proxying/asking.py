"""Asking a web server for a path as a CA does: under a name, at one address, with redirects followed.

Bounded in time and size as a whole, whatever the server does. Text that comes back is from outside: :class:`Answer`
shows it only through :mod:`certbot_guard.text`.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any, Optional
from urllib.parse import urljoin, urlsplit

from certbot_guard import text

_ANSWER_LIMIT_BYTES = 64 * 1024
# As Let's Encrypt does: at most ten, to http or https, on the ports 80 and 443 alone.
_REDIRECTS_LIMIT = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = ("User-Agent: certbot-guard (will a challenge be answered?)\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n")


@dataclass(frozen=True)
class Answer:
    """What came back in the end. ``status`` is 0 if nothing did; then ``trouble`` says why not."""

    status: int = 0
    body: bytes = b""
    location: str = ""
    trouble: str = ""

    def __str__(self) -> str:
        if not self.status:
            return self.trouble
        if self.location:
            return f"{self.status} to {text.line(self.location, 120)}" + (f" ({self.trouble})" if self.trouble else "")
        words = text.line(self.body[:400].decode("utf-8", "replace"), 60)
        return f"{self.status}" + (f": {words}" if words else "")


@dataclass(frozen=True)
class Ports:
    """Where this machine has what the world reaches on the ports 80 and 443; 0: nowhere."""

    http: int = 80
    https: int = 443

    def of(self, scheme: str) -> int:
        return self.http if scheme == "http" else self.https


def ask(address: str, host: str, path: str, ports: Ports, mine: frozenset[str], seconds: float) -> Answer:
    """What a visitor of ``http://host/path`` gets who reaches this machine at ``address``, within ``seconds``.

    A redirect to a name that is not in ``mine`` is not followed: it leads away from here. Never raises.
    """
    deadline = time.monotonic() + seconds
    url = f"http://{host}{path}"
    answer = Answer(trouble="it was not asked")
    for _ in range(_REDIRECTS_LIMIT + 1):
        parts = urlsplit(url)
        try:
            answer = _one(address, parts.scheme, ports.of(parts.scheme), _bare(parts.netloc),
                          (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), deadline)
        except (OSError, ValueError, http.client.HTTPException) as error:
            return Answer(trouble=_reason(error))
        if answer.status not in _REDIRECTS or not answer.location:
            return answer
        url, why_not = _next(url, answer.location, mine)
        if why_not:
            return Answer(answer.status, b"", answer.location, why_not)
    return Answer(answer.status, b"", answer.location, f"more than {_REDIRECTS_LIMIT} redirects")


def _next(url: str, location: str, mine: frozenset[str]) -> tuple[str, str]:
    """``(where it leads, why that is not followed)``."""
    try:
        there = urljoin(url, location)
        parts = urlsplit(there)
        standard = {"http": 80, "https": 443}.get(parts.scheme)
        if standard is None or parts.port not in (None, 80, 443):
            return there, "a CA follows no redirect to there"
        # Port 443 by http, or 80 by https, would be another server than the one that is asked here.
        if parts.port not in (None, standard) or _bare(parts.netloc).lower().rstrip(".") not in mine:
            return there, "it leads away from here"
    except ValueError:
        return url, "which is no URL"
    return there, ""


def _one(address: str, scheme: str, port: int, host: str, target: str, deadline: float) -> Answer:
    if not port:
        raise ConnectionRefusedError
    with socket.create_connection((address, port), timeout=_left(deadline)) as plain:
        if scheme == "http":
            return _exchange(plain, host, target, deadline)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # a CA does not verify it either where a challenge is redirected
        with context.wrap_socket(plain, server_hostname=host.strip("[]")) as tls:
            return _exchange(tls, host, target, deadline)


def _exchange(connection: socket.socket, host: str, target: str, deadline: float) -> Answer:
    connection.settimeout(_left(deadline))
    connection.sendall((f"GET {target} HTTP/1.1\r\nHost: {host}\r\n" + _HEADERS).encode("ascii"))
    received = bytearray()
    while len(received) < _ANSWER_LIMIT_BYTES:
        connection.settimeout(_left(deadline))
        chunk = connection.recv(16384)
        if not chunk:
            break
        received += chunk
    response = http.client.HTTPResponse(_Received(bytes(received)))  # type: ignore[arg-type]
    response.begin()
    try:
        body = response.read()
    except http.client.IncompleteRead as error:  # it was longer than anything that is looked at
        body = error.partial
    return Answer(response.status, body, response.getheader("Location") or "")


class _Received:
    """What http.client takes for a socket: all of an answer, received already."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self._data)


def _bare(netloc: str) -> str:
    host = netloc.rpartition("@")[2]
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout
    return left


def _reason(error: Optional[BaseException]) -> str:
    if isinstance(error, socket.timeout):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, http.client.HTTPException):
        return "no HTTP answer"
    return text.line(getattr(error, "strerror", None) or error, 120)
