"""A receiver of pings that follows Healthchecks' documentation: https://healthchecks.io/docs/http_api/."""

from __future__ import annotations

import http.server
import re
import ssl
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional
from urllib.parse import parse_qs, urlsplit

from tests.support.ports import free_port

_PATH = re.compile(r"/ping/([0-9a-f-]{36})(?:/(start|fail|log|\d{1,3}))?$")


@dataclass(frozen=True)
class Ping:
    """One that was taken. ``signal`` is ``success``, ``start``, ``fail``, ``log``, or an exit code's digits."""

    signal: str
    rid: str
    body: str
    size: int
    headers: dict[str, str]
    query: dict[str, list[str]]


class Healthchecks:
    """One check, ``url``. ``script`` holds answers (status, headers) for the next pings, then it answers as it should.

    :ivar tries: how many requests came, taken or not
    """

    def __init__(self, body_limit: int = 100_000, tls: Optional[tuple[Path, Path]] = None) -> None:
        self.port, self.check, self.body_limit = free_port(), str(uuid.uuid4()), body_limit
        self.pings: list[Ping] = []
        self.script: list[tuple[int, dict[str, str]]] = []
        self.limited = False
        self.tries = 0
        self._scheme = "https" if tls else "http"
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.receiver = self
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True,
                                                      do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/ping/{self.check}"

    @property
    def signals(self) -> list[str]:
        return [ping.signal for ping in self.pings]

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        parts = urlsplit(path)
        found, query = _PATH.fullmatch(parts.path), parse_qs(parts.query)
        if found is None or (found[2] or "0").isdigit() and int(found[2] or 0) > 255:
            return 400, "invalid url format"
        rid = (query.get("rid") or [""])[0]
        try:
            assert not rid or str(uuid.UUID(rid)) == rid
        except (ValueError, AssertionError):
            return 400, "invalid uuid format"
        if found[1] != self.check:
            return 200, "OK (not found)"
        if self.limited:
            return 200, "OK (rate limited)"
        kept = body[:self.body_limit].decode("utf-8")
        self.pings.append(Ping(found[2] or "success", rid, kept, len(body), headers, query))
        return 200, "OK"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    receiver: Healthchecks

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or does not trust us: nothing to say."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        receiver = self.server.receiver
        receiver.tries += 1
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        more: dict[str, str] = {}
        if receiver.script:
            (status, more), said = receiver.script.pop(0), ""
        else:
            status, said = receiver.answer(self.path, dict(self.headers.items()), body)
        self.send_response_only(status)
        for name, value in {"Ping-Body-Limit": str(receiver.body_limit), **more}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())

    do_GET = do_HEAD = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """What arrived is in Healthchecks.pings."""
