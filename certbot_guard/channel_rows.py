"""The journal's rows of how each channel does: one that failed is left in peace for a while, longer each time.

Called inside the journal's transactions. All rows belong to one settings file.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from certbot_guard.standing_rows import stamp

# After the first, second, ... failure in a row.
BACKOFF_SECONDS = (60, 300, 900, 1800, 3600, 7200, 14400)


def tried(execute: Any, settings: str, channel: str, ok: bool, now: datetime) -> None:
    """How it did just now is what its row says."""
    row = execute("SELECT failures FROM channels WHERE settings = ? AND channel = ?", (settings, channel)).fetchone()
    failures = 0 if ok else (row[0] if row else 0) + 1
    wait = timedelta(seconds=BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1]) if failures else timedelta()
    execute("INSERT OR REPLACE INTO channels VALUES (?, ?, ?, ?, ?)",
            (settings, channel, failures, stamp(now), stamp(now + wait)))


def resting(execute: Any, settings: str, now: datetime) -> dict[str, datetime]:
    """Those that failed lately, and until when they are left in peace."""
    rows = execute("SELECT channel, next_try FROM channels WHERE settings = ? AND failures > 0 AND next_try > ?"
                   " AND tried <= ?", (settings, stamp(now), stamp(now))).fetchall()  # a clock that was set back
    return {channel: datetime.fromisoformat(until) for channel, until in rows}
