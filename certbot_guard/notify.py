"""Delivery: what waits in the outbox goes to each channel, through Apprise, in a process that can be killed.

Settle calls :func:`deliver_outbox`, outside every lock. Apprise has no bound of its own (a server that drips a byte a
second held it for as long as it liked) and parses strangers' replies, so it is never imported here: one child,
``python -I -m certbot_guard.notify``, imports it and forks a sender for each channel. The job, URLs included, goes in on its
standard input; outcomes come out through :mod:`certbot_guard.outcomes`. Leases are inherited, so that a second settler
waits for a sender that is still at it, and never sends the same at the same time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Optional

from zope.interface import implementer

from certbot_guard import options, outcomes
from certbot_guard.config import Config
from certbot_guard.errors import StateError
from certbot_guard.interfaces import INotifier
from certbot_guard.journal import Journal, Waiting
from certbot_guard.message import Message, as_delivered
from certbot_guard.outcomes import OutcomeFile
from certbot_guard.standing import Taker

# The channel of a machine where none is configured.
SYSLOG = "syslog"
# A file of Apprise's own format is one channel, of this name with its path.
APPRISE_CONFIG = "apprise_config "
# Only what a connection needs. No HOME of anybody's: requests would read ~/.netrc and send what it finds there.
_PASSED_ON = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy",
              "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "TZ")
# Where nothing can be chosen.
EVERYTHING = frozenset(options.EVENTS) - {"success"}
# After so many failures it may be the message, not the channel: then the next one gets its chance in the same round.
_STUBBORN_AFTER = 3
_KILL_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class Delivery:
    """What became of one message on one channel. ``reason`` is one harmless line without a secret."""

    channel: str
    message: str
    ok: bool
    reason: str = ""


def takers(config: Config) -> list[Taker]:
    """Every channel with what it wants; the system log where no channel is configured at all."""
    found = [Taker(channel.name, channel.events, channel.min_severity) for channel in config.channels]
    found += [Taker(_file_channel(path), EVERYTHING) for path in config.apprise_configs]
    return found or [Taker(SYSLOG, EVERYTHING)]


def deliver_outbox(journals: list[Journal], config: Config, deadline_seconds: float = 30.0,
                   now: Optional[datetime] = None, rest: bool = False) -> list[Delivery]:
    """Try every waiting message once on its channel, all channels at once, oldest first. Never raises.

    With ``rest``, a channel that failed lately and has nothing new is left in peace for a while, longer each time. Returns after ``deadline_seconds``, or twice that if another process was sending for one of the channels and had
    to be waited for. What failed stays in the outbox. What waits for a channel that is no longer configured is left.
    """
    tried: set[tuple[int, str, str]] = set()
    found: list[Delivery] = []
    patience = time.monotonic() + deadline_seconds
    try:
        targets = _targets(config)
        for channel in _resting(journals, now or datetime.now(timezone.utc)) if rest else ():
            targets.pop(channel, None)
        while True:
            with ExitStack() as held:
                batch, busy = _take(journals, targets, tried, held)
                results = _deliver(batch, targets, deadline_seconds)
            found += results
            _note_channels(journals, results, now or datetime.now(timezone.utc))
            for one in results:
                if not one.ok:  # in order: what came meanwhile does not overtake what failed
                    targets.pop(one.channel, None)
            if not batch and (not busy or time.monotonic() > patience):
                return found
            if not batch:
                time.sleep(0.1)
    except Exception as error:  # people could not be told; that must not become the run's failure as well
        return found + [Delivery("", "", False, f"certbot-guard's own error: {type(error).__name__}")]


@implementer(INotifier)
class AppriseNotifier:
    """:class:`INotifier` over a configuration's channels, without an outbox: for a message that is not kept."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def deliver(self, messages: list[tuple[str, Message]], deadline_seconds: float) -> list[Delivery]:
        book = Journal.in_memory()
        for channel, message in messages:
            book.add(message, [channel], 0)
        results = {(one.channel, one.message): one for one in deliver_outbox([book], self._config, deadline_seconds)}
        return [results.get((channel, message.id), Delivery(channel, message.id, False, "there is no such channel"))
                for channel, message in messages]


def _resting(journals: list[Journal], now: datetime) -> set[str]:
    """The channels that failed lately and have nothing that they were not offered yet."""
    found: set[str] = set()
    for journal in journals:
        try:
            found |= {name for name in journal.resting(now)}
        except StateError:
            continue
    return {name for name in found if not any(one.attempts == 0 for journal in journals
                                              for one in _untried(journal, name, set()))}


def _note_channels(journals: list[Journal], results: list[Delivery], now: datetime) -> None:
    for channel in dict.fromkeys(one.channel for one in results):
        for journal in journals:
            try:
                journal.channel_tried(channel, any(one.ok for one in results if one.channel == channel), now)
            except StateError:
                continue


# -- one round -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Item:
    journal: Journal
    waiting: Waiting
    attempt: int


@dataclass
class _Batch:
    """What this round sends: the items of each channel, and the leases that make it ours to send."""

    items: dict[str, list[_Item]]
    leases: list[int]

    def __bool__(self) -> bool:
        return any(self.items.values())


