"""What is to be done when: one time for each thing, on the monotonic clock. The sentinel's; knows nothing of runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Optional


class Agenda:
    """One thing, one time: what is put on it again is due at the new time."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def put(self, what: str, seconds: float) -> None:
        """It is due in so many seconds."""
        self._due[what] = time.monotonic() + seconds

    def put_at(self, what: str, when: float) -> None:
        self._due[what] = when

    def put_unless_there(self, what: str, seconds: float) -> None:
        self._due.setdefault(what, time.monotonic() + seconds)

    def drop(self, *what: str) -> None:
        for one in what:
            self._due.pop(one, None)

    def patience(self) -> Optional[float]:
        """In how many seconds the next is due; None where there is nothing."""
        return max(0.0, min(self._due.values()) - time.monotonic()) if self._due else None

    def take_due(self) -> Iterator[str]:
        """Each that is due by now, and is not on it any more. What was dropped or put off meanwhile is passed over."""
        now = time.monotonic()
        for what in list(self._due):
            if self._due.get(what, now + 1.0) <= now:
                del self._due[what]
                yield what
