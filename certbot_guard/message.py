"""A run's events, as the one message that a person reads at four in the morning. Pure: no clock, no file, no network.

The title says how bad it is, where, and what; the body's first line says whether the site is up. What matters is in the
first 1,000 characters, since many services show no more. Every text from outside goes through :mod:`certbot_guard.text`.
Settle calls :func:`compose`; the deliverer's parent adds, with :func:`as_delivered`, what is only known at delivery.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

from certbot_guard import account, report, text
from certbot_guard.account import NOTEWORTHY, Account

__all__ = ["NOTEWORTHY", "Message", "as_delivered", "compose"]

TITLE_LIMIT = 190
BODY_LIMIT = 20_000
# A message that reaches a channel later than this says when it was written: "DOWN" may be yesterday's.
LATE = timedelta(minutes=10)
_WORDS = {"critical": "CRITICAL", "warning": "WARNING", "info": "OK"}


@dataclass(frozen=True)
class Message:
    """What people are told. Plain text without anything that a service could act on.

    :ivar id: the same for the same news of the same run: adding it twice adds it once.
    :ivar event: ``"failure"``, ``"outage"``, ``"refused"`` or ``"recovery"``.
    :ivar severity: ``"info"``, ``"warning"`` or ``"critical"``.
    """

    id: str
    run: str
    event: str
    severity: str
    title: str
    body: str


def compose(facts: dict[str, Any], events: list[dict[str, Any]], after: int, now: datetime, serving: Optional[bool],
            expiry: dict[str, datetime]) -> Optional[Message]:
    """The message about what happened in this run after event number ``after``; None if that is not worth one.

    :param events: every event of the run; the older ones are context.
    :param serving: what is true of the web server now; None where nobody knows.
    :param expiry: when the certificates now on disk expire, by lineage.
    """
    found = Account(facts, events, after, now, serving, expiry)
    if not found.news:
        return None
    severity = severity_of(found)
    identity = f"{text.line(facts.get('id'), 80)}-{found.news[0]['n']}"
    body = text.harmless("\n".join(report.body(found, identity)))
    return Message(identity, str(facts.get("id", "")), event_of(found), severity, _title(found, severity),
                   text.cut(body, BODY_LIMIT))


def severity_of(found: Account) -> str:
    """Critical: visitors get nothing, or a certificate that browsers refuse. Info: it is over. Else a warning."""
    if found.serving is False and not found.left_down:
        return "critical"
    if found.serving is None and any(not outage.ended for outage in found.outages):
        return "critical"  # nobody can say that it serves
    if not found.dry_run and any(when <= found.now for when in found.not_renewed_expiry()):
        return "critical"
    return "info" if found.is_recovery else "warning"


def event_of(found: Account) -> str:
    """What a channel can choose by: the gravest of the news."""
    kinds = {event["kind"] for event in found.news}
    if found.is_recovery:
        return "recovery"
    if kinds & {"start-failed", "overdue", "left-down"} or (found.serving is False and found.stopped):
        return "outage"
    return "refused" if kinds <= account.REFUSALS else "failure"


def as_delivered(message: Message, now: datetime, created: datetime, possible_repeat: bool) -> tuple[str, str]:
    """Title and body as they go out now: a possible repeat and a late delivery say so, under the first line."""
    first, _, rest = text.harmless(message.body).partition("\n")
    added = []
    title = text.line(message.title, TITLE_LIMIT)
    if possible_repeat:
        title = f"{text.cut(title, TITLE_LIMIT - 18)} (possible repeat)"
        added.append(f"(possible repeat, id {message.id}: it may have reached you before)")
    if now - created > LATE:
        written = created.astimezone(timezone.utc)
        added.append(f"(late: this was written on {report.moment(written)} and could not be delivered until now)")
    return title, "\n".join([first or "certbot-guard has news.", *added, rest]).rstrip()


def _title(found: Account, severity: str) -> str:
    host = text.line(found.facts.get("host") or "this host", 60) + (" (dry run)" if found.dry_run else "")
    said = [report.state(found), *report.headlines(found)[:2]]
    words = " ".join(said) if found.is_recovery else ", ".join(said)
    time_left = report.shortest_time_left(found)
    end = f" ({time_left})" if time_left else ""
    return text.line(text.cut(f"{_WORDS[severity]} {host}: {words}", TITLE_LIMIT - len(end)) + end, TITLE_LIMIT)
