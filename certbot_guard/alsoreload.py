"""The other services that use the same certificates: ``[deploy] also_reload``. Called by settle, once the web server serves.

Each of them is reloaded once in a run that deployed something, after all of it: by its command in guard.ini, else as a unit.
``systemctl try-reload-or-restart`` leaves alone what does not run, and restarts what cannot reload (systemctl(1)).
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from certbot_guard.config import Config, DeployConfig
from certbot_guard.errors import ServerError
from certbot_guard.run import Run, utc_now
from certbot_guard.servers import execute

_SECONDS, _SECONDS_IN_ALL = 30.0, 60.0
_LOCK = "others.lock"
# Runs a command for so many seconds, and says how it ended.
Execute = Callable[[Sequence[str], dict[str, str], float], execute.Result]


def reload_others(run: Run, config: Config, execute_: Execute = execute.run) -> None:
    """Every service of ``[deploy]`` was reloaded, or an event says why not; then what the endpoints show was looked at.

    Does nothing where no lineage was deployed in this run, or another settler is at it. Takes a minute at the most, and
    another one for the endpoints: people wait to be told.
    """
    if run.facts.get("dry_run") or not run.has("deployed"):
        return
    lock = run.hold(_LOCK)
    if lock is None:
        return
    try:
        _reload_all(run, config, execute_)
    finally:
        os.close(lock)


def _reload_all(run: Run, config: Config, execute_: Execute) -> None:
    ends = time.monotonic() + _SECONDS_IN_ALL
    done = {event.get("service") for event in run.events() if event["kind"] in ("also-reloaded", "also-reload-failed")}
    left = [(service, command) for service, command in _services(config.deploy) if service not in done]
    for service, command in left:
        left_seconds = min(_SECONDS, ends - time.monotonic())
        reason, detail = _reload(command, execute_, left_seconds) if left_seconds > 1 else (
            f"the services before it took {_SECONDS_IN_ALL:.0f} s", "")
        if reason:
            run.note("also-reload-failed", service=service, reason=reason, detail=detail[-4000:])
        else:
            run.note("also-reloaded", service=service)
    if left and config.watch.endpoints:
        from certbot_guard.watch import services

        services.look_at_endpoints(config, Path(str(run.facts["config_dir"])), run.note, utc_now())


def _services(deploy: DeployConfig) -> Iterator[tuple[str, list[str]]]:
    """Each service once, with the command that reloads it."""
    commands = dict(deploy.commands)
    for service in dict.fromkeys([*deploy.also_reload, *commands]):
        yield service, (shlex.split(commands[service]) if service in commands
                        else ["systemctl", "try-reload-or-restart", "--", service])


def _reload(command: list[str], execute_: Execute, seconds: float) -> tuple[str, str]:
    """Why it failed, and what it printed; the first is empty where it did not fail."""
    if command[0] == "systemctl" and not execute.under_systemd():
        return "there is no systemd here; name a command for it in [deploy]: NAME_command = ...", ""
    environment = {"PATH": os.pathsep.join(execute.SBIN), "LANG": "C", "LC_ALL": "C"}
    try:
        result = execute_(command, environment, seconds)
    except ServerError as error:
        return str(error), error.detail
    if result.code == 0:
        return "", ""
    how = f"exit code {result.code}" if result.code is not None else f"it did not end in {seconds:.0f} s"
    return how, result.output
