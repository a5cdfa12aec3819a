"""What is tested inside the box: the units that ``certbot-guard units install`` writes, and what they do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from tests.support.certbot import program
from tests.support.context import Context, World, wait_for
from tests.support.faulty_ca import STORY_503
from tests.systemd.inside import guarded, healthy, power_cut, site, systemctl, unit_of

__all__ = ["site"]

ETC = Path("/etc/systemd")
HERE = ETC / "system"
WATCH, TIMER, RECOVER = "certbot-guard-watch.service", "certbot-guard-watch.timer", "certbot-guard-recover.service"
TELLER = "certbot-guard-failed@certbot.service.service"


def tree() -> dict[str, str]:
    """All of /etc/systemd and of what systemd remembers of timers: names, modes, links, contents."""
    found = {}
    for top in (ETC, Path("/var/lib/systemd/timers")):
        for path in sorted(top.rglob("*")):
            what = f"{path.lstat().st_mode:o} "
            found[str(path)] = what + (str(path.readlink()) if path.is_symlink()
                                       else path.read_text() if path.is_file() else "")
    return found


@pytest.fixture
def certbots(world: World) -> Iterator[Path]:
    """A certbot.service of the distribution's kind, whose [Service] section a test writes."""
    path = Path("/usr/lib/systemd/system/certbot.service")
    path.write_text("[Unit]\nDescription=Certbot\n[Service]\nType=oneshot\nExecStart=/bin/true\n")
    systemctl("daemon-reload")
    yield path
    subprocess.run([program("certbot-guard"), "units", "remove", "--yes"], stdout=subprocess.DEVNULL, check=True,
                   timeout=60)
    path.unlink()
    systemctl("daemon-reload")
    systemctl("reset-failed", check=False)


def installed(context: Context) -> Context:
    context.guard("units", "install", "--yes", check=True)
    return context


def fails(service: Path, how: str) -> None:
    """Run certbot.service, which fails, and wait until what tells of it has ended."""
    before = invocation(TELLER)
    service.write_text(f"[Unit]\nDescription=Certbot\n[Service]\nType=oneshot\n{how}\n")
    systemctl("daemon-reload")
    systemctl("start", "certbot.service", check=False)
    assert systemctl("is-active", "certbot.service", check=False) == "failed"
    teller_ended(before)


def invocation(unit: str) -> str:
    return systemctl("show", "-P", "InvocationID", unit, check=False)


def teller_ended(before: str) -> None:
    wait_for(lambda: invocation(TELLER) not in ("", before), 30, "the start of what tells")
    wait_for(lambda: systemctl("is-active", TELLER, check=False) not in ("activating", "active"), 90, "its end")
    assert systemctl("is-active", TELLER, check=False) == "inactive", said(TELLER)


def said(unit: str) -> str:
    return subprocess.run(["journalctl", "--no-pager", "-u", unit], stdout=subprocess.PIPE, text=True,
                          check=False).stdout


def test_install_show_and_remove_without_a_trace(context: Context, certbots: Path) -> None:
    context.guard_ini()
    for wants in HERE.glob("*.wants"):  # systemctl disable takes an empty one away, whoever made it
        if not any(wants.iterdir()):
            wants.rmdir()
    before = tree()
    shown = context.guard("units", "show", check=True).output
    assert "certbot.service.d" in shown and "snap.certbot" not in shown and tree() == before
    assert context.guard("units", "install").returncode == 1 and tree() == before  # nobody there to say yes
    done = context.guard("units", "install", "--yes", check=True)
    for unit in (WATCH, TIMER, RECOVER, TELLER):
        checked = subprocess.run(["systemd-analyze", "verify", unit], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, check=False, timeout=30)
        assert checked.returncode == 0 and "certbot-guard" not in checked.stdout, checked.stdout
    assert systemctl("is-enabled", TIMER, RECOVER) == "enabled\nenabled"
    assert TIMER in systemctl("list-timers", "--no-pager") and systemctl("is-active", TIMER) == "active"
    assert (systemctl("show", "-P", "OnFailure", "certbot.service")
            == TELLER), done.output
    there = tree()
    assert "nothing was changed" in context.guard("units", "install", "--yes", check=True).output and tree() == there
    systemctl("disable", "--now", TIMER)
    assert "enable and start" in context.guard("units", "install", "--yes", check=True).output
    assert systemctl("is-active", TIMER) == "active"
    systemctl("start", WATCH, check=False)
    assert any(TIMER in name for name in tree() if "stamp" in name)
    context.guard("units", "remove", "--yes", check=True)
    assert tree() == before
    assert "certbot-guard" not in systemctl("list-units", "--all", "--no-pager", "--no-legend")
    assert "Nothing" in context.guard("units", "remove", "--yes", check=True).output


