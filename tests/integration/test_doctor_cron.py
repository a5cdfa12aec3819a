"""The doctor command, and the crontabs of this machine's cron.d: a directory of the test's own, which it alone sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CRON_D = Path("/etc/cron.d")
STOP, SEQUENCE, UNREAD = "cron-stop-and-start", "cron-stop-start-sequence", "line-not-read"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
SCRIPT = "#!/bin/sh\n{\n  apachectl stop\n  certbot renew\n  apachectl start\n} >/dev/null 2>&1\n"


def doctor(tmp_path: Path, crontab: str) -> list[dict[str, Any]]:
    """What it says of a crontab that is the only one in cron.d."""
    if os.geteuid() != 0 or not CRON_D.is_dir():
        pytest.skip("without root, or a cron.d to put one of the test's own over")
    tables, config = tmp_path / "cron.d", tmp_path / "letsencrypt"
    tables.mkdir(exist_ok=True)
    config.mkdir(exist_ok=True)
    (tables / "renew").write_text(crontab)
    command = [str(Path(sys.executable).with_name("certbot-guard")), "doctor", "--json", "--only", "mistakes",
               "--config-dir", str(config)]
    run = subprocess.run(["unshare", "-m", "sh", "-c", f'mount --bind {tables} {CRON_D} && exec "$@"', "sh", *command],
                         check=False, capture_output=True, text=True, cwd="/", timeout=120)
    if "unshare" in run.stderr or "mount:" in run.stderr:
        pytest.skip(f"no mount namespace can be had here: {run.stderr}")
    results = json.loads(run.stdout)["results"]
    return [one for one in results if str(CRON_D / "renew") in one["where"] or str(tmp_path) in one["where"]]


@pytest.mark.parametrize(("command", "wrong"), [
    ("{ apachectl graceful-stop; certbot renew; apachectl start; } || true", SEQUENCE),
    ("( apachectl graceful-stop && certbot renew && apachectl start ) 2>&1 | logger", STOP),
])
def test_a_stop_in_brackets_is_found_and_the_line_to_put_instead_is_fine(tmp_path: Path, command: str,
                                                                         wrong: str) -> None:
    (found,) = doctor(tmp_path, f"{PATH}17 4,16 * * * root {command}\n")
    assert (found["id"], found["status"]) == (wrong, "problem") and found["where"] == f"{CRON_D}/renew, line 2"
    assert "run --retry-for 6h -- " in found["instead"] and "apachectl" not in found["instead"]
    assert doctor(tmp_path, f"{PATH}{found['instead']}\n") == []


def test_where_something_hangs_on_the_stop_there_is_no_line_instead(tmp_path: Path) -> None:
    line = "17 4,16 * * * root apachectl graceful-stop || exit 1; certbot renew; apachectl start"
    (found,) = doctor(tmp_path, f"{PATH}{line}\n")
    assert (found["id"], found["status"], found["instead"]) == (SEQUENCE, "problem", "")
    assert found["remedy"].startswith("Take out what stops and starts Apache")


def test_a_script_that_a_line_runs_in_brackets_is_read(tmp_path: Path) -> None:
    script = tmp_path / "renew.sh"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    (found,) = doctor(tmp_path, f"17 4,16 * * * root ( {script} ) || true\n")
    assert found["id"] == SEQUENCE and found["where"] == f"{script}, line 4" and found["line"] == "  certbot renew"


def test_a_line_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (found,) = doctor(tmp_path, "17 4,16 * * * root { apachectl stop; certbot renew; apachectl start\n")
    assert (found["id"], found["status"], found["instead"]) == (UNREAD, "warning", "")
