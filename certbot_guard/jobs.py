"""What starts certbot on this machine by itself: crontab lines, scripts that cron runs, systemd's services.

Reads, changes nothing, never raises, and is back within seconds; what cannot be read is left out. Whether a job is any
good is doctor's business. Used by doctor and setup.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Iterator, Mapping, Optional, Sequence

from certbot_guard import certbotlines, cron, crondaemon, crontables, schedule, serviceunits, shellwords, timers
from certbot_guard.job import CRON_PATH, Job, percent, programs, search_path, unit_words, which
from certbot_guard.shellgroups import leaves, parse

__all__ = ["Job", "find", "percent", "programs", "refused", "search_path", "unit_words", "which"]

SECONDS, SYSTEMD_SECONDS = 5.0, 3.0
_PER_MONTH = {"hourly": 720.0, "daily": 30.0, "weekly": 30 / 7, "monthly": 30 / 30.44}
NOT_ITS_NAME = "files whose names have a dot are passed over in that directory"
_SCRIPT_LIMIT = 64 * 1024
# Nobody is called that; it is the beginning of a command where the user's name has been left out.
_NO_USER = re.compile(r".*/.*|certbot(?:-\S+)?|letsencrypt|sudo|test|\[|sh|bash|python[0-9.]*|perl|systemctl|service|"
                      r"apachectl|apache2ctl|sleep|env|nice|/.*")


def find(places: Optional[schedule.Places] = None, ask: Optional[timers.Ask] = None, systemd: Optional[bool] = None,
         now: Optional[datetime] = None) -> list[Job]:
    """Each job on this machine, systemd's first.

    What leaves the work to systemd where systemd runs, as Debian's crontab line does, is no job there.

    :param ask: runs systemctl and systemd-analyze
    :param systemd: whether systemd runs here
    :param now: not needed; callers that have a clock may hand it on
    """
    under_systemd = os.path.isdir("/run/systemd/system") if systemd is None else systemd
    began = time.monotonic()
    found: list[Job] = []
    try:
        if under_systemd:
            found += of_systemd(began + SYSTEMD_SECONDS, ask)
    except Exception:  # nosec B110 # what systemd does not say is left out
        pass
    where = places or schedule.Places()
    found += of_cron(where, under_systemd, began + SECONDS, _inherited())
    return found


def _inherited() -> dict[str, str]:
    """What cron's commands have beneath the lines of a crontab, where it is not what crontab(5) says."""
    daemon = crondaemon.find()
    return {"PATH": daemon.path} if daemon is not None and daemon.path else {}


def refused(places: Optional[schedule.Places] = None) -> list[Job]:
    """The lines about certbot that cron does not run: each says why in ``refused``, in words."""
    where = places or schedule.Places()
    found = []
    for path, user_column, table in crontables.tables(where, time.monotonic() + SECONDS):
        for number, line, reason in table.unreadable:
            if _mentions(line):
                found.append(_refused(path, number, line, reason))
        for entry in table.entries:
            if user_column and _NO_USER.fullmatch(entry.user) and _mentions(f"{entry.user} {entry.command}"):
                reason = "there is no user's name before the command"
                found.append(_refused(path, entry.line_number, entry.text, reason, entry))
    for path, said in crontables.passed_over(where, time.monotonic() + SECONDS):
        line = next(((number, line) for number, line in enumerate(said.split("\n"), 1)
                     if not line.lstrip().startswith("#") and certbotlines.starts(line)), None)
        if line is not None:
            found.append(_refused(path, *line, f"{NOT_ITS_NAME} ({path.name})"))
    return found


# -- systemd -----------------------------------------------------------------------------------------------------------


def of_systemd(deadline: float, ask: Optional[timers.Ask] = None) -> list[Job]:
    """:raises Exception: systemd does not answer."""
    found: list[Job] = []
    for service in serviceunits.started_by_timers(deadline, ask):
        common = {"unit": service.name, "timer": service.timer, "active": service.active,
                  "runs_per_month": service.runs_per_month}
        by_key: dict[str, list[str]] = {}
        for line in service.lines:
            by_key.setdefault(line.key, []).append(line.value)
        settings = _environment(by_key.get("Environment", []))
        lines = [line for line in service.lines if line.key == "ExecStart"]
        if not lines and service.said:
            argv = re.search(r"argv\[\]=(.*?) ;", service.said)
            if argv:
                lines = [serviceunits.Line(service.path or Path("/"), 0, "ExecStart", argv[1], f"ExecStart={argv[1]}")]
        for number, line in enumerate(lines):
            source = f"{service.name} ({line.path})" if line.number else service.name
            job = Job(source, line.path if line.number else None, line.number, line.text, line.value, False, "systemd",
                      user=(by_key.get("User") or ["root"])[-1], settings=settings,
                      after=tuple(by_key.get("ExecStartPost", [])),
                      # systemd.service(5): of several ExecStart each runs when the one before it succeeded
                      before=tuple(by_key.get("ExecStartPre", [])) + tuple(one.value for one in lines[:number]),
                      always=tuple(by_key.get("ExecStopPost", [])), **common)  # type: ignore[arg-type]
            if job.starts():
                found.append(job)
            else:
                found += _scripts_of(job, unit_words(line.value))
    return found


