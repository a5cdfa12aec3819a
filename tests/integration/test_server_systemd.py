"""SystemdServer under a real systemd with the distribution's apache2.service, as a visitor sees it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest

from tests.support.box import BOX, CHECKOUT, booted

DRIVER = CHECKOUT / "tests" / "integration" / "server_driver.py"
SNAPSHOT = "/run/snapshot.json"
UNIT = "apache2.service"


class Box:
    """A booted systemd with apache2.service on port 80."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(BOX), "run", str(self.directory), *words],
            capture_output=True,
            text=True,
            timeout=90,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode:
            raise AssertionError(f"{words}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def shell(self, line: str, check: bool = True) -> str:
        return self.run("sh", "-c", line, check=check).stdout

    def call(
        self, method: str, *arguments: str, control: str = "auto", environment: tuple[str, ...] = ()
    ) -> dict:
        done = self.run("env", *environment, sys.executable, str(DRIVER), control, method, *arguments)
        return json.loads(done.stdout)

    def ok(self, method: str, *arguments: str, **options: Any) -> dict:
        answer = self.call(method, *arguments, **options)
        assert answer["error"] is None, answer
        return answer

    def look(self, **options: Any) -> dict:
        return self.ok("look", f">{SNAPSHOT}", **options)["result"]

    def stop(self, **options: Any) -> dict:
        """Stop it as a pre hook does; the snapshot from before is kept."""
        self.look(**options)
        return self.ok("stop", f"@{SNAPSHOT}", "[80]", **options)

    def start(self, drain_seconds: float = 0.5, **options: Any) -> dict:
        return self.call("start", f"@{SNAPSHOT}", str(drain_seconds), **options)

    def serves(self, port: int = 80) -> bool:
        line = (
            f"import socket; s = socket.create_connection(('127.0.0.1', {port}), 3); "
            "s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); print(s.recv(5).decode())"
        )
        return self.run(sys.executable, "-I", "-c", line, check=False).stdout.startswith("HTTP/")

    def state(self, unit: str = UNIT) -> str:
        return self.run("systemctl", "is-active", unit, check=False).stdout.strip()

    def slow_visitor(self) -> subprocess.Popen:
        """A visitor in the middle of a download, until :func:`leave`."""
        line = (
            "import socket, sys; s = socket.socket(); s.setsockopt(1, 8, 4096); "
            "s.connect(('127.0.0.1', 80)); s.sendall(b'GET /slow.bin HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'); "
            "s.recv(64); print('here', flush=True); "
            "sys.stdin.read()"
        )
        process = subprocess.Popen(
            [str(BOX), "run", str(self.directory), sys.executable, "-I", "-c", line],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        return process


def leave(visitor: subprocess.Popen) -> None:
    assert visitor.stdin is not None
    visitor.stdin.close()
    visitor.wait(10)


@pytest.fixture(scope="module")
def with_apache() -> Iterator[Box]:
    with booted(UNIT) as directory:
        yield Box(directory)


@pytest.fixture
def box(with_apache: Box) -> Iterator[Box]:
    with_apache.shell(
        "truncate -s 32M /var/www/html/slow.bin; rm -f /etc/apache2/conf-enabled/broken.conf; "
        f"systemctl unmask {UNIT}; systemctl enable {UNIT}; systemctl kill -s KILL {UNIT}; "
        f"pkill -KILL -x apache2; sleep 0.05; rm -f /run/apache2/apache2.pid; "
        f"systemctl reset-failed {UNIT}; systemctl restart {UNIT}",
        check=False,
    )
    assert with_apache.serves()
    yield with_apache


def test_auto_finds_the_unit(box: Box) -> None:
    answer = box.ok("-")
    assert (answer["name"], answer["class"], answer["identity"]) == (UNIT, "SystemdServer", "apache:default")
    assert box.ok("-", control="systemd:apache2")["name"] == UNIT
    assert box.ok("-", control="apachectl")["name"] == UNIT


def test_an_unknown_unit_is_a_clear_error(box: Box) -> None:
    answer = box.call("-", control="systemd:nosuch")
    assert answer["error"] == "ServerError" and "nosuch.service" in answer["text"]


def test_stop_and_start(box: Box) -> None:
    assert box.ok("check")["error"] is None
    assert box.ok("claims", "80", '""')["result"] is True
    took = box.stop()["seconds"]
    assert not box.serves() and took < 1.0
    answer = box.start()
    assert answer["error"] is None and box.serves() and box.state() == "active"
    assert box.ok("serving", f"@{SNAPSHOT}")["result"] is True
    print(f"stop {took:.3f} s, start {answer['seconds']:.3f} s")


def test_a_slow_visitor_holds_up_the_start_for_no_longer_than_drain(box: Box) -> None:
    visitor = box.slow_visitor()
    try:
        assert box.stop()["seconds"] < 1.0
        answer = box.start(drain_seconds=0.5)
        assert answer["error"] is None and box.serves() and answer["seconds"] < 2.0
        time.sleep(1.5)
        assert box.serves() and box.state() == "active"
    finally:
        leave(visitor)


def test_a_visitor_who_ends_within_drain_is_not_cut(box: Box) -> None:
    visitor = box.slow_visitor()
    box.stop()
    leave(visitor)
    answer = box.start(drain_seconds=20)
    assert answer["error"] is None and box.serves() and answer["seconds"] < 5.0


def test_start_after_somebodys_graceful_stop(box: Box) -> None:
    """The surprise that kills sites: the draining parent keeps the unit active, and a start does nothing."""
    box.look()
    visitor = box.slow_visitor()
    try:
        box.run("apachectl", "graceful-stop")
        time.sleep(0.1)
        assert not box.serves() and box.state() in ("active", "deactivating")
        assert box.start(drain_seconds=0.5)["error"] is None
        assert box.serves()
        time.sleep(1.5)
        assert box.serves()
    finally:
        leave(visitor)


def test_start_of_a_serving_unit_changes_nothing(box: Box) -> None:
    before = box.look()["pid"]
    assert box.start()["error"] is None
    assert box.look()["pid"] == before


def test_the_start_limit_is_no_obstacle(box: Box) -> None:
    for _ in range(7):
        box.stop()
        assert box.start()["error"] is None
    assert box.serves()


def test_a_unit_that_failed_into_its_start_limit_is_started_again(box: Box) -> None:
    box.stop()
    box.shell("echo Broken > /etc/apache2/conf-enabled/broken.conf")
    for _ in range(7):
        box.run("systemctl", "start", UNIT, check=False)
    answer = box.start()
    assert answer["error"] == "ServerError" and "Broken" in answer["detail"]
    box.shell("rm /etc/apache2/conf-enabled/broken.conf")
    assert box.start()["error"] is None and box.serves()


def test_what_requires_apache_is_started_again(box: Box) -> None:
    box.shell(
        "printf '[Service]\\nExecStart=/bin/sleep 1000\\n[Unit]\\nRequires=apache2.service\\n"
        "After=apache2.service\\n' > /etc/systemd/system/needs.service; "
        "printf '[Service]\\nExecStart=/bin/sleep 1000\\n[Unit]\\nBindsTo=needs.service\\n"
        "After=needs.service\\n' > /etc/systemd/system/needs2.service; "
        "systemctl daemon-reload; systemctl start needs2"
    )
    try:
        assert box.state("needs2") == "active"
        box.stop()
        assert box.state("needs") != "active"
        assert box.start()["error"] is None
        deadline = time.monotonic() + 5
        while box.state("needs2") != "active" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert box.state("needs") == box.state("needs2") == "active"
    finally:
        box.shell(
            "systemctl stop needs2 needs; rm /etc/systemd/system/needs*.service; systemctl daemon-reload",
            check=False,
        )


@pytest.mark.parametrize("decision", ["mask", "disable"])
def test_a_persons_decision_is_respected(box: Box, decision: str) -> None:
    box.stop()
    box.run("systemctl", decision, UNIT)
    answer = box.start()
    assert answer["error"] == "LeftDownError" and not box.serves()


@pytest.mark.parametrize(
    "end, error", [("systemctl stop apache2", "LeftDownError"), ("systemctl kill -s KILL apache2", None)]
)
def test_a_stop_by_somebody_after_it_served_again_is_respected_and_a_death_is_not(
    box: Box, end: str, error: Optional[str]
) -> None:
    box.stop()
    again = box.call("start", f"@{SNAPSHOT}", "0.5", f"!{end}; sleep 0.3")
    assert again["error"] == error and box.serves() is (error is None)


def test_a_unit_that_was_disabled_all_along_is_started(box: Box) -> None:
    box.run("systemctl", "disable", UNIT)
    box.stop()
    assert box.start()["error"] is None and box.serves()


def test_a_pid_file_of_a_stranger_is_no_obstacle(box: Box) -> None:
    box.stop()
    box.shell(
        "systemctl kill -s KILL apache2; sleep 300 >/dev/null 2>&1 & "
        "echo $! > /run/apache2/apache2.pid; cp /run/apache2/apache2.pid /run/stranger"
    )
    assert box.start()["error"] is None and box.serves()
    box.shell("kill -0 $(cat /run/stranger)")


@pytest.mark.parametrize("content", ["", "garbage"])
def test_a_pid_file_that_names_nobody_is_no_obstacle(box: Box, content: str) -> None:
    box.stop()
    box.shell(f"systemctl kill -s KILL apache2; printf '{content}' > /run/apache2/apache2.pid")
    assert box.start()["error"] is None and box.serves()


def test_a_killed_parent_is_no_obstacle(box: Box) -> None:
    parent = box.look()["pid"]
    box.run("kill", "-KILL", str(parent))
    assert box.start()["error"] is None and box.serves() and box.state() == "active"


def test_a_stranger_on_the_port_is_named(box: Box) -> None:
    box.stop()
    box.run("systemd-run", "--unit=stranger", sys.executable, "-I", "-m", "http.server", "80")
    try:
        time.sleep(0.5)
        answer = box.call("claims", "80", '""')
        assert answer["error"] == "ForeignOwnerError" and "python" in answer["owner"]
        answer = box.start()
        assert answer["error"] == "ForeignOwnerError" and "python" in answer["owner"]
        assert box.ok("serving", f"@{SNAPSHOT}")["result"] is False
    finally:
        box.run("systemctl", "stop", "stranger")
    assert box.start()["error"] is None and box.serves()


def test_a_broken_configuration_is_told_and_mended(box: Box) -> None:
    box.stop()
    box.shell("echo Broken > /etc/apache2/conf-enabled/broken.conf")
    assert box.call("check")["error"] == "ConfigtestError"
    answer = box.start()
    assert answer["error"] == "ServerError" and "Broken" in answer["detail"]
    box.shell("rm /etc/apache2/conf-enabled/broken.conf")
    assert box.start()["error"] is None and box.serves()


def test_reload(box: Box) -> None:
    before = box.look()["pid"]
    assert box.call("reload")["error"] is None
    assert box.look()["pid"] == before and box.serves()
    box.shell("echo Broken > /etc/apache2/conf-enabled/broken.conf")
    assert box.call("reload")["error"] == "ConfigtestError" and box.serves()
    box.shell("rm /etc/apache2/conf-enabled/broken.conf")
    box.stop()
    assert box.call("reload")["error"] == "RefusedError" and not box.serves()


def test_an_instance_of_debians_template_is_its_own_server(box: Box) -> None:
    box.shell(
        "cp -a /etc/apache2 /etc/apache2-two; mkdir -p /var/log/apache2-two; "
        "echo 'Listen 127.0.0.1:8080' > /etc/apache2-two/ports.conf; systemctl daemon-reload; "
        "systemctl start apache2@two"
    )
    try:
        assert box.serves(8080)
        two = {"control": "systemd:apache2@two"}
        assert box.ok("-", **two)["identity"] == "apache:/etc/apache2-two"
        assert box.ok("-", environment=("APACHE_CONFDIR=/etc/apache2-two",))["name"] == "apache2@two.service"
        assert box.call("claims", "8080", '""')["error"] == "ForeignOwnerError"
        assert box.ok("claims", "8080", '""', **two)["result"] is True
        assert box.ok("check", **two)["error"] is None
        box.look(**two)
        box.ok("stop", f"@{SNAPSHOT}", "[8080]", **two)
        assert not box.serves(8080) and box.serves(80)
        assert box.start(**two)["error"] is None and box.serves(8080)
    finally:
        box.shell("systemctl stop apache2@two; rm -rf /etc/apache2-two", check=False)


def test_an_apache_outside_every_unit_survives_the_unit_that_started_it(box: Box) -> None:
    """A private instance has no unit: it is started in a scope of its own, not in certbot's."""
    box.shell(
        "cp -a /etc/apache2 /etc/private-apache; "
        "echo 'Listen 127.0.0.1:8081' > /etc/private-apache/ports.conf; "
        "sed -i 's,/apache2\\$SUFFIX,/apache2-private,' /etc/private-apache/envvars; "
        "mkdir -p /var/log/apache2-private"
    )
    private: Optional[dict] = {"environment": ("APACHE_CONFDIR=/etc/private-apache",)}
    try:
        assert box.ok("-", **private)["class"] == "ApacheServer"
        box.run(
            "systemd-run",  # returns when the oneshot has ended; its --wait would need dbus
            "--collect",
            "--property=Type=oneshot",
            "--setenv=APACHE_CONFDIR=/etc/private-apache",
            sys.executable,
            str(DRIVER),
            "auto",
            "start",
            "{}",
            "1",
        )
        time.sleep(0.3)
        assert box.serves(8081) and box.serves(80)
        box.look(**private)
        box.ok("stop", f"@{SNAPSHOT}", "[8081]", **private)
        assert not box.serves(8081) and box.serves(80)
    finally:
        box.shell("pkill -KILL -f private-apache; rm -rf /etc/private-apache", check=False)


def test_a_hand_started_apache_is_not_controlled_through_the_unit(box: Box) -> None:
    box.shell(
        "systemctl stop apache2; systemctl kill -s KILL apache2; sleep 0.1; "
        "APACHE_STARTED_BY_SYSTEMD=1 setsid apache2ctl start; sleep 0.3"
    )
    assert box.serves()
    assert box.ok("-")["class"] == "ApacheServer"


def test_test_command_tests_a_unit_that_is_no_apache_and_apache_is_tested_as_apache_is(box: Box) -> None:
    box.shell("printf '[Service]\\nExecStart=/bin/sleep 1000\\n' > /etc/systemd/system/other.service; "
              "systemctl daemon-reload; systemctl start other")
    failing, fine = ("TEST_COMMAND=/bin/false",), ("TEST_COMMAND=/bin/true",)
    answer = box.call("check", control="systemd:other.service", environment=failing)
    assert answer["error"] == "ConfigtestError" and "test_command of other.service fails" in answer["text"]
    box.ok("check", control="systemd:other.service", environment=fine)
    box.ok("check", control="systemd:other.service")
    box.ok("check", control=f"systemd:{UNIT}", environment=failing)
    box.shell("systemctl stop other; rm /etc/systemd/system/other.service; systemctl daemon-reload")
