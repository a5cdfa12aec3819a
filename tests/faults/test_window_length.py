"""A window is no longer than the challenge: nothing else is waited for between the stop, the challenge and the start.

No clock decides here. Whatever must not be waited for is held back until Apache serves again, or never comes at all.
"""

from __future__ import annotations

import functools
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

from certbot_guard.servers import processes as proc
from tests.support import context as support
from tests.support.context import Context, World
from tests.support.faulty_ca import FaultyCA

ONE = "one.guard.test"
NAMES = ("a.guard.test", "b.guard.test", "c.guard.test")
# certbot's server looks every half second whether it is to stop, unless somebody connects. This one never looks.
_NEVER_LOOKS = "import socketserver\nsocketserver.BaseServer.serve_forever.__defaults__ = (86400.0,)\n"
# Imported by none of a hook's requests: each of them takes longer than the request itself.
_HEAVY = ("certbot", "acme", "apprise", "cryptography", "zope.interface", "ssl", "sqlite3", "http.client",
          "certbot_guard.settle", "certbot_guard.servers", "certbot_guard.config", "certbot_guard.journal")


def that_never_looks(context: Context) -> dict[str, str]:
    """An environment in which certbot's challenge server ends when it is visited, and not before."""
    directory = context.directory / "never-looks"
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(_NEVER_LOOKS)
    return {"PYTHONPATH": str(directory)}


def held_by_visitor(context: Context) -> socket.socket:
    """A visitor in the middle of a long download: an Apache that was told to stop gracefully lives on for him."""
    visitor = socket.create_connection(("127.0.0.1", context.apache.http_port), 10)
    visitor.sendall(b"GET /slow.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert visitor.recv(12) == b"HTTP/1.1 200"
    return visitor


def by_window(context: Context, kind: str) -> dict[int, Any]:
    return {event["window"]: event for event in context.events(kind)}


@pytest.mark.core
def test_certbots_listener_leaves_a_site_that_nobody_visits_without_looking_by_itself(context: Context) -> None:
    context.guarded_site(*NAMES, server="mode = stop")
    run = context.renew(env=that_never_looks(context))
    context.wait_settled()
    assert run.returncode == 0, run.output
    assert {event["by"] for event in context.events("serving")} == {"challenge"}
    assert not context.events("start-failed") and not context.events("overdue")


def test_a_visitor_with_a_long_download_holds_up_no_challenge(context: Context) -> None:
    context.guarded_site(ONE, server="mode = stop")
    parent = context.apache.parent_pid()
    with held_by_visitor(context), context.ca.hold("challenge", times=1) as held:
        run = context.renew(wait=False)
        held.wait()  # certbot listens, so the pre hook has returned
        stopping, = context.events("stopping")
        assert proc.alive(parent, stopping["before"]["start_time"])
        held.release()
        context.wait_event("serving")
        assert proc.alive(parent, stopping["before"]["start_time"])
    assert run.wait().returncode == 0, run.output
    context.wait_settled()


def test_the_window_ends_while_the_ca_still_works_on_the_certificate(context: Context) -> None:
    context.guarded_site(ONE, server="mode = stop")
    with context.ca.hold("finalize", times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        assert context.wait_event("serving")["by"] == "challenge"
        assert context.apache.serving()
        held.release()
    assert run.wait().returncode == 0, run.output
    context.wait_settled()


@pytest.mark.parametrize("hook", ("deploy_hook", "renewal-hooks"))
def test_what_a_user_does_after_a_renewal_comes_after_apache_serves(context: Context, hook: str) -> None:
    seen = context.directory / "seen"
    script = f"cat {context.state}/runs/*/events.jsonl > {seen}"
    options = {"renew_hook": script} if hook == "deploy_hook" else {}
    context.guarded_site(ONE, server="mode = stop", **options)
    if hook == "renewal-hooks":
        path = context.home.config / "renewal-hooks" / "deploy" / "look"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    assert context.renew().returncode == 0
    context.wait_settled()
    assert '"kind": "serving"' in seen.read_text()


@pytest.mark.core
def test_nothing_of_ours_comes_between_the_challenge_and_apaches_start(context: Context) -> None:
    """As many steps for each of several lineages as for one: a window does not grow with their number."""
    context.guarded_site(*NAMES, server="mode = stop")
    assert context.renew().returncode == 0
    context.wait_settled()
    ours = [(event["kind"], event["window"]) for event in context.events()
            if event["kind"] in ("stopping", "stopped", "closing", "serving", "start-failed", "left-running")]
    assert ours == [(kind, number) for number in (1, 2, 3) for kind in ("stopping", "stopped", "closing", "serving")]
    began, ended = by_window(context, "closing"), by_window(context, "serving")
    for number in (1, 2, 3):
        between = [event["kind"] for event in context.events()
                   if began[number]["mono"] < event["mono"] < ended[number]["mono"]]
        assert not between


def test_a_hook_loads_nothing_that_it_does_not_need_for_its_request() -> None:
    said = subprocess.run([sys.executable, "-I", "-c", "import sys, certbot_guard.hooks; print(*sys.modules)"],
                          check=True, capture_output=True, text=True, timeout=60).stdout.split()
    assert "certbot_guard.control" in said and not set(_HEAVY) & set(said)


# -- a CA that asks for no challenge ---------------------------------------------------------------------------------


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    """A context whose CA counts every earlier validation as good."""
    monkeypatch.setattr(support, "Pebble", functools.partial(support.Pebble, authorization_reuse_percent=100))
    monkeypatch.setattr(FaultyCA, "_without_reuse", lambda self, request, answer: answer)
    world = World()
    context = Context(world)
    yield context
    left = context.close()
    world.close()
    assert not left


def test_where_the_ca_asks_for_no_challenge_the_window_ends_when_the_certificate_is_asked_for(
        trusting: Context) -> None:
    context = trusting
    context.guarded_site(ONE, server="mode = stop")
    assert context.renew().returncode == 0  # this one is validated
    context.wait_settled()
    asked = len(context.ca.seen("challenge"))
    with context.ca.hold("finalize", times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        context.wait_event("serving", count=2)
        assert context.apache.serving()
        held.release()
    assert run.wait().returncode == 0, run.output
    context.wait_settled()
    assert asked and len(context.ca.seen("challenge")) == asked
    assert Path(context.home.config / "live" / ONE / "fullchain.pem").resolve().name == "fullchain3.pem"
