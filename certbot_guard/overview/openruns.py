"""The runs that nobody has settled: at work, held by a supervisor that tries again, or left by a certbot that is gone.

Their locks are asked by descriptors that can only read; no lock file is made.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

from certbot_guard import flock, text
from certbot_guard import run as runs
from certbot_guard.errors import StateError
from certbot_guard.outages import parsed
from certbot_guard.overview.results import iso
from certbot_guard.run import Run

AT_WORK, HELD, LEFT, UNREADABLE = "at work", "tried again later", "left unfinished", "not readable"


@dataclass(frozen=True)
class OpenRun:
    """:ivar stopped: it has the web server stopped now, for this lineage; or nothing"""

    id: str
    started: Optional[datetime]
    state: str
    stopped: str = ""

    @property
    def is_trouble(self) -> bool:
        return self.state in (LEFT, UNREADABLE)

    def severity(self, serving: Optional[bool]) -> str:
        """Of a trouble. :param serving: whether the web server serves now; None where that is not known"""
        return "critical" if self.stopped and not serving else "warning"

    def to_json(self) -> dict[str, Any]:
        return {"id": text.line(self.id, 80), "started": iso(self.started), "state": self.state,
                "stopped_for": text.line(self.stopped, 300) or None}


def directories(bases: list[Path]) -> list[Path]:
    """The directories of runs that are there.

    :raises StateError: there may be some, and they cannot be listed.
    """
    found = []
    for base in bases:
        try:
            found += [base / "runs" / name for name in sorted(os.listdir(base / "runs"))]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise StateError(f"{base}/runs cannot be looked into: {error.strerror}. Run this as the user that certbot "
                             "runs as, usually root") from error
    return found


def open_runs(bases: list[Path]) -> list[tuple[OpenRun, Run]]:
    """What is not settled, the oldest first. :raises StateError: as :func:`directories`."""
    found = []
    for directory in directories(bases):
        try:
            run = Run.load(directory)
        except StateError:
            if os.path.exists(directory / runs.EVENTS) and not Run(directory, {}).has("settled"):
                found.append((OpenRun(directory.name, None, UNREADABLE), Run(directory, {"id": directory.name})))
            continue
        one = _look_at(run)
        if one is not None:
            found.append((one, run))
    return sorted(found, key=lambda pair: pair[0].id)


def _look_at(run: Run) -> Optional[OpenRun]:
    events = run.events()
    windows = runs.open_windows(events)
    if any(event["kind"] == "settled" for event in events) and not windows:
        return None
    stopped = str(windows[-1].get("lineage") or "a lineage") if windows else ""
    alive = any(flock.is_held(run.directory / name) for name in (runs.CERTBOT_LOCK, runs.SENTINEL_LOCK))
    state = AT_WORK if alive else HELD if _is_held_back(run, events) else LEFT
    return OpenRun(str(run.id), parsed(run.facts.get("started")), state, stopped)


def _is_held_back(run: Run, events: list[dict[str, Any]]) -> bool:
    from certbot_guard.supervise import holding

    return any(event["kind"] == "held" for event in events) and holding.holds_back(run)
