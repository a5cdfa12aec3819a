"""A file that somebody else than root may have written, or exchanged for something else: nobody waits for it, and no
more of it is read than is needed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator, Optional

import pytest

from certbot_guard import business, installations, interpreters, outcomes, plainfile
from certbot_guard.doctor import passages, webroots
from certbot_guard.journal import Journal
from certbot_guard.message import Message
from certbot_guard.proxying import modules, room
from certbot_guard.servers import directives, envvars, errorlog, obstacles, processes
from certbot_guard.servers.dump import FILE_LIMIT_BYTES, Dump
from certbot_guard.servers.instance import Instance
from certbot_guard.watch import attempts, sites

PATIENCE_SECONDS = 10.0
HUGE_BYTES = 2 * 1024**3


def _instance(**files: Any) -> Instance:
    instance = Instance("/nonexistent/apachectl", {})
    instance.dump = Dump(**files)
    return instance


def _raises_oserror(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except OSError:
        return OSError


# What each reads, and what it says of a file that it cannot read.
READERS: dict[str, tuple[Callable[[Path], Any], Any]] = {
    "plainfile.read": (lambda path: _raises_oserror(lambda: plainfile.read(path, 100)), OSError),
    "directives.lines": (lambda path: list(directives.lines(str(path))), []),
    "dump.count_vhosts": (lambda path: Dump(files=(str(path),)).count_vhosts(), 0),
    "envvars.read": (lambda path: envvars.read({"APACHE_ENVVARS": str(path)}), {}),
    "sites._behind_a_proxy": (lambda path: sites._behind_a_proxy(_instance(files=(str(path),))), False),
    "passages._content": (passages._content, ""),
    "webroots._lines": (lambda path: webroots._lines(str(path)), []),
    "installations._snap_version": (lambda path: installations._snap_version(path), ""),
    "instance.read_pid_file": (lambda path: _instance(pid_file=str(path)).read_pid_file(), None),
    "errorlog.since": (lambda path: errorlog.since(path, 0), ""),
    "modules._content": (lambda path: modules._content(str(path)), None),
    "room._places": (lambda path: room._places(Dump(files=(str(path),))), 16),
    "interpreters.of_script": (lambda path: _raises_oserror(lambda: interpreters.of_script(path)), OSError),
}
# A file's first MiBs have nothing to say here, so these answer as for an empty one.
OF_A_HUGE_ONE = {
    "plainfile.read": b"\0" * 100, "directives.lines": [], "dump.count_vhosts": 0, "envvars.read": {"SUFFIX": ""},
    "sites._behind_a_proxy": False, "installations._snap_version": "", "room._places": 16,
    "interpreters.of_script": None,
}


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "letsencrypt.log"
    os.mkfifo(path)
    yield path
    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))  # whoever still waits here goes on, and finds its end


def _in_time(call: Callable[[], Any]) -> Any:
    said: list[Any] = []

    def run() -> None:
        try:
            said.append(call())
        except BaseException as error:
            said.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert said, "it waits for somebody to write"
    if isinstance(said[0], BaseException):
        raise said[0]
    return said[0]


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_is_a_file_that_cannot_be_read(name: str, fifo: Path) -> None:
    read, nothing = READERS[name]
    assert _in_time(lambda: read(fifo)) == nothing


@pytest.mark.parametrize("name", READERS)
def test_so_are_a_directory_and_no_file_at_all(name: str, tmp_path: Path) -> None:
    read, nothing = READERS[name]
    assert read(tmp_path) == nothing
    assert read(tmp_path / "gone") == nothing


@pytest.mark.parametrize("name", READERS)
def test_a_huge_file_is_not_read_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.touch()
    os.truncate(path, HUGE_BYTES)
    before = _bytes_read()
    said = _in_time(lambda: READERS[name][0](path))
    assert _bytes_read() - before < 64 * 1024**2
    if name in OF_A_HUGE_ONE:
        assert said == OF_A_HUGE_ONE[name]


def _bytes_read() -> int:
    return int(Path("/proc/self/io").read_text("ascii").split()[1])


@pytest.mark.parametrize("name", READERS)
def test_a_link_to_a_plain_file_is_followed(name: str, tmp_path: Path) -> None:
    """Debian's sites-enabled is made of them."""
    said = ("#!/usr/bin/python3", "<VirtualHost *:80>", "ServerLimit 7",
            "RemoteIPProxyProtocol On", "A=b", "version: 2")
    (tmp_path / "file").write_text("\n".join(said) + "\n", "utf-8")
    (tmp_path / "link").symlink_to("file")
    read, nothing = READERS[name]
    assert read(tmp_path / "link") == read(tmp_path / "file") != nothing


