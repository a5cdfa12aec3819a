"""How long the web server was not serving, by a run's events; and when an event was. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Optional


@dataclass
class Outage:
    """One time that the server was stopped. ``seconds`` so far, where it has not ended."""

    lineage: Optional[str]
    since: Optional[datetime]
    seconds: float
    ended: bool


def outages_of(events: list[dict[str, Any]], now: datetime) -> list[Outage]:
    found: list[Outage] = []
    opened: dict[Any, dict[str, Any]] = {}
    for event in events:
        window = event.get("window")
        if event["kind"] == "stopping":
            opened[window] = event
        elif event["kind"] == "serving" and window in opened:
            start = opened.pop(window)
            told = event.get("outage_seconds")
            seconds = float(told) if isinstance(told, (int, float)) else _between(start, event)
            found.append(Outage(start.get("lineage"), moment_of(start), seconds, True))
        elif event["kind"] in ("left-running", "left-down"):
            start = opened.pop(window, {})
            if start and event["kind"] == "left-down":
                found.append(Outage(start.get("lineage"), moment_of(start), _until_now(start, events, now), False))
    for start in opened.values():
        found.append(Outage(start.get("lineage"), moment_of(start), _until_now(start, events, now), False))
    return found


def _until_now(start: dict[str, Any], events: list[dict[str, Any]], now: datetime) -> float:
    """By the monotonic clock up to the newest event, by the wall clock for the little that is left."""
    last = moment_of(events[-1])
    return _between(start, events[-1]) + (max(0.0, (now - last).total_seconds()) if last else 0.0)


def _between(start: dict[str, Any], end: dict[str, Any]) -> float:
    try:
        seconds = float(end["mono"]) - float(start["mono"])
    except (KeyError, TypeError, ValueError):
        seconds = -1.0
    if seconds >= 0:
        return seconds
    # Another boot: its monotonic clock began anew.
    first, last = moment_of(start), moment_of(end)
    return max(0.0, (last - first).total_seconds()) if first and last else 0.0


def moment_of(event: dict[str, Any]) -> Optional[datetime]:
    return parsed(event.get("at"))


def parsed(value: Any) -> Optional[datetime]:
    """An ISO time as an aware one, or None. A trailing Z is more than Python 3.9 understands."""
    try:
        when = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", str(value)))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)
