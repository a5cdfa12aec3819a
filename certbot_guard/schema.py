"""The journal's tables, and how its file is opened: made, checked, refused when newer, set aside when damaged."""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime, timezone
from pathlib import Path
from typing import Optional

from certbot_guard.errors import JournalError

VERSION = 1
KEEP_DAMAGED = 3

_TABLES = """
CREATE TABLE messages (id TEXT PRIMARY KEY, run TEXT NOT NULL, event TEXT NOT NULL, severity TEXT NOT NULL,
                       title TEXT NOT NULL, body TEXT NOT NULL, created TEXT NOT NULL, settings TEXT NOT NULL);
CREATE TABLE outbox (message TEXT NOT NULL REFERENCES messages (id), channel TEXT NOT NULL,
                     state TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'sent')),
                     doubt INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
                     reason TEXT, tried TEXT, done TEXT NOT NULL DEFAULT '[]', PRIMARY KEY (message, channel));
CREATE TABLE told (run TEXT PRIMARY KEY, upto INTEGER NOT NULL);
CREATE TABLE runs (id TEXT PRIMARY KEY, started TEXT NOT NULL, facts TEXT NOT NULL, events TEXT NOT NULL);
CREATE INDEX outbox_waiting ON outbox (channel) WHERE state != 'sent';
"""
_NAMES = {"messages", "outbox", "told", "runs"}


def create(database: sqlite3.Connection) -> sqlite3.Connection:
    """An empty database has our tables afterwards, whole or not at all."""
    database.execute("BEGIN EXCLUSIVE")
    try:
        if not _tables(database):  # another process may have been first
            for statement in _TABLES.split(";"):
                if statement.strip():
                    database.execute(statement)
            database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    return database


def open_or_none(path: Path, busy_seconds: float) -> Optional[sqlite3.Connection]:
    """The database, ready for use and mode 0600; None if what is there is damaged.

    :raises JournalError: a newer version wrote it. It was only read.
    :raises sqlite3.Error, OSError: it cannot be used now (locked, no room, no permission); that is no damage.
    """
    # sqlite3 would make the file with the mode that the umask leaves, and follow a link.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    _refuse_newer(path)
    database = sqlite3.connect(str(path), timeout=busy_seconds, isolation_level=None)
    try:
        return _checked(database)
    except sqlite3.DatabaseError as error:
        database.close()
        # "malformed" and "not a database" are DatabaseErrors proper; locked, full and unreadable are its children.
        if type(error) is sqlite3.DatabaseError:
            return None
        raise
    except BaseException:
        database.close()
        raise


def set_aside(path: Path) -> Path:
    """The damaged database is kept under a name of its own, with its rollback journal; only the newest few are.

    :raises OSError: it could not be renamed; nothing has changed then that matters.
    """
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}Z")
    # The rollback journal first: left behind, it would be played back into the new file.
    try:
        os.rename(f"{path}-journal", f"{aside}-journal")
    except FileNotFoundError:
        pass
    os.rename(path, aside)
    kept = sorted(found for found in path.parent.glob(f"{path.name}.damaged-*") if not found.name.endswith("-journal"))
    for old in kept[:-KEEP_DAMAGED]:
        old.unlink()
        Path(f"{old}-journal").unlink(missing_ok=True)
    return aside


def _refuse_newer(path: Path) -> None:
    # Read without SQLite, which may write even then: https://www.sqlite.org/fileformat2.html, user version at 60.
    with open(path, "rb") as file:
        header = file.read(100)
    if header.startswith(b"SQLite format 3\0") and int.from_bytes(header[60:64], "big", signed=True) > VERSION:
        raise JournalError(f"{path} was written by a newer version of certbot-guard; it is left as it is")


def _checked(database: sqlite3.Connection) -> Optional[sqlite3.Connection]:
    database.execute("PRAGMA trusted_schema = OFF")
    if not _tables(database):
        create(database)
    version = database.execute("PRAGMA user_version").fetchone()[0]
    sound = database.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
    if sound and version == VERSION and _tables(database) >= _NAMES:
        return database
    database.close()
    return None


def _tables(database: sqlite3.Connection) -> set[str]:
    return {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