def test_a_service_that_has_gone_loses_its_drop_in(context: Context, certbots: Path) -> None:
    context.guard_ini()
    snap = HERE / "snap.certbot.renew.service"
    snap.write_text("[Service]\nExecStart=/bin/true\n")
    installed(context)
    drop_in = HERE / "snap.certbot.renew.service.d"
    assert drop_in.is_dir()
    snap.unlink()
    installed(context)
    assert not drop_in.exists()


def test_a_unit_of_that_name_that_is_not_ours_is_left(context: Context, certbots: Path) -> None:
    context.guard_ini()
    (HERE / WATCH).write_text("[Service]\nExecStart=/bin/true\n")
    before = tree()
    done = context.guard("units", "install", "--yes")
    assert done.returncode == 1 and WATCH in done.output and "Traceback" not in done.output and tree() == before
    (HERE / WATCH).unlink()


def test_what_certbots_unit_died_of_is_told(context: Context, certbots: Path) -> None:
    """Exit code, signal, no program at all, no memory: what no plugin can see."""
    context.guard_ini()
    installed(context)
    script = context.directory / "bin" / "certbot"
    script.write_text("#!/bin/sh\necho 'ModuleNotFoundError: No module named josepy'\nexit 1\n")
    script.chmod(0o755)
    for number, (how, expected) in enumerate([
            (f"ExecStart={script} renew", "josepy"),
            ("ExecStart=/bin/sh -c 'kill -KILL $$$$'", "SIGKILL"),
            (f"ExecStart={script}-that-is-gone renew", "certbot"),
            (f"ExecStart={sys.executable} -c \"bytearray(900000000)\"\nLimitAS=300M", "MemoryError"),
            ("ExecStart=/bin/sleep 60\nTimeoutStartSec=1", "")]):
        fails(certbots, how)
        context.mailbox.wait(number + 1)
        mail = context.mailbox.messages[-1]
        assert expected in mail.subject + mail.text and "certbot.service" in mail.subject + mail.text, mail.text
    assert len(context.mailbox.messages) == 5
    assert "mailto" not in said(TELLER)


def test_a_unit_that_fails_again_while_people_are_told_is_told_of(context: Context, certbots: Path) -> None:
    context.guard_ini()
    installed(context)
    context.mailbox.hang()
    certbots.write_text("[Unit]\nDescription=Certbot\n[Service]\nType=oneshot\nExecStart=/bin/false\n")
    systemctl("daemon-reload")
    systemctl("start", "certbot.service", check=False)
    wait_for(lambda: context.mailbox.connections, 60, "the delivery")
    fail_differently = "ExecStart=/bin/sh -c 'kill -KILL $$$$'"
    certbots.write_text(f"[Unit]\nDescription=Certbot\n[Service]\nType=oneshot\n{fail_differently}\n")
    systemctl("daemon-reload")
    systemctl("start", "certbot.service", check=False)
    context.mailbox.heal()
    wait_for(lambda: systemctl("is-active", TELLER, check=False) not in ("activating", "active"), 120, "its end")
    context.guard("outbox", "flush")
    assert any("SIGKILL" in mail.text for mail in context.mailbox.messages), context.mailbox.messages


