"""What a socket gives, asked of small servers of the test's own."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from certbot_guard.servers import probe, serving
from certbot_guard.servers.sockets import Listener
from tests.support.apache import make_certificate

Serve = Callable[[socket.socket], None]


@pytest.fixture
def server() -> Iterator[Callable[[Serve], int]]:
    """Starts a server that treats each connection by the given function; gives its port."""
    listening = []

    def start(serve: Serve) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listening.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=treat, args=(connection,), daemon=True).start()

        def treat(connection: socket.socket) -> None:
            with connection:
                try:
                    serve(connection)
                except OSError:
                    pass

        threading.Thread(target=accept, daemon=True).start()
        return listener.getsockname()[1]

    yield start
    for listener in listening:
        listener.close()


def http(answer: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    return serve


def tls(directory: Path, plain_answer: bytes = b"") -> Serve:
    for name, data in zip(("cert.pem", "key.pem"), make_certificate()):
        (directory / name).write_bytes(data)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")

    def serve(connection: socket.socket) -> None:
        if connection.recv(1, socket.MSG_PEEK) == b"\x16":
            context.wrap_socket(connection, server_side=True).recv(1)
        else:
            connection.recv(4096)
            connection.sendall(plain_answer)

    return serve


def hang_up(connection: socket.socket) -> None:
    connection.recv(4096)


@pytest.mark.parametrize("expected", [None, "http", "tls", "connection"])
@pytest.mark.parametrize("status", [b"200 OK", b"503 Busy", b"400 Bad Request"])
def test_http(server, status: bytes, expected: str) -> None:
    assert probe.probe("127.0.0.1", server(http(b"HTTP/1.1 " + status + b"\r\n\r\n")), expected) == "http"


@pytest.mark.parametrize("plain_answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
@pytest.mark.parametrize("expected", [None, "http", "tls"])
def test_tls(server, tmp_path: Path, plain_answer: bytes, expected: str) -> None:
    assert probe.probe("127.0.0.1", server(tls(tmp_path, plain_answer)), expected) == "tls"


def test_a_tls_alert_is_tls(server) -> None:
    assert (
        probe.probe("127.0.0.1", server(http(b"\x15\x03\x03\x00\x02\x02\x70"))) == "tls"
    )  # unrecognized_name


def test_an_empty_answer_is_a_connection(server) -> None:
    assert probe.probe("127.0.0.1", server(hang_up)) == "connection"


def test_a_silent_server_is_a_connection_after_a_short_time(server) -> None:
    began = time.monotonic()
    assert probe.probe("127.0.0.1", server(lambda _: time.sleep(10)), seconds=0.2) == "connection"
    assert time.monotonic() - began < 2


def test_nobody() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert probe.probe("127.0.0.1", unused.getsockname()[1]) is None


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_a_wildcard_is_asked_on_loopback(server, wildcard: str) -> None:
    assert probe.probe(wildcard, server(http(b"HTTP/1.0 200 OK\r\n\r\n"))) == "http"


def test_sockets_are_asked_in_parallel(server) -> None:
    ports = [server(lambda _: time.sleep(10)) for _ in range(6)]
    began = time.monotonic()
    found = probe.probe_all({("127.0.0.1", port): None for port in ports}, seconds=0.3)
    assert set(found.values()) == {"connection"} and time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    "gave, before, enough",
    [
        ("http", "http", True),
        ("tls", "tls", True),
        ("http", "connection", True),
        ("connection", "connection", True),
        ("connection", "http", False),
        ("tls", "http", False),
        (None, "connection", False),
        (None, "http", False),
    ],
)
def test_satisfies(gave: str, before: str, enough: bool) -> None:
    assert probe.satisfies(gave, before) is enough


# -- serving -------------------------------------------------------------------------------------------------


def test_serving_takes_the_servers_own_sockets(server) -> None:
    port = server(http(b"HTTP/1.0 200 OK\r\n\r\n"))
    assert serving.serves({("127.0.0.1", port): "http"}, [Listener("127.0.0.1", port, 1)])
    assert not serving.serves({("127.0.0.1", port): "http"}, [])


def test_a_silent_listening_server_serves_but_is_not_believed_at_once(server) -> None:
    port = server(hang_up)
    held = [Listener("127.0.0.1", port, 1)]
    assert serving.serves({("127.0.0.1", port): "http"}, held)
    assert not serving.answers({("127.0.0.1", port): "http"}, held, 0.3)
    assert serving.wait({("127.0.0.1", port): "http"}, lambda: held, lambda: True, 0.3)


def test_another_answer_than_before_is_not_serving(server) -> None:
    port = server(http(b"HTTP/1.0 200 OK\r\n\r\n"))
    held = [Listener("127.0.0.1", port, 1)]
    assert not serving.serves({("127.0.0.1", port): "tls"}, held)
    with pytest.raises(serving.ServerError, match=str(port)):
        serving.wait({("127.0.0.1", port): "tls"}, lambda: held, lambda: True, 0.3)


def test_wait_ends_early_when_nothing_can_come_any_more() -> None:
    began = time.monotonic()
    assert not serving.wait({("127.0.0.1", 1): "http"}, lambda: [], lambda: False, 10)
    assert time.monotonic() - began < 1


def test_wait_names_the_place_that_is_missing(server) -> None:
    port = server(http(b"HTTP/1.0 200 OK\r\n\r\n"))
    held = [Listener("127.0.0.1", port, 1)]
    with pytest.raises(serving.ServerError, match="127.0.0.1:81"):
        serving.wait(
            {("127.0.0.1", port): "http", ("127.0.0.1", 81): "http"}, lambda: held, lambda: True, 0.3
        )
