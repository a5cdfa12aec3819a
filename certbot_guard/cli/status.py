"""``certbot-guard status``: how it stands with certificates, the guard, the web server, and who was told of what."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Optional

import click

from certbot_guard.cli import shown
from certbot_guard.cli.progress import progress


@click.command(short_help="Show how it stands with every certificate.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with a version number; docs/status.md has its fields.")
@click.option("--served/--no-served", "served", default=None,
              help="Ask the web server and the endpoints of guard.ini which certificates they show, for up to a "
              "minute, or not at all; without either, for a few seconds.")
@shown.CONFIG_DIR
@click.pass_obj
def status(config_path: Path, as_json: bool, served: Optional[bool], config_dirs: tuple[Path, ...]) -> None:
    """Show every lineage: how much of its certificate's time is left, whether it is guarded, what came of the last
    attempt, when it is due, whether visitors are shown what is on the disk, and who was told of its troubles. Below:
    the web server, the next attempt, messages that wait, runs that are open, and what is wrong. Changes nothing.

    Exit code 1: something stands wrong, and it is named under "troubles", "outbox" or "open runs".
    """
    from certbot_guard.overview import webserver
    from certbot_guard.overview.gathering import gather
    from certbot_guard.watch.services import DEADLINE_SECONDS

    config = shown.settings(config_path)
    seconds = DEADLINE_SECONDS if served else webserver.A_LOOK_SECONDS
    with progress("Looking at certificates and at what is shown to visitors ..."):
        found = gather(config, shown.directories(config_dirs), seconds, served is not False)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        from certbot_guard.overview import drawing

        page = shown.page()
        if found.rows:
            lineages = (drawing.plain(found, page.unicode) if page.width is None
                        else drawing.table(found, page.width, page.colour, page.unicode))
        else:
            lineages = drawing.no_lineages(found)
        shown.say(f"{lineages}\n\n{drawing.listing(drawing.below(found), page.width)}")
    sys.exit(1 if found.wrong else 0)
