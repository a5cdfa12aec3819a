"""What a channel's sender has found out, in a file of its own that outlives whoever started it.

The sender's standard output is this file: a JSON line before and after each attempt. Its starter applies the lines to
the journal; if that is killed, the sender goes on, and whoever next holds the channel's lease applies them instead.
What one sender was given may wait in several journals: its file lies beside one of them and speaks for all. So a
message is in doubt only if its own sender died in the act. The file is locked as long as one of its writers lives.
Which channel it speaks for is in its name, which no sender can change: one that a stranger has taken over can lie about
its own channel and about no other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from certbot_guard.errors import StateError
from certbot_guard.journal import Journal
from certbot_guard.outbox_rows import storable
from certbot_guard.text import line

_PREFIX = "outcomes-"
LIMIT_BYTES = 4 * 1024 * 1024  # no sender can make it longer
_REASON_LIMIT = 400


@dataclass(frozen=True)
class Outcome:
    """One attempt. ``ok`` is None while it is under way: begun, and nothing heard since."""

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
    def create(cls, directory: Optional[Path], channel: str) -> OutcomeFile:
        """A new one in a state directory, or nowhere to be found again if it cannot be made there."""
        if directory is not None:
            try:
                descriptor, name = tempfile.mkstemp(prefix=_named(channel), suffix=".jsonl", dir=directory)  # 0600
                os.close(descriptor)
                descriptor = os.open(name, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return cls(descriptor, Path(name))
            except OSError:
                pass
        with tempfile.TemporaryFile() as file:
            return cls(os.dup(file.fileno()), None)

    def read(self) -> dict[str, Outcome]:
        """What is known by now of each message."""
        return {outcome.message: outcome for outcome in _parsed(os.pread(self.descriptor, LIMIT_BYTES, 0))}

    def discard(self) -> None:
        """All that was in it has been applied."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


def left_behind(directory: Optional[Path], channel: str) -> Iterator[tuple[OutcomeFile, bool]]:
    """Each file that another sender of this channel wrote: with True if it is gone and the file may be discarded."""
    for path in sorted(directory.glob(f"{_named(channel)}*.jsonl")) if directory is not None else ():
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
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


def collect(journal: Journal, channels: Iterable[str], others: Sequence[Journal] = ()) -> None:
    """Apply what senders found out whose starters died. The caller holds the lease of each of ``channels`` in the journals
    where something waits; where nothing does none is needed, since an outcome changes its own attempt's row alone.

    :param others: where messages that such a sender was given may wait as well
    """
    for channel in channels:
        for file, finished in left_behind(journal.directory, channel):
            for outcome in file.read().values():
                # Without an end its sender died in the act: "sending" says just that.
                if outcome.ok is not None:
                    for one in (journal, *others):
                        apply(one, outcome, outcome.message, channel, outcome.attempt)
            if finished:
                file.discard()
            else:
                os.close(file.descriptor)


def _named(channel: str) -> str:
    """How the names of a channel's files begin. Hashed: a channel's name is free text."""
    return f"{_PREFIX}{hashlib.sha256(channel.encode('utf-8', 'replace')).hexdigest()[:20]}-"


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
    return Outcome(storable(str(row["message"])), int(row["attempt"]),
                   ok if ok is None else bool(ok), line(row.get("reason", ""), _REASON_LIMIT), bool(row.get("doubt")),
                   tuple(str(one)[:64] for one in row.get("done", ())[:100]))
