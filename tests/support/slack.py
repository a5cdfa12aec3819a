"""Slack as Apprise's plugin meets it: its names, its two ways to answer, and what arrived there."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from pathlib import Path
from typing import Any, Optional

from tests.support.authority import Authority


class Slack:
    """A proxy that answers CONNECT and then is Slack itself. Apprise's plugin has no other host."""

    def __init__(self, directory: Path, authority: Optional[Authority] = None) -> None:
        authority = authority or Authority()
        self.bundle = directory / "bundle.pem"
        self.bundle.write_bytes(authority.certificate)
        certificate, key = authority.write(directory, "slack", ["hooks.slack.com", "slack.com"])
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self.asked: list[str] = []
        self.received: list[Any] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.proxy = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            head, _ = _read_head(connection)
            self.asked.append(head.split("\r\n")[0])
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with self._context.wrap_socket(connection, server_side=True) as secure:
                head, body = _read_head(secure)
                lengths = [row.split(":")[1] for row in head.lower().split("\r\n") if row.startswith("content-length:")]
                while len(body) < int(lengths[0]):
                    body += secure.recv(65536)
                self.received.append(json.loads(body))
                answer = b'{"ok": true}' if " /api/" in head else b"ok"
                secure.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (
                    len(answer), answer))

    def close(self) -> None:
        self._listener.close()


def _read_head(connection: socket.socket) -> tuple[str, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            break
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest
