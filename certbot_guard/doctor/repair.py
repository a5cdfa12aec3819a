"""The line to put instead: whole, for a crontab, a script or a unit, with the user's own times, column and options.

A line that still makes a mistake is not offered. Called by :mod:`certbot_guard.doctor.mistakes`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Optional

from certbot_guard import cron, shellgroups, shellwords
from certbot_guard import job as jobs
from certbot_guard import jobs as finding
from certbot_guard.doctor import commandrepair, judging, leftout, lines, stopping
from certbot_guard.doctor.result import Result
from certbot_guard.doctor.steps import steps_of
from certbot_guard.job import Job

if TYPE_CHECKING:
    from certbot_guard.doctor.mistakes import Context

_TWICE = ("17", "4,16", "*", "*", "*")
# A script that may look how one of its lines ends
_ASKS = re.compile(r"\$[?{]|&&|\|\||\b(?:if|while|until|set|trap)\b")
_TRAP = re.compile(r"\btrap\b")
_DISTRIBUTIONS = ("/lib/", "/usr/lib/", "/run/")


def with_instead(found: list[Result], job: Job, context: Context) -> list[Result]:
    """The same findings, each with the line to put instead where there is one."""
    if not found:
        return []
    made: dict[tuple[str, bool], str] = {}

    def place(result: Result) -> tuple[str, bool]:
        return result.where, bool(job.unit) and result.id == "runs-too-rarely"  # the timer's file, not the service's

    for result in found:
        if place(result) not in made:
            own = job.caller if job.caller is not None and result.where == job.caller.source else job
            made[place(result)] = instead(own, [one for one in found if place(one) == place(result)], context) or ""
    return [replace(result, instead=made[place(result)], remedy=result.remedy if made[place(result)] else
                    result.remedy.replace(stopping.PUT, stopping.BY_HAND)) for result in found]


def instead(job: Job, found: list[Result], context: Context) -> Optional[str]:
    """What to put in place of the job's line, without a mistake; None where there is nothing for certain."""
    ids = {result.id for result in found}
    around = ids & {"cron-stop-and-start", "cron-stop-start-sequence", "unit-stop-and-start"}
    if "line-not-read" in ids or (around and _TRAP.search(job.body or job.whole)):
        return None  # a trap may start the server, too
    if job.unit:
        return _unit(job, ids, context)
    if job.under == "script":
        return _script_line(job, ids, context)
    if job.refused:
        return _with_user(job, context) if job.fields and not job.user else None
    line = _crontab_line(job, ids, context)
    return line if line and _is_fine(line, job, context) else None


def _with_user(job: Job, context: Context) -> Optional[str]:
    """A line whose user was left out, with it, and without what else is wrong."""
    match = re.match(rf"\s*-?(?:\S+[ \t]+){{{len(job.fields)}}}", job.text)
    try:
        entry = cron.parse_line(f"{match[0]}root {job.text[match.end():]}", str(job.path or ""), job.line_number, True,
                                job.settings) if match else None
    except cron.UnreadableError:
        entry = None
    if entry is None:
        return None
    made = replace(finding.of_entry(entry, True), source=job.source)
    found = judging.of_job(made, context)
    return instead(made, found, context) if found else made.text if made.starts() else None


def _crontab_line(job: Job, ids: set[str], context: Context) -> Optional[str]:
    if "\n" in job.text:
        return None
    line, command, user = job.text.rstrip("\r\n"), job.whole, job.user
    head = re.match(rf"(\s*-?)((?:\S+[ \t]+){{{len(job.fields) + bool(user)}}})", line)
    if head is None or not job.fields:
        return None
    if "cron-extra-user" in ids:
        command = command.split(None, 1)[1]
    starts_at = head[1] + head[2]
    if ids & {"runs-too-rarely", "runs-too-often"}:
        starts_at = head[1] + " ".join([*_twice_a_day(job.fields), *([user] if user else [])]) + " "
    mail = ""
    to_guard = False
    if "output-thrown-away" in ids and judging.no_mail(job):
        to_guard, mail = context.channels, "" if context.channels else "MAILTO=root\n"
    plain = replace(job, command=command, cut="")
    if not plain.starts() and job.caller is None and "output-thrown-away" in ids:
        mended: Optional[str] = _errors_kept(command)  # a script of his is run, whose output is thrown away
    else:
        mended = commandrepair.mend(command, plain, context, to_guard)
    return None if mended is None else mail + starts_at + mended.replace("%", "\\%")


def _errors_kept(command: str) -> Optional[str]:
    steps = lines.steps(command)
    if not steps or not lines.thrown_away(steps[0].simple.redirects):
        return command
    one = steps[0].simple
    # Nobody knows whether a script of his is silent; its errors are what is wanted.
    raw = re.sub(r"\s*(?:&>>?|>&|[12]?>>?)\s*/dev/null|\s*2>&1", "", command[one.start:one.end])
    return command[:one.start] + raw + " >/dev/null" + command[one.end:]


