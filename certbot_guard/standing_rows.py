"""The journal's rows of what stands and who has heard of it: :mod:`certbot_guard.standing` as SQLite keeps it.

Functions over an open database, called inside the journal's transactions. All rows belong to one settings file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

from certbot_guard.standing import Memory, Standing, Told

# What nothing has touched for so long: a lineage that was deleted, a hook that is no more.
FORGET_DAYS = 120


@dataclass(frozen=True)
class Changes:
    """What a telling changes: rows that stand now, subjects that do no more, and who has heard of what."""

    stands: tuple[Standing, ...] = ()
    over: tuple[str, ...] = ()
    told: tuple[Told, ...] = ()


def load(execute: Any, settings: str) -> Memory:
    """Everything of these settings."""
    standing = {}
    for row in execute("SELECT subject, name, key, severity, words, since, seen, lineage, not_after FROM standing"
                       " WHERE settings = ?", (settings,)).fetchall():
        standing[row[0]] = Standing(*row[:5], _time(row[5]), _time(row[6]), row[7], _time(row[8]) if row[8] else None)
    told = {}
    for row in execute("SELECT subject, channel, key, severity, at, message FROM heard WHERE settings = ?",
                       (settings,)).fetchall():
        told[row[0], row[1]] = Told(*row[:4], _time(row[4]), row[5])
    waiting: dict[str, set[str]] = {}
    for channel, message in execute(
            "SELECT o.channel, o.message FROM outbox o JOIN messages m ON m.id = o.message"
            " WHERE o.state IN ('pending', 'sending') AND m.settings = ?", (settings,)).fetchall():
        waiting.setdefault(channel, set()).add(message)
    return Memory(standing, told, {name: frozenset(messages) for name, messages in waiting.items()})


def apply(run: Any, settings: str, changes: Changes) -> None:
    for one in changes.stands:
        run("INSERT OR REPLACE INTO standing VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (
            settings, _text(one.subject), _text(one.name), _text(one.key), one.severity, _text(one.words),
            stamp(one.since), stamp(one.seen), _text(one.lineage) if one.lineage is not None else None,
            stamp(one.not_after) if one.not_after else None))
    for subject in changes.over:
        run("DELETE FROM standing WHERE settings = ? AND subject = ?", (settings, _text(subject)))
        run("DELETE FROM heard WHERE settings = ? AND subject = ?", (settings, _text(subject)))
    for told in changes.told:
        run("INSERT OR REPLACE INTO heard VALUES (?, ?, ?, ?, ?, ?, ?)", (
            settings, _text(told.subject), told.channel, _text(told.key), told.severity, stamp(told.at), told.message))


def forget_old(run: Any, now: datetime) -> None:
    before = stamp(now - timedelta(days=FORGET_DAYS))
    run("DELETE FROM standing WHERE seen < ?", (before,))
    run("DELETE FROM heard WHERE at < ? AND NOT EXISTS (SELECT 1 FROM standing s WHERE s.settings = heard.settings"
        " AND s.subject = heard.subject)", (before,))


def merged(memories: Iterable[Memory]) -> Memory:
    """What several journals know together; of two rows for one subject the one that was seen last."""
    standing: dict[str, Standing] = {}
    told: dict[tuple[str, str], Told] = {}
    waiting: dict[str, frozenset[str]] = {}
    for memory in memories:
        for subject, one in memory.standing.items():
            if subject not in standing or standing[subject].seen < one.seen:
                standing[subject] = one
        for both, heard in memory.told.items():
            if both not in told or told[both].at < heard.at:
                told[both] = heard
        for channel, messages in memory.waiting.items():
            waiting[channel] = waiting.get(channel, frozenset()) | messages
    return Memory(standing, told, waiting)


def stamp(when: datetime) -> str:
    return when.astimezone(timezone.utc).isoformat(timespec="microseconds")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _text(words: Optional[str]) -> str:
    # SQLite's text is UTF-8: a lone surrogate would keep people from being told.
    return (words or "").encode("utf-8", "replace").decode("utf-8")
