"""Processes, as /proc shows them: which program each is, whose unit, and whether it still is the same one.

A pid alone names nobody, since it is given out again: a process here is a pid with its start time. What
cannot be read is "unknown" (None or an empty string), never an error.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Iterator, Optional

from certbot_guard.servers.sockets import is_listening, listening_pids

__all__ = [
    "alive",
    "arguments",
    "children",
    "describe",
    "executable",
    "is_listening",
    "is_outside_our_container",
    "listening_pids",
    "parent",
    "pids",
    "shares_our_world",
    "signal_process",
    "start_time",
    "unit",
]

# proc(5): fields after the command's name, counted from 0.
_STATE, _PARENT, _START_TIME = 0, 1, 19
# The state a process has between its death and its parent's wait(): nothing of it runs or listens any more.
_ZOMBIE_STATES = ("Z", "X", "x")
_DELETED = " (deleted)"


def pids() -> Iterator[int]:
    """Every process of this pid namespace."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            yield int(entry)


def start_time(pid: int) -> Optional[int]:
    """When ``pid`` started, in clock ticks since boot; None if it is dead, which a zombie is."""
    fields = _stat(pid)
    return int(fields[_START_TIME]) if fields and fields[_STATE] not in _ZOMBIE_STATES else None


def alive(pid: Optional[int], started: Optional[int] = None) -> bool:
    """Is ``pid`` a live process, and the one that started then?"""
    if not pid:
        return False
    now = start_time(int(pid))
    return now is not None and (started is None or now == int(started))


def parent(pid: int) -> int:
    """The parent's pid; 0 if there is none to be seen."""
    fields = _stat(pid)
    return int(fields[_PARENT]) if fields else 0


def children(pid: int) -> list[int]:
    """The live children of ``pid``."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return [other for other in pids() if parent(other) == pid and alive(other)]
    return [int(child) for child in found if alive(int(child))]


def executable(pid: int) -> str:
    """The path of the program that ``pid`` runs; also of one that an upgrade has replaced since."""
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
    return path[: -len(_DELETED)] if path.endswith(_DELETED) else path


def arguments(pid: int) -> list[str]:
    """The command line of ``pid``, the program first; empty if unknown."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in raw.rstrip(b"\0").split(b"\0")] if raw else []


def environment(pid: int) -> dict[str, str]:
    """The environment ``pid`` was started with, as far as it may be read."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    return dict(os.fsdecode(word).partition("=")[::2] for word in raw.split(b"\0") if b"=" in word)


def user(pid: int) -> Optional[int]:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def describe(pid: int) -> str:
    """For people: ``"haproxy (pid 812)"``, or ``"greedy-proxy (python3.11, pid 812)"`` for a script."""
    program = os.path.basename(executable(pid))
    try:
        name = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        name = ""
    # the kernel cuts it after 15 characters
    if not name or program.startswith(name):
        return f"{_plain(program) or 'a process'} (pid {pid})"
    return f"{_plain(name)} ({_plain(program)}, pid {pid})" if program else f"{_plain(name)} (pid {pid})"


def _plain(name: str) -> str:
    return re.sub(r"[^ -~]", "?", name)[:60]


def shares_our_world(pid: int) -> bool:
    """Does ``pid`` live in our network and pid namespaces and under our root directory?

    The mount namespace is no sign of a container: systemd gives one to every unit with PrivateTmp=, which
    Debian's apache2.service and certbot.service both have. A container has another root.
    """
    try:
        for namespace in ("net", "pid"):
            if os.readlink(f"/proc/{pid}/ns/{namespace}") != os.readlink(f"/proc/self/ns/{namespace}"):
                return False
    except OSError:
        return False
    return _shares_root(pid)


def is_outside_our_container(pid: int) -> bool:
    """Are we in a container that sees other processes than its own (docker's ``--pid host``), and is ``pid`` one?

    The first process has something else mounted at its root then; not so where systemd gave us mounts of our own.
    """
    if _shares_root(pid):
        return False
    ours = _mounted_at_root("self")
    return ours is not None and ours != _mounted_at_root("1")


def _shares_root(pid: int) -> bool:
    try:
        theirs, ours = os.stat(f"/proc/{pid}/root"), os.stat("/")
    except OSError:
        return False
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def _mounted_at_root(process: str) -> Optional[tuple[str, str]]:
    """Device and directory of it; None in a chroot where nothing is mounted."""
    # Of the first process, a container may not read the root itself, but this it may (measured, Linux 6).
    try:
        lines = Path(f"/proc/{process}/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    mounts = [line.split() for line in lines]
    found = [(device, directory) for _, _, device, directory, place, *_ in mounts if place == "/"]
    return found[-1] if found else None  # what is mounted last hides the others


def unit(pid: int) -> Optional[str]:
    """The systemd unit (service or scope) whose cgroup ``pid`` is in, or None."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    for line in lines:
        number, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if number == "0" or controllers == "name=systemd":
            # As systemd reads it itself: slices nest, the first part that is not one is the unit.
            for part in path.strip("/").split("/"):
                if part.endswith((".service", ".scope")):
                    return part
    return None


def signal_process(pid: int, started: Optional[int], number: int) -> bool:
    """Send a signal to that very process, never to another that was given its pid, and never to pid 1.

    Returns False if it is dead, not that process, or not ours to signal; then nothing was sent.
    """
    if pid <= 1 or started is None:
        return False
    try:
        # From here on the descriptor means one process: what the start time says of it cannot change any
        # more.
        descriptor = os.pidfd_open(pid)
    except (OSError, AttributeError):  # before Linux 5.3
        descriptor = None
    try:
        if not alive(pid, started):
            return False
        if descriptor is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(descriptor, number)
    except OSError:
        return False
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return True


def _stat(pid: int) -> Optional[list[str]]:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes().decode("ascii", "replace")
    except OSError:
        return None
    # The command's name is in parentheses and may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) > _START_TIME else None
