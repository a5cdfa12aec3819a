"""``certbot-guard report``: the same as ``status`` and ``history``, as a page for a browser."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Optional

import click

from certbot_guard.cli import shown
from certbot_guard.cli.progress import progress
from certbot_guard.errors import GuardError


@click.command(short_help="Write a page about all of it for a browser.")
@click.option("--html", "target", type=click.Path(path_type=Path, allow_dash=True), required=True, metavar="FILE",
              help="Where to write it, whole and with mode 0600, since it names hosts; - is standard output.")
@click.option("--served/--no-served", "served", default=None,
              help="Ask the web server and the endpoints of guard.ini which certificates they show, for up to a "
              "minute, or not at all; without either, for a few seconds.")
@shown.CONFIG_DIR
@click.pass_obj
def report(config_path: Path, target: Path, served: Optional[bool], config_dirs: tuple[Path, ...]) -> None:
    """Write one HTML page that needs nothing but itself: certificates on a time line, what is wrong and what to do,
    runs and outages of the last 90 days, who is told. No script, nothing fetched, no address of a channel. Changes
    nothing else.
    """
    from certbot_guard import statedir
    from certbot_guard.overview import webserver
    from certbot_guard.overview.gathering import gather
    from certbot_guard.pages import whole
    from certbot_guard.watch.services import DEADLINE_SECONDS

    to_stdout = str(target) == "-"
    if not to_stdout:
        _refuse_what_is_no_file(target)
    config = shown.settings(config_path)
    seconds = DEADLINE_SECONDS if served else webserver.A_LOOK_SECONDS
    with progress("Looking at certificates and at what is shown to visitors ..."):
        page = whole.render(gather(config, shown.directories(config_dirs), seconds, served is not False))
    data = page.encode("utf-8", "replace")
    if to_stdout:
        click.echo(data, nl=False)
    else:
        statedir.atomic_write(target.absolute(), data)


def _refuse_what_is_no_file(target: Path) -> None:
    """A file there is replaced, by its name: a device would be, too, and a link would be lost.

    :raises GuardError: there is something else, or no such directory.
    """
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        if not target.absolute().parent.is_dir():
            raise GuardError(f"{target.parent} is not a directory; make it, or name another file") from None
        return
    if not stat.S_ISREG(mode):
        what = "a symbolic link; name the file itself" if stat.S_ISLNK(mode) else "not a plain file; name another, or -"
        raise GuardError(f"{target} is {what}")
