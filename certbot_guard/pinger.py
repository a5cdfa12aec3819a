"""One ping of a dead man's switch, in a process of its own: it parses what a stranger answers, and is nobody.

The job comes in on standard input, URL included; the answer goes out on standard output. Started by
:mod:`certbot_guard.heartbeat` alone, which says what is sent and when.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Optional
from urllib.parse import unquote, urlsplit, urlunsplit

from certbot_guard import __version__, text, unprivileged

# An attempt that hears nothing for so long leaves time for another one.
_ATTEMPT_SECONDS = 3.0
_PAUSE_SECONDS = 0.3
# What Healthchecks keeps of a body; a server of one's own may keep less, and says so (Ping-Body-Limit).
BODY_LIMIT_BYTES = 100_000
_LEFT_OUT = b"\n[... left out ...]\n"
_ANSWER_BYTES = 200
_REASON_LIMIT = 160
# What the documentation names, for an answer that is no "OK".
_REFUSALS = {400: "it calls the URL invalid", 404: "it knows no such check", 409: "several checks have that name",
             429: "it was pinged too often"}
_IGNORED = {b"OK (not found)": _REFUSALS[404], b"OK (rate limited)": _REFUSALS[429]}

_limits: dict[str, int] = {}  # by URL, as far as its server has said it


def main() -> int:
    """Ping once; the URL is read when nothing is left of root's rights, if that is possible."""
    unprivileged.give_up()
    job = json.load(sys.stdin)
    url = job["url"]
    if job["limit"] is not None:
        _limits[url] = job["limit"]
    try:
        request, context = _request(url, job["signal"], job["rid"], job["body"]), ssl.create_default_context()
        reason = _persist(url, request, context, _end_after(job["seconds"]))
    except Exception as error:
        reason = type(error).__name__  # its words may hold the URL: http.client.InvalidURL's do
    said = {"reason": text.line(reason, _REASON_LIMIT) if reason else None, "limit": _limits.get(url)}
    os.write(1, json.dumps(said).encode())
    return 0


def _end_after(seconds: float) -> float:
    """The kernel ends this process so long from now, whatever it waits for. Returns when, by the monotonic clock."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # whoever started us may have left it ignored, or blocked
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, seconds)
    return time.monotonic() + seconds


def _persist(url: str, request: urllib.request.Request, context: ssl.SSLContext, deadline: float) -> Optional[str]:
    """Once more after a network's or the server's own trouble, if there is time."""
    reason, again = _attempt(url, request, context, min(_ATTEMPT_SECONDS, max(0.1, deadline - time.monotonic())))
    left = deadline - time.monotonic() - _PAUSE_SECONDS
    if reason and again and left > 0:
        time.sleep(_PAUSE_SECONDS)
        reason, _ = _attempt(url, request, context, left)
    return reason


def _request(url: str, what: str, rid: str, body: str) -> urllib.request.Request:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no http URL")
    credentials, _, host = parts.netloc.rpartition("@")
    query = "&".join(part for part in (parts.query, f"rid={rid}") if part)
    target = urlunsplit((parts.scheme, host, parts.path.rstrip("/") + what, query, ""))
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


def _attempt(url: str, request: urllib.request.Request, context: ssl.SSLContext,
             seconds: float) -> tuple[Optional[str], bool]:
    """Why the server did not take it, or None; and whether another attempt may do better."""
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


if __name__ == "__main__":
    sys.exit(main())
