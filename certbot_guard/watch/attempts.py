"""When certbot last ran, what it said then, and what will start it again. Reads certbot's logs; changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional

from certbot_guard import invocation, logfile, logrecords, plainfile, schedule, timers
from certbot_guard.outages import parsed

# certbot 5.8 log.py keeps a thousand. What else is run, such as 'certbot certificates' every hour, has logs of its own.
_LOGS_LIMIT = 400
_HEAD_BYTES = 64 * 1024
_SAME_RUN = timedelta(minutes=2)
_FAILURES = frozenset({"lineage-failed", "lineage-broken", "fatal", "hook-failed", "hook-output"})

Note = Callable[..., object]


@dataclass(frozen=True)
class LastRun:
    """The newest ``certbot renew`` in certbot's logs."""

    began: datetime
    ended: datetime
    log: Path
    run: logfile.Run


def last_run(logs_dir: Path, config_dir: Path) -> Optional[LastRun]:
    """The newest log of a ``certbot renew`` of this configuration directory that was no dry run, or None."""
    for path in _logs(logs_dir):
        try:
            if b"renewal" not in plainfile.read(path, _HEAD_BYTES):
                continue
            text, whole = logrecords.load(path)
        except OSError:
            continue
        for run in reversed(logfile.runs(text, whole, here=True)):
            words = [str(word) for word in run.facts.get("argv") or ()]
            if run.renewal and not run.facts.get("dry_run") and invocation.read(words).config_dir == config_dir:
                began, ended = _moment(run.began), _moment(run.ended)
                if began is not None and ended is not None:
                    return LastRun(began, ended, path, run)
    return None


def _logs(logs_dir: Path) -> list[Path]:
    """certbot's logs, the newest first."""
    found = []
    try:
        for entry in os.scandir(logs_dir):
            if entry.name.startswith("letsencrypt.log") and entry.is_file():
                found.append((entry.stat().st_mtime, entry.path))
    except OSError:
        return []
    return [Path(path) for _, path in sorted(found, reverse=True)[:_LOGS_LIMIT]]


def _moment(logged: str) -> Optional[datetime]:
    try:
        return datetime.strptime(logged[:19], "%Y-%m-%d %H:%M:%S").astimezone().astimezone(timezone.utc)
    except ValueError:
        return None


def newest_run(last: Optional[LastRun], history: list[dict[str, Any]], remembered: Optional[datetime]) -> Optional[datetime]:
    """When certbot last ran, as far as its logs, the journal and earlier looks know: a log is rotated, and gone for a day."""
    known = [parsed(facts.get("started")) for facts in history if facts.get("verb") == "renew"]
    known += [remembered, last.ended if last is not None else None]
    return max((when for when in known if when is not None), default=None)


def look(last: Optional[LastRun], history: list[dict[str, Any]], note: Note,
         is_over: Callable[[dict[str, Any]], bool] = lambda event: False) -> Optional[datetime]:
    """Note what failed in the last run, where the plugin was not there to say so.

    :param is_over: whether what an event tells has been mended since
    :returns: when that run ended, if it ended well
    """
    if last is None or last.run.unfinished or any(_is_the_same(facts, last) for facts in history):
        return None
    failures = [event for event in last.run.events if event["kind"] in _FAILURES]
    for event in failures:
        if not is_over(event):
            note(**{name: value for name, value in event.items() if name not in ("line", "logged", "n", "at", "mono")})
    return None if failures else last.ended


def _is_the_same(facts: dict[str, Any], last: LastRun) -> bool:
    """The journal tells of this run: the plugin was there; or a command of ours has spoken of it."""
    when = parsed(facts.get("started"))
    if when is None:
        return False
    end = last.ended + (_SAME_RUN * 5 if facts.get("verb") in ("run", "unit-failed") else _SAME_RUN)
    return last.began - _SAME_RUN <= when <= end


def look_at_schedule(note: Note, now: datetime, seems_alive: bool, was_scheduled: bool,
                     find: Callable[[datetime], Any] = schedule.next_attempt,
                     off: Callable[[], list[str]] = timers.switched_off) -> bool:
    """Note that nothing starts certbot here. Returns whether something does.

    :param seems_alive: it has run lately, or nothing is due: then something starts it that is not seen from here
    :param was_scheduled: an earlier look has found what starts it: a timer that is off now was not off on purpose then
    """
    if find(now) is not None:
        return True
    known = off()
    if (known and was_scheduled) or not seems_alive:
        note("no-timer", off=known)
    return False


def period(now: datetime, find: Callable[[datetime], Any] = schedule.next_attempt) -> timedelta:
    """How far apart two runs of certbot's are, as far as timers and crontabs say; zero where they do not."""
    first = find(now)
    if first is None or first.when is None:
        return timedelta(0)
    second = find(first.when + timedelta(seconds=(first.spread_seconds or 0.0) + 60))
    if second is None or second.when is None or second.when <= first.when:
        return timedelta(0)
    return second.when - first.when
