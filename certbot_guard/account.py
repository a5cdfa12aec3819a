"""What a run's events come to: which are news, which lineages failed and how, and how long the server was not serving.

Pure. :mod:`certbot_guard.report` turns it into words.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Optional

from certbot_guard import logtail, stakes
from certbot_guard.diagnosis import Diagnosis, diagnose
from certbot_guard.outages import outages_of, parsed
from certbot_guard.stakes import Validity

# A message is made when one of these is new; every other kind is context.
# Seen from outside a run: certbot_guard.sightings.
SIGHTED = frozenset({"not-renewed", "revoked", "lost-guard", "plugin-missing", "key-mismatch", "shown", "server-down", "stale",
                     "no-timer", "also-reload-failed", "command-failed"})
NOTEWORTHY = SIGHTED | frozenset({
    "refused", "left-running", "stop-failed", "start-failed", "serving", "overdue", "not-attempted", "lineage-failed",
    "lineage-broken", "hook-failed", "fatal", "reload-refused", "reload-failed", "not-served", "guard-error", "died",
    "left-down", "config-problem"})
# What a certbot_guard.passing.Pass is of.
OUTSIDE_VERBS = frozenset({"watch", "run", "unit-failed"})
REFUSALS = frozenset({"refused", "left-running", "reload-refused"})
# certbot reports what we raised in prepare() as a failure of that lineage: the same news in its words.
_OURS = "certbot-guard "
# Times, order numbers, addresses in memory and a challenge's token; but 503 and 429 are two reasons.
_EACH_TIME_ANOTHER = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?|\d{5,}|\b0x[0-9a-fA-F]+|(?<=/acme-challenge/)[\w-]+")


@dataclass(frozen=True)
class NextAttempt:
    """When certbot runs next. ``at``: then at the latest; None where nobody knows. ``found``: something will start it."""

    words: str = ""
    at: Optional[datetime] = None
    found: bool = True


@dataclass
class Failure:
    """Lineages that failed for the same cause. ``event`` is the first one's.

    :ivar others: by their likeness, the first event of each error of this cause that reads differently
    """

    event: dict[str, Any]
    diagnosis: Diagnosis
    lineages: list[str] = field(default_factory=list)
    others: dict[str, dict[str, Any]] = field(default_factory=dict)


class Account:
    """Everything that the words are made of.

    :ivar news: the noteworthy events after ``after``, oldest first; less of them where :meth:`about` left some out
    :ivar recovered: troubles of earlier runs that are over, where :meth:`about` said so
    :ivar still: troubles told before that still stand, in the same way
    """

    def __init__(self, facts: dict[str, Any], events: list[dict[str, Any]], after: int, now: datetime,
                 serving: Optional[bool], validities: dict[str, Validity]) -> None:
        self.facts = facts
        self.events = events
        self.after = after
        self.now = now
        self.serving = serving
        self._validities = {**_planned(events), **validities}
        self.dry_run = bool(facts.get("dry_run"))
        self.news = [event for event in events if event.get("n", 0) > after and self._is_news(event)]
        self._failures: Optional[list[Failure]] = None
        # By lineage, the number of the event that says that its new certificate is on disk.
        self.last_deployed = {event.get("lineage"): event["n"] for event in events if event["kind"] == "deployed"}
        self._diagnoses: dict[Any, Diagnosis] = {}
        self.recovered: tuple[Any, ...] = ()
        self.still: tuple[Any, ...] = ()
        self.next_attempt = NextAttempt()
        self.outages = outages_of(events, now)
        self.stopped = bool(self.outages)

    # -- what is news ----------------------------------------------------------------------------------------

    def _is_news(self, event: dict[str, Any]) -> bool:
        kind = event.get("kind")
        if kind not in NOTEWORTHY:
            return False
        if kind == "serving":
            return bool(event.get("again"))
        if kind == "left-down":  # as it was found is as it should be
            return "before the run" not in str(event.get("reason"))
        if kind == "config-problem":  # told when something was at stake
            return any(other["kind"] == "lineage" for other in self.events)
        return not (kind == "lineage-failed" and self._is_echo(event))

    def _is_echo(self, event: dict[str, Any]) -> bool:
        if not str(event.get("error", "")).startswith(_OURS):
            return False
        name = event.get("lineage")
        return any(other["kind"] in ("refused", "not-attempted", "overdue")
                   and (other.get("lineage") == name or name in (other.get("lineages") or ())) for other in self.events)

    def new(self, *kinds: str) -> list[dict[str, Any]]:
        """The news of these kinds."""
        return [event for event in self.news if event["kind"] in kinds]

    def all(self, *kinds: str) -> list[dict[str, Any]]:
        """Every event of these kinds, news or not."""
        return [event for event in self.events if event["kind"] in kinds]

    def about(self, numbers: frozenset[int], recovered: tuple[Any, ...], still: tuple[Any, ...],
              next_attempt: NextAttempt = NextAttempt()) -> Account:
        """The same run with no other news than the events of these numbers, and that of a server that serves again."""
        made = copy.copy(self)
        made._failures = None
        made.recovered, made.still, made.next_attempt = recovered, still, next_attempt
        made.news = [event for event in self.news if event["n"] in numbers
                     or (event["kind"] == "serving" and made.server_recovered)]
        return made

    def diagnose(self, event: dict[str, Any]) -> Diagnosis:
        """What is behind an event of this run, worked out once."""
        number = event.get("n")
        if number not in self._diagnoses:
            self._diagnoses[number] = self._diagnose(event)
        return self._diagnoses[number]

    def _diagnose(self, event: dict[str, Any]) -> Diagnosis:
        found = diagnose(event, self.facts)
        if not event.get("acme"):  # what it quotes may be a hook's words, or a DNS provider's
            found = replace(found, happened=logtail.masked(found.happened))
        if event["kind"] == "lineage-failed" and found.cause.startswith("port"):
            # certbot found the port taken, since the server was left running for a reason of its own: that is why.
            left = [one for one in self.all("left-running", "stop-failed") if one.get("lineage") == event.get("lineage")]
            return diagnose(left[-1], self.facts) if left else found
        return found

    def output_of(self, failed_hook: dict[str, Any]) -> list[str]:
        """What a hook that failed has printed, which certbot logs right after the failure."""
        later = self.events[self.events.index(failed_hook) + 1:]
        return [str(event.get("output") or "") for event in takewhile(lambda event: event["kind"] != "hook-failed", later)
                if event["kind"] == "hook-output"]

    def from_its_start(self) -> Account:
        """The same run, with all of it as news."""
        made = copy.copy(self)
        made._failures = None
        made.news = [event for event in self.events if self._is_news(event)]
        return made

    @property
    def from_outside(self) -> bool:
        """No run of certbot's: a look, or a command of ours that speaks of another one."""
        return self.facts.get("verb") in OUTSIDE_VERBS

    @property
    def is_recovery(self) -> bool:
        """Something is well again, and there is no other news."""
        return bool(self.recovered) and all(event["kind"] == "serving" for event in self.news)

    @property
    def server_recovered(self) -> bool:
        """It was told that the server would not start, or is left down; it serves now."""
        if self.from_outside and self.serving is None:
            return False  # it was taken out of use
        return any(one.standing.subject.startswith("server") for one in self.recovered)

    @property
    def is_whole(self) -> bool:
        """certbot went through every lineage and came to its end: what it did not complain of is well."""
        words = self.facts.get("argv") or ()
        return (self.facts.get("verb") == "renew" and not self.dry_run and self.ended_well
                and not any("--cert-name" in str(word) for word in words))

    @property
    def ended_well(self) -> bool:
        return bool(self.all("exit")) and not self.all("died", "fatal")

    @property
    def is_down(self) -> bool:
        """It does not serve; or nobody can say, and what stopped it was not followed by its start."""
        return self.serving is False or (self.serving is None and any(not outage.ended for outage in self.outages))

    @property
    def left_down(self) -> bool:
        """A person wants it down."""
        last = self.all("left-down", "serving")
        return bool(last) and last[-1]["kind"] == "left-down"

    # -- lineages --------------------------------------------------------------------------------------------

    def failures(self) -> list[Failure]:
        """The new failures, those of the same cause together, the largest group first."""
        if self._failures is None:
            self._failures = self._grouped()
        return self._failures

    def _grouped(self) -> list[Failure]:
        groups: dict[str, Failure] = {}
        for event in self.new("lineage-failed"):
            diagnosis = self.diagnose(event)
            likeness = self.likeness(event)
            key = diagnosis.key if diagnosis.cause != "unknown" else likeness
            group = groups.setdefault(key, Failure(event, diagnosis))
            group.others.setdefault(likeness, event)
            if str(event.get("lineage")) not in group.lineages:
                group.lineages.append(str(event.get("lineage")))
        return sorted(groups.values(), key=lambda group: -len(group.lineages))

    def likeness(self, event: dict[str, Any]) -> str:
        """The error without the lineage's own names: what two lineages that failed alike have in common."""
        acme = event.get("acme") or {}
        key = f"{event.get('error_type')} {acme.get('type')} {acme.get('detail') or event.get('error') or event.get('reason')}"[:4000]
        if not acme:  # "Some challenges have failed." is what certbot says of all; what it showed before tells them apart
            key += " ".join(str(text) for text in event.get("context") or ())[:4000]
        key += "".join(f" {inner.get('type')} {inner.get('detail')}" for inner in subproblems(event)[:5])[:2000]
        own = sorted({str(event.get("lineage")), *self.names(str(event.get("lineage")))}, key=len, reverse=True)
        return _EACH_TIME_ANOTHER.sub("0", re.sub("|".join(re.escape(name) for name in own[:200] if name), "*", key))

    def names(self, lineage: str) -> list[str]:
        """The domain names of a lineage, as far as this run knows them."""
        for event in reversed(self.events):
            if event.get("lineage") == lineage and event.get("names"):
                return [str(name) for name in event["names"]]
        return []

    def not_renewed(self) -> list[str]:
        """The lineages that the news say were not renewed, each once."""
        found = [str(event.get("lineage")) for event in self.new("refused", "lineage-failed")]
        found += [str(name) for event in self.new("not-attempted") for name in event.get("lineages") or ()]
        found += [str(event["lineage"]) for event in self.new("overdue") if event.get("lineage")]
        if self.new("died", "fatal"):
            found += self.unfinished()
        renewed = {event.get("lineage") for event in self.all("deployed")}
        return [name for name in dict.fromkeys(found) if name not in renewed]

    def validity(self, lineage: str) -> Optional[Validity]:
        """Of the certificate that this lineage has now, as far as it is known."""
        return self._validities.get(lineage)

    def severity_of_all(self) -> str:
        """Where certbot did nothing at all: by the certificate that expires next."""
        soonest = self.soonest(self.alive())
        return "warning" if self.dry_run or soonest is None else stakes.severity(soonest[1], self.now)

    def alive(self) -> list[str]:
        """The lineages whose certificate has not been dead for a month: those are nobody's any more."""
        return [name for name, one in self._validities.items() if self.now - one.not_after < timedelta(days=30)]

    def soonest(self, names: Iterable[str]) -> Optional[tuple[str, Validity]]:
        """Which of these certificates expires first."""
        known = [(name, self._validities[name]) for name in dict.fromkeys(names) if name in self._validities]
        return min(known, key=lambda one: (one[1].not_after, one[0]), default=None)

    def unfinished(self) -> list[str]:
        """The lineage that certbot was at when it died, or gave up."""
        ended = {event.get("lineage") for event in self.all("deployed", "lineage-failed", "refused")}
        started = [str(event.get("lineage")) for event in self.all("lineage")]
        return [started[-1]] if started and started[-1] not in ended else []


def subproblems(event: dict[str, Any]) -> list[dict[str, Any]]:
    found = (event.get("acme") or {}).get("subproblems") or []
    return [inner for inner in found if isinstance(inner, dict)]


def _planned(events: list[dict[str, Any]]) -> dict[str, Validity]:
    found = {}
    for event in events:
        when = parsed(event.get("not_after")) if event.get("not_after") else None
        if when is not None and event.get("lineage"):
            found[str(event["lineage"])] = Validity(when)
    return found
