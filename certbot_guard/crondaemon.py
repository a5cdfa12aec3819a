"""The cron that runs on this machine: whether one does, and which ``PATH`` it gives to the commands it starts.

Reads /proc, changes nothing, never raises. Used by doctor, and by :mod:`certbot_guard.jobs` for each crontab line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from certbot_guard.servers import processes

# Debian and SUSE, cronie, busybox and dcron, fcron, bcron
_NAMES = frozenset({"cron", "crond", "fcron", "bcron-sched"})
# systemd-cron, which makes timers of crontab lines
_GENERATORS = ("/lib/systemd/system-generators/systemd-crontab-generator",
               "/usr/lib/systemd/system-generators/systemd-crontab-generator")


@dataclass(frozen=True)
class Daemon:
    """:ivar path: the ``PATH`` that its commands have; empty: the one of crontab(5)"""

    path: str = ""


def find(pids: Callable[[], Iterable[int]] = processes.pids, arguments: Callable[[int], Sequence[str]] =
         processes.arguments, environment: Callable[[int], Mapping[str, str]] = processes.environment,
         generators: Sequence[str] = _GENERATORS) -> Optional[Daemon]:
    """The one that runs here; None: none is to be seen."""
    for pid in pids():
        words = arguments(pid)
        if words and _name(words) in _NAMES and processes.shares_our_world(pid):
            # cron(8) of Ubuntu 22.04 and later, cronie's crond(8): with -P its commands have the PATH it was started
            # with, and their units say -P.
            passes_on = any(word.startswith("-") and not word.startswith("--") and "P" in word for word in words[1:])
            return Daemon(str(environment(pid).get("PATH", "")) if passes_on else "")
    return Daemon() if any(map(os.path.exists, generators)) else None


def _name(words: Sequence[str]) -> str:
    first = os.path.basename(words[0])
    return os.path.basename(words[1]) if first == "busybox" and len(words) > 1 else first
