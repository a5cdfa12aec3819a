"""Pings for a dead man's switch that follows Healthchecks' protocol (https://healthchecks.io/docs/http_api/).

Knows nothing of the journal, and keeps nothing. No ping raises, none takes longer than :data:`DEADLINE_SECONDS`, and
none quotes its URL: whoever knows it can ping. Called by settle, ``certbot-guard watch`` and ``certbot-guard run``.
"""

from __future__ import annotations

import base64
import http.client
import queue
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any, Optional
from urllib.parse import unquote, urlsplit, urlunsplit

from certbot_guard import __version__, text, verdict
from certbot_guard.config import Config

DEADLINE_SECONDS = 5.0
# An attempt that hears nothing for so long leaves time for another one.
_ATTEMPT_SECONDS = 3.0
_PAUSE_SECONDS = 0.3
# What Healthchecks keeps of a body; a server of one's own may keep less, and says so (Ping-Body-Limit).
BODY_LIMIT_BYTES = 100_000
_LEFT_OUT = b"\n[... left out ...]\n"
_ANSWER_BYTES = 200
_OURS = uuid.UUID("a8f6a0a4-0c35-5a5e-9d06-5b2f7c0c6c1d")
# What the documentation names, for an answer that is no "OK".
_REFUSALS = {400: "it calls the URL invalid", 404: "it knows no such check", 409: "several checks have that name",
             429: "it was pinged too often"}
_IGNORED = {b"OK (not found)": _REFUSALS[404], b"OK (rate limited)": _REFUSALS[429]}

_limits: dict[str, int] = {}  # by URL, as far as its server has said it to this process


def rid() -> str:
    """A new id, for a start and what it comes to."""
    return str(uuid.uuid4())


def rid_of(run_id: str) -> str:
    """The id of that run: the same for everybody who pings about it."""
    return str(uuid.uuid5(_OURS, run_id))


def start(url: str, rid: str) -> Optional[str]:
    """It has begun. Like the others: None when the server took it, else why not, in words without a secret."""
    return _ping(url, "/start", rid, "")


def success(url: str, rid: str, body: str = "") -> Optional[str]:
    return _ping(url, "", rid, body)


def fail(url: str, rid: str, body: str = "") -> Optional[str]:
    return _ping(url, "/fail", rid, body)


def log(url: str, rid: str, body: str = "") -> Optional[str]:
    """Something to read, which is neither a success nor a failure."""
    return _ping(url, "/log", rid, body)


def exit_code(url: str, rid: str, code: int, body: str = "") -> Optional[str]:
    """A command has ended with that code; one that is none (0 to 255) is a failure."""
    return _ping(url, f"/{code}" if 0 <= code <= 255 else "/fail", rid, body)


def settled(config: Config, facts: dict[str, Any], events: list[dict[str, Any]]) -> Optional[str]:
    """Tell what a run of ``certbot renew`` has come to. Any other run says nothing of whether renewals go on."""
    if not config.heartbeat_url or facts.get("verb") not in ("renew", "") or facts.get("dry_run"):
        return None
    try:
        found = verdict.of(facts, events)
        send = success if found.ok else fail
        return send(config.heartbeat_url, rid_of(str(facts.get("id"))), verdict.account_of(facts, found))
    except Exception as error:  # a heartbeat that stops is noticed; a run that does not end would be worse
        return f"the heartbeat was not sent: {type(error).__name__}"


# -- one ping ----------------------------------------------------------------------------------------------------


def _ping(url: str, signal: str, rid: str, body: str) -> Optional[str]:
    """In a thread that is left behind at the deadline: a name server that hangs, or an answer of one byte a second,
    would outlast every timeout of a socket's."""
    answers: queue.Queue[Optional[str]] = queue.Queue()
    deadline = time.monotonic() + DEADLINE_SECONDS

    def work() -> None:
        try:
            answers.put(_persist(url, signal, rid, body, deadline))
        except Exception as error:
            answers.put(type(error).__name__)  # its words may hold the URL: http.client.InvalidURL's do

    try:
        threading.Thread(target=work, daemon=True, name="heartbeat").start()
        reason = answers.get(timeout=DEADLINE_SECONDS)
    except queue.Empty:
        reason = f"no whole answer within {DEADLINE_SECONDS:g} s"
    except RuntimeError:
        reason = "no thread could be started"
    return f"the heartbeat was not taken: {text.line(reason, 160)}" if reason else None


