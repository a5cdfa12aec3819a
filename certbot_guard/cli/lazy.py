"""Commands that are imported when they are asked for: ``recover``, for which Apache may wait, waits for no other.

Owns how a name becomes its command; which there are is said in ``certbot_guard.cli``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Optional

import click

from certbot_guard.cli import ending
from certbot_guard.inifile import close
from certbot_guard.text import line


class LazyCommands(ending.Commands):
    """A group of the commands that ``places`` names, each by its ``module:attribute`` in this package."""

    def __init__(self, *arguments: Any, places: dict[str, str], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        if cmd_name not in self._places:
            return None
        module, _, attribute = self._places[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"{__package__}.{module}"), attribute)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        # click's own suggestion looks at what has been imported
        if args[0] not in self._places and not args[0].startswith("-") and not ctx.resilient_parsing:
            near = close(args[0], self._places)
            meant = f"did you mean '{near}'" if near else "certbot-guard --help names them all"
            ctx.fail(f"there is no command '{line(args[0], 60)}'; {meant}")
        return super().resolve_command(ctx, args)
