"""One lineage as a person wants to see it: how much of its certificate's time is left, whether it is guarded, what was
tried last, when it is due. Made of what certbot's files, the watch's memory and the history of runs say.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Optional

from certbot_guard import text
from certbot_guard.overview.results import RunRow, iso
from certbot_guard.overview.shown import Served
from certbot_guard.watch import files

YES, NO, LOST, UNKNOWN = "yes", "no", "lost", "not known"


@dataclass(frozen=True)
class Try:
    """The newest attempt to renew a lineage that is in the history."""

    at: Optional[datetime]
    outcome: str
    run: str


@dataclass(frozen=True)
class Row:
    """:ivar guarded: one of :data:`YES`, :data:`NO`, :data:`LOST`, :data:`UNKNOWN`
    :ivar tried: None where none is in the history
    :ivar told: by channel, since when it knows of a trouble of this lineage's; None: the message waits
    """

    config_dir: Path
    lineage: files.Lineage
    guarded: str
    tried: Optional[Try] = None
    served: Served = Served()
    told: tuple[tuple[str, Optional[datetime]], ...] = ()
    severity: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return str(self.config_dir), self.lineage.name

    @property
    def not_after(self) -> Optional[datetime]:
        return self.lineage.validity.not_after if self.lineage.validity is not None else None

    def left(self, now: datetime) -> Optional[timedelta]:
        """Until it expires; negative since then. None where that is not known."""
        return self.not_after - now if self.not_after is not None else None

    def share_left(self, now: datetime) -> Optional[float]:
        """Of its whole lifetime, between 0 and 1. None where that is not known."""
        validity = self.lineage.validity
        if validity is None or not validity.lifetime:
            return None
        return min(1.0, max(0.0, (validity.not_after - now) / validity.lifetime))

    def to_json(self, now: datetime) -> dict[str, Any]:
        one, validity = self.lineage, self.lineage.validity
        share = self.share_left(now)
        return {
            "config_dir": str(self.config_dir), "name": text.line(one.name, 300),
            "names": [text.line(name, 300) for name in one.names], "error": text.line(one.error, 300) or None,
            "not_before": iso(validity.not_before) if validity else None, "not_after": iso(self.not_after),
            "share_left": round(share, 4) if share is not None else None,
            "expired": self.not_after <= now if self.not_after is not None else None,
            "guarded": self.guarded, "installer": text.line(one.installer, 60) or None,
            "authenticator": text.line(one.authenticator, 60) or None,
            "autorenew": None if one.error else one.autorenew,
            "due": iso(one.due()), "last_attempt": {"at": iso(self.tried.at), "outcome": self.tried.outcome,
                                                    "run": text.line(self.tried.run, 80)} if self.tried else None,
            "served": self.served.to_json(), "severity": self.severity or None,
            "told": [{"channel": text.line(channel, 120), "since": iso(since), "delivered": since is not None}
                     for channel, since in self.told]}


def unreadable(config_dir: Path) -> str:
    """Why the renewal configurations there cannot be listed, one sentence; or nothing, where that is so."""
    try:
        os.scandir(config_dir / "renewal").close()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return (f"{config_dir}/renewal cannot be looked into: {error.strerror}. Run this as the user that certbot runs "
                "as, usually root")
    return ""


def guarded(one: files.Lineage, noted: dict[str, str], certain: bool) -> str:
    """Whether it is guarded. Lost: an earlier watch saw the guard, and now it names no installer.

    :param certain: what the watch remembers could be read
    """
    if one.error:
        return UNKNOWN
    if one.guarded:
        return YES
    return LOST if certain and not one.installer and f"guarded {one.path}" in noted else NO


def tries(runs: Iterable[RunRow]) -> dict[tuple[str, str], Try]:
    """By configuration directory and lineage, the newest attempt. :param runs: the newest first"""
    found: dict[tuple[str, str], Try] = {}
    for run in runs:
        if not run.dry_run:
            for name, outcome in run.results.items():
                found.setdefault((run.config_dir, name), Try(run.started, outcome, run.id))
    return found
