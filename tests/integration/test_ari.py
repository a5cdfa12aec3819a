"""Renewal information over real TLS: a server that follows RFC 9773 beside Pebble, whose directory names it (Pebble 2.4
knows none), a certificate that certbot has obtained there, and certbot itself, which asks the same."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import pytest
from cryptography import x509

from certbot_guard import config as configuration
from certbot_guard import telling
from certbot_guard.watch import caanswer, passes, renewalinfo
from tests.support.authority import Authority
from tests.support.context import Context
from tests.support.listener import BadListener
from tests.support.ports import free_port

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DEADLINE_SECONDS = 60.0
NAME = "form.guard.test"


def now() -> datetime:
    return datetime.now(timezone.utc)


def window(start: datetime, end: datetime) -> bytes:
    return json.dumps({"suggestedWindow": {"start": f"{start:%Y-%m-%dT%H:%M:%SZ}", "end": f"{end:%Y-%m-%dT%H:%M:%SZ}"},
                       "explanationURL": "https://ca.guard.test/incident-7"}).encode()


class RenewalInfo:
    """An HTTPS server. ``says`` is its answer: status, headers, body."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.port = free_port()
        self.paths: list[str] = []
        self.says: tuple[int, dict[str, str], bytes] = (404, {}, b"")
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.paths.append(self.path)
                status, headers, body = outer.says
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass

            def log_message(self, *_arguments: Any) -> None:
                """Requests are in RenewalInfo.paths."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.write(directory, "ari", ["127.0.0.1"]))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/renewal-info"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[[Authority], RenewalInfo]]:
    made: list[RenewalInfo] = []

    def make(authority: Authority) -> RenewalInfo:
        made.append(RenewalInfo(tmp_path, authority))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority()
    (tmp_path / "trusted.pem").write_bytes(made.certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "trusted.pem"))
    return made


# -- the whole pass --------------------------------------------------------------------------------------------------


def obtain(context: Context) -> None:
    """A fresh certificate from Pebble: nothing but the CA asks for another one."""
    done = context.certbot("certonly", "--standalone", "-d", NAME, "--force-renewal", "--cert-name", NAME)
    assert done.returncode == 0, done.output


def watch(context: Context, at: datetime) -> passes.Outcome:
    """What a pass finds at that time, with nothing that would start certbot."""
    return passes.watch(configuration.load(context.ini), passes.Eyes(
        lambda: at, telling.Outside(lambda: at), lambda _config: None, lambda *_arguments: False, lambda _now: None))


def found(outcome: passes.Outcome) -> list[str]:
    return [finding.subject.split()[0] for finding in outcome.found if finding.subject.startswith("revoked")]


@pytest.fixture
def watched(context: Context, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(context.ca.ca_bundle))
    context.guard_ini(more=f"[certbot]\nconfig_dir = {context.home.config}\nlogs_dir = {context.home.logs}\n"
                           "[watch]\nserved = no")
    obtain(context)
    context.ca.forget()
    return context


def test_what_the_ca_wants_renewed_at_once_is_told_and_a_renewal_ends_it(
        watched: Context, new_server: Callable[[Authority], RenewalInfo]) -> None:
    server = new_server(watched.authority)
    server.says = (200, {"Retry-After": "21600"}, window(now() - 50 * HOUR, now() - 49 * HOUR))
    watched.ca.change("directory", lambda document: document.update(renewalInfo=server.url))
    start = now()
    assert found(watch(watched, start)) == ["revoked"]
    mail = watched.mailbox.wait(1)[0]
    assert NAME in mail.subject and "to be renewed now" in mail.subject
    assert "https://ca.guard.test/incident-7" in mail.text
    assert found(watch(watched, start + HOUR)) == ["revoked"] and len(server.paths) == 1
    server.says = (500, {}, b"")
    assert found(watch(watched, start + 25 * HOUR)) == ["revoked"] and len(server.paths) == 2
    server.says = (200, {}, window(now() + 50 * DAY, now() + 52 * DAY))
    watched.ca.clear()
    obtain(watched)
    assert found(watch(watched, start + 26 * HOUR)) == []
    assert any("It was renewed." in mail.text for mail in watched.mailbox.wait(2))


def test_pebble_which_knows_no_renewal_information_is_asked_for_it_once_a_day(watched: Context) -> None:
    start = now()
    for hours in (0, 1, 12):
        assert found(watch(watched, start + hours * HOUR)) == []
    assert len(watched.ca.seen("directory")) == 1 == len(watched.ca.requests)
    watch(watched, start + 25 * HOUR)
    assert len(watched.ca.seen("directory")) == 2


def test_certbot_asks_about_a_certificate_by_the_same_name(watched: Context) -> None:
    client = pytest.importorskip("acme.client")
    if not hasattr(client, "_renewal_info_path_component"):
        pytest.skip("this acme knows no renewal information")
    pem = (watched.home.config / "live" / NAME / "cert.pem").read_bytes()
    certificate = x509.load_pem_x509_certificate(pem)
    assert renewalinfo.ident(certificate) == client._renewal_info_path_component(certificate)


def test_a_certbot_that_asks_as_well_renews_by_itself(
        watched: Context, new_server: Callable[[Authority], RenewalInfo]) -> None:
    if not hasattr(pytest.importorskip("certbot._internal.renewal"), "AriClientPool"):  # since 4.1
        pytest.skip("this certbot does not ask")
    server = new_server(watched.authority)
    server.says = (200, {}, window(now() - HOUR, now() - HOUR / 2))
    watched.ca.change("directory", lambda document: document.update(renewalInfo=server.url))
    live = watched.home.config / "live" / NAME / "cert.pem"
    before = live.read_bytes()
    done = watched.certbot("renew", "--cert-name", NAME)
    assert done.returncode == 0 and live.read_bytes() != before, done.output


# -- requests --------------------------------------------------------------------------------------------------------


def fails(url: str, seconds: float = 10.0) -> bool:
    """Whether it is a failure of the whole CA."""
    with pytest.raises(caanswer.NoAnswerError) as raised:
        caanswer.get(url, seconds)
    return raised.value.whole


def test_who_is_not_trusted_is_not_asked(
        authority: Authority, new_server: Callable[[Authority], RenewalInfo], monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path) -> None:
    server = new_server(authority)
    server.says = (200, {"Retry-After": "7"}, b"{}")
    assert caanswer.get(server.url, 10) == caanswer.Answer(b"{}", "7")
    for bundle in ("", str(tmp_path / "missing.pem")):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
        assert fails(server.url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    assert caanswer.get(server.url, 10).body == b"{}"
    assert len(server.paths) == 2


@pytest.mark.parametrize("to", [
    "http://127.0.0.1:{plain}/", "file:///etc/passwd", "ftp://127.0.0.1/", "data:,{{}}", "", "http://["])
def test_a_redirection_leads_to_nothing_weaker(
        authority: Authority, new_server: Callable[[Authority], RenewalInfo], to: str) -> None:
    plain = free_port()
    listener = BadListener(plain)
    try:
        server = new_server(authority)
        server.says = (302, {"Location": to.format(plain=plain)}, b"x" * 200_000)
        fails(server.url)
        assert listener.connections == 0 and len(server.paths) <= 4
    finally:
        listener.close()


def test_a_redirection_to_https_is_followed_and_a_circle_is_left(
        authority: Authority, new_server: Callable[[Authority], RenewalInfo]) -> None:
    end, server = new_server(authority), new_server(authority)
    end.says, server.says = (200, {}, b"{}"), (308, {"Location": end.url}, b"")
    assert caanswer.get(server.url, 10).body == b"{}"
    server.says = (301, {"Location": "/renewal-info"}, b"")
    assert not fails(server.url)


@pytest.mark.parametrize("status, whole", [(404, False), (400, False), (429, True), (500, True), (503, True)])
def test_a_refusal_is_of_one_question_or_of_all(
        authority: Authority, new_server: Callable[[Authority], RenewalInfo], status: int, whole: bool) -> None:
    server = new_server(authority)
    server.says = (status, {"Retry-After": "120"}, b"no")
    assert fails(server.url) == whole


def test_more_than_an_answer_can_be_is_none(
        authority: Authority, new_server: Callable[[Authority], RenewalInfo]) -> None:
    server = new_server(authority)
    server.says = (200, {}, b"{" + b" " * 64 * 1024)
    assert not fails(server.url)


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 9])
def test_a_ca_that_hangs_or_drips_costs_the_deadline(drip: bytes) -> None:
    listener = BadListener(free_port(), drip, 0.2)
    ca = f"http://127.0.0.1:{listener_port(listener)}/dir"
    try:
        began = time.monotonic()
        answers = renewalinfo.ask([renewalinfo.Question("one", ca, "a.b")], now(), 1.0)
        assert time.monotonic() - began < DEADLINE_SECONDS
        assert set(answers.failed) == {ca} and answers.heard["one"].window is None
    finally:
        listener.close()


def listener_port(listener: BadListener) -> int:
    port: Optional[int] = listener._socket.getsockname()[1]
    assert port
    return port
