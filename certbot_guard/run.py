"""One guarded run, as a directory: what was true when it opened, what happened since, and its three locks.

``run.json`` holds the facts at opening, ``events.jsonl`` one JSON object a line, appended only. Liveness is a lock:
the certbot process holds ``certbot.lock`` until it dies, whatever it dies of, and the kernel lets go of it. The
sentinel holds ``sentinel.lock`` in the same way. ``step.lock`` is held while Apache is stopped or started.

Knows nothing of Apache, certbot or Apprise. Written by the plugin, the hooks, the sentinel and settle.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Iterator, Optional

from certbot_guard import plainfile
from certbot_guard.errors import StateError
from certbot_guard.eventlog import EventLog, append, line_of
from certbot_guard.runrecord import is_record

CERTBOT_LOCK = "certbot.lock"
SENTINEL_LOCK = "sentinel.lock"
STEP_LOCK = "step.lock"
TELL_LOCK = "tell.lock"
EVENTS = "events.jsonl"
FACTS = "run.json"
SOCKET = "control"
# The command line is in it, which Linux lets have 6 MiB.
_FACTS_LIMIT_BYTES = 16 * 1024 * 1024


def boot_id() -> str:
    """This boot's identity: monotonic times of another boot mean nothing here. Empty where the kernel has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def new_id(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}"


