"""How the last challenges of a lineage went: one that passed through the server and failed is not tried again so.

The self-check sees what this machine sees; a CA comes from elsewhere, where a rule, a filter or another machine may
answer. So the next attempt stops the server, as it was before there were passages. Reads the runs that are kept; called
by :mod:`certbot_guard.proxied`.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Iterable, Optional

from certbot_guard.run import Run, runs_below

# Longer than two renewals of a certificate of 90 days: else every second one would fail at first.
COUNTS = timedelta(days=200)
# Of names and their CAA records the CA knows nothing from us.
_NOT_OURS = ("dns", "caa")


class ReadOnce(Run):
    """A run whose events are read when they are asked for first: each of a thousand lineages is looked for in them."""

    _found: Optional[list[dict[str, Any]]] = None

    def events(self) -> list[dict[str, Any]]:
        if self._found is None:
            self._found = super().events()
        return self._found


def past(bases: list[Path]) -> list[Run]:
    """The runs that are kept below the state directories, oldest first. Only reads."""
    return [ReadOnce(one.directory, one.facts) for one in runs_below(bases)]


def against(runs: Iterable[Run], config_dir: str, lineage: str, now: datetime) -> str:
    """Why this lineage's challenge is not to pass through the server, as a sentence; or ``""``.

    :param runs: oldest first
    """
    found: Optional[datetime] = None
    for run in runs:
        if run.facts.get("config_dir") != config_dir:
            continue
        events = [event for event in run.events() if event.get("lineage") in (lineage, None)]
        tried = {event["kind"] for event in events}
        if not tried & {"proxy-placed", "stopping"}:
            continue
        failed = any(map(_failed_at_challenge, events))
        if "proxy-placed" in tried:
            ended = failed or tried & {"deployed", "reloaded"} or run.facts.get("dry_run")
            found = _began(run) if failed else None if ended else found
        elif failed:  # so it was not the passage
            found = None
    if found is None or now - found > COUNTS:
        return ""
    return (f"its last challenge that passed through failed ({found:%Y-%m-%d}), though this machine got every answer; "
            f"that counts until {found + COUNTS:%Y-%m-%d}, or until this succeeds: certbot renew --cert-name NAME "
            "--dry-run --guard-mode proxy")


def _failed_at_challenge(event: dict[str, Any]) -> bool:
    if event["kind"] not in ("lineage-failed", "fatal"):
        return False
    evidence = event.get("evidence") or {}
    # certbot 2.1 to 5.8, auth_handler.py: a challenge that the CA refused is one, in the end
    kinds = {str(kind).rpartition(".")[2] for kind in [event.get("error_type"), *(evidence.get("types") or ())]}
    if not kinds & {"AuthorizationError", "FailedChallenges"}:
        return False
    answers = {str(one.get("type")).rpartition(":")[2].lower() for one in evidence.get("challenges") or ()}
    return not answers or not answers <= set(_NOT_OURS)


def _began(run: Run) -> Optional[datetime]:
    try:
        began = datetime.fromisoformat(str(run.facts.get("started")))
    except ValueError:
        return None
    return began if began.tzinfo else began.replace(tzinfo=timezone.utc)
