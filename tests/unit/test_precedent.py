"""What the runs that are kept say of a lineage's challenges that passed through the server."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from certbot_guard import precedent

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
PLACED, STOPPED, DEPLOYED = (dict(kind=kind, lineage="a") for kind in ("proxy-placed", "stopping", "deployed"))


class Run:
    def __init__(self, *events, days=0, dry_run=False, config_dir="/etc/letsencrypt"):
        self.facts = {"config_dir": config_dir, "started": (NOW - timedelta(days=days)).isoformat(), "dry_run": dry_run}
        self._events = events

    def events(self):
        return list(self._events)


def failed(*kinds, error="AuthorizationError", lineage="a"):
    return {"kind": "lineage-failed", "lineage": lineage, "error_type": error,
            "evidence": {"challenges": [{"type": kind} for kind in kinds]}}


FATAL = {"kind": "fatal", "evidence": {"types": ["certbot.errors.AuthorizationError"]}}
BLAMED = Run(PLACED, failed("unauthorized"), days=1)


def against(*runs, lineage="a"):
    return precedent.against(runs, "/etc/letsencrypt", lineage, NOW)


@pytest.mark.parametrize("runs", [
    [BLAMED], [Run(PLACED, DEPLOYED, days=2), BLAMED], [BLAMED, Run(STOPPED, DEPLOYED)], [Run(PLACED, FATAL, days=1)],
    [Run(PLACED, failed("dns", "connection"), days=1)], [Run(PLACED, failed(), days=1)],
    [BLAMED, Run(PLACED)], [BLAMED, Run({**PLACED, "lineage": "b"}, {**DEPLOYED, "lineage": "b"})],
], ids=["failed", "after a success", "stopped for since", "certonly", "dns and another", "not shown", "killed since",
        "another lineage's success"])
def test_it_speaks_against_it(runs):
    assert "failed (2026-05-31)" in against(*runs)


@pytest.mark.parametrize("runs", [
    [], [Run(STOPPED, failed("unauthorized"))], [BLAMED, Run(PLACED, DEPLOYED)], [BLAMED, Run(PLACED, dry_run=True)],
    [BLAMED, Run(STOPPED, failed("unauthorized"))], [Run(PLACED, failed("dns", "caa"))],
    [Run(PLACED, failed(error="Error"))], [Run(PLACED, failed("unauthorized"), config_dir="/elsewhere")],
    [Run(PLACED, failed("unauthorized"), days=201)], [Run(PLACED, failed("unauthorized", lineage="b"))],
], ids=["nothing", "never passed", "passed since", "a dry run passed since", "failed with a stop, too", "dns",
        "refused by the CA before", "another certbot", "long ago", "another lineage"])
def test_nothing_speaks_against_it(runs):
    assert against(*runs) == ""
