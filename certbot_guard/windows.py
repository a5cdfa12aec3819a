"""The end of a window: Apache serves again where a run stopped it, or an event says why it does not yet.

Called under the run's step lock, by :mod:`certbot_guard.settle`, the sentinel, and a hook whose sentinel is gone.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any, Optional

from certbot_guard import serverlock
from certbot_guard.errors import LeftDownError, ServerError
from certbot_guard.interfaces import IWebServer
from certbot_guard.run import Run, boot_id, open_windows, watched_hooks

# After SIGTERM a parent with a slow visitor listens on, silently, for 10.4 s (measured, Apache 2.4.71).
_DYING_SECONDS = 12.0


def bring_back(run: Run, server: Optional[IWebServer]) -> Optional[bool]:
    """One attempt to make Apache serve again where this run stopped it. The step lock is the caller's.

    Returns whether it serves, or None where this run has nothing to bring back.
    """
    windows = open_windows(run.events()) or open_windows_of_hooks(run, server)
    if not windows:
        return start_anyway(run, server)
    if server is None:
        _note_failure(run, windows[0]["window"], "the web server of this run cannot be found any more", "")
        return False
    return all([end_window(run, server, opened, "settle") for opened in windows])


def open_windows_of_hooks(run: Run, server: Optional[IWebServer]) -> list[dict[str, Any]]:
    """A pre hook of the user's stopped the server, and ours did not come to say so: those are windows all the same."""
    watched = watched_hooks(run.events())
    if server is None or not watched:
        return []
    with serverlock.unless_taken(server.identity) as free:
        for looked in watched if free else ():
            if went_down(server, looked["before"]):
                run.note("stopping", window=looked["window"], lineage=looked["lineage"], before=looked["before"],
                         by="pre hook")
    return open_windows(run.events())


def went_down(server: IWebServer, before: dict[str, Any]) -> bool:
    """Was a server that served ``before`` stopped? One that was just told to stop may listen on for a while."""
    deadline = time.monotonic() + _DYING_SECONDS
    while before.get("serving") and not server.serving(before):
        if not server.look()["serving"]:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return False


def end_window(run: Run, server: IWebServer, opened: dict[str, Any], by: str) -> bool:
    """One attempt to end a window: Apache serves as it did before, or the event says why it does not.

    False: it has to be tried again. A server that a person masked or disabled is left as it is, and that is an end.
    """
    window = opened["window"]
    before = opened.get("before") or {}
    try:
        server.start(before, float((run.facts.get("server") or {}).get("drain_seconds", 2.0)))
    except LeftDownError as error:
        run.note("left-down", window=window, reason=str(error))
        return True
    except ServerError as error:
        _note_failure(run, window, str(error), error.detail)
        return False
    except Exception as error:  # a bug of a controller must not end the sentinel: it tries again
        _note_failure(run, window, f"certbot-guard's own error: {type(error).__name__}: {error}", "")
        return False
    failed_before = any(event["kind"] == "start-failed" and event.get("window") == window for event in run.events())
    run.note("serving", window=window, by=by, again=failed_before, outage_seconds=_outage_seconds(run, opened))
    return True


def start_anyway(run: Run, server: Optional[IWebServer]) -> Optional[bool]:
    """``start = always``: at its end a run starts a server that was found down. Otherwise it is left as found."""
    if server is None or (run.facts.get("server") or {}).get("start") != "always" or run.facts.get("report_only"):
        return None
    with serverlock.unless_taken(server.identity) as free:
        return _start_found_down(run, server) if free else None


def _start_found_down(run: Run, server: IWebServer) -> bool:
    try:
        if server.look()["serving"]:
            return True
        server.start({}, 0.0)
    except LeftDownError as error:
        run.note("left-down", window=None, reason=str(error))
        return True
    except ServerError as error:
        _note_failure(run, None, str(error), error.detail)
        return False
    run.note("serving", window=None, by="start = always", again=False, outage_seconds=None)
    return True


def _note_failure(run: Run, window: Optional[int], reason: str, detail: str) -> None:
    """Say that a start failed, once for each reason: a retry every few seconds would fill the disk."""
    attempts = [event for event in run.events() if event["kind"] == "start-failed" and event.get("window") == window]
    if not attempts or attempts[-1].get("reason") != reason:
        run.note("start-failed", window=window, reason=reason, detail=detail[-4000:], attempt=len(attempts) + 1)


def _outage_seconds(run: Run, opened: dict[str, Any]) -> float:
    if run.facts.get("boot_id") == boot_id():
        return round(max(0.0, time.monotonic() - float(opened["mono"])), 3)
    since = datetime.fromisoformat(opened["at"])
    return round(max(0.0, (datetime.now(timezone.utc) - since).total_seconds()), 3)
