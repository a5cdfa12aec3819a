"""An Apprise URL's secrets, found and struck out of text. Pure.

What is secret differs by service (a password, a token in the path, a host that is a token), so everything in the URL
counts as secret but a host that looks like a host name, a port, and a few words.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit

MASK = "***"
_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+|localhost|\[?[0-9a-fA-F:]*:[0-9a-fA-F:.]*\]?", re.ASCII)
_HOST_KEYS = frozenset({"smtp", "host", "server"})
_PLAIN_WORDS = frozenset({"starttls", "ssl", "insecure", "yes", "no", "true", "false", "text", "html", "markdown"})


def strike_out(text: str, urls: Iterable[str]) -> str:
    """``text`` without these URLs and without any secret in them, however encoded."""
    for secret in sorted({part for url in urls for part in parts(url)}, key=len, reverse=True):
        # A secret of a letter or two is struck out where it stands alone; anywhere else it would eat the text.
        pattern = re.escape(secret) if len(secret) > 3 else rf"(?<!\w){re.escape(secret)}(?!\w)"
        text = re.sub(pattern, MASK, text, flags=re.IGNORECASE)
    return text


def parts(url: str) -> set[str]:
    """Every text that would give something of this URL away, in the encodings it may appear in."""
    found = {url, url.partition("://")[2]}
    try:
        pieces = urlsplit("x://" + url.partition("://")[2])
        user, password, host = pieces.username or "", pieces.password or "", _host(pieces.netloc)
    except ValueError:  # an unclosed [ and the like: no URL for anybody
        return {part for part in _encoded(found) if part}
    # A host, there or in smtp=..., is what explains a failure; a password with a dot in it looks like one, too.
    values = {value for name, value in parse_qsl(pieces.query) if name.lower() not in _HOST_KEYS}
    secret = {user, password, pieces.path, pieces.fragment, *values}
    if not _HOST.fullmatch(unquote(host)):
        secret, host = secret | {host}, ""
    # A token may stand beside another (tgram://BOT:TOKEN/): each piece counts too. Up to five digits are a port.
    secret |= {piece for part in set(secret) for piece in re.split(r"[/:?&=,;#]", part)
               if not re.fullmatch(r"\d{0,5}", piece)}
    if user and password:
        pair = f"{unquote(user)}:{unquote(password)}".encode()
        secret |= {base64.b64encode(pair).decode(), base64.b64encode(unquote(password).encode()).decode()}
    found |= secret | {pieces.query, pieces.path.lstrip("/")}
    found = {part for part in found if part and unquote(part).lower() not in _PLAIN_WORDS}
    return {part for part in _encoded(found) if part and part != host}


def _host(netloc: str) -> str:
    # urlsplit().hostname would lower it, and a token's case matters to whoever sees it.
    host = netloc.rpartition("@")[2]
    return re.sub(r":\d+$", "", host)


def _encoded(found: set[str]) -> set[str]:
    plain = found | {unquote(part) for part in found} | {unquote_plus(part) for part in found}
    return plain | {quote(part, safe="") for part in plain} | {quote_plus(part) for part in plain} | {
        quote(part) for part in plain} | {repr(part)[1:-1] for part in plain}
