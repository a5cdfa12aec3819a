"""``certbot-guard check`` and ``certbot-guard test``: are the settings right, and does a message arrive?"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timezone
from pathlib import Path

import click

from certbot_guard import config as configuration
from certbot_guard import launch, servers
from certbot_guard.errors import ServerError


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
    sys.exit(2 if problems else 0)


@click.command("test", short_help="Send a test message through every channel.")
@click.pass_obj
def test_channels(config_path: Path) -> None:
    """Send one test message through every channel, and say which of them took it."""
    from certbot_guard import journal, message, notify

    settings = configuration.load(config_path)
    for problem in settings.problems:
        click.echo(problem.text, err=True)
    if not settings.channels and not settings.apprise_configs:
        click.echo(f"There is no channel in {config_path}: add one to [notify].", err=True)
        sys.exit(2)
    now = datetime.now(timezone.utc)
    host = os.uname().nodename
    text = message.Message(
        id=f"test-{now:%Y%m%dT%H%M%S}-{os.urandom(3).hex()}", run="test", event="failure", severity="info",
        title=f"{host}: test message of certbot-guard",
        body=f"This is a test from certbot-guard on {host}. When a renewal fails there, it is told here.")
    book = journal.Journal.in_memory()
    book.add(text, [channel.name for channel in settings.channels]
             + [f"{notify.APPRISE_CONFIG}{path}" for path in settings.apprise_configs], 0)
    results = notify.deliver_outbox([book], settings, 30.0)
    for result in results:
        click.echo(f"{result.channel}: " + ("sent" if result.ok else f"failed: {result.reason}"))
    sys.exit(0 if results and all(result.ok for result in results) else 1)
