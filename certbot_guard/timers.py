"""systemd's timers that run certbot, and when they do next. Changes nothing; used by :mod:`certbot_guard.schedule`."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone
from typing import Callable, Optional, Sequence

from certbot_guard import cron
from certbot_guard.servers import execute

# Runs a command for at most that many seconds, and returns what it printed; raises whatever it likes.
Ask = Callable[[Sequence[str], float], str]
# When, or None where nobody can say; the timer's name; how many seconds it may be later, at random
Upcoming = tuple[Optional[datetime], str, Optional[float]]

KNOWN = frozenset({"certbot.timer", "snap.certbot.renew.timer", "certbot-renew.timer"})
OUTPUT_LIMIT_BYTES = 512 * 1024
_PROPERTIES = ("Id", "Unit", "ActiveState", "NextElapseUSecRealtime", "NextElapseUSecMonotonic",
               "RandomizedDelayUSec", "TimersCalendar")
_STAMP = re.compile(r"\w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)? UTC")
_SPAN_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Zµ]+)")
# systemd 252 time-util.c: format_timespan(); a year is 365.25 days there, a month a twelfth of it
_SECONDS_IN = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800, "month": 2629800,
               "y": 31557600}
_CALENDARS_LIMIT = 3
_NOW_SECONDS = 60.0


def upcoming(now: datetime, deadline: float, ask: Optional[Ask] = None) -> list[Upcoming]:
    """Each active timer that runs certbot.

    :param deadline: on the monotonic clock; what is not known by then is left out
    :raises Exception: systemd does not answer; whoever calls this goes without
    """
    run = ask or systemd
    shown = run(["systemctl", "show", "--no-pager", "-p", ",".join(_PROPERTIES), "*.timer"], left(deadline))
    active = [timer for timer in blocks(shown) if timer.get("ActiveState") == "active"]
    others = {timer.get("Unit", "") for timer in active if timer.get("Id") not in KNOWN} - {""}
    renewing: set[str] = set()
    if others:
        services = run(["systemctl", "show", "--no-pager", "-p", "Id,ExecStart", "--", *sorted(others)[:200]],
                       left(deadline))
        renewing = {service["Id"] for service in blocks(services)
                    if "Id" in service and cron.renews(service.get("ExecStart", ""))}
    found: list[Upcoming] = []
    for timer in active:
        if timer.get("Id") in KNOWN or timer.get("Unit") in renewing:
            try:
                found.append(_next(timer, now, deadline, run))
            except (OSError, TimeoutError):  # the others' times are known all the same
                found.append((None, timer["Id"], None))
    return found


def switched_off(ask: Optional[Ask] = None) -> list[str]:
    """certbot's own timers that are installed and not active; none where systemd does not say."""
    try:
        shown = (ask or systemd)(["systemctl", "show", "--no-pager", "-p", "Id,ActiveState,LoadState", "--", *sorted(KNOWN)], 2.0)
    except Exception:  # nobody can say
        return []
    return [timer["Id"] for timer in blocks(shown) if timer.get("Id") in KNOWN
            and timer.get("LoadState") in ("loaded", "masked") and timer.get("ActiveState") != "active"]


def systemd(command: Sequence[str], seconds: float) -> str:
    """:data:`Ask` on this machine."""
    # systemctl shows times in our zone, and names of zones cannot be read back; systemd-analyze reads them in our zone.
    zone = {"TZ": "UTC"} if command[0] == "systemctl" else {}
    result = execute.run(command, {"LANG": "C", "LC_ALL": "C", **zone}, seconds, limit_bytes=OUTPUT_LIMIT_BYTES)
    return result.output if result.code == 0 else ""


def _next(timer: dict[str, str], now: datetime, deadline: float, run: Ask) -> Upcoming:
    name = timer["Id"]
    due = [when for when in (stamp(timer.get("NextElapseUSecRealtime", "")),
                             _since_boot(timer.get("NextElapseUSecMonotonic", ""), now)) if when and when > now]
    if due:  # what it waits for; chance is already in it
        return min(due), name, None
    # While its service runs, as it does when that very service asks, a timer shows the time that has passed.
    delay = span(timer.get("RandomizedDelayUSec", ""))
    coming = []
    for calendar in re.findall(r"OnCalendar=(.*?) ;", timer.get("TimersCalendar", ""))[:_CALENDARS_LIMIT]:
        # Asked of another moment than this one (systemd 244).
        base = [f"--base-time={now:%Y-%m-%d %H:%M:%S} UTC"] if abs(now.timestamp() - time.time()) > _NOW_SECONDS else []
        said = run(["systemd-analyze", "calendar", *base, "--", calendar], left(deadline))
        coming += [when for when in map(stamp, re.findall(r"(?:Next elapse|\(in UTC\)): (.*)", said)) if when]
    return (min(coming) if coming else None), name, delay or None


def blocks(shown: str) -> list[dict[str, str]]:
    """What ``systemctl show`` said of each unit. A property that comes again, such as a second OnCalendar, is added."""
    found = []
    for block in re.split(r"\n\s*\n", shown):
        unit: dict[str, str] = {}
        for name, equals, value in (line.partition("=") for line in block.splitlines()):
            if equals:
                unit[name] = f"{unit[name]} {value}" if name in unit else value
        found += [unit] if unit else []
    return found


def stamp(shown: str) -> Optional[datetime]:
    match = _STAMP.search(shown)
    if match:
        return datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
    # systemd 219 (RHEL 7) shows this moment as a time span since 1970.
    seconds = span(shown)
    return datetime.fromtimestamp(seconds, timezone.utc) if seconds and 1e9 < seconds < 1e11 else None


def _since_boot(shown: str, now: datetime) -> Optional[datetime]:
    seconds = span(shown)
    return now + timedelta(seconds=seconds - time.monotonic()) if seconds and seconds < 1e9 else None


def span(shown: str) -> Optional[float]:
    """``1d 2h 30min`` in seconds; None for ``infinity``, ``n/a`` and nothing at all."""
    if not re.fullmatch(rf"(?:{_SPAN_PART.pattern}\s*)+", shown.strip()):
        return None
    parts = _SPAN_PART.findall(shown)
    return sum(float(number) * _SECONDS_IN[unit] for number, unit in parts) if all(
        unit in _SECONDS_IN for _, unit in parts) else None


def left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("systemd takes too long")
    return seconds
