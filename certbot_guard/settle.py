"""The end of a run: Apache serves again, then what happened becomes messages on disk, then they are delivered.

This module does the first; :mod:`certbot_guard.telling` the other two. Idempotent, and safe to run twice at once. Called by certbot's exit (through :mod:`certbot_guard.session`), by the
sentinel when certbot died, and by ``certbot-guard recover`` and the next run when the sentinel is dead too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional, Union

from certbot_guard import alsoreload, launch, lineages, serverlock, servers, statedir, telling
from certbot_guard import config as configuration
from certbot_guard.config import Config, ServerConfig
from certbot_guard.errors import LeftDownError, RefusedError, ServerError, StateError
from certbot_guard.interfaces import IWebServer
from certbot_guard.passing import Pass
from certbot_guard.run import FACTS, Run, boot_id, open_windows, runs_below, unfinished, unreadable, watched_hooks
from certbot_guard.supervise import holding

KEEP_SETTLED_RUNS = 100
# After SIGTERM a parent with a slow visitor listens on, silently, for 10.4 s (measured, Apache 2.4.71).
_DYING_SECONDS = 12.0
STILL_DOWN = "the web server does not serve yet, it is tried again until it does"


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
            run.note("died")
            _note_not_attempted(run)
        elif run.has("fatal") and not run.has("not-attempted"):
            _note_not_attempted(run)
        serving = bring_back(run, server)
        _finish_saved(run, server)
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
    """Name the guarded lineages that a dead ``certbot renew`` had not come to: it goes through them by name."""
    reached = [event["lineage"] for event in run.events() if event["kind"] in ("lineage", "refused")]
    if run.facts.get("verb") != "renew" or not reached or any("--cert-name" in word for word in run.facts["argv"]):
        return
    left = lineages.guarded_behind(Path(run.facts["config_dir"]), reached[-1])
    if left:
        run.note("not-attempted", lineages=left, reason="certbot ended before it came to them")


def _finish_saved(run: Run, server: Optional[IWebServer]) -> None:
    """certbot ended between a save and restart(): no later run has a reason to reload, since nothing is due then."""
    try:
        for lineage in _saved(run):
            if not any(event["kind"] == "deployed" and event.get("lineage") == lineage for event in run.events()):
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


def bring_back(run: Run, server: Optional[IWebServer]) -> Optional[bool]:
    """One attempt to make Apache serve again where this run stopped it. The step lock is the caller's.

    Returns whether it serves, or None where this run has nothing to bring back.
    """
    windows = open_windows(run.events()) or open_windows_of_hooks(run, server)
    if not windows:
        return start_anyway(run, server)
    if server is None:
        _note_failure(run, windows[0]["window"], "the web server of this run cannot be found any more", "")
        return False
    return all([end_window(run, server, opened, "settle") for opened in windows])


def open_windows_of_hooks(run: Run, server: Optional[IWebServer]) -> list[dict[str, Any]]:
    """A pre hook of the user's stopped the server, and ours did not come to say so: those are windows all the same."""
    watched = watched_hooks(run.events())
    if server is None or not watched:
        return []
    with serverlock.unless_taken(server.identity) as free:
        for looked in watched if free else ():
            if went_down(server, looked["before"]):
                run.note("stopping", window=looked["window"], lineage=looked["lineage"], before=looked["before"],
                         by="pre hook")
    return open_windows(run.events())


def went_down(server: IWebServer, before: dict[str, Any]) -> bool:
    """Was a server that served ``before`` stopped? One that was just told to stop may listen on for a while."""
    deadline = time.monotonic() + _DYING_SECONDS
    while before.get("serving") and not server.serving(before):
        if not server.look()["serving"]:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return False


def end_window(run: Run, server: IWebServer, opened: dict[str, Any], by: str) -> bool:
    """One attempt to end a window: Apache serves as it did before, or the event says why it does not.

    False: it has to be tried again. A server that a person masked or disabled is left as it is, and that is an end.
    """
    window = opened["window"]
    before = opened.get("before") or {}
    events = run.events()
    failed_before = any(event["kind"] == "start-failed" and event.get("window") == window for event in events)
    try:
        server.start(before, float((run.facts.get("server") or {}).get("drain_seconds", 2.0)))
    except LeftDownError as error:
        run.note("left-down", window=window, reason=str(error))
        return True
    except ServerError as error:
        _note_failure(run, window, str(error), error.detail)
        return False
    except Exception as error:  # a bug of a controller must not end the sentinel: it tries again
        _note_failure(run, window, f"certbot-guard's own error: {type(error).__name__}: {error}", "")
        return False
    run.note("serving", window=window, by=by, again=failed_before, outage_seconds=_outage_seconds(run, opened))
    return True


