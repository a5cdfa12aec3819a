"""Which processes a test has started, found by a mark in their arguments or environment."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Callable, Optional


def arguments_of(pid: int) -> list[str]:
    """Its argument list; empty for one that is gone, or a zombie."""
    try:
        return Path("/proc", str(pid), "cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:-1]
    except OSError:
        return []


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            found += [int(word) for word in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except OSError:
        pass
    return found


def descendants_of(pid: int) -> list[int]:
    found = []
    for child in children_of(pid):
        found += [child] + descendants_of(child)
    return found


def is_alive(pid: int) -> bool:
    """It runs, or is stopped by a signal; a zombie is dead."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def marked(mark: str) -> list[int]:
    """Live processes, other than this one, with ``mark`` in their arguments or environment."""
    wanted, found = mark.encode(), []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        for what in ("cmdline", "environ"):
            try:
                if wanted in Path("/proc", entry, what).read_bytes():
                    found.append(int(entry))
                    break
            except OSError:
                break
    return [pid for pid in sorted(found) if is_alive(pid)]


def wait_gone(pids: Callable[[], list[int]], seconds: float) -> list[int]:
    """Wait until ``pids()`` is empty; return what is left after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        left = pids()
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def kill(pids: Callable[[], list[int]]) -> None:
    """SIGKILL them until there are none: one may be starting another."""
    for _ in range(100):
        left = pids()
        if not left:
            return
        for pid in left:
            send(pid, signal.SIGKILL)
        time.sleep(0.01)


def send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def describe(pid: int) -> str:
    return f"{pid}: {' '.join(arguments_of(pid))}"


def wait_for(condition: Callable[[], object], seconds: float, failure: str, between: float = 0.001,
             give_up: Optional[Callable[[], bool]] = None) -> object:
    """Return the first true value of ``condition()``. :raises AssertionError: none within ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        gone = give_up is not None and give_up()
        value = condition()
        if value:
            return value
        if gone or time.monotonic() > deadline:
            raise AssertionError(failure if not gone else f"{failure}: the process has ended")
        time.sleep(between)
