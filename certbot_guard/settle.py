"""The end of a run: Apache serves again, then what happened becomes messages on disk, then they are delivered.

:mod:`certbot_guard.windows` does the first, :mod:`certbot_guard.telling` the other two. Idempotent, and safe to run
twice at once. Called by certbot's exit (through :mod:`certbot_guard.session`), by the sentinel when certbot died, and
through :mod:`certbot_guard.stale` by ``certbot-guard recover`` and the next run when the sentinel is dead too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from certbot_guard import alsoreload, launch, lineages, passage, servers, statedir, telling, windows
from certbot_guard import config as configuration
from certbot_guard.config import Config, ServerConfig
from certbot_guard.errors import RefusedError, ServerError, StateError
from certbot_guard.interfaces import IWebServer
from certbot_guard.passing import Pass
from certbot_guard.run import Run, open_windows


@dataclass(frozen=True)
class Outcome:
    """What is true after a settle. ``serving`` is None where nobody can know, or nobody was to look."""

    serving: Optional[bool]
    told: bool


def server_of(run: Union[Run, Pass]) -> Optional[IWebServer]:
    """The controller this run was opened with, or None if it had none or there is none any more."""
    facts = run.facts.get("server")
    if not facts:
        return None
    try:
        return servers.find(ServerConfig.from_json(facts), run.facts.get("environment") or launch.surroundings())
    except ServerError:
        return None


def settle(run: Run, server: Optional[IWebServer], deliver: bool = True) -> Outcome:
    """End a run. Never raises for a server that will not start: that is an outcome, and told.

    With ``deliver`` false the messages are left on disk for another settler.
    """
    with run.step():
        if not run.has("closed"):
            run.note("closed")
        if not run.certbot_lives() and not run.has("exit") and not run.has("died"):
            run.note("died", by="certbot-guard's sentinel" if run.sentinel_lives() else "certbot-guard")
        serving = windows.bring_back(run, server)
        _carefully(run, "proxy", lambda: passage.end_left(run, server, "settle"))
        if serving is not False and open_windows(run.events()):  # that reload has ended it
            serving = windows.bring_back(run, server)
        _finish_saved(run, server)
        _carefully(run, "not attempted", lambda: _note_not_attempted(run))  # reads every renewal configuration
    config = configuration.load(Path(str(run.facts.get("guard_config") or "")))
    if serving is not False:
        _carefully(run, "also_reload", lambda: alsoreload.reload_others(run, config))
    told = _tell(run, server, deliver)
    if serving is not False and told and not run.has("settled"):
        run.note("settled")
        _carefully(run, "report", lambda: _report(run, config, serving))
    elif serving is False and not run.has("reported-down"):
        run.note("reported-down")
        _carefully(run, "report", lambda: _report(run, config, serving))
    return Outcome(serving, told)


def _carefully(run: Run, where: str, action: Callable[[], None]) -> None:
    """What comes after Apache serves must not end the sentinel: a bug, or a package that was replaced meanwhile."""
    try:
        action()
    except Exception as error:
        telling.guard_error(run, where, f"{type(error).__name__}: {error}")


def _report(run: Run, config: Config, serving: Optional[bool]) -> None:
    """The dead man's switch and the file of numbers know of this run, where guard.ini names them."""
    if not (config.heartbeat_url or config.metrics_textfile):
        return
    from certbot_guard import heartbeat, metrics  # of few, and not of those who bring Apache back

    # A command that supervises this certbot has told of its start, and tells of its end.
    beat = None if run.facts.get("supervised") else heartbeat.settled(config, run.facts, run.events())
    written = metrics.written_if_configured(config, statedir.every_directory(config.state_dir), serving)
    for problem in (beat, written):
        if problem:
            run.note("not-reported", reason=problem)


def _tell(run: Run, server: Optional[IWebServer], deliver: bool) -> bool:
    try:
        return telling.tell(run, server, deliver)
    except Exception as error:  # the sentinel must live on; a run that nobody was told of is not settled
        telling.guard_error(run, "telling", f"{type(error).__name__}: {error}")
        return False


