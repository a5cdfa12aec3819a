"""A run's news, as the one message that a person reads at four in the morning. Pure: no clock, no file, no network.

The title says how bad it is, where, and what; the body's first line says whether the site is up. What matters is in the
first 1,000 characters, since many services show no more. Every text from outside goes through :mod:`certbot_guard.text`.
:mod:`certbot_guard.telling` calls :func:`compose`; the deliverer's parent adds, with :func:`as_delivered`, what is only
known at delivery.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from certbot_guard import account, report, stakes, text
from certbot_guard.account import NOTEWORTHY, Account, NextAttempt
from certbot_guard.outages import parsed
from certbot_guard.phrases import moment
from certbot_guard.standing import News

__all__ = ["NOTEWORTHY", "Message", "as_delivered", "compose"]

TITLE_LIMIT = 190
BODY_LIMIT = 20_000
# A message that reaches a channel later than this says when it was written: "DOWN" may be yesterday's.
LATE = timedelta(minutes=10)
REPLACED_SHOWN = 10
_WORDS = {"critical": "CRITICAL", "warning": "WARNING", "info": "OK"}


@dataclass(frozen=True)
class Message:
    """What people are told. Plain text without anything that a service could act on.

    :ivar id: the same for the same news of the same run: adding it twice adds it once.
    :ivar event: ``"failure"``, ``"outage"``, ``"refused"``, ``"recovery"`` or ``"success"``.
    :ivar severity: ``"info"``, ``"warning"`` or ``"critical"``.
    :ivar subjects: of whose troubles it speaks: one that says as much, and later, may take its place
    """

    id: str
    run: str
    event: str
    severity: str
    title: str
    body: str
    subjects: tuple[str, ...] = ()


def compose(found: Account, news: News, next_attempt: NextAttempt = NextAttempt(), log_tail: tuple[str, ...] = (), part: int = 0) -> Message:
    """The message about these news of a run.

    :param log_tail: the last lines of certbot's log, fit to be shown
    :param part: tells messages of one run apart that say different things to different channels
    """
    numbers = frozenset().union(*[finding.numbers for finding in news.due])
    found = found.about(numbers, news.recovered, news.still, next_attempt)
    severity, event = severity_of(found, news), event_of(found, news)
    first = min([one["n"] for one in found.news], default=max([one["n"] for one in found.events], default=0))
    identity = f"{text.line(found.facts.get('id'), 80)}-{first}" + (f".{part}" if part else "")
    body = text.harmless("\n".join(report.body(found, identity, log_tail)))
    return Message(identity, str(found.facts.get("id", "")), event, severity, _title(found, severity),
                   text.cut(body, BODY_LIMIT), () if found.dry_run else tuple(sorted(news.subjects)))


def without_words(found: Account, error: Exception) -> Message:
    """The message where :func:`compose`, or what leads to it, is broken: people are told all the same, as it was noted."""
    host = text.line(found.facts.get("host") or "this host", 60)
    first = min(event["n"] for event in found.news)
    said = [f"The web server {'serves' if found.serving else 'is DOWN' if found.serving is False else 'was not looked at'}.",
            "", "certbot-guard could not put this into words, which is an error of its own: "
                f"{text.line(f'{type(error).__name__}: {error}', 300)}", ""]
    said += [text.line(" ".join(f"{name}={value}" for name, value in event.items() if name not in ("n", "mono")), 600)
             for event in found.news[:20]]
    return Message(f"{text.line(found.facts.get('id'), 80)}-{first}", str(found.facts.get("id", "")), "failure",
                   "critical" if found.serving is False else "warning",
                   f"WARNING {host}: certbot-guard has news and could not put them into words",
                   text.cut(text.harmless("\n".join(said)), BODY_LIMIT))


def severity_of(found: Account, news: News) -> str:
    """Critical: visitors get nothing, or soon a certificate that browsers refuse. Info: it is over. Else a warning."""
    if found.is_down and not found.left_down:
        return "critical"
    if not news.due:
        return "info"
    return stakes.gravest(["warning", *[finding.severity for finding in news.due]])


def event_of(found: Account, news: News) -> str:
    """What the message is about, in a word: the gravest of the news."""
    kinds = {event["kind"] for event in found.news}
    if found.from_outside and news.due:
        return _outside_event(news)
    if found.is_recovery and not news.due:
        return "recovery"
    if not found.news:
        return "outage" if news.due else "success"
    if kinds & {"start-failed", "overdue", "left-down"} or (found.serving is False and found.stopped):
        return "outage"
    return "refused" if kinds <= account.REFUSALS else "failure"


def _outside_event(news: News) -> str:
    """Of what was seen from outside: by what the findings are, the gravest word first."""
    kinds = frozenset().union(*[finding.kinds for finding in news.due])
    return next((event for event in ("outage", "expiry", "lost-guard", "refused") if event in kinds), "failure")


def as_delivered(message: Message, now: datetime, created: datetime, possible_repeat: bool,
                 replaced: tuple[tuple[str, str], ...] = ()) -> tuple[str, str]:
    """Title and body as they go out now: a possible repeat, a late delivery and what it replaces stand below the first
    line.

    :param replaced: when written, and the title, of each message that this one takes the place of
    """
    first, _, rest = text.harmless(message.body).partition("\n")
    added = []
    title = text.line(message.title, TITLE_LIMIT)
    if possible_repeat:
        title = f"{text.cut(title, TITLE_LIMIT - 18)} (possible repeat)"
        added.append(f"(possible repeat, id {message.id}: it may have reached you before)")
    if now - created > LATE:
        written = created.astimezone(timezone.utc)
        added.append(f"(late: this was written on {moment(written)} and could not be delivered until now)")
    if replaced:
        one = len(replaced) == 1
        added.append(f"(this takes the place of {'one message' if one else f'{len(replaced)} messages'} that had not "
                     f"reached this channel{': ' + _one_of(replaced[-1]) if one else '; they are named at the end'})")
    return title, "\n".join([first or "certbot-guard has news.", *added, rest, *_replaced(replaced)]).rstrip()


def _replaced(replaced: tuple[tuple[str, str], ...]) -> list[str]:
    if len(replaced) < 2:
        return []
    said = ["", "Not delivered here, and replaced:", *[f"  {_one_of(one)}" for one in replaced[-REPLACED_SHOWN:]]]
    if len(replaced) > REPLACED_SHOWN:
        said.append(f"  and {len(replaced) - REPLACED_SHOWN} older ones")
    return said


def _one_of(replaced: tuple[str, str]) -> str:
    return f"{moment(parsed(replaced[0]))}: {text.line(replaced[1], TITLE_LIMIT)}"


def _title(found: Account, severity: str) -> str:
    host = text.line(found.facts.get("host") or "this host", 60) + (" (dry run)" if found.dry_run else "")
    said = [words for words in (report.state(found), *report.headlines(found)[:2]) if words]
    words = " ".join(said) if found.is_recovery and found.server_recovered else ", ".join(said)
    time_left = report.shortest_time_left(found)
    end = f" ({time_left})" if time_left else ""
    return text.line(text.cut(f"{_WORDS[severity]} {host}: {words}", TITLE_LIMIT - len(end)) + end, TITLE_LIMIT)
