"""One pass over one of certbot's configuration directories: what is wrong, and what has been looked at and is well.

What could not be looked at is neither; nothing that goes wrong with one look keeps the others from being made. The
looks are those of :mod:`~certbot_guard.watch.of_files`, :mod:`~certbot_guard.watch.of_runs` and
:mod:`~certbot_guard.watch.of_services`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Optional

from certbot_guard import findings, schedule, servers, sightings, telling
from certbot_guard.config import Config
from certbot_guard.errors import GuardError
from certbot_guard.interfaces import IWebServer
from certbot_guard.passing import Pass
from certbot_guard.run import utc_now
from certbot_guard.standing import Memory
from certbot_guard.watch import files

SINCE = "watched-since"
# Debian's timer waits up to twelve hours: until then a host that was off has not had its turn.
JUST_BOOTED = timedelta(hours=13)


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

    :ivar one: the pass
    :ivar noted: what earlier passes have remembered
    :ivar history: the facts of the runs of this directory
    :ivar read: the renewal configurations could be listed: what is not among them is gone
    :ivar well: by subject, how it is that what was looked at is well
    :ivar serving: whether the web server serves; None where that is not known, or nobody's business
    :ivar problems: what could not be looked at, each a sentence
    :ivar forgotten: of which nobody needs to hear any more: certificates that expired long ago
    """

    def __init__(self, one: Pass, config: Config, memory: Memory, noted: dict[str, str], history: list[dict[str, Any]],
                 eyes: Eyes, changes: dict[str, Optional[str]]) -> None:
        self.one, self.config, self.memory, self.noted, self.history, self.eyes, self.changes = (
            one, config, memory, noted, history, eyes, changes)
        self.now = eyes.now()
        self.directory = Path(one.facts["config_dir"])
        self.stale_after = timedelta(seconds=config.watch.stale_after_seconds)
        self.lineages: list[files.Lineage] = []
        self.well: dict[str, str] = {}
        self.read = False
        self.serving: Optional[bool] = None
        self.problems: list[str] = []
        self.forgotten: set[str] = set()

    @contextmanager
    def carefully(self, what: str) -> Iterator[None]:
        """What goes wrong in one look is said, and the others are made."""
        try:
            yield
        except Exception as error:
            self.problems.append(f"{what} could not be looked at: {type(error).__name__}: {error}")

    def conclude(self) -> None:
        """What stands and was found well is noted, so that people are told that it is over."""
        there = {lineage.name for lineage in self.lineages}
        services = {*self.config.deploy.also_reload, *dict(self.config.deploy.commands)}
        for subject, standing in self.memory.standing.items():
            kind, _, rest = subject.partition(" ")
            if standing.lineage and standing.lineage not in there and self._is_gone(subject, kind, standing.lineage):
                self.well[subject] = "Its renewal configuration is gone."
            elif kind == "service" and rest not in services:
                self.well[subject] = "certbot-guard does not reload it any more."
            elif kind == "settings" and not self.config.problems:
                self.well[subject] = "The settings are in order."
            if subject in self.well:
                self.one.note("seen-well", subject=subject, how=self.well[subject])

    def _is_gone(self, subject: str, kind: str, name: str) -> bool:
        facts = self.one.facts
        own = {findings.subject_of_lineage(facts, name), findings.subject_of_deployment(facts, name)}
        if kind in sightings.OF_A_LINEAGE:
            own.add(self.subject(kind, name))
        return self.read and subject in own and not os.path.lexists(self.directory / "renewal" / f"{name}.conf")

    def subject(self, kind: str, lineage: Optional[str] = None, **more: Any) -> str:
        return sightings.subject(self.one.facts, {"kind": kind, "lineage": lineage, **more})
