"""The window of the lineage that certbot is at work on: ended with it, or given up at max_outage. Part of the session.

It is opened by the lineage's pre hook (:mod:`certbot_guard.hooks`); the sentinel stops and starts the server. What
:mod:`certbot_guard.proxied` is for a lineage whose challenge passes through the running server.
"""

from __future__ import annotations

import signal
from typing import Any, Optional

from certbot import errors as certbot_errors

from certbot_guard import control
from certbot_guard.ownrun import OwnRun

GIVE_UP_SIGNAL = signal.SIGUSR2
_PATIENCE_SECONDS = 120.0


class Stopped:
    """One per session, for one lineage after the other."""

    def __init__(self, own: OwnRun) -> None:
        self._own = own
        self._window: Optional[int] = None  # that may be open now
        self._window_lineage = ""
        self._several_challenges = False

    def may_begin(self, window: int, lineage: str, several_challenges: bool) -> None:
        """From now on there may be this window.

        :param several_challenges: more of them may come after the first, so its end is not the window's
        """
        self._window, self._window_lineage, self._several_challenges = window, lineage, several_challenges

    def have_the_server_looked_at(self) -> None:
        """Before hooks of the user's that run before ours, and may themselves stop it."""
        control.ask(self._own.run, {"do": "look", "window": self._window}, _PATIENCE_SECONDS)

    def challenge_over(self) -> None:
        """certbot's challenge server closes in a moment: Apache may start. Called from its log, so it never waits."""
        if self._own.run is not None and self._window is not None and not self._several_challenges:
            control.tell(self._own.run, {"do": "close", "by": "challenge", "window": self._window})

    def end(self, by: str) -> None:
        """There is no window any more; the server serves as before it, or an event says why not. Safe to repeat."""
        window, self._window = self._window, None
        if self._own.run is None or window is None:
            return
        if control.ask(self._own.run, {"do": "close", "by": by, "window": window}, _PATIENCE_SECONDS) is None:
            self._own.bring_back()  # no sentinel any more

    def listen_for_give_up(self) -> None:
        """max_outage: the sentinel's signal ends the lineage that holds the port, by an error certbot understands."""
        def give_up(_number: int, _frame: Any) -> None:
            if self._window is not None:
                raise certbot_errors.Error(
                    f"certbot-guard gave {self._window_lineage} up: its challenge kept {self._own.server_name} stopped "
                    "for nearly max_outage")

        try:
            signal.signal(GIVE_UP_SIGNAL, give_up)
        except ValueError:  # not in the main thread: the sentinel's next step is SIGINT
            pass
