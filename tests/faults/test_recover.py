"""Whatever ends a run is itself killed, runs twice, or finds files torn or of another boot: recover makes it good."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.support import processes
from tests.support.certbot import Certbot, program
from tests.support.context import Context, wait_for
from tests.support.faulty_ca import STORY_503, Fault
from tests.support.ports import free_port

NAME = "one.guard.test"


def in_the_window(context: Context) -> tuple[Certbot, Fault]:
    held = context.ca.hold("challenge", times=1)
    run = context.renew(wait=False)
    held.wait()
    return run, held


def left_down(context: Context) -> Path:
    """Certbot and the sentinel were killed while Apache was stopped; returns the run's directory."""
    run, held = in_the_window(context)
    for pid in (*context.sentinels(), run.pid):
        os.kill(pid, signal.SIGKILL)
    run.wait()
    held.release(forward=False)
    context.wait_settled()
    assert not context.apache.serving()
    return the_run(context)


def the_run(context: Context) -> Path:
    found, = (context.state / "runs").iterdir()
    return found


def settle(context: Context, run: Path) -> subprocess.Popen[bytes]:
    """As certbot's exit and the sentinel start it."""
    return subprocess.Popen([sys.executable, "-I", "-m", "certbot_guard.settle", str(run)], cwd="/",
                            env=context.environment, stdin=subprocess.DEVNULL, start_new_session=True)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def starts(context: Context) -> int:
    return context.apache.error_log.read_bytes().count(b"resuming normal operations")


# -- settle itself is killed -----------------------------------------------------------------------------------------


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def before_apache_is_started(context: Context, run: Path) -> Iterator[Callable[[], object]]:
    with _locked(run / "step.lock"):
        yield lambda: ready(context)


@contextmanager
def while_apache_is_starting(context: Context, run: Path) -> Iterator[Callable[[], object]]:
    """Apache's control program has begun, and takes its time."""
    slow = context.directory / "bin" / "slow"
    with context.apache.control_runs_first(f'case "$*" in *start*) touch {slow}; sleep 0.6;; esac'):
        yield slow.exists


