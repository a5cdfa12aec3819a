"""What a diagnosis is made from and of: a :class:`Case` is an event looked at, a :class:`Cause` one row of the table.

An event comes from the disk and holds text from outside: every field may have any shape here, and no longer in a Case.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional
from urllib.parse import urlsplit

from certbot_guard import text
from certbot_guard.evidence import reported_problems

Fields = Mapping[str, Any]
STATUS_PAGE = "https://letsencrypt.status.io/"
RATE_LIMITS = "https://letsencrypt.org/docs/rate-limits/"
_WORDS_LIMIT = 20_000
_RESPONSE = re.compile(r"<Response \[(\d{3})\]>")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9a-fA-F:.]{2,45}")
# certbot_guard.session: the sentence of a refusal, and below it what the server said
_REFUSED = re.compile(r"certbot-guard leaves [^\n]{1,200}? running and does not renew [^\n]{1,300}?: ([^\n]*)\n?(.*)",
                      re.DOTALL)
# What is another one each time: moments, addresses in memory and of hosts, paths, domain names.
_PASSING = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},? (?=\d|[A-Z][a-z]{2} )|"
    r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6} (?=\d)|"
    r"(?<=\d )(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}\b|"
    r"[0-9a-fA-F]{0,4}:(?:[0-9a-fA-F]{0,4}:)+[0-9a-fA-F.]{0,15}|\w{1,10}://[^\s'\"]+|/[^\s'\",:;)]+|"
    r"[\w*-]+(?:\.[\w-]+)+")
_WORD = re.compile(r"[\w-]+")
_SERVER_URL = re.compile(r"https?://[A-Za-z0-9.:/_\[\]-]{1,150}")
_URN = re.compile(r"\burn:(?:ietf:params:)?acme:error:(\w{1,60})")


@dataclass(frozen=True)
class Problem:
    """What the CA said of one name. ``type`` is the last word of its URN."""

    name: str
    type: str
    detail: str


@dataclass(frozen=True)
class Cause:
    """One row: how a cause is recognised, and what is said of it.

    :ivar seen: the fields of :attr:`happened` and :attr:`advice`; None where it is not this cause.
    :ivar happened: a sentence with ``{fields}``
    :ivar link: shown for Let's Encrypt only, if it is one of theirs.
    :ivar significant: the fields that make it another trouble when they change.
    :ivar example: fields for the documentation.
    """

    name: str
    seen: Callable[[Case], Optional[Fields]]
    happened: str
    whose: str
    transient: Optional[bool]
    advice: str
    link: str = ""
    significant: tuple[str, ...] = ()
    example: Fields = field(default_factory=dict)


class Case:
    """An event and the run's facts, each field of the kind it should be."""

    def __init__(self, event: Any, facts: Any) -> None:
        event, facts = _dict(event), _dict(facts)
        evidence = _dict(event.get("evidence"))
        self.event, self.facts = event, facts
        self.kind = _str(event.get("kind"))
        self.error = _str(event.get("error") or event.get("text"))
        self.reason = _str(event.get("reason"))
        self.detail = _str(event.get("detail"))
        self.types = [name.rpartition(".")[2] for name in _strings(evidence.get("types"))]
        self.error_type = _str(event.get("error_type")) or (self.types[0] if self.types else "")
        self.modules = {name.partition(".")[0] for name in _strings(evidence.get("types"))}
        self.words = "\n".join([self.error, *_strings(evidence.get("texts"))])[:_WORDS_LIMIT]
        self.context = "\n".join(_strings(event.get("context")))[:_WORDS_LIMIT]
        self.errno = _int(evidence.get("errno"))
        self.filename = _str(evidence.get("filename"))
        self.port, self.port_owner = _int(evidence.get("port")), _str(evidence.get("port_owner"))
        self.verify_code = _int(evidence.get("verify_code"))
        self.addresses = _strings(evidence.get("addresses"))
        self.server_date = _str(evidence.get("server_date"))
        self.retry_header = _str(evidence.get("retry_after"))
        self.host = _host(_str(evidence.get("url")) or _str(facts.get("acme_server")) or _server_option(facts))
        response = _RESPONSE.search(self.words)
        self.status = _int(evidence.get("status")) or (int(response[1]) if response else None)
        self._undo_echo()
        self._read_problem(_dict(event.get("acme")) or _dict(evidence.get("problem")))
        self._read_challenges(evidence.get("challenges"))

    def _undo_echo(self) -> None:
        """certbot reports what the guard raised in prepare() as the lineage's error: it is the guard's refusal."""
        refused = _REFUSED.match(self.error)
        if refused:
            self.kind, self.reason, self.detail = "refused", refused[1], refused[2]
        elif self.error.startswith("certbot-guard does not stop ") and "max_outage" in self.error:
            self.kind, self.reason = "not-attempted", "max_outage had passed in this run"

    def _read_problem(self, problem: dict[str, Any]) -> None:
        urn = _URN.search(self.words)
        # about:blank is RFC 7807's word for "nothing but the HTTP status"
        named = "" if problem.get("type") == "about:blank" else short_type(problem.get("type"))
        self.acme_type = named or (urn[1] if urn else "")
        self.acme_detail = _str(problem.get("detail")) or (_detail_of(self.words[urn.start():]) if urn else "")
        inner = problem.get("subproblems")
        self.subproblems = [
            Problem(_str(one.get("identifier")), short_type(one.get("type")), _str(one.get("detail")))
            for one in (inner if isinstance(inner, list) else [])[:100] if isinstance(one, dict)]

    def _read_challenges(self, found: Any) -> None:
        known = [one for one in (found if isinstance(found, list) else [])[:100] if isinstance(one, dict)]
        self.challenges = [Problem(_str(one.get("domain")), short_type(one.get("type")), _str(one.get("detail")))
                           for one in known or reported_problems(self.context)]

    @property
    def is_lets_encrypt(self) -> bool:
        """Only where the CA is known to be: by the server's name, or where that is not known by what it said."""
        if self.host:
            return self.host.endswith(".letsencrypt.org")
        return "letsencrypt.org" in self.words or "letsencrypt.status.io" in f"{self.acme_detail} {self.words}"

    @property
    def ca(self) -> str:
        """``The CA (acme-v02.api.letsencrypt.org)``"""
        return f"The CA ({self.host})" if self.host else "The CA"

    @property
    def shape(self) -> str:
        """What the error says without what is another one each time, or this lineage's own: for a key.

        Words with a digit in them or longer than 24 letters are numbers and tokens; a digest stands for the end.
        """
        said = (self.error or self.reason or self.acme_detail)[:1000]
        lineage = _str(self.event.get("lineage"))[:200]
        if lineage:
            said = re.sub(rf"(?<![\w.-]){re.escape(lineage)}(?![\w-])", " ", said)
        words = [word.lower() for word in _WORD.findall(_PASSING.sub(" ", said))
                 if 1 < len(word) <= 24 and not re.search(r"\d", word)]
        if not words:
            return ""
        whole = " ".join(words)
        digest = hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:8]
        return f"{text.line(whole, 1000)[:40].strip()} {digest}"

    @property
    def register(self) -> str:
        """The command that makes an account at this CA: without --server certbot asks Let's Encrypt."""
        url = _str(self.facts.get("acme_server")) or _server_option(self.facts)
        if self.is_lets_encrypt:
            return "certbot register"
        return f"certbot register --server {url if _SERVER_URL.fullmatch(url) else 'URL'}"

    @property
    def forced(self) -> bool:
        """certbot was told to renew what is not due."""
        words = self.facts.get("argv")
        return any(str(word).startswith(("--force-renew", "--renew-by-default"))
                   for word in (words if isinstance(words, (list, tuple)) else ()))

    @property
    def server_word(self) -> str:
        return "The web server" if _dict(self.facts.get("server")).get("control") == "command" else "Apache"

    def is_a(self, *names: str) -> bool:
        """Is one of these classes in the exception's chain, or its own class?"""
        return self.error_type in names or any(name in names for name in self.types)

    def said(self, pattern: str) -> Optional[re.Match[str]]:
        """The words of the error and of what it was made of. Not those that certbot logged before it."""
        return re.search(pattern, self.words)


