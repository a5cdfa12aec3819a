"""The state databases of this machine's own, which no test may leave anything in. They are only read."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

BOOKS = (Path("/var/lib/certbot-guard/journal.db"), Path("/run/certbot-guard/journal.db"))
_BUSY_SECONDS = 0.2
# Whose a row is: the path of the guard.ini that it was written for. How a channel does is noted in each database that
# is there, also in one that another test has left, so that says nothing.
_OWNERS = (
    *(f"SELECT 1 FROM {table} WHERE instr(settings, ?) = 1 LIMIT 1"
      for table in ("messages", "standing", "noted")),
    "SELECT 1 FROM runs WHERE instr(facts, '\"guard_config\": \"' || ?) > 0 LIMIT 1")


def news_of(directories: Sequence[Path], books: Iterable[Path] = BOOKS) -> list[Path]:
    """Those that have a row for a guard.ini in one of these directories. What cannot be read has none."""
    return [book for book in books if os.path.exists(book) and any(_has(book, f"{one}/") for one in directories)]


def _has(book: Path, beginning: str) -> bool:
    try:
        with closing(sqlite3.connect(f"{book.as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)) as database:
            return any(_found(database, question, beginning) for question in _OWNERS)
    except (sqlite3.Error, OSError):
        return False


def _found(database: sqlite3.Connection, question: str, beginning: str) -> bool:
    try:
        return database.execute(question, (beginning,)).fetchone() is not None
    except sqlite3.Error:  # a table that another version does not have
        return False
