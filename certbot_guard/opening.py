"""The beginning of a window: may Apache be stopped now, and the stop, written down before it happens.

Called by the sentinel. :mod:`certbot_guard.windows` has the end of a window.
"""

from __future__ import annotations

from typing import Any, Optional

from certbot_guard import windows
from certbot_guard.errors import ServerError, StateError
from certbot_guard.interfaces import IWebServer
from certbot_guard.run import Run
from certbot_guard.serverhold import ServerHold


def why_not(run: Run, server: IWebServer, hold: ServerHold, planned: dict[str, Any],
            before_hook: dict[str, Any]) -> tuple[str, str, bool]:
    """What was discovered since prepare() and keeps Apache running: (reason, detail, is it harmless?).

    Where there is nothing, the server's lock is held; it is the caller's to let go of in any case.
    """
    wait = float(run.facts["server"]["max_outage_seconds"]) + 60.0
    if not hold.take(wait):
        return "another certbot run has this web server stopped, and did not end in time", "", False
    try:
        server.check()
        if windows.went_down(server, before_hook):
            return "", "", False
        claimed = any([server.claims(port, planned.get("address", "")) for port in planned["ports"]])
        if not claimed and not planned.get("always") and not windows.went_down(server, before_hook):
            return "nothing of the server listens on the port that is needed", "", True
    except ServerError as error:
        return str(error), error.detail, False
    return "", "", False


def stop(run: Run, server: IWebServer, planned: dict[str, Any], before: dict[str, Any],
         ours: bool) -> tuple[Optional[dict[str, Any]], str]:
    """The window is open and Apache stopped: ``(its event, "")``.

    ``(its event, reason)``: Apache may be stopped, or not, and the window has to be ended. ``(None, reason)``: there is
    no window, and Apache was not touched.

    :param ours: is the run's step lock the caller's?
    """
    window, lineage = planned["window"], planned["lineage"]
    over = _over(run, ours)
    if over:
        return None, over
    try:
        run.record("stopping", sync=True, window=window, lineage=lineage, before=before, ports=planned["ports"])
    except StateError as error:
        run.note("left-running", window=window, lineage=lineage, reason=str(error), detail="")
        return None, str(error)
    opened = [event for event in run.events() if event["kind"] == "stopping"][-1]
    try:
        server.stop(before, planned["ports"])
    except Exception as error:
        run.note("stop-failed", window=window, lineage=lineage, reason=str(error), detail=getattr(error, "detail", ""))
        return opened, str(error)
    return opened, ""


def stop_again(run: Run, server: IWebServer, window: int, lineage: dict[str, Any], ours: bool) -> str:
    """A hook of the user's opened this window; whatever it did since, the port is free, or a sentence says why not.

    :param ours: is the run's step lock the caller's?
    """
    over = _over(run, ours)
    if over:
        return over
    try:
        server.check()
        now = server.look()
        if now["serving"]:
            server.stop(now, lineage["ports"])
    except ServerError as error:
        run.note("stop-failed", window=window, lineage=lineage.get("lineage"), reason=str(error), detail=error.detail)
        return str(error)
    return ""


def _over(run: Run, ours: bool) -> str:
    """A hook that was frozen until after the run was settled comes too late."""
    if not ours or run.has("closed") or not run.certbot_lives():
        return "the run is over"
    return ""
