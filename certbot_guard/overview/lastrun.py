"""When ``certbot renew`` ran last for one configuration directory, by certbot's log and the history of guarded runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Optional

from certbot_guard import invocation
from certbot_guard.config import Config
from certbot_guard.overview.results import RunRow, iso

_FAILURES = frozenset({"lineage-failed", "lineage-broken", "fatal", "hook-failed"})
# A run in certbot's log and one in the history are the same if they began so close to each other.
_SAME_RUN = timedelta(minutes=2)


@dataclass(frozen=True)
class LastRun:
    """:ivar at: None where no run is known
    :ivar ok: whether it went well; None where that is not known
    """

    config_dir: Path
    at: Optional[datetime] = None
    ok: Optional[bool] = None

    def to_json(self) -> dict[str, Any]:
        return {"config_dir": str(self.config_dir), "last_run": iso(self.at), "ok": self.ok}


def last_run(config: Config, config_dir: Path, runs: list[RunRow]) -> LastRun:
    """A run with nothing due leaves no trace but certbot's log. :param runs: the history, the newest first"""
    from certbot_guard.watch import attempts

    own = [one for one in runs if one.config_dir == str(config_dir)]
    known = next((one for one in own if one.is_renewal and one.started is not None), None)
    newest = LastRun(config_dir, known.started, known.ok) if known is not None else LastRun(config_dir)
    logs_dir = config.certbot_logs_dir or next((Path(one.logs_dir) for one in own if one.logs_dir), None)
    try:
        last = attempts.last_run(logs_dir or invocation.read(["--config-dir", str(config_dir)]).logs_dir, config_dir)
    except Exception:  # a log that is like none before
        return newest
    if last is None or (newest.at is not None and last.began <= newest.at + _SAME_RUN):
        return newest
    failed = last.run.unfinished or any(event["kind"] in _FAILURES for event in last.run.events)
    return LastRun(config_dir, last.began, not failed)
