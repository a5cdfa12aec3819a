"""The runs that ``history`` shows: those of the state databases, and those whose directory alone knows of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Optional

from certbot_guard import statedir, text
from certbot_guard.config import Config
from certbot_guard.errors import StateError
from certbot_guard.outbox_rows import KEEP_SENT_DAYS
from certbot_guard.overview import books as state
from certbot_guard.overview import openruns, results, scope
from certbot_guard.overview.drawing import wrapped
from certbot_guard.overview.results import RunRow
from certbot_guard.phrases import duration, moment
from certbot_guard.run import utc_now

VERSION = 1
NOTHING = "No run is remembered. A run of certbot with nothing due leaves no trace here."
_LINEAGES = 20


@dataclass(frozen=True)
class Past:
    """:ivar unknown: what could not be read, each a sentence"""

    runs: list[RunRow]
    unknown: list[str]

    def as_json(self) -> dict[str, Any]:
        return {"version": VERSION, "runs": [one.to_json() for one in self.runs], "unknown": self.unknown}


def runs(config: Config, most: int, lineage: Optional[str] = None, config_dirs: Optional[list[Path]] = None,
         now: Optional[datetime] = None) -> Past:
    """The newest runs, at most so many; of these directories only, and only those that tried this lineage.

    :raises StateError: there may be some, and they cannot be looked into.
    """
    now, bases = now or utc_now(), statedir.every_directory(config.state_dir)
    known: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    told: dict[str, list[state.Told]] = {}
    with state.open_books(bases) as (books, problems):
        for book in books:
            try:
                for one in book.told():
                    told.setdefault(one.run, []).append(one)
                for facts, events in book.runs():
                    known.setdefault(str(facts["id"]), (facts, events))
            except StateError as error:
                problems.append(str(error))
    for _, run in openruns.open_runs(bases):  # not told yet, so not recorded; or more has happened since
        known[str(run.id)] = (run.facts, run.events())
    meant = scope.of(config, config_dirs, [facts for facts, _ in known.values()])
    found = []
    for identity in sorted(known, key=lambda one: (str(known[one][0].get("started") or one), one), reverse=True):
        facts, events = known[identity]
        if not meant.covers(facts):
            continue
        if lineage is not None and lineage not in results.row(facts, events, now, words=False).results:
            continue
        found.append(results.row(facts, events, now, tuple(told.get(identity, ()))))
        if len(found) == most:
            break
    return Past(found, problems)


def lines(one: RunRow, width: Optional[int], now: Optional[datetime] = None) -> list[str]:
    """One run for a person."""
    how = f"{one.outcome}{', a dry run' if one.dry_run else ''}"
    said = [f"{moment(one.started)}  {how}", f"  {one.command or 'a command that is not known'}"
            + (", under certbot-guard run" if one.under else "")]
    groups: dict[str, list[str]] = {}
    for name, outcome in one.results.items():
        groups.setdefault(outcome, []).append(name)
    said += [f"  {outcome}: {text.listed(names, _LINEAGES)}" for outcome, names in groups.items()]
    said += [f"  wrong: {words}" for words in one.troubles]
    said += [f"  {outage(gap)}" for gap in one.outages]
    said += [f"  {words}" for words in passages(one)]
    said.append(f"  told: {told(one, now or utc_now())}")
    return [line for words in said for line in wrapped(words, width, "    ")]


def passages(one: RunRow) -> list[str]:
    """Which challenges passed through the running web server, and why others could not."""
    said, through = [], [name for name in one.without_a_stop if one.results.get(name) in results.PROVED]
    if through:
        said.append(f"challenge passed through the running web server: {text.listed(through, _LINEAGES)}"
                    + ("" if one.outages else "; no outage"))
    # certbot did not come so far, or the CA did not get its answer.
    others = [name for name in one.without_a_stop if name not in through]
    if others:
        said.append(f"web server not stopped, the challenge was let through it: {text.listed(others, _LINEAGES)}")
    reasons: dict[str, list[str]] = {}
    for name, why_not in one.not_let_through.items():
        reasons.setdefault(why_not, []).append(name)
    return said + [f"challenge could not pass through the running web server: {text.listed(names, _LINEAGES)}: "
                   f"{why_not}" for why_not, names in reasons.items()]


def outage(gap: Any) -> str:
    whom = f" for {text.line(gap.lineage, 120)}" if gap.lineage else ""
    return f"web server stopped for {duration(gap.seconds)}{whom}" + ("" if gap.ended else ", AND NOT STARTED SINCE")


def told(one: RunRow, now: datetime) -> str:
    """By channel, the newest word on it. Who heard of a run long ago is not kept."""
    states = {row.channel: row.state for row in one.told}
    return ", ".join(f"{text.line(channel, 80)}" + ("" if word == "sent" else f" ({word})")
                     for channel, word in states.items()) or (
        "not kept any more" if one.started is None or now - one.started > timedelta(days=KEEP_SENT_DAYS) else "nobody")
