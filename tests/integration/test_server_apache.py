"""ApacheServer against a real Apache of its own, seen from outside: does a visitor get an answer?"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Iterator

import pytest

from certbot_guard.errors import ConfigtestError, ForeignOwnerError, LeftDownError, RefusedError, ServerError
from certbot_guard.servers import processes
from certbot_guard.servers.apache import ApacheServer, find_program
from tests.support.apache import PrivateApache, control_program, free_port, make_certificate

pytestmark = [
    pytest.mark.skipif(control_program() is None, reason="Apache is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]
DRAIN_SECONDS = 0.3


@pytest.fixture
def apache() -> Iterator[PrivateApache]:
    with PrivateApache() as private:
        yield private


@pytest.fixture
def running(apache: PrivateApache) -> PrivateApache:
    return apache.start()


def controller(apache: PrivateApache) -> ApacheServer:
    program = find_program(apache.environment)
    assert program is not None
    return ApacheServer(program, apache.environment)


def stopped(apache: PrivateApache) -> tuple[ApacheServer, dict]:
    """The controller of an Apache that it has just stopped, and the snapshot from before."""
    server = controller(apache)
    snapshot = server.look()
    server.stop(snapshot, [apache.http_port])
    return server, snapshot


def until(condition, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def port_is_free(apache: PrivateApache) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((apache.address, apache.http_port))
        except OSError:
            return False
    return True


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen]:
    """A live process that has nothing to do with Apache."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


# -- looking -------------------------------------------------------------------------------------------------


def test_look_names_each_socket_and_what_it_gives(running: PrivateApache) -> None:
    found = controller(running).look()
    assert found["serving"]
    assert {(one["address"], one["port"], one["gave"]) for one in found["sockets"]} == {
        ("127.0.0.1", running.http_port, "http"),
        ("127.0.0.1", running.https_port, "tls"),
    }
    assert found["pid"] == running.parent_pid()


def test_look_at_an_apache_that_does_not_run(apache: PrivateApache) -> None:
    found = controller(apache).look()
    assert not found["serving"] and found["sockets"] == []


def test_look_works_while_the_configuration_is_broken(running: PrivateApache) -> None:
    running.break_configuration()
    found = controller(running).look()
    assert found["serving"] and found["pid"] == running.parent_pid()


def test_a_proxy_protocol_listener_is_a_healthy_connection() -> None:
    with PrivateApache(tls=False) as apache:
        apache.append("RemoteIPProxyProtocol On\n")
        apache.ctl("start")
        assert until(lambda: apache.parent_pid() is not None)
        server = controller(apache)
        snapshot = server.look()
        assert [one["gave"] for one in snapshot["sockets"]] == ["connection"]
        server.stop(snapshot, [apache.http_port])
        server.start(snapshot, DRAIN_SECONDS)
        assert server.serving(snapshot)
        with socket.create_connection((apache.address, apache.http_port), timeout=2) as visitor:
            visitor.sendall(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\nGET / HTTP/1.0\r\n\r\n")
            assert visitor.recv(100).startswith(b"HTTP/1.1 200")


def test_an_ipv6_only_apache_is_stopped_and_started() -> None:
    with PrivateApache(address="::1") as apache:
        apache.start()
        server, snapshot = stopped(apache)
        assert {one["address"] for one in snapshot["sockets"]} == {"::1"}
        assert apache.get() is None
        server.start(snapshot, DRAIN_SECONDS)
        assert apache.serves()


def test_a_wildcard_listener_is_claimed_for_ipv4_and_ipv6() -> None:
    port = free_port()
    with PrivateApache(tls=False, http_port=port, listen=[str(port)]) as apache:
        apache.start()
        server = controller(apache)
        assert server.claims(port, "") and server.claims(port, "127.0.0.1")
        assert [one["gave"] for one in server.look()["sockets"]] == ["http"] * len(server.look()["sockets"])


def test_a_parent_that_listens_but_does_not_answer_counts_as_serving(running: PrivateApache) -> None:
    server = controller(running)
    snapshot = server.look()
    frozen = running.processes()
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert server.look()["serving"]
        assert server.serving(snapshot)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)


def test_a_standalone_server_on_the_port_is_not_taken_for_apache(running: PrivateApache) -> None:
    server, snapshot = stopped(running)
    with listening_stranger(running.http_port):
        assert not server.serving(snapshot)


