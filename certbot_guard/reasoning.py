"""One trouble in words: why it is so, what it means, what to do about it, and the exact error. Pure.

The paragraphs that :mod:`certbot_guard.report` and :mod:`certbot_guard.troubles` are made of.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from certbot_guard import stakes
from certbot_guard.account import Account, subproblems
from certbot_guard.diagnosis import Diagnosis
from certbot_guard.phrases import moment, span
from certbot_guard.text import line, lines, listed

REASON_LIMIT = 250

_WHOSE = {"ca": "The trouble is the CA's", "network": "The trouble is in the network between this host and the CA",
          "dns": "The trouble is in the DNS", "host": "The trouble is on this host",
          "configuration": "The trouble is in the configuration", "web server": "The trouble is the web server's",
          "certbot": "The trouble is certbot's"}


def why(diagnosis: Diagnosis) -> str:
    """What happened, whose problem it is, and whether it passes by itself."""
    whose = _WHOSE.get(diagnosis.whose, "")
    if not whose:
        return f"Why: {diagnosis.happened}"
    passes = {True: " and passes by itself", False: " and stays until it is mended"}.get(diagnosis.transient, "")
    when = f" The CA says: not before {diagnosis.retry_after}." if diagnosis.retry_after else ""
    return f"Why: {diagnosis.happened} {whose}{passes}.{when}"


def advice(diagnosis: Diagnosis) -> list[str]:
    said = " ".join(part for part in (diagnosis.advice, diagnosis.link) if part)
    return [f"What to do: {said}"] if said else []


def each_advice(found: Account, *kinds: str) -> list[str]:
    """What to do about these, each piece of advice once."""
    said = [part for event in found.new(*kinds) for part in advice(found.diagnose(event))]
    return list(dict.fromkeys(said))[:3]


def meaning(found: Account, lineages: list[str]) -> list[str]:
    """When it hurts: until when the first of these certificates is good."""
    known = found.soonest(lineages)
    if known is None:
        return ["  When the certificate expires is not known."] if len(lineages) == 1 else []
    name, validity = known
    when, seconds = validity.not_after, -seconds_since(found, validity.not_after)
    who = "the certificate" if len(lineages) == 1 else f"the first certificate ({line(name, 120)})"
    if seconds <= 0:
        return [f"It means: {who} EXPIRED on {moment(when)}, {span(-seconds)} ago; browsers refuse the site."]
    hurts = ("from then on browsers refuse the site" if stakes.severity(validity, found.now) == "critical"
             else "visitors notice nothing until then")
    return [f"It means: {who} expires on {moment(when)}, in {span(seconds)}; {hurts}."]


def seconds_since(found: Account, since: datetime) -> float:
    return (found.now - since).total_seconds()


def not_renewed(found: Account, lineages: list[str]) -> str:
    """``Not renewed: a.example (its names)``, or how many they are that have the same cause."""
    if len(lineages) == 1:
        return f"Not renewed: {line(lineages[0], 120)}{names_of(found, lineages[0], 5)}"
    return f"Not renewed: {len(lineages)} lineages, same cause: {listed(lineages, 10)}"


def error_lines(event: dict[str, Any], limit: int, most: int, brief: bool = False) -> list[str]:
    """The exact error: with an ACME problem its type, its detail and what it says of each name.

    Of challenges that failed, ``brief`` gives what the CA said of each, without certbot's words around it.
    """
    acme = event.get("acme")
    if isinstance(acme, dict):
        said = [f"Error: {line(acme.get('type'), 120)}", f"  {line(acme.get('detail'), limit) or '(no detail)'}"]
        return said + _of_names(subproblems(event), "identifier", limit // 2, most)
    kind = line(event.get("error_type"), 60)
    said = [f"Error: {line(event.get('error'), limit) or '(no text)'}" + (f" [{kind}]" if kind else "")]
    found = event.get("evidence")
    challenges = found.get("challenges") if isinstance(found, dict) else None
    if brief and isinstance(challenges, list) and challenges:
        return said + _of_names([one for one in challenges if isinstance(one, dict)], "domain", limit, most)
    context = [part for text in event.get("context") or () for part in _shown(str(text), limit * 2, most * 4)]
    return said + [f"  | {part}" for part in context[-most * 4:]]


def _of_names(problems: list[dict[str, Any]], name: str, limit: int, most: int) -> list[str]:
    said = [f"  {line(problem.get(name), 120) or '(no name)'}: {short_type(problem.get('type'))}: "
            f"{line(problem.get('detail'), limit)}" for problem in problems[:most]]
    return said + ([f"  and {len(problems) - most} more names"] if len(problems) > most else [])


def _shown(text: str, limit: int, most: int) -> list[str]:
    """What certbot showed before an error; its hint, which is always the same, only where there is room for it."""
    if len(text) > limit:
        text = text.rpartition("\nHint: ")[0] or text
    return lines(text, limit, most)


def names_of(found: Account, lineage: str, most: int) -> str:
    names = found.names(lineage)
    return f" ({listed(names, most, 80)})" if names and names != [lineage] else ""


def reason(event: dict[str, Any]) -> list[str]:
    return [f"  {line(event.get('reason'), REASON_LIMIT)}"] + quoted(event.get("detail"), 300, 5)


def quoted(value: Any, limit: int, most: int) -> list[str]:
    return [f"  | {part}" for part in lines(value, limit, most)]


def and_more(events: list, shown: int) -> list[str]:
    return [f"and {len(events) - shown} more"] if len(events) > shown else []


def short_type(kind: Any) -> str:
    return line(kind, 120).rpartition(":")[2]
