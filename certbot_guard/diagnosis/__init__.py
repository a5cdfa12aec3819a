"""Why something failed: what happened, whose problem it is, whether it passes by itself, what to do now. Pure.

The causes are data, a table in a few modules by noun; the first row that recognises an event explains it. What no row
recognises is said to be unknown, with the error itself. Called for what is told and by ``certbot-guard explain``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Optional

from certbot_guard import text
from certbot_guard.diagnosis import acme, certbots, challenges, host, network, outside, timing, webserver
from certbot_guard.diagnosis.case import RATE_LIMITS, STATUS_PAGE, Case, Cause, Fields, beginning, quoted

__all__ = ["Diagnosis", "diagnose", "reference", "table"]

_SENTENCE_LIMIT = 300
_ADVICE_LIMIT = 500
_FIELD_LIMIT = 200


@dataclass(frozen=True)
class Diagnosis:
    """One trouble, explained. Every text is one harmless line.

    :ivar cause: a stable identifier, such as ``acme:rateLimited`` or ``port-in-use``; ``unknown`` where it is that.
    :ivar key: equal for two failures that are the same trouble: no times, tokens or names of one lineage in it.
    :ivar happened: one sentence for a person, 300 characters at most.
    :ivar whose: ``ca``, ``network``, ``dns``, ``host``, ``configuration``, ``web server``, ``certbot`` or ``unknown``.
    :ivar transient: does it pass by itself? None: nobody can know.
    :ivar advice: what to do now; says "Nothing now" where that is so.
    :ivar link: one URL, never one that came from outside; or nothing.
    :ivar retry_after: ``2026-12-02 07:00 UTC`` or ``3600 s`` where the CA said so.
    """

    cause: str
    key: str
    happened: str
    whose: str
    transient: Optional[bool]
    advice: str
    link: str = ""
    retry_after: str = ""


def diagnose(event: dict[str, Any], facts: dict[str, Any]) -> Diagnosis:
    """What is behind ``event``, one of any kind, with the facts of its run. Never raises."""
    try:
        return _diagnosis(event, facts)
    except Exception:  # a bug here must not cost people the message
        return Diagnosis("unknown", "unknown", "It failed, and the reason could not be worked out.", "unknown", None,
                         _UNKNOWN.advice)


def table() -> Iterator[tuple[str, str, Optional[bool], str, str]]:
    """For the documentation: ``(cause, whose, transient, an example of the sentence, advice)`` of each row."""
    for cause in (*_CAUSES, _UNKNOWN):
        yield (cause.name, cause.whose, cause.transient, _sentence(cause.happened, cause.example, _SENTENCE_LIMIT),
               _sentence(cause.advice, {"register": "certbot register --server URL", **cause.example}, _ADVICE_LIMIT))


def reference() -> str:
    """The table as Markdown."""
    passes = {True: "yes", False: "no", None: "-"}
    rows = [f"| `{cause}` | {whose} | {passes[transient]} | {_cell(happened)} | {_cell(advice)} |"
            for cause, whose, transient, happened, advice in table()]
    return "\n".join(["| cause | whose trouble | passes by itself | what happened, for example | what to do |",
                      "|---|---|---|---|---|", *dict.fromkeys(rows)]) + "\n"


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def _diagnosis(event: Any, facts: Any) -> Diagnosis:
    case = Case(event, facts)
    cause, fields = _recognised(case)
    significant = [text.line(fields.get(name), 60) for name in cause.significant]
    advice = _sentence(cause.advice, fields, _ADVICE_LIMIT)
    skewed = timing.clock_note(case)
    if skewed:
        advice = text.line(f"{advice} {skewed}", _ADVICE_LIMIT + len(skewed) + 1)
    theirs = cause.link in (STATUS_PAGE, RATE_LIMITS)
    return Diagnosis(cause.name, "|".join([cause.name, *significant]),
                     _sentence(cause.happened, fields, _SENTENCE_LIMIT), cause.whose, cause.transient, advice,
                     cause.link if case.is_lets_encrypt or not theirs else "", timing.retry_after(case))


def _recognised(case: Case) -> tuple[Cause, Fields]:
    for cause in _CAUSES:
        found = cause.seen(case)
        if found is not None:
            return cause, {"ca": case.ca, "shape": case.shape, "register": case.register, **found}
    return _UNKNOWN, {"shape": case.shape, **_as_it_is(case)}


def _sentence(template: str, fields: Fields, limit: int) -> str:
    """One harmless line that ends with a full stop. Fields that are missing are left out."""
    words = text.line(template.format_map(_Values({name: _shown(value) for name, value in fields.items()})), limit * 3)
    words = words.rstrip(" .")
    words = beginning(words if words.startswith("certbot") else words[:1].upper() + words[1:], limit - 1)
    return words if words.endswith("?") else words + "."


def _shown(value: Any) -> str:
    """A field may begin with a blank, which a line does not."""
    return (" " if str(value)[:1] == " " else "") + beginning(value, _FIELD_LIMIT).rstrip(".")


class _Values(dict):  # type: ignore[type-arg]
    def __missing__(self, name: str) -> str:
        return ""


def _as_it_is(case: Case) -> Fields:
    shown = case.error or case.reason or case.detail or "(no text)"
    kind = f" ({text.line(case.error_type, 60)})" if case.error_type else ""
    return {"error": quoted(shown, 120) + kind, "type": case.error_type or case.kind}


_UNKNOWN = Cause(
    "unknown", _as_it_is, "Why it failed is not known here; this is the error: {error}", "unknown", None,
    "Read the error and certbot's log. If it stays, the forum of certbot's users may help",
    "https://community.letsencrypt.org/", ("type", "shape"), {"error": '"division by zero" (ZeroDivisionError)'})

# An event of the web server's is told apart by its kind; after that, what the CA said comes before what certbot says.
_CAUSES: tuple[Cause, ...] = (
    *outside.CAUSES, *webserver.CAUSES, *certbots.FIRST, *challenges.CAUSES, *acme.CAUSES, *network.CAUSES, *host.CAUSES,
    *certbots.CAUSES)
