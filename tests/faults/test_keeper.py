"""What the sentinel does at once, or late, and that it has all it needs for it when it begins."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Iterator

import pytest

from certbot_guard import challengeserver
from certbot_guard.keeper import Keeper
from tests.support.context import Context
from tests.support.stand_in import InCertbotsPlace, server_of

ONE = "one.guard.test"
MAX_OUTAGE_SECONDS = 2.0
# A window, and what Python imports while it is opened and ended.
_WINDOW = """
import json, sys
from pathlib import Path
import certbot_guard.sentinel
from certbot_guard import launch
from certbot_guard.keeper import Keeper
from certbot_guard.run import Run
from certbot_guard.servers.apache import ApacheServer
directory, program, environment = json.load(sys.stdin)
keeper = Keeper(Run.load(Path(directory)), ApacheServer(program, {**launch.surroundings(), **environment}))
before = set(sys.modules)
answers = [keeper.open(1), keeper.close("challenge", 1)]
print(json.dumps([answers, sorted(set(sys.modules) - before)]))
"""


@pytest.fixture
def certbot(context: Context) -> Iterator[InCertbotsPlace]:
    """It is about to make a challenge, for which Apache has to be stopped."""
    context.apache.start()
    stands_in = InCertbotsPlace(context, server_of(context), MAX_OUTAGE_SECONDS)
    stands_in.run.note("lineage", number=1, window=1, lineage=ONE, ports=[context.apache.http_port], address="")
    yield stands_in
    stands_in.end()


def test_a_retry_and_max_outage_that_are_due_at_once_end_the_window_once(
        context: Context, certbot: InCertbotsPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a sentinel that was frozen for a while."""
    monkeypatch.setattr(challengeserver, "_PATIENCE_SECONDS", 0.1)
    keeper = Keeper(certbot.run, certbot.server)
    assert keeper.open(1) == {"ok": True}
    certbot.listens(context.apache.http_port)
    assert not keeper.close("challenge", 1)["ok"]
    certbot.leaves_the_port()
    time.sleep(MAX_OUTAGE_SECONDS)
    keeper.do_what_is_due()
    assert context.apache.serving()
    assert [event["kind"] for event in certbot.run.events()].count("serving") == 1


def test_nothing_is_imported_any_more_when_a_window_is_opened_and_ended(
        context: Context, certbot: InCertbotsPlace) -> None:
    told = json.dumps([str(certbot.run.directory), context.apache.program, context.apache.environment])
    done = subprocess.run([sys.executable, "-I", "-c", _WINDOW], input=told, capture_output=True, text=True,
                          env=context.environment, cwd="/")
    assert done.returncode == 0, done.stderr
    answers, imported = json.loads(done.stdout)
    assert answers == [{"ok": True}, {"ok": True}] and imported == []
