"""Did the kernel kill something for want of memory? Its own counters say so, without a look at its log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

# Kernel documentation, cgroup-v2: memory.events counts those killed in this cgroup and below, by whichever limit.
# Version 1 has the same number in memory.oom_control (Linux 4.13).
_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_CGROUPS = Path("/sys/fs/cgroup")


def killed_so_far() -> int:
    """How many processes of our cgroup have been killed for want of memory; of the machine where that is not known."""
    for path in (*_own_files(), Path("/proc/vmstat")):
        found = _count_in(path)
        if found is not None:
            return found
    return 0


def _own_files() -> list[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if ".." in path:  # it lies outside of what this container sees
            continue
        if controllers == "":
            found += [root / path.lstrip("/") / "memory.events" for root in (_CGROUPS, _CGROUPS / "unified")]
        elif "memory" in controllers.split(","):
            found.append(_CGROUPS / "memory" / path.lstrip("/") / "memory.oom_control")
    return found


def _count_in(path: Path) -> Optional[int]:
    try:
        found = _COUNT.search(path.read_text("ascii", "replace"))
    except OSError:
        return None
    return int(found[1]) if found else None
