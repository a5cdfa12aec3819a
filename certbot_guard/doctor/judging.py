"""Judges one job: which mistakes its line makes. The line to put instead is :mod:`certbot_guard.doctor.repair`'s."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from certbot_guard import crontables, shellwords, text
from certbot_guard import jobs as finding
from certbot_guard.certbotlines import Start
from certbot_guard.doctor import lines, stopping, timing
from certbot_guard.doctor.result import WARNING, Result
from certbot_guard.doctor.steps import result
from certbot_guard.job import Job, unit_words

if TYPE_CHECKING:
    from certbot_guard.doctor.mistakes import Context

# More than anybody writes; what is beyond is not worth the time
_STARTS_LIMIT = 100
FORCE_WHY = ("Let's Encrypt issues the same names at most 5 times in 7 days, and then refuses also the renewal that is "
             "needed.")


def of_job(job: Job, context: Context) -> list[Result]:
    """The mistakes of one job, without the line to put instead."""
    if crontables.NO_NEWLINE in job.refused:
        return [result("cron-line-refused", job, "cron does not take this line: the file does not end with a newline.",
                       "Debian's cron ignores the whole file then, others its last line; they say so in the log alone.",
                       f"echo >> {shlex.quote(text.line(job.path, 300))}")]
    if job.refused.startswith(finding.NOT_ITS_NAME):
        return [result("cron-line-refused", job, f"cron does not read this file: {text.line(job.refused, 200)}.",
                       "Nothing says so, and certbot never runs by it.", _renamed(job))]
    if job.refused:
        return [result("cron-line-refused", job, f"cron does not take this line: {text.line(job.refused, 200)}.",
                        "cron logs an error and does not run it; in a file of /etc/cron.d it may ignore the whole "
                        "file.",
                        "Write five fields, the user (in /etc/crontab and /etc/cron.d only), and the command.")]
    starts = job.starts()
    if not starts:
        return []
    if len(starts) > _STARTS_LIMIT:
        return [stopping.not_read(job)]
    found: list[Optional[Result]] = [stopping.stops(job, context)]
    found += [timing.percent(job), timing.extra_user(job), timing.not_found(job, context)]
    found += [_auto(job, starts), _forces(job, starts)]
    found += [timing.how_often(job, context), _hooks(job, starts, context), _thrown_away(job, context)]
    found += [_over_others(job, starts, context)]
    return [one for one in found if one is not None]


def _renamed(job: Job) -> str:
    path = job.path or Path(job.source)
    return f"mv -n {shlex.quote(str(path))} {shlex.quote(str(path.with_name(path.name.replace('.', '-'))))}"


def _forces(job: Job, starts: list[Start]) -> Optional[Result]:
    if not any(start.forces for start in starts):
        return None
    return result("force-renewal", job, "This runs by itself and orders new certificates whether they are due or not.",
                   FORCE_WHY, "Leave the option out: certbot renews what is due.")


def _hooks(job: Job, starts: list[Start], context: Context) -> Optional[Result]:
    for start in starts:
        for option in ("--pre-hook", "--post-hook", "--deploy-hook", "--renew-hook"):
            why = hook_trouble(start.value(option) or "", context)
            if why:
                return result("hook-graceful-stop", job, f"Its {option} stops Apache by {why[0]}.", why[1],
                               "Stop it so that the start waits for it, or leave the hooks out and let certbot-guard "
                               "do it (`certbot-guard adopt --retire-hooks`).")
    return None


def hook_trouble(hook: str, context: Context) -> Optional[tuple[str, str]]:
    """How a hook stops Apache, and why that will hurt; None where it does not."""
    for step in lines.read_script(hook).steps:
        stops = step.server == "apache" and step.verb in ("stop", "graceful-stop")
        if not stops or not lines.is_direct(step.simple.words):
            continue
        name = shellwords.bare(step.simple.words)[0].rsplit("/", 1)[-1]
        said = text.line(" ".join(step.simple.words), 100)
        if context.systemd and not (step.verb == "stop" and not context.debian and name == "apachectl"):
            return said, ("It returns while the old Apache still serves its last visitor. systemd counts the unit as "
                          "active until then, so the start afterwards does nothing and exits 0; then the old Apache "
                          "leaves, and the site is down although certbot succeeded.")
        if not context.systemd and step.verb == "stop":
            return said, ("It returns while the old Apache still serves its last visitor. The start afterwards finds "
                          "it and exits 0 (\"already running\"); then the old Apache leaves, and the site is down.")
    return None


def _thrown_away(job: Job, context: Context) -> Optional[Result]:
    caller = job.caller or job
    guarded_all = bool(context.installers) and not context.unguarded()
    starts = job.starts()
    if context.channels and (guarded_all or all(start.guarded for start in starts)):
        return None
    steps = lines.read(caller.whole if caller.shell else shlex.join(unit_words(caller.command))).steps
    for number, step in enumerate(steps):
        ours = step.starts or (job.caller is not None and number == 0)
        if ours and not lines.tells(steps, number):
            if lines.thrown_away(step.simple.redirects):
                return _thrown(caller, _to_nobody(caller, step))
            if no_mail(caller) and not any(">" in one and "&" not in one for one in step.simple.redirects) \
                    and not step.piped:
                return _thrown(caller, 'MAILTO="" above this line has cron throw away what it writes.')
    return None


def _to_nobody(job: Job, step: lines.Step) -> str:
    # dash: `a &> b` is `a &` and then `> b`
    bash = any(name in job.settings.get("SHELL", "") for name in ("bash", "zsh", "ksh"))
    if bash or not any(one.startswith("&>") for one in step.simple.redirects):
        return "Its errors go to /dev/null."
    return "Its errors go to /dev/null where sh is bash; where it is not, this runs certbot in the background."


def _thrown(job: Job, says: str) -> Result:
    return result("output-thrown-away", job, says, "When a renewal fails, certbot says so on standard error, and "
                                                   "here nobody ever reads it: the first sign is an expired "
                                                   "certificate.",
                   "Keep the errors: with --quiet certbot says nothing while all is well." if "MAILTO" not in says else
                   "Write MAILTO=root (or whoever reads it) above this line, or give certbot-guard a channel and put "
                   "`certbot-guard run --` before certbot.", WARNING)


def no_mail(job: Job) -> bool:
    return job.under == "cron" and "MAILTO" in job.settings and not job.settings["MAILTO"].strip()


def _over_others(job: Job, starts: list[Start], context: Context) -> Optional[Result]:
    for start in starts:
        if start.verb == "renew" and start.value("--installer", "-i") == "guard":
            only = start.value("--cert-name")
            others = {name: said for name, said in context.others().items() if only in (None, name)}
            if others:
                listed = text.listed([f"{name} ({said})" for name, said in sorted(others.items())], most=5)
                return result("installer-over-others", job,
                               f"It says --installer guard over lineages that name another installer: {listed}.",
                              "Their renewal configurations keep that installer, so a run without the option, by a "
                              "timer or by hand, is not guarded.",
                               "`certbot-guard adopt` writes it into the renewal configurations; the line needs no "
                               "option then.", WARNING)
    return None


def _auto(job: Job, starts: list[Start]) -> Optional[Result]:
    for start in starts:
        if start.program.endswith("-auto"):
            return result("certbot-auto", job, f"It runs {text.line(start.program, 100)}, which is no longer "
                                               "maintained.",
                           "certbot-auto has had no updates since 2021; on most systems it ends with an error, "
                           "elsewhere it runs an old certbot that one day cannot speak to the CA.",
                           "Install certbot (a package, snap, or pip) and run that.")
    return None
