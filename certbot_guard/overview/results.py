"""What a run did to each lineage, and what it came to as a whole, by its events. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional

from certbot_guard import logtail, text, verdict
from certbot_guard.outages import Outage, outages_of, parsed
from certbot_guard.overview.books import Told

RENEWED, NOT_LOADED, FAILED, REFUSED = "renewed", "renewed, not loaded", "failed", "refused"
NOT_ATTEMPTED, UNFINISHED, TRIED_OUT = "not attempted", "not finished", "tried out"
WELL = frozenset({RENEWED})
# So the CA has its answer.
PROVED = frozenset({RENEWED, NOT_LOADED, TRIED_OUT})
# What an event says of its lineage; the last one counts. "lineage" is the beginning of an attempt.
_OUTCOMES = {"lineage": UNFINISHED, "deployed": RENEWED, "lineage-failed": FAILED, "refused": REFUSED,
             "overdue": FAILED, "reload-refused": NOT_LOADED, "reload-failed": NOT_LOADED, "not-served": NOT_LOADED}
_COMMAND_LIMIT = 200
_REASON_LIMIT = 300
_TROUBLES = 20


@dataclass(frozen=True)
class RunRow:
    """One run.

    :ivar started: None where it is not known
    :ivar command: how it was started, without secrets
    :ivar ok: whether it went well; None where that is not known, or not yet
    :ivar results: by lineage, what came of the attempt
    :ivar passages: of each lineage whose challenge was to pass through the running web server: a sentence why it could
        not; empty where it could
    :ivar troubles: one harmless line each
    :ivar told: to whom its messages went
    :ivar under: what supervised it, or nothing
    """

    id: str
    config_dir: str
    started: Optional[datetime]
    command: str
    dry_run: bool
    ok: Optional[bool]
    results: dict[str, str]
    troubles: tuple[str, ...] = ()
    outages: tuple[Outage, ...] = ()
    told: tuple[Told, ...] = ()
    under: str = ""
    certbot_version: str = ""
    verb: str = ""
    logs_dir: str = ""
    passages: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_renewal(self) -> bool:
        """It tried all lineages for real. A record without a verb is one that had to be made up after a crash."""
        return self.verb in ("renew", "") and not self.dry_run

    @property
    def outcome(self) -> str:
        """One word or two."""
        if self.ok is None:
            return "not finished"
        return "went well" if self.ok else "failed"

    @property
    def without_a_stop(self) -> list[str]:
        """The lineages whose challenge was let through, so that nothing had to be stopped for it."""
        return [name for name, why_not in self.passages.items() if not why_not]

    @property
    def not_let_through(self) -> dict[str, str]:
        """By lineage, why the web server was to be stopped, though the challenge might have passed through it."""
        return {name: why_not for name, why_not in self.passages.items() if why_not}

    def to_json(self) -> dict[str, Any]:
        return {
            "id": text.line(self.id, 80), "config_dir": text.line(self.config_dir, 300), "started": iso(self.started),
            "command": self.command, "supervised": bool(self.under), "dry_run": self.dry_run, "ok": self.ok,
            "lineages": [{"name": text.line(name, 300), "outcome": outcome,
                          "let_through": self.passages[name] == "" if name in self.passages else None,
                          "why_not_let_through": self.passages.get(name) or None}
                         for name, outcome in self.results.items()],
            "troubles": list(self.troubles), "certbot_version": self.certbot_version,
            "outages": [{"lineage": text.line(one.lineage, 300) or None, "since": iso(one.since),
                         "seconds": round(one.seconds, 3), "ended": one.ended} for one in self.outages],
            "told": [{"channel": text.line(one.channel, 120), "state": one.state} for one in self.told]}


def row(facts: dict[str, Any], events: list[dict[str, Any]], now: datetime, told: tuple[Told, ...] = (),
        words: bool = True) -> RunRow:
    """What is shown of a run. Never raises for the account of another version: what it cannot read is not known.

    :param words: work out what went wrong, which takes a while for a run with many failures
    """
    ok: Optional[bool] = None
    troubles: tuple[str, ...] = ()
    try:
        if is_over(events) or facts.get("verb") in ("run", "unit-failed"):
            ok = verdict.is_ok(facts, events, now)
        if words:
            said = verdict.of(facts, events, now).troubles
            troubles = said[:_TROUBLES] + ((f"and {len(said) - _TROUBLES} more",) if len(said) > _TROUBLES else ())
    except Exception:
        ok = None
    results = _results(events)
    # certbot runs no deploy hook then, so nothing marks the end of an attempt
    if ok and (facts.get("dry_run") or facts.get("verb") == "reconfigure"):
        results = {name: TRIED_OUT if outcome == UNFINISHED else outcome for name, outcome in results.items()}
    return RunRow(str(facts.get("id")), str(facts.get("config_dir") or ""), parsed(facts.get("started")),
                  command_of(facts), bool(facts.get("dry_run")), ok, results, troubles,
                  tuple(_outages(events, now)), told, "certbot-guard run" if facts.get("supervised") else "",
                  text.line(facts.get("certbot_version"), 40), str(facts.get("verb") or ""),
                  str(facts.get("logs_dir") or ""), passages_of(events))


def is_over(events: list[dict[str, Any]]) -> bool:
    """certbot's part is at its end, however it ended."""
    return any(event["kind"] in ("exit", "died", "fatal", "settled", "left-out") for event in events)


def _results(events: list[dict[str, Any]]) -> dict[str, str]:
    try:
        return results_of(events)
    except Exception:
        return {}


def results_of(events: list[dict[str, Any]]) -> dict[str, str]:
    """By lineage, what came of the attempt to renew it."""
    found: dict[str, str] = {}
    for event in events:
        kind, name = event["kind"], str(event.get("lineage") or "")
        if kind == "not-attempted":
            found.update((str(one), NOT_ATTEMPTED) for one in event.get("lineages") or ())
        elif name and kind in _OUTCOMES:
            found[name] = _OUTCOMES[kind]
    return found


def passages_of(events: list[dict[str, Any]]) -> dict[str, str]:
    """By lineage, whether its challenge was let through the running web server: ``""``, or a sentence why not."""
    found: dict[str, str] = {}
    for event in events:
        name = str(event.get("lineage") or "")
        if name and event["kind"] in ("proxy-placed", "not-proxied"):
            found[name] = "" if event["kind"] == "proxy-placed" else text.line(
                event.get("reason"), _REASON_LIMIT) or "not known"
    return found


def command_of(facts: dict[str, Any]) -> str:
    """The command line, as one harmless line without secrets; nothing where it is not known."""
    argv = facts.get("argv")
    words = [str(word) for word in argv] if isinstance(argv, (list, tuple)) else []
    if not words:
        return ""
    shown = " ".join(words if words[0] == "certbot-guard" else ["certbot", *words])
    return text.line(logtail.masked(shown[:4000]), _COMMAND_LIMIT)


def _outages(events: list[dict[str, Any]], now: datetime) -> list[Outage]:
    try:
        return outages_of(events, now)
    except Exception:
        return []


def iso(when: Optional[datetime]) -> Optional[str]:
    return when.isoformat(timespec="seconds") if when is not None else None
