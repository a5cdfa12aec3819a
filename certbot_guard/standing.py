"""Who has heard of which trouble, and so what is news to whom. Pure: the rows are the journal's, the clock is passed in.

The first failure goes out at once. The same subject with the same key goes to a channel again only after
``remind_every``, or when it has become graver. When it is well again, whoever was told of it is told of that, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Optional

from certbot_guard import stakes
from certbot_guard.findings import Finding

# A run that comes a little early (a timer's random delay) must not make a reminder wait for the next run.
EARLY_SHARE = 24
# Told so far in the future: the clock was wrong then, and must not keep us silent until it is right.
CLOCK_SET_BACK = timedelta(hours=1)


@dataclass(frozen=True)
class Standing:
    """A trouble that stands since ``since``, seen last at ``seen``. The other fields are its newest finding's."""

    subject: str
    name: str
    key: str
    severity: str
    words: str
    since: datetime
    seen: datetime
    lineage: Optional[str] = None
    not_after: Optional[datetime] = None


@dataclass(frozen=True)
class Told:
    """That a channel was told of a subject: with what key and how grave, when, and by which message."""

    subject: str
    channel: str
    key: str
    severity: str
    at: datetime
    message: str


@dataclass(frozen=True)
class Recovered:
    """A trouble that is over. ``how`` is one sentence. ``certain``: told even to those of whom no note is left."""

    standing: Standing
    how: str
    certain: bool = False


@dataclass(frozen=True)
class Memory:
    """What the journal knows: ``standing`` by subject, ``told`` by subject and channel.

    :ivar waiting: the messages that a channel has not got yet, by its name
    """

    standing: dict[str, Standing] = field(default_factory=dict)
    told: dict[tuple[str, str], Told] = field(default_factory=dict)
    waiting: dict[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Taker:
    """What a channel wants."""

    name: str
    events: frozenset[str]
    min_severity: str = "info"

    def takes(self, finding: Finding) -> bool:
        return bool(finding.kinds & self.events) and stakes.rank(finding.severity) >= stakes.rank(self.min_severity)


@dataclass(frozen=True)
class News:
    """What one message is about: new findings, troubles that are over, and those told before that still stand."""

    due: tuple[Finding, ...] = ()
    recovered: tuple[Recovered, ...] = ()
    still: tuple[Standing, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.due or self.recovered)

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset([finding.subject for finding in self.due] + [one.standing.subject for one in self.recovered])


def news_for(taker: Taker, findings: Iterable[Finding], recovered: Iterable[Recovered], memory: Memory, now: datetime,
             remind_every: timedelta) -> News:
    """What this channel is to be told now; nothing where all of it is known there."""
    findings = [finding for finding in findings if taker.takes(finding)]
    fresh = [finding for finding in findings if _is_due(finding, taker.name, memory, now, remind_every)]
    over = [one for one in recovered if "recovery" in taker.events and _heard(one, taker.name, memory)]
    if not fresh and not over:
        return News()
    # The new message may take the place of what still waits for this channel: so it says that, too.
    new = {finding.subject for finding in fresh}
    fresh = [finding for finding in findings if finding.subject in new or _waits(finding.subject, taker.name, memory)]
    named = {finding.subject for finding in fresh} | {one.standing.subject for one in over}
    still = [standing for subject, standing in memory.standing.items()
             if subject not in named and (subject, taker.name) in memory.told]
    return News(tuple(fresh), tuple(over), tuple(sorted(still, key=lambda one: (one.since, one.subject))))


def after(finding: Finding, memory: Memory, now: datetime) -> Standing:
    """The row that this finding leaves: it stands since it began, with what is known of it now."""
    known = memory.standing.get(finding.subject)
    return Standing(finding.subject, finding.name, finding.key, finding.severity, finding.words,
                    known.since if known is not None else now, now, finding.lineage, finding.not_after)


def _is_due(finding: Finding, channel: str, memory: Memory, now: datetime, remind_every: timedelta) -> bool:
    told = memory.told.get((finding.subject, channel))
    if told is None or stakes.rank(finding.severity) > stakes.rank(told.severity):
        return True
    if not set(finding.key.split("+")) <= set(told.key.split("+")):
        return True  # another cause; one of two that is gone is no news
    return now - told.at >= remind_every - remind_every / EARLY_SHARE or told.at - now > CLOCK_SET_BACK


def _heard(one: Recovered, channel: str, memory: Memory) -> bool:
    subject = one.standing.subject
    if (subject, channel) in memory.told:
        return True
    return one.certain and not any(told == subject for told, _ in memory.told)


def _waits(subject: str, channel: str, memory: Memory) -> bool:
    told = memory.told.get((subject, channel))
    return told is not None and told.message in memory.waiting.get(channel, ())
