"""What setup finds and does not mend: lines with a mistake, nothing that starts certbot, a certbot without this plugin.

Each is said with what to do, and is left for a person to do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from certbot_guard import text, trust
from certbot_guard.setup import surveying
from certbot_guard.setup.surveying import Survey
from certbot_guard.setup.work import Work

if TYPE_CHECKING:
    from certbot_guard.config import Config
    from certbot_guard.doctor.result import Result

_WIDTH = 100
# certbot reads this one whatever its --config-dir is (5.8, cli_constants.py: CLI_DEFAULTS["config_files"])
CLI_INI = "/etc/letsencrypt/cli.ini"


def notice(work: Work, survey: Survey) -> bool:
    """All of it is said; false: a person wants to mend it first."""
    places: dict[tuple[str, str], list[Result]] = {}
    for one in survey.mistakes:
        places.setdefault((one.where, one.line), []).append(one)
    for (where, line), found in places.items():
        _say(work, text.line(where, 200), line, found)
    if places:
        work.say("", "  setup changes no crontab, no unit and no script of yours: this is for you to change.")
    if not any(job.active is not False for job in survey.jobs):
        work.say("", "  Nothing starts certbot here. Put this line into root's crontab (crontab -e):",
                 f"    {surveying.line_to_add(survey)}")
        work.tally.left.append("have certbot started twice a day: the line for root's crontab is above")
    _say_whose_settings(work, survey)
    for one in survey.blind:
        program, command = text.line(one.program, 200), work.machine.how_to_install_guard(one)
        work.say("", f"  {program} does not see certbot-guard. This makes it see it:", f"    {command}")
        work.tally.left.append(f"make {program} see certbot-guard: {command}")
    if survey.blind and work.asker.asks and not work.asker.yes("blind", "Go on without?", False):
        work.tally.skipped.append("everything else")
        return False
    return True


def forget_mended(work: Work, survey: Survey, settings: Config) -> None:
    """What has been mended since it was said is not left to do: hooks that were taken out of a renewal configuration."""
    if not survey.mistakes or work.wishes.plan:
        return
    there = {_file(one) for one in work.machine.mistakes(settings, survey.jobs, survey.lineages, True)}
    mended = [f"mend {text.line(one.where, 200)}: " for one in survey.mistakes if _file(one) not in there]
    work.tally.left[:] = [item for item in work.tally.left if not item.startswith(tuple(mended))]


def _file(one: Result) -> str:
    """Line numbers have moved where a line was taken out."""
    return one.where.rpartition(", line ")[0] or one.where


def _say_whose_settings(work: Work, survey: Survey) -> None:
    """Where certbot reads another guard.ini than this one, what is written here would tell nobody."""
    for config_dir in survey.lineages:
        read = work.machine.settings_of_certbot(config_dir)
        if os.path.realpath(read) == os.path.realpath(work.config_path):
            continue
        ours = trust.shown(work.config_path)
        work.say("", *fill(
            f"With {text.line(config_dir)}, certbot reads {trust.shown(read)} and not {ours}: who is told of a renewal "
            f"is what stands there. To have it read this one, put this line into {CLI_INI}:", _WIDTH,
            initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False,
            break_long_words=False).split("\n"), f"    guard-config = {ours}")
        work.tally.left.append(f"have certbot read this guard.ini: guard-config = {ours} in {CLI_INI}")


def _say(work: Work, where: str, line: str, found: Sequence[Result]) -> None:
    """One line of somebody's, all that is wrong with it, and what to put in its place."""
    work.say("", f"  {where}{':' if line else ''}", *([f"    {_printable(line)}"] if line else []))
    for one in found:
        work.say(fill(f"{one.says}{f' {one.why}' if one.why else ''}", _WIDTH, initial_indent="  - ",
                      subsequent_indent="    "))
    instead = dict.fromkeys(_printable(one.instead) for one in found if one.instead)
    remedies = dict.fromkeys(one.remedy for one in found if one.remedy and not one.instead)
    for word in instead:
        work.say("  Put instead:", f"    {word}")
    work.say(*(f"  To do: {remedy}" for remedy in remedies))
    work.tally.left.append(f"mend {where}: {'the line to put instead' if instead else 'what is wrong'} is above")


def _printable(words: str) -> str:
    """A line to be copied: as it is, but for what a terminal would act on."""
    return "".join(letter if letter.isprintable() else "?" for letter in words)
