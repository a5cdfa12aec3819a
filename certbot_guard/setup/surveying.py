"""What is on this machine: its certbots, web server, lineages, and what starts certbot. Looks, changes nothing."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from certbot_guard import launch, text
from certbot_guard.config import Config
from certbot_guard.errors import GuardError
from certbot_guard.setup.machine import Machine
from certbot_guard.setup.work import CONFIG_DIR
from certbot_guard.units import words

if TYPE_CHECKING:
    from certbot_guard.doctor.result import Result
    from certbot_guard.installations import Installation
    from certbot_guard.jobs import Job
    from certbot_guard.watch.files import Lineage

_SHOWN_LIMIT = 20
_LABEL = 14


@dataclass(frozen=True)
class Survey:
    """:ivar started: the certbots that a timer or a crontab line starts
    :ivar lineages: by the configuration directory they are in
    :ivar mistakes: of the lines that start certbot
    """

    certbots: list[Installation]
    started: list[Installation]
    jobs: list[Job]
    web_server: str
    lineages: dict[Path, list[Lineage]]
    mistakes: list[Result]
    next_attempt: str

    @property
    def every_lineage(self) -> list[Lineage]:
        return [one for found in self.lineages.values() for one in found]

    @property
    def blind(self) -> list[Installation]:
        """The certbots that renew here, or would, and do not see this plugin: they would drop the guard unasked."""
        return [one for one in self.started or self.certbots[:1] if one.sees_guard is False]

    @property
    def certbot(self) -> Path:
        """The one that renews here, as far as that is known: first one that sees the plugin."""
        found = sorted([*self.started, *self.certbots], key=lambda one: one.sees_guard is False)
        return found[0].program if found else Path(sys.executable).with_name("certbot")


def look(machine: Machine, settings: Config, adopts: bool = True) -> Survey:
    """All of it, as far as it can be found out.

    :param adopts: a line to put instead is one for the time after certificates have got the guard
    """
    certbots, jobs = machine.certbots(), machine.jobs()
    known = {os.path.realpath(one.program): one for one in certbots}
    programs = [program for job in jobs if job.active is not False for program in machine.programs(job)]
    started = [known.get(os.path.realpath(one)) or machine.certbot_at(one) for one in dict.fromkeys(programs)]
    lineages = {path: machine.lineages(path) for path in settings.certbot_config_dirs or (config_dir(settings),)}
    found = Survey(certbots, started, jobs, machine.web_server(settings), lineages, [], machine.next_attempt())
    found.mistakes.extend(machine.mistakes(settings, jobs, lineages, adopts))
    return found


def config_dir(settings: Config) -> Path:
    """certbot's directory where no guard.ini says so: the one that guard.ini is to be in, if it is one."""
    beside = settings.path.parent
    return beside if settings.missing and (beside / "renewal").is_dir() else CONFIG_DIR


def lines(survey: Survey) -> list[str]:
    """The survey for a person."""
    certbots = [_certbot(one) for one in {one.program: one for one in [*survey.started, *survey.certbots]}.values()]
    found = _labelled("certbot", certbots or ["none was found"])
    found += _labelled("web server", [text.line(survey.web_server, 300)])
    for path, lineages in survey.lineages.items():
        shown = [_lineage(one) for one in lineages[:_SHOWN_LIMIT]]
        if len(lineages) > _SHOWN_LIMIT:
            shown.append(f"and {len(lineages) - _SHOWN_LIMIT} more; certbot-guard status shows all")
        found += _labelled("certificates", shown or [f"none in {text.line(path)}"])
    found += _labelled("started by", [_job(one) for one in survey.jobs[:_SHOWN_LIMIT]] or ["nothing"])
    found += _labelled("next attempt", [survey.next_attempt])
    return found


def line_to_add(survey: Survey) -> str:
    """A crontab line that renews twice a day, at a minute of this machine's own."""
    minute = sum(os.uname().nodename.encode()) % 60
    guard = launch.program()
    command = [*([guard] if guard else launch.command("cli")), "run", "--retry-for", "6h", "--", str(survey.certbot),
               "renew", "--quiet"]
    try:
        return f"{minute} 4,16 * * * {words.for_cron(command)}"
    except GuardError:  # a path that no crontab can name
        return f"{minute} 4,16 * * * certbot-guard run --retry-for 6h -- certbot renew --quiet"


def _labelled(label: str, items: list[str]) -> list[str]:
    return [f"  {label if not number else '':<{_LABEL}}{item}" for number, item in enumerate(items)]


def _certbot(one: Installation) -> str:
    sees = {True: "it sees certbot-guard", False: "it does not see certbot-guard",
            None: "whether it sees certbot-guard is not known"}[one.sees_guard]
    python = f", {text.line(one.python, 120)}" if one.python else ""
    version = text.line(one.version, 40) or "of a version that is not known"
    reason = f" ({text.line(one.problem, 200)})" if one.problem else ""
    return f"{text.line(one.program, 200)} {version} ({one.kind}{python}); {sees}{reason}"


def _lineage(one: Lineage) -> str:
    name = text.line(one.name, 100)
    if one.error:
        return f"{name}: certbot cannot use its renewal configuration: {text.line(one.error, 200)}"
    expires = f"{one.validity.not_after:%Y-%m-%d}" if one.validity else "a date that is not known"
    installer = f"installer {text.line(one.installer, 40)}" if one.installer else "no installer"
    return f"{name}: {text.line(one.authenticator, 40)}, {installer}, expires {expires}"


def _job(one: Job) -> str:
    state = {True: ", active", False: ", not active", None: ""}[one.active]
    timer = f"{text.line(one.timer, 80)}: " if one.timer else ""
    return f"{timer}{text.line(one.source, 200)}{state}"
