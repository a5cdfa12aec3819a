"""Small words for a person: moments, durations, the beginning of a sentence. Pure."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any, Optional


def sentence(words: str) -> str:
    # "certbot-guard's" begins a sentence as it is: it is a name.
    return words if words.startswith("certbot") else words[:1].upper() + words[1:]


def moment(when: Optional[datetime]) -> str:
    return f"{when.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC" if when else "an unknown time"


def duration(value: Any) -> str:
    """Seconds as a person says them: ``1.3 s``, ``95 s``, ``4 min 10 s``, ``3 h 5 min``, ``21 days``."""
    try:
        seconds = max(0.0, float(value))
    except (TypeError, ValueError, OverflowError):
        return "an unknown time"
    if not math.isfinite(seconds):
        return "an unknown time"
    if seconds < 10:
        return f"{max(seconds, 0.1):.1f} s" if seconds else "0 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(round(seconds)), 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    return span(seconds)


def span(seconds: float) -> str:
    """Whole days, or whole hours of less than two days: never more than there is."""
    hours = int(seconds // 3600)
    if hours < 48:
        return f"{hours} hour" + ("" if hours == 1 else "s") if hours else "less than an hour"
    return f"{hours // 24} days"
