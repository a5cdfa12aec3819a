"""A reload that meets a stop of another run's: done when that one is over, and nobody is told of it."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from certbot_guard import serverlock
from certbot_guard.deployment import Deployment
from certbot_guard.errors import RefusedError
from tests.support.context import wait_for

LINEAGE = "one.guard.test"


class Server:
    """Stopped by somebody else in the moment before the reload."""

    name = identity = "a server of the test's"

    def __init__(self) -> None:
        self.serving, self.reloads, self.stopped_by_another = True, 0, True

    def look(self) -> dict[str, Any]:
        return {"serving": self.serving, "sockets": []}

    def reload(self) -> None:
        if self.stopped_by_another:
            self.serving = self.stopped_by_another = False
        if not self.serving:
            raise RefusedError("it does not run, so it is not reloaded")
        self.reloads += 1


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    monkeypatch.setattr(serverlock, "lock_directory", lambda: tmp_path / "locks")
    (tmp_path / "locks").mkdir(mode=0o700)
    return Server()


def events_of_loading(server: Server, tmp_path: Path, stopped_by_us: bool = False) -> list[str]:
    events: list[str] = []
    own: Any = SimpleNamespace(
        server=server, server_name=server.name, server_problem="", config_dir=tmp_path, is_stopped=stopped_by_us,
        config=SimpleNamespace(server=SimpleNamespace(max_outage_seconds=20.0)),
        note=lambda kind, fields=None, **more: events.append(kind))
    Deployment(own).load(LINEAGE)
    return events


def test_it_waits_for_the_other_run_and_then_reloads(server: Server, tmp_path: Path) -> None:
    os.close(serverlock.take(server.identity, 0.0))  # the file is there now
    file, = (tmp_path / "locks").iterdir()
    with subprocess.Popen(["flock", str(file), "cat"], stdin=subprocess.PIPE) as other:
        wait_for(lambda: is_taken(server))

        def the_other_ends() -> None:
            time.sleep(0.3)
            server.serving = True
            other.stdin.close()

        ending = threading.Thread(target=the_other_ends)
        ending.start()
        assert events_of_loading(server, tmp_path) == ["reloaded"]
        ending.join()
    assert server.reloads == 1


def is_taken(server: Server) -> bool:
    with serverlock.unless_taken(server.identity) as free:
        return not free


def test_it_does_not_wait_for_itself(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As while a challenge passes: this process holds the lock, and whoever brings Apache back waits for us."""
    lock = serverlock.take(server.identity, 0.0)
    waited = []
    monkeypatch.setattr(serverlock, "take", lambda *_arguments, **_named: waited.append(1))
    assert events_of_loading(server, tmp_path) == ["reload-refused"] and not waited
    os.close(lock)


def test_one_that_stays_down_is_told_of(server: Server, tmp_path: Path) -> None:
    assert events_of_loading(server, tmp_path) == ["reload-refused"] and server.reloads == 0


def test_a_refusal_of_one_that_serves_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    server.stopped_by_another, tries = False, []

    def refuses() -> None:
        tries.append(1)
        raise RefusedError("its configuration is wrong")

    server.reload = refuses  # type: ignore[method-assign]
    assert events_of_loading(server, tmp_path) == ["reload-refused"] and tries == [1]
