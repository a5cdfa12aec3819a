"""What outlives a run, in SQLite: messages and to whom they still have to go (the outbox), and the history of runs.

Knows nothing of Apache or Apprise. Settle adds messages; :mod:`certbot_guard.notify` takes them out. Intent first,
outcome after: a row found as ``sending`` by whoever holds its channel's lease belongs to a sender that died, and we
cannot know whether the message went out. It goes again, marked as a possible repeat.

Here are transactions and attempts; what a table's rows mean is known to the ``*_rows`` modules, and how the file is
opened, and set aside when it is damaged, to :mod:`certbot_guard.schema`.

The file keeps SQLite's rollback journal (no WAL): one file to copy, and nothing beside it after a clean end.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional

from certbot_guard import business, channel_rows, history_rows, outbox_rows, schema, standing_rows
from certbot_guard import lease as leases
from certbot_guard.errors import JournalError, StateError
from certbot_guard.message import Message
from certbot_guard.outbox_rows import Waiting, storable
from certbot_guard.standing import Memory
from certbot_guard.standing_rows import Changes, stamp

FILE = "journal.db"
BUSY_SECONDS = 5.0
_MARK = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Journal:
    """One state database, open. Every method raises :class:`StateError` when the disk does not let it write.

    :ivar settings: names the file whose channels are meant. Two such files may share a state directory, and each have
        a channel ``mail``: messages are added for this one, and only those are seen to wait.
    """

    def __init__(self, directory: Optional[Path], database: sqlite3.Connection, damaged: Optional[Path],
                 settings: str = "") -> None:
        self.directory = directory
        self.damaged = damaged
        self._database = database
        self.settings = settings

    @classmethod
    def open(cls, directory: Path, settings: str = "") -> Journal:
        """The database of this state directory, made if there is none. A damaged one is set aside (``damaged``).

        :raises JournalError: it was written by a newer version (not a byte of it is touched), or cannot be used.
        """
        path = directory / FILE
        with _translated(f"{path} cannot be used"):
            database, damaged = schema.open_or_begin_anew(path, BUSY_SECONDS)
        return cls(directory, database, damaged, settings)

    @classmethod
    def in_memory(cls) -> Journal:
        """A database that lives as long as this process: where no disk can be written, people are told all the same."""
        return cls(None, schema.create(sqlite3.connect(":memory:", isolation_level=None)), None)

    def close(self) -> None:
        self._database.close()

    # -- messages --------------------------------------------------------------------------------------------

    def told_upto(self, run_id: str) -> int:
        """The number of the last event of this run that is in a message, or -1.

        Never raises: rather twice than never.
        """
        try:
            row = self._database.execute("SELECT upto FROM told WHERE run = ?", (run_id,)).fetchone()
        except sqlite3.Error:
            return -1
        return row[0] if row else -1

    def add(self, message: Message, channels: list[str], upto: int) -> None:
        """The message waits for each channel, and the run is told up to that event. Again: nothing changes."""
        with self._transaction() as run:
            outbox_rows.add(run, self.settings, message, channels, utc_now())
            self._told(run, message.run, upto)
            self._prune(run, utc_now())

    def publish(self, messages: list[tuple[Message, list[str]]], run_id: str, upto: int, changes: Changes,
                now: datetime) -> None:
        """All of it at once: each message waits for its channels, in the place of those there that spoke of no more;
        what stands and who has heard of it is as ``changes`` say; and the run is told up to that event. Again: nothing
        changes.
        """
        with self._transaction() as run:
            for message, channels in messages:
                for channel in outbox_rows.add(run, self.settings, message, channels, now):
                    outbox_rows.replace(run, self.settings, message, channel)
            standing_rows.apply(run, self.settings, changes)
            self._told(run, run_id, upto)
            self._prune(run, now)

    def forget(self, subjects: tuple[str, ...]) -> None:
        """These troubles are over; another journal has the message about that."""
        with self._transaction() as run:
            standing_rows.apply(run, self.settings, Changes(over=subjects))

    def memory(self) -> Memory:
        """What stands, and who has heard of it."""
        with self._reading() as run:
            return standing_rows.load(run, self.settings)

    @staticmethod
    def _told(run: Any, run_id: str, upto: int) -> None:
        run("INSERT INTO told VALUES (?, ?) ON CONFLICT (run) DO UPDATE SET upto = max(upto, excluded.upto)",
            (run_id, upto))

    def give_up_before(self, when: datetime) -> list[tuple[str, str]]:
        """What has waited since before ``when`` is not tried any more. Returns the channel and title of each."""
        with self._transaction() as run:
            return outbox_rows.give_up_before(run, self.settings, when)

    def nobody_has(self) -> list[Message]:
        """The messages that were tried, and that no channel has taken."""
        with self._reading() as run:
            return outbox_rows.nobody_has(run, self.settings)

    def first_in_syslog(self, message_id: str) -> bool:
        """Note that this message goes to the system log, and say whether it had not been there."""
        with self._transaction() as run:
            return bool(run("UPDATE messages SET in_syslog = 1 WHERE id = ? AND in_syslog = 0", (message_id,)).rowcount)

    # -- channels --------------------------------------------------------------------------------------------

    def channel_tried(self, channel: str, ok: bool, now: datetime) -> None:
        """How a channel did just now: after a failure it is left in peace for a while, longer each time."""
        with self._transaction() as run:
            channel_rows.tried(run, self.settings, channel, ok, now)

    def resting(self, now: datetime) -> dict[str, datetime]:
        """The channels that failed lately, and until when they are left in peace."""
        with self._reading() as run:
            return channel_rows.resting(run, self.settings, now)

    # -- what waits ------------------------------------------------------------------------------------------

    def channels_waiting(self) -> list[str]:
        """The channels that still have something to get."""
        with self._reading() as run:
            return outbox_rows.channels_waiting(run, self.settings)

    def settings_waiting(self) -> list[str]:
        """The settings files for whose channels something waits here."""
        with self._reading() as run:
            return outbox_rows.settings_waiting(run)

    def waiting(self, channel: str) -> list[Waiting]:
        """What this channel still has to get, oldest first. The caller holds its lease: no sender of it is alive."""
        with self._reading() as run:
            return outbox_rows.waiting(run, self.settings, channel)

    def lease(self, channel: str) -> Any:
        """A context manager: a :class:`Lease` that makes us the channel's only sender, or None if another one lives.

        The kernel ends a lease with the last process that holds it; a deliverer inherits its parent's.
        """
        return leases.nothing() if self.directory is None else leases.take(self.directory, "lease", channel)

    def sending(self, message_id: str, channel: str) -> int:
        """Intent: this message is about to go out. Returns the number of this attempt."""
        with self._transaction() as run:
            # Found as sending: its sender died, and the doubt about that attempt stays whatever comes of this one.
            run("UPDATE outbox SET doubt = doubt OR state = 'sending', state = 'sending', attempts = attempts + 1,"
                " tried = ? WHERE message = ? AND channel = ? AND state IN ('pending', 'sending')",
                (stamp(utc_now()), message_id, channel))
            row = run("SELECT attempts FROM outbox WHERE message = ? AND channel = ?",
                      (message_id, channel)).fetchone()
        return row[0] if row else 0

    def sent(self, message_id: str, channel: str, attempt: Optional[int] = None) -> None:
        """Outcome: the service said yes."""
        self._outcome(message_id, channel, attempt, "state = 'sent', reason = NULL", ())

    def failed(self, message_id: str, channel: str, reason: str, attempt: Optional[int] = None,
               doubt: bool = False, done: tuple[str, ...] = ()) -> None:
        """Outcome: it did not go out, and waits. With ``doubt`` it may have (no answer came): it is marked then."""
        self._outcome(message_id, channel, attempt, "state = 'pending', reason = ?, doubt = doubt OR ?, done = ?",
                      (reason, int(doubt), json.dumps(list(done))))

    def not_tried(self, message_id: str, channel: str, attempt: Optional[int] = None) -> None:
        """Outcome: its turn never came, so there is nothing to doubt."""
        self._outcome(message_id, channel, attempt, "state = 'pending', attempts = attempts - 1", ())

    def _outcome(self, message_id: str, channel: str, attempt: Optional[int], change: str, values: tuple) -> None:
        # An outcome read late belongs to its own attempt, not to one that another process is making now.
        with self._transaction() as run:
            run(f"UPDATE outbox SET {change} WHERE message = ? AND channel = ? AND state = 'sending'"  # nosec B608 # ours
                " AND (? IS NULL OR attempts = ?)", (*values, message_id, channel, attempt, attempt))

    def mark_business(self) -> None:
        """There is a file beside the database exactly while something stands or waits for these settings: a certbot
        that had nothing to do looks for it, and only then lets us look, too."""
        if self.directory is None:
            return
        mark = self.directory / business.mark(self.settings)
        try:
            with self._transaction() as run:  # nobody publishes between the look and the mark
                some = run("SELECT EXISTS (SELECT 1 FROM standing WHERE settings = ?) OR EXISTS"
                           " (SELECT 1 FROM outbox o JOIN messages m ON m.id = o.message WHERE m.settings = ?"
                           " AND o.state IN ('pending', 'sending'))", (self.settings, self.settings)).fetchone()[0]
                if some:
                    os.close(os.open(mark, _MARK, 0o600))
                else:
                    mark.unlink(missing_ok=True)
        except (OSError, StateError):
            pass  # a hint that is wrong costs one look too many or too few

    # -- history ---------------------------------------------------------------------------------------------

    def record_run(self, facts: dict[str, Any], events: list[dict[str, Any]]) -> None:
        """Keep what happened in this run, shortened; again: the newer account replaces the older one."""
        with self._transaction() as run:
            history_rows.record(run, facts, events)
            self._prune(run, utc_now())

    def history(self, limit: int = 50) -> list[dict[str, Any]]:
        """The newest runs first: ``{"facts": ..., "events": [...]}`` as they were recorded. A row that makes no sense is left out."""
        rows = self._read("SELECT facts, events FROM runs ORDER BY started DESC, id DESC LIMIT ?", (limit,))
        found = []
        for row in rows:
            try:
                facts, events = json.loads(row[0]), json.loads(row[1])
            except (ValueError, TypeError, RecursionError):
                continue
            if isinstance(facts, dict) and isinstance(events, list):
                found.append({"facts": facts, "events": events})
        return found

    # -- what the watch remembers ----------------------------------------------------------------------------

    def noted(self) -> dict[str, str]:
        """What was noted for these settings, by its name."""
        return dict(self._read("SELECT name, value FROM noted WHERE settings = ?", (self.settings,)))

    def note(self, changes: dict[str, Optional[str]]) -> None:
        """These are noted now; None: no more."""
        with self._transaction() as run:
            for name, value in changes.items():
                if value is None:
                    run("DELETE FROM noted WHERE settings = ? AND name = ?", (self.settings, storable(name)))
                else:
                    run("INSERT OR REPLACE INTO noted VALUES (?, ?, ?)",
                        (self.settings, storable(name), storable(value)))

    # -- inside ----------------------------------------------------------------------------------------------

    def _prune(self, run: Any, now: datetime) -> None:
        outbox_rows.forget_old(run, now)
        history_rows.forget_old(run, now)
        standing_rows.forget_old(run, now)
        # A run that nobody can find any more is not asked about either: its id begins with its day.
        first = f"{now - timedelta(days=history_rows.KEEP_DAYS):%Y%m%dT}"
        run("DELETE FROM told WHERE run < ? AND run GLOB '[0-9]*'", (first,))

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with _translated("the state database cannot be written"):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database.execute
                self._database.execute("COMMIT")
            except BaseException:
                # A full disk has ended the transaction by itself.
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        with _translated("the state database cannot be read"):
            yield self._database.execute

    def _read(self, statement: str, values: tuple = ()) -> list[tuple]:
        with self._reading() as run:
            return run(statement, values).fetchall()


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"{what}: {error}") from error
    except (ValueError, TypeError, OverflowError, RecursionError) as error:  # a row that nobody of ours wrote
        raise JournalError(f"{what}: a row in it makes no sense") from error
