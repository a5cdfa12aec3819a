"""What metrics are made of: certificates, runs, messages and troubles, counted. Reads, and changes nothing.

What cannot be read is left out, and says so; it is never a zero.
"""

from __future__ import annotations

import importlib.metadata
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Optional

from certbot_guard import history_rows, invocation, lineages, notify, plainfile, standing_rows, verdict
from certbot_guard import journal as journals
from certbot_guard.config import Config
from certbot_guard.errors import StateError
from certbot_guard.outages import outages_of, parsed
from certbot_guard.run import unfinished
from certbot_guard.stakes import Validity

# What the watch notes in the journal: when it looked, and whether the web server served ("1", "0").
WATCHED, SERVING = "watched", "serving"
_BUSY_SECONDS = 5.0
# A run in certbot's log and one in the history are the same if they began so close to each other.
_SAME_RUN = timedelta(minutes=2)
_FAILED_IN_LOG = frozenset({"lineage-failed", "lineage-broken", "fatal", "hook-failed"})
_COMMAND_VERBS = frozenset({"run", "unit-failed"})


@dataclass(frozen=True)
class Lineage:
    """One renewal configuration. ``guarded`` is None where it cannot be read."""

    name: str
    guarded: Optional[bool]
    validity: Optional[Validity]

    @property
    def readable(self) -> bool:
        return self.guarded is not None and self.validity is not None


@dataclass
class Directory:
    """One of certbot's configuration directories, and its runs. ``outages`` are seconds, one for each.

    :ivar let_through: challenges that were let through the running web server
    :ivar not_let_through: those that might have been, and for which it was to be stopped
    """

    path: Path
    lineages: list[Lineage] = field(default_factory=list)
    last_run: Optional[datetime] = None
    last_run_ok: Optional[bool] = None
    last_success: Optional[datetime] = None
    last_outage_seconds: Optional[float] = None
    runs: int = 0
    outages: list[float] = field(default_factory=list)
    let_through: int = 0
    not_let_through: int = 0


@dataclass
class Counts:
    """Everything. ``unfinished`` is None where the runs cannot be looked at."""

    directories: list[Directory] = field(default_factory=list)
    undelivered: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, int] = field(default_factory=dict)
    unfinished: Optional[int] = None
    watched: Optional[datetime] = None
    serving: Optional[bool] = None
    state_readable: bool = True
    certbot_version: str = ""


def count(config: Config, bases: list[Path], config_dirs: Optional[list[Path]], now: datetime) -> Counts:
    """Look once. Where ``config_dirs`` is None, at those that the watch looks at."""
    from certbot_guard.watch.passes import config_dirs as watched_dirs

    found = Counts(certbot_version=_certbot_version(), undelivered={one.name: 0 for one in notify.takers(config)})
    history: list[dict[str, Any]] = []
    memories = []
    with ExitStack() as held:
        for base in bases:
            try:
                if not (base / journals.FILE).exists():
                    continue
                book = held.enter_context(closing(_open(base, str(config.path))))
                history += book.history(history_rows.KEEP)
                memories.append(book.memory())
                _count_noted(book.noted(), found)
                for channel, number in _waiting(book):
                    found.undelivered[channel] = found.undelivered.get(channel, 0) + number
            except (OSError, StateError):
                found.state_readable = False
    for one in standing_rows.merged(memories).standing.values():
        found.troubles[one.severity] = found.troubles.get(one.severity, 0) + 1
    history.sort(key=lambda run: str(run["facts"].get("started") or ""), reverse=True)
    for path in dict.fromkeys(config_dirs if config_dirs is not None else watched_dirs(config, history)):
        one = _directory(path, history, now)
        if one.lineages or one.runs or one.outages or one.last_run is not None or config.certbot_config_dirs:
            found.directories.append(one)  # the usual one, where certbot's are elsewhere, has nothing to say
    try:
        found.unfinished = len(unfinished(bases))
    except OSError:
        found.state_readable = False
    return found


def _open(base: Path, settings: str) -> journals.Journal:
    """Read-only: a damaged database is set aside, and told of, by those whose business it is."""
    path = base / journals.FILE
    try:
        if not path.is_file():  # SQLite would wait for a pipe
            raise OSError("it is no plain file")
        address = path.absolute().as_uri()
        database = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise StateError(f"the state database cannot be read: {error}") from error
    return journals.Journal(base, database, None, settings)


