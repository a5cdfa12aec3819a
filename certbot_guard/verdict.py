"""Whether a run was well, for those who only count: heartbeats and metrics. Pure.

What people are told, and when, is :mod:`certbot_guard.findings`; the words here are its words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Optional

from certbot_guard import findings, text
from certbot_guard.account import NOTEWORTHY, Account
from certbot_guard.outages import Outage
from certbot_guard.phrases import duration
from certbot_guard.run import utc_now

# Ours alone: the renewals went on.
_NO_FAILURE = frozenset({"serving", "guard-error", "config-problem"})
_OF_A_START = frozenset({"start-failed", "left-down"})
# What a later deployment of the same lineage makes good.
_OF_A_RENEWAL = frozenset({"lineage-failed", "refused", "left-running", "stop-failed", "overdue"})
_NAMES = 20
_WORDS_LIMIT = 300


@dataclass(frozen=True)
class Verdict:
    """What a run has come to.

    :ivar ok: every lineage that was tried was renewed and deployed, the server serves, and who was to be told could be
    :ivar troubles: one harmless line each
    :ivar nobody_told: a message reached no channel
    """

    ok: bool
    renewed: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    outages: tuple[Outage, ...] = ()
    nobody_told: bool = False


def is_ok(facts: dict[str, Any], events: list[dict[str, Any]], now: Optional[datetime] = None) -> bool:
    """Whether the run was well. Cheap: nothing is worked out of its causes."""
    return not _wrong(_account(facts, events, now)) and not _nobody_told(events)


def of(facts: dict[str, Any], events: list[dict[str, Any]], now: Optional[datetime] = None) -> Verdict:
    """What the run has come to, with words."""
    found = _account(facts, events, now)
    wrong = _wrong(found)
    numbers = {event.get("n") for event in wrong}
    troubles: list[str] = []
    try:
        troubles = [f"{text.line(one.name, 120)}: {text.line(one.words, _WORDS_LIMIT)}" for one in findings.of(found)
                    if one.numbers & numbers]
    except Exception:  # nosec B110 # an event of another version: what it was is said by its kind
        pass
    renewed = dict.fromkeys(str(event["lineage"]) for event in found.all("deployed") if event.get("lineage"))
    return Verdict(not wrong and not _nobody_told(events), tuple(renewed),
                   tuple(troubles or dict.fromkeys(text.line(event["kind"], 60) for event in wrong)),
                   tuple(found.outages), _nobody_told(events))


def account_of(facts: dict[str, Any], found: Verdict) -> str:
    """A few lines of plain text about it; the first one says the most."""
    host, verb = text.line(facts.get("host") or "", 80), text.line(facts.get("verb") or "renew", 20)
    what = "went well" if found.ok else "FAILED" if found.troubles else "went well, but nobody could be told"
    said = [f"certbot {verb} on {host} {what}: {len(found.renewed)} renewed, {len(found.troubles)} in trouble"]
    if found.renewed:
        said.append(f"renewed: {text.listed(found.renewed, _NAMES)}")
    said += [f"trouble: {words}" for words in found.troubles[:_NAMES]]
    if len(found.troubles) > _NAMES:
        said.append(f"and {len(found.troubles) - _NAMES} more")
    if found.outages:
        said.append(f"the web server did not serve for {duration(sum(one.seconds for one in found.outages))} in all"
                    + ("" if all(one.ended for one in found.outages) else ", AND DOES NOT YET"))
    if found.nobody_told:
        said.append("no channel took the message about it")
    return "\n".join(said) + "\n"


def _account(facts: dict[str, Any], events: list[dict[str, Any]], now: Optional[datetime]) -> Account:
    return Account(facts, events, -1, now or utc_now(), None, {})


def _wrong(found: Account) -> list[dict[str, Any]]:
    """The events that were no success in the end."""
    wrong = []
    for event in found.news:
        kind, number = event["kind"], event.get("n", 0)
        if kind in _NO_FAILURE or kind not in NOTEWORTHY:
            continue
        if kind in _OF_A_START and not found.is_down:
            continue
        if kind in _OF_A_RENEWAL and found.last_deployed.get(event.get("lineage"), -1) > number:
            continue
        wrong.append(event)
    return wrong


def _nobody_told(events: list[dict[str, Any]]) -> bool:
    return any(event.get("kind") == "nobody-told" for event in events)