def _persist(url: str, signal: str, rid: str, body: str, deadline: float) -> Optional[str]:
    """Once more after a network's or the server's own trouble, if there is time."""
    request = _request(url, signal, rid, body)
    reason, again = _attempt(url, request, min(_ATTEMPT_SECONDS, DEADLINE_SECONDS))
    left = deadline - time.monotonic() - _PAUSE_SECONDS
    if reason and again and left > 0:
        time.sleep(_PAUSE_SECONDS)
        reason, _ = _attempt(url, request, left)
    return reason


def _request(url: str, signal: str, rid: str, body: str) -> urllib.request.Request:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no http URL")
    credentials, _, host = parts.netloc.rpartition("@")
    query = "&".join(part for part in (parts.query, f"rid={rid}") if part)
    target = urlunsplit((parts.scheme, host, parts.path.rstrip("/") + signal, query, ""))
    data = _cut(body, _limits.get(url, BODY_LIMIT_BYTES))
    request = urllib.request.Request(target, data, method="POST", headers={
        "User-Agent": f"certbot-guard/{__version__}", "Content-Type": "text/plain; charset=utf-8"})
    if credentials:  # http.client would take them for a part of the host's name
        word = base64.b64encode(unquote(credentials).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {word}")
    return request


def _cut(body: str, limit: int) -> bytes:
    """The server would keep the beginning alone; an output's end often says why."""
    data = body.encode("utf-8", "replace")
    if len(data) <= limit:
        return data
    room = max(0, limit - len(_LEFT_OUT))
    cut = data[:room - room // 2] + _LEFT_OUT + data[len(data) - room // 2:] if room else data[:limit]
    return cut.decode("utf-8", "ignore").encode()


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """Where it leads is the server's choice: another scheme, another host, and a secret in the path."""

    def redirect_request(self, *_arguments: Any, **_named: Any) -> None:
        return None


def _attempt(url: str, request: urllib.request.Request, seconds: float) -> tuple[Optional[str], bool]:
    """Why the server did not take it, or None; and whether another attempt may do better."""
    context = ssl.create_default_context()
    opener = urllib.request.build_opener(_NoRedirection, urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=seconds) as answer:
            _learn(url, answer.headers.get("Ping-Body-Limit"))
            said = answer.read(_ANSWER_BYTES)
        return next((why for words, why in _IGNORED.items() if said.startswith(words)), None), False
    except urllib.error.HTTPError as error:
        error.close()
        if 300 <= error.code < 400:
            return f"it redirects (HTTP {error.code}), which is not followed", False
        why = _REFUSALS.get(error.code)
        return f"{why} (HTTP {error.code})" if why else f"HTTP {error.code}", error.code >= 500
    except urllib.error.URLError as error:
        return _words(error.reason), not isinstance(error.reason, ssl.SSLCertVerificationError)
    except (OSError, http.client.HTTPException) as error:
        return _words(error), not isinstance(error, http.client.InvalidURL)


def _learn(url: str, limit: Optional[str]) -> None:
    if limit and limit.isascii() and limit.isdigit():
        _limits[url] = min(BODY_LIMIT_BYTES, int(limit))


_WORDS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (ssl.SSLCertVerificationError, lambda error: f"its certificate is not trusted: {error.verify_message}"),
    (ssl.SSLError, lambda error: f"TLS failed: {error.reason}"),
    (socket.gaierror, lambda error: f"its name is not found: {error.strerror}"),
    (socket.timeout, lambda error: "no answer in time"),
    (http.client.InvalidURL, lambda error: "the URL cannot be used"),
    (http.client.HTTPException, lambda error: "it does not speak HTTP"),
    (OSError, lambda error: error.strerror or type(error).__name__),
)


def _words(error: Any) -> str:
    return next((say(error) for kind, say in _WORDS if isinstance(error, kind)), type(error).__name__)