@contextmanager
def before_the_message_is_written(context: Context, run: Path) -> Iterator[Callable[[], object]]:
    context.state.joinpath("journal.db").touch(0o600)
    with closing(sqlite3.connect(context.state / "journal.db", isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield lambda: context.events("serving")


@contextmanager
def before_the_message_is_delivered(context: Context, run: Path) -> Iterator[Callable[[], object]]:
    lease = context.state / f"lease-{hashlib.sha256(b'mail').hexdigest()[:20]}.lock"
    with _locked(lease):
        yield lambda: outbox(context) == ["pending"]


def outbox(context: Context) -> list[str]:
    """The states of what waits, or waited, for a channel."""
    try:
        with closing(sqlite3.connect(f"file:{context.state}/journal.db?mode=ro", uri=True)) as database:
            return [row[0] for row in database.execute("SELECT state FROM outbox")]
    except sqlite3.Error:
        return []


def ready(context: Context) -> int:
    """How many settlers of this test have loaded their code: the step lock is the next thing they ask for."""
    found = 0
    for pid in processes.marked(str(context.directory)):
        try:
            found += "_sqlite3" in Path("/proc", str(pid), "maps").read_text()
        except OSError:
            pass
    return found


STEPS = [before_apache_is_started, while_apache_is_starting, before_the_message_is_written,
         before_the_message_is_delivered]


@pytest.mark.parametrize("step, comes", [*((step, "recover") for step in STEPS),
                                         (while_apache_is_starting, "the next run")])
def test_settle_is_killed_and_whoever_comes_next_brings_apache_back_and_tells_once(
        context: Context, step: Any, comes: str) -> None:
    context.guarded_site(NAME)
    run = left_down(context)
    with step(context, run) as reached:
        settling = settle(context, run)
        wait_for(reached, what="the step")
        assert settling.poll() is None and bool(context.events("closed")) == (step is not before_apache_is_started)
        kill(settling)
    context.mailbox.stays_at(0, seconds=0.1)
    done = context.guard("recover") if comes == "recover" else context.renew()
    assert done.returncode == 0, done.output
    assert context.apache.serving()
    context.wait_settled()
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    assert "certbot died" in mail.text and "possible repeat" not in mail.text
    assert context.guard("recover").stdout == "Nothing was unfinished.\n"
    context.mailbox.stays_at(1, seconds=0.3)


@pytest.mark.core
def test_a_message_whose_sender_was_killed_in_the_act_goes_again_as_a_possible_repeat(context: Context) -> None:
    context.guarded_site(NAME)
    run = left_down(context)
    context.mailbox.hang()
    settling = settle(context, run)
    wait_for(lambda: context.mailbox.connections)
    assert context.apache.serving(), "it serves before anything is delivered"
    senders = processes.descendants_of(settling.pid)
    kill(settling)
    for pid in reversed(senders):
        processes.send(pid, signal.SIGKILL)
    context.mailbox.heal()
    assert context.guard("recover").returncode == 0
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    assert "(possible repeat)" in mail.subject
    assert context.guard("recover").returncode == 0
    context.mailbox.stays_at(1, seconds=0.3)


@pytest.mark.parametrize("sentinel", ["lives", "is killed, too"])
def test_the_settle_of_certbots_exit_is_killed_and_the_failure_told_once(context: Context, sentinel: str) -> None:
    context.guarded_site(NAME)
    context.ca.invalid_challenge(NAME, "no such page")
    run = context.renew(wait=False)
    context.wait_until("event:lineage", run)
    with before_the_message_is_written(context, the_run(context)):
        context.wait_event("closed")
        settling, = [pid for pid in context.guard_processes()
                     if "certbot_guard.settle" in processes.arguments_of(pid)]
        os.kill(settling, signal.SIGKILL)
        if sentinel != "lives":
            for pid in context.sentinels():
                os.kill(pid, signal.SIGKILL)
    assert run.wait().returncode == 1
    context.wait_settled()
    if sentinel != "lives":
        context.mailbox.stays_at(0, seconds=0.1)
    assert context.guard("recover").returncode == 0
    assert context.apache.serving()
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    assert "no such page" in mail.text and "died" not in mail.text


# -- two at once -----------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_settlers_and_a_recover_at_once_start_apache_once_and_tell_once(context: Context) -> None:
    context.guarded_site(NAME)
    run = left_down(context)
    before = starts(context)
    with _locked(run / "step.lock"):
        settling = [settle(context, run) for _ in range(3)]
        recovering = [context.guard("recover", wait=False) for _ in range(2)]
        wait_for(lambda: ready(context) == 5)
    for process in settling:
        assert process.wait(60) == 0
    for one in recovering:
        assert one.wait().returncode == 0, one.output
    assert context.apache.serving() and starts(context) == before + 1
    assert len(context.events("serving")) == 1 and len(context.events("died")) == 1
    context.wait_settled()
    context.mailbox.stays_at(1, seconds=0.5)


# -- another boot, another time --------------------------------------------------------------------------------------


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change every JSON object, one a line, in this file."""
    lines = []
    for line in path.read_text().splitlines():
        if line:
            document = json.loads(line)
            change(document)
            lines.append(json.dumps(document))
    path.write_text("\n".join(lines) + "\n")


def _after_a_reboot(context: Context, run: Path, down_for: timedelta) -> None:
    """The monotonic clock has begun anew, and nothing of /run is left."""
    rewrite(run / "run.json", lambda facts: facts.update(boot_id="00000000-0000-4000-8000-000000000000"))

    def earlier(event: dict[str, Any]) -> None:
        event["at"] = (datetime.fromisoformat(event["at"]) - down_for).isoformat()
        event["mono"] += 5_000_000

    rewrite(run / "events.jsonl", earlier)
    subprocess.run(["rm", "-rf", str(context.state / "run")], check=True)
    for lock in run.glob("*.lock"):
        lock.unlink()


@pytest.mark.core
def test_a_run_of_another_boot_is_settled(context: Context) -> None:
    context.guarded_site(NAME)
    run = left_down(context)
    _after_a_reboot(context, run, timedelta(hours=2))
    done = context.guard("recover")
    assert done.returncode == 0 and context.apache.serving()
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    assert "not serving for 2 h" in mail.text


@pytest.mark.parametrize("hours", [1, -1], ids=["forward", "back"])
def test_a_clock_that_was_set_in_the_window_does_not_change_how_long_the_outage_is_said_to_be(
        context: Context, hours: int) -> None:
    """The machine's clock is left alone: the recorded times are moved, which is the same to whoever reads them."""
    context.guarded_site(NAME)
    run = left_down(context)
    rewrite(run / "events.jsonl", _set_back(hours))
    assert context.guard("recover").returncode == 0
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    seconds = re.search(r"not serving for ([0-9.]+) s\.", mail.text)
    assert seconds is not None and float(seconds[1]) < 60.0, mail.text


def _set_back(hours: int) -> Callable[[dict[str, Any]], None]:
    def change(event: dict[str, Any]) -> None:
        event["at"] = (datetime.fromisoformat(event["at"]) - timedelta(hours=hours)).isoformat()
    return change


@pytest.mark.parametrize("hours", [1, -1], ids=["forward", "back"])
def test_max_outage_does_not_ask_the_clock_on_the_wall(context: Context, hours: int) -> None:
    """A sentinel that is started again reads when Apache was stopped from the disk."""
    limit = 8.0
    context.guarded_site(NAME, server=f"max_outage = {limit:.0f}s\n")
    with context.apache.watch() as outage:
        run, held = in_the_window(context)
        for pid in context.sentinels():
            os.kill(pid, signal.SIGKILL)
        assert not processes.wait_gone(context.sentinels, 5.0)
        directory = the_run(context)
        rewrite(directory / "events.jsonl", _set_back(hours))
        again = subprocess.Popen([sys.executable, "-I", "-m", "certbot_guard.sentinel", str(directory)], cwd="/",
                                 env=context.environment, start_new_session=True)
        run.wait()
        held.release(forward=False)
        context.apache.wait_serving(limit)
        again.wait(20)
        context.wait_settled()
    assert run.returncode == 1
    assert limit / 2 < outage.longest < limit + 2.0
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    assert "max_outage" in mail.text


# -- torn files ------------------------------------------------------------------------------------------------------


def _torn_last_line(run: Path) -> None:
    with open(run / "events.jsonl", "ab") as file:
        file.write(b'\n{"kind": "serving", "window": 1, "at": "2026-11-')


def _garbage_in_the_middle(run: Path) -> None:
    lines = (run / "events.jsonl").read_bytes().splitlines(keepends=True)
    garbage = b"\0" * 700 + os.urandom(300) + b"\n" + b"[" * 200_000 + b'\n{"kind": "stopping"}\n{"kind": 7}\n'
    (run / "events.jsonl").write_bytes(b"".join([*lines[:1], garbage, *lines[1:]]))


@pytest.mark.parametrize("tear", [_torn_last_line, _garbage_in_the_middle])
def test_what_happened_is_read_from_a_torn_file_as_far_as_it_can_be(context: Context, tear: Any) -> None:
    context.guarded_site(NAME)
    run = left_down(context)
    tear(run)
    done = context.guard("recover")
    assert done.returncode == 0, done.output
    assert context.apache.serving()
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    assert "certbot died" in mail.text and NAME in mail.text
    assert context.guard("recover").stdout == "Nothing was unfinished.\n"


@pytest.mark.parametrize("content", [None, b"", b'{"id": "2026', b"\0" * 500, b"[]", b'{"id": "x"}'],
                         ids=["missing", "empty", "truncated", "zero bytes", "no record", "hardly a record"])
def test_without_a_readable_record_of_the_run_apache_serves_all_the_same_and_people_are_told(
        context: Context, content: Any) -> None:
    context.guarded_site(NAME)
    run = left_down(context)
    (run / "run.json").unlink()
    if content is not None:
        (run / "run.json").write_bytes(content)
    done = context.guard("recover")
    assert done.returncode == 0, done.output
    assert context.apache.serving()
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    assert NAME in mail.text and "run.json" in mail.text
    assert [path.read_bytes() for path in run.glob("run.json.damaged-*")] == ([] if content is None else [content])
    assert context.guard("recover").stdout == "Nothing was unfinished.\n"
    context.mailbox.stays_at(1, seconds=0.3)


def test_a_run_whose_files_cannot_be_used_does_not_keep_the_others_from_being_settled(context: Context) -> None:
    context.guarded_site(NAME)
    left_down(context)
    odd = context.state / "runs" / "20200101T000000Z-00000000"
    odd.mkdir()
    (odd / "run.json").write_text(json.dumps({"id": odd.name}))
    for name in ("certbot.lock", "events.jsonl"):
        (odd / name).mkdir()
    (context.state / "runs" / "not-a-directory").touch()
    done = context.guard("recover")
    assert context.apache.serving()
    assert odd.name in done.output and "Traceback" not in done.output
    context.mailbox.wait(1)


# -- recover itself --------------------------------------------------------------------------------------------------


def tree(directory: Path) -> dict[str, Any]:
    return {str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
            for path in sorted(directory.rglob("*"))}


def test_recover_with_nothing_to_do_says_so_and_changes_nothing(context: Context) -> None:
    context.guarded_site(NAME)
    assert context.renew().returncode == 0
    context.wait_settled()
    before, outside = tree(context.state), tree(Path("/run/certbot-guard"))
    with context.apache.watch() as outage:
        done = context.guard("recover")
        quiet = context.guard("recover", "--quiet")
    assert (done.returncode, done.output) == (0, "Nothing was unfinished.\n")
    assert (quiet.returncode, quiet.output) == (0, "")
    assert tree(context.state) == before and outage.intervals == []
    assert set(tree(Path("/run/certbot-guard"))) >= set(outside)
    assert done.seconds < 5.0


def test_recover_where_there_never_was_a_run_makes_no_state(context: Context) -> None:
    context.guard_ini()
    done = context.guard("recover")
    assert (done.returncode, done.output) == (0, "Nothing was unfinished.\n")
    assert not context.state.exists()


def test_recover_delivers_what_waits_through_the_settings_it_was_written_for(context: Context) -> None:
    context.guarded_site(NAME)
    theirs = context.ini.with_name("theirs.ini")
    shutil.copy2(context.ini, theirs)
    context.guard_ini(channels={"mail": f"json://127.0.0.1:{free_port()}/"})
    context.ca.answer("directory", STORY_503)
    assert context.renew().returncode == 1  # waits for the channel "mail" of guard.ini, which is down
    context.wait_settled()
    for ini in (context.ini, theirs):  # theirs has a channel of that name, too
        done = context._run([str(program("certbot-guard")), "--config", str(ini), "recover"], False, None, "/", True, 60)
        assert done.returncode == 0 and not context.mailbox.messages
    context.guard_ini()
    context._run([str(program("certbot-guard")), "--config", str(theirs), "recover"], True, None, "/", True, 60)
    assert NAME in context.mailbox.stays_at(1, seconds=0.3)[0].subject


@pytest.mark.core
def test_recover_touches_nothing_while_a_run_is_in_its_window(context: Context) -> None:
    context.guarded_site(NAME)
    run, held = in_the_window(context)
    events = context.events()
    done = context.guard("recover")
    assert done.returncode == 0 and not context.apache.serving() and context.events() == events
    held.release()
    assert run.wait().returncode == 0
    context.wait_settled()
    assert context.apache.serving() and context.home.version(NAME) == 2
    context.mailbox.stays_at(0, seconds=0.3)


def test_an_apache_that_recover_cannot_start_is_started_when_it_is_mended(context: Context) -> None:
    context.guarded_site(NAME)
    run = left_down(context)
    context.apache.break_configuration()
    done = context.guard("recover")
    assert done.returncode == 1 and run.name in done.stdout and "does not serve" in done.stdout
    told_down = context.mailbox.wait(1)[0]
    assert "DOWN" in told_down.subject and "ThisDirectiveDoesNotExist" in told_down.text
    assert len(context.sentinels()) == 1
    again = context.guard("recover")
    assert again.returncode == 1 and "does not serve" in again.stdout, "its sentinel is at work: that is not nothing"
    assert len(context.sentinels()) == 1
    context.mailbox.stays_at(1, seconds=0.3)
    context.apache.mend_configuration()
    context.apache.wait_serving(60)
    context.wait_settled()
    assert "again" in context.mailbox.stays_at(2, seconds=0.3)[1].subject
    assert context.guard("recover").returncode == 0


@pytest.mark.parametrize("content", ["[server]\ncontrol = apachectl\nmax_outgae = 3m\n", ""], ids=["a typo", "empty"])
def test_a_guard_ini_that_was_spoilt_since_does_not_keep_apache_down(context: Context, content: str) -> None:
    context.guarded_site(NAME)
    left_down(context)
    context.guard_ini(content + f"[state]\ndir = {context.state}\n")
    done = context.guard("recover")
    assert context.apache.serving() and "Traceback" not in done.output