# -- whose port ----------------------------------------------------------------------------------------------


class listening_stranger:
    """A program that is not Apache, answering HTTP on a port."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __enter__(self) -> subprocess.Popen:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "http.server", "--bind", "127.0.0.1", str(self._port)],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert until(lambda: processes.is_listening(self._port))
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def test_claims_its_own_port(running: PrivateApache) -> None:
    assert controller(running).claims(running.http_port, "")
    assert controller(running).claims(running.http_port, "127.0.0.1")
    assert not controller(running).claims(running.http_port, "127.0.0.2")


def test_claims_nothing_where_nobody_listens(apache: PrivateApache) -> None:
    assert not controller(apache).claims(apache.http_port, "")


def test_a_stranger_on_the_port_is_named(apache: PrivateApache) -> None:
    with listening_stranger(apache.http_port) as process, pytest.raises(ForeignOwnerError) as caught:
        controller(apache).claims(apache.http_port, "")
    assert f"(pid {process.pid})" in caught.value.owner and caught.value.port == apache.http_port


def test_a_second_apache_is_a_stranger(running: PrivateApache) -> None:
    with PrivateApache() as other:
        other.start()
        with pytest.raises(ForeignOwnerError, match="apache2"):
            controller(running).claims(other.http_port, "")


def test_an_apache_under_a_supervisor_is_not_ours_to_stop(apache: PrivateApache) -> None:
    supervisor = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys; subprocess.run(sys.argv[1:])",
            apache.program,
            "-DFOREGROUND",
        ],
        env={**apache.environment, "PATH": os.environ["PATH"]},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert until(apache.serves)
        with pytest.raises(ForeignOwnerError):
            controller(apache).claims(apache.http_port, "")
    finally:
        supervisor.kill()
        apache.kill()
        supervisor.wait()


# -- check ---------------------------------------------------------------------------------------------------


def test_check_passes_and_changes_nothing(running: PrivateApache) -> None:
    before = running.parent_pid()
    controller(running).check()
    assert running.parent_pid() == before and running.serves()


def test_check_fails_on_a_syntax_error(running: PrivateApache) -> None:
    running.break_configuration()
    with pytest.raises(ConfigtestError) as caught:
        controller(running).check()
    assert "ThisDirectiveDoesNotExist" in caught.value.detail


def test_check_fails_on_a_missing_certificate(running: PrivateApache) -> None:
    running.certificate.unlink()
    with pytest.raises(ConfigtestError):
        controller(running).check()


def break_pair(apache: PrivateApache, how: str) -> None:
    certificate, key = make_certificate()
    if how == "mismatch":
        apache.certificate.write_bytes(certificate)
    elif how == "corrupt certificate":
        apache.certificate.write_bytes(certificate.replace(b"A", b"!"))
    elif how == "corrupt key":
        apache.write_certificate(certificate, key[: len(key) // 2])
    elif how == "encrypted key":
        apache.write_certificate(*make_certificate(password=b"secret"))
    elif how == "corrupt chain":
        chain = apache.root / "tls" / "chain.pem"
        chain.write_bytes(certificate.replace(b"A", b"!"))
        apache.add_vhost(
            "default-tls",
            certificate=apache.certificate,
            key=apache.key,
            extra=f"SSLCertificateChainFile {chain}",
        )


@pytest.mark.parametrize(
    "how", ["mismatch", "corrupt certificate", "corrupt key", "encrypted key", "corrupt chain"]
)
def test_what_configtest_passes_and_apache_does_not_start_with_is_refused(
    apache: PrivateApache, how: str
) -> None:
    break_pair(apache, how)
    # the fact this rests on: configtest says yes, and Apache does not start
    assert apache.ctl("configtest").returncode == 0
    apache.ctl("start")
    assert not until(apache.serves, 1.0)
    with pytest.raises(ConfigtestError) as caught:
        controller(apache).check()
    assert str(apache.root) in str(caught.value) and "default-tls.conf:" in str(caught.value)


def test_a_pair_among_hundreds_of_hosts_is_checked(running: PrivateApache) -> None:
    for number in range(400):
        running.add_vhost(f"a-host-with-a-long-name-{number}")
    controller(running).check()
    # the first of all files that Apache lists, far from the end of its answer
    running.add_vhost("a", certificate=running.certificate, key=running.key)
    running.certificate.write_bytes(make_certificate()[0])
    with pytest.raises(ConfigtestError, match="does not fit"):
        controller(running).check()


def test_a_key_inside_the_certificate_file_is_found(running: PrivateApache) -> None:
    certificate, key = make_certificate()
    running.certificate.write_bytes(key + certificate)
    running.add_vhost("default-tls", certificate=running.certificate)
    controller(running).check()
    controller(running).reload()
    running.certificate.write_bytes(make_certificate()[1] + certificate)
    with pytest.raises(ConfigtestError, match="does not fit"):
        controller(running).check()


# -- stop ----------------------------------------------------------------------------------------------------


def test_stop_frees_the_port(running: PrivateApache) -> None:
    stopped(running)
    assert port_is_free(running) and running.get() is None


def test_stop_frees_the_port_at_once_while_a_visitor_downloads(running: PrivateApache) -> None:
    with running.slow_visitor() as visitor:
        began = time.monotonic()
        stopped(running)
        assert time.monotonic() - began < 1.0
        assert port_is_free(running)
        assert visitor.recv(10)  # and the visitor goes on


def test_stop_works_with_a_broken_configuration(running: PrivateApache) -> None:
    server = controller(running)
    snapshot = server.look()
    running.break_configuration()
    server.stop(snapshot, [running.http_port])
    assert port_is_free(running)


def test_stop_signals_nobody_but_the_process_of_the_snapshot(running: PrivateApache) -> None:
    server = controller(running)
    snapshot = {**server.look(), "start_time": 1}
    with pytest.raises(ServerError):
        server.stop(snapshot, [running.http_port])
    assert running.serves()


def test_stop_ends_orphans(running: PrivateApache) -> None:
    running.kill_parent_only()
    server, snapshot = stopped(running)
    assert snapshot["serving"] and snapshot["pid"] is None
    assert port_is_free(running) and running.processes() == []


# -- start ---------------------------------------------------------------------------------------------------


def test_start_brings_every_socket_back(running: PrivateApache) -> None:
    server, snapshot = stopped(running)
    server.start(snapshot, DRAIN_SECONDS)
    assert running.serves() and server.serving(snapshot)


def test_start_of_a_serving_apache_changes_nothing(running: PrivateApache) -> None:
    server = controller(running)
    before = running.parent_pid()
    server.start(server.look(), DRAIN_SECONDS)
    server.start({}, DRAIN_SECONDS)
    assert running.parents() == [before]


def test_start_without_a_snapshot(apache: PrivateApache) -> None:
    controller(apache).start({}, DRAIN_SECONDS)
    assert apache.serves()


def test_start_beside_a_draining_parent_leaves_its_visitor_alone(running: PrivateApache) -> None:
    with running.slow_visitor() as visitor:
        server, snapshot = stopped(running)
        server.start(snapshot, DRAIN_SECONDS)
        assert running.serves() and len(running.parents()) == 2
        assert visitor.recv(10)


def test_start_after_somebodys_stop_whose_parent_takes_its_time(running: PrivateApache) -> None:
    server = controller(running)
    snapshot = server.look()
    with running.slow_visitor():
        os.kill(snapshot["pid"], signal.SIGTERM)
        assert until(lambda: running.get(seconds=0.2) is None)
        server.start(snapshot, DRAIN_SECONDS)
        assert running.serves()
        time.sleep(1.5)
        assert running.serves()


def test_start_after_the_parent_was_killed_and_orphans_serve(running: PrivateApache) -> None:
    server = controller(running)
    snapshot = server.look()
    killed = running.kill_parent_only()
    server.start(snapshot, DRAIN_SECONDS)
    assert running.serves()
    assert running.parent_pid() not in (None, killed) and len(running.parents()) == 1


def test_start_after_everything_was_killed(running: PrivateApache) -> None:
    server = controller(running)
    snapshot = server.look()
    running.kill()
    server.start(snapshot, DRAIN_SECONDS)
    assert running.serves()


def test_a_start_that_somebody_elses_start_has_overtaken(running: PrivateApache) -> None:
    """Ours finds the ports taken, and no pid file yet: what serves is this Apache all the same."""
    server, snapshot = stopped(running)
    marker, pid = running.root / "overtaken", running.pid_file
    with running.control_runs_first(f"""case "$*" in *start*) if [ ! -e {marker} ]; then
  touch {marker}; "$0" start; while [ ! -s {pid} ]; do sleep 0.01; done
  mv {pid} {pid}.away; (sleep 0.7; mv {pid}.away {pid}) >/dev/null 2>&1 &