class Run:
    """A run's directory. Any number of processes may hold one; only the locks say who may do what."""

    recorded = True  # in the history, once it is told

    def __init__(self, directory: Path, facts: dict[str, Any]) -> None:
        self.directory = directory
        self.facts = facts
        self.lock: Optional[int] = None
        self._log = EventLog(directory / EVENTS, Path(facts["overflow"]) if facts.get("overflow") else None)

    # -- opening ---------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, bases: list[Path], facts: dict[str, Any], alive: bool = False) -> Run:
        """Record a new run under the first of ``bases`` (state directories) that can be written.

        With ``alive`` this process holds certbot's lock (:attr:`lock`) before anybody can find the run.

        The last one also takes the events that no longer fit where the run lives.

        :raises StateError: none can be written; the sentence names the last reason.
        """
        from certbot_guard import statedir

        reason: Optional[Exception] = None
        run: Optional[Run] = None
        for base in bases:
            overflow = None if base == bases[-1] else bases[-1] / "overflow" / f"{facts['id']}.jsonl"
            facts = {**facts, "overflow": str(overflow) if overflow else None}
            try:
                directory = statedir.secure_directory(base / "runs") / facts["id"]
                os.mkdir(directory, 0o700)
                for name in (CERTBOT_LOCK, SENTINEL_LOCK, STEP_LOCK):
                    os.close(statedir.open_lock(directory / name))
                run = cls(directory, facts)
                if alive:
                    run.lock = run.hold(CERTBOT_LOCK)
                statedir.atomic_write(directory / FACTS, json.dumps(facts).encode())
                # A disk with room for an empty file and none for a line shows here, before anything is stopped.
                append(directory / EVENTS, line_of("opened", {}), sync=True)
                return run
            except (OSError, StateError) as error:
                reason = error
                run = None
                shutil.rmtree(base / "runs" / facts["id"], ignore_errors=True)
        raise StateError(f"no run can be recorded: {reason}") from reason

    @classmethod
    def nowhere(cls, facts: dict[str, Any]) -> Run:
        """A run that no disk takes: its events are this process's, until it hands them over."""
        return cls(Path("/nonexistent") / facts["id"], facts)

    @classmethod
    def load(cls, directory: Path) -> Run:
        """:raises StateError: there is no readable record in ``directory``."""
        try:
            facts = json.loads(plainfile.whole(directory / FACTS, _FACTS_LIMIT_BYTES).decode("utf-8"))
            if not is_record(facts):
                raise ValueError("not the record of a run")
        except (OSError, ValueError, RecursionError) as error:
            raise StateError(f"{directory / FACTS} cannot be read: {error}") from error
        return cls(directory, facts)

    @property
    def id(self) -> str:
        return self.facts["id"]

    # -- events ----------------------------------------------------------------------------------------------

    def record(self, kind: str, sync: bool = False, **fields: Any) -> None:
        """Append an event. With ``sync`` it is on the disk when this returns.

        :raises StateError: it could be written nowhere.
        """
        self._log.record(line_of(kind, fields), sync)

    def note(self, kind: str, **fields: Any) -> bool:
        """Append an event that nothing rests on; say whether it could be written. If not, this process knows it."""
        return self._log.note(line_of(kind, fields))

    def events(self) -> list[dict[str, Any]]:
        """Every event so far, oldest first; ``n`` is its number. A line torn by a crash is passed over."""
        return self._log.read(same_boot=self.facts.get("boot_id") == boot_id())

    @property
    def unwritten(self) -> list[dict[str, Any]]:
        """What this process has recorded, and is on no disk, or no more."""
        return self._log.unwritten

    def know(self, events: list[dict[str, Any]]) -> None:
        """Take over what another process could write nowhere."""
        self._log.know(events)

    def has(self, kind: str) -> bool:
        return any(event["kind"] == kind for event in self.events())

    # -- locks -----------------------------------------------------------------------------------------------

    def hold(self, name: str, patience_seconds: float = 0.0) -> Optional[int]:
        """Take one of the locks if it is free in time: a descriptor that holds it until closed, or None."""
        deadline = time.monotonic() + patience_seconds
        while True:
            descriptor = self._flock(name, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if descriptor is not None or time.monotonic() >= deadline:
                return descriptor
            time.sleep(0.005)

    def held(self, name: str) -> bool:
        """Does some process hold this lock now? Any number may ask at once: a question shares the lock."""
        try:
            descriptor = self._flock(name, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:  # a lock that is not there any more says nothing about anybody
            return False
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def wait_until_free(self, name: str) -> None:
        """Return when no process holds this lock, however long that takes."""
        descriptor = self._flock(name, fcntl.LOCK_SH)
        if descriptor is not None:
            os.close(descriptor)

    def _flock(self, name: str, how: int) -> Optional[int]:
        path, safely = self.directory / name, os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | safely, 0o600)
        except OSError:  # a disk that has become read-only since: a lock needs no writing
            descriptor = os.open(path, os.O_RDONLY | safely)
        try:
            fcntl.flock(descriptor, how)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor

    def certbot_lives(self) -> bool:
        return self.held(CERTBOT_LOCK)

    def sentinel_lives(self) -> bool:
        return self.held(SENTINEL_LOCK)

    def step(self, patience_seconds: float = 60.0) -> Any:
        """A context manager: hold the step lock. False if another process did not let go of it in time.

        A holder that was frozen must not keep Apache down for ever: the caller then acts all the same.
        """
        return self._locked(STEP_LOCK, patience_seconds)

    def telling(self, patience_seconds: float = 20.0) -> Any:
        """A context manager: nobody else makes a message of this run's news now; otherwise as :meth:`step`."""
        return self._locked(TELL_LOCK, patience_seconds)

    @contextmanager
    def _locked(self, name: str, patience_seconds: float) -> Iterator[bool]:
        try:
            descriptor = self.hold(name, patience_seconds)
        except OSError:
            descriptor = None
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                os.close(descriptor)


def runs_below(bases: list[Path]) -> list[Run]:
    """Every recorded run, oldest first. A directory without a readable record is passed over."""
    found = []
    for base in bases:
        try:
            names = sorted(os.listdir(base / "runs"))
        except OSError:
            continue
        for name in names:
            try:
                found.append(Run.load(base / "runs" / name))
            except StateError:
                continue
    return sorted(found, key=lambda run: run.id)


def unfinished(bases: list[Path]) -> list[Run]:
    """The runs that nobody settled and whose certbot and sentinel are both gone, oldest first."""
    return [run for run in runs_below(bases) if _is_unsettled(run) and _is_abandoned(run)]


def _is_unsettled(run: Run) -> bool:
    """Not settled yet; or settled, and Apache died once more before the sentinel's last look."""
    events = run.events()
    return not any(event["kind"] == "settled" for event in events) or bool(open_windows(events))


def _is_abandoned(run: Run) -> bool:
    return not run.certbot_lives() and not run.sentinel_lives()


def unreadable(bases: list[Path]) -> list[Path]:
    """The directories of unsettled, abandoned runs that had begun, and whose record cannot be read any more."""
    found = []
    for base in bases:
        for events in sorted(base.glob(f"runs/*/{EVENTS}")):
            run = Run(events.parent, {})
            if not _has_record(events.parent) and not run.has("settled") and _is_abandoned(run):
                found.append(events.parent)
    return found


def _has_record(directory: Path) -> bool:
    try:
        return bool(Run.load(directory).facts.get("guard_config"))
    except StateError:
        return False


def open_windows(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ``stopping`` events whose window has not ended: Apache may be down because of each."""
    windows: dict[Any, dict[str, Any]] = {}
    for event in events:
        if event["kind"] == "stopping":
            windows[event.get("window")] = event
        elif event["kind"] in ("serving", "left-running", "left-down"):
            windows.pop(event.get("window"), None)
    return list(windows.values())


def watched_hooks(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ``looked`` events, from just before a pre hook of the user's, whose own window has not been asked for since."""
    looked: dict[Any, dict[str, Any]] = {}
    for event in events:
        if event["kind"] == "looked":
            looked[event["window"]] = event
        elif event["kind"] in ("stopping", "left-running", "untouched"):
            looked.pop(event.get("window"), None)
    return list(looked.values())
