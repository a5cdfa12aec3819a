"""What is tested inside the box: Debian's own apache2.service, certbot as a person, as cron and as a unit start it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from tests.support import processes
from tests.support.certbot import program
from tests.support.context import Context, World, wait_for
from tests.support.site import Site

UNIT = "apache2.service"


def systemctl(*words: str, check: bool = True) -> str:
    done = subprocess.run(["systemctl", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60, check=False)
    if check and done.returncode:
        raise AssertionError(f"systemctl {' '.join(words)}: {done.stdout}")
    return done.stdout.strip()


def unit_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text().strip().rpartition("/")[2]


class UnitSite(Site):
    """The distribution's Apache, as its unit runs it, with a test's own configuration in /etc/apache2."""

    def install(self) -> None:
        for name in ("apache2.conf", "envvars"):
            target = Path("/etc/apache2") / name
            if target.is_symlink() or target.exists():
                target.unlink()
            target.symlink_to(self.root / name)

    def start(self) -> UnitSite:
        systemctl("reset-failed", check=False)
        systemctl("start", UNIT)
        self.wait_serving()
        return self

    def processes(self) -> list[int]:
        found = []
        for path in Path("/sys/fs/cgroup/system.slice").glob("apache2.service/cgroup.procs"):
            try:
                found += [int(word) for word in path.read_text().split()]
            except OSError:
                pass
        return found

    def close(self) -> None:
        systemctl("unmask", UNIT, check=False)
        systemctl("kill", "-s", "KILL", UNIT, check=False)
        systemctl("stop", UNIT, check=False)
        systemctl("reset-failed", check=False)


@pytest.fixture
def site(world: World) -> Iterator[Context]:
    """A context whose Apache is the unit, and a lineage that it serves; the guard finds the unit by itself."""
    context = Context(world)
    shutil.rmtree(context.apache.root)
    root = Path("/srv") / context.directory.name  # the unit has a /tmp of its own
    context.apache = UnitSite(root, http_port=world.http_port, https_port=world.https_port)
    context.apache.install()
    for name in ("APACHE_CONFDIR", "APACHE_ENVVARS"):
        context.environment.pop(name)
    yield context
    left = context.close()
    assert not left, left


def guarded(context: Context, *names: str, server: str = "control = auto\nmode = stop") -> None:
    """Stopped for each challenge, unless ``server`` says otherwise: these tests are about stops."""
    for name in names or ("one.guard.test",):
        context.obtain(name)
    context.guard_ini(server=server)
    context.apache.start()


def in_a_unit(context: Context, *arguments: str) -> None:
    """``certbot renew`` as a oneshot service, as the distribution's timer starts it."""
    environment = [f"--setenv={name}={value}" for name, value in context.environment.items()]
    subprocess.run(["systemd-run", "--quiet", "--unit=renewal", "--service-type=oneshot", "--no-block",
                    "--property=RemainAfterExit=no", *environment, str(program()), "renew", "--force-renewal",
                    *arguments, *context.home.arguments], check=True, timeout=30)


def unit_ended(seconds: float = 60.0) -> None:
    wait_for(lambda: systemctl("is-active", "renewal.service", check=False) not in ("active", "activating", "deactivating"),
             seconds, "the end of renewal.service")


def healthy(context: Context) -> None:
    """Apache serves, in its own unit and nowhere else."""
    context.apache.wait_serving()
    wait_for(lambda: systemctl("is-active", UNIT, check=False) == "active", 20.0, f"{UNIT} to be active")
    pid = int(systemctl("show", "-P", "MainPID", UNIT))
    assert unit_of(pid) == UNIT


def test_a_challenge_passes_through_the_unit_and_nothing_stays_where_certbots_unit_is_killed(site: Context) -> None:
    configuration = site.apache.configuration
    configuration.write_text(configuration.read_text().replace("vhost[s]", "vhosts"))
    guarded(site, "one.guard.test", "two.guard.test", server="control = auto")
    file = site.apache.vhosts / "zzz-certbot-guard.conf"
    with site.apache.watch() as outage:
        in_a_unit(site)
        unit_ended()
        site.wait_settled()
        assert [site.home.version(f"{name}.guard.test") for name in ("one", "two")] == [2, 2]
        assert len(site.events("proxy-placed")) == 2 and not site.events("stopping") and not file.exists()
        with site.ca.hold("challenge", times=1) as held:
            in_a_unit(site)
            held.wait()
            assert file.exists()
            systemctl("kill", "-s", "KILL", "renewal.service")
            unit_ended()
            held.release(forward=False)
        site.wait_settled()
    assert not file.exists() and outage.intervals == []
    assert "certbot died" in site.mailbox.wait(1)[0].text
    healthy(site)


def test_a_renewal_of_two_lineages(site: Context) -> None:
    guarded(site, "one.guard.test", "two.guard.test")
    with site.apache.watch() as outage:
        site.renew(check=True)
    healthy(site)
    assert len(outage.durations) == 2, outage.durations
    assert site.home.version("one.guard.test") == site.home.version("two.guard.test") == 2
    served = site.apache.served_certificate("two.guard.test")
    assert served is not None and served.serial_number == site.home.certificate("two.guard.test").serial_number
    site.wait_settled()
    assert not site.mailbox.messages


def test_a_visitor_who_downloads_slowly_keeps_nobody_out(site: Context) -> None:
    guarded(site)
    with site.apache.slow_visitor(), site.apache.watch() as outage:
        site.renew(check=True)
        healthy(site)
    assert outage.longest < 10, outage.durations  # the challenge, drain (2 s), and a slow machine
    site.wait_settled()
    assert not site.mailbox.messages


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_certbot_is_killed_during_the_challenge(site: Context, number: int) -> None:
    guarded(site)
    site.kill_at("challenge", number=number)
    assert site.apache.wait_serving(20) < 4  # 0.1 s where nothing else runs
    healthy(site)
    site.mailbox.wait(1)
    site.wait_settled()
    assert len(site.mailbox.messages) == 1