fi;; esac"""):
        server.start(snapshot, DRAIN_SECONDS)
    assert marker.exists() and running.serves() and until(lambda: len(running.parents()) == 1)


@pytest.mark.parametrize("content", ["", "garbage\n", "99999999999999999999\n", "0\n", "-1\n"])
def test_start_with_a_pid_file_that_names_nobody(running: PrivateApache, content: str) -> None:
    server, snapshot = stopped(running)
    running.pid_file.write_text(content)
    server.start(snapshot, DRAIN_SECONDS)
    assert running.serves()


def test_start_with_a_pid_file_that_names_a_stranger(
    running: PrivateApache, stranger: subprocess.Popen
) -> None:
    server, snapshot = stopped(running)
    running.pid_file.write_text(f"{stranger.pid}\n")
    server.start(snapshot, DRAIN_SECONDS)
    assert running.serves() and stranger.poll() is None


def test_start_with_a_pid_file_that_names_another_apache(running: PrivateApache) -> None:
    server, snapshot = stopped(running)
    with PrivateApache() as other:
        other.start()
        running.pid_file.write_text(f"{other.parent_pid()}\n")
        server.start(snapshot, DRAIN_SECONDS)
        assert running.serves() and other.serves()


def test_start_with_a_stranger_on_the_port_names_it_and_works_when_it_is_gone(running: PrivateApache) -> None:
    server, snapshot = stopped(running)
    with listening_stranger(running.http_port) as process:
        with pytest.raises(ForeignOwnerError) as caught:
            server.start(snapshot, DRAIN_SECONDS)
        assert f"(pid {process.pid})" in caught.value.owner and process.poll() is None
    server.start(snapshot, DRAIN_SECONDS)
    assert running.serves()


def test_start_without_a_snapshot_names_the_stranger_too(apache: PrivateApache) -> None:
    with listening_stranger(apache.http_port) as process:
        with pytest.raises(ForeignOwnerError) as caught:
            controller(apache).start({}, DRAIN_SECONDS)
        assert f"(pid {process.pid})" in caught.value.owner and "could not bind" in caught.value.detail


def test_start_with_a_broken_configuration_says_what_apache_says_and_works_when_mended(
    running: PrivateApache,
) -> None:
    server, snapshot = stopped(running)
    running.break_configuration()
    with pytest.raises(ServerError) as caught:
        server.start(snapshot, DRAIN_SECONDS)
    assert "ThisDirectiveDoesNotExist" in caught.value.detail
    running.mend_configuration()
    server.start(snapshot, DRAIN_SECONDS)
    assert running.serves()


def test_start_by_a_controller_made_while_the_configuration_is_broken(running: PrivateApache) -> None:
    _, snapshot = stopped(running)
    running.break_configuration()
    server = controller(running)
    with pytest.raises(ServerError):
        server.start(snapshot, DRAIN_SECONDS)
    running.mend_configuration()
    server.start(snapshot, DRAIN_SECONDS)
    assert running.serves()


def test_start_with_a_certificate_that_does_not_fit_quotes_the_error_log(running: PrivateApache) -> None:
    server, snapshot = stopped(running)
    running.certificate.write_bytes(make_certificate()[0])
    began = time.monotonic()
    with pytest.raises(ServerError) as caught:
        server.start(snapshot, DRAIN_SECONDS)
    assert time.monotonic() - began < 3.0
    assert "AH02565" in caught.value.detail or "do not match" in caught.value.detail.lower()


def test_start_notices_a_parent_that_dies_after_exit_code_0(running: PrivateApache, tmp_path: Path) -> None:
    server, snapshot = stopped(running)
    # no room for the pid file: exit code 0, then it dies (AH10231)
    running.pid_file.unlink(missing_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k,mode=755", "tmpfs", str(running.run_directory)], check=True
    )
    try:
        (running.run_directory / "full").write_bytes(b"x" * 4096)
        began = time.monotonic()
        with pytest.raises(ServerError):
            server.start(snapshot, DRAIN_SECONDS)
        assert time.monotonic() - began < 5.0
        (running.run_directory / "full").unlink()
        server.start(snapshot, DRAIN_SECONDS)
        assert running.serves()
    finally:
        running.kill()
        subprocess.run(["umount", "-l", str(running.run_directory)], check=True)


def test_an_apache_that_somebody_stopped_after_it_served_again_is_left_down(running: PrivateApache) -> None:
    server, snapshot = stopped(running)
    server.start(snapshot, DRAIN_SECONDS)
    running.ctl("stop")
    assert until(lambda: running.parent_pid() is None)
    with pytest.raises(LeftDownError):
        server.start(snapshot, DRAIN_SECONDS)
    assert not running.serves()


def test_an_apache_that_died_after_it_served_again_is_started(running: PrivateApache) -> None:
    server, snapshot = stopped(running)
    server.start(snapshot, DRAIN_SECONDS)
    running.kill()
    server.start(snapshot, DRAIN_SECONDS)
    assert running.serves()


def test_start_twice_at_once_leaves_one_apache(running: PrivateApache) -> None:
    _, snapshot = stopped(running)
    running.kill()
    failures = []

    def start() -> None:
        try:
            controller(running).start(snapshot, DRAIN_SECONDS)
        except ServerError as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert until(running.serves) and len(failures) <= 1
    controller(running).start(snapshot, DRAIN_SECONDS)
    assert len(running.parents()) == 1


def test_a_started_apache_inherits_nothing_and_can_be_signalled(
    running: PrivateApache, tmp_path: Path
) -> None:
    server, snapshot = stopped(running)
    running.kill()
    with open(tmp_path / "lock", "w") as lock:
        os.set_inheritable(lock.fileno(), True)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGWINCH})
        try:
            server.start(snapshot, DRAIN_SECONDS)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    parent = running.parent_pid()
    links = [os.readlink(f"/proc/{parent}/fd/{number}") for number in os.listdir(f"/proc/{parent}/fd")]
    assert not [link for link in links if "lock" in link or "memfd" in link]
    status = Path(f"/proc/{parent}/status").read_text()
    assert int(status.split("SigBlk:")[1].split()[0], 16) == 0
    assert os.readlink(f"/proc/{parent}/cwd") == "/"


def test_the_end_of_a_start_is_noticed_though_apache_keeps_stdout(apache: PrivateApache) -> None:
    # a piped logger that keeps what it inherits
    apache.append('CustomLog "|/bin/cat" common\n')
    began = time.monotonic()
    controller(apache).start({}, DRAIN_SECONDS)
    assert apache.serves() and time.monotonic() - began < 3.0


# -- reload --------------------------------------------------------------------------------------------------


def test_reload_loads_the_new_certificate(running: PrivateApache) -> None:
    before, parent = running.tls_certificate(), running.parent_pid()
    running.write_certificate(*make_certificate())
    controller(running).reload()
    assert running.parent_pid() == parent
    assert until(lambda: running.tls_certificate() not in (None, before))


def test_reload_refuses_what_would_kill_apache(running: PrivateApache) -> None:
    running.certificate.write_bytes(make_certificate()[0])
    with pytest.raises(ConfigtestError):
        controller(running).reload()
    time.sleep(0.5)
    assert running.serves()


def test_reload_refuses_a_broken_configuration(running: PrivateApache) -> None:
    running.break_configuration()
    with pytest.raises(ConfigtestError):
        controller(running).reload()
    assert running.serves()


def test_reload_does_not_start_an_apache_that_does_not_run(apache: PrivateApache) -> None:
    with pytest.raises(RefusedError):
        controller(apache).reload()
    assert apache.processes() == []


def test_reload_notices_that_apache_dies(running: PrivateApache, monkeypatch: pytest.MonkeyPatch) -> None:
    server = controller(running)
    server.instance.read_dump()
    running.certificate.write_bytes(make_certificate()[0])
    monkeypatch.setattr(server, "check", lambda: None)  # as if it had been broken just after the check
    with pytest.raises(ServerError, match="died") as caught:
        server.reload()
    assert caught.value.detail
    assert not running.serves()
