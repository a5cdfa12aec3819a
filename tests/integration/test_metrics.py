"""The numbers of real runs, as promtool reads them; the alerts on them; and the files of docs/fleet.md."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from certbot_guard import config as configuration
from certbot_guard import lineages
from tests.support.context import Context
from tests.support.faulty_ca import STORY_503
from tests.support.webhook import Webhook
from tests.unit.test_metrics import numbers

ROOT = Path(__file__).parents[2]
CONTRIB = ROOT / "contrib"
ONE, TWO = "one.guard.test", "two.guard.test"


def tool(name: str) -> str:
    """A program of Prometheus's, as script/bootstrap --test fetches it."""
    found = shutil.which(name) or shutil.which(name, path=str(ROOT / ".tools"))
    if found is None:
        pytest.skip(f"no {name} here: script/bootstrap --test fetches it where it can")
    return found


def checked(*command: str, stdin: bytes = b"") -> str:
    done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", timeout=120)
    assert done.returncode == 0, done.stdout.decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "replace")


def test_the_numbers_of_a_renewal_and_of_a_failure(context: Context) -> None:
    context.guarded_site(ONE)
    context.renew(check=True)
    context.wait_settled()
    run = context.guard("metrics", check=True)
    found = numbers(run.stdout.encode())
    assert found["lineage_guarded", ONE] == found["last_run_success",] == found["history_outages",] == 1
    expires = lineages.not_after(context.home.config, ONE)
    assert expires is not None and found["certificate_not_after_timestamp_seconds", ONE] == expires.timestamp()
    assert 0 < found["history_longest_outage_seconds",] == found["history_outage_seconds",]
    assert found["undelivered_messages", "mail"] == found["unfinished_runs",] == 0
    first = found["last_success_timestamp_seconds",]

    context.ca.answer("directory", STORY_503)
    context.renew()
    context.wait_settled()
    found = numbers(context.guard("metrics", check=True).stdout.encode())
    assert found["last_run_success",] == 0
    assert found["last_success_timestamp_seconds",] == first < found["last_run_timestamp_seconds",]
    assert found["standing_troubles", "warning"] + found["standing_troubles", "critical"] >= 1


def test_a_run_with_nothing_due_is_a_run_though_the_history_has_none(context: Context) -> None:
    context.obtain(ONE, days_left=80, vhost="")
    context.guard_ini()
    began = time.time()
    context.renew(force=False, check=True)
    context.guard_ini(more=f"[certbot]\nconfig_dir = {context.home.config}\n")
    (context.directory / "xdg" / "letsencrypt").mkdir(parents=True)  # as for a certbot whose logs are elsewhere
    (context.directory / "xdg" / "letsencrypt" / "cli.ini").write_text(f"logs-dir = {context.home.logs}\n")
    run = context.guard("metrics", check=True, env={"XDG_CONFIG_HOME": str(context.directory / "xdg")})
    found = numbers(run.stdout.encode())
    assert found["history_runs",] == 0
    assert found["last_run_timestamp_seconds",] >= began - 2 and found["last_run_success",] == 1


def test_promtool_finds_nothing_to_say_of_the_numbers(context: Context) -> None:
    promtool = tool("promtool")
    for name in (ONE, "quote\"and\\back", "é"):
        context.obtain(name, [ONE], vhost="")
    context.guard_ini()
    run = context.guard("metrics", check=True)
    assert checked(promtool, "check", "metrics", stdin=run.stdout.encode()) == ""


def test_a_textfile_is_written_or_one_sentence_says_why_not(context: Context) -> None:
    context.obtain(ONE, vhost="")
    context.guard_ini()
    path = context.directory / "guard.prom"
    assert context.guard("metrics", "--textfile", str(path), check=True).output == ""
    assert numbers(path.read_bytes())["state_readable",] == 1
    run = context.guard("metrics", "--textfile", str(context.directory / "none" / "guard.prom"))
    assert run.returncode == 1 and "does not exist" in run.stderr and "Traceback" not in run.output


# -- contrib -----------------------------------------------------------------------------------------------------


def test_the_rules_are_valid() -> None:
    assert "14 rules found" in checked(tool("promtool"), "check", "rules",
                                       str(CONTRIB / "prometheus" / "certbot-guard.rules.yml"))


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    tests = sorted((CONTRIB / "prometheus" / "tests").glob("*.test.yml"))
    checked(tool("promtool"), "test", "rules", *map(str, tests))
    rules = (CONTRIB / "prometheus" / "certbot-guard.rules.yml").read_text("utf-8")
    tested = "".join(test.read_text("utf-8") for test in tests)
    fired = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n", tested))
    assert set(re.findall(r"alert: (\w+)", rules)) == fired


def test_the_rules_ask_for_numbers_that_there_are() -> None:
    rules = (CONTRIB / "prometheus" / "certbot-guard.rules.yml").read_text("utf-8")
    there = (ROOT / "certbot_guard" / "metrics.py").read_text("utf-8")
    for name in set(re.findall(r"certbot_guard_(\w+)", rules)):
        assert f'gauge("{name}"' in there, name


def test_prometheus_and_alertmanager_take_the_files_of_the_documentation() -> None:
    checked(tool("promtool"), "check", "config", str(CONTRIB / "prometheus" / "prometheus.yml"))
    checked(tool("amtool"), "check-config", str(CONTRIB / "prometheus" / "alertmanager.yml"))


def test_the_settings_of_the_documentation_are_settings(tmp_path: Path) -> None:
    path = tmp_path / "guard.ini"
    path.write_bytes((CONTRIB / "fleet" / "guard.ini").read_bytes())
    path.chmod(0o600)
    found = configuration.load(path)
    assert found.problems == () and found.heartbeat_url and found.metrics_textfile and len(found.channels) == 1


def test_the_documentation_has_these_files_as_they_are() -> None:
    page = (ROOT / "docs" / "fleet.md").read_text("utf-8")
    shown = ("fleet/guard.ini", "fleet/apprise.cfg", "prometheus/prometheus.yml", "prometheus/alertmanager.yml")
    for name in shown:
        assert f"```\n{(CONTRIB / name).read_text('utf-8')}```\n" in page.replace("```ini\n", "```\n").replace(
            "```yaml\n", "```\n"), f"docs/fleet.md shows another {name}"


def test_a_failure_reaches_an_apprise_server_under_its_key(context: Context) -> None:
    """The receiver is what https://github.com/caronc/apprise-api documents of POST /notify/KEY, not that server."""
    server = Webhook()
    context.cleanup(server.close)
    key = "9c1f0b52d7e84a36"
    context.obtain(ONE)
    context.guard_ini(channels={"fleet": f"apprise://127.0.0.1:{server.port}/{key}?method=json"})
    context.apache.start()
    context.ca.answer("directory", STORY_503)
    run = context.renew()
    got = server.wait()[0]
    context.wait_settled()
    # Apprise 2.3 names the key in a header unless the URL says version=1; before, it was always in the path
    named = {name.lower(): value for name, value in got.headers.items()}.get("x-apprise-config-id")
    assert got.path.rstrip("/") == (f"/notify/{key}" if named is None else "/notify") and named in (None, key)
    assert got.document["title"] and got.document["body"] and got.document["type"] in ("failure", "warning", "info")
    assert key not in run.output + context.home.log()
