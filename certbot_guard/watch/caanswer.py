"""What a CA answers at one address: one request without an account, within its time, and of no more than a limit.

Called by :mod:`certbot_guard.watch.renewalinfo`.
"""

from __future__ import annotations

import functools
import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Callable
from urllib.parse import urljoin, urlsplit

from certbot_guard import __version__, plainfile

_ANSWER_BYTES = 64 * 1024
_REQUEST_SECONDS = 5.0
_REDIRECTIONS = 3


@dataclass(frozen=True)
class Answer:
    body: bytes
    retry_after: str = ""


class NoAnswerError(Exception):
    """There is no answer. ``whole``: the CA as a whole gives none now, whatever it is asked."""

    def __init__(self, whole: bool, retry_after: str = "") -> None:
        super().__init__()
        self.whole, self.retry_after = whole, retry_after


# What a URL gives within so many seconds, or NoAnswerError.
Fetch = Callable[[str, float], Answer]


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """urllib would read a redirection's body to its end, however long it is, and follow it to plain http."""

    def redirect_request(self, *_arguments: Any, **_named: Any) -> None:
        return None


def get(url: str, seconds: float) -> Answer:
    """Like certbot by way of the environment's proxies, and trusting whom it trusts.

    :raises NoAnswerError: it was not there in time, or is no answer.
    """
    try:
        return _followed(url, time.monotonic() + seconds)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NoAnswerError(True) from error


def _followed(url: str, deadline: float) -> Answer:
    context = _trust(os.environ.get("REQUESTS_CA_BUNDLE", ""), os.environ.get("SSL_CERT_FILE", ""))
    opener = urllib.request.build_opener(_NoRedirection, urllib.request.HTTPSHandler(context=context))
    schemes: tuple[str, ...] = ("https", "http")
    for _ in range(_REDIRECTIONS + 1):
        if urlsplit(url).scheme not in schemes:
            break
        schemes = ("https",) if urlsplit(url).scheme == "https" else schemes
        request = urllib.request.Request(url, headers={"User-Agent": f"certbot-guard/{__version__}",
                                                       "Accept": "application/json"})
        seconds = max(0.1, min(_REQUEST_SECONDS, deadline - time.monotonic()))
        try:
            with opener.open(request, timeout=seconds) as answer:
                return Answer(_body(answer, deadline), answer.headers.get("Retry-After") or "")
        except urllib.error.HTTPError as error:
            error.close()
            if not 300 < error.code < 309:
                whole = error.code == 429 or error.code >= 500
                raise NoAnswerError(whole, error.headers.get("Retry-After") or "") from error
            url = urljoin(url, error.headers.get("Location") or "")
    raise NoAnswerError(False)


def _body(answer: Any, deadline: float) -> bytes:
    """All of it. One that is longer, or slower, than any answer to such a question is none."""
    body = b""
    while len(body) <= _ANSWER_BYTES:
        part: bytes = answer.read1(_ANSWER_BYTES)
        if not part:
            return body
        body += part
        if time.monotonic() > deadline:
            raise NoAnswerError(True)
    raise NoAnswerError(False)


@functools.lru_cache(maxsize=1)  # the system's authorities take a while to read
def _trust(bundle: str, _of_openssl: str) -> ssl.SSLContext:
    """The system's authorities (OpenSSL itself honours SSL_CERT_FILE), and those that certbot is told to trust."""
    context = ssl.create_default_context()
    if bundle:
        folder = os.path.isdir(bundle)
        if not folder:
            plainfile.check(bundle, plainfile.BUNDLE_LIMIT_BYTES)
        context.load_verify_locations(cafile=None if folder else bundle, capath=bundle if folder else None)
    return context
