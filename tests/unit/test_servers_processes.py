"""Processes and sockets, as /proc shows them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

from certbot_guard.servers import processes, sockets
from certbot_guard.servers.sockets import Listener


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(["sleep", "60"])
    deadline = time.monotonic() + 5
    while not processes.arguments(process.pid) and time.monotonic() < deadline:
        time.sleep(0.001)  # it may be half way through its exec, which shows none
    yield process
    process.kill()
    process.wait()


def test_a_live_process_is_known_by_its_start_time(sleeper: subprocess.Popen) -> None:
    started = processes.start_time(sleeper.pid)
    assert started and processes.alive(sleeper.pid, started) and not processes.alive(sleeper.pid, started + 1)
    assert processes.parent(sleeper.pid) == os.getpid() and sleeper.pid in processes.children(os.getpid())
    assert processes.arguments(sleeper.pid) == ["sleep", "60"]
    assert processes.describe(sleeper.pid).endswith(f"pid {sleeper.pid})")
    assert processes.shares_our_world(sleeper.pid)


def test_a_zombie_is_dead(sleeper: subprocess.Popen) -> None:
    started = processes.start_time(sleeper.pid)
    os.kill(sleeper.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while processes.alive(sleeper.pid, started) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Path(f"/proc/{sleeper.pid}").exists() and processes.start_time(sleeper.pid) is None
    assert not processes.signal_process(sleeper.pid, started, signal.SIGTERM)


def test_nobody_but_the_process_with_that_start_time_is_signalled(sleeper: subprocess.Popen) -> None:
    started = processes.start_time(sleeper.pid)
    assert started is not None
    assert not processes.signal_process(sleeper.pid, started + 1, signal.SIGKILL)
    assert not processes.signal_process(sleeper.pid, None, signal.SIGKILL)
    assert not processes.signal_process(1, processes.start_time(1), 0)
    assert sleeper.poll() is None
    assert processes.signal_process(sleeper.pid, started, signal.SIGKILL)
    assert sleeper.wait(5) == -signal.SIGKILL


def test_what_is_gone_is_unknown() -> None:
    gone = 2**22 + 1
    assert processes.start_time(gone) is None and processes.executable(gone) == ""
    assert processes.arguments(gone) == [] and processes.unit(gone) is None and processes.parent(gone) == 0
    assert not processes.shares_our_world(gone) and not processes.signal_process(gone, 1, signal.SIGTERM)


def test_a_program_that_was_replaced_keeps_its_name(tmp_path: Path) -> None:
    program = tmp_path / "apache2 (x) y"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    process = subprocess.Popen([str(program), "60"])
    try:
        program.unlink()
        assert processes.executable(process.pid) == str(program)
        assert processes.parent(process.pid) == os.getpid()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "lines, unit",
    [
        ("0::/system.slice/apache2.service\n", "apache2.service"),
        ("0::/system.slice/system-apache2.slice/apache2@two.service/worker\n", "apache2@two.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/apache2.service\n", "user@1000.service"),
        ("5:memory:/x.service\n1:name=systemd:/system.slice/httpd.service\n", "httpd.service"),
        ("0::/user.slice/user-0.slice/session-3.scope\n", "session-3.scope"),
        ("0::/\n", None),
        ("", None),
        ("nonsense\n", None),
    ],
)
def test_unit(monkeypatch: pytest.MonkeyPatch, lines: str, unit: str) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_: lines)
    assert processes.unit(7) == unit


@pytest.mark.parametrize("family, address", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_listening_socket_is_found_with_its_owner(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family) as server:
        server.bind((address, 0))
        port = server.getsockname()[1]
        assert not sockets.is_listening(port)
        server.listen()
        found = sockets.listeners([port])
        assert [(one.address, one.port) for one in found] == [(address, port)]
        assert sockets.owners(found) == {found[0]: [os.getpid()]}
        assert processes.listening_pids(port) == {os.getpid()} and processes.is_listening(port)
        assert found[0].inode in sockets.inodes_listening() and found[0] in sockets.of_processes(
            [os.getpid()]
        )
    assert not sockets.is_listening(port)


def test_listeners_are_found_behind_many_connections() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(512)
        port = server.getsockname()[1]
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
        try:
            with socket.socket() as late:
                late.bind(("127.0.0.1", 0))
                late.listen()
                assert sockets.is_listening(port) and sockets.is_listening(late.getsockname()[1])
        finally:
            for client in clients:
                client.close()


@pytest.mark.parametrize(
    "listening, address, meets",
    [
        ("0.0.0.0", "", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "::1", False),
        ("::", "", True),
        ("::", "127.0.0.1", True),
        ("::", "::1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "0.0.0.0", True),
        ("::1", "127.0.0.1", False),
        ("::1", "::", True),
        ("127.0.0.1", "", True),
    ],
)
def test_who_is_in_the_way(listening: str, address: str, meets: bool) -> None:
    assert Listener(listening, 80, 1).in_the_way_of(address, 80) is meets
    assert not Listener(listening, 80, 1).in_the_way_of(address, 81)


@pytest.mark.parametrize(
    "listening, address, covers",
    [
        ("0.0.0.0", "127.0.0.1", True),
        ("::", "0.0.0.0", True),
        ("::", "::1", True),
        ("0.0.0.0", "::", False),
        ("127.0.0.1", "0.0.0.0", False),
        ("::1", "::1", True),
    ],
)
def test_who_answers(listening: str, address: str, covers: bool) -> None:
    assert Listener(listening, 80, 1).covers(address, 80) is covers


def test_a_process_in_another_network_namespace_is_not_of_our_world() -> None:
    process = subprocess.Popen(
        ["unshare", "--net", sys.executable, "-c", "print('in', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "in\n":
            pytest.skip("no right to make a network namespace")
        assert not processes.shares_our_world(process.pid)
    finally:
        process.kill()
        process.communicate()
