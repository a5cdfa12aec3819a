"""What a run has come to, told: what is news to whom becomes messages on disk, and they are delivered.

Called by :mod:`certbot_guard.settle` once Apache serves, and by the commands that deliver what waits. What is news is
decided by :mod:`certbot_guard.standing`, the words are :mod:`certbot_guard.message`'s, and whether the server serves by
now is looked at in :mod:`certbot_guard.present`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Optional, Union

from certbot_guard import config as configuration
from certbot_guard import (
    findings,
    lastresort,
    message,
    notify,
    present,
    recoveries,
    standing,
    standing_rows,
    statedir,
)
from certbot_guard import journal as journals
from certbot_guard.account import Account, NextAttempt
from certbot_guard.config import Config
from certbot_guard.errors import StateError
from certbot_guard.findings import Finding
from certbot_guard.interfaces import IWebServer
from certbot_guard.message import Message
from certbot_guard.passing import Pass
from certbot_guard.run import Run, utc_now
from certbot_guard.standing import Memory, News, Told
from certbot_guard.standing_rows import Changes
from certbot_guard.supervise import holding

DELIVERY_DEADLINE_SECONDS = 30.0


def _next_attempt(now: datetime) -> NextAttempt:
    from certbot_guard import schedule

    found = schedule.next_attempt(now)
    at = found.when + timedelta(seconds=found.spread_seconds or 0.0) if found is not None and found.when else None
    return NextAttempt(schedule.words(found, now), at, found is not None)


@dataclass(frozen=True)
class Outside:
    """What telling needs of the world besides the disk; a test that lives through thirty days passes its own."""

    now: Callable[[], datetime] = utc_now
    next_attempt: Callable[[datetime], NextAttempt] = _next_attempt
    deliver: Callable[..., list[notify.Delivery]] = notify.deliver_outbox


def tell(run: Union[Run, Pass], server: Optional[IWebServer], deliver: bool = True, whatever_waits: bool = False,
         outside: Outside = Outside(), rest: bool = False) -> bool:
    """What is new and noteworthy in this run is on disk as messages; with ``deliver``, each channel was tried once.

    True: what there was to say is kept on a disk, or has reached somebody. A message that could be written nowhere is
    delivered from memory, if at all. Where nothing is new and this run's messages went out once, nothing is tried
    again, unless ``whatever_waits`` asks for it. False also where a supervisor that lives keeps this run's news back.

    :param rest: a channel that failed lately is left in peace, unless it has something new: for who looks often
    """
    if holding.hold_back(run):
        return False
    config = configuration.load(Path(run.facts["guard_config"]))
    books = _journals(run, config)
    try:
        # Alone: two that begin with the same news would be one message, and what only the second one knew lost.
        with run.telling():
            events = run.events()
            # What a journal in memory was told is remembered by the event alone.
            upto = max([book.told_upto(run.id) for book in books]
                       + [event.get("upto", -1) for event in events if event["kind"] == "told"] + [-1])
            found = Account(run.facts, events, upto, outside.now(), present.serving(run, server),
                            present.validities(run, events))
            try:
                made = _make(found, config, books, outside)
            except Exception as error:  # a bug in the words, or in what is remembered, must not be silence
                guard_error(run, "message", f"{type(error).__name__}: {error}")
                made = _without_words(found, config, error)
            newest = max([event["n"] for event in events], default=0)
            if made is not None:
                _write(books, made, run.id, newest, found.now)
            if run.recorded:
                _quietly(books[0].record_run, run.facts, events)
        said = made is not None and bool(made.messages)
        kept = not said or books[-1].directory is not None
        new = said or not any(event["kind"] == "told" for event in events)
        if deliver and (new or whatever_waits):
            tried = _deliver(books, config, outside, rest)
            kept = kept or not tried or any(one.ok for one in tried)
            if kept:
                run.note("told", upto=newest)
            for title in lastresort.tell(books):
                run.note("nobody-told", title=title, reasons=[f"{one.channel}: {one.reason}" for one in tried][:20])
        return kept
    finally:
        for book in books:
            book.mark_business()
            book.close()


def found_by(one: Pass, server: Optional[IWebServer], now: datetime) -> list[Finding]:
    """What a pass comes to, whether or not it is news to anybody."""
    events = one.events()
    return findings.of(Account(one.facts, events, -1, now, present.serving(one, server),
                               present.validities(one, events)))


@dataclass(frozen=True)
class _Made:
    messages: list[tuple[Message, list[str]]]
    changes: Changes


def _make(found: Account, config: Config, books: list, outside: Outside) -> Optional[_Made]:
    """The messages for those to whom something is news, and what is remembered of them; None where there is nothing."""
    memory = _memory(books)
    wrong = findings.of(found)
    if found.dry_run:
        memory = Memory()  # told whatever was told before, and not remembered
    over = recoveries.of(found, memory, lambda name: present.lineage(found.facts, name))
    server = findings.subject_of_server(found.facts)
    if server in memory.standing and found.serving is False and server not in {one.subject for one in wrong}:
        # The same trouble as ever: people are reminded of it, also by a run with nothing to renew.
        wrong.append(replace(findings.server_down(found), key=memory.standing[server].key))
    groups: dict[News, list[str]] = {}
    for taker in notify.takers(config):
        news = standing.news_for(taker, wrong, over, memory, found.now,
                                 timedelta(seconds=config.messages.remind_every_seconds))
        if news or _is_success(found, taker, wrong):
            groups.setdefault(news, []).append(taker.name)
    if not groups and not wrong and not over:
        return None
    attempt = outside.next_attempt(found.now) if any(news.due for news in groups) else NextAttempt()
    tail = _log_tail(found, config) if groups else ()
    messages = [(message.compose(found, news, attempt, tail, part), channels)
                for part, (news, channels) in enumerate(groups.items())]
    if found.dry_run:
        return _Made(messages, Changes())
    told = tuple(Told(finding.subject, channel, finding.key, finding.severity, found.now, text.id)
                 for (text, channels), news in zip(messages, groups) for channel in channels for finding in news.due)
    stands = tuple(standing.after(finding, memory, found.now) for finding in wrong if finding.stands)
    return _Made(messages, Changes(stands, tuple(one.standing.subject for one in over), told))


def _without_words(found: Account, config: Config, error: Exception) -> Optional[_Made]:
    if not found.news:
        return None
    return _Made([(message.without_words(found, error), [taker.name for taker in notify.takers(config)])], Changes())


def _is_success(found: Account, taker: standing.Taker, wrong: list[Finding]) -> bool:
    """Something was renewed, nothing is wrong, and this channel wants to hear of that."""
    new = any(event["kind"] == "deployed" and event["n"] > found.after for event in found.events)
    return "success" in taker.events and new and not wrong and not found.dry_run


def _log_tail(found: Account, config: Config) -> tuple[str, ...]:
    if not config.messages.log_lines or not found.facts.get("log_file"):
        return ()
    from certbot_guard import logtail

    return tuple(logtail.tail(Path(str(found.facts["log_file"])), config.messages.log_lines))


def _memory(books: list) -> Memory:
    memories = []
    for book in books:
        try:
            memories.append(book.memory())
        except StateError:
            continue
    return standing_rows.merged(memories)


def _write(books: list, made: _Made, run_id: str, upto: int, now: datetime) -> None:
    """The messages wait in the first journal that takes them; where no disk does, in one in memory, in ``books``."""
    for book in books:
        try:
            book.publish(made.messages, run_id, upto, made.changes, now)
        except StateError:
            continue
        for other in books:  # what was noted where there was room then is over there as well
            if other is not book and made.changes.over:
                _quietly(other.forget, made.changes.over)
        return
    books.append(journals.Journal.in_memory())
    books[-1].publish(made.messages, run_id, upto, made.changes, now)


def _deliver(books: list, config: Config, outside: Outside, rest: bool = False) -> list[notify.Delivery]:
    """Each channel that has something waiting was tried once. With ``rest``, one that failed lately is left in peace
    unless it has something new: for who looks every few minutes. certbot runs twice a day, and a person asks for it."""
    now = outside.now()
    too_old = now - timedelta(seconds=config.messages.keep_undelivered_seconds)
    for book in books:
        try:
            for channel, title in book.give_up_before(too_old):
                lastresort.given_up(channel, title)
        except StateError:
            continue
    return outside.deliver(books, config, DELIVERY_DEADLINE_SECONDS, now=now, rest=rest)


def _journals(run: Union[Run, Pass], config: Config) -> list:
    """Every state database that opens, the durable one first; where none does, one in memory."""
    found = []
    bases = statedir.every_directory(config.state_dir)
    if run.directory.is_dir() and run.directory.parent.parent not in bases:
        bases.append(run.directory.parent.parent)  # where this run could be recorded, a message can be kept, too
    own = statedir.state_directories(config.state_dir)
    for base in bases:
        if found and base not in own and not (base / journals.FILE).exists():
            continue  # a last resort that was never needed
        try:
            book = journals.Journal.open(statedir.secure_directory(base), str(config.path))
        except StateError as error:
            guard_error(run, "state database", str(error))
            continue
        if book.damaged:
            guard_error(run, "state database", f"it was damaged and has been set aside as {book.damaged}")
        found.append(book)
    return found or [journals.Journal.in_memory()]


def guard_error(run: Union[Run, Pass], where: str, error: str) -> None:
    """A trouble of our own is recorded, once in a run."""
    if not any(event["kind"] == "guard-error" and event.get("error") == error for event in run.events()):
        run.note("guard-error", where=where, error=error)


def _quietly(action: Any, *arguments: Any) -> None:
    try:
        action(*arguments)
    except StateError:
        pass


def deliver_waiting(bases: list[Path], outside: Outside = Outside(), rest: bool = False) -> list[notify.Delivery]:
    """Try now what earlier runs could not deliver, each message through the settings it was written for."""
    books: list[journals.Journal] = []
    waiting: set[str] = set()
    tried: list[notify.Delivery] = []
    with ExitStack() as held:
        for base in bases:
            try:
                if (base / journals.FILE).exists():
                    books.append(held.enter_context(closing(journals.Journal.open(base))))
                    waiting.update(books[-1].settings_waiting())
            except StateError:
                continue
        for settings in sorted(waiting):
            for book in books:
                book.settings = settings
            tried += _deliver(books, configuration.load(Path(settings)), outside, rest)
            for book in books:
                book.mark_business()
    return tried
