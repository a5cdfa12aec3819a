"""CommandServer with a small web server of the test's own, started and stopped by commands."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

from certbot_guard.errors import ConfigtestError, ForeignOwnerError, RefusedError, ServerError
from certbot_guard.servers.command import CommandServer
from tests.support.apache import free_port

# A daemon: "start" returns at once, "stop" kills what the pid file names.
DAEMON = """
import http.server, os, signal, socketserver, sys
verb, port, pid_file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if verb == "stop":
    os.kill(int(open(pid_file).read()), signal.SIGTERM)
elif os.fork() == 0:
    os.setsid()
    socketserver.TCPServer.allow_reuse_address = True
    server = http.server.HTTPServer(("127.0.0.1", port), http.server.BaseHTTPRequestHandler)
    open(pid_file, "w").write(str(os.getpid()))
    null = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):
        os.dup2(null, number)
    server.serve_forever()
"""


class Daemon:
    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.pid_file = directory / "pid file"
        self.program = directory / "dae mon.py"
        self.program.write_text(DAEMON)

    def command(self, verb: str) -> str:
        return shlex.join([sys.executable, "-I", str(self.program), verb, str(self.port), str(self.pid_file)])

    def server(self, **commands: str) -> CommandServer:
        given = {
            "start": self.command("start"),
            "stop": self.command("stop"),
            "reload": None,
            "test": None,
            **commands,
        }
        return CommandServer(
            given["start"], given["stop"], given["reload"], given["test"], (self.port,), {"PATH": os.defpath}
        )

    def kill(self) -> None:
        try:
            os.kill(int(self.pid_file.read_text()), signal.SIGKILL)
        except (OSError, ValueError):
            pass


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    one = Daemon(tmp_path)
    yield one
    one.kill()


@pytest.fixture
def running(daemon: Daemon) -> Daemon:
    daemon.server().start({}, 0.0)
    return daemon


def test_stop_and_start(running: Daemon) -> None:
    server = running.server()
    snapshot = server.look()
    assert snapshot["serving"] and [one["gave"] for one in snapshot["sockets"]] == ["http"]
    server.stop(snapshot, [running.port])
    assert not server.look()["serving"] and not server.serving(snapshot)
    server.start(snapshot, 0.0)
    assert server.serving(snapshot)


def test_start_of_a_serving_server_changes_nothing(running: Daemon) -> None:
    server = running.server()
    before = running.pid_file.read_text()
    server.start(server.look(), 0.0)
    assert running.pid_file.read_text() == before


def test_claims_the_ports_that_guard_ini_names(running: Daemon) -> None:
    server = running.server()
    assert server.claims(running.port, "")
    other = Daemon(running.program.parent)
    other.pid_file = running.program.parent / "other"
    other.server().start({}, 0.0)
    try:
        with pytest.raises(ForeignOwnerError):
            server.claims(other.port, "")
    finally:
        other.kill()


def test_another_program_on_the_port_is_not_the_server(running: Daemon) -> None:
    server = running.server()
    snapshot = server.look()
    server.stop(snapshot, [running.port])
    stranger = subprocess.Popen(
        [sys.executable, "-I", "-m", "http.server", "--bind", "127.0.0.1", str(running.port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    try:
        deadline = time.monotonic() + 5
        while not server.look()["serving"] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not server.serving(snapshot)
        with pytest.raises(ForeignOwnerError, match=str(stranger.pid)):
            server.start(snapshot, 0.0)
    finally:
        stranger.kill()
        stranger.wait()
    server.start(snapshot, 0.0)
    assert server.serving(snapshot)


def test_commands_that_fail_say_so(running: Daemon) -> None:
    fails = shlex.join(["sh", "-c", "echo oh no; exit 3"])
    server = running.server(start=fails, stop=fails, reload=fails, test=fails)
    snapshot = server.look()
    with pytest.raises(ServerError, match="stop_command failed .exit code 3") as caught:
        server.stop(snapshot, [running.port])
    assert caught.value.detail == "oh no"
    with pytest.raises(ConfigtestError) as caught:
        server.check()
    assert caught.value.detail == "oh no"
    running.server().stop(snapshot, [running.port])
    with pytest.raises(ServerError, match="start_command failed"):
        server.start(snapshot, 0.0)


def test_a_stop_command_that_does_not_stop(running: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("certbot_guard.servers.command._STOP_SECONDS", 0.2)
    server = running.server(stop="true")
    with pytest.raises(ServerError, match="still listens"):
        server.stop(server.look(), [running.port])


def test_a_start_command_that_does_not_start(running: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    server = running.server(start="true")
    snapshot = server.look()
    server.stop(snapshot, [running.port])
    monkeypatch.setattr("certbot_guard.servers.serving.START_SECONDS", 0.3)
    with pytest.raises(ServerError, match="does not serve"):
        server.start(snapshot, 0.0)


def test_commands_are_words_and_no_shell(running: Daemon, tmp_path: Path) -> None:
    server = running.server(test=f"test ok = ok '$(touch {tmp_path}/shell)' ; touch {tmp_path}/shell")
    with pytest.raises(ConfigtestError):
        server.check()
    assert not (tmp_path / "shell").exists()


def test_a_command_that_does_not_exist(running: Daemon) -> None:
    with pytest.raises(ServerError, match="/no/such/program"):
        running.server(test="/no/such/program -t").check()


def test_reload(running: Daemon, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="reload_command"):
        running.server().reload()
    running.server(reload=f"touch {tmp_path}/reloaded").reload()
    assert (tmp_path / "reloaded").exists()
    with pytest.raises(ConfigtestError):
        running.server(reload="true", test="false").reload()
    with pytest.raises(ServerError, match="exit code 1"):
        running.server(reload="false").reload()


def test_a_reload_that_kills_the_server_is_noticed(running: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("certbot_guard.servers.serving.START_SECONDS", 0.3)
    with pytest.raises(ServerError, match="does not serve"):
        running.server(reload=running.command("stop")).reload()


def test_reload_of_what_does_not_run_is_refused(daemon: Daemon) -> None:
    with pytest.raises(RefusedError):
        daemon.server(reload="true").reload()
