"""When the renewal is tried next: systemd's timers and cron's tables, read as they are on this machine.

Looks, never changes anything, never raises, and is back within about two seconds: a message waits for it. What it
cannot find out it says so. Used by what writes messages and by the ``certbot-guard`` command.
"""

from __future__ import annotations

import io
import os
import re
import time
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from pathlib import Path
from typing import Callable, Optional
from zoneinfo import ZoneInfo

from certbot_guard import cron, crontables, plainfile, text, timers
from certbot_guard.crontables import Places

# For all of it, and for systemd's part: one that hangs leaves time for the crontabs.
SECONDS, SYSTEMD_SECONDS = 1.8, 1.2
_LOCALTIME, _LOCALTIME_LIMIT_BYTES = "/etc/localtime", 1024 * 1024
NOT_FOUND = "no timer and no crontab line that runs certbot was found"

# Debian's line, that of certbot's instructions (until 2021), and a shell's own
_SLEEPS = (re.compile(r"sleep\W+int\W*rand\W*(\d+)"), re.compile(r"sleep\W*random\.random\W*\*\s*(\d+)"),
           re.compile(r"sleep\s+\S*RANDOM\s*\\?%\s*(\d+)"), re.compile(r"sleep\s+(\d+)\b"))
_ANACRON_FIRST = re.compile(r"test\s+-x\s+(\S*/anacron)\s*\|\||\[\s+-x\s+(\S*/anacron)\s+\]\s*\|\|")


@dataclass(frozen=True)
class Attempt:
    """The next attempt. ``when`` is None where something will start it and nobody can say when.

    :ivar source: ``certbot.timer``, or ``/etc/cron.d/certbot, line 18``
    :ivar spread_seconds: how much later it may be, at random; None: not at all
    """

    when: Optional[datetime]
    source: str
    spread_seconds: Optional[float] = None


def next_attempt(now: datetime, places: Optional[Places] = None, ask: Optional[timers.Ask] = None,
                 systemd: Optional[bool] = None, zone: Optional[tzinfo] = None) -> Optional[Attempt]:
    """The earliest attempt after ``now`` (aware) that a timer or crontab line will make; None if there is none.

    :param ask: runs systemctl and systemd-analyze
    :param systemd: whether systemd runs here
    :param zone: cron's time zone
    """
    began = time.monotonic()
    under_systemd = os.path.isdir("/run/systemd/system") if systemd is None else systemd
    found: list[Attempt] = []
    looks: list[Callable[[], list[Attempt]]] = [
        lambda: _of_cron(now, places or Places(), under_systemd, zone or local_zone(), began + SECONDS)]
    if under_systemd:
        looks.insert(0, lambda: [Attempt(*timer) for timer in timers.upcoming(now, began + SYSTEMD_SECONDS, ask)])
    for look in looks:
        try:
            found += look()
        except Exception:  # nosec B110 # a message says less rather than nothing
            pass
    known = [attempt for attempt in found if attempt.when is not None]
    return min(known, key=lambda attempt: attempt.when) if known else (found[0] if found else None)  # type: ignore[arg-type,return-value]


def words(attempt: Optional[Attempt], now: datetime, source: bool = True) -> str:
    """``2026-11-24 16:17 UTC, in 12 hours (certbot.timer)``: harmless, one line. ``source``: say what starts it."""
    if attempt is None:
        return NOT_FOUND
    end = f" ({text.line(attempt.source, 160)})" if source else ""
    if attempt.when is None:
        return f"at a time that is not known{end}"
    shown = f"{attempt.when.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
    if attempt.spread_seconds and attempt.spread_seconds >= 60:
        return f"at {shown} or up to {_length(attempt.spread_seconds)} later{end}"
    return f"{shown}, in {_length((attempt.when - now).total_seconds())}{end}"


def local_zone() -> tzinfo:
    """The machine's time zone, with its rules; cron has no other."""
    try:
        return ZoneInfo.from_file(io.BytesIO(plainfile.whole(_LOCALTIME, _LOCALTIME_LIMIT_BYTES)))
    except (OSError, ValueError):
        return timezone.utc


def _length(seconds: float) -> str:
    if seconds < 90:
        return "1 minute" if seconds > 30 else "less than a minute"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} minutes"
    hours = round(seconds / 3600)
    return f"{hours} hours" if hours < 48 else f"{round(seconds / 86400)} days"


# -- cron --------------------------------------------------------------------------------------------------------------


def _of_cron(now: datetime, places: Places, systemd: bool, zone: tzinfo, deadline: float) -> list[Attempt]:
    entries = [entry for _, _, table in crontables.tables(places, deadline) for entry in table.entries]
    found = []
    for entry in entries:
        if time.monotonic() > deadline:
            break
        if cron.renews(entry.command) and not crontables.does_nothing(entry.command, systemd):
            found += _attempts(entry, now, zone, f"{entry.source_path}, line {entry.line_number}", entry.command)
    for directory in places.periodic:
        for script, body in _scripts(directory, places, systemd, deadline):
            found += _periodic(directory, script, body, entries, places, now, zone)
    return found


def _attempts(entry: cron.Entry, now: datetime, zone: tzinfo, source: str, command: str) -> list[Attempt]:
    when = entry.next_after(now, zone)
    return [Attempt(when, source, _sleep_seconds(command))] if when else []


def _sleep_seconds(command: str) -> Optional[float]:
    for pattern in _SLEEPS:
        match = pattern.search(command)
        if match:
            return float(match[1][:7])
    return None


def _scripts(directory: Path, places: Places, systemd: bool, deadline: float) -> list[tuple[Path, str]]:
    """The scripts of /etc/cron.daily and the like that renew, with what they say."""
    said = ((path, crontables.without_comments(text)) for path, text in crontables.scripts(directory, places, deadline))
    return [(path, body) for path, body in said if any(map(cron.renews, body.split("\n")))
            and not crontables.does_nothing(body, systemd)]


def _periodic(directory: Path, script: Path, body: str, entries: list[cron.Entry], places: Places, now: datetime,
              zone: tzinfo) -> list[Attempt]:
    """When ``script`` runs: as often as a crontab line runs its directory, or whenever anacron finds the time."""
    found: list[Attempt] = []
    for entry in entries:
        if not re.search(rf"{re.escape(str(directory))}(?![\w.-])", entry.command):
            continue
        anacron = _ANACRON_FIRST.search(entry.command)
        if not (anacron and os.access(anacron[1] or anacron[2], os.X_OK)):
            found += _attempts(entry, now, zone, str(script), body)
        else:
            found.append(Attempt(None, f"{script}, run by anacron"))
    if re.search(rf"^[^#]*{re.escape(str(directory))}(?![\w.-])", crontables.read(places.anacrontab), re.MULTILINE):
        found.append(Attempt(None, f"{script}, run by anacron"))
    return found
