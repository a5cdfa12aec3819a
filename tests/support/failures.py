"""Failures as certbot has them: real exceptions of real code, logged in certbot's words, heard by a real capture."""

from __future__ import annotations

import http.server
import json
import logging
import socket
import ssl
import threading
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional

import josepy
from acme import client
from cryptography.hazmat.primitives.asymmetric import rsa

from certbot_guard.capture import Capture
from certbot_guard.diagnosis import Diagnosis, diagnose
from tests.support.faulty_ca import Answer

_RENEWAL = "certbot._internal.renewal"
_LINEAGE = "a.guard.test"
KEY = josepy.JWKRSA(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))


@contextmanager
def heard() -> Iterator[tuple[Capture, list[dict[str, Any]]]]:
    """What a capture hears in here, as the events that it would write to disk."""
    capture, events = Capture(), []  # type: ignore[var-annotated]

    def sink(kind: str, fields: dict[str, Any]) -> None:
        events.append(json.loads(json.dumps({"kind": kind, "at": "2026-11-24T04:15:00+00:00", **fields})))

    capture.flush_to(sink)
    loggers = [(logging.getLogger(name), logging.getLogger(name).level) for name in ("certbot", "acme")]
    for logger, _ in loggers:
        logger.setLevel(logging.DEBUG)  # as certbot does, which writes its log file at that level
        logger.propagate = False  # pytest's own handler fails where a record cannot be shown
        logger.addHandler(capture)
    try:
        yield capture, events
    finally:
        for logger, level in loggers:
            logger.removeHandler(capture)
            logger.setLevel(level)
            logger.propagate = True


def failure(action: Callable[[], object]) -> dict[str, Any]:
    """The event of a lineage whose renewal ends with what ``action`` raises."""
    with heard() as (_, events):
        try:
            action()
        except Exception as error:  # certbot 5.8 renewal.py catches no more and no less
            logging.getLogger(_RENEWAL).error("Failed to renew certificate %s with error: %s", _LINEAGE, error)
        else:
            raise AssertionError("it did not fail")
    return next(event for event in events if event["kind"] == "lineage-failed")


def explained(action: Callable[[], object], **facts: Any) -> Diagnosis:
    return diagnose(failure(action), facts)


def as_text(event: dict[str, Any]) -> dict[str, Any]:
    """The same event as far as it can be read from a log: no evidence, the exception's text only."""
    return {key: value for key, value in event.items() if key not in ("evidence", "acme")}


def network(timeout: float = 5.0) -> client.ClientNetwork:
    return client.ClientNetwork(KEY, timeout=timeout)  # type: ignore[arg-type]


def fetch(url: str, timeout: float = 5.0) -> Callable[[], object]:
    """What certbot does first: ask for the directory."""
    return lambda: network(timeout).get(url)


class LocalCA:
    """An HTTP or HTTPS server on loopback that gives :attr:`answer` to everything."""

    def __init__(self, context: Optional[ssl.SSLContext] = None) -> None:
        owner = self
        self.answer = Answer(200, b"{}", (("Content-Type", "application/json"),))

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = owner.answer
                self.send_response(answer.status)
                for key, value in answer.headers:
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            do_CONNECT = do_POST = do_HEAD = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that does not like our certificate."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}/dir"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self) -> LocalCA:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def rude_server(act: Callable[[socket.socket], object]) -> Iterator[int]:
    """A port where every connection is treated by ``act`` and then closed."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                act(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