def _count_noted(noted: dict[str, str], found: Counts) -> None:
    when = parsed(noted[WATCHED]) if WATCHED in noted else None
    if when is not None and (found.watched is None or when > found.watched):
        found.watched, found.serving = when, {"1": True, "0": False}.get(noted.get(SERVING, ""))


def _waiting(book: journals.Journal) -> Iterator[tuple[str, int]]:
    own = book.settings
    try:
        for settings in book.settings_waiting():
            book.settings = settings
            for channel in book.channels_waiting():
                yield channel, len(book.waiting(channel))
    finally:
        book.settings = own


def _certbot_version() -> str:
    try:
        return importlib.metadata.version("certbot")
    except importlib.metadata.PackageNotFoundError:
        return ""


# -- certbot's files ---------------------------------------------------------------------------------------------


def _lineage(path: Path) -> Lineage:
    name = lineages.name_of(str(path))
    try:
        found = lineages.parsed(path, interpolation=False)
        parameters = found.get("renewalparams", {})
        guarded: Optional[bool] = parameters.get("installer") == "guard"
    except (AttributeError, OSError, ValueError, SyntaxError):
        return Lineage(name, None, None)
    named = found.get("cert")
    certificate = Path(named) if isinstance(named, str) else path.parents[1] / "live" / name / "cert.pem"
    try:
        return Lineage(name, guarded, lineages.validity_of(plainfile.read(certificate, plainfile.PEM_LIMIT_BYTES)))
    except (OSError, ValueError):
        return Lineage(name, guarded, None)


# -- runs --------------------------------------------------------------------------------------------------------


def _directory(path: Path, history: list[dict[str, Any]], now: datetime) -> Directory:
    found = Directory(path, [_lineage(one) for one in lineages.renewal_files(path)])
    own = [run for run in history if run["facts"].get("config_dir") == str(path)]
    for run in own:  # the newest first
        outages = [outage.seconds for outage in outages_of(run["events"], now)]
        found.outages += outages
        tried = [event.get("kind") for event in run["events"]]
        found.let_through += tried.count("proxy-placed")
        found.not_let_through += tried.count("not-proxied")
        facts, when = run["facts"], parsed(run["facts"].get("started"))
        if facts.get("dry_run") or when is None or facts.get("verb") not in ("renew", "", *_COMMAND_VERBS):
            continue
        found.runs += facts.get("verb") not in _COMMAND_VERBS
        if found.last_outage_seconds is None:
            found.last_outage_seconds = max(outages, default=0.0)
        if found.last_run is not None and found.last_success is not None:
            continue
        well = _is_ok(run, now)
        if facts.get("verb") in _COMMAND_VERBS and well:
            continue  # whatever that command was
        _add_run(found, when, well)
    _look_at_log(found, _logs_dir(path, own))
    return found


def _is_ok(run: dict[str, Any], now: datetime) -> bool:
    try:
        return verdict.is_ok(run["facts"], run["events"], now)
    except Exception:  # the account of another version
        return False


def _add_run(found: Directory, when: datetime, well: bool) -> None:
    if found.last_run is None or when > found.last_run:
        found.last_run, found.last_run_ok = when, well
    if well and (found.last_success is None or when > found.last_success):
        found.last_success = when


def _look_at_log(found: Directory, logs_dir: Path) -> None:
    """A run with nothing due leaves no trace but certbot's log; nor does one that ended before the plugin was there."""
    from certbot_guard.watch import attempts

    try:
        last = attempts.last_run(logs_dir, found.path)
    except Exception:  # a log that is like none before
        return
    if last is None or (found.last_run is not None and last.began <= found.last_run + _SAME_RUN):
        return
    well = not last.run.unfinished and not any(event["kind"] in _FAILED_IN_LOG for event in last.run.events)
    _add_run(found, last.began, well)


def _logs_dir(config_dir: Path, own: list[dict[str, Any]]) -> Path:
    known = next((str(run["facts"]["logs_dir"]) for run in own if run["facts"].get("logs_dir")), "")
    return Path(known) if known else invocation.read(["--config-dir", str(config_dir)]).logs_dir
