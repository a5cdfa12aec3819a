"""A look at certbot's runs: when the last one was, what it said, and what starts the next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

from certbot_guard import findings, invocation
from certbot_guard.outages import parsed
from certbot_guard.phrases import duration, moment
from certbot_guard.watch import attempts
from certbot_guard.watch.looking import JUST_BOOTED, SINCE, Look

_RAN, _SCHEDULED, _UNSCHEDULED = "ran ", "scheduled ", "unscheduled "


def at_attempts(look: Look) -> None:
    """When certbot last ran, what it said, and whether anything will start it again."""
    with look.carefully("certbot's runs"):
        _look_at_attempts(look)


def _look_at_attempts(look: Look) -> None:
    stale, unscheduled = look.subject("stale"), look.subject("no-timer")
    if not look.read or (look.lineages and all(lineage.error for lineage in look.lineages)):
        return
    if not any(lineage.autorenew and not lineage.error for lineage in look.lineages):
        for subject in (stale, unscheduled, *([] if look.lineages else [
                findings.subject_of_certbot(look.one.facts)])):
            look.well[subject] = "certbot has nothing to renew here."
        return
    last = attempts.last_run(_logs_dir(look), look.directory)
    newest = attempts.newest_run(last, look.history, parsed(look.noted.get(f"{_RAN}{look.directory}")))
    if newest is not None:
        look.changes[f"{_RAN}{look.directory}"] = newest.isoformat()
    limit = max(look.stale_after, 2 * attempts.period(look.now, look.eyes.schedule))
    # Where no run was ever seen, as of a certbot in a container, it is missed when something is due.
    missed = newest is not None or any((lineage.due() or look.now) < look.now for lineage in look.lineages)
    since = newest or parsed(look.noted.get(SINCE)) or look.now
    alive = look.now - since <= limit or not missed
    if alive:
        look.well[stale] = "certbot has run."
    elif look.eyes.uptime() >= JUST_BOOTED:
        look.one.note("stale", last=moment(newest) if newest is not None else None,
                        limit=duration(limit.total_seconds()))
    _look_at_schedule(look, alive, unscheduled)
    _hear_of(look, last)


def _look_at_schedule(look: Look, alive: bool, subject: str) -> None:
    was, missing = f"{_SCHEDULED}{look.directory}", f"{_UNSCHEDULED}{look.directory}"
    found: list[dict[str, Any]] = []

    def note(_kind: str, **fields: Any) -> None:
        found.append(fields)

    if attempts.look_at_schedule(note, look.now, alive, was in look.noted, look.eyes.schedule):
        look.changes.update({was: look.now.isoformat(), missing: None})
        look.well[subject] = "It is scheduled again."
    elif not found:
        look.changes[missing] = None
        look.well[subject] = "It runs all the same."
    elif not alive or missing in look.noted or subject in look.memory.standing:
        look.one.note("no-timer", **found[0])
    else:  # systemd may only have been slow to answer: told when the next look finds none either
        look.changes[missing] = look.now.isoformat()


def _hear_of(look: Look, last: Optional[attempts.LastRun]) -> None:
    ended = attempts.look(last, look.history, look.one.note, lambda event: _is_mended(look, event, last))
    row = look.memory.standing.get(findings.subject_of_certbot(look.one.facts))
    if ended is None:
        return
    if row is not None and ended > row.seen:
        look.well[row.subject] = "certbot ran to its end."
    for subject, standing in look.memory.standing.items():
        if subject.startswith(f"hook {look.directory} ") and ended > standing.seen:
            look.well[subject] = "The last run had no trouble with hooks."


def _is_mended(look: Look, event: dict[str, Any], last: Optional[attempts.LastRun]) -> bool:
    """What a log tells of is over where its lineage is gone, or was changed or renewed since."""
    if event["kind"] not in ("lineage-failed", "lineage-broken") or last is None:
        return False
    name = str(event.get("lineage") or Path(str(event.get("path") or "")).stem)
    known = next((lineage for lineage in look.lineages if lineage.name == name), None)
    if known is None:
        return True
    for path in (known.path, known.certificate):
        try:
            if path is not None and os.stat(path).st_mtime > last.ended.timestamp() + 1:
                return True
        except OSError:
            continue
    return False


def _logs_dir(look: Look) -> Path:
    if look.config.certbot_logs_dir is not None:
        return look.config.certbot_logs_dir
    known = next((str(facts["logs_dir"]) for facts in look.history if facts.get("logs_dir")), "")
    return Path(known) if known else invocation.read(["--config-dir", str(look.directory)]).logs_dir
