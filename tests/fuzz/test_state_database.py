"""The state database, whatever has become of its file and its rows: read, refused or set aside in one sentence, and kept."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbot_guard import schema
from certbot_guard.errors import StateError
from certbot_guard.journal import FILE, Journal
from certbot_guard.message import Message
from certbot_guard.overview import books
from tests.fuzz import damage
from tests.fuzz.trying import bounded, is_quiet, many, witness, words
from tests.support.overview import MadeUp

NOW = datetime(2026, 11, 24, 4, 17, tzinfo=timezone.utc)
TABLES = ("messages", "outbox", "told", "runs", "standing", "heard", "channels", "noted")
CELLS = st.one_of(st.none(), st.integers(-2 ** 63, 2 ** 63 - 1), st.floats(), st.binary(max_size=20), st.sampled_from(
    ["[" * 50_000, "", "[]", "{}", "[[1]]", "[1, 2]", "null", "9" * 5000, "2026-11-24", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00"]),
    words.map(lambda text: text.encode("utf-8", "replace").decode()))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    found = MadeUp(tmp_path_factory.mktemp("database"))
    found.run(2, renewed=["one.example.com"], outage=1.0)
    found.run(1, failed=["two.example.com"])
    found.stands("server", "apache2", "It does not serve.", waits=("pager",))
    found.note(a="b")
    with closing(Journal.open(found.state, str(found.settings))) as book:
        book.channel_tried("pager", False, NOW)
    shutil.copytree(found.state, found.state.with_name("template"))
    return found


@pytest.fixture
def fresh(made: MadeUp) -> Callable[[], Path]:
    def again() -> Path:
        shutil.rmtree(made.state)
        shutil.copytree(made.state.with_name("template"), made.state)
        return made.state / FILE
    return again


def looks(of: Any, settings: str) -> Iterator[Callable[[], Any]]:
    """Whatever reads it; the same is asked of the journal and of the book that only reads."""
    if isinstance(of, Journal):
        yield from (of.memory, of.nobody_has, of.channels_waiting, of.settings_waiting, of.noted, of.history,
                    lambda: of.told_upto("x"), lambda: of.resting(NOW), lambda: of.waiting("pager"), of.mark_business)
        yield from (lambda: of.give_up_before(NOW), lambda: of.channel_tried("pager", False, NOW), lambda: of.note({"c": "d"}),
                    lambda: of.add(Message("m", "r", "failure", "warning", "t", "b", ("server",)), ["pager"], 1),
                    lambda: of.record_run({"id": "r", "started": NOW.isoformat()}, []))
    else:
        yield from (of.told, lambda: list(of.runs()), lambda: of.memory(settings), lambda: of.noted(settings),
                    lambda: of.waiting(settings), lambda: of.waiting_elsewhere(settings), lambda: of.body("m-server"))


def is_sound(made: MadeUp) -> None:
    """What only reads has changed nothing; a damaged database is there afterwards, too; each refusal is one sentence."""
    before, settings = damage.contents(made.state), str(made.settings)
    with bounded(), witness.watching(made.state):
        _asked(lambda: _read_all(books.open_book(made.state), settings))
    assert damage.contents(made.state) == before
    with bounded(), witness.watching(made.state):
        _asked(lambda: _set_aside_is_kept(made, before))
        _asked(lambda: _read_all(Journal.open(made.state, settings), settings))
    after = damage.contents(made.state)
    assert all(after[name] == data for name, data in before.items() if not name.startswith(FILE))


def _set_aside_is_kept(made: MadeUp, before: dict[str, bytes]) -> None:
    with closing(Journal.open(made.state, str(made.settings))) as book:
        if book.damaged is not None and FILE in before:
            assert book.damaged.read_bytes() == before[FILE]


def _read_all(one: Any, settings: str) -> None:
    if one is not None:
        with closing(one):
            for look in looks(one, settings):
                _asked(look)


def _asked(look: Callable[[], Any]) -> None:
    try:
        look()
    except StateError as error:
        assert is_quiet(str(error)), error


@given(st.lists(damage.of_a_file, min_size=1, max_size=2), damage.stranger_names)
@many(40)
def test_a_damaged_file_is_refused_or_set_aside(made: MadeUp, fresh: Callable[[], Path], damaged: list[damage.Damage],
                                                among: list[str]) -> None:
    path = fresh()
    for change in damaged:
        change(path)
    damage.strangers(made.state, [name for name in among if not name.startswith(FILE)])
    is_sound(made)


@given(st.lists(st.tuples(st.sampled_from(TABLES), st.integers(0, 9), CELLS), min_size=1, max_size=4))
@many(60)
def test_rows_of_any_type_are_read_or_refused(made: MadeUp, fresh: Callable[[], Path], cells: list[tuple[str, int, Any]]) -> None:
    with closing(sqlite3.connect(fresh(), isolation_level=None)) as database:
        for table, number, value in cells:
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            try:
                database.execute(f"UPDATE {table} SET {columns[number % len(columns)]} = ?", (value,))
            except sqlite3.IntegrityError:
                pass  # the table itself refuses it
    is_sound(made)


@given(st.integers(schema.VERSION + 1, 2 ** 31 - 1), damage.stranger_names)
@many(20)
def test_a_newer_database_is_left_as_it_is(made: MadeUp, fresh: Callable[[], Path], version: int, among: list[str]) -> None:
    with closing(sqlite3.connect(fresh(), isolation_level=None)) as database:
        database.execute(f"PRAGMA user_version = {version}")
    before = damage.contents(made.state)
    is_sound(made)
    assert damage.contents(made.state) == before
