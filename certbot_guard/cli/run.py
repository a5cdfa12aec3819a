"""``certbot-guard run -- COMMAND``: the command as it is, and people told when it fails without a word."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

import click
from click.core import ParameterSource

from certbot_guard import config as configuration
from certbot_guard import invocation, options
from certbot_guard.cli.ending import have_standard_descriptors
from certbot_guard.errors import GuardError


class _Duration(click.ParamType):
    name = "time"

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> float:
        if isinstance(value, float):
            return value
        try:
            return options.positive_duration(str(value))
        except ValueError as error:
            self.fail(f"write {error}", param, ctx)


@click.command("run", short_help="Run a command; tell people when it fails without a word.",
               context_settings={"allow_interspersed_args": False})
@click.option("--retry-for", type=_Duration(), metavar="TIME", help="Try again what passes by itself (the CA is down, "
              "another certbot runs, exit code 75) for so long, such as 6h.  [default: no second attempt]")
@click.option("--timeout", type=_Duration(), metavar="TIME", help="End an attempt that takes longer, such as 1h: "
              "SIGTERM, and SIGKILL 10 s later.  [default: it takes as long as it takes]")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def run(context: click.Context, retry_for: Optional[float], timeout: Optional[float], command: tuple[str, ...]) -> None:
    """Run COMMAND, such as: certbot-guard run --retry-for 6h -- certbot renew --quiet

    Its input, output and signals are its own, and its exit code is ours (128 + the number of a signal that killed it,
    124 after --timeout, 126 or 127 if it cannot be started). When it fails and certbot-guard's plugin has not told
    people why, they are told here, with the end of its output. Output to a terminal is not kept for that.
    """
    from certbot_guard.supervise.command import Command, Ended
    from certbot_guard.supervise.signals import Signals

    asked = invocation.read(list(command[1:]))
    config = configuration.load(_settings(context, asked))
    asked = replace(asked, config_dir=_config_dir(command, config, asked))
    have_standard_descriptors()
    with Signals() as signals:
        def attempt(environment: dict[str, str]) -> Ended:
            return Command(command, signals, timeout, {**os.environ, **environment}).run()

        code = _supervise(command, config, asked, signals, attempt, retry_for).passed_on
    sys.exit(code)


def _supervise(command: tuple[str, ...], config: configuration.Config, asked: invocation.Invocation, signals: Any,
               attempt: Callable[[dict[str, str]], Any], retry_for: Optional[float]) -> Any:
    """How the last attempt ended. Whatever is wrong with us, the command runs, and its exit code is known."""
    ends: list[Any] = []

    def remembered(environment: dict[str, str]) -> Any:
        ends.append(None)
        ends[-1] = attempt(environment)
        return ends[-1]

    try:
        from certbot_guard.supervise.attempts import Supervisor

        supervisor = Supervisor(command, config, asked, _Time(signals), remembered)
        with signals.blocked():  # for a thread that a slow server leaves behind, too: they are the main thread's
            supervisor.start()
        if retry_for is not None:
            supervisor.again_and_again(retry_for)
        else:
            supervisor.tell(supervisor.once())
        supervisor.end(ends[-1])
    except Exception as error:
        click.echo(f"certbot-guard: its own error: {type(error).__name__}: {error}", err=True)
        if not ends:
            return attempt({})
        if ends[-1] is None:
            raise GuardError("how the command ended is not known: certbot-guard failed while it ran; look at its own "
                             "log") from error
    return ends[-1]


class _Time:
    """The real one."""

    def __init__(self, signals: Any) -> None:
        self._signals = signals

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        return bool(self._signals.wait(seconds))


def _settings(context: click.Context, asked: invocation.Invocation) -> Path:
    """Where the plugin looks for them, unless ``--config`` says where."""
    chosen: Path = context.obj
    parent = context.parent
    named = parent is not None and parent.get_parameter_source("config_path") != ParameterSource.DEFAULT
    return chosen if named or not os.path.exists(asked.guard_config) else asked.guard_config


def _config_dir(command: tuple[str, ...], config: configuration.Config, asked: invocation.Invocation) -> Path:
    """As the command names it, else as the settings do."""
    if any(word.partition("=")[0] == "--config-dir" for word in command) or not config.certbot_config_dirs:
        return asked.config_dir
    return config.certbot_config_dirs[0]
