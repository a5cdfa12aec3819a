"""The one process that stops and starts Apache during a run, and the one that is left when certbot is gone.

Hooks ask it to open and close windows. It waits for certbot's lock to become free, for ``max_outage`` to pass and for
an Apache that would not start; everything it needs to start Apache is imported before it reports alive, since a package
upgrade may replace our files meanwhile. Runs as ``python -I -m certbot_guard.sentinel DIRECTORY``.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Optional

from certbot_guard import control, launch, passage, serverlock, settle, windows
from certbot_guard.errors import ServerError, StateError
from certbot_guard.interfaces import IWebServer
from certbot_guard.run import CERTBOT_LOCK, SENTINEL_LOCK, Run, open_windows, watched_hooks
from certbot_guard.servers import processes, sockets

# Measured, Apache 2.4.71: the second configuration pass runs after detaching, late deaths show within a second.
SECOND_LOOK_SECONDS = 1.5
# Between the attempts to start an Apache that would not: soon at first, and "within a minute of the mend" for ever.
RETRY_SECONDS = (0.25, 0.5, 1, 2, 4, 8, 15, 20)
# A stop that was given up may take effect this much later, on an Apache that was seen serving meanwhile.
LATE_STOP_SECONDS = 180.0
# While Apache is down, between the attempts to deliver what nobody has taken yet.
TELL_AGAIN_SECONDS = (30, 60, 120, 300)
# certbot closes its listener right after the record that ends a window; a listener that stays is not waited for long.
LISTENER_PATIENCE_SECONDS = 10.0
# It looks twice a second whether it is to stop, and at once when somebody connects (socketserver, serve_forever), so
# it is knocked at. Where IPv6 and IPv4 have a server each they stop one after the other, within a second in any case.
OFTEN_SECONDS = 1.2
BETWEEN_KNOCKS_SECONDS = (0.01, 0.25)  # until then, and later
# Between looks at Apache while a pre hook of the user's, which may stop it, is at work.
HOOK_SECONDS = 2.0
# certbot was killed while such a hook was at work: what the hook has just asked of Apache may take a while to show.
LATE_HOOK_SECONDS = (0.25, 0.5, 1, 2, 4, 8)
# From asking certbot to give a lineage up, to interrupting it, to killing it.
ESCALATION_SECONDS = 2.0
GIVE_UP_SIGNAL = signal.SIGUSR2


class Sentinel:
    """Owns Apache for one run. Single-threaded but for one thread that waits for certbot's lock."""

    def __init__(self, run: Run, server: IWebServer) -> None:
        self.run = run
        self.server = server
        self._window: Optional[dict[str, Any]] = None  # the ``stopping`` event of the open window
        self._server_lock: Optional[int] = None
        self._attempts = 0
        self._due: dict[str, float] = {}  # what is to be done when, monotonic; see _do_what_is_due
        self._overdue_step = 0
        self._certbot_gone = False
        self._late_looks = 0
        self._tellers: list[subprocess.Popen] = []
        self._look_until = 0.0
        self._tell_at: Optional[float] = None
        self._told_again = 0

    # -- the loop --------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Return when certbot is gone, the run is settled, and Apache has been seen serving twice."""
        held = self.run.hold(SENTINEL_LOCK, patience_seconds=2.0)
        if held is None:
            return  # another sentinel watches this run
        listener = control.listen(self.run)
        died, wake = os.pipe()
        threading.Thread(target=self._wait_for_certbot, args=(wake,), daemon=True).start()
        self._resume()
        with selectors.DefaultSelector() as ready:
            ready.register(listener, selectors.EVENT_READ)
            ready.register(died, selectors.EVENT_READ)
            while not (self._certbot_gone and not self._due and not self._still_telling()):
                for key, _ in ready.select(self._patience()):
                    if key.fileobj is listener:
                        self._answer(listener)
                    else:
                        ready.unregister(died)
                        self._certbot_gone = True
                        self._certbot_is_gone()
                self._do_what_is_due()

    def _wait_for_certbot(self, wake: int) -> None:
        self.run.wait_until_free(CERTBOT_LOCK)
        os.write(wake, b".")

    def _still_telling(self) -> bool:
        """Our unit ends with us, and may take with it whoever delivers."""
        self._tellers = [one for one in self._tellers if one.poll() is None]
        return bool(self._tellers)

    def _patience(self) -> Optional[float]:
        if self._tellers and not self._due:
            return 0.1
        return max(0.0, min(self._due.values()) - time.monotonic()) if self._due else None

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        for what in [name for name, when in self._due.items() if when <= now]:
            del self._due[what]
            {"retry": self._retry, "overdue": self._overdue, "second-look": self._second_look,
             "hook": self._watch_hook, "settle": self._certbot_is_gone}[what]()

    def _resume(self) -> None:
        """Started again in the middle of a run (systemd does that): take up what the one before left."""
        found = open_windows(self.run.events())
        if found:
            self._window = found[-1]
            self._lock_if_free()
            if self.run.certbot_lives():
                self._due["overdue"] = self._give_up_at(self._window)
        elif watched_hooks(self.run.events()):
            self._due["hook"] = time.monotonic() + HOOK_SECONDS

    # -- requests --------------------------------------------------------------------------------------------

    def _answer(self, listener: Any) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(2.0)
            try:
                request = control.receive(connection)
                answer = self._act(request)
            except (OSError, ValueError) as error:
                answer = {"ok": False, "reason": f"not understood: {error}"}
            except Exception as error:  # whatever is wrong with one request, the next one must be heard
                self.run.note("guard-error", where="sentinel", error=f"{type(error).__name__}: {error}")
                answer = {"ok": False, "reason": "certbot-guard's own error"}
            control.reply(connection, answer)

    def _act(self, request: dict[str, Any]) -> dict[str, Any]:
        verb, window = request.get("do"), request.get("window")
        if verb == "ping":
            return {"ok": True}
        if verb == "exit":  # certbot could write nowhere that it ended by itself
            return {"ok": self.run.note("exit")}
        if verb == "look":
            return self._look(int(window))
        if verb == "open":
            return self._open(int(window))
        if verb == "close":
            return self._close(str(request.get("by", "")), None if window is None else int(window))
        return {"ok": False, "reason": f"unknown request {verb!r}"}

    def _look(self, window: int) -> dict[str, Any]:
        """Remember how Apache is, just before the user's own pre hook, which may itself stop it."""
        if self._before_hook(window).get("serving"):
            return {"ok": True}  # before the hooks in renewal-hooks, which may have stopped it by now
        before = self.server.look()
        self.run.note("looked", window=window, lineage=self._lineage_of(window).get("lineage"), before=before)
        self._due["hook"] = time.monotonic() + HOOK_SECONDS
        return {"ok": True}

    def _watch_hook_later(self) -> None:
        if not self._certbot_gone:
            self._due["hook"] = time.monotonic() + HOOK_SECONDS
        elif self._late_looks < len(LATE_HOOK_SECONDS):
            self._due["hook"] = time.monotonic() + LATE_HOOK_SECONDS[self._late_looks]
            self._late_looks += 1

    def _before_hook(self, window: int) -> dict[str, Any]:
        return next((event["before"] for event in watched_hooks(self.run.events()) if event["window"] == window), {})

    def _watch_hook(self) -> None:
        """An outage that a hook of the user's makes, and then hangs, is limited as ours are."""
        if self._window is not None or not watched_hooks(self.run.events()):
            return
        with self.run.step():
            found = windows.open_windows_of_hooks(self.run, self.server)
        if not found:
            self._watch_hook_later()
            return
        if self._certbot_gone:
            self._certbot_is_gone()  # again: what was settled as serving has gone down since
            return
        self._window = found[-1]
        self._lock_if_free()
        self._attempts = self._overdue_step = 0
        self._due["overdue"] = self._give_up_at(self._window)

    def _lock_if_free(self) -> bool:
        """Hold the server's lock. False: another run holds it, whose business the server is now."""
        try:
            self._server_lock = serverlock.take(self.server.identity, 0.0)
        except StateError:
            return True  # where it cannot be held, nobody holds it
        return self._server_lock is not None

    # -- windows ---------------------------------------------------------------------------------------------

    def _open(self, window: int) -> dict[str, Any]:
        if self._window is not None and self._window["window"] == window:
            return self._stop_again(window)
        planned = self._planned(window)
        if planned is None:
            return {"ok": False, "reason": "this window is not part of the run, or is over"}
        before_hook = self._before_hook(window)
        try:
            reason, detail, harmless = self._why_not(planned, before_hook)
            before = self.server.look()
        except Exception:
            self._unlock()
            raise
        if reason and windows.went_down(self.server, before_hook):
            return self._end_what_a_hook_began(planned, before_hook, reason)
        if reason:
            self.run.note("untouched" if harmless else "left-running", window=window, lineage=planned["lineage"],
                          reason=reason, detail=detail)
            self._unlock()
            return {"ok": harmless, "reason": reason}
        if not before["serving"] or windows.went_down(self.server, before_hook):
            before = before_hook or before
        if not before["serving"]:
            self.run.note("untouched", window=window, lineage=planned["lineage"], reason="it was not serving", detail="")
            self._unlock()
            return {"ok": True, "reason": "it was not serving"}
        return self._stop(planned, before)

    def _end_what_a_hook_began(self, planned: dict[str, Any], before: dict[str, Any], reason: str) -> dict[str, Any]:
        """Apache may not be stopped, and a pre hook of the user's has stopped it: it is brought back."""
        self.run.note("stopping", window=planned["window"], lineage=planned["lineage"], before=before, by="pre hook")
        self._window = open_windows(self.run.events())[-1]
        self._attempts = self._overdue_step = 0
        with self.run.step():
            self._end_window("refused")
        return {"ok": False, "reason": reason}

    def _stop_again(self, window: int) -> dict[str, Any]:
        """A hook of the user's opened this window; whatever it did since, the port is needed now."""
        with self.run.step() as ours:
            if not ours or self.run.has("closed") or not self.run.certbot_lives():
                return {"ok": False, "reason": "the run is over"}
            try:
                self.server.check()
                now = self.server.look()
                if now["serving"]:
                    self.server.stop(now, self._lineage_of(window)["ports"])
            except ServerError as error:
                self.run.note("stop-failed", window=window, lineage=self._lineage_of(window).get("lineage"),
                              reason=str(error), detail=error.detail)
                return {"ok": False, "reason": str(error)}
        return {"ok": True}

    def _stop(self, planned: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
        window, lineage = planned["window"], planned["lineage"]
        with self.run.step() as ours:
            # A hook that was frozen until after the run was settled comes here too late.
            if not ours or self.run.has("closed") or not self.run.certbot_lives():
                self._unlock()
                return {"ok": False, "reason": "the run is over"}
            try:
                self.run.record("stopping", sync=True, window=window, lineage=lineage, before=before,
                                ports=planned["ports"])
            except StateError as error:
                self._unlock()
                self.run.note("left-running", window=window, lineage=lineage, reason=str(error), detail="")
                return {"ok": False, "reason": str(error)}
            self._window = [event for event in self.run.events() if event["kind"] == "stopping"][-1]
            self._due.pop("second-look", None)
            self._attempts = self._overdue_step = 0
            self._due["overdue"] = self._give_up_at(self._window)
            try:
                self.server.stop(before, planned["ports"])
            except Exception as error:
                self.run.note("stop-failed", window=window, lineage=lineage, reason=str(error),
                              detail=getattr(error, "detail", ""))
                self._look_until = time.monotonic() + LATE_STOP_SECONDS
                self._end_window("stop-failed")
                return {"ok": False, "reason": str(error)}
        self.run.note("stopped", window=window)
        return {"ok": True}

    def _why_not(self, planned: dict[str, Any], before_hook: dict[str, Any]) -> tuple[str, str, bool]:
        """What was discovered since prepare() and keeps Apache running: (reason, detail, is it harmless?)."""
        if self._window is not None:
            return "a window is still open, Apache does not serve", "", False
        wait = float(self.run.facts["server"]["max_outage_seconds"]) + 60.0
        self._server_lock = serverlock.take(self.server.identity, wait, give_up=self._certbot_died)
        if self._server_lock is None:
            return "another certbot run has this web server stopped, and did not end in time", "", False
        try:
            self.server.check()
            if windows.went_down(self.server, before_hook):
                return "", "", False
            claimed = any([self.server.claims(port, planned.get("address", "")) for port in planned["ports"]])
            if not claimed and not planned.get("always") and not windows.went_down(self.server, before_hook):
                return "nothing of the server listens on the port that is needed", "", True
        except ServerError as error:
            return str(error), error.detail, False
        return "", "", False

    def _certbot_died(self) -> bool:
        return not self.run.certbot_lives()

    def _planned(self, window: int) -> Optional[dict[str, Any]]:
        events = self.run.events()
        if any(event.get("window") == window and event["kind"] in ("stopping", "left-running") for event in events):
            return None
        return self._lineage_of(window) or None

    def _lineage_of(self, window: int) -> dict[str, Any]:
        found = [event for event in self.run.events() if event["kind"] == "lineage" and event.get("window") == window]
        return found[-1] if found else {}

    def _close(self, by: str, window: Optional[int]) -> dict[str, Any]:
        """Apache serves again, or the reason why it does not (yet) is in the answer."""
        self._watch_hook()
        if self._window is None or (window is not None and self._window["window"] != window):
            return {"ok": True}
        if not self._attempts:
            self.run.note("closing", window=self._window["window"], by=by)
            self._wait_for_listener()
        with self.run.step():
            if self._end_window(by):
                return {"ok": True}
        return {"ok": False, "reason": "Apache does not serve yet; it is tried again"}

    def _wait_for_listener(self) -> None:
        """Wait until certbot's challenge server has left the port: Apache could not bind it before."""
        began = knock_at = time.monotonic()
        often, seldom = BETWEEN_KNOCKS_SECONDS
        while (held := self._certbots_listeners()) and (now := time.monotonic()) < began + LISTENER_PATIENCE_SECONDS:
            if now >= knock_at:
                self._knock(held)
                knock_at = time.monotonic() + (often if now < began + OFTEN_SECONDS else seldom)
            time.sleep(0.001)

    def _knock(self, held: list[sockets.Listener]) -> None:
        """Whoever else listens on that port, on another address, is left in peace."""
        strangers = [other for other in sockets.listeners({one.port for one in held}) if other not in held]
        for listener in held:
            sockets.knock(listener, strangers)

    def _certbots_listeners(self) -> list[sockets.Listener]:
        """What certbot itself listens on of the ports that this window is for."""
        window = self._window or {}
        ports = window.get("ports") or self._lineage_of(window.get("window")).get("ports") or []
        return [listener for listener in sockets.of_processes([int(self.run.facts["pid"])]) if listener.port in ports]

    def _certbot_holds_port(self) -> bool:
        return bool(self._certbots_listeners())

    def _end_window(self, by: str) -> bool:
        """One attempt to make Apache serve; afterwards the window is over, or a retry is due."""
        assert self._window is not None
        self._attempts += 1
        if not self._still_open():
            self._over(second_look=False)
            return True
        if windows.end_window(self.run, self.server, self._window, by):
            self._over(second_look=True)
            return True
        if not self._certbot_holds_port():  # else it is certbot that has to give way
            self._due.pop("overdue", None)
        self._due["retry"] = time.monotonic() + RETRY_SECONDS[min(self._attempts, len(RETRY_SECONDS)) - 1]
        if self._attempts == 1 and not self._certbot_gone:
            self._tell()  # at once: certbot may go on for hours
        return False

    def _still_open(self) -> bool:
        """It is, unless somebody else has ended it; also where the file that says so is lost."""
        of_it = [event for event in self.run.events() if event.get("window") == self._window["window"]]
        return not any(event["kind"] == "stopping" for event in of_it) or bool(open_windows(of_it))

    def _over(self, second_look: bool) -> None:
        had_failed = self._attempts > 1
        self._last, self._window, self._attempts = self._window, None, 0
        self._due.pop("overdue", None)
        self._due.pop("retry", None)
        self._unlock()
        if second_look and self._serves_since(self._last):
            self._due["second-look"] = time.monotonic() + SECOND_LOOK_SECONDS
        if had_failed and not self._certbot_gone:
            self._tell()

    def _serves_since(self, opened: dict[str, Any]) -> bool:
        """Did this window end with an Apache that serves, or was it left stopped for a person's sake?"""
        ends = [event["kind"] for event in self.run.events()
                if event.get("window") == opened["window"] and event["kind"] in ("serving", "left-down")]
        return ends[-1:] == ["serving"]

    def _unlock(self) -> None:
        if self._server_lock is not None:
            os.close(self._server_lock)
            self._server_lock = None

    # -- what becomes due ------------------------------------------------------------------------------------

    def _retry(self) -> None:
        if self._window is not None:
            with self.run.step():
                serves = self._end_window("retry")
            if serves and self._certbot_gone:
                self._settle()  # tells that it serves again
            elif not serves:
                self._tell_again()

    def _tell_again(self) -> None:
        """An outage that took the network along must not silence the alarm: what waits is tried, less and less often."""
        now = time.monotonic()
        if self._tell_at is None:
            self._tell_at = now + TELL_AGAIN_SECONDS[0]
        elif now >= self._tell_at and not self._still_telling():
            self._told_again += 1
            self._tell_at = now + TELL_AGAIN_SECONDS[min(self._told_again, len(TELL_AGAIN_SECONDS) - 1)]
            self._tell()

    def _second_look(self) -> None:
        """Apache answered once; a late death shows now. It is brought back as if the window had never ended."""
        if self._window is not None:
            return
        if self.server.serving(self._last["before"]):
            if time.monotonic() < self._look_until:
                self._due["second-look"] = time.monotonic() + SECOND_LOOK_SECONDS
            return
        if not self._lock_if_free() and not passage.opened(self.run.events()):
            return  # stopped for another run's challenge, and that run brings it back
        if self.server.look()["serving"]:
            self._unlock()
            return
        self.run.note("stopping", window=self._last["window"], lineage=self._last["lineage"],
                      before=self._last["before"], again=True)
        self._window = self._last
        with self.run.step():
            serves = self._end_window("second look")
        if not serves and self._certbot_gone:
            self._settle()  # tells it: the run was settled while Apache served

    def _give_up_at(self, opened: dict[str, Any]) -> float:
        """So early before max_outage that giving up, and Apache's start, are over by then."""
        limit = float(self.run.facts["server"]["max_outage_seconds"])
        return float(opened["mono"]) + max(limit - min(10.0, limit / 4), 0.0)

    def _overdue(self) -> None:
        """First the lineage is given up, then certbot; where certbot does not hold the port, neither is needed."""
        if self._window is None:
            return
        if not self._still_open():  # somebody else ended it while this process was frozen
            self._over(second_look=False)
            return
        window, lineage = self._window["window"], self._window["lineage"]
        if not self._certbot_holds_port():
            if self._overdue_step == 0:
                self._note_overdue(window, lineage, "gave-up-lineage")
            self._close("max_outage", window)
            return
        action, number = (("gave-up-lineage", GIVE_UP_SIGNAL), ("interrupted", signal.SIGINT),
                          ("killed", signal.SIGKILL))[min(self._overdue_step, 2)]
        self._overdue_step += 1
        self._note_overdue(window, lineage, action)
        processes.signal_process(int(self.run.facts["pid"]), self.run.facts["pid_start_time"], number)
        deadline = time.monotonic() + ESCALATION_SECONDS
        while self._certbot_holds_port() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._due["overdue"] = time.monotonic()

    def _note_overdue(self, window: int, lineage: str, action: str) -> None:
        self.run.note("overdue", window=window, lineage=lineage, action=action,
                      max_outage_seconds=self.run.facts["server"]["max_outage_seconds"])

    # -- the end ---------------------------------------------------------------------------------------------

    def _settle(self) -> settle.Outcome:
        """Apache, then the messages; delivery in a process of its own, since a channel may hang and Apache may not wait."""
        outcome = settle.settle(self.run, self.server, deliver=False)
        self._tell()
        return outcome

    def _tell(self) -> None:
        try:
            self._tellers = [one for one in self._tellers if one.poll() is None]
            self._tellers.append(launch.start_settle(self.run, "--tell"))
        except OSError as error:
            self.run.note("guard-error", where="delivery", error=str(error))

    def _certbot_is_gone(self) -> None:
        """Settle; where Apache would not start, what is left of it is retried here until it serves."""
        opened = open_windows(self.run.events())
        outcome = self._settle()
        if outcome.serving is False:
            self._window = (open_windows(self.run.events()) or opened or [None])[-1]
            self._attempts = max(self._attempts, 1)
            if self._window is not None:
                self._due.setdefault("retry", time.monotonic() + RETRY_SECONDS[0])
            else:  # start = always
                self._due["settle"] = time.monotonic() + RETRY_SECONDS[-1]
        else:
            if opened and self._serves_since(opened[-1]):
                self._last = opened[-1]
                self._due["second-look"] = time.monotonic() + SECOND_LOOK_SECONDS
            self._window = None
            self._due.pop("retry", None)
            self._due.pop("overdue", None)
            self._unlock()
            if watched_hooks(self.run.events()):
                self._watch_hook_later()


def main(arguments: list[str]) -> int:
    try:
        run = Run.load(Path(arguments[0]))
    except StateError as error:  # with an error systemd would try again for ever
        print(error, file=sys.stderr)
        return 0
    launch.adopt_surroundings(run)
    while (server := settle.server_of(run)) is None:  # its package may be in the middle of an upgrade
        if not open_windows(run.events()):
            return 0
        time.sleep(RETRY_SECONDS[-1])
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal's Ctrl-C is for certbot
    Sentinel(run, server).watch()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
