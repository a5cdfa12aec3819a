"""A look at the web server, and at what it and other services show."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from certbot_guard import findings, serverlock, statedir
from certbot_guard.interfaces import IWebServer
from certbot_guard.outages import parsed
from certbot_guard.phrases import moment
from certbot_guard.run import open_windows, runs_below
from certbot_guard.watch.looking import Look

SERVED = "served"
# A unit that a person has taken out of use is not missed.
NOT_WANTED = frozenset({"disabled", "masked", "masked-runtime"})
# A restart, by an upgrade for example, is no outage to tell of.
_RESTART_SECONDS = 10.0


def at_server(look: Look, server: Optional[IWebServer]) -> bool:
    """Whether it is one that should serve, and so is spoken of. A window of a run's is no trouble."""
    if server is None or look.config.watch.served == "no":
        return False
    with look.carefully(server.name):
        return _look_at_server(look, server)
    return False


def _look_at_server(look: Look, server: IWebServer) -> bool:
    seen = _seen(look, server)
    if seen is None:
        return False
    missed = SERVED in look.noted and seen.get("unit_file_state") not in NOT_WANTED and os.geteuid() == 0
    if not seen["serving"] and missed:
        look.eyes.pause(_RESTART_SECONDS)
        seen = _seen(look, server)
        if seen is None:
            return False
    if seen["serving"]:
        look.serving = True
        look.changes[SERVED] = look.now.isoformat()
        return True
    if not missed:
        if seen.get("unit_file_state") in NOT_WANTED:
            look.changes[SERVED] = None
            look.well[findings.subject_of_server(look.one.facts)] = "It was taken out of use."
        return False
    look.serving = False
    look.one.note("server-down", reason=f"it was seen serving last at {moment(parsed(look.noted[SERVED]))}")
    return True


def _seen(look: Look, server: IWebServer) -> Optional[dict[str, Any]]:
    """What it looks like, unless a run of certbot's has it stopped, or is about to start it."""
    with serverlock.unless_taken(server.identity) as free:
        if not free or any(open_windows(run.events()) for run in runs_below(
                statedir.every_directory(look.config.state_dir))):
            return None
        return dict(server.look())


def at_services(look: Look, server: Optional[IWebServer], config_dirs: Sequence[Path]) -> None:
    """What the web server, and the endpoints of guard.ini, show."""
    with look.carefully("what is shown to visitors"):
        ask = look.eyes.look_at_services
        if ask is None:
            from certbot_guard.watch import services

            ask = services.look
        shown: list[dict[str, Any]] = []

        def keep(_kind: str, **fields: Any) -> None:
            shown.append(fields)

        seen = ask(look.config, config_dirs, server if look.serving else None, keep, look.now)
        asked, complete = seen.asked, seen.complete
        silent = {str(one["place"]) for one in shown if one.get("what") == "served-silent"} - seen.endpoints
        if silent and server is not None and _is_stopped_now(look, server):
            # A run has stopped it for a challenge meanwhile.
            shown = [one for one in shown if one["place"] not in silent]
            asked, complete = asked - silent, False
        for one in shown:
            look.one.note("shown", **one)
        _find_well(look, asked, complete, seen.endpoints)


def _is_stopped_now(look: Look, server: IWebServer) -> bool:
    now = _seen(look, server)
    return now is None or not now["serving"]


def _find_well(look: Look, asked: frozenset[str], complete: bool, endpoints: frozenset[str]) -> None:
    shown = [event for event in look.one.events() if event["kind"] == "shown"]
    wrong = {event.get("lineage") for event in shown}
    for subject, standing in look.memory.standing.items():
        kind, _, place = subject.partition(" ")
        if kind == "shown" and place in asked:
            look.well[subject] = "What is shown there is right again."
        elif kind == "shown" and complete:
            look.well[subject] = "It is not looked at any more."
        elif kind == "deployed" and complete and standing.lineage not in wrong:
            look.well[subject] = "The new certificate is what is shown."
        elif kind == "service" and endpoints and endpoints <= asked and not shown:
            look.well[subject] = "What the endpoints show is right."
