"""What a CA says of when a certificate is to be renewed: its renewalInfo, by RFC 9773 (ARI). Asks without an account.

Nothing here takes longer than it is given, no trouble of a CA's is raised, and nothing of an answer is taken for text
but a page's plain address. Called by :mod:`certbot_guard.watch.ari`.
"""

from __future__ import annotations

import base64
import email.utils
import json
import queue
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Optional
from urllib.parse import urlsplit

from certbot_guard.outages import parsed
from certbot_guard.watch.caanswer import Fetch, NoAnswerError, get

# What a CA may ask for at most: who is to be silent for years would never hear of a revocation.
_RETRY_LIMIT = timedelta(days=7)
# RFC 3339
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
# Nothing that hides where it leads ("@"), or that a terminal or a chat gives a meaning to.
_PAGE = re.compile(r"https?://[A-Za-z0-9.:-]+(?:[/?#][A-Za-z0-9._~:/?#%=+,;&-]*)?", re.ASCII)
_PAGE_LIMIT = 200


@dataclass(frozen=True)
class Window:
    """When the CA wants the certificate renewed. ``page``: where it says why, or nothing."""

    start: datetime
    end: datetime
    page: str = ""


@dataclass(frozen=True)
class Heard:
    """Of one certificate; ``window`` is None where there was no answer that can be used."""

    window: Optional[Window]
    retry_after: timedelta = timedelta(0)


@dataclass(frozen=True)
class Question:
    """About the certificate ``ident``, to the CA whose directory is at ``ca``; ``key`` is the asker's own."""

    key: str
    ca: str
    ident: str


@dataclass
class Answers:
    """What was heard, by the questions' keys; the CAs that know no ARI; those that failed, with their Retry-After."""

    heard: dict[str, Heard] = field(default_factory=dict)
    without: set[str] = field(default_factory=set)
    failed: dict[str, timedelta] = field(default_factory=dict)


def ident(certificate: Any) -> str:
    """How a CA is asked about it (RFC 9773 4.1); empty for a certificate that does not say whose key signed it."""
    from cryptography import x509

    try:
        signer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except (ValueError, x509.ExtensionNotFound):
        return ""
    serial = certificate.serial_number
    number = serial.to_bytes((serial.bit_length() + 8) // 8, "big", signed=True)  # as DER has it, with its leading zero
    return f"{_base64url(signer)}.{_base64url(number)}" if signer else ""


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def ask(questions: Sequence[Question], now: datetime, deadline_seconds: float,
        fetch: Optional[Fetch] = None) -> Answers:
    """What was heard when ``deadline_seconds`` were over, at the latest.

    Each CA is asked in a thread of its own, which is left behind then: a name server that hangs, or an answer of one
    byte a second, outlasts every timeout of a socket's.
    """
    answers, deadline = Answers(), time.monotonic() + deadline_seconds
    said: queue.Queue[tuple[str, str, Any]] = queue.Queue()
    talking: dict[str, list[Question]] = {}
    for question in questions:
        talking.setdefault(question.ca, []).append(question)
    for ca, asked in list(talking.items()):
        try:
            threading.Thread(target=_talk, args=(ca, asked, now, deadline, fetch or get, said), daemon=True,
                             name="ari").start()
        except RuntimeError:  # no thread could be started: next time
            del talking[ca]
    while talking:
        try:
            ca, key, found = said.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if key:
            answers.heard[key] = found
            continue
        del talking[ca]
        if found is _NO_ARI:
            answers.without.add(ca)
        elif found is not None:
            answers.failed[ca] = found
    for ca, asked in talking.items():
        left = [question.key for question in asked if question.key not in answers.heard]
        if len(left) == len(asked):
            answers.failed[ca] = timedelta(0)
        # The one it hangs at shall not be the first one for ever.
        answers.heard.update({key: Heard(None) for key in left[:1]})
    return answers


_NO_ARI = "no ARI"


def _talk(ca: str, asked: list[Question], now: datetime, deadline: float, fetch: Fetch,
          said: queue.Queue[tuple[str, str, Any]]) -> None:
    """All questions to one CA, one after the other. Its end is said in any case, without a key."""
    end: Any = None
    try:
        base = _renewal_info(ca, fetch(ca, deadline - time.monotonic()).body)
        end = _NO_ARI if base is None else None
        for question in asked if base is not None else ():
            if time.monotonic() >= deadline:
                break
            try:
                answer = fetch(f"{base}/{question.ident}", deadline - time.monotonic())
                said.put((ca, question.key, Heard(_window(answer.body), _pause(answer.retry_after, now))))
            except NoAnswerError as error:
                said.put((ca, question.key, Heard(None, _pause(error.retry_after, now))))
                if error.whole:
                    raise
    except NoAnswerError as error:
        end = _pause(error.retry_after, now)
    except Exception:  # whatever an answer made of ours fall over: the watch has more to look at
        end = timedelta(0)
    said.put((ca, "", end))


# -- what an answer says ---------------------------------------------------------------------------------------------


def _renewal_info(ca: str, directory: bytes) -> Optional[str]:
    """Where to ask, or None: many CAs know no ARI. Plain http only where the directory itself is read that way.

    :raises NoAnswerError: this is no directory.
    """
    document = _object(directory)
    if "newOrder" not in document:  # RFC 8555 7.1.1; a page that says "maintenance", for one
        raise NoAnswerError(True)
    found = document.get("renewalInfo")
    allowed = ("https", "http") if urlsplit(ca).scheme == "http" else ("https",)
    return found if isinstance(found, str) and found.startswith(tuple(f"{scheme}://" for scheme in allowed)) else None


def _window(body: bytes) -> Optional[Window]:
    """What an answer suggests. One whose end is not after its beginning counts as none (RFC 9773 4.2)."""
    document = _object(body)
    window = document.get("suggestedWindow")
    if not isinstance(window, dict):
        return None
    start, end = _time(window.get("start")), _time(window.get("end"))
    if start is None or end is None or end <= start:
        return None
    page = document.get("explanationURL")
    shown = isinstance(page, str) and len(page) <= _PAGE_LIMIT and _PAGE.fullmatch(page)
    return Window(start, end, str(page) if shown else "")


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _time(value: Any) -> Optional[datetime]:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    found = parsed(f"{match[1].upper()}{match[2].upper()}") if match else None
    # At either end of the calendar there is no other zone, and no next day.
    return found if found is not None and 1970 <= found.year < 9000 else None


def _pause(retry_after: str, now: datetime) -> timedelta:
    """What the header says, in seconds or as a date, as far as it is reasonable."""
    if retry_after.isascii() and retry_after.isdigit():
        return min(timedelta(seconds=int(retry_after[:9])), _RETRY_LIMIT)
    try:
        return min(max(email.utils.parsedate_to_datetime(retry_after) - now, timedelta(0)), _RETRY_LIMIT)
    except (TypeError, ValueError, IndexError, OverflowError):  # no date, or one without a zone
        return timedelta(0)
