"""What is true now of what a run speaks of: does its web server serve, until when are the certificates valid.

Looked at when people are about to be told (:mod:`certbot_guard.telling`): a run's events may be hours old by then.
Changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

from certbot_guard import lineages, serverlock
from certbot_guard.interfaces import IWebServer
from certbot_guard.passing import Pass
from certbot_guard.run import Run, open_windows
from certbot_guard.servers.serving import answers_as
from certbot_guard.stakes import Validity

# After these it is not known which lineages a renewal has not come to: all are meant.
_KEEP_ALL_FROM_RENEWAL = ("died", "fatal", "stale", "no-timer", "command-failed")


def serving(run: Union[Run, Pass], server: Optional[IWebServer]) -> Optional[bool]:
    """Does the server serve? None where nobody can say, or another run has it stopped for a challenge."""
    if server is None:
        return None
    stopped = [event for event in run.events() if event["kind"] == "stopping"]
    try:
        serves = server.serving(stopped[-1]["before"]) if stopped else bool(server.look()["serving"])
        opened = open_windows(run.events())
        if serves and opened:
            # A start that is under way holds its sockets before it answers, and may fail yet: only an answer counts.
            return answers_as(opened[-1].get("before") or {}, server.look())
        if serves or opened:
            return serves
        with serverlock.unless_taken(server.identity) as free:
            # Another run has it stopped for a challenge; or who is not root does not see that the sockets are Apache's.
            return False if free and (stopped or os.geteuid() == 0) else None
    except Exception:
        return None


def validities(run: Union[Run, Pass], events: list[dict[str, Any]]) -> dict[str, Validity]:
    """Of every lineage that the events name, or whose renewal may have been kept from being done, where it is known."""
    names = {event["lineage"] for event in events if isinstance(event.get("lineage"), str)}
    names.update(name for event in events if event["kind"] == "not-attempted" for name in event["lineages"])
    names.update(Path(str(event["path"])).stem for event in events
                 if event["kind"] == "lineage-broken" and event.get("path"))
    if any(event["kind"] in _KEEP_ALL_FROM_RENEWAL for event in events):
        names.update(lineages.name_of(str(path)) for path in lineages.renewal_files(Path(run.facts["config_dir"])))
    found = {name: lineages.validity(Path(run.facts["config_dir"]), name) for name in names}
    return {name: when for name, when in found.items() if when is not None}


def lineage(facts: Mapping[str, Any], name: str) -> tuple[bool, Optional[Validity]]:
    """Is there a renewal configuration of this name, and until when is its certificate valid?"""
    config_dir = Path(str(facts.get("config_dir") or "/etc/letsencrypt"))
    return (config_dir / "renewal" / f"{name}.conf").exists(), lineages.validity(config_dir, name)
