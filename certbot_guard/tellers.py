"""The processes that tell people while the sentinel looks after Apache: a channel may hang, and Apache may not wait.

Called by the sentinel. What there is to tell, and to whom, is :mod:`certbot_guard.telling`'s.
"""

from __future__ import annotations

import subprocess
import time
from typing import Optional

from certbot_guard import launch
from certbot_guard.run import Run

# While Apache is down, between the attempts to deliver what nobody has taken yet.
_AGAIN_SECONDS = (30, 60, 120, 300)


class Tellers:
    """One per run. Whoever ends while one is at work may take it along: a unit ends with all its processes."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._started: list[subprocess.Popen] = []
        self._again_at: Optional[float] = None
        self._told_again = 0

    def are_at_work(self) -> bool:
        self._started = [one for one in self._started if one.poll() is None]
        return bool(self._started)

    def start(self) -> None:
        """One more tells whatever waits, or an event says why it could not be started."""
        try:
            self.are_at_work()  # and those that have ended are reaped
            self._started.append(launch.start_settle(self._run, "--tell"))
        except OSError as error:
            self._run.note("guard-error", where="delivery", error=str(error))

    def start_again(self) -> None:
        """An outage that took the network along must not silence the alarm: it is tried again, less and less often."""
        now = time.monotonic()
        if self._again_at is None:
            self._again_at = now + _AGAIN_SECONDS[0]
        elif now >= self._again_at and not self.are_at_work():
            self._told_again += 1
            self._again_at = now + _AGAIN_SECONDS[min(self._told_again, len(_AGAIN_SECONDS) - 1)]
            self.start()
