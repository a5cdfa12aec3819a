"""An HTTP receiver for Apprise's ``json://``, and what arrived there."""

from __future__ import annotations

import http.server
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Optional

from tests.support.listener import Switchable
from tests.support.ports import free_port


@dataclass(frozen=True)
class Delivery:
    """One POST. ``document`` is its JSON, or None."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def document(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def title(self) -> str:
        return str((self.document or {}).get("title", ""))

    @property
    def text(self) -> str:
        return str((self.document or {}).get("message", ""))


class Webhook(Switchable):
    """Open from the start. ``refuse()``, ``hang()``, ``drip()``, ``fail()`` break it; ``heal()`` mends it."""

    def __init__(self) -> None:
        super().__init__(free_port())
        self.received: list[Delivery] = []
        self.attempts: list[Delivery] = []  # those answered with an error, too
        self._changed = threading.Condition()
        self._status = 200
        self._server: Optional[_Server] = None
        self.heal()

    @property
    def apprise_url(self) -> str:
        return self.url()

    def url(self, path: str = "hook", more: str = "") -> str:
        return f"json://127.0.0.1:{self.port}/{path}{more}"

    def fail(self, status: int = 500) -> None:
        """Answer with this status from now on."""
        self._status = status

    def heal(self) -> None:
        self._status = 200
        super().heal()

    def drip(self, said: bytes = b"HTTP/1.1 200 OK\r\nX-Slow: a", seconds_per_byte: float = 1.0) -> None:
        super().drip(said, seconds_per_byte)

    def wait(self, count: int = 1, timeout: float = 20.0) -> list[Delivery]:
        """Return what was received as soon as it is ``count``."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.received) >= count, timeout):
                raise AssertionError(f"{len(self.received)} deliveries in {timeout} s, not {count}")
            return list(self.received)

    def stays_at(self, count: int, seconds: float = 2.0) -> list[Delivery]:
        """Return what was received after ``seconds`` in which no more than ``count`` have arrived."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.received) > count, seconds)
            assert len(self.received) == count, f"{len(self.received)} deliveries, not {count}"
            return list(self.received)

    def _note(self, delivery: Delivery) -> int:
        with self._changed:
            self.attempts.append(delivery)
            if self._status < 300:
                self.received.append(delivery)
                self._changed.notify_all()
            return self._status

    def _start(self) -> None:
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, webhook: Webhook) -> None:
        self.webhook = webhook
        super().__init__(("127.0.0.1", webhook.port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away: nothing to say."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status = self.server.webhook._note(Delivery(self.path, dict(self.headers.items()), body))
        self.send_response_only(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """What arrived is in Webhook.received."""
