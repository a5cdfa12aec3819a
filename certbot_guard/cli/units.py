"""``certbot-guard units``: the systemd units, or the cron.d file, that start us when certbot does not."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from certbot_guard import config as configuration
from certbot_guard import launch
from certbot_guard.cli.shared import refuse_who_may_not_read
from certbot_guard.units import files, installing, managing, planning

_FOR = click.option("--for", "target", type=click.Choice(["systemd", "cron"]), default=None,
                    help="For systemd or for cron; without this, for what runs here.")
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group("units", short_help="Set up systemd (or cron): watch, boot, failed units.")
def units() -> None:
    """The systemd units that look after certificates every hour, finish at boot what a power cut left, and tell when
    certbot's own unit fails; where there is no systemd, a cron.d file."""


@units.command("show", short_help="Show what install would write.")
@_FOR
@click.pass_obj
def show(config_path: Path, target: Optional[str]) -> None:
    """Show what install would write, and how that differs from what is there. Changes nothing."""
    found = _plan(config_path, target)
    click.echo("\n".join(found.lines) or "Everything is there as it should be.")


@units.command("install", short_help="Write the units and start them, after a look at them.")
@_FOR
@_YES
@click.pass_obj
def install(config_path: Path, target: Optional[str], yes: bool) -> None:
    """Write the units, enable the boot unit and start the timer; shown and asked first. Doing it again changes nothing.

    Run it again when certbot-guard moved to another Python, when certbot came from another package, and when [state] or
    [metrics] were changed.
    """
    found = _plan(config_path, target)
    managing.refuse_unless_root("install", [found.places.systemd if found.target == "systemd" else found.places.cron_d])
    if not found:
        click.echo("Everything is there as it should be; nothing was changed.")
        return
    click.echo("\n".join(found.lines))
    if not yes:
        click.confirm("Do this?", abort=True)
    installing.do(found)
    click.echo("Done.")


@units.command("remove", short_help="Stop, disable and delete all of it.")
@_YES
@click.pass_obj
def remove(config_path: Path, yes: bool) -> None:
    """Stop, disable and delete everything that install has written, for systemd and for cron. certbot's units stay."""
    places = planning.Places()
    found, of_package = planning.there(places), planning.packaged(places)
    if not found:
        click.echo(f"The units in {of_package[0].parent} are the distribution's package's, which takes them away when "
                   f"it is removed; until then: systemctl disable --now {planning.TIMER} {planning.RECOVER}. Nothing "
                   "was changed." if of_package else "Nothing of certbot-guard's is there; nothing was changed.")
        return
    for path in found:
        files.read_ours(path)
    managing.refuse_unless_root("remove", [path.parent for path in found])
    click.echo("\n".join(f"to be removed: {path}" for path in found))
    if not yes:
        click.confirm("Do this?", abort=True)
    if launch.under_systemd() and not of_package:
        managing.disable(places)
    files.remove(found)
    if launch.under_systemd() and of_package:
        managing.reload_and_enable()
        click.echo(f"The units of the distribution's package, in {of_package[0].parent}, are in use again.")
    elif launch.under_systemd():
        managing.forget(places)
    click.echo("Done.")


def _plan(config_path: Path, target: Optional[str]) -> installing.Plan:
    refuse_who_may_not_read(config_path)
    return installing.plan(configuration.load(config_path), target)
