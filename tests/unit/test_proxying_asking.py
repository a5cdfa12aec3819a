"""A challenge through a running Apache: the look from outside, against servers that a test can script."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import Iterator

import pytest

from certbot_guard.errors import ServerError
from certbot_guard.proxying import asking, selfcheck, snippet
from certbot_guard.proxying.asking import Ports
from certbot_guard.proxying.responder import Responder
from tests.support.ports import free_port

MINE = frozenset(["a.example"])


@contextmanager
def scripted(*answers: bytes) -> Iterator[int]:
    """A server that gives these answers, one a connection, the last one again and again; then hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        for number in range(100):
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                answer = answers[min(number, len(answers) - 1)]
                if answer == b"drip":
                    connection.sendall(b"HTTP/1.0 200 OK\r\n")
                    while not over.wait(0.05):
                        try:
                            connection.sendall(b"X: y\r\n")
                        except OSError:
                            break
                else:
                    connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(2)


def ask(port: int, seconds: float = 2.0, https: int = 0) -> asking.Answer:
    return asking.ask("127.0.0.1", "a.example", "/x", Ports(port, https), MINE, seconds)


def redirect(to: str) -> bytes:
    return f"HTTP/1.0 302 Found\r\nLocation: {to}\r\n\r\n".encode()


def test_the_responder_gives_its_proof_for_one_path_alone_and_the_check_believes_it():
    port = free_port()
    assert selfcheck.check(["a.example", "*.a.example", "A.example"], ["127.0.0.1"], port, Ports(port, 0)) == []
    with Responder(port) as responder:
        assert responder.proof.decode() not in responder.path
        for path in ("/", snippet.PATH, responder.path + "x"):
            assert asking.ask("127.0.0.1", "a.example", path, Ports(port, 0), MINE, 2).status == 404
    with socket.create_server(("127.0.0.1", port), reuse_port=False):
        pass  # nobody is left on it


def test_a_visitor_that_says_nothing_holds_nobody_up():
    port = free_port()
    with Responder(port) as responder, socket.create_connection(("127.0.0.1", port)):
        began = time.monotonic()
        answer = asking.ask("127.0.0.1", "a.example", responder.path, Ports(port, 0), MINE, 2)
        assert answer.body == responder.proof and time.monotonic() - began < 1
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_each_name_that_did_not_get_its_token_is_named_with_what_it_got():
    with scripted(b"HTTP/1.0 403 Forbidden\r\n\r\n<b>Keep out</b>") as port:
        missed = selfcheck.check(["a.example", "b.example"], ["127.0.0.1"], free_port(), Ports(port, 0))
    assert [str(one) for one in missed] == ["a.example at 127.0.0.1: 403: ‹b›Keep out‹/b›",
                                            "b.example at 127.0.0.1: 403: ‹b›Keep out‹/b›"]


def test_a_page_that_quotes_its_path_or_has_something_added_proves_nothing(monkeypatch):
    monkeypatch.setattr(selfcheck, "_TRIES", 1)
    port = free_port()
    with Responder(port) as responder:
        assert not selfcheck._proves(asking.Answer(200, responder.path.encode()), responder)
        assert not selfcheck._proves(asking.Answer(200, responder.proof + b"<!-- footer -->"), responder)
        assert not selfcheck._proves(asking.Answer(404, responder.proof), responder)
        assert selfcheck._proves(asking.Answer(200, responder.proof + b"\r\n"), responder)


def test_an_old_worker_that_still_answers_is_asked_again():
    port = free_port()
    with Responder(port) as responder:
        good = b"HTTP/1.0 200 OK\r\n\r\n" + responder.proof
        with scripted(b"HTTP/1.0 404 Not Found\r\n\r\n", good) as other:
            answer = selfcheck._ask_again("127.0.0.1", "a.example", responder, Ports(other, 0), MINE,
                                          time.monotonic() + 3)
        assert selfcheck._proves(answer, responder)


@pytest.mark.parametrize("given, shown", [
    (redirect("https://b.example/"), "302 to https://b.example/ (it leads away from here)"),
    (redirect("/x"), "302 to /x (more than 10 redirects)"),
    (redirect("https://a.example/x"), "connection refused"),
    (b"", "no HTTP answer"),
    (b"\x00\x01garbage\r\n\r\n", "no HTTP answer"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "200: hi"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhi", "200: hi"),
])
def test_what_came_back_is_said(given, shown):
    with scripted(given) as port:
        assert str(ask(port)) == shown


def test_a_server_that_drips_or_is_silent_is_given_up_in_time():
    for answer in (b"drip",):
        with scripted(answer) as port:
            began = time.monotonic()
            assert str(ask(port, seconds=0.3)) == "no answer in time"
            assert time.monotonic() - began < 1
    assert str(ask(free_port())) == "connection refused"


def test_an_endless_answer_is_cut():
    with scripted(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 300_000) as port:
        assert len(ask(port).body) < 100_000


def test_nothing_is_asked_where_there_is_nothing_to_ask():
    with pytest.raises(ServerError, match="no name"):
        selfcheck.check(["*.a.example"], ["127.0.0.1"], free_port(), Ports())
    with pytest.raises(ServerError, match="nowhere on port 80"):
        selfcheck.check(["a.example"], [], free_port(), Ports())


def test_a_port_that_somebody_else_listens_on_is_found_out():
    port = free_port()
    with Responder(port), pytest.raises(ServerError, match="cannot be listened on"):
        selfcheck.check(["a.example"], ["127.0.0.1"], port, Ports(port, 0))


def test_only_places_that_answer_http_on_the_port_are_asked():
    snapshot = {"sockets": [{"address": "192.0.2.1", "port": 80, "gave": "http"},
                            {"address": "192.0.2.2", "port": 80, "gave": "connection"},
                            {"address": "192.0.2.1", "port": 443, "gave": "tls"},
                            {"address": "2001:db8::1", "port": 80, "gave": "http"}]}
    assert selfcheck.places(snapshot, 80) == ["192.0.2.1", "2001:db8::1"]
    assert selfcheck.places({}, 80) == []