def _twice_a_day(fields: tuple[str, ...]) -> tuple[str, ...]:
    """The user's own minute and hour, and twelve hours later."""
    try:
        entry = cron.parse_line(" ".join(fields) + " x")
    except cron.UnreadableError:
        return _TWICE
    if len(fields) != 5 or not entry.minutes:
        return _TWICE
    hours = sorted(entry.hours)
    first = hours[0]
    pair = hours if len(hours) == 2 else sorted({first % 24, (first + 12) % 24})
    minute = min(entry.minutes)
    shown = fields[0] if len(entry.minutes) == 1 else str(minute)
    width = 2 if re.match("0[0-9]", fields[1]) else 1
    return (shown, ",".join(f"{hour:0{width}}" for hour in pair), "*", "*", "*")


def _is_fine(text: str, job: Job, context: Context) -> bool:
    """Judged like any other line, it makes no mistake."""
    *_, line = text.split("\n")
    user_column = bool(job.user)
    table = cron.parse(text, str(job.path or ""), user_column)
    if len(table.entries) != 1 or table.unreadable:
        return False
    entry = replace(table.entries[0], settings={**job.settings, **table.entries[0].settings})
    made = replace(finding.of_entry(entry, user_column), source=job.source)
    if not made.starts():
        return not job.starts()
    others = tuple(other for other in context.jobs if other.source != job.source)
    return not judging.of_job(made, replace(context, jobs=others))


def _script_line(job: Job, ids: set[str], context: Context) -> Optional[str]:
    """The line of the script that starts certbot; what stops and starts the server around it is to go."""
    if lines.steps(job.command) is None and shellgroups.parse(job.command) is None:
        return commandrepair.mend(job.command, job, context) if ids == {"force-renewal"} else None
    around = bool(ids & {"cron-stop-and-start", "cron-stop-start-sequence"})
    whole = steps_of(job)
    where = lines.around(whole)
    if around and where is not None and whole[where[0]].server != "apache":
        return None
    mended = commandrepair.mend(job.command, job, context, to_guard=around)
    if mended is None or mended == job.command:
        return None
    said = job.body.replace(job.command, "") + (job.caller.whole if job.caller else "")
    if around and _ASKS.search(said) and leftout.ends_otherwise(job.command):
        return None
    indent = re.match(r"\s*", job.text)
    made = replace(job, command=mended, body=mended, caller=None, runs_per_month=None)
    return None if judging.of_job(made, context) else (indent[0] if indent else "") + mended


def _unit(job: Job, ids: set[str], context: Context) -> Optional[str]:
    """What to write into the unit, or into a drop-in where the unit is the distribution's."""
    if "runs-too-rarely" in ids:
        return "[Timer]\nOnCalendar=\nOnCalendar=*-*-* 04,16:17:00\nPersistent=true"
    prefix = re.match(r"[-@:+!|]*\s*", job.command)
    words = jobs.unit_words(job.command)
    if not words or prefix is None or "@" in prefix[0]:
        return None
    around = "unit-stop-and-start" in ids
    if not around and job.after and ids & {"cron-stop-and-start", "cron-stop-start-sequence"}:
        return None  # what is in ExecStartPost runs by how this ends
    command = " ".join(map(shlex.quote, words))
    mended = commandrepair.mend(command, job, context, to_guard=around)
    if mended is None:
        return None
    read = shellwords.commands(mended, substitutions=True)
    if read is None or len(read) != 1 or read[0].redirects:
        mended = "/bin/sh -c " + shlex.quote(mended)
    first, space, rest = mended.partition(" ")
    whole = jobs.which(job, first)
    mended = f"{whole or first}{space}{rest}"  # systemd before 239 takes whole paths only
    value = prefix[0] + mended.replace("%", "%%")
    if around and any(shellwords.server_verb(read_) and shellwords.hook_verb(shlex.join(read_)) is None
                      for read_ in map(jobs.unit_words, (*job.before, *job.after, *job.always))):
        return None  # it stops a second server, too
    kept = [one for one in job.before if shellwords.server_verb(jobs.unit_words(one)) is None]
    made = replace(job, command=value, runs_per_month=None)
    made = replace(made, before=tuple(kept), after=(), always=()) if around else made
    if judging.of_job(made, context):
        return None
    if around:
        then = [one for one in job.after if shellwords.server_verb(jobs.unit_words(one)) is None]
        return "\n".join(["[Service]", "ExecStartPre=", *(f"ExecStartPre={one}" for one in kept), "ExecStart=",
                          f"ExecStart={value}", "ExecStartPost=", *(f"ExecStartPost={one}" for one in then)]
                         + (["ExecStopPost="] if job.always else []))
    if str(job.path).startswith(_DISTRIBUTIONS) or job.path is None:
        return f"[Service]\nExecStart=\nExecStart={value}"
    return f"ExecStart={value}"
