"""Questions, and who answers them: a person at a terminal, or what the command line has settled beforehand.

Every question has a name (``write``, ``adopt``), so that an option can answer it. What is secret is never shown,
neither as it is typed nor afterwards. Used by the steps of setup, which know nothing of terminals.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

import click

from certbot_guard.errors import GuardError
from certbot_guard.setup.stopping import InputEndedError


class Asker:
    """Somebody who answers. This one never asks: what is not in ``settled`` is answered with no, or with nothing."""

    asks = False

    def __init__(self, settled: Optional[Mapping[str, bool]] = None) -> None:
        self._settled = dict(settled or {})

    def say(self, words: str = "") -> None:
        """Show a line or several."""
        click.echo(words)

    def heading(self, words: str) -> None:
        self.say(f"\n{words}")

    def is_settled(self, name: str) -> bool:
        """An option has answered the question of this name."""
        return name in self._settled

    def yes(self, name: str, words: str, default: bool = True) -> bool:
        """Yes or no. An option that has settled the question of this name answers it without a word."""
        return self._settled.get(name, False)

    def text(self, words: str, default: str = "") -> str:
        """A line, without the spaces around it; ``default`` where nothing is typed."""
        return default

    def secret(self, words: str) -> str:
        """A line that is not shown while it is typed. Spaces at its ends belong to it."""
        return ""

    def choose(self, words: str, choices: Sequence[str], default: str) -> str:
        """One of ``choices``, which a part of it that begins only one names as well."""
        return default


class Terminal(Asker):
    """A person. A question whose name is in ``settled`` is not asked.

    :raises InputEndedError: from every question, when the input has ended
    """

    asks = True

    def heading(self, words: str) -> None:
        self.say("\n" + (words if os.environ.get("NO_COLOR") else click.style(words, bold=True)))

    def yes(self, name: str, words: str, default: bool = True) -> bool:
        if name in self._settled:
            return self._settled[name]
        return bool(_asked(lambda: click.confirm(words, default=default)))

    def text(self, words: str, default: str = "") -> str:
        return str(_asked(lambda: click.prompt(words, default=default, show_default=bool(default)))).strip()

    def secret(self, words: str) -> str:
        with warnings.catch_warnings():
            # getpass would go on with the echo on where it cannot be switched off.
            warnings.filterwarnings("error", message=".*echo.*")
            try:
                return str(_asked(lambda: click.prompt(f"{words} (not shown)", default="", show_default=False,
                                                       hide_input=True)))
            except Warning as error:
                raise GuardError("this terminal cannot keep from showing what is typed, so nothing secret is asked for "
                                 "here; use --channel NAME=@FILE") from error

    def choose(self, words: str, choices: Sequence[str], default: str) -> str:
        while True:
            given = self.text(f"{words} ({', '.join(choices)})", default).lower()
            found = [one for one in choices if given and one.startswith(given)]
            if given in choices or len(found) == 1:
                return given if given in choices else found[0]
            self.say(f"Write one of: {', '.join(choices)}")


def _asked(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except (click.Abort, EOFError) as error:  # click says so of Ctrl-D; Ctrl-C is a signal, and stopping.py's
        raise InputEndedError("the input has ended") from error
