"""Pings that arrive, or do not, at a receiver that follows Healthchecks' documentation; on real sockets."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest

from certbot_guard import heartbeat, start
from certbot_guard.config import Config
from tests.support.authority import Authority
from tests.support.healthchecks import Healthchecks
from tests.support.listener import BadListener
from tests.support.ports import free_port

SECRET = "3e6b8f2c-0000-4000-8000-00000000cafe"


@pytest.fixture
def receiver() -> Iterator[Healthchecks]:
    made = Healthchecks()
    yield made
    made.close()


def reason_of(found: Optional[str], *secrets: str) -> str:
    """Why it did not go through: one line, and the URL is not in it."""
    assert found is not None and "\n" not in found
    assert not any(secret in found for secret in (SECRET, "ping/", *secrets)), found
    return found


def test_every_signal_arrives_with_its_id_and_its_body(receiver: Healthchecks) -> None:
    identity = heartbeat.rid()
    assert heartbeat.start(receiver.url, identity) is None
    assert heartbeat.success(receiver.url, identity, "two renewed: é") is None
    assert heartbeat.fail(receiver.url + "/", identity, "one failed") is None
    assert heartbeat.log(receiver.url, identity, "to read") is None
    assert heartbeat.exit_code(receiver.url + "?create=1", identity, 75, "output") is None
    assert heartbeat.exit_code(receiver.url, identity, -9, "killed") is None
    assert receiver.signals == ["start", "success", "fail", "log", "75", "fail"]
    assert {ping.rid for ping in receiver.pings} == {identity}
    assert [ping.body for ping in receiver.pings] == ["", "two renewed: é", "one failed", "to read", "output", "killed"]
    assert receiver.pings[4].query["create"] == ["1"]
    assert receiver.pings[0].headers["User-Agent"].startswith("certbot-guard/")


def test_a_body_is_cut_to_what_the_protocol_takes(receiver: Healthchecks) -> None:
    assert heartbeat.success(receiver.url, heartbeat.rid(), "x" * 300_000 + "the end") is None
    assert receiver.pings[0].size == 100_000 and receiver.pings[0].body.endswith("the end")


def test_a_body_is_cut_to_what_this_server_said_it_keeps() -> None:
    receiver = Healthchecks(body_limit=500)
    try:
        assert heartbeat.start(receiver.url, heartbeat.rid()) is None
        assert heartbeat.success(receiver.url, heartbeat.rid(), "x" * 5000 + "the end") is None
        assert receiver.pings[1].size <= 500 and receiver.pings[1].body.endswith("the end")
    finally:
        receiver.close()


def test_a_server_in_trouble_is_asked_once_more(receiver: Healthchecks) -> None:
    receiver.script = [(500, {})]
    assert heartbeat.success(receiver.url, heartbeat.rid()) is None
    assert (receiver.tries, receiver.signals) == (2, ["success"])


def test_a_server_that_stays_in_trouble_is_not_asked_for_ever(receiver: Healthchecks) -> None:
    receiver.script = [(503, {})] * 9
    assert "HTTP 503" in reason_of(heartbeat.success(receiver.url, heartbeat.rid()), receiver.check)
    assert receiver.tries == 2


@pytest.mark.parametrize("status, words", [(400, "invalid"), (404, "no such check"), (409, "several"),
                                           (418, "HTTP 418")])
def test_a_refusal_is_said_and_not_tried_again(receiver: Healthchecks, status: int, words: str) -> None:
    receiver.script = [(status, {})]
    assert words in reason_of(heartbeat.success(receiver.url, heartbeat.rid()), receiver.check)
    assert receiver.tries == 1


def test_a_check_that_is_not_known_is_no_success_though_the_status_is_200(receiver: Healthchecks) -> None:
    url = receiver.url.replace(receiver.check, SECRET)
    assert "no such check" in reason_of(heartbeat.success(url, heartbeat.rid()))


def test_a_ping_that_was_ignored_is_no_success(receiver: Healthchecks) -> None:
    receiver.limited = True
    assert "too often" in reason_of(heartbeat.success(receiver.url, heartbeat.rid()), receiver.check)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_not_followed(receiver: Healthchecks, status: int, tmp_path: Path) -> None:
    other = Healthchecks()
    try:
        for target in (other.url, "file:///etc/passwd", f"ftp://127.0.0.1:{other.port}/"):
            receiver.script = [(status, {"Location": target})]
            assert "redirects" in reason_of(heartbeat.success(receiver.url, heartbeat.rid()), receiver.check)
        assert other.tries == 0
    finally:
        other.close()


def test_nobody_there_is_said() -> None:
    found = heartbeat.success(f"http://127.0.0.1:{free_port()}/ping/{SECRET}", heartbeat.rid())
    assert "refused" in reason_of(found)


def test_a_name_that_nobody_knows_is_said() -> None:
    found = heartbeat.success(f"http://hc.invalid/ping/{SECRET}", heartbeat.rid())
    assert "name is not found" in reason_of(found, "hc.invalid")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: a",
                                  b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nO"])
def test_a_server_that_hangs_or_drips_holds_nobody_up(said: bytes) -> None:
    port = free_port()
    listener = BadListener(port, said, 0.2)
    try:
        began = time.monotonic()
        found = heartbeat.success(f"http://127.0.0.1:{port}/ping/{SECRET}", heartbeat.rid())
        assert time.monotonic() - began < heartbeat.DEADLINE_SECONDS + 5
        assert "answer" in reason_of(found)
    finally:
        listener.close()


def begun_behind(monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    """The process that pings is started by this line of a shell's, in which ``"$@"`` are its words."""
    words = start.command
    monkeypatch.setattr(start, "command", lambda *told: ["/bin/sh", "-c", shell, "sh", *words(*told)])


