"""The sentinel, or a hook, is killed or frozen, or our files go away, while Apache is stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

import pytest

import certbot_guard
from tests.support import processes
from tests.support.certbot import Certbot
from tests.support.context import Context, wait_for
from tests.support.faulty_ca import Fault
from tests.support.packages import directories

ONE, TWO = "one.guard.test", "two.guard.test"


def in_the_window(context: Context) -> tuple[Certbot, Fault]:
    """A renewal whose first challenge is not answered before ``release()``: Apache is stopped."""
    held = context.ca.hold("challenge", times=1)
    run = context.renew(wait=False)
    held.wait()
    return run, held


def kill_the_sentinel(context: Context) -> None:
    for pid in context.sentinels():
        os.kill(pid, signal.SIGKILL)
    assert not processes.wait_gone(context.sentinels, 5.0)


# -- a frozen one -----------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_a_pre_hook_that_was_frozen_until_the_run_was_settled_does_not_stop_apache(context: Context) -> None:
    begun, go_on = context.directory / "begun", context.directory / "go-on"
    # The user's own hook comes just before the request to stop: while it runs, ours can be frozen in time.
    context.guarded_site(ONE, pre_hook=f"touch {begun}; while [ ! -e {go_on} ]; do sleep 0.02; done")
    with context.apache.watch() as outage:
        run = context.renew(wait=False)
        wait_for(begun.exists)
        ours = run.hook_pids("pre")
        os.kill(ours[-1], signal.SIGSTOP)
        go_on.touch()
        run.send(signal.SIGKILL)
        run.wait()
        context.wait_event("settled")
        wait_for(lambda: not context.sentinels())
        os.kill(ours[-1], signal.SIGCONT)
        context.wait_settled()
        time.sleep(0.3)
    assert outage.intervals == []
    assert context.apache.serving()
    context.mailbox.stays_at(1, seconds=0.3)


def test_a_stop_request_that_a_frozen_sentinel_hears_after_certbots_death_stops_nothing(context: Context) -> None:
    context.guarded_site(ONE)
    with context.apache.watch() as outage:
        run = context.renew(wait=False)
        context.wait_until("event:lineage", run)
        sentinel, = context.sentinels()
        os.kill(sentinel, signal.SIGSTOP)
        context.wait_until("hook:pre", run)
        time.sleep(1.0)  # the request waits in the sentinel's socket
        run.send(signal.SIGKILL)
        run.wait()
        os.kill(sentinel, signal.SIGCONT)
        context.wait_settled()
        time.sleep(0.3)
    assert outage.intervals == []
    context.mailbox.stays_at(1, seconds=0.3)


def test_a_sentinel_that_was_frozen_for_seconds_brings_apache_back_and_the_renewal_succeeds(context: Context) -> None:
    context.guarded_site(ONE)
    run, held = in_the_window(context)
    sentinel, = context.sentinels()
    os.kill(sentinel, signal.SIGSTOP)
    held.release()
    time.sleep(4.0)
    assert run.running  # it waits for Apache
    os.kill(sentinel, signal.SIGCONT)
    assert run.wait().returncode == 0
    assert context.apache.serving()
    context.wait_settled()
    assert context.home.version(ONE) == 2
    context.mailbox.stays_at(0, seconds=0.3)


# -- a dead one -------------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_without_a_sentinel_the_deploy_hook_brings_apache_back_and_the_renewal_succeeds(context: Context) -> None:
    context.guarded_site(ONE)
    run, held = in_the_window(context)
    kill_the_sentinel(context)
    held.release()
    context.wait_until("hook:deploy", run)
    context.apache.wait_serving(5)
    assert run.wait().returncode == 0
    context.wait_settled()
    assert context.home.version(ONE) == 2
    assert context.apache.serving()
    context.mailbox.stays_at(0, seconds=0.3)


def test_without_a_sentinel_apache_is_back_before_the_next_lineage_which_gets_a_sentinel_of_its_own(
        context: Context) -> None:
    context.guarded_site(ONE, TWO)
    context.ca.invalid_challenge(ONE, "no")
    with context.apache.watch() as outage:
        run, held = in_the_window(context)
        kill_the_sentinel(context)
        held.release()
        assert run.wait().returncode == 1
        context.wait_settled()
    assert (context.home.version(ONE), context.home.version(TWO)) == (1, 2)
    assert len(outage.intervals) == 2, "a window for each lineage, and Apache serves in between"
    assert not outage.down
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    assert ONE in mail.text


def test_without_a_sentinel_apache_is_back_after_a_failure_of_the_only_lineage(context: Context) -> None:
    context.guarded_site(ONE)
    context.ca.invalid_challenge(ONE, "no")
    run, held = in_the_window(context)
    kill_the_sentinel(context)
    held.release()
    assert run.wait().returncode == 1
    assert context.apache.serving(), "certbot ends with Apache serving"
    context.wait_settled()
    context.mailbox.stays_at(1, seconds=0.3)


def kill_both(context: Context, run: Certbot, held: Fault) -> None:
    """At once; the sentinel first, since it would act on certbot's death."""
    sentinels = context.sentinels()
    assert sentinels
    for pid in (*sentinels, run.pid):
        os.kill(pid, signal.SIGKILL)
    run.wait()
    held.release(forward=False)
    context.wait_settled()
    assert not context.apache.serving()


