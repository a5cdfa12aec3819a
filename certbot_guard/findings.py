"""The news of a run as findings: what is wrong with whom, why, and how grave. Pure.

A finding's ``subject`` says with whom something is wrong (a renewal configuration, the web server, a hook) and its ``key``
what: the same two are the same trouble, however often certbot runs into it. :mod:`certbot_guard.standing` decides by
them whether people hear of it again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

from certbot_guard import sightings, stakes
from certbot_guard.account import Account
from certbot_guard.diagnosis import Diagnosis
from certbot_guard.text import line

# The trouble of a lineage that was not renewed, or not even tried.
_OF_A_LINEAGE = frozenset({"lineage-failed", "refused", "left-running", "stop-failed", "overdue"})
_OF_A_DEPLOYMENT = frozenset({"reload-refused", "reload-failed", "not-served"})
_REFUSED = frozenset({"refused", "left-running", "reload-refused"})
_OUTAGE = frozenset({"start-failed", "left-down", "overdue", "stop-failed"})
_WORDS_LIMIT = 300
# What these could not do, or have seen, is so until they can; what somebody asked for once is over with that.
_ALL_LINEAGES = ("renew", "", "watch")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    :ivar subject: with whom, as a name that stays the same: a renewal configuration's path, ``server apache2.service``
    :ivar name: the same for a person
    :ivar key: what is wrong; the same again is the same trouble
    :ivar kinds: by which ``events`` a channel gets it
    :ivar words: one harmless line
    :ivar stands: it is so until something shows the contrary; otherwise it was over before it could be told
    :ivar not_after: when the certificate that the lineage has now expires
    :ivar numbers: the events it was made of
    """

    subject: str
    name: str
    key: str
    kinds: frozenset[str]
    severity: str
    words: str
    stands: bool = True
    lineage: Optional[str] = None
    not_after: Optional[datetime] = None
    diagnosis: Optional[Diagnosis] = field(default=None, compare=False)
    numbers: frozenset[int] = frozenset()

    def and_also(self, other: Finding) -> Finding:
        """One subject's two troubles of the same run, as one finding. The diagnosis is the graver one's, or the first."""
        first = other if stakes.rank(other.severity) > stakes.rank(self.severity) else self
        return Finding(self.subject, self.name, "+".join(sorted({*self.key.split("+"), *other.key.split("+")})),
                       self.kinds | other.kinds, first.severity, first.words, self.stands or other.stands,
                       self.lineage or other.lineage, self.not_after or other.not_after, first.diagnosis,
                       self.numbers | other.numbers)


def of(found: Account) -> list[Finding]:
    """What the account's news come to, one finding for each subject, in the order of the news."""
    made: dict[str, Finding] = {}
    for event in found.news:
        for finding in _of_event(found, event):
            known = made.get(finding.subject)
            made[finding.subject] = finding if known is None else known.and_also(finding)
    server = subject_of_server(found.facts)
    if found.news and found.is_down and not found.left_down and server not in made:
        made[server] = server_down(found)  # whoever is told that it is down is told when it serves
    return list(made.values())


def server_down(found: Account) -> Finding:
    """The web server does not serve, for whatever reason."""
    return Finding(subject_of_server(found.facts), str(found.facts.get("server_name") or "the web server"), "down",
                   frozenset({"outage"}), "critical", "It does not serve.")


def subject_of_lineage(facts: dict[str, Any], lineage: str) -> str:
    return str(Path(str(facts.get("config_dir") or "/etc/letsencrypt")) / "renewal" / f"{lineage}.conf")


def subject_of_deployment(facts: dict[str, Any], lineage: str) -> str:
    return f"deployed {subject_of_lineage(facts, lineage)}"


def subject_of_server(_facts: dict[str, Any]) -> str:
    return "server"  # of these settings: they have one


def subject_of_certbot(facts: dict[str, Any]) -> str:
    return f"certbot {facts.get('config_dir') or ''}".strip()


def subject_of_hook(facts: dict[str, Any], hook: Any, command: Any) -> str:
    return f"hook {facts.get('config_dir') or ''} {hook} {command}"


