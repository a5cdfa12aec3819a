"""The events of a run, as lines of JSON that are appended only: read whole, whatever was torn or did not fit.

Where the run's own disk is full they go on elsewhere, and what no disk takes this process knows for itself.
"""

from __future__ import annotations

import errno
import json
import math
import os
import time
from collections import deque
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional

from certbot_guard.errors import StateError

# Events written where the run's own disk was full get numbers behind all others: order within a window is kept.
_OVERFLOW_FIRST = 1_000_000
_UNWRITTEN_FIRST = 2_000_000
_OWN_LIMIT = 2_000
_LINE_LIMIT_BYTES = 256 * 1024
_EVENTS_LIMIT_BYTES = 64 * 1024 * 1024
_OF_TYPE: dict[str, Any] = {"lineage": str, "lineages": list, "names": list, "before": dict, "acme": dict}
_OF_A_WINDOW = ("stopping", "looked")
# Of these kinds it is read as a matter of course.
_NEEDED = {"before": _OF_A_WINDOW, "lineages": ("not-attempted",), "lineage": (*_OF_A_WINDOW, "lineage", "refused")}


class EventLog:
    """:param overflow: where it goes on once ``path`` takes no more"""

    def __init__(self, path: Path, overflow: Optional[Path]) -> None:
        self._path = path
        self._overflow = overflow
        self._files = [_Growing(path, 0)] + ([_Growing(overflow, _OVERFLOW_FIRST)] if overflow is not None else [])
        # What this process has recorded: it knows it whatever becomes of the disk, and hands it on.
        self._own: deque[dict[str, Any]] = deque(maxlen=_OWN_LIMIT)

    def record(self, line: bytes, sync: bool) -> None:
        """:raises StateError: it could be written nowhere."""
        try:
            if self._overflow is not None and self._overflow.exists():
                raise OSError(errno.ENOSPC, "the events of this run go on elsewhere")  # their order is kept by that
            append(self._path, line, sync)
        except OSError as error:
            if self._overflow is None:
                raise StateError(f"{self._path} cannot be written: {error}") from error
            try:
                from certbot_guard import statedir

                statedir.secure_directory(self._overflow.parent)
                append(self._overflow, line, sync)
            except (OSError, StateError) as second:
                raise StateError(f"neither {self._path} nor {self._overflow} can be written: {second}") from error
        self._own.append(json.loads(line))

    def note(self, line: bytes) -> bool:
        """Whether it could be written."""
        try:
            self.record(line, sync=False)
            return True
        except StateError:
            self._own.append(json.loads(line))
            return False

    def read(self, same_boot: bool) -> list[dict[str, Any]]:
        """Oldest first. With ``same_boot`` what is on no disk stands where it belongs, by the monotonic clock."""
        found = self._on_disk()
        lost = self._lost(found)
        if not lost:
            return found
        found += [{**event, "n": _UNWRITTEN_FIRST + number} for number, event in enumerate(lost)]
        return sorted(found, key=_monotonic) if same_boot else found

    @property
    def unwritten(self) -> list[dict[str, Any]]:
        return self._lost(self._on_disk())

    def know(self, events: list[dict[str, Any]]) -> None:
        self._own.extend(events)

    def _on_disk(self) -> list[dict[str, Any]]:
        return [event for file in self._files for event in file.events()]

    def _lost(self, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        there = {(event["kind"], event["at"], event["mono"]) for event in found}
        return [event for event in self._own if (event["kind"], event["at"], event["mono"]) not in there]


def append(path: Path, line: bytes, sync: bool) -> None:
    """:raises OSError: it is not there as a whole."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, "no space left for a whole line")
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _monotonic(event: dict[str, Any]) -> float:
    return float(event["mono"])


def line_of(kind: str, fields: dict[str, Any]) -> bytes:
    event = {"kind": kind, "at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"), "mono": round(time.monotonic(), 4)}
    event.update(fields)
    text = json.dumps(event, default=str)
    if len(text) > _LINE_LIMIT_BYTES:
        text = json.dumps({**{key: event[key] for key in ("kind", "at", "mono")},
                           **{key: _shortened(value) for key, value in fields.items()}}, default=str)
    # The leading line break ends whatever a crashed writer left unfinished.
    return b"\n" + text.encode("ascii") + b"\n"


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > 4000:
        return f"{value[:3000]} [... {len(value) - 3500} characters left out ...] {value[-500:]}"
    if isinstance(value, dict):
        return {key: _shortened(inner) for key, inner in list(value.items())[:200]}
    if isinstance(value, (list, tuple)):
        return [_shortened(inner) for inner in value[:20]]
    return value


def _in_shape(event: dict[str, Any]) -> dict[str, Any]:
    """What others look up, sort and go through by is of the type that they expect, whatever damage did to the line.

    The event itself stays: where it says that Apache was stopped, that is what counts.
    """
    if type(event.get("window")) not in (int, type(None)):
        event["window"] = None
    for name, kind in _OF_TYPE.items():
        needed = event["kind"] in _NEEDED.get(name, ())
        value = event.get(name)
        if (needed and value is None) or (value is not None and not isinstance(value, kind)):
            event[name] = kind()
    if event["kind"] in _OF_A_WINDOW:
        event.setdefault("window", None)
    return event


class _Growing:
    """A file of events that only grows: what was parsed of it is kept, and a run of many lineages asks often."""

    def __init__(self, path: Path, first: int) -> None:
        self._path = path
        self._first = first
        self._forget()

    def _forget(self) -> None:
        self._known: list[dict[str, Any]] = []
        self._identity: Optional[tuple[int, int]] = None
        self._upto = self._lines = 0  # bytes and lines that are known: whole lines alone

    def events(self) -> list[dict[str, Any]]:
        """Every event so far, for the caller to keep. A file that cannot be read has none."""
        try:
            data = self._new_data()
        except OSError:
            self._forget()
            return []
        whole, end, rest = data.rpartition(b"\n")
        if end:
            lines = whole.split(b"\n")
            self._known += self._parsed(lines)
            self._lines += len(lines)
            self._upto += len(whole) + 1
        return [dict(event) for event in self._known] + self._parsed([rest])

    def _new_data(self) -> bytes:
        """:raises OSError: it cannot be read"""
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if self._identity != (status.st_dev, status.st_ino) or status.st_size < self._upto:
                self._forget()
                self._identity = status.st_dev, status.st_ino
            stream.seek(self._upto)
            return stream.read(max(_EVENTS_LIMIT_BYTES - self._upto, 0))

    def _parsed(self, lines: list[bytes]) -> list[dict[str, Any]]:
        """The events in the next lines. ``n`` is the number of its line."""
        found = []
        for number, line in enumerate(lines, self._first + self._lines):
            try:
                event = json.loads(line) if line.strip() else None
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict) and [type(event.get(name)) for name in ("kind", "at", "mono")] == [str, str, float]:
                if not math.isfinite(event["mono"]):
                    continue
                event["n"] = number
                found.append(_in_shape(event))
        return found