def start_anyway(run: Run, server: Optional[IWebServer]) -> Optional[bool]:
    """``start = always``: at its end a run starts a server that was found down. Otherwise it is left as found."""
    if server is None or (run.facts.get("server") or {}).get("start") != "always" or run.facts.get("report_only"):
        return None
    with serverlock.unless_taken(server.identity) as free:
        return _start_found_down(run, server) if free else None


def _start_found_down(run: Run, server: IWebServer) -> bool:
    try:
        if server.look()["serving"]:
            return True
        server.start({}, 0.0)
    except LeftDownError as error:
        run.note("left-down", window=None, reason=str(error))
        return True
    except ServerError as error:
        _note_failure(run, None, str(error), error.detail)
        return False
    run.note("serving", window=None, by="start = always", again=False, outage_seconds=None)
    return True


def _note_failure(run: Run, window: Optional[int], reason: str, detail: str) -> None:
    """Say that a start failed, once for each reason: a retry every few seconds would fill the disk."""
    attempts = [event for event in run.events() if event["kind"] == "start-failed" and event.get("window") == window]
    if not attempts or attempts[-1].get("reason") != reason:
        run.note("start-failed", window=window, reason=reason, detail=detail[-4000:], attempt=len(attempts) + 1)


def _outage_seconds(run: Run, opened: dict[str, Any]) -> float:
    if run.facts.get("boot_id") == boot_id():
        return round(max(0.0, time.monotonic() - float(opened["mono"])), 3)
    since = datetime.fromisoformat(opened["at"])
    return round(max(0.0, (datetime.now(timezone.utc) - since).total_seconds()), 3)


# -- stale runs --------------------------------------------------------------------------------------------------


def settle_stale(bases: list[Path], config: Config, deliver: bool = True) -> list[tuple[Run, str]]:
    """Settle every run whose certbot is gone and that nobody settled; keep trying where Apache would not start.

    Returns the runs that were found unfinished, each with what is still wrong with it, or an empty sentence.
    """
    for directory in unreadable(bases):
        try:
            _write_record(directory, config)
        except (OSError, StateError):
            continue  # named below, where it is settled
    # One that a supervisor keeps back is finished but for telling people, and that is the supervisor's.
    return [(run, _settle_one(run, deliver)) for run in unfinished(bases)
            if not (run.has("held") and holding.holds_back(run))]


def _settle_one(run: Run, deliver: bool) -> str:
    try:
        outcome = settle(run, server_of(run), deliver)
        if not outcome.told and not deliver:  # no disk keeps the message for later
            outcome = settle(run, server_of(run))
        problem = launch.start_sentinel(run) if outcome.serving is False else None
    except Exception as error:  # one run that is beyond us must not keep the others from being settled
        return f"it cannot be settled: {type(error).__name__}: {error}"
    if outcome.serving is False:
        return f"the web server does not serve yet, and {problem}" if problem else STILL_DOWN
    return ""


def _write_record(directory: Path, config: Config) -> None:
    """A run whose record is torn goes on with what the settings say about the server."""
    facts = {"id": directory.name, "host": os.uname().nodename, "verb": "", "argv": [], "dry_run": False,
             "config_dir": str(config.path.parent), "guard_config": str(config.path), "server_name": "",
             "server": config.server.to_json() if config.server_usable else None, "report_only": False,
             "pid": 0, "pid_start_time": None, "boot_id": "", "started": "", "environment": launch.surroundings()}
    statedir.atomic_write(directory / FACTS, json.dumps(facts).encode())
    Run(directory, facts).note("guard-error", where="the record of a run", error=(
        f"{directory / FACTS} could not be read; the web server was looked for as {config.path} says"))


def forget_old(bases: list[Path]) -> None:
    """Settled runs are in the journal's history; their directories are kept for a while, for people who look."""
    import shutil

    settled = [run for run in runs_below(bases) if run.has("settled") and not run.sentinel_lives()]
    for run in settled[:-KEEP_SETTLED_RUNS]:
        shutil.rmtree(run.directory, ignore_errors=True)


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
    run = _run_of(arguments)
    launch.adopt_surroundings(run)
    server = server_of(run)
    if "--bring-back" in arguments:
        with run.step():
            return 0 if bring_back(run, server) is not False else 1
    if "--tell" in arguments:
        telling.tell(run, server, whatever_waits=True)
        return 0
    outcome = settle(run, server)
    if outcome.serving is False:
        launch.start_sentinel(run)
    forget_old([run.directory.parent.parent])
    return 0 if outcome.serving is not False else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