def _of_event(found: Account, event: dict[str, Any]) -> list[Finding]:
    kind, facts = event["kind"], found.facts
    diagnosis = found.diagnose(event)
    own_key = diagnosis.key
    if diagnosis.cause == "unknown":  # two errors of which nothing is known are the same if their words are
        own_key += ":" + hashlib.sha256(found.likeness(event).encode("utf-8", "replace")).hexdigest()[:16]
    lineage = str(event["lineage"]) if event.get("lineage") else None

    def of_lineage(name: str, key: str = "") -> Finding:
        validity = found.validity(name)
        severity = "warning" if found.dry_run else stakes.severity(validity, found.now)
        kinds = {"refused" if kind in _REFUSED else "failure"} | ({"outage"} if kind in _OUTAGE else set())
        return Finding(subject_of_lineage(facts, name), name, key or own_key,
                       frozenset(kinds | ({"expiry"} if severity == "critical" else set())), severity,
                       diagnosis.happened, _stands(found, event, name), lineage=name,
                       not_after=validity.not_after if validity else None,
                       diagnosis=diagnosis, numbers=frozenset({event["n"]}))

    def other(subject: str, name: str, kinds: set[str], severity: str = "warning", **more: Any) -> Finding:
        return Finding(subject, line(name, 120), own_key, frozenset(kinds), severity,
                       line(diagnosis.happened, _WORDS_LIMIT), diagnosis=diagnosis, numbers=frozenset({event["n"]}),
                       **more)

    if kind in sightings.KINDS:
        return [_sighted(found, event, own_key, lineage)]
    if kind in _OF_A_LINEAGE:
        return [of_lineage(lineage or "")]
    if kind == "not-attempted":
        named = [of_lineage(str(name), "not-attempted") for name in event.get("lineages") or ()]
        return named or [other(subject_of_certbot(facts), "certbot", {"failure"})]
    if kind in ("died", "fatal"):
        severity = found.severity_of_all()
        return [other(subject_of_certbot(facts), "certbot",
                      {"failure"} | ({"expiry"} if severity == "critical" else set()), severity,
                      stands=facts.get("verb", "renew") in _ALL_LINEAGES),
                *[of_lineage(name) for name in found.unfinished() if kind != "fatal" or not found.new("died")]]
    if kind in _OF_A_DEPLOYMENT:
        return [other(subject_of_deployment(facts, lineage or ""), lineage or "",
                      {"refused" if kind in _REFUSED else "failure"}, lineage=lineage)]
    if kind == "serving":
        return []  # an end, not a trouble: certbot_guard.recoveries
    if kind in ("start-failed", "left-down"):
        down = found.is_down
        return [other(subject_of_server(facts), facts.get("server_name") or "the web server", {"outage"},
                      "critical" if down and not found.left_down else "warning", stands=down)]
    if kind == "lineage-broken":
        path = str(event.get("path") or "")
        severity = "warning" if found.dry_run else stakes.severity(found.validity(Path(path).stem), found.now)
        return [other(path or f"renewal configuration of {lineage}", path or str(lineage),
                      {"failure"} | ({"expiry"} if severity == "critical" else set()), severity,
                      lineage=Path(path).stem if path else lineage)]
    if kind == "hook-failed":
        return [other(subject_of_hook(facts, event.get("hook"), event.get("command")),
                      f"{event.get('hook')} {event.get('command')}", {"failure"})]
    of_one = lineage if kind == "config-problem" else None
    return [other(_of_our_own(event), "certbot-guard", {"failure"}, lineage=of_one)]


def _sighted(found: Account, event: dict[str, Any], key: str, lineage: Optional[str]) -> Finding:
    """What was seen from outside. Of a service that shows something wrong, what it is is the cause."""
    diagnosis, severity, kind = found.diagnose(event), sightings.severity(found, event), event["kind"]
    subject = {"server-down": subject_of_server(found.facts), "command-failed": subject_of_certbot(found.facts)}.get(
        kind, sightings.subject(found.facts, event))
    validity = found.validity(lineage) if lineage else None
    name = str(found.facts.get("server_name") or "the web server") if kind == "server-down" else sightings.name(event)
    return Finding(subject, line(name, 120), key, frozenset(sightings.kinds(event, severity)), severity,
                   line(diagnosis.happened, _WORDS_LIMIT), lineage=lineage,
                   not_after=validity.not_after if validity else None, diagnosis=diagnosis, numbers=frozenset({event["n"]}))


def _stands(found: Account, event: dict[str, Any], lineage: str) -> bool:
    """Not what was renewed all the same, nor a certificate that somebody asked for once and did not get."""
    later = found.last_deployed.get(lineage, -1) > event["n"]
    return not later and (found.facts.get("verb", "renew") in _ALL_LINEAGES or found.validity(lineage) is not None)


def _of_our_own(event: dict[str, Any]) -> str:
    if event["kind"] == "config-problem" and event.get("lineage"):
        return f"settings proxy {event['lineage']}"
    if event["kind"] == "config-problem":
        return "settings " + hashlib.sha256(str(event.get("text")).encode("utf-8", "replace")).hexdigest()[:16]
    return f"guard {event.get('where')}"
