"""Who is told by which channel, by name and kind alone, and what still waits for whom. No URL is ever in here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Optional

from certbot_guard import notify, text
from certbot_guard.config import Config
from certbot_guard.overview.books import Book
from certbot_guard.overview.results import iso

_SCHEMA = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20})://")


@dataclass(frozen=True)
class Channel:
    """:ivar kind: the schema of its URL (``mailtos``), ``Apprise file`` or ``system log``"""

    name: str
    kind: str
    events: tuple[str, ...]
    min_severity: str

    def to_json(self) -> dict[str, Any]:
        return {"name": text.line(self.name, 120), "kind": self.kind, "events": list(self.events),
                "min_severity": self.min_severity}


@dataclass(frozen=True)
class Waits:
    """What waits for one channel. ``since``: the oldest of them was written; ``reason``: of the last failure."""

    channel: str
    count: int
    since: Optional[datetime]
    attempts: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"channel": text.line(self.channel, 120), "messages": self.count, "since": iso(self.since),
                "attempts": self.attempts, "reason": text.line(self.reason, 300) or None}


def of(config: Config) -> list[Channel]:
    """Every channel of these settings; the system log where there is none."""
    kinds = {channel.name: _schema(channel.url) for channel in config.channels}
    otherwise = {notify.SYSLOG: "system log"}
    return [Channel(taker.name, kinds.get(taker.name) or otherwise.get(taker.name, "Apprise file"),
                    tuple(sorted(taker.events)), taker.min_severity) for taker in notify.takers(config)]


def _schema(url: str) -> str:
    found = _SCHEMA.match(url.strip())
    return found[1].lower() if found else "not known"


def waiting(books: list[Book], settings: str) -> list[Waits]:
    """By channel. :raises StateError: a database cannot be read."""
    found: dict[str, list[Any]] = {}
    for one in [one for book in books for one in book.waiting(settings)]:
        found.setdefault(one.channel, []).append(one)
    return [Waits(channel, len(rows), min(row.created for row in rows), max(row.attempts for row in rows),
                  next((row.reason for row in reversed(rows) if row.reason), ""))
            for channel, rows in sorted(found.items())]
