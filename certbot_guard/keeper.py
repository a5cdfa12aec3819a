"""Apache in the sentinel's care: windows opened and ended, and looked after when certbot is gone.

Driven by :mod:`certbot_guard.sentinel`, which hears the requests. Nothing here waits for the network. How a window
begins is in :mod:`certbot_guard.opening`, how it ends in :mod:`certbot_guard.windows`.
"""

from __future__ import annotations

import time
from typing import Any, Optional

from certbot_guard import opening, settle, windowevents, windows
from certbot_guard.agenda import Agenda
from certbot_guard.challengeserver import ChallengeServer
from certbot_guard.givingup import GivingUp
from certbot_guard.hookwatch import PAUSE_SECONDS, HookWatch
from certbot_guard.interfaces import IWebServer
from certbot_guard.run import Run, open_windows
from certbot_guard.serverhold import ServerHold
from certbot_guard.tellers import Tellers

# Measured, Apache 2.4.71: the second configuration pass runs after detaching, late deaths show within a second.
SECOND_LOOK_SECONDS = 1.5
# Between the attempts to start an Apache that would not: soon at first, and "within a minute of the mend" for ever.
RETRY_SECONDS = (0.25, 0.5, 1, 2, 4, 8, 15, 20)
# A stop that was given up may take effect this much later, on an Apache that was seen serving meanwhile.
LATE_STOP_SECONDS = 180.0
_BETWEEN_LOOKS_AT_TELLERS_SECONDS = 0.1
_IDLE_SECONDS = 3600.0  # whoever asks for something wakes us


