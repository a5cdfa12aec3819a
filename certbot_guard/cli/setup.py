"""``certbot-guard setup``: from a fresh installation to a guarded machine, step by step or by options alone."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click

from certbot_guard.cli.shared import refuse_who_may_not_read
from certbot_guard.errors import GuardError

if TYPE_CHECKING:
    from certbot_guard.setup.machine import Machine
    from certbot_guard.setup.work import Wishes

_INPUT_LIMIT = 16 * 1024


class _Setup(click.Command):
    """click quotes an argument that it does not know, and that may be an Apprise URL."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        from certbot_guard.setup import channels

        try:
            return super().parse_args(context, arguments)
        except click.UsageError as error:
            if "://" in error.format_message():
                raise click.UsageError(channels.FORM, context) from None
            raise


@click.command("setup", cls=_Setup, short_help="Set everything up, step by step.")
@click.option("--yes", is_flag=True, help="Ask nothing: do what the other options say, and what needs no answer.")
@click.option("--plan", is_flag=True, help="Show what would be done, and do nothing. Exit code 3: there is something.")
@click.option("--channel", "channels", multiple=True, metavar="NAME=@FILE",
              help="A channel, with its Apprise URL in FILE, or with NAME=- on standard input. Several times for more.")
@click.option("--test/--no-test", default=None, help="Send a test message to every channel, or to none.  "
              "[default: to those that are new]")
@click.option("--adopt", multiple=True, metavar="NAME", help="Only this certificate, or none, or all; several times "
              "for more.  [default: all that name no other installer]")
@click.option("--retire-hooks/--keep-hooks", default=None, help="Take hooks that only stop and start the web server "
              "out of the renewal configurations, or not.  [default: ask; with --yes, keep]")
@click.option("--units/--no-units", default=None, help="Install the units, or the cron.d file, or not.")
@click.option("--dry-run/--no-dry-run", default=None, help="End with certbot renew --dry-run, or not.  [default: ask; "
              "with --yes, not]")
@click.pass_obj
def setup(config_path: Path, yes: bool, plan: bool, channels: tuple[str, ...], test: Optional[bool],
          adopt: tuple[str, ...], retire_hooks: Optional[bool], units: Optional[bool], dry_run: Optional[bool]) -> None:
    """Find certbot, the web server and what starts certbot; ask who is to be told and write guard.ini; send a test
    message; give each certificate the guard; install the units; try a renewal. Every step is shown, and asked for,
    before it is done. Running it again changes nothing that is as it should be.

    Without a terminal: --yes, and by options what else is wanted. Exit code 1: something could not be done, or it was
    stopped; 3, with --plan: something would be changed.
    """
    from certbot_guard.setup.stopping import StoppedError
    from certbot_guard.setup.work import Wishes

    if not (yes or plan or _is_terminal()):
        click.echo("certbot-guard: setup asks questions, and there is no terminal to ask on: write --yes with what you "
                   "want, such as --channel mail=@FILE (certbot-guard setup --help), or --plan to look first", err=True)
        sys.exit(2)
    refuse_who_may_not_read(config_path)
    if not plan and os.geteuid() != 0 and not os.access(config_path.parent, os.W_OK, effective_ids=True):
        raise GuardError(f"setup writes {config_path}: run it as root, or look first with --plan")
    lineages = {(): None, ("all",): None, ("none",): ()}.get(adopt, adopt)
    settled = dict.fromkeys(("adopt", "write", "test", "units"), True) if yes or plan else {}
    settled.update({name: value for name, value in (("units", units), ("dry-run", dry_run)) if value is not None})
    try:
        code = _run(config_path, settled, not (yes or plan), Wishes(plan, {}, lineages, retire_hooks, test), channels)
    except StoppedError as stopped:  # before the first step
        code = stopped.code
    sys.exit(code)


def _run(config_path: Path, settled: dict[str, bool], asks: bool, wishes: Wishes, given: tuple[str, ...]) -> int:
    from certbot_guard.setup import asking, steps
    from certbot_guard.setup.machine import Machine
    from certbot_guard.setup.stopping import Stopping
    from certbot_guard.setup.work import Work

    with Stopping() as stopping:
        wishes = replace(wishes, channels=_channels(given, Machine()) if given else {})
        asker = asking.Terminal(settled) if asks else asking.Asker(settled)
        return steps.run(Work(config_path, asker, Machine(), stopping, wishes))


def _is_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _channels(given: tuple[str, ...], machine: Machine) -> dict[str, str]:
    """:raises click.UsageError: one of them cannot be used; the sentence holds no part of it."""
    from certbot_guard.setup import channels

    try:
        found = channels.from_options(given, _standard_input,
                                      lambda words: click.echo(f"certbot-guard: {words}", err=True))
        for name, url in found.items():
            reason = channels.refusal_of_url(url, machine.refusal)
            if reason:
                raise ValueError(f"the channel '{name}': {reason}")
    except ValueError as error:
        raise click.UsageError(f"--channel: {error}") from None
    return found


def _standard_input() -> str:
    from certbot_guard.setup import asking

    if sys.stdin is None:
        return ""
    return asking.Terminal().secret("Apprise URL") if sys.stdin.isatty() else sys.stdin.read(_INPUT_LIMIT)
