"""What an event tells of time: when the CA wants to be asked again, and how wrong this host's clock is."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Optional

from certbot_guard.diagnosis.case import Case

# Boulder, ratelimits/transaction.go: "..., retry after 2026-12-02 07:00:00 UTC: see https://..."
_IN_DETAIL = re.compile(r"retry after (\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::\d\d)?(?:\.\d{1,9})?(?: ?(?:UTC|Z|"
    r"\+00:?00))?")
_SKEW_SECONDS = 600


def retry_after(case: Case) -> str:
    """``2026-12-02 07:00 UTC``, ``3600 s``, or nothing. What the detail says comes before the header."""
    if case.acme_type or case.status is not None:
        found = _IN_DETAIL.search(f"{case.acme_detail} {case.words}")
        if found:
            return f"{found[1]} {found[2]} UTC"
    if case.retry_header.isascii() and case.retry_header.isdigit() and len(case.retry_header) < 9:
        return f"{int(case.retry_header)} s"
    when = _http_date(case.retry_header)
    return f"{when:%Y-%m-%d %H:%M} UTC" if when else ""


def clock_note(case: Case) -> str:
    """A sentence where this host's clock and the CA's differ so much that certificates are judged wrongly."""
    theirs, ours = _http_date(case.server_date), _moment(case.event.get("at"))
    if theirs is None or ours is None:
        return ""
    off = (ours - theirs).total_seconds()
    if abs(off) < _SKEW_SECONDS:
        return ""
    amount = f"{abs(off) / 86400:.0f} days" if abs(off) >= 2 * 86400 else f"{abs(off) / 60:.0f} minutes"
    return f"By the CA's answer this host's clock is {amount} {'fast' if off > 0 else 'slow'}: set it right first."


def _http_date(value: str) -> Optional[datetime]:
    try:
        when = parsedate_to_datetime(value)
        return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _moment(value: object) -> Optional[datetime]:
    try:
        when = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", str(value)))
        return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None
