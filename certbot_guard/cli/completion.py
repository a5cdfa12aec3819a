"""``certbot-guard completion``: the script that a shell completes our words with, and the values it completes.

The words themselves come from click. What is completed from files (lineages, channels) is read quickly and in silence:
whatever is wrong there, nothing is offered. Changes nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Optional

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from certbot_guard import launch

PROGRAM = "certbot-guard"
_VARIABLE = "_CERTBOT_GUARD_COMPLETE"  # as click makes it from the program's name
# What a shell puts into its line as it stands: nothing in it may mean anything there.
_HARMLESS = re.compile(r"[\w][\w.@:+-]{0,200}", re.ASCII)
# How each of click's scripts calls the program, and what stands there instead.
_CALLS = {"bash": ("bash_complete $1)", "bash_complete {} 2>/dev/null)"),
          "zsh": (f"zsh_complete {PROGRAM})", "zsh_complete {} 2>/dev/null)"),
          "fish": (f"(commandline -t) {PROGRAM})", "(commandline -t) {} 2>/dev/null)")}
# click's script for zsh does nothing where no program of that name is in PATH; ours is called by its whole path.
_ZSH_LOOKS_FOR_IT = f"(( ! $+commands[{PROGRAM}] )) && return 1"


@click.command("completion", short_help="Print the script for completion in the shell.")
@click.argument("shell", type=click.Choice(sorted(_CALLS)))
def completion(shell: str) -> None:
    """Print the script with which a shell completes certbot-guard's commands, options, lineages, channels and checks.

    For every shell of this machine, as root:

    \b
    certbot-guard completion bash > /etc/bash_completion.d/certbot-guard
    certbot-guard completion zsh > /usr/local/share/zsh/site-functions/_certbot-guard
    certbot-guard completion fish > /etc/fish/completions/certbot-guard.fish

    To try it in this bash alone: source <(certbot-guard completion bash)
    """
    click.echo(script(shell, click.get_current_context().find_root().command), nl=False)


def script(shell: str, commands: click.Command) -> str:
    """click's own script, which asks this Python: not whatever ``certbot-guard`` the words on the line would start."""
    made = get_completion_class(shell)
    assert made is not None  # click.Choice has seen to that
    # BashComplete.source() starts a bash to find out how old it is
    said = ShellComplete.source(made(commands, {}, PROGRAM, _VARIABLE))
    call, instead = _CALLS[shell]
    return said.replace(_ZSH_LOOKS_FOR_IT, "").replace(call, instead.format(shlex.join(launch.command("cli"))))


class _Names(click.ParamType):
    """A text, completed with names that are found out only when a shell asks."""

    name = "text"

    def __init__(self, names: Callable[[click.Context], Iterable[str]]) -> None:
        self._names = names

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            found = sorted(set(self._names(ctx)))
        except Exception:  # a shell has asked, and nobody would read what is wrong
            found = []
        return [CompletionItem(name) for name in found if name.startswith(incomplete) and _HARMLESS.fullmatch(name)]


def _settings(context: click.Context) -> Any:
    from certbot_guard import config

    return config.load(Path(context.find_root().params["config_path"]).absolute())


def _lineages(context: click.Context) -> Iterable[str]:
    from certbot_guard import invocation, lineages

    named = context.params.get("config_dir") or context.params.get("config_dirs")
    if named:
        directories = [Path(one) for one in (named if isinstance(named, (list, tuple)) else [named])]
    else:
        directories = list(_settings(context).certbot_config_dirs) or [invocation.read([]).config_dir]
    return [lineages.name_of(str(path)) for directory in directories for path in lineages.renewal_files(directory)]


def _channels(context: click.Context) -> Iterable[str]:
    return [channel.name for channel in _settings(context).channels]


LINEAGE, CHANNEL = _Names(_lineages), _Names(_channels)
