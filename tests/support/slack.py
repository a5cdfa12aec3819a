"""Services on the internet as Apprise's plugins meet them: their names, how they answer, and what arrived there."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional
from urllib.parse import parse_qs

from tests.support.authority import Authority

NAMES = ("hooks.slack.com", "slack.com", "discord.com", "api.telegram.org", "api.twilio.com")


@dataclass(frozen=True)
class Request:
    """What one of them was sent. ``document``: its JSON, or the fields of its form."""

    host: str
    path: str
    document: Any


class HttpsServices:
    """A proxy that answers CONNECT and then is the service itself: Apprise's plugins have no other host.

    :ivar asked: the CONNECT lines. :ivar requests: what arrived inside, those answered with an error, too.
    :ivar received: the documents of those that were accepted.
    """

    def __init__(self, directory: Path, authority: Optional[Authority] = None, names: tuple[str, ...] = NAMES,
                 days_left: float = 60) -> None:
        authority = authority or Authority()
        self.bundle = directory / "bundle.pem"
        self.bundle.write_bytes(authority.certificate)
        certificate, key = authority.write(directory, "service", list(names), days_left=days_left)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._answer: Optional[tuple[int, bytes]] = None
        self.asked: list[str] = []
        self.requests: list[Request] = []
        self.received: list[Any] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.proxy = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def answer(self, status: int, body: bytes = b"") -> None:
        """Every request is answered so from now on."""
        self._answer = (status, body)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(10)
                head, _ = _read_head(connection)
                self.asked.append(head.split("\r\n")[0])
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                with self._context.wrap_socket(connection, server_side=True) as secure:
                    self._request(secure, head.split(" ")[1].partition(":")[0])
        except OSError:  # a client that does not trust us goes away
            pass

    def _request(self, secure: ssl.SSLSocket, host: str) -> None:
        head, body = _read_head(secure)
        lengths = [row.split(":")[1] for row in head.lower().split("\r\n") if row.startswith("content-length:")]
        while lengths and len(body) < int(lengths[0]):
            body += secure.recv(65536)
        request = Request(host, head.split(" ")[1] if " " in head else "", _document(body))
        status, said = self._answer or (200, _yes(request))
        self.requests.append(request)
        if status < 300:
            self.received.append(request.document)
        secure.sendall(b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (status, len(said), said))

    def close(self) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which would take one more
        except OSError:
            pass
        self._listener.close()


class Slack(HttpsServices):
    """Slack alone."""


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _yes(request: Request) -> bytes:
    if request.host == "hooks.slack.com":
        return b"ok"
    return b'{"ok": true, "result": {}, "sid": "SM1"}'


def _read_head(connection: socket.socket) -> tuple[str, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            break
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest
