"""Judges how a job stops and starts the web server around certbot. Used by :mod:`certbot_guard.doctor.judging`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from certbot_guard import certbotlines, shellwords, text
from certbot_guard import job as jobs
from certbot_guard.doctor import lines
from certbot_guard.doctor.reached import reached
from certbot_guard.doctor.result import WARNING, Result
from certbot_guard.doctor.steps import reading_of, result
from certbot_guard.job import Job

if TYPE_CHECKING:
    from certbot_guard.doctor.mistakes import Context

# What to do where there is a line to put instead, and where there is none
PUT = "Put this line instead"
BY_HAND = "Take out what stops and starts Apache, and put `certbot-guard run --` before certbot"
# The word alone: not in the name of a file
STOP = re.compile(r"(?<![\w./-])(?:one|graceful-)?stop(?:-graceful)?(?![\w./-])")
_START = re.compile(r"\b(?:one|re|onere)?start\b")
_ITS_END = re.compile(r"\$(?:\?|\{\?\})")


def stops(job: Job, context: Context) -> Optional[Result]:
    if job.before and job.unit:
        found = _unit_stops(job)
        if found:
            return found
    reading = reading_of(job)
    steps = reading.steps
    where = lines.around(steps)
    if where is None:
        return _not_read(job, reading)
    stop, certbot, start = where
    started_unseen = any(_START.search(piece) for piece in reading.unread)
    if start is None and started_unseen:
        return not_read(job)
    server = it = "Apache" if steps[stop].server == "apache" else text.line(steps[stop].server, 60)
    if "$" in server or "`" in server:
        server, it = "A server", "that server"
    remedy = f"Let certbot stop {it} itself, by hooks: they run only when something is due."
    if server == "Apache":
        remedy = (f"{PUT}: Apache serves on, and is stopped, for some seconds, only for a challenge that cannot pass "
                  "through it." + _adopt(context))
    if start is None:
        says = f"{server} is stopped before certbot runs, and this line does not start it again."
        return result("cron-stop-and-start", job, says,
                      f"certbot's hooks run only when a renewal is tried: while nothing is due, {it} is stopped "
                      "and stays down.", remedy)
    after = lines.starts_after(steps, stop, certbot)
    failing, succeeding = (reached(reading.nodes, certbot, succeeds) for succeeds in (False, True))
    if all(succeeding[number] is False for number in after):
        says = f"{server} is started again only if certbot fails."
        return result("cron-stop-and-start", job, says,
                      "certbot succeeds also while nothing is due: then the start is not reached, and "
                      f"{it} stays down until somebody looks. Nobody is told.", remedy)
    if not any(failing[number] for number in after):
        if started_unseen:
            return not_read(job)
        asked = any(_ITS_END.search(word) for step in steps[certbot + 1:after[-1] + 1]
                    for word in (*step.simple.words, *step.simple.settings))
        if not asked and not all(failing[number] is False for number in after):
            return result("cron-stop-and-start", job, f"{server} is started again only under a condition.",
                          f"Where it does not hold, {it} stays down until somebody looks. Nobody is told.", remedy)
        why = ("If the CA does not answer for a minute, or one of the names fails, certbot ends with an error, the "
               f"start is not reached, and {it} stays down until somebody looks. Nobody is told.")
        if context.systemd and lines.is_direct(steps[stop].simple.words):
            why += (" Under systemd it may stay down even when certbot succeeds: while the old Apache still serves a "
                    "visitor, the start does nothing and exits 0.")
        return result("cron-stop-and-start", job, f"{server} is started again only if certbot succeeds.", why, remedy)
    why = (f"{server} is down for the whole run, every time, also when nothing is due; as long as the CA lets certbot "
           "wait; and for good if certbot or the machine is killed meanwhile.")
    if context.systemd and lines.is_direct(steps[stop].simple.words):
        why += (" Under systemd the start may do nothing while the old Apache still serves a visitor: it exits 0, "
                "and Apache is down.")
    return result("cron-stop-start-sequence", job, f"{server} is stopped for the whole of every run.", why, remedy)


def _not_read(job: Job, reading: lines.Reading) -> Optional[Result]:
    """A word for what may be such a stop, and cannot be told."""
    stops_here = any(step.verb in ("stop", "graceful-stop") for step in reading.steps)
    unsure = any(STOP.search(piece) or (stops_here and certbotlines.starts(piece)) for piece in reading.unread)
    return not_read(job) if unsure else None


def not_read(job: Job) -> Result:
    what = "this script" if job.body else "this line"
    return result("line-not-read", job, f"Whether {what} stops a web server around certbot cannot be told: there is "
                  "more in it than doctor can read.",
                  "A server that is stopped around certbot is down for the whole of every run, and stays down where "
                  "the start after it is not reached.",
                  "Look whether it stops a web server. Where it does, take out what stops and starts it, and put "
                  "`certbot-guard run --` before certbot.", WARNING)


def _unit_stops(job: Job) -> Optional[Result]:
    before, after, always = ([shellwords.server_verb(jobs.unit_words(value)) for value in values]
                             for values in (job.before, job.after, job.always))
    if not {"stop", "graceful-stop"} & set(before):
        return None
    remedy = (f"Put these lines into a drop-in (systemctl edit {job.unit}): certbot-guard stops Apache only for a "
              "challenge that cannot pass through it.")
    if "start" in always or "restart" in always:
        return result("unit-stop-and-start", job, "Apache is stopped for the whole of every run of this service.",
                      "ExecStartPre stops it also when nothing is due, and it is down for as long as certbot takes.",
                      remedy, WARNING)
    started = "start" in after or "restart" in after
    says = ("Apache is stopped before certbot runs, and started again only if certbot succeeds." if started else
            "Apache is stopped before certbot runs, and this service does not start it again.")
    return result("unit-stop-and-start", job, says, "ExecStartPost runs only when ExecStart succeeded: when certbot "
                                                    "fails, Apache stays down, and nobody is told.", remedy)


def _adopt(context: Context) -> str:
    if context.installers and not context.unguarded():
        return ""
    return (" `certbot-guard adopt` gives the lineages their guard, so that every other way to run certbot is "
            "guarded, too.")
