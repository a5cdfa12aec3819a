"""``certbot-guard watch``: one look at what no run of certbot sees, for a timer or cron."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

import click

from certbot_guard import config as configuration
from certbot_guard import stakes, statedir, text
from certbot_guard.cli.shared import refuse_who_may_not_read

# sysexits.h, EX_TEMPFAIL
TRY_AGAIN = 75


@click.command(short_help="Look once at what no run of certbot sees.")
@click.option("--quiet", is_flag=True, help="Say nothing where nothing is wrong.")
@click.option("--no-recover", is_flag=True, help="Leave what is unfinished to 'certbot-guard recover': where this may look "
              "but start nothing, as in its systemd unit.")
@click.pass_obj
def watch(config_path: Path, quiet: bool, no_recover: bool) -> None:
    """Look once: at certificates and renewal configurations on the disk, at what the web server and other services show, at
    when certbot last ran. Finish what is unfinished, tell people of what is wrong and of what is well again, and deliver
    what waits. Changes nothing else.

    Exit code 1: something is wrong, and people were told of it, now or before; 75: another watch is at work.
    """
    from certbot_guard import heartbeat, metrics
    from certbot_guard.watch import passes

    refuse_who_may_not_read(config_path)
    settings = configuration.load(config_path)
    identity = heartbeat.rid() if settings.heartbeat_url else ""
    try:
        outcome = passes.watch(settings, recover=not no_recover)
    except passes.AtWorkError as error:
        _say(f"{error}; try again when it is done")
        sys.exit(TRY_AGAIN)
    for line in outcome.unfinished:
        click.echo(line)
    for problem in [*(one.text for one in settings.problems), *outcome.problems]:
        _say(problem)
    for finding in sorted(outcome.found, key=lambda one: -stakes.rank(one.severity)):
        click.echo(f"{finding.severity}: {text.line(finding.name, 120)}: {text.line(finding.words, 300)}")
    known = {finding.subject for finding in outcome.found}
    for standing in [one for one in outcome.standing if one.subject not in known]:
        click.echo(f"{standing.severity}: {text.line(standing.name, 120)}: {text.line(standing.words, 300)} (as told before)")
    if not (outcome.is_trouble or outcome.unfinished or quiet):
        click.echo("Nothing is wrong.")
    _say(metrics.written_if_configured(settings, statedir.every_directory(settings.state_dir), outcome.serving))
    if settings.heartbeat_url:
        body = "\n".join(f"{one.severity}: {one.name}: {one.words}" for one in outcome.standing) or "Nothing is wrong."
        # Not "up" while a renewal that failed stands: its run has said "down" to the same switch.
        send = heartbeat.fail if outcome.severity == "critical" or outcome.renewals_fail else heartbeat.success
        _say(send(settings.heartbeat_url, identity, body))
    sys.exit(1 if outcome.is_trouble else 0)


def _say(problem: Optional[str]) -> None:
    if problem:
        click.echo(f"certbot-guard: {problem}", err=True)
