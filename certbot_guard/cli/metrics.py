"""``certbot-guard metrics``: the numbers of this host, as Prometheus reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from certbot_guard import config as configuration
from certbot_guard import statedir
from certbot_guard.cli.shared import refuse_who_may_not_read


@click.command(short_help="Print this host's numbers for Prometheus, or write them to a file.")
@click.option("--textfile", type=click.Path(path_type=Path), metavar="PATH",
              help="Write them there, for node_exporter's textfile collector. The name ends with .prom.")
@click.pass_obj
def metrics(config_path: Path, textfile: Optional[Path]) -> None:
    """Certificates, runs, outages and messages of this host as Prometheus text, on standard output or in a file that is
    written whole. Changes nothing else. With "[metrics] textfile" it is written after each run and each watch.

    Exit code 1: there is none, and why.
    """
    from certbot_guard import metrics as numbers  # of no use to the other commands, which Apache may wait for

    refuse_who_may_not_read(config_path)
    settings = configuration.load(config_path)
    bases = statedir.every_directory(settings.state_dir)
    if textfile is not None:
        numbers.write(settings, bases, None, textfile.absolute())
        return
    click.echo(numbers.exposition(settings, bases), nl=False)