class Keeper:
    """Owns Apache for one run, in one thread. An answer has ``ok``, and a ``reason`` where not all was done."""

    def __init__(self, run: Run, server: IWebServer) -> None:
        self.run = run
        self.server = server
        self._hold = ServerHold(run, server)
        self._hooks = HookWatch(run, server)
        self._giving_up = GivingUp(run)
        self._tellers = Tellers(run)
        self._window: Optional[dict[str, Any]] = None  # the ``stopping`` event of the open window
        self._last: dict[str, Any] = {}  # and that of the one before it
        self._attempts = 0  # to end it
        self._agenda = Agenda()  # see do_what_is_due
        self._certbot_gone = False
        self._look_until = 0.0

    # -- what is due -----------------------------------------------------------------------------------------

    def patience(self) -> Optional[float]:
        """For how many seconds at the most nothing is due. None: there is nothing more to come, and never will be."""
        idle = None if self._certbot_gone else _IDLE_SECONDS
        otherwise = _BETWEEN_LOOKS_AT_TELLERS_SECONDS if self._tellers.are_at_work() else idle
        patience = self._agenda.patience()
        return otherwise if patience is None else patience

    def do_what_is_due(self) -> None:
        for what in self._agenda.take_due():
            {"retry": self._retry, "overdue": self._overdue, "second-look": self._second_look,
             "hook": self._watch_hook, "settle": self._settle_and_stay}[what]()

    def resume(self) -> None:
        """Started again in the middle of a run (systemd does that): take up what the one before left."""
        found = open_windows(self.run.events())
        if found:
            self._window = found[-1]
            self._hold.take_if_free()
            if self.run.certbot_lives():
                self._agenda.put_at("overdue", self._giving_up.begin(self._window))
        elif self._hooks.is_on:
            self._agenda.put("hook", PAUSE_SECONDS)

    def certbot_is_gone(self) -> None:
        """Nobody asks for anything any more: the run is settled, and what is left of it is done by and by."""
        self._certbot_gone = True
        self._settle_and_stay()

    # -- what the hooks and the plugin ask for ---------------------------------------------------------------

    def look(self, window: int) -> dict[str, Any]:
        """Remember how Apache is, just before the user's own pre hook, which may itself stop it."""
        if self._hooks.begin(window):
            self._agenda.put("hook", PAUSE_SECONDS)
        return {"ok": True}

    def _watch_hook(self) -> None:
        """An outage that a hook of the user's makes, and then hangs, is limited as ours are."""
        if self._window is not None or not self._hooks.is_on:
            return
        found = self._hooks.windows_begun()
        if not found:
            self._watch_hook_later()
        elif self._certbot_gone:
            self._settle_and_stay()  # again: what was settled as serving has gone down since
        else:
            self._begin(found[-1])
            self._hold.take_if_free()

    def _watch_hook_later(self) -> None:
        pause = self._hooks.pause(self._certbot_gone)
        if pause is not None:
            self._agenda.put("hook", pause)

    # -- windows ---------------------------------------------------------------------------------------------

    def open(self, window: int) -> dict[str, Any]:
        """Apache is stopped for this window's challenge, or the reason why it is not is in the answer."""
        if self._window is not None and self._window["window"] == window:
            return self._stop_again(window)
        planned = windowevents.planned(self.run.events(), window)
        if planned is None:
            return {"ok": False, "reason": "this window is not part of the run, or is over"}
        before_hook = self._hooks.before(window)
        try:
            reason, detail, harmless = self._why_not(planned, before_hook)
            before = self.server.look()
        except Exception:
            self._let_go()
            raise
        if reason and windows.went_down(self.server, before_hook):
            return self._end_what_a_hook_began(planned, before_hook, reason)
        if reason:
            self.run.note("untouched" if harmless else "left-running", window=window, lineage=planned["lineage"],
                          reason=reason, detail=detail)
            self._let_go()
            return {"ok": harmless, "reason": reason}
        if not before["serving"] or windows.went_down(self.server, before_hook):
            before = before_hook or before
        if not before["serving"]:
            self.run.note("untouched", window=window, lineage=planned["lineage"], detail="",
                          reason="it was not serving")
            self._let_go()
            return {"ok": True, "reason": "it was not serving"}
        return self._stop(planned, before)

    def _why_not(self, planned: dict[str, Any], before_hook: dict[str, Any]) -> tuple[str, str, bool]:
        if self._window is not None:
            return "a window is still open, Apache does not serve", "", False
        return opening.why_not(self.run, self.server, self._hold, planned, before_hook)

    def _end_what_a_hook_began(self, planned: dict[str, Any], before: dict[str, Any], reason: str) -> dict[str, Any]:
        """Apache may not be stopped, and a pre hook of the user's has stopped it: it is brought back."""
        self.run.note("stopping", window=planned["window"], lineage=planned["lineage"], before=before, by="pre hook")
        self._begin(open_windows(self.run.events())[-1])
        with self.run.step():
            self._end_window("refused")
        return {"ok": False, "reason": reason}

    def _stop(self, planned: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
        with self.run.step() as ours:
            stopped, reason = opening.stop(self.run, self.server, planned, before, ours)
            if stopped is None:
                self._let_go()
                return {"ok": False, "reason": reason}
            self._agenda.drop("second-look")
            self._begin(stopped)
            if reason:
                self._look_until = time.monotonic() + LATE_STOP_SECONDS
                self._end_window("stop-failed")
                return {"ok": False, "reason": reason}
        self.run.note("stopped", window=planned["window"])
        return {"ok": True}

    def _stop_again(self, window: int) -> dict[str, Any]:
        lineage = windowevents.lineage_of(self.run.events(), window)
        with self.run.step() as ours:
            reason = opening.stop_again(self.run, self.server, window, lineage, ours)
        return {"ok": False, "reason": reason} if reason else {"ok": True}

    def _begin(self, opened: dict[str, Any]) -> None:
        self._window, self._attempts = opened, 0
        self._agenda.put_at("overdue", self._giving_up.begin(opened))

    def close(self, by: str, window: Optional[int]) -> dict[str, Any]:
        """Apache serves again, or the reason why it does not (yet) is in the answer."""
        self._watch_hook()
        if self._window is None or (window is not None and self._window["window"] != window):
            return {"ok": True}
        if not self._attempts:
            self.run.note("closing", window=self._window["window"], by=by)
            self._certbots_listener().wait_until_gone()
        with self.run.step():
            if self._end_window(by):
                return {"ok": True}
        return {"ok": False, "reason": "Apache does not serve yet; it is tried again"}

    def _certbots_listener(self) -> ChallengeServer:
        """On the ports that this window is for."""
        assert self._window is not None
        planned = windowevents.lineage_of(self.run.events(), self._window["window"])
        ports = self._window.get("ports") or planned.get("ports") or ()
        return ChallengeServer(int(self.run.facts["pid"]), tuple(ports))

    def _end_window(self, by: str) -> bool:
        """One attempt to make Apache serve; afterwards the window is over, or a retry is due."""
        assert self._window is not None
        self._attempts += 1
        if not windowevents.is_still_open(self.run.events(), self._window["window"]):
            self._over(second_look=False)
            return True
        if windows.end_window(self.run, self.server, self._window, by):
            self._over(second_look=True)
            return True
        if not self._certbots_listener().has_its_port:  # else it is certbot that has to give way
            self._agenda.drop("overdue")
        self._agenda.put("retry", RETRY_SECONDS[min(self._attempts, len(RETRY_SECONDS)) - 1])
        if self._attempts == 1 and not self._certbot_gone:
            self._tellers.start()  # at once: certbot may go on for hours
        return False

    def _over(self, second_look: bool) -> None:
        assert self._window is not None
        had_failed = self._attempts > 1
        self._last, self._window, self._attempts = self._window, None, 0
        self._agenda.drop("overdue", "retry")
        self._let_go()
        if second_look and windowevents.serves_since(self.run.events(), self._last["window"]):
            self._agenda.put("second-look", SECOND_LOOK_SECONDS)
        if had_failed and not self._certbot_gone:
            self._tellers.start()

    def _let_go(self) -> None:
        """Of the server, but for a window that is still open."""
        if self._window is None:
            self._hold.let_go()

    # -- what becomes due ------------------------------------------------------------------------------------

    def _retry(self) -> None:
        if self._window is not None:
            with self.run.step():
                serves = self._end_window("retry")
            if serves and self._certbot_gone:
                self._settle()  # tells that it serves again
            elif not serves:
                self._tellers.start_again()

    def _second_look(self) -> None:
        """Apache answered once; a late death shows now. It is brought back as if the window had never ended."""
        if self._window is not None:
            return
        if self.server.serving(self._last["before"]):
            if time.monotonic() < self._look_until:
                self._agenda.put("second-look", SECOND_LOOK_SECONDS)
            return
        if not self._hold.take_unless_another_runs():
            # That run has stopped it and brings it back; or found it down and leaves it so: it is looked at again.
            self._agenda.put("second-look", SECOND_LOOK_SECONDS)
            return
        if self.server.look()["serving"]:
            self._let_go()
            return
        self.run.note("stopping", window=self._last["window"], lineage=self._last["lineage"],
                      before=self._last["before"], again=True)
        self._window = self._last
        with self.run.step():
            serves = self._end_window("second look")
        if not serves and self._certbot_gone:
            self._settle()  # tells it: the run was settled while Apache served

    def _overdue(self) -> None:
        if self._window is None:
            return
        # Somebody else may have ended it while this process was frozen.
        if not windowevents.is_still_open(self.run.events(), self._window["window"]):
            self._over(second_look=False)
        elif self._giving_up.take_a_step(self._window, self._certbots_listener()):
            self._agenda.put("overdue", 0.0)
        else:
            self.close("max_outage", self._window["window"])

    # -- the end ---------------------------------------------------------------------------------------------

    def _settle(self) -> settle.Outcome:
        """Apache, then the messages."""
        outcome = settle.settle(self.run, self.server, deliver=False)
        self._tellers.start()
        return outcome

    def _settle_and_stay(self) -> None:
        """Settle; where Apache would not start, what is left of it is retried here until it serves."""
        opened = open_windows(self.run.events())
        outcome = self._settle()
        if outcome.serving is False:
            self._window = (open_windows(self.run.events()) or opened or [None])[-1]
            self._attempts = max(self._attempts, 1)
            if self._window is not None:
                self._agenda.put_unless_there("retry", RETRY_SECONDS[0])
            else:  # start = always
                self._agenda.put("settle", RETRY_SECONDS[-1])
        else:
            if opened and windowevents.serves_since(self.run.events(), opened[-1]["window"]):
                self._last = opened[-1]
                self._agenda.put("second-look", SECOND_LOOK_SECONDS)
            self._window = None
            self._agenda.drop("retry", "overdue")
            self._let_go()
            if self._hooks.is_on:
                self._watch_hook_later()
