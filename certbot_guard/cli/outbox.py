"""``certbot-guard outbox``: which messages wait for which channel, and why; ``outbox flush`` tries them now."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from certbot_guard import config as configuration
from certbot_guard import statedir, telling
from certbot_guard.cli.shared import open_journals, refuse_who_may_not_read
from certbot_guard.phrases import moment
from certbot_guard.text import line


@dataclass(frozen=True)
class Row:
    """One message that waits for one channel."""

    channel: str
    settings: str
    title: str
    created: datetime
    attempts: int
    reason: str
    replaced: int
    rests_until: str

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "created": self.created.isoformat()}


@click.group("outbox", invoke_without_command=True, short_help="Show the messages that wait for a channel, and why.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: a list, one object for each message and channel.")
@click.pass_context
def outbox(context: click.Context, as_json: bool) -> None:
    """Show the messages that could not be delivered yet: to which channel, since when, and why.

    Exit code 1: some wait.
    """
    context.obj = Path(context.obj)
    if context.invoked_subcommand is not None:
        return
    rows = _rows(context.obj)
    if as_json:
        click.echo(json.dumps([row.to_json() for row in rows], indent=2))
    elif not rows:
        click.echo("Nothing waits: every message has been delivered.")
    for row in () if as_json else rows:
        click.echo(f"{row.channel}: {line(row.title, 200)}")
        tries = "not tried yet" if not row.attempts else f"tried {row.attempts} time{'' if row.attempts == 1 else 's'}"
        click.echo(f"  since {moment(row.created)}, {tries}" + (f": {line(row.reason, 300)}" if row.reason else ""))
        if row.replaced:
            click.echo(f"  it took the place of {row.replaced} earlier message{'' if row.replaced == 1 else 's'}")
        if row.rests_until:
            click.echo("  tried again by the next run of certbot or watch, or now with: certbot-guard outbox flush")
    sys.exit(1 if rows else 0)


@outbox.command("flush", short_help="Try now to deliver what waits.")
@click.pass_obj
def flush(config_path: Path) -> None:
    """Try every message that waits, now. Exit code 1: some still wait."""
    before = _rows(config_path)
    bases = statedir.every_directory(configuration.load(config_path).state_dir)
    tried = telling.deliver_waiting(bases)
    for channel in dict.fromkeys(one.channel for one in tried):
        sent = sum(one.ok for one in tried if one.channel == channel)
        failed = [one.reason for one in tried if one.channel == channel and not one.ok]
        click.echo(f"{channel}: {sent} sent" + (f", {len(failed)} failed: {line(failed[0], 300)}" if failed else ""))
    left = _rows(config_path)
    gone = sorted({row.channel for row in left} - {one.channel for one in tried})
    for channel in gone:
        click.echo(f"{channel}: not tried; there is no such channel in its settings file any more, or another process "
                   "is sending to it")
    if not before:
        click.echo("Nothing waits: every message has been delivered.")
    sys.exit(1 if left else 0)


def _rows(config_path: Path) -> list[Row]:
    refuse_who_may_not_read(config_path)
    now = datetime.now(timezone.utc)
    rows = []
    with open_journals(statedir.every_directory(configuration.load(config_path).state_dir)) as books:
        for book in books:
            for settings in book.settings_waiting():
                book.settings = settings
                resting = book.resting(now)
                for channel in book.channels_waiting():
                    until = moment(resting[channel]) if channel in resting else ""
                    rows += [Row(channel, settings, one.message.title, one.created, one.attempts, one.reason,
                                 len(one.replaced), until) for one in book.waiting(channel)]
    return rows
