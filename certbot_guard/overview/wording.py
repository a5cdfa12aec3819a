"""The small words and bars that the table, the history and the page have in common. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Optional

from certbot_guard import text
from certbot_guard.overview.certificates import Row
from certbot_guard.overview.troubles import Trouble
from certbot_guard.phrases import moment, span

FULL, EMPTY = "█", "░"
PLAIN_FULL, PLAIN_EMPTY = "#", "."


def bar(share: Optional[float], width: int, unicode: bool = True) -> str:
    """How much is left, as ``██████░░░░``; blanks where that is not known. What is left is never shown as nothing."""
    if share is None:
        return " " * width
    full = 0 if share <= 0 else max(1, round(share * width))
    return (FULL if unicode else PLAIN_FULL) * full + (EMPTY if unicode else PLAIN_EMPTY) * (width - full)


def brief(length: timedelta) -> str:
    """``52 d``, ``14 h``, ``9 min``: never more than there is."""
    seconds = abs(length.total_seconds())
    if seconds >= 2 * 86400:
        return f"{int(seconds // 86400)} d"
    return f"{int(seconds // 3600)} h" if seconds >= 2 * 3600 else f"{int(seconds // 60)} min"


def left(row: Row, now: datetime, short: bool = False) -> str:
    """``52 d``, or ``EXPIRED 3 d ago``; ``short`` leaves out when."""
    remains = row.left(now)
    if remains is None:
        return "not known"
    if remains > timedelta(0):
        return brief(remains)
    return "EXPIRED" if short else f"EXPIRED {brief(remains)} ago"


def due(row: Row, now: datetime) -> str:
    """When certbot renews it: ``in 22 d``, ``now``, or that it does not."""
    if row.lineage.error:
        return "not known"
    if not row.lineage.autorenew:
        return "never"
    when = row.lineage.due()
    if when is None:
        return "not known"
    return f"in {brief(when - now)}" if when > now else "now"


def tried(row: Row, certain: bool, short: bool = False) -> str:
    """``2026-11-27 renewed``; ``short`` leaves out the year. :param certain: the history could be read"""
    if row.tried is None:
        return "none recorded" if certain else "not known"
    return f"{day(row.tried.at)[5 if short and row.tried.at else 0:]} {row.tried.outcome}"


def told(row: Row) -> str:
    """``mail, pager since 2026-11-24; team (waits)``; nothing where there is no trouble of this lineage's."""
    return _grouped([(channel, f" since {day(since)}" if since else "") for channel, since in row.told])


def heard(one: Trouble) -> str:
    """``mail, pager at 2026-11-24 15:54 UTC; team (waits)``; nothing where nobody was told."""
    return _grouped([(told.channel, f" at {moment(told.since)}" if told.since else "") for told in one.told])


def _grouped(channels: list[tuple[str, str]]) -> str:
    groups: dict[str, list[str]] = {}
    for channel, when in sorted(channels, key=lambda one: (not one[1], one[1], one[0])):
        groups.setdefault(when or " (waits)", []).append(text.line(channel, 60))
    return "; ".join(", ".join(names) + words for words, names in groups.items())


def guarded(row: Row) -> str:
    other = row.lineage.installer if row.guarded == "no" else ""
    return row.guarded + (f" ({text.line(other, 20)})" if other else "")


def day(when: Optional[datetime]) -> str:
    return moment(when)[:10] if when is not None else "at a time not known"


def ago(when: Optional[datetime], now: datetime) -> str:
    """``2026-11-27 04:17 UTC, 9 hours ago``"""
    if when is None or when > now:
        return moment(when)
    return f"{moment(when)}, {span((now - when).total_seconds())} ago"


def worst_first(rows: list[Row], now: datetime) -> list[Row]:
    """What is wrong first, then what expires first; what is not known before what is well."""
    ranks = {"critical": 0, "warning": 1, "info": 2}

    def order(row: Row) -> tuple[int, float, str]:
        remains = row.left(now)
        return ranks.get(row.severity, 3), remains.total_seconds() if remains is not None else 0.0, row.lineage.name

    return sorted(rows, key=order)
