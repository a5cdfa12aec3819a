"""The state database: what it keeps, what it refuses, and what becomes of it when the disk or a newer version spoils it."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from certbot_guard import history_rows, outbox_rows, schema
from certbot_guard import journal as journals
from certbot_guard.errors import JournalError, StateError
from certbot_guard.journal import Journal
from certbot_guard.message import Message
from certbot_guard.standing import Memory, Standing, Told
from certbot_guard.standing_rows import Changes
from tests.support.earlier_journals import EARLIER


def message(number: int = 1, run: str = "r1") -> Message:
    return Message(f"{run}-{number}", run, "failure", "warning", f"title {number}", f"body {number}")


def waiting(book: Journal, channel: str = "mail") -> list[str]:
    return [one.message.id for one in book.waiting(channel)]


@pytest.fixture()
def book(tmp_path: Path):
    with_ = Journal.open(tmp_path)
    yield with_
    with_.close()


# -- messages ------------------------------------------------------------------------------------------------------


def test_a_message_waits_for_each_channel_oldest_first(book: Journal) -> None:
    book.add(message(2), ["mail", "hook"], 2)
    book.add(message(1), ["mail"], 3)
    assert waiting(book) == ["r1-2", "r1-1"] and waiting(book, "hook") == ["r1-2"]
    assert book.channels_waiting() == ["hook", "mail"]
    assert book.waiting("mail")[0].message == message(2)


def test_channels_of_two_settings_files_are_not_taken_for_one_another(tmp_path: Path) -> None:
    with closing(Journal.open(tmp_path, "/a/guard.ini")) as ours, closing(Journal.open(tmp_path, "/b/guard.ini")) as theirs:
        ours.add(message(1), ["mail"], 1)
        theirs.add(message(2), ["mail", "hook"], 2)
        assert waiting(ours) == ["r1-1"] and ours.channels_waiting() == ["mail"]
        assert waiting(theirs) == ["r1-2"] and theirs.channels_waiting() == ["hook", "mail"]
        assert ours.settings_waiting() == ["/a/guard.ini", "/b/guard.ini"]


def test_adding_again_changes_nothing(book: Journal) -> None:
    book.add(message(), ["mail"], 5)
    book.sending("r1-1", "mail")
    book.sent("r1-1", "mail")
    book.add(message(), ["mail"], 4)
    assert waiting(book) == [] and book.told_upto("r1") == 5


def test_a_run_that_nobody_told_of_is_told_from_its_first_event(book: Journal) -> None:
    assert book.told_upto("r1") == -1


def test_an_outcome_ends_the_waiting_or_leaves_it(book: Journal) -> None:
    book.add(message(), ["mail", "hook"], 1)
    for channel in ("mail", "hook"):
        book.sending("r1-1", channel)
    book.sent("r1-1", "mail")
    book.failed("r1-1", "hook", "refused")
    assert waiting(book) == [] and waiting(book, "hook") == ["r1-1"]
    again = book.waiting("hook")[0]
    assert not again.possible_repeat and again.attempts == 1


def test_a_sender_that_died_leaves_a_possible_repeat(tmp_path: Path) -> None:
    book = Journal.open(tmp_path)
    book.add(message(), ["mail"], 1)
    book.sending("r1-1", "mail")
    book.close()
    assert Journal.open(tmp_path).waiting("mail")[0].possible_repeat


def test_the_doubt_stays_when_the_next_attempt_fails_plainly(book: Journal) -> None:
    book.add(message(), ["mail"], 1)
    book.sending("r1-1", "mail")
    attempt = book.sending("r1-1", "mail")  # the first one's sender died
    book.failed("r1-1", "mail", "refused", attempt)
    assert book.waiting("mail")[0].possible_repeat


def test_an_attempt_without_an_answer_leaves_a_possible_repeat(book: Journal) -> None:
    book.add(message(), ["mail"], 1)
    book.sending("r1-1", "mail")
    book.failed("r1-1", "mail", "no answer", doubt=True)
    assert book.waiting("mail")[0].possible_repeat


def test_what_was_not_tried_is_not_in_doubt(book: Journal) -> None:
    book.add(message(), ["mail"], 1)
    book.not_tried("r1-1", "mail", book.sending("r1-1", "mail"))
    again = book.waiting("mail")[0]
    assert not again.possible_repeat and again.attempts == 0


def test_an_outcome_that_comes_late_does_not_touch_the_next_attempt(book: Journal) -> None:
    book.add(message(), ["mail"], 1)
    first = book.sending("r1-1", "mail")
    book.sending("r1-1", "mail")
    book.failed("r1-1", "mail", "late news", first)
    assert book._read("SELECT state FROM outbox")[0][0] == "sending"


def test_a_channel_that_is_several_services_remembers_who_has_it(book: Journal) -> None:
    book.add(message(), ["mail"], 1)
    book.sending("r1-1", "mail")
    book.failed("r1-1", "mail", "one of two", done=("abc",))
    assert book.waiting("mail")[0].done == ("abc",)


def test_a_hostile_channel_name_is_only_a_name(book: Journal) -> None:
    name = "x'); DROP TABLE outbox; -- ../../etc\n\ud83d"
    name = name.encode("utf-8", "replace").decode()
    book.add(message(), [name], 1)
    with book.lease(name) as lease:
        assert lease is not None and waiting(book, name) == ["r1-1"]


# -- leases --------------------------------------------------------------------------------------------------------


def test_a_lease_excludes_a_second_sender_and_only_of_its_channel(tmp_path: Path) -> None:
    first, second = Journal.open(tmp_path), Journal.open(tmp_path)
    with first.lease("mail") as held:
        assert held is not None
        with second.lease("mail") as refused, second.lease("hook") as other:
            assert refused is None and other is not None
    with second.lease("mail") as free:
        assert free is not None


def test_a_killed_process_lets_go_of_its_lease(tmp_path: Path) -> None:
    script = ("import sys, time; from pathlib import Path; from certbot_guard.journal import Journal\n"
              "with Journal.open(Path(sys.argv[1])).lease('mail') as held: print(bool(held), flush=True); time.sleep(60)")
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE,
                              cwd=Path(__file__).parents[2])
    assert holder.stdout.readline() == b"True\n"
    book = Journal.open(tmp_path)
    with book.lease("mail") as lease:
        assert lease is None
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with book.lease("mail") as lease:
        assert lease is not None


# -- the file ------------------------------------------------------------------------------------------------------


def test_the_file_is_roots_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Journal.open(tmp_path).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / journals.FILE).stat().st_mode) == 0o600


def test_after_a_clean_end_there_is_one_file_to_copy(tmp_path: Path) -> None:
    book = Journal.open(tmp_path)
    book.add(message(), ["mail"], 1)
    book.close()
    assert os.listdir(tmp_path) == [journals.FILE]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / journals.FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError):
        Journal.open(tmp_path)
    assert (tmp_path / "elsewhere").read_bytes() == b""


def _filled(directory: Path) -> Path:
    book = Journal.open(directory)
    for number in range(200):
        book.add(message(number, f"r{number}"), ["mail"], 1)
    book.close()
    return directory / journals.FILE


def _overwrite(path: Path, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(b"this is no database at all" * 100),
    lambda path: path.write_bytes(path.read_bytes()[:5000]),
    lambda path: _overwrite(path, 4096, b"\xff" * 8192),
    lambda path: _overwrite(path, 100, b"\0" * 400),
    lambda path: sqlite3.connect(path).executescript("DROP TABLE outbox"),
    lambda path: (path.unlink(), sqlite3.connect(path).executescript("CREATE TABLE other (x)")),
], ids=["no database", "truncated", "overwritten", "schema gone", "a table gone", "another program's"])
def test_a_damaged_database_is_set_aside_and_a_fresh_one_serves(tmp_path: Path, damage) -> None:
    path = _filled(tmp_path)
    damage(path)
    spoilt = path.read_bytes()
    book = Journal.open(tmp_path)
    assert book.damaged is not None and book.damaged.read_bytes() == spoilt
    book.add(message(), ["mail"], 1)
    assert waiting(book) == ["r1-1"]
    book.close()
    assert Journal.open(tmp_path).damaged is None


def test_an_empty_file_is_a_fresh_database(tmp_path: Path) -> None:
    (tmp_path / journals.FILE).write_bytes(b"")
    assert Journal.open(tmp_path).damaged is None


def test_a_damaged_databases_rollback_journal_does_not_spoil_the_fresh_one(tmp_path: Path) -> None:
    path = _filled(tmp_path)
    path.write_bytes(b"no database" * 1000)
    Path(f"{path}-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\0" * 2000)
    book = Journal.open(tmp_path)
    book.add(message(), ["mail"], 1)
    assert not Path(f"{path}-journal").exists() and waiting(book) == ["r1-1"]


def test_only_a_few_damaged_databases_are_kept(tmp_path: Path) -> None:
    for _ in range(schema.KEEP_DAMAGED + 3):
        (tmp_path / journals.FILE).write_bytes(b"no database")
        Journal.open(tmp_path).close()
    assert len(list(tmp_path.glob("*.damaged-*"))) == schema.KEEP_DAMAGED


def test_a_newer_database_is_refused_and_untouched_byte_for_byte(tmp_path: Path) -> None:
    path = _filled(tmp_path)
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    newer.close()
    before, when = path.read_bytes(), path.stat().st_mtime_ns
    with pytest.raises(JournalError, match="newer version"):
        Journal.open(tmp_path)
    assert path.read_bytes() == before and path.stat().st_mtime_ns == when
    assert os.listdir(tmp_path) == [journals.FILE]


def test_a_locked_database_is_an_error_in_bounded_time_and_no_damage(tmp_path: Path, monkeypatch) -> None:
    path = _filled(tmp_path)
    monkeypatch.setattr(journals, "BUSY_SECONDS", 0.1)
    book = Journal.open(tmp_path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StateError, match="locked"):
        book.add(message(), ["mail"], 1)
    with pytest.raises(JournalError, match="locked"):
        Journal.open(tmp_path)
    other.close()
    assert not list(tmp_path.glob("*.damaged-*"))
    book.add(message(), ["mail"], 1)


def test_a_full_disk_is_an_error_and_leaves_all_as_it_was(book: Journal) -> None:
    book.add(message(), ["mail"], 1)
    pages = book._database.execute("PRAGMA page_count").fetchone()[0]
    book._database.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to be full
    with pytest.raises(StateError, match="full"):
        book.add(Message("big", "r2", "failure", "warning", "t", "x" * 1_000_000), ["mail"], 1)
    assert waiting(book) == ["r1-1"] and book.told_upto("r2") == -1
    book._database.execute("PRAGMA max_page_count = 1000000")
    book.add(message(2), ["mail"], 2)
    assert waiting(book) == ["r1-1", "r1-2"]


def test_a_full_disk_when_the_database_is_made_is_an_error(tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(schema, "create", full)
    with pytest.raises(JournalError, match="full"):
        Journal.open(tmp_path)


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError):
        Journal.open(tmp_path / "missing")


def test_two_processes_that_find_it_damaged_at_once_set_it_aside_once(tmp_path: Path) -> None:
    (tmp_path / journals.FILE).write_bytes(b"no database" * 100)
    script = ("import sys; from pathlib import Path; from certbot_guard.journal import Journal\n"
              "from certbot_guard.message import Message\n"
              "b = Journal.open(Path(sys.argv[1])); print(bool(b.damaged))\n"
              "b.add(Message(sys.argv[2], 'r', 'failure', 'info', 't', 'b'), ['mail'], 1)")
    several = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), f"m{number}"], stdout=subprocess.PIPE,
                                cwd=Path(__file__).parents[2]) for number in range(3)]
    found = [one.communicate(timeout=30)[0].strip() for one in several]
    assert sorted(found) == [b"False", b"False", b"True"]
    assert sorted(waiting(Journal.open(tmp_path))) == ["m0", "m1", "m2"]


def test_a_database_in_memory_works_and_leaves_nothing(tmp_path: Path) -> None:
    book = Journal.in_memory()
    book.add(message(), ["mail"], 1)
    with book.lease("mail") as lease:
        assert lease is not None and waiting(book) == ["r1-1"]
    assert book.directory is None and book.damaged is None


def test_asking_what_was_told_never_raises(tmp_path: Path) -> None:
    book = Journal.open(tmp_path)
    book.close()
    assert book.told_upto("r1") == -1


# -- history and its bounds ----------------------------------------------------------------------------------------


def test_the_history_has_the_newest_run_first_and_each_once(book: Journal) -> None:
    for number in (1, 2, 1):
        book.record_run({"id": f"r{number}", "started": f"2026-11-2{number}T00:00:00+00:00", "environment": {"A": "b"}},
                        [{"n": 1, "kind": "lineage", "lineage": "example.com"}])
    found = book.history()
    assert [one["facts"]["id"] for one in found] == ["r2", "r1"]
    assert "environment" not in found[0]["facts"] and found[0]["events"][0]["lineage"] == "example.com"
    assert len(book.history(1)) == 1


def test_a_huge_run_is_kept_short(book: Journal) -> None:
    huge = [{"n": number, "kind": "lineage-failed", "lineage": f"l{number}", "error": "x" * 100_000, "acme": {
        "subproblems": [{"detail": "y" * 1000}] * 100}} for number in range(300)]
    book.record_run({"id": "r1", "started": "2026-11-24", "argv": ["x" * 100_000]}, huge)
    size = book._read("SELECT length(facts) + length(events) FROM runs")[0][0]
    assert size < 40_000 and book.history()[0]["events"][0]["lineage"] == "l0"


def test_history_is_pruned_by_number_and_age(book: Journal, monkeypatch) -> None:
    monkeypatch.setattr(history_rows, "KEEP", 5)
    now = datetime.now(timezone.utc)
    for days in range(10):
        book.record_run({"id": f"r{days}", "started": (now - timedelta(days=days)).isoformat()}, [])
    assert [one["facts"]["id"] for one in book.history()] == ["r0", "r1", "r2", "r3", "r4"]
    book.record_run({"id": "old", "started": (now - timedelta(days=500)).isoformat()}, [])
    assert "old" not in [one["facts"]["id"] for one in book.history()]


def _age(book: Journal, identity: str, days: int) -> None:
    then = (datetime.now(timezone.utc) - timedelta(days=days)).isoformat(timespec="microseconds")
    book._database.execute("UPDATE messages SET created = ? WHERE id = ?", (then, identity))


def test_messages_are_pruned_once_they_are_history(book: Journal) -> None:
    for number in (1, 2, 3, 4):
        book.add(message(number), ["mail"], number)
    book.sending("r1-1", "mail")
    book.sent("r1-1", "mail")
    book.sending("r1-2", "mail")
    book.sent("r1-2", "mail")
    _age(book, "r1-1", outbox_rows.KEEP_SENT_DAYS + 1)
    _age(book, "r1-2", outbox_rows.KEEP_SENT_DAYS - 1)
    _age(book, "r1-3", outbox_rows.KEEP_UNDELIVERED_DAYS + 1)
    book.add(message(5), ["mail"], 5)
    assert waiting(book) == ["r1-4", "r1-5"]
    assert sorted(row[0] for row in book._read("SELECT id FROM messages")) == ["r1-2", "r1-4", "r1-5"]


# -- what stands, what replaces what, and channels that rest ---------------------------------------------------------

NOW = datetime(2026, 11, 24, 4, 17, tzinfo=timezone.utc)


def news(identity: str, run: str = "r1", subjects: tuple[str, ...] = ("a",)) -> Message:
    return Message(identity, run, "failure", "warning", f"title of {identity}", "body", subjects)


def test_a_published_message_takes_the_place_of_what_waits_and_says_so(book: Journal) -> None:
    book.publish([(news("m1"), ["mail", "chat"])], "r1", 1, Changes(), NOW)
    book.sending("m1", "chat")
    book.sent("m1", "chat")
    book.publish([(news("m2", "r2"), ["mail", "chat"])], "r2", 1, Changes(), NOW + timedelta(hours=1))
    book.publish([(news("m3", "r3"), ["mail", "chat"])], "r3", 1, Changes(), NOW + timedelta(hours=2))
    one, = book.waiting("mail")
    assert one.message.id == "m3" and [title for _, title in one.replaced] == ["title of m1", "title of m2"]
    other, = book.waiting("chat")
    assert [title for _, title in other.replaced] == ["title of m2"]  # m1 has arrived there


def test_a_message_takes_the_place_only_of_those_that_speak_of_no_more_than_it_does(book: Journal) -> None:
    for identity, subjects in (("ab", ("a", "b")), ("none", ()), ("c", ("c",)), ("b", ("b",)), ("again", ("a", "b", "d"))):
        book.publish([(news(identity, identity, subjects), ["mail"])], identity, 1, Changes(), NOW)
    assert [one.message.id for one in book.waiting("mail")] == ["none", "c", "again"]


def test_a_message_on_its_way_is_not_replaced(book: Journal) -> None:
    book.publish([(news("m1"), ["mail"])], "r1", 1, Changes(), NOW)
    attempt = book.sending("m1", "mail")
    book.publish([(news("m2", "r2"), ["mail"])], "r2", 1, Changes(), NOW)
    book.sent("m1", "mail", attempt)
    one, = book.waiting("mail")
    assert one.message.id == "m2" and not one.replaced


def test_publishing_again_changes_nothing(book: Journal) -> None:
    for _ in range(2):
        book.publish([(news("m1"), ["mail"])], "r1", 7, Changes(), NOW)
    book.sending("m1", "mail")
    book.sent("m1", "mail")
    book.publish([(news("m1"), ["mail"])], "r1", 7, Changes(), NOW)
    assert book.waiting("mail") == [] and book.told_upto("r1") == 7


def test_what_stands_and_who_heard_of_it_is_kept_for_its_settings_alone(tmp_path: Path) -> None:
    row = Standing("a", "A", "key", "warning", "words", NOW, NOW + timedelta(hours=1), "a", NOW + timedelta(days=9))
    told = Told("a", "mail", "key", "warning", NOW, "m1")
    with closing(Journal.open(tmp_path, "/etc/guard.ini")) as book:
        book.publish([(news("m1"), ["mail"])], "r1", 1, Changes((row,), (), (told,)), NOW)
        assert book.memory() == Memory({"a": row}, {("a", "mail"): told}, {"mail": frozenset({"m1"})})
    with closing(Journal.open(tmp_path, "/other.ini")) as book:
        assert book.memory() == Memory()
    with closing(Journal.open(tmp_path, "/etc/guard.ini")) as book:
        book.publish([], "r2", 1, Changes((), ("a",), ()), NOW)
        assert not book.memory().standing and not book.memory().told


def test_a_publication_that_fails_leaves_everything_as_it_was(book: Journal) -> None:
    book.publish([(news("m1"), ["mail"])], "r1", 1, Changes(), NOW)
    book._database.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StateError):
        book.publish([(Message("m2", "r2", "failure", "warning", "t", "x" * 500_000), ["mail"])], "r2", 1, Changes(), NOW)
    assert [one.message.id for one in book.waiting("mail")] == ["m1"] and book.told_upto("r2") == -1


def test_a_channel_that_fails_rests_longer_each_time_until_it_works(book: Journal) -> None:
    waits = []
    for _ in range(9):
        book.channel_tried("mail", False, NOW)
        waits.append((book.resting(NOW)["mail"] - NOW).total_seconds())
    assert waits == [60, 300, 900, 1800, 3600, 7200, 14400, 14400, 14400]
    assert book.resting(NOW + timedelta(hours=5)) == {}
    assert book.resting(NOW - timedelta(days=1)) == {}  # the clock was set back: it is not left in peace for a day
    book.channel_tried("mail", True, NOW)
    assert book.resting(NOW) == {}


def test_what_waited_too_long_is_given_up_and_named(book: Journal) -> None:
    book.publish([(news("m1"), ["mail"])], "r1", 1, Changes(), NOW)
    assert book.give_up_before(NOW) == []
    assert book.give_up_before(NOW + timedelta(seconds=1)) == [("mail", "title of m1")]
    assert book.waiting("mail") == [] and book.channels_waiting() == []


def test_what_was_given_up_counts_as_not_heard(book: Journal) -> None:
    told = Told("a", "mail", "key", "warning", NOW, "m1")
    book.publish([(news("m1"), ["mail"])], "r1", 1, Changes(told=(told, replace(told, channel="chat"))), NOW)
    book.give_up_before(NOW + timedelta(seconds=1))
    assert list(book.memory().told) == [("a", "chat")]


def test_only_what_every_channel_was_offered_and_none_took_is_nobodys(book: Journal) -> None:
    book.publish([(news("m1"), ["mail", "chat"])], "r1", 1, Changes(), NOW)
    assert book.nobody_has() == []
    book.failed("m1", "mail", "refused", book.sending("m1", "mail"))
    assert book.nobody_has() == []  # the other one was not tried yet
    attempt = book.sending("m1", "chat")
    assert book.nobody_has() == []
    book.failed("m1", "chat", "refused", attempt)
    assert [one.id for one in book.nobody_has()] == ["m1"]
    assert book.first_in_syslog("m1") and not book.first_in_syslog("m1") and book.nobody_has() == []


VERSION_1 = EARLIER[1] + """
INSERT INTO messages VALUES ('m1', 'r1', 'failure', 'warning', 'title of m1', 'body', '2026-11-23T04:17:00+00:00', '');
INSERT INTO outbox (message, channel, state, doubt, attempts) VALUES ('m1', 'mail', 'pending', 1, 3);
INSERT INTO outbox (message, channel, state) VALUES ('m1', 'chat', 'sent');
INSERT INTO told VALUES ('r1', 4);
"""


def test_a_database_of_the_first_version_is_taken_over_with_what_waits_in_it(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        database.executescript(VERSION_1)
    for _ in range(2):
        with closing(Journal.open(tmp_path)) as book:
            assert book.damaged is None and book.told_upto("r1") == 4
            one, = book.waiting("mail")
            assert (one.message.id, one.possible_repeat, one.attempts) == ("m1", True, 3)
            assert book.waiting("chat") == [] and book.memory().standing == {}
    with closing(Journal.open(tmp_path)) as book:
        book.publish([(news("m2", "r2"), ["mail"])], "r2", 1, Changes(), NOW)
        # Of what the older one speaks is not known, so nothing takes its place.
        assert [one.message.id for one in book.waiting("mail")] == ["m1", "m2"]


def test_an_upgrade_that_is_cut_off_leaves_the_first_version_whole(tmp_path: Path, monkeypatch) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        database.executescript(VERSION_1)
    broken = {1: schema._UPGRADES[1] + "; SELECT no_such_function()"}
    with monkeypatch.context() as patched:
        patched.setattr(schema, "_UPGRADES", broken)
        with pytest.raises(StateError):
            Journal.open(tmp_path)
    with closing(Journal.open(tmp_path)) as book:
        assert [one.message.id for one in book.waiting("mail")] == ["m1"]


# -- what the watch remembers ----------------------------------------------------------------------------------------


def test_what_is_noted_is_there_again_for_the_same_settings_alone(tmp_path: Path) -> None:
    with closing(Journal.open(tmp_path, "/a/guard.ini")) as book, closing(Journal.open(tmp_path, "/b/guard.ini")) as other:
        book.note({"guarded x": "1", "served": "then", "odd \udc80": "\udc80"})
        book.note({"guarded x": None, "served": "now"})
        assert book.noted()["served"] == "now" and "guarded x" not in book.noted() and len(book.noted()) == 2
        assert other.noted() == {}


def test_a_database_of_the_second_version_is_taken_over(tmp_path: Path) -> None:
    with closing(Journal.open(tmp_path)) as book:
        book.add(message("m1"), ["mail"], 3)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        database.executescript("DROP TABLE noted; PRAGMA user_version = 2;")
    with closing(Journal.open(tmp_path)) as book:
        assert book.damaged is None and book.channels_waiting() == ["mail"]
        book.note({"a": "b"})
        assert book.noted() == {"a": "b"}


@pytest.mark.parametrize("error,said", [
    (sqlite3.OperationalError("database is locked"), "it cannot be used: database is locked"),
    (sqlite3.DatabaseError("file is not a database"), "it cannot be used: file is not a database"),
    (sqlite3.IntegrityError("CHECK constraint failed"), "it cannot be used: CHECK constraint failed"),
    (OSError(28, "No space left on device"), "it cannot be used: [Errno 28] No space left on device"),
    (ValueError("Invalid isoformat string"), "it cannot be used: a row in it makes no sense"),
    (TypeError("of bytes"), "it cannot be used: a row in it makes no sense"),
    (OverflowError("too large"), "it cannot be used: a row in it makes no sense"),
    (RecursionError("deep"), "it cannot be used: a row in it makes no sense")])
def test_whatever_a_database_does_is_an_error_of_ours_in_one_sentence(error: Exception, said: str) -> None:
    with pytest.raises(JournalError) as raised, journals._translated("it cannot be used"):
        raise error
    assert str(raised.value) == said and raised.value.__cause__ is error


def test_what_is_our_own_error_stays_as_it_is() -> None:
    with pytest.raises(KeyError), journals._translated("it cannot be used"):
        raise KeyError("a bug")


def test_a_pipe_in_its_place_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / journals.FILE, 0o600)
    with pytest.raises(JournalError, match="not a plain file"):
        Journal.open(tmp_path)


@pytest.mark.parametrize("facts", [b"", "", "[]", "[" * 50_000, "9" * 5000, None])
def test_a_run_whose_row_makes_no_sense_is_left_out_of_the_history(book: Journal, facts: object) -> None:
    for name in ("good", "bad"):
        book.record_run({"id": name, "started": "2026-11-24"}, [])
    if facts is None:
        book._database.execute("UPDATE runs SET events = '{}' WHERE id = 'bad'")
    else:
        book._database.execute("UPDATE runs SET facts = ? WHERE id = 'bad'", (facts,))
    assert [one["facts"]["id"] for one in book.history()] == ["good"]
