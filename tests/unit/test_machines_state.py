"""A test that leaves its news in the machine's own state is named, and no other one is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from certbot_guard.journal import Journal
from certbot_guard.message import Message
from tests.support.machines_state import news_of

MINE, THEIRS = Path("/tmp/guard-test-mine"), Path("/tmp/guard-test-theirs")


def message(about: Path) -> Message:
    return Message("r1-1", "r1", "failure", "warning", "title", f"body of {about}/certbot")


def left(directory: Path, kind: str, whose: Path, about: Path) -> Path:
    """A state database with one thing in it."""
    ini = str(whose / "certbot/config/guard.ini")
    book = Journal.open(directory, ini)
    if kind == "message":
        book.add(message(about), ["mail"], 1)
    elif kind == "noted":
        book.note({f"looked at {about}": "x"})
    else:
        book.record_run({"id": "r1", "started": "2026-01-01T00:00:00+00:00", "guard_config": ini,
                         "config_dir": str(about)}, [])
    book.close()
    return directory / "journal.db"


@pytest.mark.parametrize("kind", ["message", "noted", "run"])
def test_only_the_test_whose_settings_it_was_written_for_is_named(tmp_path: Path, kind: str) -> None:
    book = left(tmp_path, kind, MINE, THEIRS)
    before = book.read_bytes()
    assert news_of([THEIRS, MINE], [tmp_path / "none.db", book]) == [book]
    assert news_of([THEIRS, Path("/tmp/guard-test-min")], [book]) == []
    assert book.read_bytes() == before and [path.name for path in tmp_path.glob("journal.db*")] == ["journal.db"]


def test_what_cannot_be_read_blames_nobody(tmp_path: Path) -> None:
    damaged, directory, earlier = (tmp_path / name for name in ("damaged.db", "directory.db", "earlier.db"))
    damaged.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    directory.mkdir()
    assert news_of([MINE], [damaged, directory]) == []
    with closing(sqlite3.connect(earlier)) as database:  # it has one of the tables, and its row is seen
        database.execute("CREATE TABLE noted (settings TEXT)")
        database.execute("INSERT INTO noted VALUES (?)", (f"{MINE}/guard.ini",))
        database.commit()
    assert news_of([THEIRS], [earlier]) == [] and news_of([MINE], [earlier]) == [earlier]


def test_one_that_is_being_written_keeps_nobody_waiting_for_long(tmp_path: Path) -> None:
    book = left(tmp_path, "message", MINE, MINE)
    with closing(sqlite3.connect(book, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        assert news_of([MINE], [book]) == []
