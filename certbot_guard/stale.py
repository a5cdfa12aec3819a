"""The runs that nobody settled: found, settled, and in time forgotten. Called by recover, the next run and the watch."""

from __future__ import annotations

import json
import os
from pathlib import Path

from certbot_guard import launch, statedir
from certbot_guard.config import Config
from certbot_guard.errors import StateError
from certbot_guard.run import FACTS, Run, runs_below, unfinished, unreadable, utc_now
from certbot_guard.settle import server_of, settle
from certbot_guard.supervise import holding

KEEP_SETTLED_RUNS = 100
STILL_DOWN = "the web server does not serve yet, it is tried again until it does"


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
    """A run whose record is torn goes on with what the settings say about the server; what was there is kept beside."""
    if os.path.lexists(directory / FACTS):
        os.rename(directory / FACTS, directory / f"run.json.damaged-{utc_now():%Y%m%dT%H%M%S%f}Z")
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
