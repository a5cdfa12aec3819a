"""The watch over the user's own pre hooks, which may themselves stop Apache: how it was before, and when to look again.

Called by the sentinel. That such a stop is a window, too, is :func:`certbot_guard.windows.open_windows_of_hooks`.
"""

from __future__ import annotations

from typing import Any, Optional

from certbot_guard import windows
from certbot_guard.interfaces import IWebServer
from certbot_guard.run import Run, watched_hooks
from certbot_guard.windowevents import lineage_of

# Between looks at Apache while such a hook is at work.
PAUSE_SECONDS = 2.0
# certbot was killed while it was at work: what the hook has just asked of Apache may take a while to show.
_LATE_PAUSES_SECONDS = (0.25, 0.5, 1, 2, 4, 8)


class HookWatch:
    """One per run."""

    def __init__(self, run: Run, server: IWebServer) -> None:
        self._run = run
        self._server = server
        self._late_looks = 0

    @property
    def is_on(self) -> bool:
        """Is there a hook whose own window has not been asked for since?"""
        return bool(watched_hooks(self._run.events()))

    def before(self, window: int) -> dict[str, Any]:
        """How Apache was just before the hooks of this window; empty where nobody has looked."""
        return next((event["before"] for event in watched_hooks(self._run.events()) if event["window"] == window), {})

    def begin(self, window: int) -> bool:
        """How Apache is now is written down. False: it was, before an earlier hook, which may have stopped it since."""
        if self.before(window).get("serving"):
            return False
        before = self._server.look()
        lineage = lineage_of(self._run.events(), window).get("lineage")
        self._run.note("looked", window=window, lineage=lineage, before=before)
        return True

    def windows_begun(self) -> list[dict[str, Any]]:
        """The windows that are open now; one that a hook has begun is one of them, and an event says so."""
        with self._run.step():
            return windows.open_windows_of_hooks(self._run, self._server)

    def pause(self, certbot_is_gone: bool) -> Optional[float]:
        """How many seconds until the next look, or None where there is to be none: each late one is used up."""
        if not certbot_is_gone:
            return PAUSE_SECONDS
        if self._late_looks >= len(_LATE_PAUSES_SECONDS):
            return None
        self._late_looks += 1
        return _LATE_PAUSES_SECONDS[self._late_looks - 1]
