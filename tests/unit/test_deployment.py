"""A reload that meets a stop of another run's: done when that one is over, and nobody is told of it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from certbot_guard import serverlock
from certbot_guard.deployment import Deployment
from certbot_guard.errors import RefusedError

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
    lock = serverlock.take(server.identity, 0.0)
    assert lock is not None

    def the_other_run() -> None:
        time.sleep(0.3)
        server.serving = True
        os.close(lock)

    other = threading.Thread(target=the_other_run)
    other.start()
    assert events_of_loading(server, tmp_path) == ["reloaded"]
    other.join()
    assert server.reloads == 1


def test_one_that_stays_down_is_told_of(server: Server, tmp_path: Path) -> None:
    assert events_of_loading(server, tmp_path) == ["reload-refused"] and server.reloads == 0


def test_a_refusal_of_one_that_serves_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    server.stopped_by_another, tries = False, []

    def refuses() -> None:
        tries.append(1)
        raise RefusedError("its configuration is wrong")

    server.reload = refuses  # type: ignore[method-assign]
    assert events_of_loading(server, tmp_path) == ["reload-refused"] and tries == [1]
