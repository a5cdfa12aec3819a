"""doctor on a real Apache, a real ACME server, a real mail server and a real certbot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Callable

import pytest

from tests.support.certbot import program
from tests.support.context import Context
from tests.support.ports import free_port

# The machine's own cron, clock and disk are no part of the test.
OF_THE_MACHINE = ("renewal-scheduled", "renewal-often", "watch-timer", "boot-unit", "unit-failure-told", "mistakes",
                  "clock", "disk-space", "one-certbot")
NOBODY = 65534


def doctor(context: Context, *arguments: str) -> tuple[int, dict[str, Any]]:
    skipped = [word for one in OF_THE_MACHINE for word in ("--skip", one)]
    run = context.guard("doctor", "--json", *skipped, "--config-dir", str(context.home.config), "--logs-dir",
                        str(context.home.logs), *arguments)
    assert not run.stderr, run.stderr
    return run.returncode or 0, json.loads(run.stdout)


def of_the_python() -> set[str]:
    """What is wrong here with any channel: root stays root where nobody cannot run what sends (below /root, say)."""
    if os.geteuid() != 0:
        return set()
    words = [sys.executable, "-I", "-c", "import certbot_guard.deliverer, apprise, certifi, requests"]
    try:
        done = subprocess.run(words, cwd="/", user=NOBODY, group=NOBODY, extra_groups=[], env={},
                              stderr=subprocess.DEVNULL, check=False)
    except PermissionError:
        return {"sent-unprivileged"}
    return {"sent-unprivileged"} if done.returncode else set()


def of(said: dict[str, Any], id: str) -> dict[str, Any]:
    return next(one for one in said["results"] if one["id"] == id)


@pytest.fixture
def well(context: Context) -> Context:
    """A host on which nothing is wrong: what is renewed from a web root needs no stop."""
    context.obtain("hook.guard.test", authenticator="webroot", days_left=60)
    context.guard_ini(more=f"[metrics]\ntextfile = {context.directory}/guard.prom")
    context.apache.start()
    return context


def test_on_a_host_where_all_is_well_nothing_is_found_wrong(well: Context) -> None:
    before = {path: path.lstat().st_mtime_ns for path in well.home.config.rglob("*")}
    code, said = doctor(well)
    assert {one["id"] for one in said["results"] if one["status"] not in ("ok", "skipped")} == of_the_python()
    assert of(said, "sent-unprivileged")["status"] == ("warning" if of_the_python() else "ok")
    assert (code, said["ok"], said["version"]) == (0, True, 1)
    assert {one["id"] for one in said["results"] if one["status"] == "ok"} >= {
        "plugin-visible", "channels-reachable", "server-configuration", "server-serving", "acme-directory",
        "lineage-keys", "sentinel-can-start", "metrics-textfile"}
    assert not well.mailbox.messages and not well.state.exists()
    assert {path: path.lstat().st_mtime_ns for path in well.home.config.rglob("*")} == before


def test_what_breaks_is_found_and_named(well: Context) -> None:
    live = well.obtain("other.guard.test", authenticator="webroot", days_left=60, vhost="")
    well.home.live("hook.guard.test", "privkey").unlink()
    well.home.live("hook.guard.test", "privkey").symlink_to((live / "privkey.pem").resolve())
    well.apache.stop()
    port = free_port()
    well.guard_ini(channels={"mail": f"mailto://user:topsecret@127.0.0.1:{port}?from=a@b.example&to=c@d.example"})
    code, said = doctor(well)
    assert (code, said["ok"]) == (1, False) and "topsecret" not in json.dumps(said)
    wrong = {one["id"]: one for one in said["results"] if one["status"] not in ("ok", "skipped")}
    assert set(wrong) == {"lineage-keys", "server-certificates", "server-serving", "channels-reachable",
                          *of_the_python()}, wrong
    assert "hook.guard.test" in wrong["lineage-keys"]["says"]
    assert f"127.0.0.1:{port}" in wrong["channels-reachable"]["says"]


def test_the_command_that_doctor_gives_takes_the_stop_out_of_a_renewal(context: Context) -> None:
    context.obtain("alone.guard.test", days_left=60, vhost="")
    context.apache.add_vhost("alone", server_name="alone.guard.test", extra=f"DocumentRoot {context.apache.docroot}")
    context.guard_ini()
    context.apache.start()
    _, said = doctor(context, "--only", "standalone-avoidable")
    found = of(said, "standalone-avoidable")
    assert found["status"] == "warning"
    words = found["instead"].split()
    assert words[:2] == [str(program()), "reconfigure"] or words[1] == "certonly"
    assert context.certbot(*words[1:], check=True).returncode == 0
    assert context.home.conf("alone.guard.test")["renewalparams"]["authenticator"] == "webroot"
    assert context.home.conf("alone.guard.test")["renewalparams"]["installer"] == "guard"
    _, said = doctor(context, "--only", "standalone-avoidable")
    assert of(said, "standalone-avoidable")["status"] == "skipped"


def test_what_will_pass_through_apache_and_what_will_not_is_said_and_apache_is_left_alone(
        new_context: Callable[..., Context]) -> None:
    context = new_context(open_directory=True)
    context.obtain("alone.guard.test", days_left=60, vhost="")
    context.apache.add_vhost("alone", server_name="alone.guard.test", extra=f"DocumentRoot {context.apache.docroot}")
    context.guard_ini()
    context.apache.start()
    only = ("--only", "passage", "--only", "standalone-avoidable")
    log, files = context.apache.error_log.read_bytes(), sorted(context.apache.vhosts.iterdir())
    _, said = doctor(context, *only)
    found = of(said, "passage")
    assert found["status"] == "ok" and "keeps serving while alone.guard.test is renewed" in found["says"], found
    assert of(said, "standalone-avoidable")["status"] == "ok"
    assert (context.apache.error_log.read_bytes(), sorted(context.apache.vhosts.iterdir())) == (log, files)
    # What only a renewal can see is known once there was one.
    context.apache.add_vhost("alone", server_name="alone.guard.test", extra='<If "true">\nRequire all denied\n</If>')
    context.certbot("renew", "--dry-run", "--no-random-sleep-on-renew", check=True)
    context.wait_settled()
    _, said = doctor(context, *only)
    found = of(said, "passage")
    assert found["status"] == "warning" and "a token did not come through" in found["says"], found
    assert "403" in found["says"]
