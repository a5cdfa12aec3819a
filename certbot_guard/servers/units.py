"""systemd's units, asked and told through systemctl."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Iterable, Optional

from certbot_guard.errors import ServerError
from certbot_guard.servers import execute, processes

_QUERY_SECONDS = 15.0
_NAME = re.compile(r"[A-Za-z0-9_:\\@][A-Za-z0-9_:.\\@-]*")
_CGROUP_ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")
# Stopping a unit stops these, too (systemd.unit(5)): Requires=, BindsTo=, PartOf= and Requisite=, seen from
# below.
_TAKEN_DOWN = ("RequiredBy", "BoundBy", "ConsistsOf", "RequisiteOf")
_DEPENDENTS_LIMIT = 200

Properties = dict[str, str]


def systemctl_program() -> Optional[str]:
    return shutil.which("systemctl", path=execute.search_path({}))


def full_name(name: str) -> str:
    """``apache2`` -> ``apache2.service``.

    :raises ServerError: no unit can have that name.
    """
    complete = name if re.search(r"\.[a-z]+$", name) else f"{name}.service"
    if not _NAME.fullmatch(complete):
        raise ServerError(f"{name!r} is not the name of a systemd unit")
    return complete


def systemctl(words: Iterable[str], seconds: float = _QUERY_SECONDS) -> execute.Result:
    """:raises ServerError: there is no systemctl."""
    program = systemctl_program()
    if program is None:
        raise ServerError("systemctl is not installed")
    environment = {
        "PATH": execute.search_path({}),
        "LANG": "C.UTF-8",
        "SYSTEMD_PAGER": "",
        "SYSTEMD_COLORS": "0",
    }
    return execute.run([program, "--no-ask-password", *words], environment, seconds)


def show(names: Iterable[str], properties: Iterable[str]) -> list[Properties]:
    """The properties of each unit, in their order. A unit that does not exist has LoadState=not-found.

    :raises ServerError: systemd does not answer.
    """
    listed = list(names)
    if not listed:
        return []
    result = systemctl(["show", f"--property={','.join(properties)}", "--", *listed])
    if result.code != 0:
        raise ServerError("systemd does not answer", result.output)
    found = [
        dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
        for block in result.output.split("\n\n")
    ]
    if len(found) != len(listed):
        raise ServerError("systemd gave an unexpected answer", result.output)
    return found


def dependents(name: str) -> list[str]:
    """The active units that would be stopped with ``name``, at any distance."""
    found: list[str] = []
    level, seen = [name], {name}
    while level and len(found) < _DEPENDENTS_LIMIT:
        answers = show(level, ["Id", "ActiveState", *_TAKEN_DOWN])
        found += [
            unit["Id"]
            for unit in answers
            if unit.get("Id") != name and unit.get("ActiveState") in ("active", "reloading", "activating")
        ]
        below = {
            other for unit in answers for relation in _TAKEN_DOWN for other in unit.get(relation, "").split()
        }
        level = sorted(below - seen)
        seen |= below
    return found


def start_again(names: list[str]) -> None:
    """Start those of ``names`` that are not active, without waiting for them. What is masked stays down."""
    if not names:
        return
    down = [
        name
        for name, unit in zip(names, show(names, ["LoadState", "ActiveState"]))
        if unit.get("LoadState") == "loaded"
        and unit.get("ActiveState") in ("inactive", "failed", "deactivating")
    ]
    if down:
        systemctl(["start", "--no-block", "--", *down])


def members(name: str, control_group: str) -> list[int]:
    """The live processes in the unit's cgroup: ``control_group``, as systemd names it, if it is known."""
    if control_group:
        for root in _CGROUP_ROOTS:
            top = Path(root + control_group)
            if (top / "cgroup.procs").exists():
                return [pid for pid in _listed(top) if processes.alive(pid)]
    return [pid for pid in processes.pids() if processes.unit(pid) == name and processes.alive(pid)]


def _listed(top: Path) -> list[int]:
    found = []
    for directory, _, _ in os.walk(top):
        try:
            found += [int(line) for line in Path(directory, "cgroup.procs").read_text("ascii").split()]
        except OSError:
            continue
    return found