def said(pattern: str, *kinds: str) -> Callable[[Case], Optional[Fields]]:
    """Recognises by the error's words; its named groups are the fields. ``kinds``: of these events only."""
    compiled = re.compile(pattern)

    def seen(case: Case) -> Optional[Fields]:
        found = compiled.search(case.words) if not kinds or case.kind in kinds else None
        return found.groupdict(default="") if found else None

    return seen


def classed(*names: str) -> Callable[[Case], Optional[Fields]]:
    """Recognises by the class of the exception, or of one that it was made of."""
    return lambda case: {} if case.is_a(*names) else None


def either(*ways: Callable[[Case], Optional[Fields]]) -> Callable[[Case], Optional[Fields]]:
    return lambda case: next((found for found in (way(case) for way in ways) if found is not None), None)


def short_type(value: Any) -> str:
    """``rateLimited``, of the URN that ends so; the old one of 2018 (``urn:acme:error:``) too."""
    return re.sub(r"\W", "", _str(value).rpartition(":")[2])[:60]


def _detail_of(shown: str) -> str:
    """acme 5.8 messages.py: ``str(Error)`` is type, description (where it knows one) and detail, `` :: `` between."""
    _, *parts = shown.partition("\n")[0].split(" :: ")
    return " :: ".join(parts[1:] if len(parts) > 1 else parts)


def quoted(value: str, limit: int = 140) -> str:
    """The beginning of another program's words in a sentence: one line, in quotation marks."""
    return f'"{beginning(value, limit).rstrip(" .")}"'


def beginning(value: Any, limit: int) -> str:
    """One harmless line; what is too long ends in ``…``: a sentence has no room for both ends, the details have."""
    shown = text.line(value, limit * 4)
    return shown if len(shown) <= limit else shown[:limit - 1] + "…"


def _str(value: Any) -> str:
    return value[:_WORDS_LIMIT] if isinstance(value, str) else ""


def _int(value: Any) -> Optional[int]:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9 else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> list[str]:
    values = value[:100] if isinstance(value, (list, tuple)) else ()
    return [one[:_WORDS_LIMIT] for one in values if isinstance(one, str)]


def _host(url: str) -> str:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return host if _HOST.fullmatch(host) else ""


def _server_option(facts: dict[str, Any]) -> str:
    words = _strings(facts.get("argv"))
    for word, following in zip(words, [*words[1:], ""]):
        if word.startswith("--server"):
            return word.partition("=")[2] or following
    return ""
