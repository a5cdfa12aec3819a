"""Checks of what starts certbot by itself, and of what starts certbot-guard when certbot does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Optional

from certbot_guard import schedule, text, timers
from certbot_guard.doctor.check import Check, Group, ok, problem, skipped, warning
from certbot_guard.doctor.host import Host
from certbot_guard.doctor.result import Result
from certbot_guard.errors import GuardError
from certbot_guard.servers import units as systemd
from certbot_guard.units import files, planning

# Twice a day is 60 in 30 days; a timer that starts between two of ours, or a host that is off at night, is forgiven.
_TWICE_A_DAY, _DAILY = 55.0, 25.0
_INSTALL = "certbot-guard units install"


def _active(host: Host) -> Iterator[Result]:
    active = [job for job in host.jobs if job.active is not False]
    if active and not any(job.timer for job in active) and host.cron_daemon is None:
        yield warning("renewal-scheduled", "only cron's files start certbot, and no cron is to be seen running",
                      where=text.listed(dict.fromkeys(job.source for job in active), 4, 200),
                      why="Without it nothing of that is started, and certificates expire.", remedy="install cron and "
                      "start it (cron.service, or crond.service), or use a systemd timer")
        return
    if active:
        coming = schedule.next_attempt(host.now(), host.cron, host.ask, host.under_systemd)
        when = f"; next {schedule.words(coming, host.now(), source=len(active) > 1)}" if coming is not None else ""
        yield ok("renewal-scheduled", text.listed(dict.fromkeys(job.source for job in active), 4, 200) + when)
        return
    off = timers.switched_off(host.ask) if host.under_systemd else []
    off = list(dict.fromkeys([*off, *(job.timer for job in host.jobs if job.timer)]))
    if off:
        yield problem("renewal-scheduled", f"{text.listed(off)} is not active, and nothing else starts certbot",
                      why="Certificates expire.", remedy=f"systemctl enable --now {text.line(off[0], 100)}")
    else:
        yield problem("renewal-scheduled", schedule.NOT_FOUND, why="Certificates expire.", remedy="have certbot "
                      "started twice a day, such as by this line in /etc/crontab:", instead=_line(host))


def _line(host: Host) -> str:
    certbot = text.line(host.used[0].program, 300) if host.used else "/opt/certbot/bin/certbot"
    guard = f"{certbot.rpartition('/')[0]}/certbot-guard"
    return f"17 4,16 * * * root {guard} run --retry-for 6h -- {certbot} renew --quiet"


def _often(host: Host) -> Iterator[Result]:
    active = [job for job in host.jobs if job.active is not False]
    rates = [job.runs_per_month for job in active]
    if not active:
        yield skipped("renewal-often", "nothing starts certbot")
        return
    total = sum(rate for rate in rates if rate is not None)
    where = text.listed(dict.fromkeys(job.source for job in active), 4, 200)
    if total >= _TWICE_A_DAY:
        yield ok("renewal-often", f"about {total / 30:.0f} times a day" if total >= 75 else "twice a day")
    elif None in rates:
        yield ok("renewal-often", f"how often is not known: {where}")
    elif any(one.id == "runs-too-rarely" for one in host.mistakes):
        yield skipped("renewal-often", "too rarely: see runs-too-rarely")
    else:
        report, how = (warning, "once a day") if total >= _DAILY else (problem, f"{max(total, 0.1):.1f} times in 30 "
            "days")
        yield report("renewal-often", f"certbot is started {how}", where=where, why="When one attempt fails there are "
                     "few others before the certificate expires; certificates last 90 days at most, and soon less.",
                     remedy="have it started twice a day: certbot does nothing while nothing is due")


# -- ours --------------------------------------------------------------------------------------------------------------


def _state_of(host: Host, name: str) -> Optional[str]:
    """Whether our file of that name is there as it should be: empty; else what is wrong. None: it has no use here.

    :raises GuardError: something else has its name, or it cannot be said what it should hold.
    """
    wanted = (planning.for_systemd(host.config, host.units) if host.under_systemd
              else planning.for_cron(host.config, host.units, 0))
    for file in wanted:
        if file.path.name == name:
            there = files.read_ours(file.path)
            if there is None:
                return f"{file.path} is not there"
            return "" if file.is_there else f"{file.path} is not what certbot-guard would write now"
    return None


def _ours(host: Host, id: str, name: str, what: str, why: str) -> Iterator[Result]:
    try:
        wrong = _state_of(host, name if host.under_systemd else planning.CRON_FILE)
        if wrong == "" and host.under_systemd:
            shown = systemd.show([name], ["UnitFileState", "ActiveState"])[0]
            if shown.get("UnitFileState") != "enabled":
                wrong = f"{name} is not enabled"
            elif name.endswith(".timer") and shown.get("ActiveState") != "active":
                wrong = f"{name} is not active"
    except GuardError as error:
        wrong = text.line(error, 500)
    if wrong:
        yield warning(id, text.line(wrong, 500), why=why, remedy=_INSTALL)
    else:
        yield ok(id, what)


def _watch(host: Host) -> Iterator[Result]:
    yield from _ours(host, "watch-timer", planning.TIMER, "the watch is started every hour", "What no run of certbot "
                     "sees (a certbot that is not started any more, a certificate that is not served) is not noticed.")
    if host.under_systemd and any(os.path.lexists(where / planning.TIMER) for where in host.units.known):
        try:
            wrong = _state_of(host, planning.WATCH)
        except GuardError as error:
            wrong = text.line(error, 500)
        if wrong:
            yield warning("watch-timer", text.line(wrong, 500), why="The timer starts what was right for another "
                          "Python or other settings.", remedy=_INSTALL)


def _boot(host: Host) -> Iterator[Result]:
    yield from _ours(host, "boot-unit", planning.RECOVER, "what a power cut left unfinished is finished at boot",
                     "After a power cut while the web server was stopped, it may be left down.")


def _failures(host: Host) -> Iterator[Result]:
    services = planning.certbots(host.units) if host.under_systemd else []
    if not services:
        yield skipped("unit-failure-told", "no unit of a distribution runs certbot here")
        return
    shown = systemd.show(services, ["OnFailure", "LoadState"])
    silent = [name for name, unit in zip(services, shown)
              if unit.get("LoadState") == "loaded" and not unit.get("OnFailure")]
    if silent:
        yield warning("unit-failure-told", f"nobody is told when {text.listed(silent)} fails", why="A certbot that "
                      "does not even start (no memory, a damaged Python) has no plugin that could "
                      "tell.", remedy=_INSTALL)
    else:
        yield ok("unit-failure-told", f"systemd says so when {text.listed(services)} fails")


GROUP = Group("Timers and units", (
    Check("renewal-scheduled", "something starts certbot by itself", "A timer that is active, a crontab line, or a "
          "script that cron runs.", _active),
    Check("renewal-often", "certbot is started twice a day", "As certbot's own instructions say: it does nothing while "
          "nothing is due, and a failure is tried again in time.", _often),
    Check("watch-timer", "certbot-guard looks every hour", "certbot-guard watch, by a systemd timer or by "
                                                           "cron.", _watch),
    Check("boot-unit", "certbot-guard finishes at boot what a power cut left", "certbot-guard recover, by a unit or by "
          "cron.", _boot),
    Check("unit-failure-told", "people are told when certbot's own unit fails", "OnFailure= of the distribution's "
        "service.",
          _failures),
))
