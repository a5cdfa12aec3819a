"""The state database across versions: older ones are taken over with what is in them, newer ones are left as they are."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from certbot_guard import schema
from certbot_guard.journal import Journal
from tests.support.context import Context
from tests.support.earlier_journals import EARLIER

NAME = "one.guard.test"


def _of_version(context: Context, version: int) -> Path:
    """A state database of an earlier version, with a message that waits for the mailbox and a run in the history."""
    context.state.mkdir(mode=0o700)
    path = context.state / "journal.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(EARLIER[version])
        database.execute("INSERT INTO messages (id, run, event, severity, title, body, created, settings) VALUES"
                         " ('m1', '20261120T041700Z-1', 'failure', 'warning', 'of an earlier version', 'body of m1',"
                         " strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now', '-1 hour'), ?)", (str(context.ini),))
        database.execute("INSERT INTO outbox (message, channel, state, doubt, attempts) VALUES"
                         " ('m1', 'mail', 'pending', 0, 3)")
        database.execute("INSERT INTO told VALUES ('20261120T041700Z-1', 4)")
        database.commit()
    path.chmod(0o600)
    return path


def test_every_earlier_version_is_known_here() -> None:
    assert set(EARLIER) == set(range(1, schema.VERSION))


@pytest.mark.parametrize("version", EARLIER)
def test_what_waits_in_an_earlier_database_is_delivered_after_the_upgrade(context: Context, version: int) -> None:
    context.guard_ini()
    path = _of_version(context, version)
    context.guard("recover", check=True)
    mail, = context.mailbox.wait(1)
    assert "of an earlier version" in mail.subject and "body of m1" in mail.text
    with closing(Journal.open(context.state, str(context.ini))) as book:
        assert book.damaged is None and book.told_upto("20261120T041700Z-1") == 4
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone()[0] == schema.VERSION
    assert not list(context.state.glob("*.damaged-*"))


def _newer(context: Context) -> Path:
    context.state.mkdir(mode=0o700)
    path = context.state / "journal.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(f"CREATE TABLE of_tomorrow (a); PRAGMA user_version = {schema.VERSION + 1};")
    path.chmod(0o600)
    return path


def _seen(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return hashlib.sha256(path.read_bytes()).hexdigest(), status.st_ino, status.st_mtime_ns


@pytest.mark.parametrize("words", [("status",), ("history",), ("outbox",), ("watch",), ("recover",), ("doctor",),
                                   ("metrics",), ("check",)], ids=lambda words: words[0])
def test_no_command_touches_a_newer_database(context: Context, words: tuple[str, ...]) -> None:
    context.obtain(NAME, vhost="")
    context.guard_ini()
    path = _newer(context)
    before = _seen(path)
    done = context.guard(*words)
    assert _seen(path) == before and "Traceback" not in done.output
    assert not list(context.state.glob("journal.db?*")), "nothing is set aside, and no journal of SQLite's is beside it"


@pytest.mark.parametrize("fails", [False, True])
def test_a_renewal_with_a_newer_database_leaves_it_and_tells_people(context: Context, fails: bool) -> None:
    context.guarded_site(NAME)
    path = _newer(context)
    before = _seen(path)
    if fails:
        context.ca.invalid_challenge(NAME, "no such page")
    run = context.renew()
    context.wait_settled()
    assert run.returncode == int(fails) and context.apache.serving()
    mail = context.mailbox.wait(1)[0]
    assert str(path) in mail.text and ("no such page" in mail.text) == fails
    assert _seen(path) == before
