"""One thing on this machine that starts certbot by itself, and which certbot it starts.

Found by :mod:`certbot_guard.jobs`, from where all of this can be had.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Optional

from certbot_guard import certbotlines, shellwords

# Debian cron 3.0pl1 pathnames.h, cronie likewise; systemd.exec(5)
CRON_PATH = "/usr/bin:/bin"
SYSTEMD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"
# What has a line look for its programs elsewhere than on its own PATH: sudoers(5) secure_path, a login shell, a PATH of
# its own, a file that may set one
OTHER_PATH = re.compile(r"(?:^|[\s;&|('\"])(?:(?:[^\s;&|('\"]*/)?(?:sudo|doas|su|runuser)\s|PATH=|(?:\.|source)\s|"
                        r"(?:ba|z|k)?sh\s+-\w*l)")
# systemd.service(5): what may stand before the program, and what is written twice to be meant once
_PREFIX = re.compile(r"^[-@:+!|]+\s*")


@dataclass(frozen=True)
class Job:
    """One thing on this machine that starts certbot by itself.

    :ivar source: for a person: ``/etc/crontab, line 12``
    :ivar text: the line as it stands in the file
    :ivar command: the line of shell, or the value of ``ExecStart``
    :ivar shell: whether a shell reads it
    :ivar under: ``cron``, ``systemd``, or ``script``: a script that one of them runs
    :ivar unit: systemd's service; ``timer``: what starts it
    :ivar active: the timer is active; None for cron
    :ivar runs_per_month: in 30 days, on the average; None: not known
    :ivar settings: the environment lines above it
    :ivar fields: of a crontab line, its times as they stand there
    :ivar body: of a script, everything in it that is no comment
    :ivar caller: of a script, the crontab line or service that runs it; None where run-parts does
    :ivar before: of a service, its ``ExecStartPre``; ``after``: its ``ExecStartPost``; ``always``: its ``ExecStopPost``
    :ivar cut: of a crontab line, what an unescaped ``%`` keeps from the command; an empty string where there is none
    :ivar refused: why cron does not run the line at all
    """

    source: str
    path: Optional[Path]
    line_number: int
    text: str
    command: str
    shell: bool
    under: str
    unit: str = ""
    timer: str = ""
    active: Optional[bool] = None
    runs_per_month: Optional[float] = None
    user: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    body: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    cut: str = ""
    refused: str = ""
    caller: Optional[Job] = None

    @property
    def whole(self) -> str:
        """The command as it is meant: with what an unescaped ``%`` cuts off."""
        return self.command + self.cut.replace("\\%", "%")

    def starts(self) -> list[certbotlines.Start]:
        """How it starts certbot; the same for every caller."""
        if self.body:
            return [start for line in self.body.split("\n") for start in certbotlines.starts(line)]
        if self.shell:
            return certbotlines.starts(self.whole)
        words = unit_words(self.command)
        return [start for start in certbotlines.of_words(words) if start.obtains]


def programs(job: Job) -> list[Path]:
    """The certbot programs it starts, each once, as its own ``PATH`` finds them; what is not there is left out."""
    found: list[Path] = []
    # sudo, su and `PATH=... certbot` look elsewhere than cron does
    wide = replace(job, settings={**job.settings, "PATH": f"{search_path(job)}:{SYSTEMD_PATH}"})
    job = wide if OTHER_PATH.search(job.whole) else job
    for start in job.starts():
        if start.python:
            beside = which(job, start.python)
            path = beside.parent / "certbot" if beside else None
            path = path if path and path.exists() else None
        else:
            path = which(job, start.program) if start.program else None
        if path is not None and path not in found:
            found.append(path)
    return found


def which(job: Job, program: str) -> Optional[Path]:
    """Where this job finds a program: by its whole path, or by its ``PATH``."""
    if "/" in program:
        path = Path(program)
        return path if path.is_absolute() and os.access(path, os.X_OK) else None
    for directory in search_path(job).split(":"):
        path = Path(directory or ".") / program
        if path.is_absolute() and os.access(path, os.X_OK) and path.is_file():
            return path
    return None


def search_path(job: Job) -> str:
    """Its ``PATH``."""
    if job.settings.get("PATH"):
        return job.settings["PATH"]
    return SYSTEMD_PATH if job.unit else CRON_PATH


def unit_words(value: str) -> tuple[str, ...]:
    """The words of an ``ExecStart`` value; none where its quotes cannot be read."""
    read = shellwords.commands(_PREFIX.sub("", value).replace("%%", "%"), substitutions=True)
    return read[0].words if read is not None and len(read) == 1 else ()


def percent(command: str) -> tuple[str, str]:
    """What cron hands to the shell of a crontab's command, and what it keeps from it: from the first plain ``%`` on."""
    # crontab(5): an unescaped % ends the command, what follows is its input; \% is a %.
    match = re.search(r"(?<!\\)%", command)
    before, after = (command[:match.start()], command[match.start():]) if match else (command, "")
    return before.replace("\\%", "%").rstrip("\r"), after
