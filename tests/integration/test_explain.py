"""``certbot-guard explain`` of logs that this version of certbot has just written, and of the story's."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from certbot_guard import logfile, logtail
from certbot_guard.cli import commands
from tests.support.certbot import Certbot
from tests.support.context import Context
from tests.support.faulty_ca import STORY_503, problem

explain_module = importlib.import_module("certbot_guard.cli.explain")
ONE, TWO = "a-one.guard.test", "b-two.guard.test"
STORY = Path(__file__).parent.parent / "data" / "letsencrypt-2018.log"


def explained(context: Context) -> Certbot:
    """Without a guard.ini, as on a machine that never had the guard."""
    assert not context.ini.exists()
    return context.guard("explain", "--logs-dir", str(context.home.logs))


def obtain(context: Context, *names: str, **options: object) -> None:
    for name in names:
        context.obtain(name, guarded=False, vhost="", **options)


# -- certbot's own logs ------------------------------------------------------------------------------------------------


def test_the_outage_of_the_story_is_the_cas_and_passes(context: Context) -> None:
    obtain(context, ONE, TWO)
    context.ca.answer("directory", STORY_503)
    assert context.renew().returncode == 1
    run = explained(context)
    log = context.home.logs / "letsencrypt.log"
    assert run.returncode == 1, run.output
    assert f"Not renewed: {ONE}, {TWO} (2, same cause)" in run.stdout
    assert "503" in run.stdout and "Whose problem: the CA's" in run.stdout and "passes by itself" in run.stdout
    assert "What to do: Nothing now" in run.stdout
    found = re.search(rf"In the log: {re.escape(str(log))}, line (\d+) ", run.stdout)
    assert found and "Failed to renew certificate" in log.read_text().splitlines()[int(found[1]) - 1]


def test_a_challenge_that_failed_is_told_with_what_the_ca_met(context: Context) -> None:
    obtain(context, ONE, authenticator="webroot", webroot=context.directory)
    context.renew()
    run = explained(context)
    assert run.returncode == 1 and f"Not renewed: {ONE}" in run.stdout, run.output
    assert "refused the connection" in run.stdout and f"\n  {ONE}: connection: " in run.stdout, run.output
    event, = logfile.runs(context.home.log())[-1].events
    assert event["evidence"]["challenges"][0]["domain"] == ONE
    assert event["evidence"]["types"] == ["certbot.errors.AuthorizationError"]


def test_a_hook_and_a_broken_file_are_told_beside_what_was_renewed_and_a_good_run_says_so(context: Context) -> None:
    obtain(context, ONE)
    broken = context.home.conf_path("broken.guard.test")
    broken.write_text("version = 5.8.0\n")
    context.renew("--pre-hook", "echo out of order; exit 3")
    run = explained(context)
    assert run.returncode == 1, run.output
    assert "Not looked at: broken.guard.test.conf" in run.stdout and f"Renewed: {ONE}." in run.stdout
    assert "A hook failed: pre-hook" in run.stdout and "  | out of order\n" in run.stdout
    _nothing_secret_survives(context.home.logs / "letsencrypt.log")
    broken.unlink()
    context.renew(force=False)
    run = explained(context)
    assert run.returncode == 0 and run.stdout.startswith("Nothing failed: certbot "), run.output
    assert re.search(r" ran at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", run.stdout)


def _nothing_secret_survives(log: Path) -> None:
    """Of a whole renewal: signatures, nonces and tokens."""
    said = log.read_text()
    secret = re.findall(r'"(?:signature|protected|token)": "([^"]+)"|Replay-Nonce: (\S+)', said)
    values = {value for pair in secret for value in pair if value}
    assert len(values) > 10
    shown = logtail.masked(said)
    assert not [value for value in values if value in shown]
    assert "Cleaning up challenges" in shown and ONE in shown
    assert len(logtail.tail(log, 15)) == 15


def test_a_rate_limit_and_what_certbot_gives_up_for_are_told(context: Context) -> None:
    obtain(context, ONE)
    context.ca.answer("new-order", problem(429, "rateLimited", "too many certificates (5) already issued", "3600"))
    context.renew()
    run = explained(context)
    assert run.returncode == 1 and "rateLimited" in run.stdout and "--force-renewal" in run.stdout, run.output
    context.ca.clear()
    context.certbot("certonly", "-d", ONE, "--authenticator", "nosuch")
    run = explained(context)
    assert run.returncode == 1 and "Gave up: certbot" in run.stdout, run.output
    assert "The requested nosuch plugin does not appear to be installed" in run.stdout


# -- the story's, and what is no log -----------------------------------------------------------------------------------


def explain(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(commands, ["explain", *arguments], input=stdin)


@pytest.mark.parametrize("through_a_pipe", [False, True])
def test_the_log_of_2018_is_explained(through_a_pipe: bool) -> None:
    result = explain("-", stdin=STORY.read_bytes()) if through_a_pipe else explain(str(STORY))
    assert result.exit_code == 1
    for words in ("Not renewed: www.serotoninpower.club", "acme-v02.api.letsencrypt.org", "503", "the CA's",
                  "Nothing now",
                  "https://letsencrypt.status.io/", "line 23 (2018-12-01 04:00:23)",
                  "certbot 0.27.1 ran at 2018-12-01 04:00:2"):
        assert words in result.output, result.output
    assert "clock" not in result.output  # nine hours ahead is Japan


@pytest.mark.parametrize("content", [None, b"", b"\x00\xff" * 1000, b"Not a log.\n"])
def test_what_is_no_log_is_said_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.log"
    if content is not None:
        path.write_bytes(content)
    result = explain(str(path))
    assert result.exit_code == 2 and result.output.count("\n") == 1 and str(path) in result.output


def test_a_log_that_ends_in_the_middle_says_so(tmp_path: Path) -> None:
    path = tmp_path / "letsencrypt.log"
    path.write_text("2026-11-24 04:15:03,123:DEBUG:certbot._internal.display.obj:"
                    "Notifying user: Processing /etc/a.conf\n")
    result = explain("--logs-dir", str(tmp_path))
    assert result.exit_code == 1 and "The log ends in the middle of it" in result.output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_log_that_may_not_be_read_is_said_in_one_sentence(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o700)
    (logs / "letsencrypt.log").write_text(STORY.read_text())
    code = ("import os, sys; from certbot_guard.cli import explain, main; os.setgroups([]); os.setgid(65534); os.setuid(65534); "
            "main(sys.argv[1:])")  # whoever may not read this checkout has imported it by then
    done = subprocess.run([sys.executable, "-c", code, "explain", "--logs-dir", str(logs)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=30, check=False)
    assert done.returncode == 2, done.stdout
    assert "may not be read by you" in done.stdout and "Traceback" not in done.stdout


def test_the_link_that_lifts_a_pause_is_shown_whole_and_no_other_secret() -> None:
    link = "https://portal.letsencrypt.org/sfe/v1/unpause?jwt=" + "aB3" * 120 + ".x&y=1"
    shown = explain_module._masked(f"Please visit: {link} now, token: s3cr3t+Pa, https://x.example/?jwt={'aB3' * 20}", 300)
    assert link in shown and "s3cr3t" not in shown and "x.example/?jwt=***" in shown