def _environment(values: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        read = shellwords.commands(value.replace("%%", "%")) or []
        for word in [word for one in read for word in (*one.settings, *one.words)]:
            name, equals, said = word.partition("=")
            if equals:
                found[name] = said
    return found


# -- cron --------------------------------------------------------------------------------------------------------------


def of_cron(places: schedule.Places, systemd: bool, deadline: float, inherited: Mapping[str, str]) -> list[Job]:
    """The jobs of crontabs, of the scripts they run, and of /etc/cron.daily and its like."""
    found: list[Job] = []
    for _, user_column, table in crontables.tables(places, deadline):
        for entry in table.entries:
            if user_column and _NO_USER.fullmatch(entry.user):
                continue  # cron does not know such a user: refused() has it
            job = of_entry(entry, user_column)
            job = replace(job, settings={**inherited, **job.settings})
            if crontables.does_nothing(job.command, systemd):
                continue
            found += [job] if job.starts() else list(_scripts_in(job))
    for directory in places.periodic:
        often = _PER_MONTH.get(directory.name.rpartition(".")[2])
        for path, said in crontables.scripts(directory, places, deadline):
            body = crontables.without_comments(said)
            if not crontables.does_nothing(body, systemd):
                found += _of_script(path, said, "root", often, {"PATH": _PERIODIC_PATH})
    return found


# Debian's /etc/crontab and Fedora's 0anacron and /etc/crontab set one with sbin for run-parts.
_PERIODIC_PATH = "/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin"


def of_entry(entry: cron.Entry, user_column: bool) -> Job:
    """A crontab line that cron runs, as a job, whatever it runs."""
    command, cut = percent(entry.command)
    path = Path(entry.source_path) if entry.source_path else None
    return Job(f"{entry.source_path}, line {entry.line_number}", path, entry.line_number, entry.text, command, True,
               "cron", runs_per_month=entry.runs_in_30_days(), user=entry.user if user_column else "",
               settings=entry.settings, fields=entry.fields, cut=cut)


def _scripts_in(job: Job) -> Iterator[Job]:
    """The scripts that a crontab line runs, where they start certbot."""
    for leaf in leaves(parse(job.command) or ()):
        yield from _scripts_of(job, leaf.simple.words)


def _scripts_of(job: Job, words: Sequence[str]) -> list[Job]:
    left = shellwords.bare(words)
    if left and left[0].rsplit("/", 1)[-1] in ("sh", "bash", "dash", "ksh", "zsh", "ash"):
        left = tuple(word for word in left[1:] if not word.startswith("-"))
    path = which(job, left[0]) if left else None
    if left and path is None and left[0].startswith("/"):
        path = Path(left[0])  # handed to a shell, it needs no permission to be executed
    said = crontables.read(path) if path else ""
    if path is None or not said.startswith("#!") and not path.name.endswith(".sh"):
        return []
    made = _of_script(path, said, job.user, job.runs_per_month, job.settings)
    return [replace(one, unit=job.unit, timer=job.timer, active=job.active, caller=job) for one in made]


def _of_script(path: Path, said: str, user: str, often: Optional[float], settings: dict[str, str]) -> list[Job]:
    if len(said) > _SCRIPT_LIMIT or not _mentions(said):
        return []
    if said.startswith("#!") and not re.match(r"#!\s*\S*/(?:env\s+)?(?:ba|da|k|z|a)?sh\b", said):
        return []  # Python, Perl: not a language that is read here
    body = crontables.without_comments(said)
    inside = re.findall(r"^\s*(?:export\s+)?PATH=[\"']?([^\"'\n]*)", body, re.MULTILINE)
    if inside:
        settings = {**settings, "PATH": inside[-1].replace("$PATH", settings.get("PATH", CRON_PATH))}
    for number, line in enumerate(said.split("\n"), 1):
        if not line.lstrip().startswith("#") and certbotlines.starts(line):
            return [Job(f"{path}, line {number}", path, number, line, line.strip(), True, "script",
                        runs_per_month=often, user=user, settings=settings, body=body)]
    if any(certbotlines.starts(line) for line in body.split("\n")):
        return [Job(str(path), path, 1, "", body, True, "script", runs_per_month=often, user=user, settings=settings,
                    body=body)]
    return []


def _refused(path: Path, number: int, line: str, reason: str, entry: Optional[cron.Entry] = None) -> Job:
    command = f"{entry.user} {entry.command}" if entry else line.strip()
    return Job(f"{path}, line {number}", path, number, line, command, True, "cron", refused=reason,
               fields=entry.fields if entry else (), settings=entry.settings if entry else {})


def _mentions(said: str) -> bool:
    return re.search(r"certbot|letsencrypt", said) is not None