def _note_not_attempted(run: Run) -> None:
    """Name, once, the guarded lineages that a dead ``certbot renew`` had not come to: it goes through them by name."""
    if not (run.has("died") or run.has("fatal")) or run.has("settled"):
        return
    reached = [event["lineage"] for event in run.events() if event["kind"] in ("lineage", "refused")]
    if run.facts.get("verb") != "renew" or not reached or any("--cert-name" in word for word in run.facts["argv"]):
        return
    named = {name for event in run.events() if event["kind"] == "not-attempted" for name in event["lineages"]}
    left = [name for name in lineages.guarded_behind(Path(run.facts["config_dir"]), reached[-1]) if name not in named]
    if left:
        run.note("not-attempted", lineages=left, reason="certbot ended before it came to them")


def _finish_saved(run: Run, server: Optional[IWebServer]) -> None:
    """certbot ended between a save and restart(): no later run has a reason to reload, since nothing is due then."""
    try:
        deployed = {event.get("lineage") for event in run.events() if event["kind"] == "deployed"}
        for lineage in _saved(run):
            if lineage not in deployed:
                expires = lineages.not_after(Path(run.facts["config_dir"]), lineage)
                run.note("deployed", lineage=lineage, not_after=expires.isoformat() if expires else None, by="settle")
            _reload(run, server, lineage)
    except Exception as error:  # the run ends without it, too
        telling.guard_error(run, "after the save", f"{type(error).__name__}: {error}")


def _saved(run: Run) -> list[str]:
    """The lineages with a new certificate on disk that nobody has reloaded the server for, or tried to."""
    events = run.events()
    over = {event.get("lineage") for event in events
            if event["kind"] in ("reloaded", "reload-refused", "reload-failed", "not-reloaded")}
    found = []
    for event in events:
        if event["kind"] == "lineage" and event["lineage"] not in over and not run.facts.get("dry_run"):
            now = lineages.not_after(Path(run.facts["config_dir"]), event["lineage"])
            if now is not None and now.isoformat() != event.get("not_after"):
                found.append(event["lineage"])
    return list(dict.fromkeys(found))


def _reload(run: Run, server: Optional[IWebServer], lineage: str) -> None:
    if server is None:
        run.note("reload-refused", lineage=lineage, reason="the web server of this run is not known", detail="")
        return
    if not server.look()["serving"]:
        return  # it loads the new certificate when it starts
    try:
        server.reload()
        run.note("reloaded", lineage=lineage, by="settle")
    except ServerError as error:
        refused = isinstance(error, RefusedError)
        run.note("reload-refused" if refused else "reload-failed", lineage=lineage, reason=str(error),
                 detail=error.detail)


def _run_of(arguments: list[str]) -> Run:
    """The run on disk, with what its starter could write nowhere; or all of it as handed over."""
    directory = Path(arguments[0])
    if launch.HANDED_OVER not in arguments:
        return Run.load(directory)
    handed = json.load(sys.stdin)
    try:
        run = Run.load(directory)
    except StateError:
        run = Run(directory, handed["facts"])
    run.know(handed["events"])
    return run


def main(arguments: list[str]) -> int:
    """``python -I -m certbot_guard.settle DIRECTORY [--bring-back | --tell] [--handed-over]``"""
    from certbot_guard import stale  # which calls this module

    run = _run_of(arguments)
    launch.adopt_surroundings(run)
    server = server_of(run)
    if "--bring-back" in arguments:
        with run.step():
            return 0 if windows.bring_back(run, server) is not False else 1
    if "--tell" in arguments:
        telling.tell(run, server, whatever_waits=True)
        return 0
    outcome = settle(run, server)
    if outcome.serving is False:
        launch.start_sentinel(run)
    stale.forget_old([run.directory.parent.parent])
    return 0 if outcome.serving is not False else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
