"""``certbot-guard notify test``: does a message of each kind arrive on each channel, and if not, why?"""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path

import click

from certbot_guard import config as configuration
from certbot_guard import journal, notify, samples
from certbot_guard.cli.completion import CHANNEL
from certbot_guard.cli.shared import refuse_who_may_not_read
from certbot_guard.inifile import nearest
from certbot_guard.standing import Taker

KINDS = ("failure", "refused", "outage", "recovery", "success")


@click.group("notify", short_help="Try the channels.")
def notify_group() -> None:
    """Try the channels."""


@notify_group.command("test", short_help="Send a sample of each kind of message through every channel.")
@click.argument("channels", nargs=-1, metavar="[CHANNEL]...", type=CHANNEL)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind; several times for more.")
@click.option("--print", "only_print", is_flag=True, help="Show what would be sent, and to whom; send nothing.")
@click.pass_obj
def test_channels(config_path: Path, channels: tuple[str, ...], kinds: tuple[str, ...], only_print: bool) -> None:
    """Send a sample of each kind of message through every channel, or those named, that takes such messages.

    Says for each channel whether it took them, or why not. Exit code 1: some channel did not; 2: there is none.
    """
    refuse_who_may_not_read(config_path)
    settings = configuration.load(config_path)
    for problem in settings.problems:
        click.echo(problem.text, err=True)
    takers = {taker.name: taker for taker in notify.takers(settings)}
    if list(takers) == [notify.SYSLOG]:
        click.echo(f"There is no channel in {config_path}: add one to [notify]. Until then it is the system log alone.",
                   err=True)
    for name in channels:
        if name not in takers:
            click.echo(f"There is no channel '{name}' in {config_path}{nearest(name, takers, quote=chr(39))}.", err=True)
            sys.exit(2)
    chosen = [taker for name, taker in takers.items() if not channels or name in channels]
    found = [one for one in samples.every_kind(datetime.now(timezone.utc)) if not kinds or one.kind in kinds]
    if only_print:
        _print(found, chosen)
        return
    fine = _send(found, chosen, settings) and not any(one.section == "notify" for one in settings.problems)
    sys.exit(2 if list(takers) == [notify.SYSLOG] else 0 if fine else 1)


def _print(found: list[samples.Sample], takers: list[Taker]) -> None:
    for sample in found:
        names = [taker.name for taker in takers if sample.goes_to(taker)]
        click.echo(f"--- {sample.kind}, to: {', '.join(names) or 'no channel'}")
        click.echo(f"{sample.message.title}\n\n{sample.message.body}\n")


def _send(found: list[samples.Sample], takers: list[Taker], settings: configuration.Config) -> bool:
    book = journal.Journal.in_memory()
    for sample in found:
        book.add(sample.message, [taker.name for taker in takers if sample.goes_to(taker)], 0)
    kinds = {sample.message.id: sample.kind for sample in found}
    results = notify.deliver_outbox([book], settings, 30.0)
    fine = True
    broken = next((one.reason for one in results if not one.channel), "it was not tried")
    for taker in takers:
        own = [one for one in results if one.channel == taker.name]
        sent = [kinds[one.message] for one in own if one.ok]
        failed = [one for one in own if not one.ok]
        if not any(sample.goes_to(taker) for sample in found):
            click.echo(f"{taker.name}: nothing to send; it takes none of these kinds")
        elif not own:
            fine = False
            click.echo(f"{taker.name}: failed: {broken}")
        elif failed:
            fine = False
            click.echo(f"{taker.name}: failed: {failed[0].reason}" + (f" (sent: {', '.join(sent)})" if sent else ""))
        else:
            click.echo(f"{taker.name}: sent: {', '.join(sent)}")
    return fine
