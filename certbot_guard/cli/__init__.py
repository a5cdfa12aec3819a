"""The command ``certbot-guard``. One module per command group; this one holds the group and its exit codes.

0 fine, 1 trouble (and people were told), 2 the command or the settings are not usable; :mod:`.ending` has what else
can end a command.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

import click

from certbot_guard import __version__
from certbot_guard.cli import ending
from certbot_guard.cli.adopt import adopt, release
from certbot_guard.cli.completion import completion
from certbot_guard.cli.doctor import doctor
from certbot_guard.cli.explain import explain
from certbot_guard.cli.history import history
from certbot_guard.cli.metrics import metrics
from certbot_guard.cli.notify import notify_group
from certbot_guard.cli.outbox import outbox
from certbot_guard.cli.recover import recover
from certbot_guard.cli.report import report
from certbot_guard.cli.run import run
from certbot_guard.cli.settings import check_settings
from certbot_guard.cli.setup import setup
from certbot_guard.cli.status import status
from certbot_guard.cli.unit_failed import unit_failed
from certbot_guard.cli.units import units
from certbot_guard.cli.watch import watch


@click.group(cls=ending.Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_path", type=click.Path(path_type=Path, readable=False),
              default=Path("/etc/letsencrypt/guard.ini"),
              show_default=True, help="The settings file.")
@click.option("--debug", is_flag=True, expose_value=False, is_eager=True, callback=ending.Details.ask,
              help="Show where an error of certbot-guard's own comes from, also with CERTBOT_GUARD_DEBUG=1; it may "
              "show secrets.")
@click.version_option(__version__, prog_name="certbot-guard")
@click.pass_context
def commands(context: click.Context, config_path: Path) -> None:
    """Apache comes back after a certificate renewal, and people hear of every failure."""
    if not str(config_path).isprintable():  # no sentence can show it, and where it is no UTF-8, no database can hold it
        raise click.BadParameter("the path has control characters in it, or is not text in UTF-8; name another.",
                                 param_hint="'--config'")
    context.obj = config_path.absolute()


commands.add_command(setup)
commands.add_command(doctor)
commands.add_command(status)
commands.add_command(history)
commands.add_command(report)
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
commands.add_command(completion)
commands.add_command(adopt)
commands.add_command(release)


def main(arguments: Optional[list[str]] = None) -> None:
    """Run one command and exit; what ends it early is one sentence on stderr, never a traceback."""
    sys.exit(ending.run(commands, arguments))