def test_a_process_that_starts_slowly_takes_nothing_of_the_service_s_time(
        receiver: Healthchecks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "DEADLINE_SECONDS", 2.0)
    begun_behind(monkeypatch, 'sleep 2.2; exec "$@"')
    assert heartbeat.success(receiver.url, heartbeat.rid()) is None
    assert receiver.signals == ["success"]


def test_one_that_is_never_ready_is_not_waited_for_for_ever(
        receiver: Healthchecks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "DEADLINE_SECONDS", 0.5)
    monkeypatch.setattr(heartbeat, "START_SECONDS", 0.5)
    begun_behind(monkeypatch, "exec sleep 300")
    found = heartbeat.success(receiver.url, heartbeat.rid())
    assert "the process that pings: no answer within 1 s" in reason_of(found, receiver.check)
    assert receiver.tries == 0


def test_its_clock_runs_though_whoever_started_it_ignores_that_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "DEADLINE_SECONDS", 1.0)
    begun_behind(monkeypatch, "trap '' ALRM; exec \"$@\"")
    port = free_port()
    listener = BadListener(port, b"HTTP/1.1 200 OK\r\nX-Slow: a", 0.2)  # no time-out of a socket's ends this
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        found = heartbeat.success(f"http://127.0.0.1:{port}/ping/{SECRET}", heartbeat.rid())
        assert "no whole answer within 1 s" in reason_of(found)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        listener.close()


def test_what_is_no_http_is_said() -> None:
    port = free_port()
    listener = BadListener(port, b"220 mail.example.com ESMTP\r\n\r\n\r\n", 0.001)
    try:
        found = heartbeat.success(f"http://127.0.0.1:{port}/ping/{SECRET}", heartbeat.rid())
        assert "HTTP" in reason_of(found)
    finally:
        listener.close()


@pytest.mark.parametrize("url", [f"http://[::1/{SECRET}", f"file:///{SECRET}", f"http://hc.example/{SECRET} x\r\nX: y",
                                 f"http://hc.example:x/{SECRET}", f"http:///{SECRET}"])
def test_a_url_that_cannot_be_used_is_a_sentence_without_it(url: str) -> None:
    reason_of(heartbeat.success(url, heartbeat.rid()))


def test_a_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority()
    receiver = Healthchecks(tls=authority.write(tmp_path, "hc", ["127.0.0.1"]))
    try:
        found = heartbeat.success(receiver.url, heartbeat.rid())
        assert "not trusted" in reason_of(found, receiver.check) and receiver.tries == 0
        (tmp_path / "ca.pem").write_bytes(authority.certificate)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert heartbeat.success(receiver.url, heartbeat.rid()) is None
    finally:
        receiver.close()


def test_a_start_and_the_end_of_a_run_are_one(receiver: Healthchecks) -> None:
    settings = replace(Config(Path("/nonexistent/guard.ini")), heartbeat_url=receiver.url)
    facts = {"id": "20261124T041700Z-0a1b2c3d", "verb": "renew", "host": "web1"}
    at = {"at": "2026-11-24T04:17:00+00:00", "mono": 1.0}
    heartbeat.start(receiver.url, heartbeat.rid_of(facts["id"]))
    assert heartbeat.settled(settings, facts, [{"kind": "deployed", "lineage": "a", "n": 0, **at},
                                               {"kind": "exit", "n": 1, **at}]) is None
    assert receiver.signals == ["start", "success"]
    assert receiver.pings[0].rid == receiver.pings[1].rid
    assert "1 renewed" in receiver.pings[1].body


def test_the_settings_never_show_the_url() -> None:
    settings = replace(Config(Path("/nonexistent/guard.ini")), heartbeat_url=f"https://hc.example/{SECRET}")
    assert SECRET not in repr(settings)
