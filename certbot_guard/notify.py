"""Delivery: what waits in the outbox goes to each channel, through Apprise, in a process that can be killed.

Settle calls :func:`deliver_outbox`, outside every lock. Apprise has no bound of its own (a server that drips a byte a
second held it for as long as it liked) and parses strangers' replies, so it is never imported here: one child,
``python -I -m certbot_guard.notify``, imports it and forks a sender for each channel, which gives up being root. Jobs,
URLs included, go in on its standard input, each channel's to its own sender; outcomes come out through
:mod:`certbot_guard.outcomes`, a file for each channel. Leases are inherited, so that a second settler waits for a
sender that is still at it, and never sends the same at the same time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional

from zope.interface import implementer

from certbot_guard import options, outcomes, plainfile, unprivileged
from certbot_guard.config import Config
from certbot_guard.errors import StateError
from certbot_guard.interfaces import INotifier
from certbot_guard.journal import Journal, Waiting
from certbot_guard.message import Message, as_delivered
from certbot_guard.outcomes import OutcomeFile
from certbot_guard.standing import Taker
from certbot_guard.trust import READ_LIMIT_BYTES

# The channel of a machine where none is configured.
SYSLOG = "syslog"
# A file of Apprise's own format is one channel, of this name with its path.
APPRISE_CONFIG = "apprise_config "
# Where nothing can be chosen.
EVERYTHING = frozenset(options.EVENTS) - {"success"}
# After so many failures it may be the message, not the channel: then the next one gets its chance in the same round.
_STUBBORN_AFTER = 3


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

    With ``rest``, a channel that failed lately and has nothing new is left in peace for a while, longer each time.
    Returns after ``deadline_seconds``, or twice that if another process was sending for one of the channels and had
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
    leases: dict[str, list[int]]

    def __bool__(self) -> bool:
        return any(self.items.values())


def _take(journals: list[Journal], targets: dict[str, dict], tried: set, held: ExitStack) -> tuple[_Batch, bool]:
    """Lease each channel that has something to get; say too whether one of them is leased to another process."""
    batch, busy, leased = _Batch({}, {}), False, []
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
                    batch.leases.setdefault(name, []).extend([] if lease.descriptor is None else [lease.descriptor])
        leased.append((journal, ours))
    for journal, _ in leased:  # of all of them, before anything is sent again: a file beside one speaks for the others
        outcomes.collect(journal, batch.leases, [other for other in journals if other is not journal])
    for journal, ours in leased:
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
    wanted = {name: items for name, items in batch.items.items() if items}
    files = {name: OutcomeFile.create(_directory(items), name) for name, items in wanted.items()}
    known: dict[str, dict[str, outcomes.Outcome]] = {}
    try:
        problem = _run_deliverer(_jobs(wanted, targets), files, batch.leases, deadline_seconds)
        known = {name: file.read() for name, file in files.items()}
    except OSError as error:
        problem = f"the deliverer could not be started: {error.strerror or error}"
    found = []
    for channel, items in wanted.items():
        for number, item in enumerate(items):
            outcome = known.get(channel, {}).get(item.waiting.message.id)
            if outcome is None and not number:
                outcome = _never_begun(item, problem)
            outcomes.apply(item.journal, outcome, item.waiting.message.id, channel, item.attempt)
            found.append(_delivery(channel, item, outcome, problem))
    for file in files.values():
        file.discard()
    return found


def _directory(items: list[_Item]) -> Optional[Path]:
    """Of a journal that waits for one of these outcomes, and that is on a disk."""
    return next((item.journal.directory for item in items if item.journal.directory is not None), None)


def _never_begun(item: _Item, problem: str) -> outcomes.Outcome:
    """The first of a channel, of which its sender has said nothing: a failure like another, so that it counts when it is
    asked whether anybody was told. It was not sent: a sender says that it begins before it does."""
    return outcomes.Outcome(item.waiting.message.id, item.attempt, False,
                            problem or "the process that sends ended before it began", False, item.waiting.done)


def _delivery(channel: str, item: _Item, outcome: Optional[outcomes.Outcome], problem: str) -> Delivery:
    identity = item.waiting.message.id
    if outcome is None:
        return Delivery(channel, identity, False, problem or "not tried: the one before it did not go out")
    return Delivery(channel, identity, bool(outcome.ok), "" if outcome.ok else outcome.reason or "no answer in time")


def _run_deliverer(jobs: dict[str, dict[str, Any]], files: dict[str, OutcomeFile], leases: dict[str, list[int]],
                   deadline_seconds: float) -> str:
    """Run it to its end or its deadline; whatever of it is left is killed. Returns what went wrong with it, or ''.

    First a line without a secret, by which it forks the senders; then the job of each, which it only hands on.
    """
    parts = {name: json.dumps(job).encode() for name, job in jobs.items()}
    plan = {"deadline_seconds": deadline_seconds,
            "apprise": any("url" in job or "file" in job for job in jobs.values()),
            "senders": [{"bytes": len(part), "outcomes": files[name].descriptor, "leases": leases.get(name, [])}
                        for name, part in parts.items()]}
    inherited = [number for one in plan["senders"] for number in (one["outcomes"], *one["leases"])]
    problem = unprivileged.run("certbot_guard.notify", json.dumps(plan).encode() + b"\n" + b"".join(parts.values()),
                               subprocess.DEVNULL, deadline_seconds, descriptors=inherited)
    return f"the deliverer {problem}" if problem.startswith("ended") else problem


def _jobs(batch: dict[str, list[_Item]], targets: dict[str, dict]) -> dict[str, dict[str, Any]]:
    now = datetime.now(timezone.utc)
    found = {}
    for name, items in batch.items():
        messages = []
        for item in items:
            one = item.waiting
            title, body = as_delivered(one.message, now, one.created, one.possible_repeat, one.replaced)
            messages.append({"id": one.message.id, "severity": one.message.severity, "event": one.message.event,
                             "title": title, "body": body, "attempt": item.attempt, "done": list(one.done),
                             "stubborn": one.attempts >= _STUBBORN_AFTER})
        found[name] = {**targets[name], "messages": messages}
    return found


# -- where to ------------------------------------------------------------------------------------------------------


def _targets(config: Config) -> dict[str, dict]:
    """Every channel by name: ``{"url": ...}``, ``{"file": its text}``, ``{"syslog": True}`` or ``{"problem": ...}``."""
    found: dict[str, dict] = {SYSLOG: {"syslog": True}}
    found.update((channel.name, {"url": channel.url}) for channel in config.channels)
    for path in config.apprise_configs:
        try:
            # Read here, as root: whoever sends may be nobody.
            text = plainfile.whole(path, READ_LIMIT_BYTES).decode("utf-8")
            found[_file_channel(path)] = {"file": text.replace("\r\n", "\n").replace("\r", "\n"), "suffix": path.suffix}
        except (OSError, ValueError) as error:
            found[_file_channel(path)] = {"problem": f"{path} cannot be read: "
                                                    f"{getattr(error, 'strerror', None) or type(error).__name__}"}
    return found


def _file_channel(path: Any) -> str:
    return f"{APPRISE_CONFIG}{path}"


if __name__ == "__main__":
    from certbot_guard import deliverer

    sys.exit(deliverer.who() if sys.argv[1:] == ["who"] else deliverer.main())
