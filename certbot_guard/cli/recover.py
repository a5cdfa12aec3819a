"""``certbot-guard recover``: finish what a killed run, or a power cut, left unfinished."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from certbot_guard import config as configuration
from certbot_guard import launch, passage, servers, stale, statedir, telling
from certbot_guard.cli.shared import refuse_who_may_not_read
from certbot_guard.config import Config
from certbot_guard.errors import ServerError
from certbot_guard.run import Run, open_windows, runs_below
from certbot_guard.text import line


@click.command(short_help="Finish what a killed run left unfinished.")
@click.option("--quiet", is_flag=True, help="Say nothing when there was nothing to do.")
@click.option("--no-deliver", is_flag=True, hidden=True, help="Leave the messages for the run that asks for this.")
@click.pass_obj
def recover(config_path: Path, quiet: bool, no_deliver: bool) -> None:
    """Bring back a web server that an unfinished run left stopped, tell people, and deliver what is waiting.

    Does nothing where nothing is unfinished; a run whose certbot or sentinel still lives is left to it.
    Exit code 1: the web server does not serve yet; it is tried again until it does.
    """
    refuse_who_may_not_read(config_path)
    settings = configuration.load(config_path)
    bases = statedir.every_directory(settings.state_dir)
    found = stale.settle_stale(bases, settings, deliver=not no_deliver)
    stale.forget_old(bases)
    if not no_deliver:
        telling.deliver_waiting(bases)
    swept = _sweep(settings)  # last: Apache is asked where it reads from, which may take its time
    found += [(run, stale.STILL_DOWN) for run in _at_work(bases) if run.id not in {known.id for known, _ in found}]
    for run, problem in found:
        click.echo(f"run {run.id}: {problem or 'settled'}")
    for path, problem in swept:
        click.echo(problem or f"{line(path)} was left in the web server's configuration; it is taken away.")
    if not found and not settings.server_usable:  # it may have named another state directory
        for problem in settings.problems:
            click.echo(problem.text, err=True)
        click.echo(f"No unfinished run was found in {', '.join(map(str, bases))}; {config_path} cannot be used, so there "
                   "may be some elsewhere.", err=True)
        sys.exit(1)
    if not found and not swept and not quiet:
        click.echo("Nothing was unfinished.")
    sys.exit(1 if any(problem for _, problem in found) else 0)


def _sweep(settings: Config) -> list[tuple[Path, str]]:
    """A file of ours in Apache's configuration that no run remembers; it does nothing, and is taken away."""
    if not settings.server_usable:
        return []
    try:
        return passage.sweep(servers.find(settings.server, launch.surroundings()))
    except ServerError:
        return []


def _at_work(bases: list[Path]) -> list[Run]:
    """The runs whose certbot is gone and whose sentinel still tries to start the web server."""
    return [run for run in runs_below(bases) if open_windows(run.events())
            and not run.certbot_lives() and run.sentinel_lives()]
