"""What a deliverer has found out, in a file that outlives whoever started it.

The deliverer's standard output is this file: a JSON line before and after each attempt. Its parent applies the lines to
the journal; if the parent is killed, the deliverer goes on, and whoever next holds a channel's lease applies them instead.
So a message is in doubt only if its own sender died in the act. The file is locked as long as one of its writers lives.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from certbot_guard.errors import StateError
from certbot_guard.journal import Journal
from certbot_guard.outbox_rows import storable
from certbot_guard.text import line

_PREFIX = "outcomes-"
_LIMIT_BYTES = 4 * 1024 * 1024
_REASON_LIMIT = 400


@dataclass(frozen=True)
class Outcome:
    """One attempt. ``ok`` is None while it is under way: begun, and nothing heard since."""

    channel: str
    message: str
    attempt: int
    ok: Optional[bool]
    reason: str = ""
    doubt: bool = False
    done: tuple[str, ...] = ()


class OutcomeFile:
    """An open one. :attr:`descriptor` is for the deliverer to write to."""

    def __init__(self, descriptor: int, path: Optional[Path]) -> None:
        self.descriptor = descriptor
        self.path = path

    @classmethod
    def create(cls, directory: Optional[Path]) -> OutcomeFile:
        """A new one in a state directory, or nowhere to be found again if it cannot be made there."""
        if directory is not None:
            try:
                descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=".jsonl", dir=directory)  # 0600
                os.close(descriptor)
                descriptor = os.open(name, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return cls(descriptor, Path(name))
            except OSError:
                pass
        with tempfile.TemporaryFile() as file:
            return cls(os.dup(file.fileno()), None)

    def read(self) -> dict[tuple[str, str], Outcome]:
        """What is known by now of each (channel, message)."""
        found = {}
        for outcome in _parsed(os.pread(self.descriptor, _LIMIT_BYTES, 0)):
            found[outcome.channel, outcome.message] = outcome
        return found

    def discard(self) -> None:
        """All that was in it has been applied."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


def left_behind(directory: Optional[Path]) -> Iterator[tuple[OutcomeFile, bool]]:
    """Each file that another deliverer wrote: with True if all its writers are gone and it may be discarded."""
    for path in sorted(directory.glob(f"{_PREFIX}*.jsonl")) if directory is not None else ():
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield OutcomeFile(descriptor, path), True
        except BlockingIOError:
            yield OutcomeFile(descriptor, None), False
        except BaseException:
            os.close(descriptor)
            raise


def apply(journal: Journal, outcome: Optional[Outcome], message: str, channel: str, attempt: int) -> None:
    """One attempt's outcome goes to the journal; a sender that was cut off in the act leaves a doubt.

    Where the journal cannot be written the row stays as it is: ``sending``, so a possible repeat.
    """
    try:
        if outcome is None:
            journal.not_tried(message, channel, attempt)
        elif outcome.ok:
            journal.sent(message, channel, attempt)
        elif outcome.ok is None:
            journal.failed(message, channel, "no answer in time", attempt, doubt=True, done=outcome.done)
        else:
            journal.failed(message, channel, outcome.reason, attempt, doubt=outcome.doubt, done=outcome.done)
    except StateError:
        pass


def collect(journal: Journal, channels: Iterable[str]) -> None:
    """Apply what deliverers found out whose parents died. The caller holds the lease of each of ``channels``."""
    leased = set(channels)
    for file, finished in left_behind(journal.directory):
        for outcome in file.read().values():
            # Without an end its sender died in the act: "sending" says just that.
            if outcome.channel in leased and outcome.ok is not None:
                apply(journal, outcome, outcome.message, outcome.channel, outcome.attempt)
        if finished and not _mentions_others(file, leased):
            file.discard()
        else:
            os.close(file.descriptor)


def _mentions_others(file: OutcomeFile, leased: set[str]) -> bool:
    return any(channel not in leased for channel, _ in file.read())


def _parsed(data: bytes) -> Iterator[Outcome]:
    for row in data.split(b"\n"):
        try:
            outcome = _outcome(json.loads(row)) if row.strip() else None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue  # a line torn by a kill, or none of ours: who writes here has parsed strangers' replies
        if outcome is not None:
            yield outcome


def _outcome(row: dict[str, Any]) -> Outcome:
    ok = row.get("ok")
    if int(row["attempt"]) >= 2**31:
        raise ValueError("no number of an attempt")
    return Outcome(storable(str(row["channel"])), storable(str(row["message"])), int(row["attempt"]),
                   ok if ok is None else bool(ok), line(row.get("reason", ""), _REASON_LIMIT), bool(row.get("doubt")),
                   tuple(str(one)[:64] for one in row.get("done", ())[:100]))
