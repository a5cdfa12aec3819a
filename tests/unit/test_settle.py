"""What comes before what when a run is settled. The web server is a real one, with commands of its own."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

from certbot_guard import settle
from certbot_guard.run import Run
from certbot_guard.settings import ServerConfig
from tests.support.ports import free_port
from tests.unit.test_telling import Machine

# Started, it listens, and writes renewal configurations: who reads them before the start finds none.
SERVER = """
import http.server, os, pathlib, sys
port, pid_file, renewal, names = int(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4:]
for name in names:
    (renewal / f"{name}.conf").write_text("[renewalparams]\\ninstaller = guard\\n")
server = http.server.HTTPServer(("127.0.0.1", port), http.server.BaseHTTPRequestHandler)
child = os.fork()
if child:
    pid_file.write_text(str(child))
else:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):
        os.dup2(null, number)
    server.serve_forever()
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "mail = syslog://")


@pytest.fixture
def facts(machine: Machine) -> Iterator[dict[str, Any]]:
    """Of a run whose web server is down; started, it writes the renewal configurations of b, c and d."""
    program, pid_file = machine.directory / "server.py", machine.directory / "pid"
    program.write_text(SERVER)
    port = free_port()
    start = shlex.join([sys.executable, "-I", str(program), str(port), str(pid_file),
                        str(machine.directory / "renewal"), "b", "c", "d"])
    server = ServerConfig(control="command", start_command=start, stop_command="/bin/false", listen=(port,))
    (machine.directory / "renewal" / "a.conf").write_text("[renewalparams]\ninstaller = guard\n")
    yield {"id": "20261124T041700Z-9", "host": "web1", "verb": "renew", "argv": ["renew"], "dry_run": False,
           "config_dir": str(machine.directory), "guard_config": str(machine.directory / "guard.ini"),
           "server": server.to_json(), "server_name": "the web server"}
    if pid_file.exists():
        os.kill(int(pid_file.read_text()), signal.SIGKILL)


def settled(machine: Machine, facts: dict[str, Any], *events: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What a run has come to whose certbot is gone and has noted these events."""
    run = Run.create([machine.state], facts)
    for kind, fields in events:
        run.note(kind, **fields)
    assert settle.settle(run, settle.server_of(run), deliver=False).serving
    assert settle.settle(run, settle.server_of(run), deliver=False).serving is not False  # again: no news
    return run.events()


LINEAGE = ("lineage", {"lineage": "a", "names": ["a.example"], "number": 1, "window": 1})
STOPPED = ("stopping", {"window": 1, "lineage": "a", "before": {"serving": True}})


def not_attempted(events: list[dict[str, Any]]) -> list[list[str]]:
    return [event["lineages"] for event in events if event["kind"] == "not-attempted"]


@pytest.mark.parametrize("end", [[], [("fatal", {"error": "x"}), ("exit", {})]], ids=["killed", "gave up"])
def test_the_server_serves_before_the_renewal_configurations_are_read(
        machine: Machine, facts: dict[str, Any], end: list[tuple[str, dict[str, Any]]]) -> None:
    events = settled(machine, facts, LINEAGE, STOPPED, *end)
    kinds = [event["kind"] for event in events]
    assert not_attempted(events) == [["b", "c", "d"]], kinds
    assert kinds.index("closed") < kinds.index("serving") < kinds.index("not-attempted"), kinds


def test_a_settler_that_was_killed_before_it_came_to_them_leaves_them_to_the_next(
        machine: Machine, facts: dict[str, Any]) -> None:
    assert not_attempted(settled(machine, facts, LINEAGE, STOPPED, ("closed", {}), ("died", {}))) == [["b", "c", "d"]]


def test_who_was_named_when_max_outage_had_passed_is_not_named_again(machine: Machine, facts: dict[str, Any]) -> None:
    late = ("not-attempted", {"lineages": ["b"], "reason": "max_outage had passed in this run"})
    assert not_attempted(settled(machine, facts, LINEAGE, STOPPED, late)) == [["b"], ["c", "d"]]


def test_a_certbot_that_came_to_its_end_has_left_nobody_out(machine: Machine, facts: dict[str, Any]) -> None:
    assert not not_attempted(settled(machine, facts, LINEAGE, STOPPED, ("exit", {})))
