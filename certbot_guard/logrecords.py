"""The records of a letsencrypt.log, and a bounded look into a file. Used by :mod:`certbot_guard.logfile`."""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Iterator, Optional

LIMIT_BYTES = 5 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_RECORD = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:,\d{3})?:(DEBUG|INFO|WARNING|ERROR|CRITICAL):([\w.]+):",
                     re.MULTILINE | re.ASCII)
_DATE = re.compile(r"^date: ([^\n]{1,60})$", re.IGNORECASE | re.MULTILINE)
_QUARTER = timedelta(minutes=15)


@dataclass(frozen=True)
class Record:
    """One record. ``line``: the number of its first line, or None where the file's beginning was not read."""

    at: str
    level: str
    logger: str
    text: str
    line: Optional[int]

    @property
    def is_trouble(self) -> bool:
        return self.level in ("WARNING", "ERROR", "CRITICAL")

    @property
    def local(self) -> Optional[datetime]:
        """When it was, by a clock whose zone the log does not name."""
        try:
            return datetime.strptime(self.at, "%Y-%m-%d %H:%M:%S")
        except ValueError:
            return None


def load(path: Path) -> tuple[str, bool]:
    """The end of a log, and whether that is all of it.

    :raises OSError: it cannot be read, or is no plain file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError("it is a directory")
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no plain file")
        start = max(0, status.st_size - LIMIT_BYTES)
        file.seek(start)
        return file.read(LIMIT_BYTES).decode("utf-8", "replace"), start == 0


def load_stream(stream: IO[bytes]) -> tuple[str, bool]:
    """As :func:`load`, of what comes through a pipe, to its end."""
    chunks: deque[bytes] = deque(maxlen=LIMIT_BYTES // _CHUNK_BYTES)
    count = 0
    for chunk in iter(lambda: stream.read(_CHUNK_BYTES), b""):
        chunks.append(chunk)
        count += 1
    return b"".join(chunks).decode("utf-8", "replace"), count <= LIMIT_BYTES // _CHUNK_BYTES


def records(text: str, whole: bool = True) -> Iterator[Record]:
    """The records of a log; what stands before the first one is left out."""
    text = text.replace("\r\n", "\n")
    starts = list(_RECORD.finditer(text))
    line, counted = 1, 0
    for start, after in zip(starts, [*starts[1:], None]):
        line, counted = line + text.count("\n", counted, start.start()), start.start()
        said = text[start.end():after.start() if after else len(text)]
        yield Record(start[1], start[2], start[3], said.rstrip(), line if whole else None)


def zone_of(found: list[Record], here: bool) -> Optional[tzinfo]:
    """What zone the times of these are in; None if it cannot be known.

    Ours if they are ``here``. Of another machine's log only the CA's answers tell, which have the CA's own time.
    """
    if here:
        return datetime.now().astimezone().tzinfo
    for record in found:
        dated = _DATE.search(record.text) if record.text.startswith("Received response:") else None
        if dated and record.local:
            try:
                ahead = record.local - parsedate_to_datetime(dated[1]).replace(tzinfo=None)
            except (ValueError, TypeError, IndexError, OverflowError):
                continue
            # A zone is so many quarters of an hour ahead; what is left is the clock's error.
            offset = _QUARTER * round(ahead / _QUARTER)
            return timezone(offset) if abs(offset) < timedelta(hours=15) else None
    return None