def _take(journals: list[Journal], targets: dict[str, dict], tried: set, held: ExitStack) -> tuple[_Batch, bool]:
    """Lease each channel that has something to get; say too whether one of them is leased to another process."""
    batch, busy = _Batch({}, []), False
    for journal in journals:
        try:
            channels = [name for name in journal.channels_waiting() if name in targets]
        except StateError:
            continue
        ours = []
        for name in channels:
            if _untried(journal, name, tried):
                lease = held.enter_context(journal.lease(name))
                if lease is None:
                    busy = True
                else:
                    ours.append(name)
                    batch.leases += [] if lease.descriptor is None else [lease.descriptor]
        outcomes.collect(journal, ours)
        for name in ours:
            batch.items.setdefault(name, []).extend(_intend(journal, name, tried))
    for items in batch.items.values():
        items.sort(key=lambda item: item.waiting.created)
    return batch, busy


def _untried(journal: Journal, channel: str, tried: set) -> list[Waiting]:
    try:
        return [one for one in journal.waiting(channel) if (id(journal), one.message.id, channel) not in tried]
    except StateError:
        return []


def _intend(journal: Journal, channel: str, tried: set) -> list[_Item]:
    """Write down that these are about to go out. What cannot be written down is not sent: it would go out for ever."""
    items = []
    for waiting in _untried(journal, channel, tried):
        tried.add((id(journal), waiting.message.id, channel))
        try:
            items.append(_Item(journal, waiting, journal.sending(waiting.message.id, channel)))
        except StateError:
            continue
    return items


def _deliver(batch: _Batch, targets: dict[str, dict], deadline_seconds: float) -> list[Delivery]:
    if not batch:
        return []
    first = next(item for items in batch.items.values() for item in items)
    file = OutcomeFile.create(first.journal.directory)
    try:
        problem = _run_deliverer(_job(batch, targets, deadline_seconds), file, batch.leases, deadline_seconds)
        known = file.read()
    except OSError as error:
        problem, known = f"the deliverer could not be started: {error.strerror or error}", {}
    found = []
    for channel, items in batch.items.items():
        for item in items:
            outcome = known.get((channel, item.waiting.message.id))
            outcomes.apply(item.journal, outcome, item.waiting.message.id, channel, item.attempt)
            found.append(_delivery(channel, item, outcome, problem))
    file.discard()
    return found


def _delivery(channel: str, item: _Item, outcome: Optional[outcomes.Outcome], problem: str) -> Delivery:
    identity = item.waiting.message.id
    if outcome is None:
        return Delivery(channel, identity, False, problem or "not tried: the one before it did not go out")
    return Delivery(channel, identity, bool(outcome.ok), "" if outcome.ok else outcome.reason or "no answer in time")


def _run_deliverer(job: dict[str, Any], file: OutcomeFile, leases: list[int], deadline_seconds: float) -> str:
    """Run it to its end or its deadline; whatever of it is left is killed. Returns what went wrong with it, or ''."""
    command = [sys.executable or "/usr/bin/python3", "-I", "-m", "certbot_guard.notify"]
    child = subprocess.Popen(command, cwd="/", env=_environment(), stdin=subprocess.PIPE, stdout=file.descriptor,
                             stderr=subprocess.DEVNULL, start_new_session=True, close_fds=True, pass_fds=leases)
    try:
        child.communicate(json.dumps(job).encode(), timeout=deadline_seconds)
        return f"the deliverer ended with code {child.returncode}" if child.returncode else ""
    except subprocess.TimeoutExpired:
        return f"no answer within {deadline_seconds:g} s"
    finally:
        if child.stdin is not None:
            child.stdin.close()
        _end(child)


def _end(child: subprocess.Popen) -> None:
    """Nothing of it runs any more. With exit code 0 it has waited for its senders; otherwise they are in its group."""
    if child.returncode == 0:
        return
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    try:
        child.wait(_KILL_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:  # in an uninterruptible sleep: it goes when the kernel lets it
        pass


def _job(batch: _Batch, targets: dict[str, dict], deadline_seconds: float) -> dict[str, Any]:
    now = datetime.now(timezone.utc)
    channels = []
    for name, items in batch.items.items():
        messages = []
        for item in items:
            one = item.waiting
            title, body = as_delivered(one.message, now, one.created, one.possible_repeat, one.replaced)
            messages.append({"id": one.message.id, "severity": one.message.severity, "event": one.message.event,
                             "title": title, "body": body, "attempt": item.attempt, "done": list(one.done),
                             "stubborn": one.attempts >= _STUBBORN_AFTER})
        channels.append({**targets[name], "name": name, "messages": messages})
    return {"channels": channels, "deadline_seconds": deadline_seconds}


# -- where to ------------------------------------------------------------------------------------------------------


def _targets(config: Config) -> dict[str, dict]:
    """Every channel by name: ``{"url": ...}``, ``{"file": its text}``, ``{"syslog": True}`` or ``{"problem": ...}``."""
    found: dict[str, dict] = {SYSLOG: {"syslog": True}}
    found.update((channel.name, {"url": channel.url}) for channel in config.channels)
    for path in config.apprise_configs:
        try:
            # Read here, as root: whoever sends may be nobody.
            found[_file_channel(path)] = {"file": path.read_text("utf-8"), "suffix": path.suffix}
        except (OSError, ValueError) as error:
            found[_file_channel(path)] = {"problem": f"{path} cannot be read: {type(error).__name__}"}
    return found


def _file_channel(path: Any) -> str:
    return f"{APPRISE_CONFIG}{path}"


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)}
    return {**kept, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}


if __name__ == "__main__":
    from certbot_guard import deliverer

    sys.exit(deliverer.main())
