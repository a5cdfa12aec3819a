"""What status, history and report show: true where it is known, "not known" where it is not, and nothing is changed."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Optional

import pytest
from click.testing import CliRunner

from certbot_guard import config as configuration
from certbot_guard import statedir
from certbot_guard.cli import commands
from certbot_guard.cli import shown as output
from certbot_guard.cli.progress import progress
from certbot_guard.errors import StateError
from certbot_guard.journal import Journal
from certbot_guard.message import Message
from certbot_guard.overview import books, drawing, past, shown, wording
from certbot_guard.overview.certificates import Row
from certbot_guard.overview.gathering import Overview, gather
from certbot_guard.overview.results import results_of, row
from certbot_guard.overview.webserver import Looking
from certbot_guard.pages import style, whole
from certbot_guard.pages.markup import tag
from certbot_guard.run import CERTBOT_LOCK
from certbot_guard.servers import execute
from certbot_guard.stakes import Validity
from certbot_guard.standing_rows import Changes
from certbot_guard.watch.looking import Eyes
from certbot_guard.watch.ondisk import Disk, on_disk
from certbot_guard.watch.tls import Place, Shown
from tests.support.overview import MadeUp, realistic

# No timer of this machine's, and a host that has been up for long.
EYES = Eyes(schedule=lambda now: None, uptime=lambda: timedelta(days=9))
SECRET = "s3cr3t"
HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m<!--\u202e"


@pytest.fixture(autouse=True)
def no_volatile_state_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(statedir, "VOLATILE", tmp_path / "no-run")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    """Only looked at."""
    return realistic(tmp_path_factory.mktemp("host"))


@pytest.fixture
def made(tmp_path: Path) -> MadeUp:
    return MadeUp(tmp_path)


def look(made: MadeUp, **options: Any) -> Overview:
    return gather(configuration.load(made.settings), **{"eyes": EYES, **options})


def of(found: Overview, name: str) -> Row:
    return next(row for row in found.rows if row.lineage.name == name)


def everything_below(directory: Path) -> dict[str, Any]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_mode, path.lstat().st_size)
            for path in directory.rglob("*")}


# -- lineages ------------------------------------------------------------------------------------------------------


def test_a_lineage_is_shown_with_what_is_left_its_guard_its_last_attempt_and_who_was_told(host: MadeUp) -> None:
    found = look(host)
    shop = of(found, "shop.example.com")
    assert (wording.left(shop, found.at), shop.guarded, wording.due(shop, found.at)) == ("5 d", "yes", "now")
    assert shop.tried is not None and shop.tried.outcome == "failed"
    assert wording.told(shop).startswith("mail, pager, team since 20")
    assert of(found, "files.example.com").tried.outcome == "renewed"  # type: ignore[union-attr]


def test_a_guard_that_an_earlier_watch_saw_is_lost_and_another_installer_is_none(host: MadeUp, made: MadeUp) -> None:
    assert of(look(host), "legacy.example.com").guarded == "lost"
    made.lineage("plain.example.com", installer="")
    made.lineage("apache.example.com", installer="apache")
    found = look(made)
    assert of(found, "plain.example.com").guarded == "no"
    assert wording.guarded(of(found, "apache.example.com")) == "no (apache)"


def test_an_expired_certificate_is_wrong_and_says_so_in_words(host: MadeUp) -> None:
    found = look(host)
    assert wording.left(of(found, "old-campaign.example.com"), found.at) == "EXPIRED 2 d ago"
    assert any(line.startswith("critical: old-campaign.example.com: The certificate has expired")
               for line in found.wrong)
    advice = next(one.advice for one in found.troubles if one.name == "old-campaign.example.com")
    assert "--force-renewal" in advice  # its autorenew is off: a plain 'certbot renew' would say that it is not due


def test_a_file_that_cannot_be_read_is_not_known_and_wrong(made: MadeUp) -> None:
    made.lineage("good.example.com")
    (made.config_dir / "renewal" / "bad.example.com.conf").write_text("nonsense [[[")
    found = look(made)
    bad = of(found, "bad.example.com")
    assert {wording.left(bad, found.at), bad.guarded, wording.due(bad, found.at)} == {"not known"}
    assert len(found.wrong) == 1 and "bad.example.com" in found.wrong[0]


def test_a_dry_run_is_no_attempt(made: MadeUp) -> None:
    made.lineage("one.example.com")
    made.run(2, renewed=["one.example.com"])
    made.run(1, failed=["one.example.com"], dry_run=True)
    assert of(look(made), "one.example.com").tried.outcome == "renewed"  # type: ignore[union-attr]


def test_a_dry_run_that_went_well_has_tried_its_lineages_out_and_one_that_is_not_over_has_not() -> None:
    facts = {"id": "x", "started": "2026-11-01T04:00:00+00:00", "verb": "renew", "dry_run": True}
    events = [{"n": 0, "kind": "lineage", "lineage": "a", "at": "2026-11-01T04:00:00+00:00", "mono": 1.0}]
    over = [{"n": 1, "kind": "exit", "at": "2026-11-01T04:00:05+00:00", "mono": 6.0}]
    now = datetime(2026, 11, 2, tzinfo=timezone.utc)
    assert row(facts, events + over, now).results == {"a": "tried out"}
    assert row(facts, events, now).results == {"a": "not finished"}
    assert row({**facts, "dry_run": False}, events + over, now).results == {"a": "not finished"}
    assert row({**facts, "dry_run": False, "verb": "reconfigure"}, events + over, now).results == {"a": "tried out"}


def test_what_came_of_each_lineage_is_what_was_said_of_it_last() -> None:
    said = [("lineage", "a"), ("lineage", "b"), ("lineage-failed", "b"), ("deployed", "b"), ("lineage", "c"),
            ("deployed", "c"), ("reload-failed", "c"), ("lineage", "d"), ("refused", "d")]
    events: list[dict[str, Any]] = [{"kind": kind, "lineage": name} for kind, name in said]
    events.append({"kind": "not-attempted", "lineages": ["e"]})
    assert results_of(events) == {"a": "not finished", "b": "renewed", "c": "renewed, not loaded", "d": "refused",
                                  "e": "not attempted"}


def test_a_run_s_account_of_another_version_is_not_known_rather_than_an_error() -> None:
    odd = row({"id": "x", "argv": 7, "started": []}, [{"kind": "stopping"}, {"kind": "not-attempted", "lineages": 9}],
              datetime.now(timezone.utc))
    assert odd.ok is None and odd.command == "" and odd.results == {}


# -- what stands ---------------------------------------------------------------------------------------------------


def test_a_trouble_that_stands_has_the_advice_that_people_were_given_and_who_still_waits_for_it(host: MadeUp) -> None:
    found = look(host)
    legacy = next(one for one in found.troubles if one.name == "legacy.example.com")
    assert legacy.advice.endswith("certbot-guard adopt --cert-name legacy.example.com.")
    assert wording.heard(legacy).startswith("mail at ") and wording.heard(legacy).endswith("; team (waits)")
    assert [(one.channel, one.count) for one in found.waits] == [("team", 1)]
    assert "1 message for team not delivered" in found.wrong


def test_what_people_were_told_is_not_found_a_second_time(host: MadeUp) -> None:
    names = [one.name for one in look(host).troubles]
    assert sorted(names) == ["legacy.example.com", "old-campaign.example.com", "shop.example.com"]


def test_where_all_is_well_nothing_is_wrong(made: MadeUp) -> None:
    made.lineage("one.example.com", days_left=80)
    made.run(10, renewed=["one.example.com"])
    assert look(made).wrong == []


def test_where_certbot_and_the_guard_never_ran_there_is_nothing_wrong_and_nothing_is_made(tmp_path: Path) -> None:
    settings = tmp_path / "guard.ini"
    settings.write_text(f"[state]\ndir = {tmp_path}/none\n[server]\ncontrol = /nonexistent\n"
                        f"[certbot]\nconfig_dir = {tmp_path}/le\n")
    settings.chmod(0o600)
    found = gather(configuration.load(settings), eyes=EYES)
    assert found.wrong == [] and found.rows == []
    assert drawing.no_lineages(found) == f"No lineage: there is no renewal configuration in {tmp_path}/le/renewal."
    assert os.listdir(tmp_path) == ["guard.ini"]


def test_two_configuration_directories_have_their_own_lineages_of_the_same_name(tmp_path: Path) -> None:
    one, two = MadeUp(tmp_path / "one"), MadeUp(tmp_path / "two")
    one.lineage("same.example.com", days_left=80)
    two.lineage("same.example.com", days_left=-3)
    found = look(one, config_dirs=[one.config_dir, two.config_dir])
    assert [row.severity for row in found.rows] == ["", "critical"]
    assert [one.config_dir for one in found.certbots] == [one.config_dir, two.config_dir]


def test_runs_of_another_configuration_directory_are_not_shown(made: MadeUp) -> None:
    made.run(1, renewed=["mine.example.com"])
    made.run(1, renewed=["theirs.example.com"], config_dir="/elsewhere", guard_config="/elsewhere/guard.ini")
    assert [list(one.results) for one in past.runs(configuration.load(made.settings), 9).runs] == [["mine.example.com"]]
    assert len(look(made).runs) == 1


def test_a_run_whose_certbot_is_gone_is_wrong_and_one_at_work_is_not(made: MadeUp) -> None:
    run = made.left_run("one.example.com")
    left = look(made)
    assert [one.state for one in left.open_runs] == ["left unfinished"] and left.stopped_by is None
    assert any(run.id in line for line in left.wrong)
    lock = run.hold(CERTBOT_LOCK)
    assert lock is not None
    try:
        working = look(made)
    finally:
        os.close(lock)
    assert [one.state for one in working.open_runs] == ["at work"] and working.wrong == []
    assert working.stopped_by is not None
    assert "is stopped for a challenge of one.example.com now." in drawing.server(working)


def test_a_run_that_nobody_settled_is_the_last_attempt_and_its_outage_is_on_the_page(made: MadeUp) -> None:
    made.lineage("one.example.com")
    made.run(30, renewed=["one.example.com"])
    made.left_run("one.example.com")
    found = look(made)
    assert of(found, "one.example.com").tried.outcome == "not finished"  # type: ignore[union-attr]
    page = whole.render(found)
    assert ", and not started since" in page and 'class="state critical"' in page
    said = dict(drawing.below(found))["open runs"]
    assert said[0].endswith("; the web server is stopped for one.example.com.")
    assert said[1].startswith("  What to do: certbot-guard recover starts the web server again")
    assert "certbot-guard recover starts the web server again" in page
    serves = look(made, find=lambda *_: _Server(True))
    assert dict(drawing.below(serves))["open runs"][0].endswith("it stopped the web server for one.example.com, which "
                                                                "serves again.")
    assert 'class="state warning"' in whole.render(serves)


def test_messages_that_wait_for_another_guard_ini_are_said_and_not_wrong_here(made: MadeUp) -> None:
    made.lineage("one.example.com")
    with closing(Journal.open(made.state, "/etc/other/guard.ini")) as book:
        book.publish([(Message("m1", "r1", "failure", "warning", "title", "body", ()), ["mail", "team"])], "r1", 0,
                     Changes(), made.now)
    found = look(made)
    assert dict(drawing.below(found))["outbox"] == [
        "Nothing waits.", "1 message waits for the channels of another guard.ini: certbot-guard outbox"]
    assert found.wrong == [] and found.as_json()["outbox_elsewhere"] == 1
    assert "1 message waits for the channels of another guard.ini" in whole.render(found)


def test_asking_whether_a_run_lives_makes_no_lock_file(made: MadeUp) -> None:
    run = made.left_run("one.example.com")
    (run.directory / CERTBOT_LOCK).unlink()
    look(made)
    assert not (run.directory / CERTBOT_LOCK).exists()


# -- state databases -----------------------------------------------------------------------------------------------


def test_a_look_changes_nothing(host: MadeUp) -> None:
    before = everything_below(host.settings.parent.parent)
    found = look(host)
    past.runs(configuration.load(host.settings), 20)
    whole.render(found)
    assert everything_below(host.settings.parent.parent) == before


def test_a_database_of_an_earlier_version_is_read_and_not_upgraded(made: MadeUp) -> None:
    made.run(1, renewed=["one.example.com"])
    path = made.state / "journal.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE noted")
        database.execute("PRAGMA user_version = 2")
        database.commit()
    before = path.read_bytes()
    found = look(made)
    assert len(found.runs) == 1 and found.unknown == [] and found.state_readable
    assert path.read_bytes() == before


@pytest.mark.parametrize("content, words", [
    (b"\0" * 5000, "is damaged"),
    (b"SQLite format 3\0" + b"\xff" * 4080, "is damaged"),
])
def test_a_damaged_database_is_left_as_it_is_and_nothing_is_claimed(made: MadeUp, content: bytes, words: str) -> None:
    made.lineage("one.example.com")
    path = made.state
    path.mkdir(exist_ok=True)
    (path / "journal.db").write_bytes(content)
    found = look(made)
    assert words in found.unknown[0] and (path / "journal.db").read_bytes() == content
    assert found.wrong == ["what certbot-guard knows could not all be read"]
    assert wording.tried(found.rows[0], found.state_readable) == "not known"
    assert dict(drawing.below(found))["troubles"] == ["Not known."]
    assert os.listdir(path) == ["journal.db"]


def test_a_database_of_a_newer_version_is_not_read(made: MadeUp) -> None:
    made.run(1)
    with closing(sqlite3.connect(made.state / "journal.db")) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StateError, match="newer version"):
        books.open_book(made.state)


def test_a_transaction_that_a_power_cut_left_is_said_and_not_rolled_back(made: MadeUp, tmp_path: Path) -> None:
    made.run(1)
    path = made.state / "journal.db"
    copy = tmp_path / "cut"
    copy.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN")
        for number in range(200):
            database.execute("INSERT INTO noted VALUES ('s', ?, ?)", (str(number), "x" * 500))
        for name in ("journal.db", "journal.db-journal"):
            (copy / name).write_bytes((made.state / name).read_bytes())
        database.execute("ROLLBACK")
    before = everything_below(copy)
    with pytest.raises(StateError, match="was cut off"):
        book = books.open_book(copy)
        assert book is not None
        with closing(book):
            book.noted("s")
    assert everything_below(copy) == before


def test_a_database_that_another_writes_in_is_not_said_to_be_cut_off(made: MadeUp,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    made.run(1)
    monkeypatch.setattr(books, "_BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(made.state / "journal.db", isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        database.execute("INSERT INTO noted VALUES ('s', 'a', 'b')")
        assert (made.state / "journal.db-journal").exists()
        with pytest.raises(StateError, match="is locked; something else writes in it just now: try again in a moment"):
            books.open_book(made.state)


def test_a_database_that_is_no_plain_file_keeps_nobody_waiting(made: MadeUp) -> None:
    made.state.mkdir(exist_ok=True)
    os.mkfifo(made.state / "journal.db")
    with pytest.raises(StateError, match="not a plain file"):
        books.open_book(made.state)


# -- what visitors are shown ---------------------------------------------------------------------------------------


def shown_at(made: MadeUp, chain: tuple[bytes, ...], asked: bool = True, problem: str = "",
             later: float = 0.0) -> shown.Served:
    disk = Disk(on_disk(made.config_dir))
    place = Place("127.0.0.1", 443, "one.example.com")
    now = made.now + timedelta(minutes=later)
    found = shown.compare([(Shown(place, chain, problem, asked=asked), True)], disk, now)
    return found[str(made.config_dir), "one.example.com"]


def test_the_certificate_on_the_disk_is_the_same_and_an_earlier_one_is_old(made: MadeUp) -> None:
    made.lineage("one.example.com", days_left=60)
    first = on_disk(made.config_dir)[0].fullchain
    assert shown_at(made, first).state == "same"
    made.renew("one.example.com")
    for later, is_wrong in ((0, False), (1, False), (30, True)):  # certbot saves it a moment before the reload
        old = shown_at(made, first, later=later)
        assert old.state == "old" and bool(old.wrong) is is_wrong


def test_a_certificate_from_elsewhere_is_another_one_and_not_wrong(made: MadeUp, tmp_path: Path) -> None:
    made.lineage("one.example.com")
    other = MadeUp(tmp_path / "elsewhere")
    other.lineage("one.example.com", ["more.example.com"])
    found = shown_at(made, on_disk(other.config_dir)[0].fullchain)
    assert found.state == "another one" and found.wrong == ()


def test_a_place_that_was_not_asked_or_stayed_silent_is_no_certificate(made: MadeUp) -> None:
    made.lineage("one.example.com")
    assert shown_at(made, (), asked=False).state == "not looked at"
    assert shown_at(made, (), problem="nobody answers").state == "no answer"


def test_a_server_that_takes_too_long_is_not_known_and_holds_nobody_up(made: MadeUp) -> None:
    released = threading.Event()
    began = time.monotonic()
    looking = Looking(configuration.load(made.settings), [made.config_dir], made.now, 0.2, True,
                      find=lambda *_: released.wait(20))
    found = looking.result()
    released.set()
    assert time.monotonic() - began < 2
    assert found.server.serving is None and not found.complete and "no time left" in found.words


def test_what_a_look_runs_ends_with_its_time_and_it_starts_nothing_more(made: MadeUp) -> None:
    made.config_dir.joinpath("slow").write_text("#!/bin/sh\nsleep 60 & echo $! > \"$0.pid\"\nwait\n")
    made.config_dir.joinpath("slow").chmod(0o755)
    ran: list[Any] = []

    def find(*_: Any) -> None:
        ran.append(execute.run([str(made.config_dir / "slow")], {}, 60))
        execute.run(["touch", str(made.config_dir / "more")], {}, 60)

    looking = Looking(configuration.load(made.settings), [made.config_dir], made.now, 60, True, find=find)
    pid_file = made.config_dir / "slow.pid"
    deadline = time.monotonic() + 20
    while not (pid_file.exists() and pid_file.read_text().endswith("\n")) and time.monotonic() < deadline:
        time.sleep(0.01)
    looking._ends = time.monotonic()
    assert looking.result().server.serving is None
    looking._thread.join(20)
    assert ran and ran[0].code is not None and not (made.config_dir / "more").exists()
    pid = pid_file.read_text().strip()
    deadline = time.monotonic() + 20  # it was killed, and may not have been given the time to die
    while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class _Server:
    name, identity = "apache2.service", "x"

    def __init__(self, serving: bool) -> None:
        self._serving = serving

    def look(self) -> dict[str, Any]:
        return {"serving": self._serving, "sockets": []}


def test_a_server_that_was_seen_serving_and_does_not_is_wrong_and_one_never_seen_is_not(made: MadeUp) -> None:
    made.run(1)
    down = look(made, find=lambda *_: _Server(False), seconds=0.5)
    assert down.wrong == [] and drawing.server(down) == "apache2.service does not serve."
    made.note(served=made.now.isoformat())
    assert look(made, find=lambda *_: _Server(False), seconds=0.5).wrong == [
        "critical: apache2.service: It does not serve."] or os.geteuid() != 0
    assert look(made, find=lambda *_: _Server(True)).wrong == []


# -- for a person --------------------------------------------------------------------------------------------------


def test_a_bar_never_shows_nothing_where_something_is_left() -> None:
    assert [wording.bar(share, 10) for share in (1.0, 0.58, 0.01, 0.0)] == [
        "█" * 10, "██████░░░░", "█░░░░░░░░░", "░" * 10]
    assert wording.bar(0.5, 4, unicode=False) == "##.."
    assert wording.bar(None, 3) == "   "


@pytest.mark.parametrize("width", [20, 40, 60, 72, 80, 100, 120, 200])
def test_nothing_is_wider_than_the_terminal(host: MadeUp, width: int) -> None:
    found = look(host)
    said = drawing.table(found, width, False) + "\n" + drawing.listing(drawing.below(found), width)
    assert max(len(line) for line in said.split("\n")) <= width
    assert "\x1b" not in said
    assert all(word in "".join(said.split()) for word in ("shop.example.com", "failed", "lost", "EXPIRED"))


@pytest.mark.parametrize("width", [120, 124, 132, 200])
def test_no_word_is_cut_off_for_want_of_room(made: MadeUp, width: int) -> None:
    made.lineage("n" * 100)
    made.lineage("shop.example.com", days_left=-2)
    made.run(1, renewed=["shop.example.com"])
    (made.config_dir / "renewal" / "bad.example.com.conf").write_text("nonsense [[[")
    made.stands(f"{made.config_dir}/renewal/shop.example.com.conf", "shop.example.com", "The CA is busy.", "critical",
                lineage="shop.example.com", told=["mail", "team", "pager"])
    found = look(made)
    told = wording.told(of(found, "shop.example.com")).split()
    assert len(told) == 5 and set(told) <= set(drawing.table(found, width, False).split())


def test_a_long_name_in_plain_text_moves_its_own_row_only(made: MadeUp) -> None:
    made.lineage("n" * 200)
    made.lineage("short.example.com")
    head, *rows = drawing.plain(look(made)).split("\n")
    assert head.index("expires") == 62 and sorted(row.index("█") for row in rows) == [62, 202]


@pytest.mark.parametrize("environment, plain", [
    ({"TERM": "xterm"}, False), ({"TERM": "xterm", "NO_COLOR": ""}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, True),
    ({"TERM": "dumb"}, True), ({"TERM": ""}, True), ({}, True)])
def test_colour_is_for_a_terminal_that_has_it(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str],
                                              plain: bool) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(output, "is_terminal", lambda stream: True)
    assert output.page().colour is not plain


def test_colour_is_only_added(host: MadeUp) -> None:
    found = look(host)
    coloured = re.sub(r"\x1b\[[0-9;]*m", "", drawing.table(found, 100, True)).split("\n")
    assert [line.rstrip() for line in coloured] == drawing.table(found, 100, False).split("\n")


def test_what_is_no_terminal_gets_one_line_a_lineage_and_no_escape(host: MadeUp) -> None:
    done = CliRunner().invoke(commands, ["--config", str(host.settings), "status", "--no-served"])
    assert done.exit_code == 1 and "\x1b" not in done.output
    head, *rest = done.output.split("\n\n")[0].split("\n")
    assert head.split() == ["lineage", "expires", "guarded", "last", "attempt", "due", "served", "told", "names"]
    assert len(rest) == 12 and rest[0].startswith("old-campaign.example.com")


def test_json_has_a_version_and_all_that_is_shown(host: MadeUp) -> None:
    done = CliRunner().invoke(commands, ["--config", str(host.settings), "status", "--json", "--no-served"])
    found = json.loads(done.output)
    assert (found["version"], found["ok"], done.exit_code) == (1, False, 1)
    shop = next(one for one in found["lineages"] if one["name"] == "shop.example.com")
    assert shop["last_attempt"]["outcome"] == "failed" and shop["served"]["state"] == "not looked at"
    assert {one["channel"] for one in shop["told"]} == {"mail", "team", "pager"}


def test_no_secret_is_in_anything_that_is_shown(host: MadeUp) -> None:
    found = look(host)
    page = whole.render(found)
    for said in (page, json.dumps(found.as_json()), drawing.plain(found), drawing.listing(drawing.below(found), None)):
        assert SECRET not in said and "mailtos" in page


def test_history_tells_of_runs_the_newest_first_with_outages_and_who_was_told(host: MadeUp) -> None:
    done = CliRunner().invoke(commands, ["--config", str(host.settings), "history", "-n", "2"])
    first = done.output.split("\n\n")[0].split("\n")
    assert done.exit_code == 0 and len(done.output.split("\n\n")) == 2
    assert first[0].endswith("UTC  failed")
    assert first[1:3] == ["  certbot renew --quiet, under certbot-guard run", "  failed: shop.example.com"]
    assert first[-2:] == ["  web server stopped for 1.2 s for shop.example.com", "  told: mail, pager, team"]


def test_history_of_one_lineage_is_only_of_runs_that_tried_it(host: MadeUp) -> None:
    done = CliRunner().invoke(commands, ["--config", str(host.settings), "history", "--json", "--cert-name",
                                         "files.example.com"])
    runs = json.loads(done.output)["runs"]
    assert runs and all("files.example.com" in [one["name"] for one in run["lineages"]] for run in runs)


def test_history_that_cannot_be_read_is_not_said_to_be_empty(made: MadeUp) -> None:
    made.state.mkdir(exist_ok=True)
    (made.state / "journal.db").write_bytes(b"\0" * 5000)
    done = CliRunner().invoke(commands, ["--config", str(made.settings), "history"])
    assert done.exit_code == 1 and "is damaged" in done.output and "No run" not in done.output
    made.state.joinpath("journal.db").unlink()
    done = CliRunner().invoke(commands, ["--config", str(made.settings), "history"])
    assert (done.exit_code, done.output) == (0, past.NOTHING + "\n")


def test_a_run_that_is_not_told_yet_is_in_the_history_and_not_finished(made: MadeUp) -> None:
    made.left_run("one.example.com")
    (only,) = past.runs(configuration.load(made.settings), 5).runs
    assert only.outcome == "not finished"
    assert "AND NOT STARTED SINCE" in "\n".join(past.lines(only, None))


def passed(made: MadeUp, days_ago: float, *found: tuple[str, dict[str, Any]], **more: Any) -> None:
    """A run with these events is in the history."""
    facts = made.facts(days_ago, **more)
    events = [{"n": number, "kind": kind, "at": facts["started"], "mono": float(number), **fields}
              for number, (kind, fields) in enumerate([("opened", {}), *found, ("exit", {}), ("settled", {})])]
    with closing(Journal.open(made.state, str(made.settings))) as book:
        book.record_run(facts, events)


ONE = {"lineage": "one.example.com", "names": ["one.example.com"]}
WHY = "it has a pre hook, which may stop the web server"
LET_THROUGH = (("proxy-placing", ONE), ("proxy-placed", ONE), ("lineage", ONE))


def test_a_challenge_that_passed_through_is_no_stop_and_not_unknown(made: MadeUp) -> None:
    made.lineage("one.example.com")
    passed(made, 1, *LET_THROUGH, ("deployed", ONE), ("reloaded", ONE), ("proxy-removed", ONE))
    (only,) = past.runs(configuration.load(made.settings), 5).runs
    assert "  challenge passed through the running web server: one.example.com; no outage" in past.lines(only, None)
    shown = only.to_json()
    assert shown["outages"] == [] and shown["lineages"] == [
        {"name": "one.example.com", "outcome": "renewed", "let_through": True, "why_not_let_through": None}]
    page = whole.render(look(made))
    assert "not stopped, the challenge was let through" in page and "1 challenge was let through it" in page


def test_a_challenge_that_was_let_through_and_failed_is_not_said_to_have_passed(made: MadeUp) -> None:
    passed(made, 1, *LET_THROUGH, ("lineage-failed", {**ONE, "error": "503"}))
    (only,) = past.runs(configuration.load(made.settings), 5).runs
    said = "\n".join(past.lines(only, None))
    assert "web server not stopped, the challenge was let through it: one.example.com" in said
    assert "passed through" not in said


def test_why_a_challenge_could_not_pass_through_is_in_the_history_of_that_run(made: MadeUp) -> None:
    passed(made, 1, ("not-proxied", {**ONE, "reason": WHY}), ("lineage", ONE), ("stopping", {**ONE, "window": 1}),
           ("serving", {"window": 1, "outage_seconds": 1.2}), ("deployed", ONE))
    (only,) = past.runs(configuration.load(made.settings), 5).runs
    assert past.lines(only, None)[3:5] == [
        "  web server stopped for 1.2 s for one.example.com",
        f"  challenge could not pass through the running web server: one.example.com: {WHY}"]
    assert only.to_json()["lineages"][0] == {"name": "one.example.com", "outcome": "renewed", "let_through": False,
                                             "why_not_let_through": WHY}
    assert f"not let through: one.example.com: {WHY}" in whole.render(look(made))


def test_where_nobody_tried_to_let_a_challenge_through_nothing_is_said_of_it(host: MadeUp) -> None:
    for run in past.runs(configuration.load(host.settings), 50).runs:
        assert {one["let_through"] for one in run.to_json()["lineages"]} <= {None}
        assert not [line for line in past.lines(run, None) if "through" in line]


def test_progress_draws_nothing_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Looking", after_seconds=0.0):
        time.sleep(0.05)
    assert capsys.readouterr() == ("", "")


# -- the page ------------------------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """What a page is made of. An element that is not closed, or closed twice, is a mistake."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, Optional[str]]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words.append(data)

    def of(self, tag: str) -> Iterator[dict[str, Optional[str]]]:
        return (attributes for name, attributes in self.elements if name == tag)


