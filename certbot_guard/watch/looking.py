"""One pass over one of certbot's configuration directories: what is wrong, and what has been looked at and is well.

What could not be looked at is neither; nothing that goes wrong with one look keeps the others from being made.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Optional

from certbot_guard import findings, invocation, schedule, serverlock, servers, sightings, stakes, statedir, telling
from certbot_guard.config import Config
from certbot_guard.errors import GuardError
from certbot_guard.interfaces import IWebServer
from certbot_guard.outages import parsed
from certbot_guard.passing import Pass
from certbot_guard.phrases import duration, moment
from certbot_guard.run import open_windows, runs_below, utc_now
from certbot_guard.standing import Memory
from certbot_guard.watch import ari, attempts, files

SINCE = "watched-since"
_SERVED, _GUARDED, _RAN, _SCHEDULED, _UNSCHEDULED = "served", "guarded ", "ran ", "scheduled ", "unscheduled "
# A unit that a person has taken out of use is not missed.
_NOT_WANTED = frozenset({"disabled", "masked", "masked-runtime"})
# A restart, by an upgrade for example, is no outage to tell of.
_RESTART_SECONDS = 10.0
# Debian's timer waits up to twelve hours: until then a host that was off has not had its turn.
_JUST_BOOTED = timedelta(hours=13)
_WELL = {"not-renewed": "It has been renewed.", "revoked": "The CA asks for nothing any more.",
         "plugin-missing": "The plugin is installed.", "key-mismatch": "They fit each other again."}


def find_server(config: Config) -> Optional[IWebServer]:
    """The controller of the web server, or None where there is none: a host that has only certificates on its disk."""
    if not config.server_usable:
        return None
    try:
        return servers.find(config.server, dict(os.environ))
    except GuardError:
        return None


def _uptime() -> timedelta:
    try:
        return timedelta(seconds=float(Path("/proc/uptime").read_text("ascii").split()[0]))
    except (OSError, ValueError, IndexError):
        return timedelta.max


def _is_unreadable(key: str) -> bool:
    return any(part.startswith("renewal-configuration") for part in key.split("+"))


def _changed(path: Optional[Path]) -> float:
    try:
        return os.lstat(path).st_ctime if path is not None else 0.0
    except OSError:
        return 0.0


@dataclass(frozen=True)
class Eyes:
    """What a pass looks with; a test that lives through thirty days passes its own clock and services."""

    now: Callable[[], datetime] = utc_now
    outside: telling.Outside = telling.Outside()
    find_server: Callable[[Config], Optional[IWebServer]] = find_server
    look_at_services: Optional[Callable[..., Any]] = None
    schedule: Callable[[datetime], Any] = schedule.next_attempt
    pause: Callable[[float], None] = time.sleep
    uptime: Callable[[], timedelta] = _uptime


class Look:
    """What it finds are events of its :class:`Pass`; ``changes`` gets what is to be remembered until the next one.

    :param history: the facts of the runs of this directory
    :ivar serving: whether the web server serves; None where that is not known, or nobody's business
    :ivar problems: what could not be looked at, each a sentence
    :ivar forgotten: of which nobody needs to hear any more: certificates that expired long ago
    """

    def __init__(self, one: Pass, config: Config, memory: Memory, noted: dict[str, str], history: list[dict[str, Any]],
                 eyes: Eyes, changes: dict[str, Optional[str]]) -> None:
        self._pass, self._config, self._memory, self._noted, self._history, self._eyes, self._changes = (
            one, config, memory, noted, history, eyes, changes)
        self._now = eyes.now()
        self._directory = Path(one.facts["config_dir"])
        self._stale_after = timedelta(seconds=config.watch.stale_after_seconds)
        self._lineages: list[files.Lineage] = []
        self._well: dict[str, str] = {}
        self._read = False  # the renewal configurations could be listed: what is not among them is gone
        self.serving: Optional[bool] = None
        self.problems: list[str] = []
        self.forgotten: set[str] = set()

    @contextmanager
    def _carefully(self, what: str) -> Iterator[None]:
        """What goes wrong in one look is said, and the others are made."""
        try:
            yield
        except Exception as error:
            self.problems.append(f"{what} could not be looked at: {type(error).__name__}: {error}")

    def conclude(self) -> None:
        """What stands and was found well is noted, so that people are told that it is over."""
        there = {lineage.name for lineage in self._lineages}
        services = {*self._config.deploy.also_reload, *dict(self._config.deploy.commands)}
        for subject, standing in self._memory.standing.items():
            kind, _, rest = subject.partition(" ")
            if standing.lineage and standing.lineage not in there and self._is_gone(subject, kind, standing.lineage):
                self._well[subject] = "Its renewal configuration is gone."
            elif kind == "service" and rest not in services:
                self._well[subject] = "certbot-guard does not reload it any more."
            elif kind == "settings" and not self._config.problems:
                self._well[subject] = "The settings are in order."
            if subject in self._well:
                self._pass.note("seen-well", subject=subject, how=self._well[subject])

    def _is_gone(self, subject: str, kind: str, name: str) -> bool:
        facts = self._pass.facts
        own = {findings.subject_of_lineage(facts, name), findings.subject_of_deployment(facts, name)}
        if kind in sightings.OF_A_LINEAGE:
            own.add(self._subject(kind, name))
        return self._read and subject in own and not os.path.lexists(self._directory / "renewal" / f"{name}.conf")

    def _subject(self, kind: str, lineage: Optional[str] = None, **more: Any) -> str:
        return sightings.subject(self._pass.facts, {"kind": kind, "lineage": lineage, **more})

    # -- certbot's files -------------------------------------------------------------------------------------

    def at_files(self) -> None:
        """Every renewal configuration, and what it names."""
        with self._carefully(f"{self._directory}/renewal"):
            if not os.path.lexists(self._directory / "renewal"):
                return  # certbot has never been here, or its directory is not mounted
            os.listdir(self._directory / "renewal")
            plugins = files.installed_plugins()
            for lineage in files.read(self._directory):
                self._lineages.append(lineage)
                with self._carefully(f"the lineage {lineage.name}"):
                    self._look_at(lineage, plugins)
            self._read = True
        self._forget_guards()
        with self._carefully("what the CAs say of renewals"):
            ari.look(self._lineages, self._pass.note, self._now, self._noted, self._changes, self._eyes.schedule)
            for lineage in self._lineages:
                row = self._memory.standing.get(self._subject("revoked", lineage.name))
                if row is not None and lineage.validity is not None and row.subject not in self.forgotten:
                    renewed = row.not_after is not None and lineage.validity.not_after > row.not_after
                    self._well[row.subject] = "It was renewed." if renewed else _WELL["revoked"]

    def _look_at(self, lineage: files.Lineage, plugins: frozenset[str]) -> None:
        skipped: set[str] = set()

        def note(kind: str, **fields: Any) -> None:
            if self._is_told_by_runs(kind, lineage):
                skipped.add(kind)
            else:
                self._pass.note(kind, **fields)

        looked = files.look(lineage, note, self._now, self._stale_after, plugins) - skipped
        for kind in looked & set(_WELL):
            self._well[self._subject(kind, lineage.name)] = _WELL[kind]
        row = self._memory.standing.get(findings.subject_of_lineage(self._pass.facts, lineage.name))
        # certbot looks closer than we do (at links, for example): it can read what it could not only if something changed.
        if row is not None and not lineage.error and _is_unreadable(row.key) and any(
                _changed(path) > row.seen.timestamp() for path in (lineage.path, lineage.certificate, lineage.key)):
            self._well[row.subject] = "certbot can read it."
        if not lineage.guarded and not lineage.error:
            self._well[self._subject("plugin-missing", lineage.name)] = "It is not guarded any more."
        if files.is_forgotten(lineage, self._now):
            self.forgotten |= {self._subject(kind, lineage.name) for kind in ("not-renewed", "revoked")}
        self._look_at_guard(lineage)

    def _is_told_by_runs(self, kind: str, lineage: files.Lineage) -> bool:
        """certbot's own runs tell of the same, and remind of it."""
        told = self._memory.standing.get(findings.subject_of_lineage(self._pass.facts, lineage.name))
        if kind not in ("not-renewed", "lineage-broken"):
            return False
        if kind == "not-renewed" and self._eyes.uptime() < _JUST_BOOTED and stakes.severity(
                lineage.validity, self._now) != "critical":
            return True  # its run comes after the boot
        if told is None or self._now - told.seen > self._stale_after:
            return False
        return kind == "lineage-broken" or stakes.rank(told.severity) >= stakes.rank(
            stakes.severity(lineage.validity, self._now))

    def _look_at_guard(self, lineage: files.Lineage) -> None:
        name, subject = f"{_GUARDED}{lineage.path}", self._subject("lost-guard", lineage.name)
        if lineage.error:
            return
        if lineage.guarded:
            self._well[subject] = "Its renewal configuration says installer = guard again."
            if name not in self._noted:
                self._changes[name] = self._now.isoformat()
        elif name in self._noted and lineage.installer:
            self._changes[name] = None  # certbot never writes another installer there by itself: somebody chose it
            self._well[subject] = "Another installer was chosen for it."
        elif name in self._noted:
            self._pass.note("lost-guard", lineage=lineage.name, names=list(lineage.names), installer="none")

    def _forget_guards(self) -> None:
        """Of lineages that are gone as a whole, on purpose."""
        there = {str(lineage.path) for lineage in self._lineages}
        for name in self._noted:
            path = Path(name[len(_GUARDED):])
            if name.startswith(_GUARDED) and path.parent.parent == self._directory and not (
                    str(path) in there or os.path.lexists(path)):
                self._changes[name] = None

    # -- its runs --------------------------------------------------------------------------------------------

    def at_attempts(self) -> None:
        """When certbot last ran, what it said, and whether anything will start it again."""
        with self._carefully("certbot's runs"):
            self._look_at_attempts()

    def _look_at_attempts(self) -> None:
        stale, unscheduled = self._subject("stale"), self._subject("no-timer")
        if not self._read or (self._lineages and all(lineage.error for lineage in self._lineages)):
            return
        if not any(lineage.autorenew and not lineage.error for lineage in self._lineages):
            for subject in (stale, unscheduled, *([] if self._lineages else [
                    findings.subject_of_certbot(self._pass.facts)])):
                self._well[subject] = "certbot has nothing to renew here."
            return
        last = attempts.last_run(self._logs_dir(), self._directory)
        newest = attempts.newest_run(last, self._history, parsed(self._noted.get(f"{_RAN}{self._directory}")))
        if newest is not None:
            self._changes[f"{_RAN}{self._directory}"] = newest.isoformat()
        limit = max(self._stale_after, 2 * attempts.period(self._now, self._eyes.schedule))
        # Where no run was ever seen, as of a certbot in a container, it is missed when something is due.
        missed = newest is not None or any((lineage.due() or self._now) < self._now for lineage in self._lineages)
        since = newest or parsed(self._noted.get(SINCE)) or self._now
        alive = self._now - since <= limit or not missed
        if alive:
            self._well[stale] = "certbot has run."
        elif self._eyes.uptime() >= _JUST_BOOTED:
            self._pass.note("stale", last=moment(newest) if newest is not None else None,
                            limit=duration(limit.total_seconds()))
        self._look_at_schedule(alive, unscheduled)
        self._hear_of(last)

    def _look_at_schedule(self, alive: bool, subject: str) -> None:
        was, missing = f"{_SCHEDULED}{self._directory}", f"{_UNSCHEDULED}{self._directory}"
        found: list[dict[str, Any]] = []

        def note(_kind: str, **fields: Any) -> None:
            found.append(fields)

        if attempts.look_at_schedule(note, self._now, alive, was in self._noted, self._eyes.schedule):
            self._changes.update({was: self._now.isoformat(), missing: None})
            self._well[subject] = "It is scheduled again."
        elif not found:
            self._changes[missing] = None
            self._well[subject] = "It runs all the same."
        elif not alive or missing in self._noted or subject in self._memory.standing:
            self._pass.note("no-timer", **found[0])
        else:  # systemd may only have been slow to answer: told when the next look finds none either
            self._changes[missing] = self._now.isoformat()

    def _hear_of(self, last: Optional[attempts.LastRun]) -> None:
        ended = attempts.look(last, self._history, self._pass.note, lambda event: self._is_mended(event, last))
        row = self._memory.standing.get(findings.subject_of_certbot(self._pass.facts))
        if ended is None:
            return
        if row is not None and ended > row.seen:
            self._well[row.subject] = "certbot ran to its end."
        for subject, standing in self._memory.standing.items():
            if subject.startswith(f"hook {self._directory} ") and ended > standing.seen:
                self._well[subject] = "The last run had no trouble with hooks."

    def _is_mended(self, event: dict[str, Any], last: Optional[attempts.LastRun]) -> bool:
        """What a log tells of is over where its lineage is gone, or was changed or renewed since."""
        if event["kind"] not in ("lineage-failed", "lineage-broken") or last is None:
            return False
        name = str(event.get("lineage") or Path(str(event.get("path") or "")).stem)
        known = next((lineage for lineage in self._lineages if lineage.name == name), None)
        if known is None:
            return True
        for path in (known.path, known.certificate):
            try:
                if path is not None and os.stat(path).st_mtime > last.ended.timestamp() + 1:
                    return True
            except OSError:
                continue
        return False

    def _logs_dir(self) -> Path:
        if self._config.certbot_logs_dir is not None:
            return self._config.certbot_logs_dir
        known = next((str(facts["logs_dir"]) for facts in self._history if facts.get("logs_dir")), "")
        return Path(known) if known else invocation.read(["--config-dir", str(self._directory)]).logs_dir

    # -- the web server, and what is shown -------------------------------------------------------------------

    def at_server(self, server: Optional[IWebServer]) -> bool:
        """Whether it is one that should serve, and so is spoken of. A window of a run's is no trouble."""
        if server is None or self._config.watch.served == "no":
            return False
        with self._carefully(server.name):
            return self._look_at_server(server)
        return False

    def _look_at_server(self, server: IWebServer) -> bool:
        seen = self._seen(server)
        if seen is None:
            return False
        missed = _SERVED in self._noted and seen.get("unit_file_state") not in _NOT_WANTED and os.geteuid() == 0
        if not seen["serving"] and missed:
            self._eyes.pause(_RESTART_SECONDS)
            seen = self._seen(server)
            if seen is None:
                return False
        if seen["serving"]:
            self.serving = True
            self._changes[_SERVED] = self._now.isoformat()
            return True
        if not missed:
            if seen.get("unit_file_state") in _NOT_WANTED:
                self._changes[_SERVED] = None
                self._well[findings.subject_of_server(self._pass.facts)] = "It was taken out of use."
            return False
        self.serving = False
        self._pass.note("server-down", reason=f"it was seen serving last at {moment(parsed(self._noted[_SERVED]))}")
        return True

    def _seen(self, server: IWebServer) -> Optional[dict[str, Any]]:
        """What it looks like, unless a run of certbot's has it stopped, or is about to start it."""
        with serverlock.unless_taken(server.identity) as free:
            if not free or any(open_windows(run.events()) for run in runs_below(
                    statedir.every_directory(self._config.state_dir))):
                return None
            return dict(server.look())

    def at_services(self, server: Optional[IWebServer], config_dirs: Sequence[Path]) -> None:
        """What the web server, and the endpoints of guard.ini, show."""
        with self._carefully("what is shown to visitors"):
            look = self._eyes.look_at_services
            if look is None:
                from certbot_guard.watch import services

                look = services.look
            shown: list[dict[str, Any]] = []

            def keep(_kind: str, **fields: Any) -> None:
                shown.append(fields)

            seen = look(self._config, config_dirs, server if self.serving else None, keep, self._now)
            asked, complete = seen.asked, seen.complete
            silent = {str(one["place"]) for one in shown if one.get("what") == "served-silent"} - seen.endpoints
            if silent and server is not None and self._is_stopped_now(server):
                # A run has stopped it for a challenge meanwhile.
                shown = [one for one in shown if one["place"] not in silent]
                asked, complete = asked - silent, False
            for one in shown:
                self._pass.note("shown", **one)
            self._find_well(asked, complete, seen.endpoints)

    def _is_stopped_now(self, server: IWebServer) -> bool:
        now = self._seen(server)
        return now is None or not now["serving"]

    def _find_well(self, asked: frozenset[str], complete: bool, endpoints: frozenset[str]) -> None:
        shown = [event for event in self._pass.events() if event["kind"] == "shown"]
        wrong = {event.get("lineage") for event in shown}
        for subject, standing in self._memory.standing.items():
            kind, _, place = subject.partition(" ")
            if kind == "shown" and place in asked:
                self._well[subject] = "What is shown there is right again."
            elif kind == "shown" and complete:
                self._well[subject] = "It is not looked at any more."
            elif kind == "deployed" and complete and standing.lineage not in wrong:
                self._well[subject] = "The new certificate is what is shown."
            elif kind == "service" and endpoints and endpoints <= asked and not shown:
                self._well[subject] = "What the endpoints show is right."
