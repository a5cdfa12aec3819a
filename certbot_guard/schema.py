"""The journal's tables, and how its file is opened: made, checked, refused when newer, set aside when damaged."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from datetime import datetime, timezone
from pathlib import Path
from typing import Optional

from certbot_guard import lease as leases
from certbot_guard import plainfile
from certbot_guard.errors import JournalError

VERSION = 3
KEEP_DAMAGED = 3

_OUTBOX = """
CREATE TABLE outbox (message TEXT NOT NULL REFERENCES messages (id), channel TEXT NOT NULL,
                     state TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'sent', 'replaced', 'given-up')),
                     doubt INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
                     reason TEXT, tried TEXT, done TEXT NOT NULL DEFAULT '[]', replaced TEXT NOT NULL DEFAULT '[]',
                     PRIMARY KEY (message, channel));
CREATE INDEX outbox_waiting ON outbox (channel) WHERE state IN ('pending', 'sending');
"""
# What stands and who has heard of it, and how each channel does: since version 2.
_STANDING = """
CREATE TABLE standing (settings TEXT NOT NULL, subject TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL,
                       severity TEXT NOT NULL, words TEXT NOT NULL, since TEXT NOT NULL, seen TEXT NOT NULL,
                       lineage TEXT, not_after TEXT, PRIMARY KEY (settings, subject));
CREATE TABLE heard (settings TEXT NOT NULL, subject TEXT NOT NULL, channel TEXT NOT NULL, key TEXT NOT NULL,
                    severity TEXT NOT NULL, at TEXT NOT NULL, message TEXT NOT NULL,
                    PRIMARY KEY (settings, subject, channel));
CREATE TABLE channels (settings TEXT NOT NULL, channel TEXT NOT NULL, failures INTEGER NOT NULL, tried TEXT NOT NULL,
                       next_try TEXT NOT NULL, PRIMARY KEY (settings, channel));
"""
# What the watch remembers from one look to the next: since version 3.
_NOTED = """
CREATE TABLE noted (settings TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (settings, name));
"""
_TABLES = """
CREATE TABLE messages (id TEXT PRIMARY KEY, run TEXT NOT NULL, event TEXT NOT NULL, severity TEXT NOT NULL,
                       title TEXT NOT NULL, body TEXT NOT NULL, created TEXT NOT NULL, settings TEXT NOT NULL,
                       in_syslog INTEGER NOT NULL DEFAULT 0, subjects TEXT NOT NULL DEFAULT '[]');
CREATE TABLE told (run TEXT PRIMARY KEY, upto INTEGER NOT NULL);
CREATE TABLE runs (id TEXT PRIMARY KEY, started TEXT NOT NULL, facts TEXT NOT NULL, events TEXT NOT NULL);
""" + _OUTBOX + _STANDING + _NOTED
_NAMES = {"messages", "outbox", "told", "runs", "standing", "heard", "channels", "noted"}
_OUTBOX_ASIDE = """
ALTER TABLE messages ADD COLUMN in_syslog INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN subjects TEXT NOT NULL DEFAULT '[]';
DROP INDEX outbox_waiting;
ALTER TABLE outbox RENAME TO outbox_1;
"""
_OUTBOX_BACK = """
INSERT INTO outbox (message, channel, state, doubt, attempts, reason, tried, done)
    SELECT message, channel, state, doubt, attempts, reason, tried, done FROM outbox_1;
DROP TABLE outbox_1;
"""
# From the version that is the key to the next one.
_UPGRADES = {1: "".join((_OUTBOX_ASIDE, _OUTBOX, _OUTBOX_BACK, _STANDING)), 2: _NOTED}


def create(database: sqlite3.Connection) -> sqlite3.Connection:
    """An empty database has our tables afterwards, and one of an earlier version has today's; whole or not at all."""
    database.execute("BEGIN EXCLUSIVE")
    try:
        if not _tables(database):  # another process may have been first
            _run(database, _TABLES, VERSION)
        while _version(database) in _UPGRADES:
            _run(database, _UPGRADES[_version(database)], _version(database) + 1)
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    return database


def _run(database: sqlite3.Connection, statements: str, version: int) -> None:
    for statement in statements.split(";"):
        if statement.strip():
            database.execute(statement)
    database.execute(f"PRAGMA user_version = {version}")


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def open_or_begin_anew(path: Path, busy_seconds: float) -> tuple[sqlite3.Connection, Optional[Path]]:
    """The database, made if there is none; and where a damaged one, in whose place it is new, has been set aside.

    :raises JournalError: a newer version wrote it (not a byte of it is touched), or the new one is damaged at once.
    :raises sqlite3.Error, OSError: it cannot be used now.
    """
    damaged = None
    database = open_or_none(path, busy_seconds)
    if database is None:
        with leases.exclusive(path.with_name("repair.lock"), busy_seconds):
            database = open_or_none(path, busy_seconds)  # another process may have repaired it
            if database is None:
                damaged = set_aside(path)
                database = open_or_none(path, busy_seconds)
    if database is None:
        raise JournalError(f"{path} cannot be used: a new one is damaged at once")
    return database, damaged


def open_or_none(path: Path, busy_seconds: float) -> Optional[sqlite3.Connection]:
    """The database, ready for use and mode 0600; None if what is there is damaged.

    :raises JournalError: a newer version wrote it. It was only read.
    :raises sqlite3.Error, OSError: it cannot be used now (locked, no room, no permission); that is no damage.
    """
    # sqlite3 would make the file with the mode that the umask leaves, and follow a link.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # a pipe would keep us waiting
            raise OSError(errno.EINVAL, "it is not a plain file")
    finally:
        os.close(descriptor)
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
    header = plainfile.read(path, 100)
    if header.startswith(b"SQLite format 3\0") and int.from_bytes(header[60:64], "big", signed=True) > VERSION:
        raise JournalError(f"{path} was written by a newer version of certbot-guard; it is left as it is")


def _checked(database: sqlite3.Connection) -> Optional[sqlite3.Connection]:
    database.execute("PRAGMA trusted_schema = OFF")
    if not _tables(database):
        create(database)
    sound = database.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
    if sound and _version(database) in _UPGRADES:
        create(database)
    if sound and _version(database) == VERSION and _tables(database) >= _NAMES:
        return database
    database.close()
    return None


def _tables(database: sqlite3.Connection) -> set[str]:
    return {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
