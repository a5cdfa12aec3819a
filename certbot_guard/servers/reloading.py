"""A graceful reload of a running Apache, watched: exit code 0 says nothing, since it may die of it (2.4.71)."""

from __future__ import annotations

import time
from typing import Callable

from certbot_guard.errors import ServerError
from certbot_guard.servers import errorlog, processes, serving, sockets
from certbot_guard.servers.instance import Instance

_SETTLE_SECONDS = 0.3


def reload_parent(parent: int, graceful: Callable[[int], None], instance: Instance, name: str) -> None:
    """Reload by ``graceful(parent)``: the parent lives, has new workers, and its sockets give what they gave.

    :raises ServerError: it died, or did not do it in time.
    """
    started, log = processes.start_time(parent), instance.dump.log_path()
    mark = errorlog.mark(log)
    held = sockets.of_processes([parent])
    before = {(found["address"], found["port"]): found["gave"] for found in serving.look_at(held)}
    patience = serving.patience_seconds(instance.dump.count_vhosts())
    old = {(pid, processes.start_time(pid)) for pid in processes.children(parent)}
    graceful(parent)
    deadline = time.monotonic() + patience
    # A worker that was not there before: the parent has read its configuration again, and lived.
    while not {(pid, processes.start_time(pid)) for pid in processes.children(parent)} - old:
        if not processes.alive(parent, started):
            raise ServerError(f"{name} died when it was reloaded", errorlog.since(log, mark))
        if time.monotonic() > deadline:
            raise ServerError(f"{name} did not reload within {patience:.0f} s", errorlog.since(log, mark))
        time.sleep(0.005)
    time.sleep(_SETTLE_SECONDS)
    if not processes.alive(parent, started):
        raise ServerError(f"{name} died soon after it was reloaded", errorlog.since(log, mark))
    now = sockets.of_processes([parent])
    still = {place: gave for place, gave in before.items() if any(one.covers(*place) for one in now)}
    if not now or not serving.serves(still, now):
        raise ServerError(f"{name} does not serve as before since it was reloaded", errorlog.since(log, mark))
