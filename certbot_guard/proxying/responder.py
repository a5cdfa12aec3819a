"""Stands in for certbot's challenge server while it is found out whether Apache hands challenges over."""

from __future__ import annotations

import secrets
import socketserver
import threading
from types import TracebackType
from typing import Optional

from certbot_guard.errors import ServerError
from certbot_guard.proxying import loopback, snippet

_REQUEST_SECONDS = 2.0
_REQUEST_LIMIT_BYTES = 64 * 1024


class Responder:
    """Within ``with`` it answers one random path on ``port`` of the loopback with :attr:`proof`, and 404 to all else.

    :raises ServerError: somebody else listens on that port.
    """

    def __init__(self, port: int, address: str = loopback.ADDRESS) -> None:
        self.path = snippet.PATH + secrets.token_urlsafe(32)
        # Another secret than the path's: a page that quotes its own URL proves nothing.
        self.proof = secrets.token_urlsafe(32).encode("ascii")
        try:
            self._server = _Server((address, port), _Handler)
        except OSError as error:
            raise ServerError(f"port {port} of {address} cannot be listened on: {error.strerror or error}") from error
        self._server.answers = {self.path.encode("ascii"): self.proof}

    def __enter__(self) -> Responder:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                 where: Optional[TracebackType]) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    # A connection that somebody holds open must not hold up the end.
    block_on_close = False
    request_queue_size = 128
    answers: dict[bytes, bytes]

    def handle_error(self, request: object, client_address: object) -> None:
        """A visitor that went away is none of our errors."""


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.request.settimeout(_REQUEST_SECONDS)
        received = b""
        while b"\r\n\r\n" not in received and len(received) < _REQUEST_LIMIT_BYTES:
            chunk = self.request.recv(8192)
            if not chunk:
                return
            received += chunk
        words = received.split(b"\r\n", 1)[0].split(b" ")
        proof = self.server.answers.get(words[1]) if len(words) == 3 and words[0] == b"GET" else None
        status, body = (b"200 OK", proof) if proof is not None else (b"404 Not Found", b"")
        self.request.sendall(b"HTTP/1.0 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
                             % (status, len(body), body))
