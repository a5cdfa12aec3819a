"""The commands of one job, and a finding about it. Shared by the modules that judge jobs."""

from __future__ import annotations

import shlex

from certbot_guard import job as jobs
from certbot_guard.doctor import lines
from certbot_guard.doctor.result import PROBLEM, Result
from certbot_guard.job import Job


def reading_of(job: Job) -> lines.Reading:
    """What a job's line or script says, as far as it can be told."""
    if job.body:
        return lines.read_script(job.body)
    if job.shell:
        return lines.read(job.whole)
    words = jobs.unit_words(job.command)
    return lines.read(shlex.join(words)) if words else lines.Reading((), (), (job.command,))


def steps_of(job: Job) -> list[lines.Step]:
    """The commands of a job; empty where they cannot be told."""
    return list(reading_of(job).steps)


def result(id_: str, job: Job, says: str, why: str, remedy: str, status: str = PROBLEM) -> Result:
    """What is wrong with a job's line; the line to put instead is put in later."""
    return Result(id_, status, says, job.source, job.text.strip("\r\n"), why, remedy)
