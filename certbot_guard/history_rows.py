"""The journal's rows of runs that are over, each shortened to a bounded size. Called inside the journal's transactions."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from certbot_guard.standing_rows import stamp

KEEP = 2000
KEEP_DAYS = 400
_EVENTS_LIMIT = 16_000


def record(execute: Any, facts: dict[str, Any], events: list[dict[str, Any]]) -> None:
    """The row of this run is as these say."""
    kept = {name: value for name, value in facts.items() if name != "environment"}
    execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", (
        str(facts["id"]), str(facts.get("started", "")), _bounded(kept), _bounded_events(events)))


def forget_old(execute: Any, now: datetime) -> None:
    execute("DELETE FROM runs WHERE (started != '' AND started < ?)"
            " OR id NOT IN (SELECT id FROM runs ORDER BY started DESC, id DESC LIMIT ?)",
            (stamp(now - timedelta(days=KEEP_DAYS)), KEEP))


def _bounded(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _EVENTS_LIMIT else json.dumps({"id": value.get("id"), "left_out": len(text)})


def _bounded_events(events: list[dict[str, Any]]) -> str:
    """The events as JSON of a bounded size: long texts go first, then the newest events."""
    for longest in (2000, 200, 40):
        text = json.dumps([_clipped(event, longest) for event in events], default=str)
        if len(text) <= _EVENTS_LIMIT:
            return text
    kept, size = [], 0
    for event in events:
        short = {name: event.get(name) for name in ("n", "kind", "at", "lineage", "reason") if name in event}
        short = _clipped(short, 100)
        size += len(json.dumps(short, default=str)) + 2
        if size > _EVENTS_LIMIT - 100:
            break
        kept.append(short)
    return json.dumps(kept + [{"kind": "left-out", "events": len(events) - len(kept)}], default=str)


def _clipped(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= longest else value[:longest] + "…"
    if isinstance(value, dict):
        return {str(name): _clipped(inner, longest) for name, inner in value.items()}
    return [_clipped(inner, longest) for inner in value[:100]] if isinstance(value, (list, tuple)) else value
