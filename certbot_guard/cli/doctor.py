"""``certbot-guard doctor``: what will make a renewal fail, go unguarded, or go unheard on this machine."""

from __future__ import annotations

import difflib
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Optional, Sequence

import click

from certbot_guard import config as configuration
from certbot_guard.cli.shared import refuse_who_may_not_read

_WIDTH_ELSEWHERE = 100
_WIDEST = 120


def _identifiers(context: click.Context, parameter: click.Parameter, value: Sequence[str]) -> tuple[str, ...]:
    from certbot_guard.doctor import catalogue

    known = catalogue.identifiers()
    for one in value:
        if one not in known:
            near = difflib.get_close_matches(one, known, 1, 0.5)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise click.BadParameter(f"there is no check {one!r}{meant} (certbot-guard doctor --list names them all)")
    return tuple(value)


def _completions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    from certbot_guard.doctor import catalogue

    return [one for one in catalogue.identifiers() if one.startswith(incomplete)]


@click.command("doctor", short_help="Look for what will make a renewal fail, or go unheard.")
@click.option("--json", "as_json", is_flag=True, help="For other programs; docs/doctor.md says what is in it.")
@click.option("--list", "list_them", is_flag=True, help="Name and explain every check, and look at nothing.")
@click.option("--only", multiple=True, metavar="ID", callback=_identifiers, shell_complete=_completions,
              help="Make this check alone. More than once for more.")
@click.option("--skip", multiple=True, metavar="ID", callback=_identifiers, shell_complete=_completions,
              help="Leave this check out. More than once for more.")
@click.option("--offline", is_flag=True, help="Ask nothing of other machines.")
@click.option("--strict", is_flag=True, help="Exit code 1 for a warning, too.")
@click.option("--config-dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="certbot's "
              "configuration directory, instead of the one guard.ini names or is in.")
@click.option("--logs-dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="certbot's logs "
              "directory.")
@click.pass_obj
def doctor(config_path: Path, as_json: bool, list_them: bool, only: tuple[str, ...], skip: tuple[str, ...],
           offline: bool, strict: bool, config_dir: Optional[Path], logs_dir: Optional[Path]) -> None:
    """Look at this machine: certbot and its plugin, guard.ini and its channels, lineages, web server, timers and
    crontabs, disk, network and clock. Say of each check whether it is well, and if not why it matters and what to do.

    Changes nothing and sends no message: "certbot-guard notify test" does that.

    Exit code 1: there is a problem.
    """
    from certbot_guard.doctor import showing
    from certbot_guard.doctor.result import PROBLEM, WARNING

    if list_them:
        _list()
        return
    refuse_who_may_not_read(config_path)
    if os.geteuid() != 0:
        click.echo("certbot-guard: you are not root: what root alone may look into is not known to this look", err=True)
    found = _found(config_path, set(only), set(skip), offline, config_dir, logs_dir)
    bad = (PROBLEM, WARNING) if strict else (PROBLEM,)
    is_ok = not any(one.status in bad for one in found)
    if as_json:
        click.echo(showing.as_json(found, is_ok))
    else:
        _show(found)
    sys.exit(0 if is_ok else 1)


def _found(config_path: Path, only: set[str], skip: set[str], offline: bool, config_dir: Optional[Path],
           logs_dir: Optional[Path]) -> list[Any]:
    from certbot_guard.cli.progress import progress
    from certbot_guard.doctor import catalogue, mistakes, of_jobs, running, spelling
    from certbot_guard.doctor.host import Host
    from certbot_guard.doctor.result import OK, Result

    the_lines = of_jobs.GROUP.checks[0].id
    named = set() if the_lines in only else only & {one.id for one in mistakes.MISTAKES}
    wanted = only | ({the_lines} if named else set())
    checks = [one for one in catalogue.checks() if (not only or one.id in wanted) and one.id not in skip]
    host = Host(configuration.load(config_path), offline, config_dir and config_dir.absolute(), logs_dir)
    with progress("looking at this machine ..."):
        found = running.run(host, checks)
    found = [one for one in found if one.id not in skip and (not named or one.id in only)]
    used = host.__dict__.get("used") or []  # asked for by a check, or not known
    found = spelling.spelled(found, config_path.absolute(), used[0].program if used else None)
    return found + [Result(id, OK, "there is none") for id in sorted(named - skip - {one.id for one in found})]


def _show(found: Sequence[Any]) -> None:
    from certbot_guard.cli import shown
    from certbot_guard.doctor import showing

    page = shown.page()
    for line in showing.lines(found, min(page.width or _WIDTH_ELSEWHERE, _WIDEST), page.colour):
        shown.say(line)


def _list() -> None:
    import textwrap

    from certbot_guard.doctor import catalogue, mistakes, of_jobs

    width = min(shutil.get_terminal_size((_WIDTH_ELSEWHERE, 24)).columns, _WIDEST)
    for group in catalogue.GROUPS:
        click.echo(group.title)
        ones: list[Any] = [*group.checks, *(mistakes.MISTAKES if group is of_jobs.GROUP else ())]
        for one in ones:
            click.echo(f"  {one.id}: {one.title}")
            click.echo(textwrap.fill(one.explanation, max(40, width), initial_indent="    ", subsequent_indent="    "))
        click.echo()
