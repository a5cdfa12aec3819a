"""The journal's rows of messages and of the channels that still have to get them.

Called inside the journal's transactions. What waits is ``pending``, and ``sending`` while an attempt is made, which the
journal itself begins and ends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from certbot_guard.message import Message
from certbot_guard.standing_rows import stamp

KEEP_SENT_DAYS = 90
# Channels that are gone from guard.ini, or down for a month: what they still should get is news no more.
KEEP_UNDELIVERED_DAYS = 30
KEEP_REPLACED = 50


@dataclass(frozen=True)
class Waiting:
    """One message that one channel still has to get.

    :ivar possible_repeat: an earlier attempt may have succeeded without our knowing.
    :ivar done: which of a channel's services have it already (a channel may be several, in an Apprise file).
    :ivar replaced: when written, and the title, of each message that this one took the place of, oldest first.
    :ivar reason: why it did not go out yet, in one harmless line, or an empty one.
    """

    channel: str
    message: Message
    possible_repeat: bool
    created: datetime
    attempts: int
    done: tuple[str, ...] = ()
    replaced: tuple[tuple[str, str], ...] = ()
    reason: str = ""


def add(execute: Any, settings: str, message: Message, channels: list[str], now: datetime) -> list[str]:
    """The message waits for each channel. Returns the channels for which it is new."""
    execute("INSERT OR IGNORE INTO messages (id, run, event, severity, title, body, created, settings, subjects)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (
                message.id, message.run, message.event, message.severity, storable(message.title),
                storable(message.body), stamp(now), settings, json.dumps(message.subjects)))
    return [channel for channel in channels
            if execute("INSERT OR IGNORE INTO outbox (message, channel, state) VALUES (?, ?, 'pending')",
                       (message.id, channel)).rowcount]


def replace(execute: Any, settings: str, message: Message, channel: str) -> None:
    """What waits for this channel gives way to a message that speaks of all its subjects. One on its way does not."""
    older = execute("SELECT m.id, m.created, m.title, o.replaced, m.subjects FROM outbox o JOIN messages m"
                    " ON m.id = o.message WHERE o.channel = ? AND o.state = 'pending' AND m.settings = ? AND m.id != ?"
                    " ORDER BY m.created, m.rowid", (channel, settings, message.id)).fetchall()
    replaced: list[Any] = []
    for identity, created, title, before, subjects in older:
        spoken_of = set(json.loads(subjects))
        if not spoken_of or not spoken_of <= set(message.subjects):
            continue
        replaced += [*json.loads(before), [created, title]]
        execute("UPDATE outbox SET state = 'replaced' WHERE message = ? AND channel = ?", (identity, channel))
    if replaced:
        execute("UPDATE outbox SET replaced = ? WHERE message = ? AND channel = ?",
                (json.dumps(replaced[-KEEP_REPLACED:]), message.id, channel))


def waiting(execute: Any, settings: str, channel: str) -> list[Waiting]:
    """What this channel still has to get, oldest first."""
    rows = execute(
        "SELECT m.id, m.run, m.event, m.severity, m.title, m.body, m.created, o.state, o.doubt, o.attempts, o.done,"
        " o.replaced, o.reason"
        " FROM outbox o JOIN messages m ON m.id = o.message WHERE o.channel = ? AND o.state IN ('pending', 'sending')"
        " AND m.settings = ? ORDER BY m.created, m.rowid", (channel, settings)).fetchall()
    return [Waiting(channel, Message(*row[:6]), row[7] == "sending" or bool(row[8]),
                    datetime.fromisoformat(row[6]), row[9], tuple(json.loads(row[10])),
                    tuple((str(at), str(title)) for at, title in json.loads(row[11])), row[12] or "") for row in rows]


def channels_waiting(execute: Any, settings: str) -> list[str]:
    """The channels that still have something to get."""
    rows = execute("SELECT DISTINCT o.channel FROM outbox o JOIN messages m ON m.id = o.message"
                   " WHERE o.state IN ('pending', 'sending') AND m.settings = ? ORDER BY o.channel", (settings,))
    return [row[0] for row in rows.fetchall()]


def settings_waiting(execute: Any) -> list[str]:
    """The settings files for whose channels something waits."""
    rows = execute("SELECT DISTINCT m.settings FROM outbox o JOIN messages m ON m.id = o.message"
                   " WHERE o.state IN ('pending', 'sending') ORDER BY m.settings").fetchall()
    return [row[0] for row in rows]


def nobody_has(execute: Any, settings: str) -> list[Message]:
    """The messages that were tried, and that no channel has taken."""
    rows = execute(
        "SELECT id, run, event, severity, title, body FROM messages m WHERE settings = ? AND in_syslog = 0"
        " AND EXISTS (SELECT 1 FROM outbox WHERE message = m.id AND state = 'pending' AND attempts > 0)"
        " AND NOT EXISTS (SELECT 1 FROM outbox WHERE message = m.id AND (state IN ('sent', 'sending')"
        " OR (state = 'pending' AND attempts = 0))) ORDER BY created", (settings,)).fetchall()
    return [Message(*row) for row in rows]


def give_up_before(execute: Any, settings: str, when: datetime) -> list[tuple[str, str]]:
    """What has waited since before ``when`` is not tried any more. Returns the channel and title of each."""
    rows = execute("SELECT o.channel, m.title, m.id FROM outbox o JOIN messages m ON m.id = o.message"
                   " WHERE o.state = 'pending' AND m.created < ? AND m.settings = ?",
                   (stamp(when), settings)).fetchall()
    for channel, _, identity in rows:
        execute("UPDATE outbox SET state = 'given-up' WHERE message = ? AND channel = ?", (identity, channel))
        # Nobody heard of it there, so it is news again.
        execute("DELETE FROM heard WHERE settings = ? AND channel = ? AND message = ?", (settings, channel, identity))
    return [(channel, title) for channel, title, _ in rows]


def forget_old(execute: Any, now: datetime) -> None:
    """Messages that are history are gone, of all settings files."""
    def before(days: int) -> str:
        return stamp(now - timedelta(days=days))

    execute("DELETE FROM outbox WHERE message IN (SELECT id FROM messages WHERE created < ?)"
            " OR (state IN ('pending', 'sending') AND message IN (SELECT id FROM messages WHERE created < ?))",
            (before(KEEP_SENT_DAYS), before(KEEP_UNDELIVERED_DAYS)))
    execute("DELETE FROM messages WHERE created < ? AND id NOT IN (SELECT message FROM outbox)",
            (before(KEEP_UNDELIVERED_DAYS),))


def storable(words: str) -> str:
    """SQLite's text is UTF-8: a lone surrogate would keep people from being told."""
    return words.encode("utf-8", "replace").decode("utf-8")
