"""systemd's services that timers start and that run certbot: what their unit files say. Changes nothing.

Used by :mod:`certbot_guard.jobs`. When a timer's time comes is in :mod:`certbot_guard.timers`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from certbot_guard import crontables, timers

_SHOWN = "Id,Unit,LoadState,ActiveState,TimersCalendar,TimersMonotonic"
_SERVICE_SHOWN = "Id,LoadState,FragmentPath,DropInPaths,ExecStart"
_UNITS_LIMIT = 200
_DAILY = re.compile(r"\*-\*-\* ([0-9]+(?:,[0-9]+)*):([0-9]+(?:,[0-9]+)*):[0-9]+")
_ITERATIONS = 61
_DAY = 86400.0
_EXEC = re.compile(r"(ExecStart|ExecStartPre|ExecStartPost|ExecStop|ExecStopPost|Environment|User)\s*=\s*(.*)",
                   re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One line of a unit file: ``ExecStart=/usr/bin/certbot -q renew``."""

    path: Path
    number: int
    key: str
    value: str
    text: str


@dataclass(frozen=True)
class Service:
    """:ivar lines: of the unit file and what is dropped in, those that count, in their order
    :ivar said: systemd's own words for ``ExecStart``, where the files cannot be read
    :ivar runs_per_month: in 30 days, by its timer; None where nobody can say
    """

    name: str
    timer: str
    active: bool
    path: Optional[Path]
    said: str = ""
    lines: list[Line] = field(default_factory=list)
    runs_per_month: Optional[float] = None


def started_by_timers(deadline: float, ask: Optional[timers.Ask] = None) -> list[Service]:
    """Each service that a timer starts: those of active timers, and of certbot's own timers whether active or not.

    :raises Exception: systemd does not answer
    """
    run = ask or timers.systemd
    found: dict[str, dict[str, str]] = {}
    for patterns in (["*.timer"], sorted(timers.KNOWN)):  # a timer that is off is shown only when it is named
        shown = run(["systemctl", "show", "--no-pager", "-p", _SHOWN, "--", *patterns], timers.left(deadline))
        for timer in timers.blocks(shown):
            if timer.get("LoadState", "loaded") == "loaded" and timer.get("Id", "").endswith(".timer"):
                found.setdefault(timer["Id"], timer)
    wanted = {name: timer for name, timer in found.items()
              if timer.get("ActiveState") == "active" or name in timers.KNOWN}
    units = sorted({_unit(timer) for timer in wanted.values()})[:_UNITS_LIMIT]
    if not units:
        return []
    shown = run(["systemctl", "show", "--no-pager", "-p", _SERVICE_SHOWN, "--", *units], timers.left(deadline))
    services = {service["Id"]: service for service in timers.blocks(shown)
                if "Id" in service and service.get("LoadState", "loaded") == "loaded"}
    made = []
    for name, timer in wanted.items():
        service = services.get(_unit(timer))
        if service is not None:
            paths = [Path(path) for path in [service.get("FragmentPath", ""), *service.get("DropInPaths", "").split()]
                     if path.startswith("/")]
            made.append(Service(service["Id"], name, timer.get("ActiveState") == "active", paths[0] if paths else None,
                                service.get("ExecStart", ""), _lines(paths), _How(timer, run, deadline).often()))
    return made


def _unit(timer: dict[str, str]) -> str:
    return timer.get("Unit") or re.sub(r"\.timer$", ".service", timer["Id"])


def _lines(paths: list[Path]) -> list[Line]:
    found: list[Line] = []
    for path in paths:
        section = ""
        for number, text in _joined(crontables.read(path)):
            stripped = text.strip()
            if stripped.startswith("["):
                section = stripped
            match = _EXEC.fullmatch(stripped)
            if not match or section != "[Service]":
                continue
            if match[2].strip():
                found.append(Line(path, number, match[1], match[2].strip(), text))
            else:  # systemd.service(5): an empty assignment takes back what was there
                found = [line for line in found if line.key != match[1]]
    return found


def _joined(said: str) -> list[tuple[int, str]]:
    """The lines of a unit file that are no comments, continued ones joined, with the number of the first."""
    found: list[tuple[int, str]] = []
    begun: Optional[int] = None
    for number, line in enumerate(said.split("\n"), 1):
        if line.lstrip().startswith(("#", ";")):
            continue
        text = f"{found[-1][1][:-1]} {line.strip()}" if begun is not None else line
        if begun is not None:
            found[-1] = (begun, text)
        else:
            found.append((number, text))
        begun = found[-1][0] if text.endswith("\\") else None
    return found


class _How:
    """How often a timer comes round."""

    def __init__(self, timer: dict[str, str], run: timers.Ask, deadline: float) -> None:
        self.timer, self.run, self.deadline = timer, run, deadline

    def often(self) -> Optional[float]:
        calendars = re.findall(r"OnCalendar=(.*?) ;", self.timer.get("TimersCalendar", ""))[:3]
        spans = [timers.span(shown) for shown in
                 re.findall(r"OnUnit(?:Active|Inactive)U?Sec=(.*?) ;", self.timer.get("TimersMonotonic", ""))]
        known = [often for often in map(self._by_calendar, calendars) if often]
        known += [30 * _DAY / seconds for seconds in spans if seconds]
        return sum(known) if known else None

    def _by_calendar(self, calendar: str) -> Optional[float]:
        match = _DAILY.fullmatch(calendar)
        if match:
            return 30.0 * (match[1].count(",") + 1) * (match[2].count(",") + 1)
        try:
            said = self.run(["systemd-analyze", "calendar", f"--iterations={_ITERATIONS}", "--", calendar],
                            timers.left(self.deadline))
        except (OSError, TimeoutError):
            return None
        when = sorted({moment for moment in map(timers.stamp, re.findall(
            r"(?:Next elapse|Iter[^:\n]*|\(in UTC\)): (.*)", said)) if moment})
        return (len(when) - 1) * 30 * _DAY / (when[-1] - when[0]).total_seconds() if len(when) > 1 else None
