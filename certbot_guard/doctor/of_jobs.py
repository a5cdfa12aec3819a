"""The check of the lines that start certbot, and of certbot's own hooks: :mod:`.mistakes`, on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from certbot_guard.doctor import mistakes
from certbot_guard.doctor.check import Check, Group, ok, skipped
from certbot_guard.doctor.result import Result
from certbot_guard.errors import ServerError

if TYPE_CHECKING:
    from certbot_guard.doctor.host import Host


def find(host: Host) -> list[Result]:
    """Every mistake in jobs, in lines that cron refuses, and in hooks; each once."""
    from certbot_guard import jobs
    from certbot_guard.doctor import hookfiles

    context = mistakes.Context(
        systemd=host.under_systemd, installers={one.name: one.installer for one in host.lineages if not one.error},
        channels=bool(host.config.channels or host.config.apprise_configs), jobs=tuple(host.jobs),
        unit=_unit(host), blind=frozenset(os.path.realpath(one.program) for one in host.installations + host.used
                                          if one.sees_guard is False),
        certbot=next((one.program for one in host.installations if one.sees_guard), None))
    found = [result for job in (*host.jobs, *jobs.refused(host.cron)) for result in mistakes.of_job(job, context)]
    for directory in host.config_dirs:
        found += mistakes.of_hooks(hookfiles.find(directory), context)
    return list(dict.fromkeys(found))


def _unit(host: Host) -> str:
    """The unit of the Apache that was found; empty: there is none."""
    try:
        unit = str(getattr(host.server, "unit", None) or "")
    except ServerError:
        return ""
    return unit[:-len(".service")] if unit.endswith(".service") else unit


def _mistakes(host: Host) -> Iterator[Result]:
    if host.mistakes:
        yield from host.mistakes
    elif host.jobs or host.lineages:
        number = len(host.jobs)
        lines = "the line that starts certbot" if number == 1 else f"the {number} lines that start certbot"
        yield ok("mistakes", f"nothing is wrong with {lines}, nor with hooks" if number else "nothing is wrong with "
            "hooks")
    else:
        yield skipped("mistakes", "nothing starts certbot, and there are no hooks")


GROUP = Group("Crontabs, units and hooks", (
    Check("mistakes", "no line that starts certbot, and no hook, has one of the mistakes below", "Crontabs, scripts "
          "that cron runs, systemd's services and their drop-ins, hooks in renewal configurations, cli.ini and "
          "renewal-hooks/. Each mistake has an identifier of its own; for each the line to put instead is "
          "given.", _mistakes),
))