def test_a_failure_that_the_plugin_has_told_is_not_told_again(site: Context, certbots: Path) -> None:
    guarded(site)
    installed(site)
    words = [str(program()), "renew", "--force-renewal", *site.home.arguments]
    environment = "\n".join(f'Environment="{name}={value}"' for name, value in site.environment.items())
    with site.ca.answer("directory", STORY_503):
        fails(certbots, f"{environment}\nExecStart={' '.join(words)}")
    site.mailbox.wait(1)
    site.wait_settled()
    assert len(site.mailbox.messages) == 1
    before = invocation(TELLER)
    with site.ca.hold("challenge", times=1) as held:
        systemctl("start", "--no-block", "certbot.service")
        held.wait()
        systemctl("kill", "-s", "KILL", "certbot.service")
    site.apache.wait_serving(20)
    teller_ended(before)
    site.mailbox.wait(2)
    site.wait_settled()
    assert len(site.mailbox.messages) == 2
    healthy(site)


def test_the_boot_unit_brings_apache_back_after_a_power_cut(site: Context, certbots: Path) -> None:
    guarded(site)
    installed(site)
    assert {"apache2.service", "network.target"} <= set(systemctl("show", "-P", "After", RECOVER).split())
    assert RECOVER in systemctl("show", "-P", "Wants", "multi-user.target").split()
    power_cut(site)
    systemctl("start", RECOVER)  # returns when it has ended
    assert site.apache.serving()
    healthy(site)
    site.mailbox.wait(1)
    site.wait_settled()
    before = len(site.mailbox.messages)
    systemctl("start", RECOVER)
    assert len(site.mailbox.messages) == before == 1


def test_an_apache_without_a_unit_outlives_the_boot_unit(context: Context, certbots: Path) -> None:
    context.guarded_site()
    installed(context)
    power_cut(context)
    systemctl("start", RECOVER)
    context.apache.wait_serving(20)
    context.wait_settled()
    assert context.apache.serving()
    pid = context.apache.processes()[0]
    assert unit_of(pid) != RECOVER and "NoNewPrivs:\t0" in Path(f"/proc/{pid}/status").read_text()


def test_the_timer_fires_and_the_watch_finishes_what_is_unfinished(site: Context, certbots: Path) -> None:
    guarded(site)
    installed(site)
    power_cut(site)
    drop_in = HERE / f"{TIMER}.d"
    drop_in.mkdir()
    (drop_in / "soon.conf").write_text("[Timer]\nOnCalendar=\nOnActiveSec=1s\nOnUnitActiveSec=2s\n"
                                       "RandomizedDelaySec=0\nFixedRandomDelay=no\nAccuracySec=10ms\n")
    systemctl("daemon-reload")
    systemctl("restart", TIMER)
    try:
        first = wait_for(lambda: systemctl("show", "-P", "InvocationID", WATCH), 30, "the watch")
        site.apache.wait_serving(60)
        healthy(site)
        wait_for(lambda: systemctl("show", "-P", "InvocationID", WATCH) not in (first, ""), 60, "the next watch")
    finally:
        systemctl("stop", TIMER)
        (drop_in / "soon.conf").unlink()
        drop_in.rmdir()
        systemctl("daemon-reload")
    wait_for(lambda: systemctl("is-active", WATCH, check=False) not in ("activating", "active"), 60, "its end")
    assert ": settled" in said(RECOVER) and ": settled" not in said(WATCH)  # by the unit that has no cage
    assert "Traceback" not in said(WATCH) and "ermission" not in said(WATCH), said(WATCH)
    site.mailbox.wait(1)
    site.wait_settled()


