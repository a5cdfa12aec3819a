"""What is wrong now: what people were told of and is not over, and what this look has found besides.

What stands is the journal's; what is looked for is what the watch looks for, by the same code, and is the same trouble
where its subject is the same. Nobody is told of anything here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Optional

from certbot_guard import diagnosis, findings, sightings, stakes, text
from certbot_guard.config import Config
from certbot_guard.overview.books import Book
from certbot_guard.overview.results import iso
from certbot_guard.overview.shown import Served
from certbot_guard.standing import Memory, Standing, Told
from certbot_guard.watch import files
from certbot_guard.watch.looking import JUST_BOOTED

_ADVICE, _WHY = "What to do: ", "Why: "


@dataclass(frozen=True)
class Heard:
    """:ivar since: None where the message still waits for this channel"""

    channel: str
    since: Optional[datetime]


@dataclass(frozen=True)
class Trouble:
    """:ivar since: None where nobody was told yet: this look has found it
    :ivar told: who has heard of it
    :ivar advice: what to do, as people were told; nothing where that is not kept any more
    """

    subject: str
    name: str
    severity: str
    words: str
    since: Optional[datetime] = None
    told: tuple[Heard, ...] = ()
    advice: str = ""
    lineage: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"name": text.line(self.name, 300), "severity": self.severity, "words": text.line(self.words, 400),
                "since": iso(self.since), "advice": self.advice or None,
                "lineage": text.line(self.lineage, 300) or None,
                "told": [{"channel": text.line(one.channel, 120), "since": iso(one.since),
                          "delivered": one.since is not None} for one in self.told]}

    def is_of(self, config_dir: str, lineage: str) -> bool:
        return self.lineage == lineage and (self.subject.startswith("shown ") or "/" not in self.subject
                                            or config_dir in self.subject)


def standing(memory: Memory, books: list[Book]) -> list[Trouble]:
    """What people were told of and is not over."""
    bodies: dict[str, str] = {}
    told: dict[str, list[Told]] = {}
    for row in memory.told.values():
        told.setdefault(row.subject, []).append(row)
    return [_of_standing(one, told.get(one.subject, []), memory, books, bodies) for one in memory.standing.values()]


def _of_standing(one: Standing, told: list[Told], memory: Memory, books: list[Book], bodies: dict[str, str]) -> Trouble:
    heard = tuple(Heard(row.channel, None if row.message in memory.waiting.get(row.channel, ()) else row.at)
                  for row in sorted(told, key=lambda row: (row.at, row.channel)))
    advice = ""
    for row in sorted(told, key=lambda row: row.at, reverse=True):
        if row.message not in bodies:
            bodies[row.message] = next(filter(None, (book.body(row.message) for book in books)), "")
        advice = advice or advice_in(bodies[row.message], one.words)
    return Trouble(one.subject, one.name, one.severity, text.line(one.words, 400), one.since, heard, advice,
                   one.lineage or "")


def advice_in(body: str, words: str) -> str:
    """What this message says is to be done about the trouble that it describes with ``words``; or nothing."""
    for paragraph in body.split("\n\n"):
        lines = paragraph.split("\n")
        about = [number for number, line in enumerate(lines) if line.startswith(_WHY) and words in line]
        for line in lines[about[0]:] if about else ():
            if line.startswith(_ADVICE):
                return text.line(line[len(_ADVICE):], 600)
    return ""


class Found:
    """What this look finds, that does not stand yet."""

    def __init__(self, config: Config, memory: Memory, now: datetime, uptime: timedelta) -> None:
        self._config, self._memory, self._now, self._uptime = config, memory, now, uptime
        self.troubles: list[Trouble] = []

    def in_files(self, config_dir: Path, lineages: Iterable[files.Lineage], lost: set[str]) -> None:
        """What is wrong with renewal configurations, keys, and certificates that nobody renews."""
        plugins = files.installed_plugins()
        facts = self._facts(config_dir)
        for one in lineages:
            def note(kind: str, one: files.Lineage = one, **fields: Any) -> None:
                self._add(facts, {"kind": kind, **fields}, one)

            files.look(one, note, self._now, timedelta(seconds=self._config.watch.stale_after_seconds), plugins)
            if one.name in lost:
                note("lost-guard", lineage=one.name, names=list(one.names), installer="none")

    def _add(self, facts: dict[str, Any], event: dict[str, Any], one: files.Lineage) -> None:
        told_by_runs = findings.subject_of_lineage(facts, one.name) in self._memory.standing
        kind, grave = event["kind"], stakes.severity(one.validity, self._now)
        if kind in ("not-renewed", "lineage-broken") and told_by_runs:
            return
        if kind == "not-renewed" and self._uptime < JUST_BOOTED and grave != "critical":
            return  # its run comes after the boot
        subject = str(one.path) if kind == "lineage-broken" else sightings.subject(facts, event)
        if subject not in self._memory.standing:
            said = diagnosis.diagnose(event, facts)
            severity = "critical" if kind == "key-mismatch" else grave
            self.troubles.append(Trouble(subject, one.name, severity, said.happened, advice=said.advice,
                                         lineage=one.name))

    def in_served(self, served: dict[tuple[str, str], Served]) -> None:
        """Where visitors are not shown what they should be."""
        stands = {one.lineage for subject, one in self._memory.standing.items() if subject.startswith("shown ")}
        for (config_dir, lineage), found in served.items():
            for seen in found.wrong if lineage not in stands else ():
                event = {"kind": "shown", "what": seen.kind, "lineage": lineage, "place": seen.place,
                         "words": seen.words}
                said = diagnosis.diagnose(event, self._facts(Path(config_dir)))
                grave = "critical" if seen.kind in ("served-expired", "served-expiring") else "warning"
                self.troubles.append(Trouble(f"shown {seen.place}", seen.place, grave, said.happened,
                                             advice=said.advice, lineage=lineage))

    def server_down(self, name: str) -> None:
        """It was seen serving, and does not serve now."""
        subject = findings.subject_of_server({})
        if subject not in self._memory.standing:
            self.troubles.append(Trouble(subject, name, "critical", "It does not serve."))

    def _facts(self, config_dir: Path) -> dict[str, Any]:
        return {"config_dir": str(config_dir), "server": self._config.server.to_json(), "verb": "watch"}
