"""A window ends when Apache serves, not when somebody says so: deaths between two steps, and hooks that interfere."""

from __future__ import annotations

import os
import signal
import time

import pytest

from certbot_guard.keeper import SECOND_LOOK_SECONDS
from certbot_guard.servers import sockets
from tests.support import processes
from tests.support.context import Context, wait_for

ONE, TWO = "one.guard.test", "two.guard.test"


def control_program(context: Context) -> str:
    """What a user's hook calls to stop or start Apache."""
    path = context.directory / "bin" / "control"
    path.write_text(f'#!/bin/sh\nexec {context.apache.program} "$1"\n')
    path.chmod(0o755)
    return "control"


def signal_sentinels(context: Context, number: int) -> None:
    for pid in context.sentinels():
        os.kill(pid, number)


def kill_sentinels(context: Context) -> None:
    signal_sentinels(context, signal.SIGKILL)


@pytest.mark.core
def test_a_sentinel_that_dies_between_the_stop_and_its_answer_leaves_no_apache_down(context: Context) -> None:
    context.guarded_site(ONE)
    held = context.ca.hold("challenge", times=1)
    run = context.renew(wait=False)
    wait_for(context.sentinels)
    while sockets.is_listening(context.apache.http_port) and run.running:
        pass
    kill_sentinels(context)
    held.release()
    run.wait()
    context.wait_settled()
    assert context.apache.serving()
    assert context.guard("recover").returncode == 0 and context.apache.serving()


def test_a_sentinel_that_dies_while_the_users_hook_stops_apache_leaves_none_down(context: Context) -> None:
    mark = context.directory / "mark"
    context.guarded_site(ONE, pre_hook=f"{control_program(context)} stop; touch {mark}; sleep 1")
    run = context.renew(wait=False)
    wait_for(mark.exists)
    kill_sentinels(context)
    run.wait()
    context.wait_settled()
    assert context.apache.serving()


def test_a_slow_hook_that_stops_apache_after_an_earlier_window_is_not_taken_for_a_persons_decision(
        context: Context) -> None:
    context.obtain(ONE)
    context.obtain(TWO, pre_hook=f"{control_program(context)} stop; sleep 3")
    context.guard_ini()
    context.apache.start()
    run = context.renew()
    context.wait_settled()
    assert run.returncode == 0 and context.home.version(TWO) == 2
    assert context.apache.serving() and not context.events("left-down")
    context.mailbox.stays_at(0, seconds=0.3)


def test_a_hook_that_stops_apache_where_it_may_not_be_stopped_has_it_brought_back(context: Context) -> None:
    hook = f"{control_program(context)} stop; cp {context.ini} {context.apache.certificate}"
    spare = context.apache.certificate.read_bytes()
    context.guarded_site(ONE, pre_hook=hook)  # from then on Apache's certificate is none: a stop is refused
    context.renew()
    context.wait_event("start-failed")
    context.apache.certificate.write_bytes(spare)
    context.apache.wait_serving(60)
    context.wait_settled(60)


def test_an_apache_that_dies_after_the_run_was_settled_is_told_of_and_found_by_recover(context: Context) -> None:
    context.guarded_site(ONE)
    context.leaves_processes = True
    with context.ca.invalid_challenge(ONE, "no such page"):
        for number in range(1, 9):
            run = context.renew(wait=False)
            serving = context.wait_event("serving", count=number)
            context.wait_event("exit", count=number)
            signal_sentinels(context, signal.SIGSTOP)
            if time.monotonic() < serving["mono"] + SECOND_LOOK_SECONDS - 0.1:
                break
            # On a busy machine the sentinel has looked for the second time before certbot has ended.
            signal_sentinels(context, signal.SIGCONT)
            run.wait()
            context.wait_settled()
    run.wait()
    context.wait_event("settled", count=number)
    context.apache.break_configuration()
    context.apache.kill()
    signal_sentinels(context, signal.SIGCONT)
    down = context.mailbox.wait(2)[1]
    assert "DOWN" in down.subject and "ThisDirectiveDoesNotExist" in down.text
    kill_sentinels(context)
    assert not processes.wait_gone(context.sentinels, 5)
    found = context.guard("recover")
    assert found.returncode == 1 and "does not serve" in found.output
    context.apache.mend_configuration()
    context.apache.wait_serving(60)
    assert "again" in context.mailbox.wait(3)[2].subject


