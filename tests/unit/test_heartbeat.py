"""What a run's heartbeat says, and how a ping is made; no network."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certbot_guard import heartbeat, pinger, verdict
from certbot_guard.config import Config

AT = "2026-11-24T04:17:00+00:00"
FACTS = {"id": "20261124T041700Z-0a1b2c3d", "host": "web1", "verb": "renew", "config_dir": "/etc/letsencrypt"}
URL = "https://hc.example/ping/3e6b8f2c-secret"


def happened(*events: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"kind": kind, "at": AT, "mono": float(number), "n": number, **fields}
            for number, (kind, fields) in enumerate(events)]


FAILED = ("lineage-failed", {"lineage": "b", "error_type": "Error", "error": "no answer"})
DEPLOYED = ("deployed", {"lineage": "a"})
EXIT = ("exit", {})


@pytest.mark.parametrize("url, target", [
    ("https://hc.example/ping/u", "https://hc.example/ping/u/fail?rid=r"),
    ("https://hc.example/ping/u/", "https://hc.example/ping/u/fail?rid=r"),
    ("https://hc.example/ping/u?create=1", "https://hc.example/ping/u/fail?create=1&rid=r"),
    ("http://[::1]:8000/u/?a=b&c#part", "http://[::1]:8000/u/fail?a=b&c&rid=r"),
])
def test_the_signal_goes_behind_the_path_and_the_id_behind_the_query(url: str, target: str) -> None:
    assert pinger._request(url, "/fail", "r", "").full_url == target


def test_a_password_in_the_url_is_sent_as_one() -> None:
    request = pinger._request("https://me:p%40ss@hc.example:8443/u", "", "r", "")
    assert request.full_url == "https://hc.example:8443/u?rid=r"
    assert request.get_header("Authorization") == "Basic bWU6cEBzcw=="


def test_of_a_body_that_is_too_long_both_ends_are_kept_and_no_letter_is_torn() -> None:
    body = "first" + "é" * 80_000 + "last"
    cut = pinger._cut(body, 1000)
    assert len(cut) <= 1000
    assert cut.decode().startswith("first") and cut.decode().endswith("last")
    assert pinger._cut("é", 1) == b""
    assert pinger._cut("\udcff", 10) == b"?"


def test_a_run_has_one_id_and_another_run_another() -> None:
    assert heartbeat.rid_of("one") == heartbeat.rid_of("one") != heartbeat.rid_of("two")
    assert uuid.UUID(heartbeat.rid()) and heartbeat.rid() != heartbeat.rid()


def test_without_a_url_or_for_another_verb_or_a_dry_run_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(heartbeat, "_ping", lambda url, signal, rid, body: sent.append(signal))
    settings = Config(Path("/nonexistent/guard.ini"))
    events = happened(DEPLOYED, EXIT)
    heartbeat.settled(settings, FACTS, events)
    settings = replace(settings, heartbeat_url=URL)
    heartbeat.settled(settings, {**FACTS, "verb": "certonly"}, events)
    heartbeat.settled(settings, {**FACTS, "dry_run": True}, events)
    assert sent == []
    heartbeat.settled(settings, FACTS, events)
    heartbeat.settled(settings, FACTS, happened(FAILED, EXIT))
    assert sent == ["", "/fail"]


def test_an_event_that_is_beyond_us_ends_no_run() -> None:
    settings = replace(Config(Path("/nonexistent/guard.ini")), heartbeat_url=URL)
    assert heartbeat.settled(settings, FACTS, [{"kind": "lineage-failed"}, None]) is not None  # type: ignore[list-item]


@pytest.mark.parametrize("ok, events", [
    (True, happened(DEPLOYED, EXIT)),
    (True, happened(EXIT)),
    (False, happened(FAILED, EXIT)),
    (False, happened(("died", {}))),
    (False, happened(("fatal", {"error": "x"}), EXIT)),
    (False, happened(("refused", {"lineage": "a", "reason": "x"}), EXIT)),
    # refused first, renewed in the end
    (True, happened(("refused", {"lineage": "a", "reason": "x"}), DEPLOYED, EXIT)),
    # it did not start at once, and serves
    (True, happened(("stopping", {"window": 1, "lineage": "a"}), ("start-failed", {"window": 1, "reason": "x"}),
                    ("serving", {"window": 1, "again": True}), EXIT)),
    (False, happened(("stopping", {"window": 1, "lineage": "a"}), ("start-failed", {"window": 1, "reason": "x"}))),
    # the renewals went on
    (True, happened(("guard-error", {"where": "x", "error": "y"}), DEPLOYED, EXIT)),
    # a heartbeat is what is left then
    (False, happened(DEPLOYED, EXIT, ("nobody-told", {"title": "x", "reasons": []}))),
])
def test_a_run_is_well_only_if_all_of_it_was(ok: bool, events: list[dict[str, Any]]) -> None:
    assert verdict.is_ok(FACTS, events) is ok
    assert verdict.of(FACTS, events).ok is ok


def test_the_account_names_what_was_renewed_what_was_not_and_the_outage() -> None:
    events = happened(("stopping", {"window": 1, "lineage": "a"}), ("serving", {"window": 1, "outage_seconds": 2.5}),
                      DEPLOYED, FAILED, EXIT)
    said = verdict.account_of(FACTS, verdict.of(FACTS, events)).splitlines()
    assert said[0] == "certbot renew on web1 FAILED: 1 renewed, 1 in trouble"
    assert said[1] == "renewed: a"
    assert said[2].startswith("trouble: b: ")
    assert said[3] == "the web server did not serve for 2.5 s in all"


def test_the_account_of_a_hostile_name_is_harmless() -> None:
    events = happened(("deployed", {"lineage": "a\n<!channel>\x1b[2J"}), EXIT)
    said = verdict.account_of(FACTS, verdict.of(FACTS, events))
    assert len(said.splitlines()) == 2 and "<" not in said and "\x1b" not in said
