"""The state databases, read as they are: not made, not upgraded, not repaired, not a byte of them written.

:class:`~certbot_guard.journal.Journal` is what writes them. One of an earlier version is upgraded as a copy in memory.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from certbot_guard import journal as journals
from certbot_guard import outbox_rows, schema, standing_rows
from certbot_guard.errors import JournalError, StateError
from certbot_guard.outbox_rows import Waiting
from certbot_guard.standing import Memory

_BUSY_SECONDS = 5.0


@dataclass(frozen=True)
class Told:
    """That a message of a run is for a channel. ``state``: ``sent``, ``waits``, ``replaced`` or ``given up``."""

    run: str
    channel: str
    state: str


_STATES = {"sent": "sent", "pending": "waits", "sending": "waits", "replaced": "replaced", "given-up": "given up"}


class Book:
    """One state database, open for reading. Every method raises :class:`StateError` where it cannot be read."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self.path = path
        self._database = database

    def close(self) -> None:
        self._database.close()

    def runs(self) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """The facts and events of each run in the history, the newest first. A row that makes no sense is left out."""
        for facts, events in self._read("SELECT facts, events FROM runs ORDER BY started DESC, id DESC"):
            try:
                known, happened = json.loads(facts), json.loads(events)
            except (TypeError, ValueError, RecursionError):
                continue
            if isinstance(known, dict) and "id" in known and isinstance(happened, list):
                yield known, [one for one in happened if isinstance(one, dict) and isinstance(one.get("kind"), str)]

    def told(self) -> list[Told]:
        """To whom the messages of each run went, as far back as messages are kept."""
        rows = self._read("SELECT m.run, o.channel, o.state FROM messages m JOIN outbox o ON o.message = m.id"
                          " ORDER BY m.created, m.rowid, o.channel")
        return [Told(str(run), str(channel), _STATES.get(state, "waits")) for run, channel, state in rows]

    def memory(self, settings: str) -> Memory:
        """What stands for these settings, and who has heard of it."""
        with _translated(self.path):
            return standing_rows.load(self._database.execute, settings)

    def noted(self, settings: str) -> dict[str, str]:
        """What the watch remembers for these settings."""
        return {str(name): str(value) for name, value in self._read(
            "SELECT name, value FROM noted WHERE settings = ?", (settings,))}

    def body(self, message: str) -> str:
        """What this message says; nothing if it is not kept any more."""
        rows = self._read("SELECT body FROM messages WHERE id = ?", (message,))
        return str(rows[0][0]) if rows else ""

    def waiting(self, settings: str) -> list[Waiting]:
        """What waits for the channels of these settings, by channel and then the oldest first."""
        channels = self._read("SELECT DISTINCT o.channel FROM outbox o JOIN messages m ON m.id = o.message"
                              " WHERE o.state IN ('pending', 'sending') AND m.settings = ? ORDER BY o.channel",
                              (settings,))
        with _translated(self.path):
            return [one for (channel,) in channels
                    for one in outbox_rows.waiting(self._database.execute, settings, channel)]

    def waiting_elsewhere(self, settings: str) -> int:
        """How many messages wait that another guard.ini's channels have to get."""
        ((count,),) = self._read("SELECT count(DISTINCT m.id) FROM outbox o JOIN messages m ON m.id = o.message"
                                 " WHERE o.state IN ('pending', 'sending') AND m.settings != ?", (settings,))
        return int(count)

    def _read(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with _translated(self.path):
            return self._database.execute(statement, values).fetchall()


@contextmanager
def open_books(bases: list[Path]) -> Iterator[tuple[list[Book], list[str]]]:
    """The state databases that are there, and a sentence for each that cannot be read."""
    with ExitStack() as held:
        found, problems = [], []
        for base in bases:
            try:
                book = open_book(base)
            except StateError as error:
                problems.append(str(error))
                continue
            if book is not None:
                found.append(held.enter_context(closing(book)))
        yield found, problems


def open_book(base: Path) -> Optional[Book]:
    """The database of this state directory; None where there is none.

    :raises StateError: it cannot be read. It is as it was.
    """
    path = base / journals.FILE
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise JournalError(f"{path} is not a plain file, so it is not read")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateError(f"{base} cannot be looked into: {error.strerror}. Run this as the user that certbot runs as, "
                         "usually root") from error
    with _translated(path):
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS,
                                   isolation_level=None)
        try:
            return Book(path, _as_of_today(path, database))
        except BaseException:
            database.close()
            raise


def _as_of_today(path: Path, database: sqlite3.Connection) -> sqlite3.Connection:
    database.execute("PRAGMA trusted_schema = OFF")
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if version > schema.VERSION:
        raise JournalError(f"{path} was written by a newer version of certbot-guard; this one cannot read it")
    if version == schema.VERSION:
        return database
    copy = sqlite3.connect(":memory:", isolation_level=None)
    database.backup(copy)
    database.close()
    return schema.create(copy)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if type(error) is sqlite3.DatabaseError:  # "malformed" and "not a database"; the others are its children
            raise JournalError(f"{path} is damaged ({error}); it is left as it is, and the next run of certbot or "
                               "watch sets it aside") from error
        raise JournalError(f"{path} cannot be read: {error}{_what_then(path, error)}") from error
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"{path} cannot be read: {error}") from error
    except (ValueError, TypeError, OverflowError, RecursionError) as error:  # a row that nobody of ours wrote
        raise JournalError(f"{path} cannot be read: a row in it makes no sense") from error


def _what_then(path: Path, error: sqlite3.Error) -> str:
    if "locked" in str(error):  # by a writer at work, whose journal that is; error codes came with Python 3.11
        return "; something else writes in it just now: try again in a moment"
    # A reader that may not write cannot roll back: https://www.sqlite.org/lockingv3.html#hot_journals
    if not os.path.exists(f"{path}-journal"):
        return ""
    return "; a transaction in it was cut off, and the next run of certbot or watch undoes that"