def test_a_configuration_that_is_too_long_ends_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "long.conf"
    line = "SSLCertificateFile /etc/letsencrypt/live/a/fullchain.pem\n"
    path.write_text("ServerName first\n" + line * (FILE_LIMIT_BYTES // len(line) + 10), "utf-8")
    found = list(directives.lines(str(path)))
    assert found[0] == (1, "ServerName first") and {said for _, said in found[1:]} == {line.strip()}
    assert len(found) <= FILE_LIMIT_BYTES // len(line) + 1


def test_a_log_that_became_a_pipe_after_the_look_is_passed_over(fifo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_logs", lambda directory: [fifo])
    assert _in_time(lambda: attempts.last_run(fifo.parent, Path("/etc/letsencrypt"))) is None


def test_a_pipe_among_the_logs_is_no_log(fifo: Path) -> None:
    assert attempts._logs(fifo.parent) == []


def test_a_pipe_among_the_outcomes_is_none(tmp_path: Path) -> None:
    path = tmp_path / f"{outcomes._named('mail')}x.jsonl"
    os.mkfifo(path)
    assert _in_time(lambda: list(outcomes.left_behind(tmp_path, "mail"))) == []
    assert path.is_fifo()


def test_a_pipe_in_place_of_the_mark_holds_nobody_up(tmp_path: Path) -> None:
    mark = tmp_path / business.mark("/etc/guard.ini")
    os.mkfifo(mark)

    def look() -> bool:
        with closing(Journal.open(tmp_path, "/etc/guard.ini")) as journal:
            journal.add(Message("one", "run", "failure", "warning", "title", "body"), ["mail"], 1)
            journal.mark_business()
        return True

    try:
        assert _in_time(look)
    finally:
        os.close(os.open(mark, os.O_RDWR | os.O_NONBLOCK))


# -- who is signalled --------------------------------------------------------------------------------------------------


class _Reused:
    """A pid that was Apache's when it was judged, and another process's when it is signalled."""

    def __init__(self, pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pid, self.dump, self.judged = pid, SimpleNamespace(pid_file="/nonexistent/pid"), False
        really = processes.start_time(pid)
        assert really is not None
        # Before the judgement the pid was the older process's.
        monkeypatch.setattr(processes, "start_time", lambda one: really if self.judged or one != pid else really - 1)

    def owns(self, pid: int) -> bool:
        self.judged = True
        return pid == self.pid

    def read_pid_file(self) -> Optional[tuple[int, str]]:
        return None if self.judged else (self.pid, str(self.pid))

    def processes(self) -> list[int]:
        return [self.pid]

    def orphans(self, among: Any = None) -> list[int]:
        return [self.pid] if self.owns(self.pid) else []


@pytest.mark.parametrize("clear", [lambda instance: obstacles.clear_pid_file(instance, 0.05), obstacles.clear_orphans],
                         ids=["pid file", "orphans"])
def test_who_was_given_the_pid_meanwhile_is_not_signalled(clear: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            clear(_Reused(stranger.pid, monkeypatch))
            assert stranger.poll() is None
        finally:
            stranger.kill()


_HOLDS = """
import fcntl, os, signal, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
signal.signal(signal.SIGIO, lambda *_: fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK))
fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
while True:
    signal.pause()
"""


def test_a_file_that_a_file_server_holds_for_writing_is_waited_for_a_moment(tmp_path: Path) -> None:
    """As Samba does, and Linux's NFS server: whoever opens it gives the holder time to let go."""
    path = tmp_path / "file"
    path.write_text("said")
    with subprocess.Popen([sys.executable, "-I", "-c", _HOLDS, path], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
            assert plainfile.read(path, 100) == b"said"
        finally:
            holder.kill()
