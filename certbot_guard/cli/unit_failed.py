"""``certbot-guard unit-failed UNIT``: run by ``certbot-guard-failed@.service`` when certbot's unit failed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from certbot_guard import config as configuration
from certbot_guard import invocation, said, statedir
from certbot_guard.cli.shared import refuse_who_may_not_read
from certbot_guard.passing import Pass
from certbot_guard.units import failure

# A unit that fails more often than this while we tell of it is told of often enough.
_ROUNDS = 3


@click.command("unit-failed", hidden=True)
@click.argument("unit")
@click.pass_obj
def unit_failed(config_path: Path, unit: str) -> None:
    """Tell people that a systemd unit failed, unless its certbot has told them itself, or will be told of when its run
    is settled.

    Exit code 1: it is written down, and no channel has taken it yet.
    """
    refuse_who_may_not_read(config_path)
    settings = configuration.load(config_path)
    found, delivered = failure.of(unit, os.environ), True
    seen: set[str] = set()
    for _ in range(_ROUNDS):
        delivered = _tell(found, settings) and delivered
        seen.add(found.invocation)
        # Measured, systemd 252: a unit that fails while this runs does not start it a second time.
        found = failure.of(unit, {})
        if not found.still or found.invocation in seen:
            break
    sys.exit(0 if delivered else 1)


def _tell(found: failure.Failure, settings: configuration.Config) -> bool:
    """Whether every channel has it, or nothing was to be said."""
    bases = statedir.every_directory(settings.state_dir)
    directory = config_dir(found.command, settings)
    # A wrapper does not say which directory its certbot uses.
    named = directory if any(word.split("=")[0] == "--config-dir" for word in found.command) else None
    if said.by_the_plugin(bases, found.since, named) or said.by_a_supervisor(bases, found.since, named):
        click.echo(f"{found.unit}: the run of certbot has told of this itself.")
        return True
    news = Pass("unit-failed", settings, directory, recorded=True)
    news.note("command-failed", **found.event())
    return news.tell()


def config_dir(command: tuple[str, ...], settings: configuration.Config) -> Path:
    """certbot's directory: as its command line says, or else as our settings do."""
    named = any(word.split("=")[0] == "--config-dir" for word in command)
    if settings.certbot_config_dirs and not named:
        return settings.certbot_config_dirs[0]
    return invocation.read(list(command[1:])).config_dir
