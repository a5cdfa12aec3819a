"""The way to the CA, broken in real ways: the real ACME client against ports, servers and certificates on loopback."""

from __future__ import annotations

import socket
import ssl
import struct

import pytest
import urllib3

from certbot_guard.diagnosis import diagnose
from tests.support.authority import Authority
from tests.support.failures import LocalCA, as_text, closed_port, explained, failure, fetch, rude_server
from tests.support.faulty_ca import Answer

AUTHORITY = Authority()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def https(tmp_path, monkeypatch):
    """Makes servers whose certificates are signed by an authority that requests trusts."""
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(AUTHORITY.certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    servers = []

    def make(names=("127.0.0.1",), authority=AUTHORITY, **options):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.write(tmp_path, "server", list(names), **options))
        servers.append(LocalCA(context))
        return servers[-1]

    yield make
    for server in servers:
        server.__exit__()


def both(action, cause, whose, transient):
    """With the exception, and as it can be read from a log later."""
    event = failure(action)
    found = diagnose(event, {})
    assert (found.cause, found.whose, found.transient) == (cause, whose, transient), event
    if cause == "proxy" and "Requesting" in event["error"]:
        cause = "ca-refused"  # acme 2.1 leaves the proxy out of what it says when the proxy cannot be reached
    assert diagnose(as_text(event), {}).cause == cause, event["error"]
    return found, event


def test_a_connection_that_is_refused():
    port = closed_port()
    found, event = both(fetch(f"http://127.0.0.1:{port}/dir"), "ca-refused", "network", None)
    assert event["evidence"]["errno"] == 111 and event["evidence"]["url"] == f"http://127.0.0.1:{port}/dir"
    assert "127.0.0.1" in found.happened and str(port) not in found.key


@pytest.mark.parametrize("number, words, transient", [(socket.EAI_NONAME, "there is no such name", None),
                                                      (socket.EAI_AGAIN, "could not look up", True)])
def test_a_name_that_cannot_be_looked_up(monkeypatch, number, words, transient):
    real = socket.getaddrinfo

    def numbers_only(host, port, *arguments, **options):
        """The real error, without asking a real resolver."""
        if number == socket.EAI_NONAME:
            return real(host, port, flags=socket.AI_NUMERICHOST)
        raise socket.gaierror(number, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", numbers_only)
    found, event = both(fetch("http://acme.guard.invalid/dir"), "name-resolution", "network", transient)
    assert words in found.happened and "acme.guard.invalid" in found.happened
    assert event["evidence"]["errno"] == int(number)


def test_a_server_that_accepts_and_says_nothing():
    with rude_server(lambda connection: connection.recv(1) and connection.recv(100_000) and connection.recv(1)) as port:
        found, _ = both(fetch(f"http://127.0.0.1:{port}/dir", timeout=0.2), "ca-timeout", "network", True)
    assert "did not answer in time" in found.happened


def test_a_server_that_closes_without_a_word():
    with rude_server(lambda connection: connection.recv(100_000)) as port:
        both(fetch(f"http://127.0.0.1:{port}/dir"), "ca-reset", "network", True)


def test_a_connection_that_is_reset():
    with rude_server(lambda connection: (connection.recv(1), connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)))) as port:
        both(fetch(f"http://127.0.0.1:{port}/dir"), "ca-reset", "network", True)


@pytest.mark.skipif(urllib3.__version__.startswith("1."), reason="urllib3 1 takes a body that is cut off for a whole one")
def test_an_answer_that_breaks_off():
    with rude_server(lambda connection: (connection.recv(100_000), connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"))) as port:
        both(fetch(f"http://127.0.0.1:{port}/dir"), "ca-reset", "network", True)


def test_no_way_to_the_host():
    """Linux gives the broadcast address of loopback ENETUNREACH or EACCES; the kernel's own error is what counts."""
    def act():
        error = OSError(101, "Network is unreachable")
        import urllib3.util.connection as connection

        real, connection.create_connection = connection.create_connection, lambda *a, **k: (_ for _ in ()).throw(error)
        try:
            fetch("http://127.0.0.1:9/dir")()
        finally:
            connection.create_connection = real

    both(act, "ca-unreachable", "network", True)


def test_a_certificate_that_is_in_order_is_no_trouble(https):
    server = https()
    fetch(server.url)()


def test_a_certificate_that_nobody_trusts(https):
    found, event = both(fetch(https(authority=Authority("a stranger")).url), "tls-untrusted", "host", False)
    assert event["evidence"]["verify_code"] in (18, 19, 20, 21) and event["evidence"]["verify_message"]
    assert "errno" not in event["evidence"]  # OpenSSL's 1 is not EPERM


@pytest.mark.parametrize("days_left, code", [(-2, 10), (200, 9)])
def test_a_certificate_of_another_time_is_this_host_s_clock(https, days_left, code):
    found, event = both(fetch(https(days_left=days_left).url), "clock", "host", None)
    assert event["evidence"]["verify_code"] == code and "timedatectl" in found.advice
    assert "2026-11-24" in found.happened and "2026" not in found.key


def test_a_certificate_for_another_name(https):
    both(fetch(https(names=["portal.example"]).url), "tls-hostname", "network", None)


def test_plain_http_where_tls_was_expected():
    with LocalCA() as server:
        both(fetch(server.url.replace("http:", "https:")), "tls", "network", None)


def test_a_proxy_that_is_not_there(https, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{closed_port()}")
    found, event = both(fetch(https().url), "proxy", "network", None)
    assert "secret" not in repr(event["evidence"]) and "HTTPS_PROXY" in found.advice


@pytest.mark.parametrize("status", [403, 407])
def test_a_proxy_that_does_not_let_it_through(https, monkeypatch, status):
    with LocalCA() as proxy:
        proxy.answer = Answer(status, b"no")
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        both(fetch(https().url), "proxy", "network", None)


def test_a_clock_that_is_wrong_is_told_with_every_answer_of_the_ca():
    with LocalCA() as server:
        server.answer = Answer(503, b"")
        event = failure(fetch(server.url))
    assert event["evidence"]["server_date"]
    event["evidence"]["server_date"] = "Fri, 27 Nov 2026 04:15:00 GMT"
    assert "3 days slow" in diagnose(event, {}).advice
    event["evidence"]["server_date"] = "Tue, 24 Nov 2026 04:16:00 GMT"
    assert "clock" not in diagnose(event, {}).advice


def test_a_dns_provider_that_cannot_be_reached_is_not_called_the_ca():
    port = closed_port()

    def act():
        import requests

        with LocalCA() as server:
            fetch(server.url.replace("127.0.0.1", "localhost"))()
        requests.get(f"http://127.0.0.1:{port}/v4/zones", timeout=2)

    found = explained(act)
    assert found.cause == "ca-refused" and found.happened.startswith("The server 127.0.0.1 refused")


def test_credentials_in_a_url_are_not_kept():
    event = failure(fetch(f"http://user:secret@127.0.0.1:{closed_port()}/dir?token=secret"))
    assert "secret" not in repr(event["evidence"]["url"])
