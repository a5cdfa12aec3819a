"""What keeps an Apache from starting, and is cleared away: a pid file that lies, parents that drain, orphaned workers.

Called by the controllers (:mod:`certbot_guard.servers.apache`, :mod:`certbot_guard.servers.systemd`) before a start.
Only processes that are this Apache's own are ended, each known by its start time.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Optional

from certbot_guard.errors import ServerError
from certbot_guard.servers import processes, sockets
from certbot_guard.servers.instance import Instance

_POLL_SECONDS = 0.002


def clear_pid_file(instance: Instance, drain_seconds: float) -> None:
    """The pid file names nobody, or no file is there: what it named is gone, or never was this Apache.

    Measured, Apache 2.4.71: an empty or garbled one fails the start; one that names any live process
    makes ``start`` say "already running" with exit code 0, and a later ``stop`` kill that process. A
    parent of ours that does not listen any more but still has its pid file was told to stop, and takes
    its time: it has ``drain_seconds``. The parent that listens is left alone, here as everywhere.

    :raises ServerError: the file is in the way and stays there.
    """
    read = instance.read_pid_file()
    if read is None:
        return
    pid = read[0]
    # Before the judgement: who is given the pid after it is another process.
    started = processes.start_time(pid) if pid else None
    if started is not None and instance.owns(pid):
        if sockets.of_processes([pid]):
            return
        _end(pid, started, drain_seconds)
    read = instance.read_pid_file()
    if read is not None and not _harmless(read[0]):
        pid_file = instance.dump.pid_file
        try:
            os.replace(pid_file, f"{pid_file}.set-aside-by-certbot-guard")
        except OSError as error:
            raise ServerError(f"{pid_file} is in the way and cannot be set aside: {error}") from error


def clear_orphans(instance: Instance) -> set[int]:
    """No orphaned worker is left; the processes that are left are returned.

    Nothing but SIGKILL ends an orphan (measured, 2.4.71).
    """
    every = instance.processes()
    started = {pid: processes.start_time(pid) for pid in every}
    orphans = set(instance.orphans(every))
    # Judged again: a pid that was given out between the list and its start time is not Apache's.
    _kill({pid: started[pid] for pid in orphans if instance.owns(pid)})
    return set(every) - orphans


def _harmless(pid: int) -> bool:
    """Does Apache itself take that pid for stale? It asks by kill(pid, 0), which a zombie answers."""
    return bool(pid) and not os.path.exists(f"/proc/{pid}")


def _end(parent: int, started: int, drain_seconds: float) -> None:
    """This parent and its workers are gone: by themselves in ``drain_seconds``, or by force."""
    family = _family(parent, started)
    if _gone(family, drain_seconds):
        return
    processes.signal_process(parent, started, signal.SIGTERM)
    if not _gone(family, min(drain_seconds, 1.0)):
        _kill(family)


def _family(parent: int, started: int) -> dict[int, Optional[int]]:
    """That parent and its children, each with its start time; the parent alone if it is not alive any more."""
    children = {pid: processes.start_time(pid) for pid in processes.children(parent)}
    # Each child's start time was known before it is judged to be a child.
    theirs = {pid: when for pid, when in children.items() if processes.parent(pid) == parent}
    return {parent: started, **(theirs if processes.alive(parent, started) else {})}


def _kill(started: dict[int, Optional[int]]) -> None:
    """SIGKILL each that still is the one that started then, and return when they are dead."""
    for pid, when in started.items():
        processes.signal_process(pid, when, signal.SIGKILL)
    _gone(started, 2.0)


def _gone(started: dict[int, Optional[int]], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(when is not None and processes.alive(pid, when) for pid, when in started.items()):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
