"""``certbot-guard history``: the runs that are remembered, the newest first."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Optional

import click

from certbot_guard.cli import shown
from certbot_guard.cli.completion import LINEAGE
from certbot_guard.cli.progress import progress


@click.command(short_help="Show past runs, their outages, and who was told.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with a version number; docs/status.md has its fields.")
@click.option("-n", "most", type=click.IntRange(min=1), default=20, show_default=True, metavar="N",
              help="So many runs at the most.")
@click.option("--cert-name", "lineage", metavar="NAME", type=LINEAGE,
              help="Only runs that tried to renew this lineage.")
@shown.CONFIG_DIR
@click.pass_obj
def history(config_path: Path, as_json: bool, most: int, lineage: Optional[str], config_dirs: tuple[Path, ...]) -> None:
    """Show the runs that certbot-guard remembers, the newest first: when, how certbot was started, what came of each
    lineage, how long the web server was stopped, or that a challenge passed through it, and who was told. A run with
    nothing due leaves no trace here. Changes nothing.

    Exit code 1: something that is remembered could not be read.
    """
    from certbot_guard.overview import past

    config = shown.settings(config_path)
    with progress("Reading the history ..."):
        found = past.runs(config, most, lineage, shown.directories(config_dirs))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        for problem in found.unknown:
            click.echo(f"certbot-guard: {problem}", err=True)
        page = shown.page()
        if found.runs or not found.unknown:
            shown.say("\n\n".join("\n".join(past.lines(one, page.width)) for one in found.runs) or past.NOTHING)
    sys.exit(1 if found.unknown else 0)
