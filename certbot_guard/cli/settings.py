"""``certbot-guard check``: are the settings right, and is there what they name?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from certbot_guard import config as configuration
from certbot_guard import launch, servers, statedir
from certbot_guard.errors import ServerError, StateError


@click.command("check", short_help="Say whether the settings are right.")
@click.pass_obj
def check_settings(config_path: Path) -> None:
    """Read the settings file, try each channel's URL on Apprise, find the web server and test its configuration.

    Sends nothing and changes nothing. Exit code 2: something has to be mended.
    """
    settings = configuration.load(config_path)
    problems = [problem.text for problem in (*settings.problems, *configuration.check_urls(settings))]
    if settings.missing:
        problems.append(f"{config_path} does not exist: write a [notify] section into it, mode 0600")
    for text in problems:
        click.echo(text, err=True)
    for channel in settings.channels:
        click.echo(f"channel {channel.name}")
    try:
        server = servers.find(settings.server, launch.surroundings())
        server.check()
        click.echo(f"web server {server.name}: its configuration and certificates are fine")
    except ServerError as error:
        problems.append(str(error))
        click.echo(f"web server: {error}" + (f"\n{error.detail}" if error.detail else ""), err=True)
    problems += _state(settings)
    sys.exit(2 if problems else 0)


def _state(settings: configuration.Config) -> list[str]:
    """A run needs one directory it can be recorded in; without the durable one nothing is remembered after a reboot."""
    problems = []
    for base in statedir.state_directories(settings.state_dir):
        try:
            statedir.refuse_unusable(base)
            click.echo(f"state directory {base}")
        except StateError as error:
            problems.append(str(error))
            click.echo(f"state directory: {error}", err=True)
    return problems
