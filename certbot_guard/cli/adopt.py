"""``certbot-guard adopt`` and ``release``: lineages get the guard in their renewal configurations, and lose it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, Optional

import click

from certbot_guard import adoption
from certbot_guard import config as configuration
from certbot_guard.cli.completion import LINEAGE
from certbot_guard.cli.progress import is_terminal, progress
from certbot_guard.cli.shared import refuse_who_may_not_read
from certbot_guard.text import line, listed
from certbot_guard.trust import shown

# sysexits.h, EX_TEMPFAIL
TRY_AGAIN = 75
_USUAL = Path("/etc/letsencrypt")
_HOOKS = "These hooks only stop and start the web server, which certbot-guard does where it is needed"

_NAMES = click.option("--cert-name", "names", multiple=True, metavar="NAME", type=LINEAGE,
                      help="This certificate; may be given again.")
_ALL = click.option("--all", "everything", is_flag=True, help="Every certificate of this certbot.")
_YES = click.option("--yes", is_flag=True, help="Do not ask.")
_WHERE = click.option("--config-dir", type=click.Path(path_type=Path, file_okay=False), default=None,
                      help="certbot's directory; without this, [certbot] config_dir of the settings, or "
                      "/etc/letsencrypt.")


@click.command("adopt", short_help="Give certificates the guard, in their renewal configurations.")
@_NAMES
@_ALL
@click.option("--retire-hooks/--keep-hooks", default=None, help="Take out hooks that only stop and start the web "
              "server, or leave them; without this it is asked, and on no terminal they are left.")
@_YES
@_WHERE
@click.pass_obj
def adopt(config_path: Path, names: Sequence[str], everything: bool, retire_hooks: Optional[bool], yes: bool,
          config_dir: Optional[Path]) -> None:
    """Set 'installer = guard' in renewal configurations, so that plain 'certbot renew' is guarded, too; shown and asked
    first. Doing it again changes nothing. 'certbot-guard release' gives each file back as it was.

    Exit code 1: a file was left alone, and why; 75: another certbot is at work, and nothing was changed.
    """
    where = _directory(config_path, config_dir)
    chosen = _chosen(names, everything, where)
    with progress("Looking at renewal configurations ..."):
        found = adoption.survey(where, chosen, retire_hooks=retire_hooks is not False)
    _say([*found.problems, *found.remarks])
    hooks = [change for change in (*found.changes, *found.others) if change.retired]
    if hooks and retire_hooks is None:
        for change in hooks:
            for key, value in change.hooks:
                click.echo(f"{line(change.lineage)}: {key} = {line(value, 200)}")
        if _terminal() and not yes:
            retire_hooks = click.confirm(f"{_HOOKS}. Take them out? (release puts them back)", default=True)
        else:
            click.echo(f"{_HOOKS}. They are left; --retire-hooks takes them out.")
        if not retire_hooks:
            found = adoption.survey(where, chosen)
    changes = list(found.changes)
    if found.others:
        _show(found.others)
        others = listed(change.lineage for change in found.others)
        if _terminal() and not yes:
            changes += found.others if click.confirm(f"Change these, too: {others}?") else ()
        else:
            click.echo(f"Left, since another installer is named there: {others}. Name them with --cert-name to change "
                       "them.")
    _carry_out(changes, adoption.adopt, where, yes, bool(found.problems),
               "Nothing is to be changed." if found.problems or found.others else
               "Every certificate asked for has the guard; nothing was changed." if found.as_wanted else
               "There are no certificates; nothing was changed.")


@click.command("release", short_help="Give renewal configurations back as they were before adopt.")
@_NAMES
@_ALL
@_YES
@_WHERE
@click.pass_obj
def release(config_path: Path, names: Sequence[str], everything: bool, yes: bool, config_dir: Optional[Path]) -> None:
    """Take the guard out of renewal configurations; shown and asked first. A file that nobody has changed since adopt
    is what it was, to the letter; in another one the installer and the hooks that were taken out are as they were, and
    the rest stays.

    Exit code 1: a file was left alone, and why; 75: another certbot is at work, and nothing was changed.
    """
    where = _directory(config_path, config_dir)
    chosen = _chosen(names, everything, where)
    with progress("Looking at renewal configurations ..."):
        found = adoption.survey_release(where, chosen)
    _say([*found.problems, *found.remarks])
    _carry_out(list(found.changes), adoption.release, where, yes, bool(found.problems),
               "Nothing is to be changed." if found.problems else
               "No certificate asked for has the guard; nothing was changed.")


def _directory(config_path: Path, named: Optional[Path]) -> Path:
    if named is not None:
        return named.absolute()
    refuse_who_may_not_read(config_path)
    configured = configuration.load(config_path).certbot_config_dirs
    if len(configured) > 1:
        raise click.UsageError(f"[certbot] config_dir in {config_path} names {listed(configured)}: say which with "
                               "--config-dir")
    return configured[0] if configured else _USUAL


def _chosen(names: Sequence[str], everything: bool, where: Path) -> Optional[Sequence[str]]:
    """The names asked for, or None for all of them."""
    if names and everything:
        raise click.UsageError("write --all or --cert-name, not both")
    if names or everything:
        return list(names) or None
    there = adoption.lineages_there(where)
    if not _terminal():
        raise click.UsageError("say which certificates: --all, or --cert-name NAME. "
                               + (f"There are: {listed(there)}" if there else f"There are none in {where}"))
    click.echo(f"Certificates in {where}: {listed(there, most=1000) or 'none'}")
    answer = click.prompt("Which of them? Names, separated by spaces", default="all") if there else "all"
    return None if answer.strip() == "all" else answer.replace(",", " ").split()


def _show(changes: Sequence[adoption.Change]) -> None:
    for change in changes:
        click.echo(("changed: " if change.difference() else "") + shown(change.path))
        for text in change.difference():
            click.echo(f"    {text}")
        for remark in change.remarks:
            click.echo(f"  {remark}")


def _carry_out(changes: list[adoption.Change], how: Callable[[Path, Sequence[adoption.Change]], list[adoption.Done]],
               where: Path, yes: bool, trouble: bool, nothing: str) -> None:
    if not changes:
        click.echo(nothing)
        sys.exit(1 if trouble else 0)
    _show(changes)
    if not yes:
        click.confirm("Do this?", abort=True)
    try:
        with progress("Changing renewal configurations ..."):
            done = how(where, changes)
    except adoption.BusyError as error:
        _say([str(error)])
        sys.exit(TRY_AGAIN)
    _say([one.problem for one in done if one.problem])
    well = [one.lineage for one in done if not one.problem]
    if well:
        click.echo(f"Done: {listed(well)}.")
    sys.exit(1 if trouble or len(well) < len(done) else 0)


def _say(problems: Sequence[str]) -> None:
    for problem in problems:
        click.echo(f"certbot-guard: {problem}", err=True)


def _terminal() -> bool:
    return is_terminal(sys.stdin) and is_terminal(sys.stdout)