def test_the_sentinel_is_a_unit_of_its_own_and_is_restarted(site: Context) -> None:
    guarded(site)
    with site.ca.hold("challenge", times=1) as held:
        run = site.renew(wait=False)
        held.wait()
        sentinel, = site.sentinels()
        assert unit_of(sentinel).startswith("certbot-guard-")
        os.kill(sentinel, signal.SIGKILL)
        wait_for(lambda: site.sentinels() and site.sentinels() != [sentinel], what="another sentinel")
        time.sleep(0.5)
        run.send(signal.SIGKILL)
    run.wait()
    healthy(site)
    site.mailbox.wait(1)
    site.wait_settled()


def test_certbots_unit_ends_well(site: Context) -> None:
    guarded(site)
    in_a_unit(site)
    wait_for(lambda: site.home.version("one.guard.test") == 2, 60, "the renewal")
    unit_ended()
    time.sleep(0.5)
    healthy(site)
    site.wait_settled()
    assert not site.mailbox.messages


@pytest.mark.parametrize("how", ["stopped", "killed", "cgroup"])
def test_certbots_unit_is_ended_in_the_window(site: Context, how: str) -> None:
    guarded(site)
    with site.ca.hold("challenge", times=1) as held:
        in_a_unit(site)
        held.wait()
        if how == "stopped":
            systemctl("stop", "renewal.service")
        elif how == "killed":
            systemctl("kill", "-s", "KILL", "renewal.service")
        else:
            Path("/sys/fs/cgroup/system.slice/renewal.service/cgroup.kill").write_text("1")
    assert site.apache.wait_serving(20) < 4
    unit_ended()
    healthy(site)
    site.mailbox.wait(1)
    site.wait_settled()
    assert len(site.mailbox.messages) == 1
    systemctl("reset-failed", check=False)


def test_a_failure_in_certbots_unit_is_told_before_the_unit_ends(site: Context) -> None:
    from tests.support.faulty_ca import STORY_503

    guarded(site)
    with site.ca.answer("directory", STORY_503):
        in_a_unit(site)
        unit_ended()
    site.mailbox.wait(1)
    healthy(site)
    site.wait_settled()
    assert len(site.mailbox.messages) == 1
    systemctl("reset-failed", check=False)


def test_a_service_that_requires_apache_runs_again(site: Context) -> None:
    Path("/etc/systemd/system/dependent.service").write_text(
        f"[Unit]\nRequires={UNIT}\nAfter={UNIT}\n[Service]\nExecStart=/bin/sleep infinity\n")
    systemctl("daemon-reload")
    try:
        guarded(site)
        systemctl("start", "dependent.service")
        site.renew(check=True)
        healthy(site)
        wait_for(lambda: systemctl("is-active", "dependent.service", check=False) == "active", 10, "dependent.service")
        site.wait_settled()
    finally:
        systemctl("stop", "dependent.service", check=False)


def test_the_start_limit_is_no_obstacle(site: Context) -> None:
    guarded(site)
    with site.ca.hold("challenge", times=1) as held:
        run = site.renew(wait=False)
        held.wait()
        site.apache.configuration.rename(site.apache.root / "away")
        for _ in range(8):  # a unit that fails to start again and again runs into its limit
            systemctl("start", UNIT, check=False)
        (site.apache.root / "away").rename(site.apache.configuration)
        run.send(signal.SIGKILL)
    run.wait()
    healthy(site)
    site.mailbox.wait(1)
    site.wait_settled()


def test_a_unit_that_a_person_masked_is_left_and_told(site: Context) -> None:
    guarded(site)
    with site.ca.hold("challenge", times=1) as held:
        run = site.renew(wait=False)
        held.wait()
        systemctl("mask", "--runtime", UNIT)
        run.send(signal.SIGKILL)
    run.wait()
    site.mailbox.wait(1)
    site.wait_settled()
    assert systemctl("is-active", UNIT, check=False) != "active"
    assert "mask" in site.mailbox.messages[0].text
    systemctl("unmask", "--runtime", UNIT)


def power_cut(context: Context) -> None:
    """certbot and sentinel vanish at once in the window, and nothing of that boot is left; the run's record is."""
    with context.ca.hold("challenge", times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        for pid in context.sentinels():
            unit = unit_of(pid)
            systemctl("stop", unit, check=False)
            systemctl("kill", "-s", "KILL", unit, check=False)
        run.send(signal.SIGKILL)
        run.wait()
        processes.wait_gone(context.sentinels, 5)
        for record in context.state.rglob("run.json"):
            record.write_text(record.read_text().replace(
                Path("/proc/sys/kernel/random/boot_id").read_text().strip(), "another-boot"))
    assert not context.apache.serving()


def test_after_a_reboot_recover_finishes_the_run(site: Context) -> None:
    guarded(site)
    power_cut(site)
    done = site.guard("recover")
    healthy(site)
    assert done.returncode == 0, done.output
    site.mailbox.wait(1)
    site.wait_settled()
    assert len(site.mailbox.messages) == 1


def test_an_apache_without_a_unit_outlives_the_sentinels_unit(new_context: Callable[..., Context]) -> None:
    context = new_context()
    context.guarded_site()
    context.kill_at("challenge")
    context.apache.wait_serving()
    context.wait_settled()
    time.sleep(1)
    assert context.apache.serving()

