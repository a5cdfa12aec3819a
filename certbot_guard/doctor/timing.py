"""Judges when a job runs, and whether cron runs it as it is meant. Used by :mod:`certbot_guard.doctor.judging`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from certbot_guard import cron, shellwords, text
from certbot_guard import job as jobs
from certbot_guard.doctor.result import Result
from certbot_guard.doctor.steps import result, steps_of
from certbot_guard.job import Job

if TYPE_CHECKING:
    from certbot_guard.doctor.mistakes import Context

# A little less than daily on the average of a year still is daily.
RARE, OFTEN = 29.0, 30.0 * 49


def how_often(job: Job, context: Context) -> Optional[Result]:
    caller = job.caller or job
    often = caller.runs_per_month
    if often is not None and often > OFTEN and caller.under == "cron":
        return result("runs-too-often", caller, f"This starts certbot about {round(often / 30)} times a day.",
                       "While a renewal fails, each start is another failed order: Let's Encrypt allows 5 failed "
                       "validations of a name an hour. Starts that overlap end with an error.",
                      "Twice a day is enough.")
    boot_only = caller.fields == ("@reboot",)
    total = sum(_days(other.caller or other) for other in context.jobs
                if other.active is not False and not other.refused and (other.caller or other) != caller)
    if (often is None and not boot_only) or _days(caller) + total >= RARE:
        return None
    says = ("certbot runs only when this machine starts." if boot_only else "certbot runs on about "
                                                                            f"{_times(_days(caller))}.")
    by_directory = not caller.fields and not caller.timer
    remedy = ("Put the script into /etc/cron.daily, or call it from a crontab line twice a day." if by_directory else
              "Run it twice a day; certbot does nothing while nothing is due.")
    return result("runs-too-rarely", caller, says,
                  "One failure, such as a CA that is not available for a minute, and the next try is a long time "
                  "away: certificates of 90 days have 30 days for it, those of 47 days less, those of 6 days none.",
                  remedy)


def _days(job: Job) -> float:
    """On how many of 30 days it runs: sixty times in one hour are one."""
    often = job.runs_per_month or 0.0
    if len(job.fields) != 5:
        return often
    try:
        entry = cron.parse_line(" ".join(job.fields) + " x")
    except cron.UnreadableError:
        return often
    return often / (len(entry.hours) * len(entry.minutes))


def _times(often: float) -> str:
    if often < 0.9:
        return f"{max(1, round(often * 12.17))} days of the year"
    return "one day of the month" if often < 1.5 else f"{round(often)} days of the month"


def percent(job: Job) -> Optional[Result]:
    if not job.cut or " #" in job.command:
        return None
    return result("cron-percent", job, f"cron cuts this command at the %: only {text.line(job.command, 120)} is run.",
                   "In a crontab % ends the command unless there is a backslash before it.", "Write \\% for each %.")


def extra_user(job: Job) -> Optional[Result]:
    words = job.command.split(None, 2)
    if job.under != "cron" or job.user or len(words) < 2 or words[0] not in ("root", "www-data", "certbot"):
        return None
    if words[0] == "certbot" and words[1] not in ("certbot", "/usr/bin/certbot", "root", "test"):
        return None
    return result("cron-extra-user", job, f"A user's own crontab has no column for the user: {words[0]} is taken for "
                                          "the program.",
                   "The shell does not find such a program, and certbot never runs.", "Leave the user's name out.")


def not_found(job: Job, context: Context) -> Optional[Result]:
    if job.under != "cron" or extra_user(job):
        return None
    missing = missing_programs(job, context)
    if not missing:
        return None
    shown = text.listed([f"{name} (it is {path})" for name, path in missing.items()], most=4)
    return result("program-not-found", job, f"cron does not find {shown}.",
                   f"This line's PATH is {text.line(jobs.search_path(job), 160)}, which is shorter than that of a "
                   "login.",
                   "Write whole paths, or a PATH line above this one.")


def missing_programs(job: Job, context: Context) -> dict[str, str]:
    """The programs of a line that its own PATH does not have, and where they are. Those that are nowhere are left "
      "out."""
    found: dict[str, str] = {}
    for step in steps_of(job) if not job.body and not jobs.OTHER_PATH.search(job.whole) else []:
        names = [words[0] for words in [shellwords.bare(step.simple.words)] if words]
        names += [start.program for start in step.starts]
        for name in names:
            if not name or "/" in name or "$" in name or name in found or jobs.which(job, name) is not None:
                continue
            elsewhere = context.find_program(name)
            if elsewhere is not None:
                found[name] = str(elsewhere)
    return found
