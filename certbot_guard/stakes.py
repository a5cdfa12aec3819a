"""What is at stake, as a share of the certificate's own lifetime: 6-day and 90-day certificates are judged alike. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Optional

SEVERITIES = ("info", "warning", "critical")
# A tenth of 90 days is 9 days, of 47 it is 4.7 days, of 6 it is 14 hours: some of certbot's two runs a day are left.
CRITICAL_SHARE = 10


@dataclass(frozen=True)
class Validity:
    """From when to when a certificate is good. ``not_before`` None: only its end is known."""

    not_after: datetime
    not_before: Optional[datetime] = None

    @property
    def lifetime(self) -> Optional[timedelta]:
        return self.not_after - self.not_before if self.not_before is not None else None


def rank(severity: str) -> int:
    """The graver, the higher; an unknown word is the least."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else 0


def gravest(severities: list[str]) -> str:
    return max(severities, key=rank, default="info")


def severity(validity: Optional[Validity], now: datetime) -> str:
    """Of a certificate that was not renewed: critical once expired, or with less than a tenth of its lifetime left."""
    if validity is None:
        return "warning"
    left = validity.not_after - now
    # Where the beginning is not known: what most certificates had when this was written.
    lifetime = validity.lifetime or timedelta(days=90)
    return "critical" if left <= lifetime / CRITICAL_SHARE else "warning"