def test_a_python_in_a_path_with_spaces_and_signs(context: Context, certbots: Path) -> None:
    context.guard_ini()
    elsewhere = context.directory / "my env 50% $HOME"
    elsewhere.symlink_to(Path(sys.executable).parent.parent)
    ini = context.directory / "a b%n$x'\\\""
    ini.mkdir()
    (ini / "guard.ini").write_bytes(context.ini.read_bytes())
    (ini / "guard.ini").chmod(0o600)
    done = subprocess.run([elsewhere / "bin" / "python", "-I", "-m", "certbot_guard.cli", "--config", ini / "guard.ini",
                           "units", "install", "--yes"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0 and str(elsewhere) in done.stdout.replace("%%", "%"), done.stdout
    systemctl("start", RECOVER)
    fails(certbots, "ExecStart=/bin/false")
    context.mailbox.wait(1)


def test_the_cage_is_as_tight_as_its_documentation_says(context: Context, certbots: Path) -> None:
    context.guard_ini()
    installed(context)
    documented = (Path(__file__).parents[2] / "docs" / "units.md").read_text("utf-8")
    for unit in (WATCH, TELLER, RECOVER):
        shown = subprocess.run(["systemd-analyze", "security", "--no-pager", unit], stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.STDOUT, check=False, timeout=60).stdout
        level = re.search(r"exposure level for \S+: (\S+)", shown)
        assert level is not None, shown
        row = re.search(rf"\| `{re.escape(unit.replace('@certbot.service', '@'))}` \| (\S+) \|", documented)
        assert row is not None and float(level[1]) <= float(row[1]) + 0.3, (unit, level[1])


@pytest.fixture
def timer(certbots: Path) -> Iterator[None]:
    path = Path("/usr/lib/systemd/system/certbot.timer")
    path.write_text("[Unit]\nDescription=Certbot\n[Timer]\nOnCalendar=*-*-* 00,12:00:00\n[Install]\nWantedBy=timers.target\n")
    systemctl("daemon-reload")
    systemctl("enable", "--now", "certbot.timer")
    yield
    systemctl("disable", "--now", "certbot.timer", check=False)
    path.unlink()
    systemctl("daemon-reload")


def test_a_timer_that_was_switched_off_is_told_by_the_watch_in_its_cage(site: Context, certbots: Path, timer: None) -> None:
    site.guard_ini(more=f"[certbot]\nconfig_dir = {site.home.config}\nlogs_dir = {site.home.logs}\n")
    site.obtain("fresh.guard.test", days_left=80, vhost="")
    for name in [path.stem for path in (site.home.config / "renewal").glob("*.conf") if "fresh" not in path.name]:
        (site.home.config / "renewal" / f"{name}.conf").unlink()
    site.certbot("renew", "--no-random-sleep-on-renew", check=True)
    installed(site)
    systemctl("start", WATCH)
    site.mailbox.stays_at(0, seconds=0.3)
    systemctl("disable", "--now", "certbot.timer")
    systemctl("start", WATCH)  # systemd may only have been slow to answer: the second look in a row tells
    site.mailbox.stays_at(0, seconds=0.3)
    systemctl("start", WATCH, check=False)
    mail, = site.mailbox.stays_at(1, seconds=0.3)
    assert "certbot is not scheduled" in mail.subject, said(WATCH)
    assert "systemctl enable --now certbot.timer" in mail.text, mail.text
    systemctl("start", WATCH, check=False)
    site.mailbox.stays_at(1, seconds=0.3)
    systemctl("enable", "--now", "certbot.timer")
    systemctl("start", WATCH)
    assert "It is scheduled again." in site.mailbox.stays_at(2, seconds=0.3)[1].text


def test_other_units_are_reloaded_after_a_deployment(site: Context, certbots: Path) -> None:
    notes = site.directory / "notes"
    unit = Path("/run/systemd/system/other-daemon.service")
    unit.write_text(f"[Service]\nExecStart=/bin/sleep infinity\nExecReload=/bin/sh -c 'echo reloaded >> {notes}'\n")
    systemctl("daemon-reload")
    systemctl("start", "other-daemon.service")
    guarded(site)
    site.guard_ini(server="control = auto\nmode = stop", more="[deploy]\nalso_reload = other-daemon no-such-daemon\n")
    assert site.renew().returncode == 0
    site.wait_settled()
    systemctl("stop", "other-daemon.service")
    unit.unlink()
    systemctl("daemon-reload")
    healthy(site)
    assert notes.read_text() == "reloaded\n"
    mail, = site.mailbox.stays_at(1, seconds=0.3)
    assert "no-such-daemon not reloaded" in mail.subject and "other-daemon not" not in mail.text
