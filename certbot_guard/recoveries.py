"""Which troubles that stand are over, by what this run did and by what is on the disk now. Pure: the look is passed in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Callable, Optional

from certbot_guard import findings, sightings
from certbot_guard.account import Account
from certbot_guard.outages import parsed
from certbot_guard.stakes import Validity
from certbot_guard.standing import Memory, Recovered, Standing

# What a look at a lineage's files gives: whether it still has a renewal configuration, and its certificate's validity.
Look = Callable[[str], "tuple[bool, Optional[Validity]]"]


def of(found: Account, memory: Memory, look: Look) -> list[Recovered]:
    """Every trouble in ``memory`` that is over now, and an Apache of this run that serves again.

    :param look: for the name of a lineage of this run's configuration directory
    """
    # What this run has told already is wrong as well.
    still_wrong = {finding.subject for finding in findings.of(found.from_its_start()) if finding.stands}
    # A look from outside names what it has looked at and found well; what it could not look at is neither.
    seen = {str(event.get("subject")): str(event.get("how")) for event in found.all("seen-well")}
    over = []
    for subject, standing in memory.standing.items():
        how = "" if subject in still_wrong else _how(found, standing, look, seen)
        if how:
            over.append(Recovered(standing, how))
    server = findings.subject_of_server(found.facts)
    news = {finding.subject for finding in findings.of(found)}
    if server not in {*memory.standing, *news, *still_wrong} and found.new("serving") and found.serving is not False:
        over.append(Recovered(_of_this_run(found, server), _SERVES, certain=True))
    return over


_SERVES = "It serves again."


def _how(found: Account, standing: Standing, look: Look, seen: dict[str, str]) -> str:
    """Why this is well again, as a sentence; empty where nothing shows that it is."""
    facts, subject, lineage = found.facts, standing.subject, standing.lineage
    if subject == findings.subject_of_server(facts) and subject not in seen:
        return _SERVES if found.serving else ""
    from_outside = _seen(found, standing, seen)
    if from_outside is not None:
        return from_outside
    if lineage is None and _began_before(found, standing):
        return ""  # another certbot, which was at work when this one went wrong, shows nothing by ending well
    if subject == findings.subject_of_certbot(facts):
        return "certbot ran to its end." if found.ended_well else ""
    if lineage is not None and subject == findings.subject_of_deployment(facts, lineage):
        # A reload for another lineage loads this one's certificate, too; whether it is shown was not looked at then.
        loaded = [event for event in found.all("reloaded")
                  if event.get("lineage") == lineage or "not-served" not in standing.key]
        return "The web server has loaded the new certificate." if loaded or _started(found) else ""
    if lineage is not None and subject == findings.subject_of_lineage(facts, lineage):
        return _renewed(found, standing, lineage, look)
    if subject.startswith(f"hook {facts.get('config_dir') or ''} "):
        return "It ran without an error." if _ran(found, subject) else ""
    if subject.startswith("settings proxy ") and lineage is not None:
        return _passes(found, lineage, look)
    if subject.startswith(("guard ", "settings ")):
        return "It is in order." if found.all("lineage") and found.ended_well else ""
    return ""


def _passes(found: Account, lineage: str, look: Look) -> str:
    """Only a challenge of that lineage shows it, and that comes once in a certificate's life."""
    if not look(lineage)[0]:
        return "Its renewal configuration is gone."
    tried = [event["kind"] for event in found.all("proxy-placed", "not-proxied") if event.get("lineage") == lineage]
    if tried[-1:] == ["proxy-placed"]:
        return "Its challenge has passed through the web server."
    # Tried, and this run finds nothing wrong with that: guard.ini asks for it no more.
    return "mode = proxy is not set any more." if tried else ""


def _seen(found: Account, standing: Standing, seen: dict[str, str]) -> Optional[str]:
    """What a look from outside shows of it; None where it is for the run to say."""
    subject, lineage = standing.subject, standing.lineage
    if subject in seen:
        return seen[subject]
    kind = subject.partition(" ")[0]
    if kind in ("not-renewed", "revoked") and any(event.get("lineage") == lineage for event in found.all("deployed")):
        return "It was renewed." if subject == f"{kind} {found.facts.get('config_dir') or ''} {lineage}" else ""
    if kind == "service":
        reloaded = any(f"service {event.get('service')}" == subject for event in found.all("also-reloaded"))
        return "It was reloaded." if reloaded else ""
    return "" if kind in sightings.KINDS else None


def _began_before(found: Account, standing: Standing) -> bool:
    began = parsed(found.facts.get("started"))
    # Seen in the future: the clock was wrong then.
    return began is not None and began < standing.seen <= found.now


def _renewed(found: Account, standing: Standing, lineage: str, look: Look) -> str:
    exists, validity = look(lineage)
    if not exists:
        return "Its renewal configuration is gone." if found.is_whole else ""
    if any(event.get("lineage") == lineage for event in found.all("deployed")):
        return "It was renewed."
    if validity is None:
        return ""
    if standing.not_after is not None and validity.not_after > standing.not_after:
        return "It has been renewed meanwhile."
    if standing.not_after is None and validity.not_before is not None and validity.not_before > standing.since - _ISSUED_EARLIER:
        return "It has a certificate now."
    # certbot went through every lineage and has nothing to say of this one: it is read, and not due.
    return "certbot finds nothing wrong with it any more." if found.is_whole else ""


# CAs date a certificate back, so that clocks that are slow believe it (Let's Encrypt: one hour).
_ISSUED_EARLIER = timedelta(hours=1)


def _started(found: Account) -> bool:
    return any(event.get("window") is not None for event in found.all("serving"))


def _ran(found: Account, subject: str) -> bool:
    return any(findings.subject_of_hook(found.facts, event.get("hook"), event.get("command")) == subject
               for event in found.all("hook-ran"))


def _of_this_run(found: Account, subject: str) -> Standing:
    """The run's own events say that it was down, though no row does (no disk took one)."""
    since: Iterable[Any] = [outage.since for outage in found.outages if outage.since]
    name = str(found.facts.get("server_name") or "the web server")
    return Standing(subject, name, "", "critical", "It did not start.", min(since, default=found.now), found.now)