def test_a_stop_that_takes_effect_after_it_was_given_up_leaves_no_apache_down(context: Context) -> None:
    context.guarded_site(ONE)
    parent = context.apache.parent_pid()
    run = context.renew(wait=False)
    context.wait_until("hook:pre", run)
    os.kill(parent, signal.SIGSTOP)  # its workers answer on
    context.wait_event("serving", 40)
    os.kill(parent, signal.SIGCONT)
    run.wait()
    wait_for(lambda: context.apache.parent_pid() not in (None, parent), 30)
    context.apache.wait_serving(30)
    for pid in context.sentinels():  # it would look for three minutes
        os.kill(pid, signal.SIGTERM)
    context.wait_settled()


def test_a_renewal_of_a_subset_of_names_has_one_window_for_both_of_its_challenges(context: Context) -> None:
    context.obtain(ONE, domains=[ONE, "dead.guard.test"], allow_subset_of_names="True")
    context.guard_ini()
    context.apache.start()
    context.world.pebble.resolve("dead.guard.test", "0.0.0.1")
    with context.apache.watch() as outage:
        run = context.renew("--dry-run", "--allow-subset-of-names")
        context.wait_settled()
    assert run.returncode == 0 and len(outage.intervals) == 1
    context.mailbox.stays_at(0, seconds=0.3)


def test_max_outage_holds_where_apache_was_started_too_early(context: Context) -> None:
    context.guarded_site(ONE, server="max_outage = 6s")
    held = context.ca.hold("challenge", times=1)
    with context.apache.watch() as outage:
        run = context.renew(wait=False)
        held.wait()
        asked = context.guard_socket({"do": "close", "by": "challenge"})  # the words came, certbot listens on
        assert asked is not None and not asked["ok"]
        run.wait()
        context.wait_settled()
    held.release(forward=False)
    assert context.apache.serving() and outage.longest < 12


def test_each_lineage_has_its_own_mode(context: Context) -> None:
    context.obtain("a.guard.test", authenticator="webroot", guard_mode="reload")
    context.obtain("b.guard.test")
    context.guard_ini()
    context.apache.start()
    run = context.renew()
    context.wait_settled()
    assert run.returncode == 0, run.output
    assert context.home.version("a.guard.test") == context.home.version("b.guard.test") == 2


def test_a_second_sentinel_leaves_the_first_one_its_socket(context: Context) -> None:
    context.guarded_site(ONE)
    held = context.ca.hold("challenge", times=1)
    run = context.renew(wait=False)
    held.wait()
    second = context.start_sentinel()
    assert second.wait(20) == 0
    held.release()
    assert run.wait().returncode == 0
    context.wait_settled()
    closing, = context.events("closing")
    assert closing["by"] == "challenge" and context.apache.serving()


def test_recover_does_not_say_that_nothing_was_unfinished_where_it_cannot_know(context: Context) -> None:
    context.guarded_site(ONE)
    held = context.ca.hold("challenge", times=1)
    run = context.renew(wait=False)
    held.wait()
    kill_sentinels(context)
    run.send(signal.SIGKILL)
    run.wait()
    held.release(forward=False)
    context.ini.chmod(0o666)  # not believed, so the state directory it names is not known
    unknown = context.guard("recover")
    assert unknown.returncode == 1 and "Nothing was unfinished" not in unknown.output and str(context.ini) in unknown.output
    context.ini.chmod(0o600)
    assert context.guard("recover").returncode == 0 and context.apache.serving()


def test_the_alarm_goes_out_when_the_mail_server_is_back_though_apache_is_still_down(context: Context) -> None:
    context.guarded_site(ONE)
    context.mailbox.refuse()
    with context.ca.hold("challenge", times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        context.apache.break_configuration()
        held.release()
        run.wait()
    context.mailbox.heal()
    assert "DOWN" in context.mailbox.wait(1, timeout=75)[0].subject
    assert not context.apache.serving()
    context.apache.mend_configuration()
    context.apache.wait_serving(60)
    context.wait_settled(60)
