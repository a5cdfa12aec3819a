"""A window that lasts nearly ``max_outage``: certbot gives the lineage up, is interrupted, is killed. Step by step.

Called by the sentinel, which has Apache started as soon as certbot does not hold the port.
"""

from __future__ import annotations

import signal
import time
from typing import Any

from certbot_guard.challengeserver import ChallengeServer
from certbot_guard.run import Run
from certbot_guard.servers import processes

# From asking certbot to give a lineage up, to interrupting it, to killing it.
_BETWEEN_STEPS_SECONDS = 2.0
GIVE_UP_SIGNAL = signal.SIGUSR2
_STEPS = (("gave-up-lineage", GIVE_UP_SIGNAL), ("interrupted", signal.SIGINT), ("killed", signal.SIGKILL))


class GivingUp:
    """One per run, for one window after the other."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._taken = 0  # steps, in this window

    def begin(self, opened: dict[str, Any]) -> float:
        """The next step is the first, in this window. Returns when to take it, on the monotonic clock: so early before
        max_outage that giving up, and Apache's start, are over by then."""
        self._taken = 0
        limit = float(self._max_outage())
        return float(opened["mono"]) + max(limit - min(10.0, limit / 4), 0.0)

    def take_a_step(self, opened: dict[str, Any], certbots: ChallengeServer) -> bool:
        """First the lineage is given up, then certbot. False: certbot does not hold the port, so neither is needed."""
        if not certbots.has_its_port:
            if self._taken == 0:
                self._note(opened, _STEPS[0][0])
            return False
        action, number = _STEPS[min(self._taken, len(_STEPS) - 1)]
        self._taken += 1
        self._note(opened, action)
        processes.signal_process(int(self._run.facts["pid"]), self._run.facts["pid_start_time"], number)
        deadline = time.monotonic() + _BETWEEN_STEPS_SECONDS
        while certbots.has_its_port and time.monotonic() < deadline:
            time.sleep(0.01)
        return True

    def _note(self, opened: dict[str, Any], action: str) -> None:
        self._run.note("overdue", window=opened["window"], lineage=opened["lineage"], action=action,
                       max_outage_seconds=self._max_outage())

    def _max_outage(self) -> Any:
        return self._run.facts["server"]["max_outage_seconds"]
