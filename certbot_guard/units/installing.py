"""What there is to do until the units, or the cron.d file, are there as they should be; and doing it.

Used by ``certbot-guard units`` and by ``certbot-guard setup``, which show and ask in between.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from certbot_guard import launch
from certbot_guard.config import Config
from certbot_guard.units import files, managing, planning


@dataclass(frozen=True)
class Plan:
    """False where nothing is to be done.

    :ivar target: ``systemd`` or ``cron``
    :ivar superfluous: files of ours that have no use any more
    :ivar lines: all of it for a person
    """

    target: str
    places: planning.Places
    wanted: list[files.File]
    superfluous: list[Path]
    lines: list[str]

    def __bool__(self) -> bool:
        return bool(self.lines)


def plan(settings: Config, target: Optional[str] = None, places: Optional[planning.Places] = None) -> Plan:
    """The files that should be there, how that differs from what is there, and what systemd is to be told.

    :param target: ``systemd`` or ``cron``; without it, for what runs here
    :raises GuardError: something else has the name of one of them, or it cannot be written as it has to be.
    """
    target, places = target or ("systemd" if launch.under_systemd() else "cron"), places or planning.Places()
    if target == "systemd":
        wanted = planning.for_systemd(settings, places)
    else:
        wanted = planning.for_cron(settings, places, random.SystemRandom().randrange(60))
    superfluous = _of_before(wanted, target, places)
    lines = [line for file in wanted for line in files.difference(file.path, file.content)]
    lines += [f"changed: {file.path}: mode and owner" for file in wanted
              if not files.difference(file.path, file.content) and not file.is_there]
    lines += [line for path in superfluous for line in files.difference(path, None)]
    lines += managing.not_enabled() if target == "systemd" and launch.under_systemd() else []
    return Plan(target, places, wanted, superfluous, lines)


def do(found: Plan) -> None:
    """What the plan says has been done; doing it again changes nothing.

    :raises GuardError: we are not root, a file cannot be written, or systemd refused; what came before that was done.
    """
    managing.refuse_unless_root("install", [found.places.systemd if found.target == "systemd" else found.places.cron_d])
    files.write(found.wanted)
    files.remove(found.superfluous)
    if found.target == "systemd":
        managing.reload_and_enable()


def _of_before(wanted: list[files.File], target: str, places: planning.Places) -> list[Path]:
    """Drop-ins of services that have gone since; and a cron.d file where systemd does its work now."""
    superfluous = set(planning.there(places)) - {file.path for file in wanted}
    return sorted(path for path in superfluous if target == "systemd")
