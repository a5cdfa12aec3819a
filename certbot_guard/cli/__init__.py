"""The command ``certbot-guard``. One module a command group; this one names them all, and imports none (:mod:`.lazy`).

0 fine, 1 trouble (and people were told), 2 the command or the settings are not usable; :mod:`.ending` has what else
can end a command.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

try:
    import click

    from certbot_guard import __version__
    from certbot_guard.cli import ending
    from certbot_guard.cli.lazy import LazyCommands
except KeyboardInterrupt:  # Ctrl-C before anything has begun, and before ending.run() is there to say so
    sys.exit(130)

_PLACES = {
    "adopt": "adopt:adopt",
    "check": "settings:check_settings",
    "completion": "completion:completion",
    "doctor": "doctor:doctor",
    "explain": "explain:explain",
    "history": "history:history",
    "metrics": "metrics:metrics",
    "notify": "notify:notify_group",
    "outbox": "outbox:outbox",
    "recover": "recover:recover",
    "release": "adopt:release",
    "report": "report:report",
    "run": "run:run",
    "setup": "setup:setup",
    "status": "status:status",
    "unit-failed": "unit_failed:unit_failed",
    "units": "units:units",
    "watch": "watch:watch",
}


@click.group(cls=LazyCommands, places=_PLACES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_path", type=click.Path(path_type=Path, readable=False),
              default=Path("/etc/letsencrypt/guard.ini"),
              show_default=True, help="The settings file.")
@click.option("--debug", is_flag=True, expose_value=False, is_eager=True, callback=ending.Details.ask,
              help="Show where an error of certbot-guard's own comes from, also with CERTBOT_GUARD_DEBUG=1; it may "
              "show secrets.")
@click.version_option(__version__, prog_name="certbot-guard")
@click.pass_context
def commands(context: click.Context, config_path: Path) -> None:
    """Apache comes back after a certificate renewal, and people hear of every failure.

    Begin with 'certbot-guard setup'. Afterwards 'certbot-guard doctor' says what is still wrong, and 'certbot-guard
    status' how it stands.
    """
    if not str(config_path).isprintable():  # no sentence can show it, and where it is no UTF-8, no database can hold it
        raise click.BadParameter("the path has control characters in it, or is not text in UTF-8; name another.",
                                 param_hint="'--config'")
    context.obj = config_path.absolute()


def main(arguments: Optional[list[str]] = None) -> None:
    """Run one command and exit; what ends it early is one sentence on stderr, never a traceback."""
    sys.exit(ending.run(commands, arguments))
