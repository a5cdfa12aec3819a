"""One trouble in words: why it is so, what it means, what to do about it, and the exact error. Pure.

The paragraphs that :mod:`certbot_guard.report` and :mod:`certbot_guard.troubles` are made of.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from certbot_guard import logtail, stakes
from certbot_guard.account import Account, subproblems
from certbot_guard.diagnosis import Diagnosis
from certbot_guard.phrases import duration, moment, span
from certbot_guard.text import line, lines, listed

REASON_LIMIT = 250
_MASKED_LIMIT = 20_000
# Let's Encrypt's own page to lift a pause: of no use with its end cut off.
_WHOLE_LINK = re.compile(r"https://portal\.letsencrypt\.org/\S+")

_WHOSE = {"ca": "The trouble is the CA's", "network": "The trouble is in the network",
          "dns": "The trouble is in the DNS", "host": "The trouble is on this host",
          "configuration": "The trouble is in the configuration", "web server": "The trouble is the web server's",
          "certbot": "The trouble is certbot's"}


def why(diagnosis: Diagnosis) -> str:
    """What happened, whose problem it is, and whether it passes by itself."""
    whose = _WHOSE.get(diagnosis.whose, "")
    if not whose:
        return f"Why: {diagnosis.happened}"
    passes = {True: " and passes by itself", False: " and stays until it is mended"}.get(diagnosis.transient, "")
    seconds, is_span, _ = diagnosis.retry_after.partition(" s")
    wait = f"not for {duration(seconds)}" if is_span else f"not before {diagnosis.retry_after}"
    when = f" The CA says: {wait}." if diagnosis.retry_after else ""
    return f"Why: {diagnosis.happened} {whose}{passes}.{when}"


def advice(found: Account, diagnosis: Diagnosis, lineages: list[str]) -> list[str]:
    said = " ".join(part for part in (_in_time(found, diagnosis.advice, lineages), diagnosis.link) if part)
    return [f"What to do: {said}"] if said else []


def _in_time(found: Account, words: str, lineages: list[str]) -> str:
    """"Nothing now" is right only where certbot tries again in time."""
    if not words.startswith("Nothing now"):
        return words
    attempt, soonest = found.next_attempt, found.soonest(lineages)
    by_hand = "Run 'certbot renew' by hand as soon as the cause is gone: {}."
    if soonest is not None and stakes.severity(soonest[1], found.now) == "critical":
        return _instead(words, by_hand.format("there is little time left"))
    if soonest is not None and attempt.at is not None and attempt.at > soonest[1].not_after:
        return _instead(words, by_hand.format("the next scheduled attempt comes too late"))
    if not attempt.found:
        return f"{words} But no scheduled run of certbot was found: see to it that it is run again before then."
    return words


def _instead(words: str, first: str) -> str:
    """``first`` in place of the first sentence; the rest stands for itself then."""
    _, _, rest = words.partition(". ")
    rest = re.sub(r"^(?:Otherwise|If it stays for more than a day,) (\w)", lambda found: found[1].upper(), rest)
    return f"{first} {rest}".strip()


def each_advice(found: Account, *kinds: str) -> list[str]:
    """What to do about these, each piece of advice once."""
    said = [part for event in found.new(*kinds)
            for part in advice(found, found.diagnose(event), [str(event.get("lineage"))])]
    return list(dict.fromkeys(said))[:3]


def masked(value: Any) -> str:
    """What a stranger's program, or a hook of the user's, said or was told, without what looks like a secret."""
    return logtail.masked(str(value if value is not None else "")[:_MASKED_LIMIT])


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
    link = _WHOLE_LINK.search(str(acme.get("detail") if isinstance(acme, dict) else event.get("error"))[:_MASKED_LIMIT])
    if link is not None:
        limit = max(limit, min(2 * link.end(), 3000))
    if isinstance(acme, dict):
        said = [f"Error: {line(acme.get('type'), 120)}", f"  {line(acme.get('detail'), limit) or '(no detail)'}"]
        return said + _of_names(subproblems(event), "identifier", limit // 2, most)
    kind = line(event.get("error_type"), 60)
    error = str(event.get("error") or "")
    # The link holds what looks like a secret, and is of no use without it: all but the link is masked.
    error = masked(error) if link is None else "".join(
        [masked(error[:link.start()]), link[0], masked(error[link.end():])])
    said = [f"Error: {line(error, limit) or '(no text)'}" + (f" [{kind}]" if kind else "")]
    found = event.get("evidence")
    challenges = found.get("challenges") if isinstance(found, dict) else None
    if brief and isinstance(challenges, list) and challenges:
        return said + _of_names([one for one in challenges if isinstance(one, dict)], "domain", limit, most)
    context = [part for text in event.get("context") or () for part in _shown(masked(text), limit * 2, most * 4)]
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
