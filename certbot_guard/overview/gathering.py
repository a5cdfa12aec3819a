"""Everything that ``status`` and ``report`` show, gathered once. Changes nothing; see :mod:`certbot_guard.overview`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

from certbot_guard import schedule, stakes, standing_rows, statedir, text
from certbot_guard.config import Config
from certbot_guard.errors import StateError
from certbot_guard.overview import books as state
from certbot_guard.overview import certificates, channels, openruns, results, scope, troubles, webserver
from certbot_guard.overview.channels import Channel, Waits
from certbot_guard.overview.lastrun import LastRun, last_run
from certbot_guard.overview.openruns import OpenRun
from certbot_guard.overview.results import RunRow, iso
from certbot_guard.overview.shown import NOWHERE, Served
from certbot_guard.run import Run
from certbot_guard.standing import Memory
from certbot_guard.watch import files, passes
from certbot_guard.watch.looking import Eyes
from certbot_guard.watch.of_services import NOT_WANTED
from certbot_guard.watch.of_services import SERVED as SEEN_SERVING

VERSION = 1


@dataclass
class Overview:
    """:ivar runs: in the history, the newest first
    :ivar attempt: what starts certbot next; None where nothing does
    :ivar waits_elsewhere: messages that wait for the channels of another guard.ini, which is nothing wrong here
    :ivar unknown: what could not be found out, each a sentence
    :ivar state_readable: every state database could be read
    """

    at: datetime
    host: str
    settings: Path
    rows: list[certificates.Row] = field(default_factory=list)
    certbots: list[LastRun] = field(default_factory=list)
    look: webserver.Look = field(default_factory=webserver.Look)
    attempt: Optional[schedule.Attempt] = None
    channels: list[Channel] = field(default_factory=list)
    waits: list[Waits] = field(default_factory=list)
    waits_elsewhere: int = 0
    open_runs: list[OpenRun] = field(default_factory=list)
    troubles: list[troubles.Trouble] = field(default_factory=list)
    runs: list[RunRow] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    state_readable: bool = True
    settings_problems: int = 0

    @property
    def wrong(self) -> list[str]:
        """What stands wrong, each a harmless line, the gravest first; with nothing here the exit code is 0."""
        said = [f"{one.severity}: {text.line(one.name, 120)}: {text.line(one.words, 300)}" for one in self.troubles]
        said += [f"run {text.line(one.id, 60)} is {one.state}" for one in self.open_runs if one.is_trouble]
        said += [f"{one.count} message{'' if one.count == 1 else 's'} for {text.line(one.channel, 120)} not delivered"
                 for one in self.waits]
        return said + ([] if self.state_readable else ["what certbot-guard knows could not all be read"])

    @property
    def stopped_by(self) -> Optional[OpenRun]:
        """The run that has the web server stopped at this moment, for a challenge."""
        return next((one for one in self.open_runs if one.stopped and one.state == openruns.AT_WORK), None)

    def as_json(self) -> dict[str, Any]:
        attempt = self.attempt
        return {
            "version": VERSION, "at": iso(self.at), "host": text.line(self.host, 120), "settings": str(self.settings),
            "ok": not self.wrong, "wrong": self.wrong, "unknown": self.unknown,
            "lineages": [row.to_json(self.at) for row in self.rows],
            "certbot": [one.to_json() for one in self.certbots],
            "server": {**self.look.server.to_json(), "stopped_by": self.stopped_by.id if self.stopped_by else None},
            "served": {"complete": self.look.complete, "words": self.look.words or None},
            "next_attempt": {"at": iso(attempt.when), "source": text.line(attempt.source, 200),
                             "spread_seconds": attempt.spread_seconds} if attempt is not None else None,
            "channels": [one.to_json() for one in self.channels], "outbox": [one.to_json() for one in self.waits],
            "outbox_elsewhere": self.waits_elsewhere,
            "open_runs": [one.to_json() for one in self.open_runs],
            "troubles": [one.to_json() for one in self.troubles], "settings_problems": self.settings_problems}


def gather(config: Config, config_dirs: Optional[Sequence[Path]] = None, seconds: float = webserver.A_LOOK_SECONDS,
           served: bool = True, eyes: Optional[Eyes] = None,
           find: Optional[Callable[..., Any]] = None) -> Overview:
    """Look once.

    :param config_dirs: certbot's configuration directories; None: those that the watch looks at
    :param seconds: how long the web server and other services may be looked at
    :param served: ask what is shown to visitors, too
    :raises StateError: the state directories are there, and may not be looked into.
    """
    eyes = eyes or Eyes()
    now, bases = eyes.now(), statedir.every_directory(config.state_dir)
    found = Overview(now, os.uname().nodename, config.path, settings_problems=len(config.problems))
    with state.open_books(bases) as (books, problems):
        found.unknown += problems
        memory, noted = _remembered(books, config, found)
        known = _history(books, found)
        meant = scope.of(config, config_dirs, [facts for facts, _, _ in known])
        unsettled = openruns.open_runs(bases)
        found.open_runs = [one for one, run in unsettled
                           if one.state == openruns.UNREADABLE or meant.covers(run.facts)]
        known = _with_unsettled(known, [run for _, run in unsettled])
        found.runs = _runs([one for one in known if meant.covers(one[0])], now)
        directories = list(meant.directories)
        looking = webserver.Looking(config, directories, now, seconds, served, find)
        memory = Memory({subject: one for subject, one in memory.standing.items() if passes.is_of(one, directories)},
                        memory.told, memory.waiting)
        fresh = troubles.Found(config, memory, now, eyes.uptime())
        found.rows = [row for one in directories for row in _rows(one, noted, fresh, found)]
        found.certbots = _last_runs(config, directories, found)
        found.attempt = eyes.schedule(now)
        found.channels = channels.of(config)
        found.waits = _quietly(found, lambda: channels.waiting(books, str(config.path)), [])
        found.waits_elsewhere = _quietly(
            found, lambda: sum(one.waiting_elsewhere(str(config.path)) for one in books), 0)
        found.look = looking.result()
        fresh.in_served(found.look.served)
        if _is_missed(found, noted):
            fresh.server_down(found.look.server.name)
        stands = _quietly(found, lambda: troubles.standing(memory, books), [])
        found.troubles = sorted([*stands, *fresh.troubles], key=lambda one: (-stakes.rank(one.severity), one.name))
    tries = certificates.tries(found.runs)
    of_lineage: dict[str, list[troubles.Trouble]] = {}
    for one in found.troubles:
        of_lineage.setdefault(one.lineage, []).append(one)
    found.rows = [_completed(row, found.look, of_lineage.get(row.lineage.name, []), tries.get(row.key))
                  for row in found.rows]
    return found


def _remembered(books: list[state.Book], config: Config, found: Overview) -> tuple[Memory, dict[str, str]]:
    memories, noted = [], {}
    found.state_readable = not found.unknown
    for book in reversed(books):  # the first one counts
        memories.append(_quietly(found, lambda book=book: book.memory(str(config.path)), Memory()))
        noted.update(_quietly(found, lambda book=book: book.noted(str(config.path)), {}))
    return standing_rows.merged(memories), noted


_Known = tuple[dict[str, Any], list[dict[str, Any]], tuple[state.Told, ...]]


def _history(books: list[state.Book], found: Overview) -> list[_Known]:
    """Facts, events, and who was told, of each run once."""
    known: dict[str, _Known] = {}
    for book in books:
        told: dict[str, list[state.Told]] = {}
        for one in _quietly(found, book.told, []):
            told.setdefault(one.run, []).append(one)
        for facts, events in _quietly(found, lambda book=book: list(book.runs()), []):
            identity = str(facts["id"])
            known.setdefault(identity, (facts, events, tuple(told.get(identity, ()))))
    return list(known.values())


def _with_unsettled(known: list[_Known], unsettled: list[Run]) -> list[_Known]:
    """Their directories know more of them than the history does, or alone know of them."""
    told = {str(facts["id"]): who for facts, _, who in known}
    open_ones = {str(run.id) for run in unsettled}
    return [one for one in known if str(one[0]["id"]) not in open_ones] + [
        (run.facts, run.events(), told.get(str(run.id), ())) for run in unsettled]


def _runs(known: list[_Known], now: datetime) -> list[RunRow]:
    rows = [results.row(facts, events, now, told, words=False) for facts, events, told in known]
    return sorted(rows, key=lambda one: (iso(one.started) or "", one.id), reverse=True)


def _quietly(found: Overview, look: Callable[[], Any], otherwise: Any) -> Any:
    """What cannot be read is said, and the rest is shown."""
    try:
        return look()
    except StateError as error:
        found.state_readable = False
        if str(error) not in found.unknown:
            found.unknown.append(str(error))
        return otherwise


def _rows(config_dir: Path, noted: dict[str, str], fresh: troubles.Found, found: Overview) -> list[certificates.Row]:
    problem = certificates.unreadable(config_dir)
    if problem:
        found.unknown.append(problem)
        found.state_readable = False
        return []
    lineages = list(files.read(config_dir))
    rows = [certificates.Row(config_dir, one, certificates.guarded(one, noted, found.state_readable))
            for one in lineages]
    fresh.in_files(config_dir, lineages, {row.lineage.name for row in rows if row.guarded == certificates.LOST})
    return rows


def _last_runs(config: Config, directories: list[Path], found: Overview) -> list[LastRun]:
    """The usual directory, where certbot's are elsewhere, has nothing to say."""
    known = [last_run(config, one, found.runs) for one in directories]
    there = {row.config_dir for row in found.rows}
    return [one for one in known if one.at is not None or one.config_dir in there] or known[:1]


def _completed(row: certificates.Row, look: webserver.Look, about: list[troubles.Trouble],
               tried: Optional[certificates.Try]) -> certificates.Row:
    own = [one for one in about if one.is_of(*row.key)]
    told: dict[str, Optional[datetime]] = {}
    for heard in [heard for one in own for heard in one.told]:
        known = [when for when in (told.get(heard.channel), heard.since) if when is not None]
        told[heard.channel] = min(known, default=None)
    served = look.served.get(row.key) or Served(NOWHERE if look.complete else Served().state)
    return replace(row, served=served, told=tuple(sorted(told.items())), tried=tried,
                   severity=stakes.gravest([one.severity for one in own]) if own else "")


def _is_missed(found: Overview, noted: dict[str, str]) -> bool:
    server = found.look.server
    return (server.serving is False and SEEN_SERVING in noted and server.unit_file_state not in NOT_WANTED
            and os.geteuid() == 0 and not any(one.stopped for one in found.open_runs))
