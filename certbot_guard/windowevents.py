"""What a run's events say of one window: whose it is, whether it may be opened, is open, and how it ended. Pure.

Called by the sentinel and its watch over hooks. Which windows are open is :func:`certbot_guard.run.open_windows`.
"""

from __future__ import annotations

from typing import Any, Optional

from certbot_guard.run import open_windows

Events = list[dict[str, Any]]


def lineage_of(events: Events, window: Optional[int]) -> dict[str, Any]:
    """The ``lineage`` event that this window was prepared with, or nothing."""
    found = [event for event in events if event["kind"] == "lineage" and event.get("window") == window]
    return found[-1] if found else {}


def planned(events: Events, window: int) -> Optional[dict[str, Any]]:
    """The same, of a window that was prepared, and neither opened nor refused yet."""
    if any(event.get("window") == window and event["kind"] in ("stopping", "left-running") for event in events):
        return None
    return lineage_of(events, window) or None


def is_still_open(events: Events, window: int) -> bool:
    """This opened window is, unless somebody has ended it; also where the file that says so is lost."""
    of_it = [event for event in events if event.get("window") == window]
    return not any(event["kind"] == "stopping" for event in of_it) or bool(open_windows(of_it))


def serves_since(events: Events, window: int) -> bool:
    """Did this window end with an Apache that serves, or was it left stopped for a person's sake?"""
    ends = [event["kind"] for event in events
            if event.get("window") == window and event["kind"] in ("serving", "left-down")]
    return ends[-1:] == ["serving"]
