"""How ``status``, ``history`` and ``report`` find out what to look at, and for what eyes they write."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence

import click

from certbot_guard import config as configuration
from certbot_guard.cli.progress import is_terminal
from certbot_guard.cli.shared import refuse_who_may_not_read
from certbot_guard.config import Config
from certbot_guard.overview.wording import EMPTY, FULL

CONFIG_DIR = click.option("--config-dir", "config_dirs", multiple=True, metavar="DIR",
                          type=click.Path(path_type=Path, file_okay=False),
                          help="One of certbot's configuration directories, instead of those that 'certbot-guard "
                          "watch' looks at. More than once for more.")


@dataclass(frozen=True)
class Page:
    """What is written to. :ivar width: None where it is no terminal"""

    width: Optional[int]
    colour: bool
    unicode: bool


def settings(config_path: Path) -> Config:
    """:raises GuardError: they are there, and may not be read."""
    refuse_who_may_not_read(config_path)
    return configuration.load(config_path)


def directories(given: Sequence[Path]) -> Optional[list[Path]]:
    return [Path(os.path.abspath(one)) for one in given] or None


def page() -> Page:
    terminal = is_terminal(sys.stdout)
    # https://no-color.org: set, and not to nothing
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM", "") in ("", "dumb", "unknown")
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        unicode = bool((FULL + EMPTY).encode(encoding))
    except (UnicodeError, LookupError):
        unicode = False
    return Page(max(20, shutil.get_terminal_size().columns) if terminal else None, terminal and not plain, unicode)


def say(words: str) -> None:
    """Print it; what standard output's encoding has no letter for is shown as a question mark."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    click.echo(words.encode(encoding, "replace").decode(encoding, "replace"), color=True)
