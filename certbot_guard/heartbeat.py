"""Pings for a dead man's switch that follows Healthchecks' protocol (https://healthchecks.io/docs/http_api/).

Knows nothing of the journal, and keeps nothing. No ping raises, none waits for its service longer than
:data:`DEADLINE_SECONDS`, or for its own process longer than :data:`START_SECONDS` besides, and none quotes its URL:
whoever knows it can ping. Each is made by a process of its own (:mod:`certbot_guard.pinger`).
Called by settle, ``certbot-guard watch`` and ``certbot-guard run``.
"""

from __future__ import annotations

import json
import signal
import uuid
from typing import Any, Optional

from certbot_guard import text, unprivileged, verdict
from certbot_guard.config import Config

# What the service has, from the moment that the process which asks it is ready to.
DEADLINE_SECONDS = 5.0
# For that process to be ready, which is no service's fault: 0.3 to 2 s on a slow machine.
START_SECONDS = 10.0
_REASON_LIMIT = 160
_OURS = uuid.UUID("a8f6a0a4-0c35-5a5e-9d06-5b2f7c0c6c1d")

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


def _ping(url: str, what: str, rid: str, body: str) -> Optional[str]:
    """By a process that the kernel ends at the deadline: a name server that hangs, or an answer of one byte a second,
    would outlast every timeout of a socket's. One that is never ready, or has lost that clock, is killed from here."""
    job = {"url": url, "signal": what, "rid": rid, "body": body, "limit": _limits.get(url), "seconds": DEADLINE_SECONDS}
    try:
        problem, answer = unprivileged.ask("certbot_guard.pinger", json.dumps(job).encode(),
                                           START_SECONDS + DEADLINE_SECONDS)
    except OSError as error:
        reason: Optional[str] = f"no process could be started for it: {error.strerror or type(error).__name__}"
    else:
        reason = _heard(url, problem, answer)
    return f"the heartbeat was not taken: {text.line(reason, _REASON_LIMIT)}" if reason else None


def _heard(url: str, problem: str, answer: bytes) -> Optional[str]:
    """What the process has said, who may have come under a stranger's influence."""
    if problem == f"ended with code {-signal.SIGALRM}":
        return f"no whole answer within {DEADLINE_SECONDS:g} s"
    if problem:
        return f"the process that pings: {problem}"
    try:
        said = json.loads(answer)
        reason, limit = said["reason"], said["limit"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "the process that pings has said nothing"
    if type(limit) is int and limit >= 0:
        _limits[url] = limit
    return str(reason) if reason else None
