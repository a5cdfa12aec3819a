"""The state database on a disk that is really full, and under processes that really crash."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from certbot_guard import journal as journals
from certbot_guard.errors import StateError
from certbot_guard.journal import Journal
from certbot_guard.message import Message


def message(identity: str = "20261124T021530Z-0000abcd-3", body: str = "a body") -> Message:
    return Message(identity, "20261124T021530Z-0000abcd", "failure", "warning", "a title", body)


def ids(book: Journal) -> list[str]:
    return [waiting.message.id for waiting in book.waiting("mail")]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    directory = tmp_path / "tiny"
    directory.mkdir()
    if os.geteuid() != 0 or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(directory)],
            check=False, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def fill(directory: Path) -> None:
    with pytest.raises(OSError), open(directory / "ballast", "wb", buffering=0) as file:
        while True:
            if file.write(b"x" * 512) < 512:
                raise OSError("full")


def test_a_full_disk_is_an_error_and_what_was_kept_stays(tiny_disk: Path) -> None:
    with closing(Journal.open(tiny_disk)) as book:
        book.add(message("first"), ["mail"], 1)
        fill(tiny_disk)
        with pytest.raises(StateError):
            book.add(message("second", "x" * 100_000), ["mail"], 2)
        assert ids(book) == ["first"]
        assert book.told_upto(message().run) == 1
        os.unlink(tiny_disk / "ballast")
        book.add(message("second", "x" * 10_000), ["mail"], 2)
    with closing(Journal.open(tiny_disk)) as book:
        assert book.damaged is None and ids(book) == ["first", "second"]


def test_no_room_for_a_fresh_one_is_an_error_and_no_damage(tiny_disk: Path) -> None:
    fill(tiny_disk)
    with pytest.raises(StateError):
        Journal.open(tiny_disk)
    assert not list(tiny_disk.glob("*.damaged-*"))
    os.unlink(tiny_disk / "ballast")
    with closing(Journal.open(tiny_disk)) as book:
        assert book.damaged is None
        book.add(message(), ["mail"], 1)


@pytest.mark.parametrize("damage", [
    lambda data: data[:8192] + b"\0" * (len(data) - 16384) + data[-8192:],
    lambda data: b"\0" * len(data),
    lambda data: data[:60],
    lambda data: data[:len(data) // 2],
], ids=["zero bytes in the middle", "nothing but zero bytes", "cut in the header", "cut in half"])
def test_what_a_power_cut_leaves_is_set_aside(tmp_path: Path, damage) -> None:
    with closing(Journal.open(tmp_path)) as book:
        for number in range(40):
            book.add(message(f"m{number}", "x" * 2000), ["mail"], number)
    path = tmp_path / journals.FILE
    path.write_bytes(damage(path.read_bytes()))
    spoilt = path.read_bytes()
    with closing(Journal.open(tmp_path)) as book:
        assert book.damaged is not None and book.damaged.read_bytes() == spoilt
        book.add(message(), ["mail"], 1)
        assert ids(book) == [message().id]


def test_a_crash_inside_a_transaction_leaves_what_was_there_before(tmp_path: Path) -> None:
    with closing(Journal.open(tmp_path)) as book:
        for number in range(40):
            book.add(message(f"m{number}", "x" * 2000), ["mail"], number)
    code = ("import sys, time; from pathlib import Path; from certbot_guard.journal import Journal\n"
            "run = Journal.open(Path(sys.argv[1]))._database.execute\n"
            "run('PRAGMA cache_spill = 1'), run('PRAGMA cache_size = 2'), run('BEGIN IMMEDIATE')\n"
            "run(\"UPDATE messages SET body = body || 'torn'\")\n"
            "print('ready', flush=True); time.sleep(60)\n")
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE,
                               cwd=Path(__file__).parents[2])
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / f"{journals.FILE}-journal").exists(), "the crash left its rollback journal"
    with closing(Journal.open(tmp_path)) as book:
        assert book.damaged is None
        assert [waiting.message.body for waiting in book.waiting("mail")] == ["x" * 2000] * 40


def test_many_processes_open_a_fresh_one_at_once(tmp_path: Path) -> None:
    gate = time.time() + 1.0
    code = ("import sys, time; from pathlib import Path; from certbot_guard.journal import Journal\n"
            "from certbot_guard.message import Message\n"
            f"time.sleep(max(0, {gate} - time.time()))\n"
            "book = Journal.open(Path(sys.argv[1])); print(book.damaged)\n"
            "book.add(Message(sys.argv[2], 'r', 'failure', 'info', 't', 'b'), ['mail'], 1)\n")
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), f"m{number}"], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, cwd=Path(__file__).parents[2]) for number in range(6)]
    for process in started:
        said, complaint = process.communicate(timeout=30)
        assert (process.returncode, said) == (0, b"None\n"), complaint.decode()
    with closing(Journal.open(tmp_path)) as book:
        assert sorted(ids(book)) == [f"m{number}" for number in range(6)]


def test_every_file_beside_it_is_root_s_alone_too(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(Journal.open(tmp_path)) as book, book.lease("mail"):
            book.add(message(), ["mail"], 1)
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600} and len(modes) == 2, modes


def test_a_lone_surrogate_does_not_keep_people_from_being_told(tmp_path: Path) -> None:
    with closing(Journal.open(tmp_path)) as book:
        book.add(message(body="a \ud800 b"), ["mail"], 1)
        assert book.waiting("mail")[0].message.body == "a ? b"


def test_the_environment_of_a_run_is_not_kept(tmp_path: Path) -> None:
    with closing(Journal.open(tmp_path)) as book:
        book.record_run({"id": "20260101T000000Z-00000001", "started": "2026-01-01",
                         "environment": {"HTTPS_PROXY": "http://user:hunter2@proxy"}}, [{"n": 1, "kind": "opened"}])
        assert book.history()[0]["events"] == [{"n": 1, "kind": "opened"}]
    assert b"hunter2" not in (tmp_path / journals.FILE).read_bytes()


def test_another_program_s_lock_on_the_file_is_waited_for(tmp_path: Path) -> None:
    Journal.open(tmp_path).close()
    holder = subprocess.Popen([sys.executable, "-c", (
        "import sqlite3, sys, time\nbook = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "book.execute('BEGIN EXCLUSIVE'); print('ready', flush=True); time.sleep(1)\n"),
        str(tmp_path / journals.FILE)], stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"ready\n"
    with closing(Journal.open(tmp_path)) as book:
        book.add(message(), ["mail"], 1)
        assert ids(book) == [message().id]
    holder.communicate()


def test_sqlite_keeps_no_second_file_between_writes(tmp_path: Path) -> None:
    with closing(Journal.open(tmp_path)) as book, closing(sqlite3.connect(tmp_path / journals.FILE)) as database:
        book.add(message(), ["mail"], 1)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert sorted(os.listdir(tmp_path)) == [journals.FILE]
