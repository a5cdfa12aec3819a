"""The troubles that are seen from outside a run: with whom each of them is, how grave, and in what words. Pure.

Made by :mod:`certbot_guard.watch` and by the commands that supervise others. :mod:`certbot_guard.findings` asks here what an
event of these kinds comes to, :mod:`certbot_guard.troubles` how it reads.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Optional

from certbot_guard import stakes
from certbot_guard.account import SIGHTED, Account
from certbot_guard.outages import parsed
from certbot_guard.phrases import moment, sentence, span
from certbot_guard.reasoning import advice, masked, meaning, names_of, seconds_since, why
from certbot_guard.text import line, listed

OF_A_LINEAGE = frozenset({"not-renewed", "revoked", "lost-guard", "plugin-missing", "key-mismatch"})
KINDS = SIGHTED
# What a certificate's end hurts, whatever the words are.
_EXPIRY = frozenset({"not-renewed", "revoked"})
_SHOWN_LIMIT = 8
_OUTPUT_LINES = 12

_HEADINGS = {
    "not-renewed": "Not renewed, though due", "revoked": "To be renewed now", "lost-guard": "Not guarded any more",
    "plugin-missing": "Cannot be renewed", "key-mismatch": "Key and certificate do not fit", "stale": "certbot does not run",
    "no-timer": "certbot is not scheduled", "also-reload-failed": "Not reloaded", "command-failed": "Failed"}
_SHOWN = {"served-expired": "An expired certificate is shown", "served-expiring": "A certificate that expires soon is shown",
          "served-old": "An old certificate is shown", "served-copy": "Another certificate is shown",
          "served-chain": "An incomplete chain is shown", "served-name": "A certificate for other names is shown",
          "served-silent": "No TLS answer"}
_TITLES = {
    "not-renewed": "not renewed", "revoked": "to be renewed now", "lost-guard": "not guarded any more",
    "plugin-missing": "cannot be renewed", "key-mismatch": "key does not fit"}
_SHOWN_TITLES = {
    "served-expired": "expired certificate shown", "served-expiring": "expiring certificate shown",
    "served-old": "old certificate shown", "served-copy": "other certificate shown", "served-chain": "chain incomplete",
    "served-name": "wrong certificate shown", "served-silent": "no TLS answer"}


def subject(facts: dict[str, Any], event: dict[str, Any]) -> str:
    """With whom it is, as a name that stays the same."""
    kind, config_dir = event["kind"], str(facts.get("config_dir") or "")
    if kind in OF_A_LINEAGE:
        return f"{kind} {config_dir} {event.get('lineage')}"
    if kind == "shown":
        return f"shown {event.get('place')}"
    if kind == "also-reload-failed":
        return f"service {event.get('service')}"
    return f"{kind} {config_dir}".strip()


def name(event: dict[str, Any]) -> str:
    """The same for a person."""
    kind = event["kind"]
    if kind in OF_A_LINEAGE:
        return line(event.get("lineage"), 120)
    if kind == "shown":
        return line(event.get("place"), 120)
    return line(event.get("service"), 120) if kind == "also-reload-failed" else "certbot"


def severity(found: Account, event: dict[str, Any]) -> str:
    """Critical: a site is down, or visitors get, or are about to get, what browsers refuse."""
    kind = event["kind"]
    if kind == "server-down" or (kind == "shown" and event.get("what") in ("served-expired", "served-expiring")):
        return "critical"
    if kind == "key-mismatch":
        return "critical"  # the next start of the web server fails
    if kind in OF_A_LINEAGE:
        return stakes.severity(found.validity(str(event.get("lineage"))), found.now)
    return found.severity_of_all() if kind in ("stale", "no-timer", "command-failed") else "warning"


def kinds(event: dict[str, Any], grave: str) -> set[str]:
    """By which ``events`` a channel gets it."""
    kind = event["kind"]
    if kind in ("lost-guard", "server-down"):
        return {"lost-guard" if kind == "lost-guard" else "outage"} | ({"expiry"} if grave == "critical" and kind == "lost-guard" else set())
    expires = kind in _EXPIRY or grave == "critical" or (kind == "shown" and event.get("what") == "served-old")
    return {"failure"} | ({"expiry"} if expires else set())


# -- words -----------------------------------------------------------------------------------------------------------


def blocks(found: Account) -> list[str]:
    """A paragraph for each group of these events that have the same cause."""
    said: list[str] = []
    for events in _grouped(found):
        said += ([""] if said else []) + _paragraph(found, events)
    return said


def headlines(found: Account) -> list[str]:
    """The same for the title, the gravest first."""
    said = []
    for events in sorted(_grouped(found), key=lambda group: -stakes.rank(severity(found, group[0]))):
        kind = events[0]["kind"]
        if kind == "server-down":
            continue  # the title begins with that
        names = listed(dict.fromkeys(name(event) for event in events), 2, 40)
        if kind in OF_A_LINEAGE:
            expired = kind == "not-renewed" and any(event.get("expired") for event in events)
            said.append(f"{names} {'EXPIRED' if expired else _TITLES[kind]}")
        elif kind == "shown":
            said.append(f"{_SHOWN_TITLES.get(str(events[0].get('what')), 'wrong certificate shown')} on {names}")
        elif kind == "also-reload-failed":
            said.append(f"{names} not reloaded")
        else:
            said.append({"stale": "certbot does not run", "no-timer": "certbot is not scheduled"}.get(kind, "certbot failed"))
    return said


def lineages(found: Account) -> list[str]:
    """Those whose certificates are at stake here."""
    of_all = found.alive() if found.new("stale", "no-timer", "command-failed") else []
    return [str(event["lineage"]) for event in found.new(*_EXPIRY) if event.get("lineage")] + of_all


def _grouped(found: Account) -> list[list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for event in found.new(*KINDS):
        groups.setdefault(f"{event['kind']} {found.diagnose(event).key}", []).append(event)
    for events in groups.values():
        events.sort(key=lambda event: str(event.get("due") or ""))
    return sorted(groups.values(), key=lambda events: -stakes.rank(severity(found, events[0])))


def _paragraph(found: Account, events: list[dict[str, Any]]) -> list[str]:
    first, diagnosis = events[0], found.diagnose(events[0])
    kind, names = first["kind"], list(dict.fromkeys(name(event) for event in events))
    affected = list(dict.fromkeys(str(event["lineage"]) for event in events if event.get("lineage")))
    said = _heading(found, first, names) if kind != "server-down" else []
    said.append(why(diagnosis))
    if kind == "not-renewed" and len(names) > 1:
        said.append("  That is the one that has been due longest.")
    if kind == "shown" and len(events) > 1:
        said += [f"  {name(event)}: {line(event.get('words'), 160)}" for event in events[:_SHOWN_LIMIT]]
        said += [f"  and {len(events) - _SHOWN_LIMIT} more places"] if len(events) > _SHOWN_LIMIT else []
    if kind == "revoked" and first.get("explanation"):
        said.append(f"  The CA says why: {line(first.get('explanation'), 300)}")
    if kind == "command-failed":
        said += _end_of(first.get("output")) + _tried(first)
    said += _stakes(found, first, affected)
    return said + advice(found, diagnosis, affected)


def _heading(found: Account, first: dict[str, Any], names: list[str]) -> list[str]:
    kind = first["kind"]
    if kind == "shown":
        heading = _SHOWN.get(str(first.get("what")), "Not as it should be")
        return [f"{heading}: {listed(names, _SHOWN_LIMIT)}" if len(names) == 1 else f"{heading} at {len(names)} places"]
    if kind == "command-failed":
        words = first.get("command")
        shown = " ".join(str(word) for word in words) if isinstance(words, (list, tuple)) else str(words or "")
        return [f"Failed: {line(masked(shown), 200)}" if shown else f"Failed: {line(first.get('unit'), 120)}"]
    if kind in ("stale", "no-timer"):
        return [f"{_HEADINGS[kind]}."]
    more = names_of(found, names[0], 5) if len(names) == 1 else ""
    count = "" if len(names) == 1 else f"{len(names)} lineages, same cause: "
    return [f"{_HEADINGS[kind]}: {count}{listed(names, 10)}{more}"]


def _stakes(found: Account, first: dict[str, Any], affected: list[str]) -> list[str]:
    kind = first["kind"]
    if kind == "shown":
        return _until(found, parsed(first.get("not_after"))) if first.get("what") == "served-old" else []
    if kind in ("key-mismatch", "server-down", "also-reload-failed"):
        return []
    return meaning(found, affected or found.alive()) if affected or found.alive() else []


def _until(found: Account, end: Optional[datetime]) -> list[str]:
    if end is None:
        return []
    left = -seconds_since(found, end)
    return [f"It means: the old certificate {'EXPIRED' if left <= 0 else 'expires'} on {moment(end)}"
            + ("; browsers refuse the site." if left <= 0 else f", in {span(left)}; visitors notice nothing until then.")]


def _end_of(output: Any) -> list[str]:
    """The last lines: what a program says last is, as a rule, why it ended."""
    printed = [part for part in masked(output).splitlines() if part.strip()]
    return [f"  | {line(part, 200)}" for part in printed[-_OUTPUT_LINES:]]


def _tried(event: dict[str, Any]) -> list[str]:
    attempts = event.get("attempts")
    return [sentence(f"it was tried {attempts} times.")] if isinstance(attempts, int) and attempts > 1 else []