def test_the_page_needs_nothing_but_itself(host: MadeUp) -> None:
    page = _Page(whole.render(look(host)))
    policy = next(one["content"] for one in page.of("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert not {"script", "link", "img", "iframe", "object", "form", "base", "a"} & {tag for tag, _ in page.elements}
    names = {name for _, attributes in page.elements for name in attributes}
    assert not {"src", "href", "srcset", "style"} & names and not any(name.startswith("on") for name in names)
    assert "url(" not in style.sheet() and "@import" not in style.sheet()


def test_an_element_escapes_its_words_and_its_attributes() -> None:
    made = tag("p", "<b>&", tag("br"), None, title='"><script>')
    assert made == '<p title="&quot;&gt;&lt;script&gt;">&lt;b&gt;&amp;<br></p>'


def test_text_from_outside_is_no_markup(made: MadeUp) -> None:
    name = HOSTILE.replace("/", "_").replace("\x1b", "")
    (made.config_dir / "renewal" / f"{name}.conf").write_text("nonsense")
    made.run(1, failed=[HOSTILE], argv=["renew", HOSTILE], server_name=HOSTILE)
    made.stands("certbot x", HOSTILE, HOSTILE, advice=HOSTILE)
    found = replace(look(made), host=HOSTILE, unknown=[HOSTILE])
    written = whole.render(found)
    page = _Page(written)
    assert "script" not in {tag for tag, _ in page.elements} and "<!--" not in written and "\x1b" not in written
    assert not any(attribute.startswith("on") for _, attributes in page.elements for attribute in attributes)
    assert "\x1b" not in drawing.plain(found) + json.dumps(found.as_json())


def test_the_page_can_be_read_without_seeing_it(host: MadeUp) -> None:
    page = _Page(whole.render(look(host)))
    tags = [tag for tag, _ in page.elements]
    assert tags.count("h1") == 1 and tags.count("main") == 1 and next(page.of("html"))["lang"] == "en"
    assert tags.count("caption") == tags.count("table")
    assert all(one.get("scope") in ("col", "row") for one in page.of("th"))
    assert all(one.get("aria-hidden") == "true" for one in page.of("svg"))  # each has its words beside it
    days = [one["title"] for one in page.of("li") if one.get("title")]
    assert len(days) == 90 and any("failed, stopped for" in str(day) for day in days)
    words = " ".join(page.words)
    assert "Critical, since" in words and "Warning, since" in words  # not by colour alone


def _luminance(colour: str) -> float:
    parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colours", [style.LIGHT, style.DARK], ids=["light", "dark"])
def test_every_ink_can_be_read_on_every_ground(colours: dict[str, str]) -> None:
    for ink in style.INKS:
        for ground in style.GROUNDS:
            light, dark = sorted((_luminance(colours[ink]), _luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{ink} on {ground}"


def test_of_a_thousand_lineages_the_worst_are_shown_and_the_others_are_one_line(made: MadeUp) -> None:
    made.lineage("one.example.com", days_left=80)
    found = look(made)
    validity = found.rows[0].lineage.validity
    assert validity is not None
    one = found.rows[0]
    found.rows = [replace(one, lineage=replace(one.lineage, name=f"n{number}.example.com", validity=Validity(
        validity.not_after + timedelta(hours=number), validity.not_before))) for number in range(1000)]
    written = whole.render(found)
    before, _, behind = written.partition("<details>")
    assert "n19.example.com" in before and "n20.example.com" not in before and "n999.example.com" in behind
    assert "980 more; the next of them expires on" in written and len(written) < 1_500_000


def test_the_page_is_written_whole_and_for_its_owner_alone(host: MadeUp, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text("old")
    target.chmod(0o644)
    done = CliRunner().invoke(commands, ["--config", str(host.settings), "report", "--no-served", "--html",
                                         str(target)])
    assert (done.exit_code, done.output) == (0, "")
    assert target.read_text("utf-8").startswith("<!DOCTYPE html>") and target.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["page.html"]


def test_a_run_that_is_dated_later_than_now_is_not_left_out_without_a_word(made: MadeUp) -> None:
    made.run(-30, renewed=["one.example.com"], outage=2.0)
    assert "1 more is dated later than today and not shown here: was the clock set back?" in whole.render(look(made))


def test_a_certificate_of_ten_years_leaves_the_others_their_room(made: MadeUp) -> None:
    made.lineage("usual.example.com", days_left=89)
    assert "fills the line" not in whole.render(look(made))
    made.lineage("private.example.com", days_left=3640, days=3650)
    page = whole.render(look(made))
    assert ">90 d</text>" in page and ">180 d</text>" not in page and "A bar that fills the line ends later." in page


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_page_that_does_not_fit_where_it_is_sent_is_said_to_be_output(host: MadeUp) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-m", "certbot_guard.cli", "--config", str(host.settings), "report",
                               "--no-served", "--html", "-"], stdout=full, stderr=subprocess.PIPE, text=True,
                              check=False)
    assert done.returncode == 1 and done.stderr.startswith("certbot-guard: the output cannot be written: ")


def test_the_page_goes_to_standard_output(host: MadeUp) -> None:
    done = CliRunner().invoke(commands, ["--config", str(host.settings), "report", "--no-served", "--html", "-"])
    assert done.exit_code == 0 and done.output.startswith("<!DOCTYPE html>") and done.output.endswith("</html>\n")


@pytest.mark.parametrize("target, words", [("link.html", "a symbolic link"), ("pipe", "not a plain file"),
                                           (".", "not a plain file"), ("none/page.html", "not a directory")])
def test_nothing_but_a_file_is_replaced(host: MadeUp, tmp_path: Path, target: str, words: str) -> None:
    (tmp_path / "link.html").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(os.listdir(tmp_path))
    done = CliRunner().invoke(commands, ["--config", str(host.settings), "report", "--html", str(tmp_path / target)])
    assert done.exit_code == 1 and words in str(done.exception or done.output)
    assert sorted(os.listdir(tmp_path)) == before
