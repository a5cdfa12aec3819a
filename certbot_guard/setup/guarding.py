"""The steps of setup about the guard itself: certificates get it, units are installed, and a renewal is rehearsed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Sequence

from certbot_guard import config, text, trust
from certbot_guard.errors import GuardError
from certbot_guard.setup.surveying import Survey
from certbot_guard.setup.work import CONFIG_DIR, Work

if TYPE_CHECKING:
    from certbot_guard.adoption import Change
    from certbot_guard.adoption import Survey as Adoptable
    from certbot_guard.units.installing import Plan


# -- adoption --------------------------------------------------------------------------------------------------------


def adopt(work: Work, survey: Survey) -> None:
    """The certificates that a person, or an option, wants to have it have ``installer = guard``."""
    if work.wishes.adopt == ():
        work.leave_out("give certificates the guard")
        return
    if not survey.every_lineage and not work.wishes.adopt:
        command = _adopt_command(work, next(iter(survey.lineages), CONFIG_DIR), "--all")
        work.say(f"  There is no certificate yet. When certbot has got one: {command}")
        work.tally.left.append(f"get a certificate, then: {command}")
        return
    for config_dir in survey.lineages:
        try:
            _adopt_in(work, config_dir, survey)
        except GuardError as error:
            work.fail(f"give the certificates in {config_dir} the guard", error)


def _adopt_in(work: Work, config_dir: Path, survey: Survey) -> None:
    retire = work.wishes.retire_hooks
    # Asked for with their hooks, so that those of a certificate that has the guard are found, too.
    found = work.machine.adoptable(config_dir, work.wishes.adopt, retire is not False)
    work.tally.failed += found.problems
    work.say(*(f"  {one}" for one in (*found.problems, *found.remarks)))
    others = [one.lineage for one in found.others if _gives_up_its_installer(work, config_dir, one)]
    hooks = [line for one in _wanted(found, others) if one.retired for line in _hooks(one)]
    if hooks and retire is None and not _retires(work, hooks):
        found = work.machine.adoptable(config_dir, work.wishes.adopt, False)
    changes = _wanted(found, others)
    if not changes:
        if not (found.others or found.problems):
            work.say(f"  Every certificate in {text.line(config_dir)} has the guard.")
        return
    if survey.blind and not _would_hold(work, survey):
        return
    for one in changes:
        work.say(f"  {text.line(one.path, 200)}:", *(f"    {line}" for line in one.difference()))
    names = text.listed([one.lineage for one in changes], 5)
    work.do("adopt", f"give the guard to {names}", "Write this into the renewal configurations?",
            lambda: _carry_out(work, config_dir, changes))


def _wanted(found: Adoptable, others: Sequence[str]) -> list[Change]:
    return [*found.changes, *(one for one in found.others if one.lineage in others)]


def _carry_out(work: Work, config_dir: Path, changes: Sequence[Change]) -> str:
    """What was done, in words. What of it could not be done is one failure for each file."""
    done = work.machine.adopt(config_dir, changes)
    for one in [one for one in done if one.problem]:
        work.fail(f"give {text.line(one.lineage, 100)} the guard", one.problem)
    names = [one.lineage for one in done if not one.problem]
    return f"gave the guard to {text.listed(names, 5)}" if names else ""


def _would_hold(work: Work, survey: Survey) -> bool:
    programs = ", ".join(text.line(one.program, 200) for one in survey.blind)
    work.say(f"  {programs} does not see certbot-guard: at the next renewal it would take 'installer = guard' out "
             "again.")
    if not work.wishes.plan and work.asker.yes("adopt-blind", "Go on all the same?", False):
        return True
    words = f"give certificates the guard: {programs} does not see certbot-guard"
    (work.tally.skipped if work.asker.asks else work.tally.failed).append(words)
    return False


def _adopt_command(work: Work, config_dir: Path, *words: str) -> str:
    """For a person to copy. The directory is named where adopt might take another one by itself."""
    where = [] if config_dir == CONFIG_DIR else ["--config-dir", trust.shown(config_dir)]
    return f"{work.ours} {shlex.join(['adopt', *where, *words])}"


def _gives_up_its_installer(work: Work, config_dir: Path, change: Change) -> bool:
    name, installer = text.line(change.lineage, 100), text.line(change.installer_before, 40)
    question = (f"  {name} names the installer {installer}. With the guard the reload after a renewal is "
                "certbot-guard's. Take it in?")
    if not work.wishes.plan and work.asker.yes("adopt-other", question, False):
        return True
    command = _adopt_command(work, config_dir, "--cert-name", name)
    work.say(f"  {name} names the installer {installer} and is left as it is; to change that: {command}")
    return False


def _retires(work: Work, hooks: Sequence[str]) -> bool:
    work.say("  These hooks only stop and start the web server, which the guard does where it is needed:", *hooks)
    if work.asker.yes("retire", f"Take them out? ({work.ours} release puts them back)"):
        return True
    work.say(f"  They are left; {work.ours} setup --retire-hooks takes them out.")
    return False


def _hooks(one: Change) -> list[str]:
    return [f"    {text.line(one.lineage, 100)}: {key} = {text.line(value, 200)}" for key, value in one.hooks]


# -- units -----------------------------------------------------------------------------------------------------------


def install_units(work: Work) -> None:
    """The units, or the cron.d file, are there as they should be."""
    from certbot_guard import config as configuration

    if work.asker.is_settled("units") and not work.asker.yes("units", ""):
        work.leave_out("install the units")
        return
    try:
        plan = work.machine.unit_plan(configuration.load(work.config_path))
    except GuardError as error:
        work.fail("install the units", error)
        return
    if not plan:
        work.say("  They are there as they should be.")
        return
    # A line that is indented is a line of a file.
    work.say(*(f"  {line}" for line in plan.lines if not line.startswith(" ")))
    if work.wishes.plan:
        work.say(f"  Every line of them: {work.ours} units show")
    work.do("units", f"install what {plan.target} starts: the hourly watch, the boot unit" if plan.target == "systemd"
            else "install the cron.d file: the hourly watch, and what finishes at boot", "Write and start them?",
            lambda: _install(work, plan), details=plan.lines)


def _install(work: Work, plan: Plan) -> str:
    work.machine.install_units(plan)
    return ("installed what systemd starts: the hourly watch, the boot unit" if plan.target == "systemd" else
            "installed the cron.d file: the hourly watch, and what finishes at boot")


# -- the rehearsal ---------------------------------------------------------------------------------------------------


def rehearse(work: Work, survey: Survey) -> None:
    """``certbot renew --dry-run`` has run in this terminal, where that is wanted."""
    if not survey.every_lineage or work.wishes.plan:
        why = "Nothing is tried with --plan." if survey.every_lineage else "There is no certificate to try it with."
        work.say(f"  {why}")
        return
    if work.asker.is_settled("dry-run") and not work.asker.yes("dry-run", "") or not (
            work.asker.asks or work.asker.is_settled("dry-run")):
        work.leave_out("the dry run")
        return
    stopped = [one.name for one in survey.every_lineage if one.authenticator == "standalone"]
    work.say("  certbot asks the CA's server for tests for each certificate, and saves none of them.")
    if stopped:
        for words in _what_is_stopped(work, text.listed(stopped)):
            work.say(f"  {words}")
    commands = [dry_run(survey.certbot, path) for path, found in survey.lineages.items() if found]
    if not work.asker.yes("dry-run", f"Run {' and '.join(map(shlex.join, commands))}?", False):
        work.tally.skipped.append("the dry run")
        return
    for command in commands:
        try:
            code: Optional[int] = work.machine.run(command)
        except GuardError as error:
            work.fail("the dry run", error)
            continue
        if code:
            work.tally.failed.append(f"the dry run: certbot ended with code {code}; {work.ours} explain says why")
        else:
            work.tally.tried.append("the dry run went well")


def _what_is_stopped(work: Work, names: str) -> Sequence[str]:
    if config.load(work.config_path).server.mode == "stop":
        return [f"The web server is stopped for some seconds for each of: {names}"]
    return ["A challenge that needs Apache's port passes through it where that is possible; else the web server is",
            f"stopped for some seconds. It is needed for: {names}"]


def dry_run(certbot: Path, config_dir: Path) -> Sequence[str]:
    # Without a terminal on its standard input certbot would wait for up to 8 minutes first.
    where = [] if config_dir == CONFIG_DIR else ["--config-dir", str(config_dir)]
    return [str(certbot), "renew", "--dry-run", "--no-random-sleep-on-renew", *where]