@pytest.mark.core
def test_recover_brings_apache_back_after_certbot_and_the_sentinel_were_killed_together(context: Context) -> None:
    context.guarded_site(ONE)
    kill_both(context, *in_the_window(context))
    done = context.guard("recover")
    assert context.apache.serving()
    assert done.returncode == 0
    context.wait_settled()
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    assert ONE in mail.text and "certbot died" in mail.text
    assert context.guard("recover").returncode == 0
    context.mailbox.stays_at(1, seconds=0.3)


def test_the_next_renewal_brings_apache_back_and_tells_of_the_run_that_was_killed(context: Context) -> None:
    context.guarded_site(ONE)
    kill_both(context, *in_the_window(context))
    run = context.renew()
    assert run.returncode == 0, run.output
    assert context.apache.serving()
    context.wait_settled()
    assert context.home.version(ONE) == 2
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    assert "certbot died" in mail.text


def test_a_sentinel_that_was_started_again_keeps_to_max_outage(context: Context) -> None:
    """Under systemd that is what happens to one that is killed; the limit counts from the stop all the same."""
    limit = 8.0
    context.guarded_site(ONE, server=f"max_outage = {limit:.0f}s\n")
    with context.apache.watch() as outage:
        run, held = in_the_window(context)
        kill_the_sentinel(context)
        opened = wait_for(lambda: next((context.state / "runs").iterdir(), None))
        again = subprocess.Popen([sys.executable, "-I", "-m", "certbot_guard.sentinel", str(opened)], cwd="/",
                                 env=context.environment, start_new_session=True)
        run.wait()
        held.release(forward=False)
        context.apache.wait_serving(limit)
        again.wait(20)
        context.wait_settled()
    assert run.returncode == 1
    # Its steps are two seconds apart and start a quarter of the limit early; the rest is for a slow machine.
    assert outage.longest < limit + 2.0
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    assert "max_outage" in mail.text


# -- our own files ----------------------------------------------------------------------------------------------------


class Installed:
    """An installation of its own: certbot-guard as a copy, everything else from where the tests run."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.directory = context.directory / "installed"
        venv.create(self.directory, with_pip=False, symlinks=True)
        self.package = self.directory / "copy" / "certbot_guard"
        shutil.copytree(Path(certbot_guard.__file__).parent, self.package,
                        ignore=shutil.ignore_patterns("__pycache__"))
        site = Path(sysconfig.get_path("purelib", vars={"base": str(self.directory)}))
        # As a line of a .pth the others' own .pth files, and so the editable installation, are not followed.
        (site / "of-the-test.pth").write_text("".join(f"{path}\n" for path in (self.package.parent, *directories())))
        self.certbot = self.directory / "bin" / "certbot"
        self.certbot.write_text(f"#!{self.directory}/bin/python\nimport sys\nfrom certbot.main import main\n"
                                "sys.exit(main())\n")
        self.certbot.chmod(0o755)

    def renew(self) -> Certbot:
        return self._context._run([str(self.certbot), "renew", "--force-renewal", *self._context.home.arguments],
                                  False, None, "/", False, 90.0)

    def remove(self) -> None:
        shutil.rmtree(self.package)

    def replace(self) -> None:
        """By a version whose modules cannot be used from here."""
        for path in self.package.rglob("*.py"):
            path.write_text("raise RuntimeError('of another version')\n")


@pytest.mark.parametrize("how", ["removed", "replaced"])
@pytest.mark.parametrize("killed", [True, False], ids=["and certbot is killed", "and certbot goes on"])
def test_our_package_goes_away_with_apache_stopped(context: Context, how: str, killed: bool) -> None:
    context.guarded_site(ONE)
    installed = Installed(context)
    with context.apache.watch() as outage:
        held = context.ca.hold("challenge", times=1)
        run = installed.renew()
        held.wait()
        assert str(installed.directory) in " ".join(processes.arguments_of(context.sentinels()[0]))
        installed.remove() if how == "removed" else installed.replace()
        if killed:
            run.send(signal.SIGKILL)
        held.release()
        run.wait()
        context.wait_settled()
        assert not outage.down
        assert outage.longest < 15.0
    assert context.home.version(ONE) == (1 if killed else 2)
    # What could not be said for want of a program is said by whoever comes next.
    assert context.guard("recover").returncode == 0
    context.wait_settled()
    context.mailbox.stays_at(1, seconds=0.3)
    assert "certbot_guard" not in context.home.conf_path(ONE).read_text()
