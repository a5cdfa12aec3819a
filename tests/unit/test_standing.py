"""Who is told what, and when again: the rules one by one, then thirty days of them in tests/integration/test_thirty_days.py."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Optional

import pytest

from certbot_guard import standing
from certbot_guard.findings import Finding
from certbot_guard.standing import Memory, Recovered, Standing, Taker, Told

NOW = datetime(2026, 11, 24, 4, 17, tzinfo=timezone.utc)
DAY = timedelta(days=1)
ALL = Taker("mail", frozenset({"failure", "recovery", "refused", "outage", "expiry"}))


def finding(subject: str = "a", key: str = "ca-unavailable", severity: str = "warning", **more: Any) -> Finding:
    return Finding(subject, subject, key, more.pop("kinds", frozenset({"failure"})), severity, "the CA is down.", **more)


def told(ago: timedelta, subject: str = "a", key: str = "ca-unavailable", severity: str = "warning",
         channel: str = "mail", message: str = "m1") -> Told:
    return Told(subject, channel, key, severity, NOW - ago, message)


def memory(*rows: Told, waiting: Optional[dict[str, frozenset[str]]] = None, stands: bool = True) -> Memory:
    standings = {row.subject: Standing(row.subject, row.subject, row.key, row.severity, "the CA is down.",
                                       row.at, row.at) for row in rows} if stands else {}
    return Memory(standings, {(row.subject, row.channel): row for row in rows}, waiting or {})


def news(*findings: Finding, taker: Taker = ALL, memory: Memory = Memory(), over: tuple = ()) -> standing.News:
    return standing.news_for(taker, findings, over, memory, NOW, DAY)


def test_the_first_failure_is_news_at_once() -> None:
    assert [one.subject for one in news(finding()).due] == ["a"]


@pytest.mark.parametrize("ago, due", [(timedelta(hours=12), False), (timedelta(hours=22, minutes=50), False),
                                      (timedelta(hours=23, minutes=5), True), (timedelta(days=2), True)])
def test_the_same_again_is_news_after_a_day_and_a_run_that_is_a_little_early_counts(ago: timedelta, due: bool) -> None:
    assert bool(news(finding(), memory=memory(told(ago)))) is due


def test_another_cause_is_news() -> None:
    assert news(finding(key="rate-limited"), memory=memory(told(timedelta(hours=1))))


@pytest.mark.parametrize("before, now, due", [("warning", "critical", True), ("critical", "warning", False),
                                              ("critical", "critical", False)])
def test_graver_is_news_and_less_grave_is_not(before: str, now: str, due: bool) -> None:
    found = news(finding(severity=now), memory=memory(told(timedelta(hours=1), severity=before)))
    assert bool(found) is due


def test_a_channel_gets_the_kinds_and_severities_it_asked_for() -> None:
    for taker, due in ((Taker("a", frozenset({"recovery"})), False), (Taker("b", ALL.events, "critical"), False),
                       (Taker("c", frozenset({"failure"}), "warning"), True), (Taker("d", frozenset({"refused"})), False)):
        assert bool(news(finding(), taker=taker)) is due
    assert news(finding(severity="critical", kinds=frozenset({"failure", "expiry"})),
                taker=Taker("e", frozenset({"expiry"}), "critical"))


def test_what_one_channel_was_told_is_still_news_to_another() -> None:
    known = memory(told(timedelta(hours=1), channel="slack"))
    assert news(finding(), memory=known) and not news(finding(), taker=Taker("slack", ALL.events), memory=known)


def test_who_was_told_is_told_of_the_end_whatever_severity_it_asked_for() -> None:
    known = memory(told(DAY, severity="critical"))
    over = (Recovered(known.standing["a"], "It was renewed."),)
    assert news(memory=known, over=over).recovered == over
    assert news(taker=Taker("mail", frozenset({"failure", "recovery"}), "critical"), memory=known, over=over).recovered
    assert not news(taker=Taker("other", ALL.events), memory=known, over=over)
    assert not news(taker=Taker("mail", frozenset({"failure"})), memory=known, over=over)


def test_an_end_of_which_no_note_is_left_is_told_when_it_is_certain() -> None:
    lost = Standing("server", "Apache", "", "critical", "It did not start.", NOW, NOW)
    assert news(over=(Recovered(lost, "It serves again.", certain=True),))
    assert not news(over=(Recovered(lost, "It serves again."),))
    others = memory(told(DAY, subject="server", channel="slack"), stands=False)
    assert not news(memory=others, over=(Recovered(lost, "It serves again.", certain=True),))


def test_a_message_says_what_else_still_stands_and_says_it_only_with_something_new() -> None:
    known = memory(told(timedelta(hours=1), subject="b"))
    assert [one.subject for one in news(finding("a"), memory=known).still] == ["b"]
    assert not news(finding("b"), memory=known)


def test_what_still_waits_for_a_channel_is_said_in_full_in_the_message_that_takes_its_place() -> None:
    known = memory(told(timedelta(hours=1), subject="b"), waiting={"mail": frozenset({"m1"})})
    found = news(finding("a"), finding("b"), memory=known)
    assert [one.subject for one in found.due] == ["a", "b"] and not found.still
    delivered = memory(told(timedelta(hours=1), subject="b"))
    assert [one.subject for one in news(finding("a"), finding("b"), memory=delivered).due] == ["a"]


def test_what_stands_keeps_the_day_it_began() -> None:
    known = memory(told(timedelta(days=9)))
    row = standing.after(finding(severity="critical"), known, NOW)
    assert (row.since, row.seen, row.severity) == (NOW - timedelta(days=9), NOW, "critical")
    assert standing.after(finding("new"), known, NOW).since == NOW
