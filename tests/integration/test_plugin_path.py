"""certbot found us in a directory of CERTBOT_PLUGIN_PATH, where no other Python looks: all of the guard works."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Callable

import pytest

from tests.support import plugin_path
from tests.support.context import Context
from tests.support.faulty_ca import problem
from tests.support.plugin_path import Apart

NAME = "one.guard.test"
MODES = ["stop", "auto"]


@pytest.fixture
def context(new_context: Callable[..., Context]) -> Context:
    """An Apache that includes a directory, as distributions have it: ``mode = auto`` lets challenges through."""
    return new_context(open_directory=True)


@pytest.fixture
def apart(context: Context) -> Apart:
    made = plugin_path.make(context.directory / "apart")
    context.program = made.certbot
    context.environment["CERTBOT_PLUGIN_PATH"] = f"{made.plugins}/"
    return made


def test_the_python_of_that_certbot_does_not_find_us(apart: Apart) -> None:
    done = subprocess.run([apart.python, "-I", "-c", "import certbot_guard"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 1 and "No module named 'certbot_guard'" in done.stderr


@pytest.mark.parametrize("mode", MODES)
def test_a_renewal_is_guarded(context: Context, apart: Apart, mode: str) -> None:
    context.guarded_site(NAME, server=f"mode = {mode}")
    with context.apache.watch() as outage:
        run = context.renew(check=True)
    assert context.home.version(NAME) == 2, run.output
    assert len(outage.intervals) == (mode == "stop")
    assert context.apache.served_certificate(NAME).serial_number == context.home.certificate(NAME).serial_number
    context.wait_settled()
    assert context.events("hook-ran") == [] or "certbot_guard.hooks" not in str(context.events("hook-ran"))


@pytest.mark.parametrize("mode", MODES)
def test_killed_in_the_challenge_apache_serves_and_people_are_told(context: Context, apart: Apart, mode: str) -> None:
    context.guarded_site(NAME, server=f"mode = {mode}")
    run = context.kill_at("challenge")
    assert run.returncode == -9
    context.wait_settled()
    assert context.apache.serves()
    (mail,) = context.mailbox.stays_at(1, seconds=0.3)
    assert NAME in mail.subject + mail.text and "Apache serves" in mail.text


def test_the_story_is_told(context: Context, apart: Apart) -> None:
    context.guarded_site(NAME)
    with context.ca.answer("new-order", problem(503, "serverInternal", "The service is down for maintenance")):
        run = context.renew()
    assert run.returncode == 1 and context.apache.serves()
    context.wait_settled()
    (mail,) = context.mailbox.stays_at(1, seconds=0.3)
    assert NAME in mail.subject + mail.text and "503" in mail.text


def _said(context: Context, apart: Apart, *arguments: str) -> Any:
    words = [*apart.command("certbot_guard.cli"), "--config", str(context.ini), *arguments]
    done = subprocess.run(words, env={"PATH": context.environment["PATH"]}, cwd="/", capture_output=True, text=True,
                          check=False)
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_command_is_started_by_its_path_and_so_are_its_units(context: Context, apart: Apart) -> None:
    context.guarded_site(NAME)
    found = {one["id"]: one for one in json.loads(_said(context, apart, "doctor", "--json"))["results"]}
    assert found["sentinel-can-start"]["status"] == "ok", found["sentinel-can-start"]
    assert " ".join(apart.command("certbot_guard.cli")) in _said(context, apart, "units", "show")
