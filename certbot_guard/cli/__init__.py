"""The command ``certbot-guard``. One module per command group; this one holds the group and its exit codes.

0 fine, 1 trouble (and people were told), 2 the command or the settings are not usable.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

import click

from certbot_guard import __version__
from certbot_guard.cli.explain import explain
from certbot_guard.cli.metrics import metrics
from certbot_guard.cli.notify import notify_group
from certbot_guard.cli.outbox import outbox
from certbot_guard.cli.recover import recover
from certbot_guard.cli.run import run
from certbot_guard.cli.settings import check_settings
from certbot_guard.cli.unit_failed import unit_failed
from certbot_guard.cli.units import units
from certbot_guard.cli.watch import watch
from certbot_guard.errors import GuardError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_path", type=click.Path(path_type=Path, readable=False),
              default=Path("/etc/letsencrypt/guard.ini"),
              show_default=True, help="The settings file.")
@click.version_option(__version__, prog_name="certbot-guard")
@click.pass_context
def commands(context: click.Context, config_path: Path) -> None:
    """Apache comes back after a certificate renewal, and people hear of every failure."""
    context.obj = config_path.absolute()


commands.add_command(explain)
commands.add_command(recover)
commands.add_command(run)
commands.add_command(check_settings)
commands.add_command(notify_group)
commands.add_command(outbox)
commands.add_command(metrics)
commands.add_command(units)
commands.add_command(unit_failed)
commands.add_command(watch)


def main(arguments: Optional[list[str]] = None) -> None:
    """Run one command and exit; an error of ours is one sentence on stderr, never a traceback."""
    try:
        commands.main(args=arguments, prog_name="certbot-guard")
    except GuardError as error:
        click.echo(f"certbot-guard: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"certbot-guard: {error}", err=True)
        sys.exit(1)
