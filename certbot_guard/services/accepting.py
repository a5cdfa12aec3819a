"""Whether an Apprise URL that somebody typed can be a channel's, and why not. Imports Apprise; sends nothing."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from certbot_guard import inifile, redact, urls

_LONGEST = 4000
_NOT_ACCEPTED = "Apprise does not accept this URL"
# Services whose login goes into an HTTP header, which requests writes as Latin-1.
_BASIC = frozenset({"json", "jsons", "form", "forms", "xml", "xmls", "ntfy", "ntfys", "apprise", "apprises", "signal",
                    "signals"})


def refusal(url: str) -> str:
    """Why not, as a sentence without any part of the URL; empty if it can."""
    return _form(url) or _judged(url)


def _form(url: str) -> str:
    if not url.strip():
        return "there is no URL"
    if inifile.has_controls(url):
        return "the URL has a line break or another control character in it; write it on one line"
    if url != url.strip():
        return "there are spaces before or after the URL; write it without them"
    if url[0] in "\"'<`\u201c\u201e\u2018":
        return "the URL stands in quotes; write it without them"
    if re.match(r"[^:/?]*=\s*\S+://", url):
        return "this is a whole line of guard.ini; write what stands behind its ="
    if not inifile.is_url(url):
        return "this is no Apprise URL; one begins with its service, such as mailtos:// or slack://"
    if re.search(r"\s", url):
        return "the URL has a space in it; write %20 for a space in a password"
    if len(url) > _LONGEST:
        return f"the URL is longer than {_LONGEST} characters"
    if any(0xd800 <= ord(letter) < 0xe000 for letter in url):
        return "the URL holds half a character; write letters that are not ASCII as %XX"
    return ""


def _judged(url: str) -> str:
    schema = url.partition("://")[0].lower()
    if schema in ("http", "https"):
        return "this is a web address and no Apprise URL; " + _whose(url)
    reason = urls.refusal(url)
    if reason.startswith("Apprise knows no service"):
        return f"{reason.rstrip('.')} (this is Apprise {_version()})" if not reason.endswith("?") else reason
    if not reason:
        return _lost(url, schema)
    # Apprise logs the URL itself behind these words, with parts of it masked.
    said = re.split(r"\s*(?:Could not load|Unparseable|Unsupported URL)", reason.partition(": ")[2])[0]
    return f"{_NOT_ACCEPTED}: {said}" if said and not _quotes(said, url) else _NOT_ACCEPTED


def _whose(url: str) -> str:
    from certbot_guard import services

    for service in services.SERVICES:
        for question in service.questions:
            if question.key not in ("hook", "key") or service.name == "webhook":
                continue
            try:
                if question.check(url):
                    return f"it is one that {service.title} shows, so choose '{service.name}' and paste it there"
            except ValueError:
                pass
    return "for one that a service shows choose that service by its name, for a program of your own choose 'webhook'"


def _lost(url: str, schema: str) -> str:
    """What Apprise takes and then does not send."""
    import apprise

    with urls.silent():
        service: Any = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    login = f"{getattr(service, 'user', '') or ''}{getattr(service, 'password', '') or ''}"
    if schema in ("mailto", "mailtos") and not login.isascii():
        return ("the user or password has characters that are not ASCII, which Python cannot send to a mail server; "
                "change it there first")
    if schema in _BASIC and not _is_latin(login):
        return "the user or password has characters that cannot be sent to a web server; change it there first"
    if schema in ("ntfy", "ntfys") and _given(url, "token") and not hasattr(service, "token"):
        return f"Apprise {_version()} would send ntfy no token; use a user and password, or a newer Apprise"
    if schema in ("matrix", "matrixs") and _bare_user(url) and not getattr(service, "password", None):
        return f"Apprise {_version()} knows no access token for Matrix; use a user and password, or a newer Apprise"
    if schema == "workflows" and _given(url, "pa") and not hasattr(service, "power_automate"):
        return f"Apprise {_version()} cannot post to this kind of workflow address; use a newer Apprise"
    return ""


def _given(url: str, key: str) -> bool:
    return bool(parse_qs(url.partition("?")[2]).get(key))


def _bare_user(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.username) and not parts.password and bool(parts.path.strip("/"))


def _is_latin(text: str) -> bool:
    return all(ord(letter) < 256 for letter in text)


def _version() -> str:
    import apprise

    return str(apprise.__version__)


def _quotes(said: str, url: str) -> bool:
    """Whether a piece of the URL stands in what Apprise said."""
    pieces = redact.parts(url) | set(re.split(r"[/:?&=,;#@%+]", url.partition("://")[2]))
    return any(len(piece) > 3 and piece.lower() in said.lower() for piece in pieces)
