"""status, history and report on a host with a real Apache, after real runs of certbot; and for who may not look."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.support import packages
from tests.support.apache import control_program
from tests.support.certbot import Certbot
from tests.support.context import Context
from tests.support.faulty_ca import STORY_503
from tests.support.overview import MadeUp

ONE, TWO = "one.guard.test", "two.guard.test"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
with_apache = pytest.mark.skipif(control_program() is None, reason="Apache is not installed")


def said(done: Certbot) -> Any:
    return json.loads(done.output[done.output.index("{"):])


def of(found: Any, name: str) -> Any:
    return next(one for one in found["lineages"] if one["name"] == name)


def renewed_on_the_disk(context: Context, name: str) -> None:
    """As by a certbot an hour ago whose reload nobody made."""
    live, archive = context.home.config / "live" / name, context.home.config / "archive" / name
    certificate = context.authority.issue([name], 89, key=(archive / "privkey1.pem").read_bytes())[0]
    for kind, content in (("cert", certificate), ("fullchain", certificate + context.authority.certificate)):
        (archive / f"{kind}9.pem").write_bytes(content)
        os.utime(archive / f"{kind}9.pem", (time.time() - 3600, time.time() - 3600))
        (live / f"{kind}.pem").unlink()
        (live / f"{kind}.pem").symlink_to(f"../../archive/{name}/{kind}9.pem")


@as_root
@with_apache
def test_a_challenge_that_passed_through_is_shown_so_and_one_that_could_not_with_its_reason(
        new_context: Callable[..., Context]) -> None:
    context = new_context(open_directory=True)
    context.guarded_site(ONE)
    context.obtain(TWO, vhost="")
    context.apache.add_vhost(TWO, server_name=TWO, extra='<If "true">\nRequire all denied\n</If>')
    context.apache.stop()
    context.apache.start()
    assert context.renew("--cert-name", ONE).returncode == 0
    assert context.renew("--cert-name", TWO).returncode == 0
    context.wait_settled()
    directories = ("--config-dir", str(context.home.config))
    second, first = said(context.guard("history", "--json", *directories))["runs"]
    assert first["outages"] == [] and first["lineages"] == [
        {"name": ONE, "outcome": "renewed", "let_through": True, "why_not_let_through": None}]
    shown, = second["lineages"]
    assert (shown["name"], shown["outcome"], shown["let_through"]) == (TWO, "renewed", False)
    assert "403" in shown["why_not_let_through"] and [one["lineage"] for one in second["outages"]] == [TWO]
    words = context.guard("history", *directories).output
    assert f"challenge passed through the running web server: {ONE}; no outage" in words
    assert f"challenge could not pass through the running web server: {TWO}: a token did not come through" in words
    numbers = context.guard("metrics", check=True).output
    for wanted in ("history_challenges_let_through", "history_challenges_not_let_through", "history_outages"):
        line = next(one for one in numbers.splitlines() if one.startswith(f"certbot_guard_{wanted}{{"))
        assert line.endswith(" 1.0"), line


@as_root
@with_apache
def test_what_runs_and_visitors_see_is_what_status_says(context: Context) -> None:
    context.guarded_site(ONE, TWO, days_left=80)
    context.guard_ini(more=f"[certbot]\nconfig_dir = {context.home.config}")
    found = said(context.guard("status", "--json"))
    assert found["ok"] and found["server"]["serving"] and found["served"]["complete"], found
    assert [one["served"]["state"] for one in found["lineages"]] == ["same", "same"]
    assert not context.state.exists()  # nothing has run yet, and a look makes nothing

    context.ca.answer("new-order", STORY_503, name=ONE)
    context.renew()
    context.wait_settled()
    context.mailbox.wait(1)
    before = (context.state / "journal.db").read_bytes()
    done = context.guard("status", "--json")
    found = said(done)
    assert (done.returncode, found["ok"]) == (1, False)
    assert [of(found, name)["last_attempt"]["outcome"] for name in (ONE, TWO)] == ["failed", "renewed"]
    assert [one["channel"] for one in of(found, ONE)["told"]] == ["mail"] and of(found, TWO)["told"] == []
    assert of(found, TWO)["served"]["state"] == "same" and of(found, ONE)["severity"] == "warning"
    assert found["troubles"][0]["advice"]

    (run,) = said(context.guard("history", "--json"))["runs"]
    assert run["ok"] is False and run["command"].startswith("certbot renew --force-renewal")
    assert TWO in {one["lineage"] for one in run["outages"]} and run["told"] == [{"channel": "mail", "state": "sent"}]
    assert (context.state / "journal.db").read_bytes() == before

    renewed_on_the_disk(context, TWO)
    found = said(context.guard("status", "--json"))
    assert of(found, TWO)["served"]["state"] == "old" and any(TWO in line for line in found["wrong"])
    assert "served-old" not in context.guard("status", "--no-served").output


@as_root
def test_who_may_not_look_is_told_so_in_one_sentence() -> None:
    if not packages.everybody_may_enter(packages.ROOT):
        pytest.skip("the checkout lies where only root may read")
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are closed to others, again and again
        Path(directory).chmod(0o755)
        _look_as_nobody(Path(directory))


def _look_as_nobody(directory: Path) -> None:
    made = MadeUp(directory)
    made.run(1)
    settings = directory / "guard.ini"
    settings.write_text(made.settings.read_text())  # readable, and what it names is not
    settings.chmod(0o644)
    code = ("import os, sys; from certbot_guard.cli import main; import certbot_guard.pages.whole; "
            "os.setgroups([]); os.setgid(65534); os.setuid(65534); main(sys.argv[1:])")
    for command in (["status", "--no-served"], ["history"], ["report", "--no-served", "--html", "-"]):
        done = subprocess.run([sys.executable, "-c", code, "--config", str(settings), *command], capture_output=True,
                              text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout) == (1, ""), done.stdout
        assert done.stderr.count("\n") == 1 and "cannot be looked into" in done.stderr, done.stderr
