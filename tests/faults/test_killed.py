"""certbot gets a signal at the worst moments: Apache serves again, people are told once, no hook of ours stays behind.

Some signals at some moments end nothing. certbot leaves its handlers installed once it has asked for a challenge, and
those only note SIGTERM and SIGHUP: a run that ends in success all the same (exit code 0) has nothing to tell.
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.support.certbot import Certbot
from tests.support.context import Context, Moment

# The promise is 2 s. Twice that is asserted: the machine that runs the tests has other work, too.
SERVING_SECONDS = 4.0
NAME = "one.guard.test"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
MOMENTS = {
    "the pre hook": "hook:pre",
    "the challenge": "challenge",
    "finalize": "finalize",
    "the save": "saved",
    "the deploy hook": "hook:deploy",
    "restart": "event:deployed",
    "the reload": "Doing graceful restart",
    "the post hook": "hook:post",
}


def table() -> list:
    return [pytest.param(moment, number, id=f"{number.name} in {moment}",
                         marks=[pytest.mark.core] if number == signal.SIGKILL else [])
            for moment in MOMENTS for number in SIGNALS]


def moment_of(context: Context, moment: str) -> Moment:
    """One the harness knows, or that Apache has logged these words."""
    return (lambda: moment in context.apache.log_tail()) if " " in moment else moment


def assert_the_promises_hold(context: Context, run: Certbot, intervals: list, number: int) -> None:
    since = run.killed_at if run.returncode == -number else run.ended_at
    assert since is not None
    late = [(end - since) for _, end in intervals if end - since >= SERVING_SECONDS]
    assert not late, f"Apache was down until {late} s after certbot was gone"
    assert context.apache.serving()
    assert "certbot_guard" not in context.home.conf_path(NAME).read_text()
    assert context.home.conf(NAME)["renewalparams"]["installer"] == "guard"
    told = 0 if run.returncode == 0 else 1
    context.mailbox.stays_at(told, seconds=0.3)


def assert_the_new_certificate_is_served(context: Context) -> None:
    served = context.apache.served_certificate(NAME)
    assert served is not None and served.serial_number == context.home.certificate(NAME).serial_number


@pytest.mark.parametrize("moment, number", table())
def test_a_signal_leaves_apache_serving_and_people_told(context: Context, moment: str, number: signal.Signals) -> None:
    context.guarded_site(NAME)
    with context.apache.watch() as outage:
        run = context.kill_at(moment_of(context, MOMENTS[moment]), number=number)
        context.wait_settled()
        assert not outage.down
    if number == signal.SIGKILL:
        assert run.returncode == -signal.SIGKILL
    print(f"exit {run.returncode}, renewed {context.home.version(NAME) == 2}, mails {context.mailbox.messages}")
    assert_the_promises_hold(context, run, outage.intervals, number)
    if context.home.version(NAME) == 2:  # saved: whoever came too late to reload Apache, it is done
        assert_the_new_certificate_is_served(context)
        assert not any("not renewed" in mail.subject + mail.text for mail in context.mailbox.messages)


@pytest.mark.core
@pytest.mark.parametrize("moment", ["pre hook", "challenge", "deploy hook"])
def test_sigkill_of_everything_that_certbot_started_leaves_apache_serving(context: Context, moment: str) -> None:
    context.guarded_site(NAME)
    with context.apache.watch() as outage:
        if moment == "challenge":
            with context.ca.hold("challenge", times=1) as held:
                run = context.renew(wait=False)
                held.wait()
                kill_group(run)
        else:
            run = context.renew(wait=False)
            context.wait_until(f"hook:{moment.split()[0]}", run)
            kill_group(run)
        run.wait()
        context.wait_settled()
        assert not outage.down
    assert_the_promises_hold(context, run, outage.intervals, signal.SIGKILL)


def kill_group(run: Certbot) -> None:
    """certbot and its hooks at once, as a terminal that closes or a cgroup that ends does it."""
    run.killed_at = time.monotonic()
    os.killpg(run.pid, signal.SIGKILL)
