"""The one process that stops and starts Apache during a run, and the one that is left when certbot is gone.

Hooks ask it to open and close windows. It waits for certbot's lock to become free, for ``max_outage`` to pass and for
an Apache that would not start. Everything it needs to start Apache is imported before it reports alive, since a package
upgrade may replace our files meanwhile. Runs as ``python -I -m certbot_guard.sentinel DIRECTORY``.

Here are the process, what it hears and what wakes it. What it does then is in :mod:`certbot_guard.keeper`.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  servers.probe imports it when it asks at several places at once
import encodings.ascii  # Python imports these two when they are needed first
import encodings.idna  # noqa: F401
import os
import selectors
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from certbot_guard import control, launch, settle
from certbot_guard.errors import StateError
from certbot_guard.keeper import RETRY_SECONDS, Keeper
from certbot_guard.run import CERTBOT_LOCK, SENTINEL_LOCK, Run, open_windows


class Sentinel:
    """Watches one run. Single-threaded but for one thread that waits for certbot's lock."""

    def __init__(self, run: Run, keeper: Keeper) -> None:
        self.run = run
        self.keeper = keeper

    def watch(self) -> None:
        """Return when certbot is gone, the run is settled, and Apache has been seen serving twice."""
        held = self.run.hold(SENTINEL_LOCK, patience_seconds=2.0)
        if held is None:
            return  # another sentinel watches this run
        listener = control.listen(self.run)
        died, wake = os.pipe()
        threading.Thread(target=self._wait_for_certbot, args=(wake,), daemon=True).start()
        self.keeper.resume()
        with selectors.DefaultSelector() as ready:
            ready.register(listener, selectors.EVENT_READ)
            ready.register(died, selectors.EVENT_READ)
            while (patience := self.keeper.patience()) is not None:
                for key, _ in ready.select(patience):
                    if key.fileobj is listener:
                        self._answer(listener)
                    else:
                        ready.unregister(died)
                        self.keeper.certbot_is_gone()
                self.keeper.do_what_is_due()

    def _wait_for_certbot(self, wake: int) -> None:
        self.run.wait_until_free(CERTBOT_LOCK)
        os.write(wake, b".")

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
            return self.keeper.look(int(window))
        if verb == "open":
            return self.keeper.open(int(window))
        if verb == "close":
            return self.keeper.close(str(request.get("by", "")), None if window is None else int(window))
        return {"ok": False, "reason": f"unknown request {verb!r}"}


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
    Sentinel(run, Keeper(run, server)).watch()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
