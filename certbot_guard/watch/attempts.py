"""When certbot last ran, what it said then, and what will start it again. Reads certbot's logs; changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional

from certbot_guard import invocation, logfile, logrecords, schedule, timers
from certbot_guard.outages import parsed
from certbot_guard.phrases import duration, moment

# certbot 5.8 log.py keeps a thousand; a renewal is among the newest ones unless people try things by hand.
_LOGS_LIMIT = 25
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


def look(last: Optional[LastRun], history: list[dict[str, Any]], note: Note, now: datetime, stale_after: timedelta,
         watched_since: datetime, shown: timedelta) -> None:
    """Note that certbot has not run for too long; or that its last run failed, where the plugin was not there to say so.

    :param history: the facts of the runs that the journal knows, of the same configuration directory
    :param shown: the time after which it is too long, as people are told it
    """
    known = [when for when in (parsed(facts.get("started")) for facts in history if facts.get("verb") == "renew") if when]
    moments = known + ([last.ended] if last is not None else [])
    newest = max(moments, default=None)
    if now - (newest or watched_since) > stale_after:
        note("stale", last=moment(newest) if newest is not None else None, limit=duration(shown.total_seconds()))
    if last is None or last.run.unfinished:
        return
    if any(_is_the_same(facts, last) for facts in history):
        return
    failures = [event for event in last.run.events if event["kind"] in _FAILURES]
    for event in failures:
        note(**{name: value for name, value in event.items() if name not in ("line", "logged", "n", "at", "mono")})
    if not failures:
        note("ran-well", ended=last.ended.isoformat())


def _is_the_same(facts: dict[str, Any], last: LastRun) -> bool:
    """The journal tells of this run: the plugin was there; or a command of ours has spoken of it."""
    when = parsed(facts.get("started"))
    if when is None:
        return False
    end = last.ended + (_SAME_RUN * 5 if facts.get("verb") in ("run", "unit-failed") else _SAME_RUN)
    return last.began - _SAME_RUN <= when <= end


def look_at_schedule(note: Note, now: datetime, last: Optional[LastRun], stale_after: timedelta,
                     find: Callable[[datetime], Any] = schedule.next_attempt,
                     off: Callable[[], list[str]] = timers.switched_off) -> None:
    """Note that nothing starts certbot here. A host on which it has run lately is started from somewhere else."""
    if find(now) is not None:
        return
    known = off()
    if known or last is None or now - last.ended > stale_after:
        note("no-timer", off=known)


def period(now: datetime, find: Callable[[datetime], Any] = schedule.next_attempt) -> timedelta:
    """How far apart two runs of certbot's are, as far as timers and crontabs say; zero where they do not."""
    first = find(now)
    if first is None or first.when is None:
        return timedelta(0)
    second = find(first.when + timedelta(seconds=(first.spread_seconds or 0.0) + 60))
    if second is None or second.when is None or second.when <= first.when:
        return timedelta(0)
    return second.when - first.when
