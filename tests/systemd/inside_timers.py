"""What is tested inside the box: timers of this machine's own systemd, waiting and with their service running."""

from __future__ import annotations

import subprocess
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Iterator

import pytest

from certbot_guard import schedule
from tests.support.processes import wait_for

UNITS = Path("/etc/systemd/system")


def systemctl(*words: str) -> str:
    return subprocess.run(["systemctl", *words], check=True, stdout=subprocess.PIPE, text=True, timeout=30).stdout


@pytest.fixture
def timer() -> Iterator[str]:
    """Units of the name of this fixture's value may be written; they are gone afterwards."""
    yield "certbot"
    for verb in ("stop", "reset-failed"):
        subprocess.run(["systemctl", verb, "certbot.timer", "certbot.service", "mine.timer", "mine.service"],
                       check=False,
                       stderr=subprocess.DEVNULL)
    for path in UNITS.glob("*"):
        if path.stem in ("certbot", "mine"):
            path.unlink()
    systemctl("daemon-reload")


def write(name: str, when: str, command: str) -> None:
    (UNITS / f"{name}.timer").write_text(f"[Timer]\nAccuracySec=10ms\n{when}\n")
    (UNITS / f"{name}.service").write_text(f"[Service]\nType=oneshot\nExecStart={command}\n")
    systemctl("daemon-reload")
    systemctl("start", f"{name}.timer")


def test_a_waiting_timer_is_the_next_attempt_to_the_second(timer: str) -> None:
    # a time zone with its own name, and Debian's timer
    local = Path("/etc/localtime")
    local.unlink()
    local.symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    write(timer, "OnCalendar=*-*-* 00,12:00:00\nRandomizedDelaySec=43200", "/bin/true")
    now = datetime.now(timezone.utc)
    found = schedule.next_attempt(now)
    assert found is not None and found.when is not None and found.source == "certbot.timer", found
    shown = subprocess.run(["systemctl", "show", "-P", "NextElapseUSecRealtime", "certbot.timer"], check=True,
                           text=True,
                           stdout=subprocess.PIPE, env={"TZ": "UTC", "LANG": "C", "PATH": "/usr/bin"}).stdout
    assert f"{found.when:%Y-%m-%d %H:%M:%S}" in shown and now < found.when < now + timedelta(hours=24)
    assert found.spread_seconds is None


def test_the_run_that_asks_is_the_timers_own_and_hears_of_the_next_one(timer: str) -> None:
    local = Path("/etc/localtime")
    local.unlink()
    local.symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    soon = datetime.now(timezone(timedelta(hours=9))) + timedelta(seconds=2)
    write(timer, f"OnCalendar=*-*-* {soon:%H:%M:%S}\nOnCalendar=*-*-* {soon - timedelta(hours=1):%H:%M:%S}\n",
          "/bin/sleep 60")
    wait_for(lambda: systemctl("show", "-P", "SubState", "certbot.timer").strip() == "running", 15,
             "the timer did not run")
    now = datetime.now(timezone.utc)
    found = schedule.next_attempt(now)
    assert found is not None and found.when is not None, found
    assert abs(found.when - (soon + timedelta(hours=23))) < timedelta(seconds=2), (found, soon)


def test_a_timer_of_any_name_counts_if_its_service_runs_certbot(timer: str) -> None:
    write("mine", "OnActiveSec=90min", "/opt/certbot/bin/certbot renew -q")
    write(timer, "OnCalendar=2020-01-01", "/bin/true")  # over; systemd would show nothing
    began = time.monotonic()
    found = schedule.next_attempt(datetime.now(timezone.utc))
    assert time.monotonic() - began < 2
    assert found is not None and found.when is not None and found.source == "mine.timer", found
    assert abs(found.when - datetime.now(timezone.utc) - timedelta(minutes=90)) < timedelta(seconds=30)


def test_a_stopped_timer_is_no_attempt(timer: str) -> None:
    write(timer, "OnCalendar=*-*-* 00,12:00:00", "/bin/true")
    systemctl("stop", "certbot.timer")
    assert schedule.next_attempt(datetime.now(timezone.utc)) is None
