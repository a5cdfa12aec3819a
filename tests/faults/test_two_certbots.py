"""Two certbots at once: with one configuration directory, or with two and one Apache. One window at a time."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from tests.support.certbot import Certbot, Home
from tests.support.context import Context, wait_for
from tests.support.faulty_ca import Answer

ONE, TWO = "one.guard.test", "two.guard.test"
# What a certbot that has to wait may take on top of what it would take alone, on a busy machine.
SERVING_SECONDS = 6.0


def second_home(context: Context, own_state: bool = False, **options: Any) -> Home:
    """Another set of certbot's directories, with a lineage and the settings of the first; Apache not started yet."""
    home = context.new_home("second")
    context.obtain(TWO, home=home, **options)
    text = context.ini.read_text()
    if own_state:
        text = text.replace(str(context.state), str(context.directory / "second-state"))
    path = home.config / "guard.ini"
    path.write_text(text)
    path.chmod(0o600)
    return home


def two_sites(context: Context, own_state: bool = False) -> Home:
    context.obtain(ONE)
    context.guard_ini()
    home = second_home(context, own_state=own_state)
    context.apache.start()
    return home


def challenges(context: Context, name: str) -> list[float]:
    return [request.at for request in context.ca.seen("challenge") if name in request.names]


def assert_each_outage_is_one_lineages(context: Context, intervals: list) -> None:
    """Every challenge happened while Apache was away, and no two in the same outage: it served between them."""
    owners = [[name for name in (ONE, TWO) for at in challenges(context, name) if begin < at < end]
              for begin, end in intervals]
    assert sorted(name for found in owners for name in found) == [ONE, TWO], owners
    assert all(len(found) <= 1 for found in owners), owners


def waits_for_the_other(context: Context, run: Certbot, name: str, seconds: float = 2.0) -> None:
    """``run`` is so far that it could come to its challenge, and does not."""
    wait_for(lambda: len(context.sentinels()) == 2, what="the second run's sentinel")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert run.running, run.output
        assert not [request for request in context.ca.seen("challenge") if name in request.names]
        time.sleep(0.05)


# -- one configuration directory -------------------------------------------------------------------------------------


@pytest.mark.core
def test_a_second_certbot_of_the_same_directory_is_told_once_as_not_having_run(context: Context) -> None:
    context.guarded_site(ONE)
    with context.apache.watch() as outage, context.ca.hold("challenge", times=1) as held:
        first = context.renew(wait=False)
        held.wait()
        second = context.renew()
        mail = context.mailbox.wait(1)[0]
        assert first.running and outage.down  # and the first one's window is still its own
        held.release()
        first.wait()
        context.wait_settled()
        assert not outage.down
    assert second.returncode == 1 and "Another instance of Certbot is already running" in second.output
    assert "Another instance of Certbot is already running" in mail.text
    assert first.returncode == 0 and context.home.version(ONE) == 2 and len(outage.intervals) == 1
    context.mailbox.stays_at(1, seconds=0.3)


def test_certbots_of_the_same_directory_one_after_the_other_have_nothing_to_tell(context: Context) -> None:
    context.guarded_site(ONE)
    assert [context.renew().returncode, context.renew().returncode] == [0, 0]
    context.wait_settled()
    assert context.home.version(ONE) == 3 and context.apache.serving()
    context.mailbox.stays_at(0, seconds=0.3)


# -- two configuration directories, one Apache -----------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize("own_state", [False, True], ids=["one state directory", "two state directories"])
def test_two_certbots_with_one_apache_both_renew_and_have_their_windows_one_after_the_other(
        context: Context, own_state: bool) -> None:
    home = two_sites(context, own_state)
    with context.apache.watch() as outage:
        runs = [context.renew(wait=False), context.renew(wait=False, home=home)]
        for run in runs:
            run.wait()
        context.wait_settled()
        assert not outage.down
    assert [run.returncode for run in runs] == [0, 0], [run.output for run in runs]
    assert context.home.version(ONE) == 2 and home.version(TWO) == 2
    assert_each_outage_is_one_lineages(context, outage.intervals)
    assert context.apache.served_certificate(ONE) == context.home.certificate(ONE)
    assert context.apache.served_certificate(TWO) == home.certificate(TWO)
    context.mailbox.stays_at(0, seconds=0.3)


def test_a_certbot_waits_while_another_ones_challenge_has_the_port(context: Context) -> None:
    home = two_sites(context)
    with context.apache.watch() as outage, context.ca.hold("challenge", name=ONE, times=1) as held:
        first = context.renew(wait=False)
        held.wait()
        second = context.renew(wait=False, home=home)
        waits_for_the_other(context, second, TWO)
        held.release()
        first.wait()
        second.wait()
        context.wait_settled()
        assert not outage.down
    assert (first.returncode, second.returncode) == (0, 0), second.output
    assert_each_outage_is_one_lineages(context, outage.intervals)
    context.mailbox.stays_at(0, seconds=0.3)


@pytest.mark.core
@pytest.mark.parametrize("own_state", [False, True], ids=["one state directory", "two state directories"])
def test_one_is_killed_in_its_window_while_the_other_waits(context: Context, own_state: bool) -> None:
    home = two_sites(context, own_state)
    with context.apache.watch() as outage, context.ca.hold("challenge", name=ONE, times=1) as held:
        first = context.renew(wait=False)
        held.wait()
        second = context.renew(wait=False, home=home)
        waits_for_the_other(context, second, TWO)
        first.send(signal.SIGKILL)
        first.wait()
        second.wait()
        context.wait_settled()
        assert not outage.down
    assert second.returncode == 0 and home.version(TWO) == 2, second.output
    assert context.home.version(ONE) == 1
    assert_each_outage_is_one_lineages(context, outage.intervals)
    assert outage.intervals[0][1] - (first.killed_at or 0) < SERVING_SECONDS
    mail = context.mailbox.stays_at(1, seconds=0.3)[0]
    assert "certbot died" in mail.subject and ONE in mail.text and TWO not in mail.text


def test_one_is_killed_while_it_waits_and_the_other_is_not_disturbed(context: Context) -> None:
    home = two_sites(context)
    with context.apache.watch() as outage, context.ca.hold("challenge", name=ONE, times=1) as held:
        first = context.renew(wait=False)
        held.wait()
        second = context.renew(wait=False, home=home)
        waits_for_the_other(context, second, TWO)
        second.send(signal.SIGKILL)
        second.wait()
        wait_for(lambda: len(context.sentinels()) == 1, what="the end of the killed run's sentinel")
        assert outage.down  # nobody has started Apache into the other one's challenge
        held.release()
        first.wait()
        context.wait_settled()
        assert not outage.down
    assert first.returncode == 0 and context.home.version(ONE) == 2, first.output
    assert len(outage.intervals) == 1
    mail = context.mailbox.stays_at(1, seconds=0.3)[0]
    assert "certbot died" in mail.subject and "DOWN" not in mail.subject  # for the other one's challenge only


def test_one_fails_and_the_other_renews(context: Context) -> None:
    home = two_sites(context)
    context.ca.invalid_challenge(ONE, "no such page")
    with context.apache.watch() as outage:
        runs = [context.renew(wait=False), context.renew(wait=False, home=home)]
        for run in runs:
            run.wait()
        context.wait_settled()
        assert not outage.down
    assert [run.returncode for run in runs] == [1, 0]
    assert_each_outage_is_one_lineages(context, outage.intervals)
    mail = context.mailbox.stays_at(1, seconds=0.3)[0]
    assert ONE in mail.text and "no such page" in mail.text and TWO not in mail.text


def test_a_certbot_that_reloads_apache_during_anothers_window_has_its_certificate_served_afterwards(
        context: Context) -> None:
    """Its own challenge was over when the window opened: it saves a certificate while Apache is away."""
    home = two_sites(context)
    with context.apache.watch() as outage:
        with context.ca.hold("finalize", name=TWO, times=1) as finalizing:
            second = context.renew(wait=False, home=home)
            finalizing.wait()
            context.apache.wait_serving()
            with context.ca.hold("challenge", name=ONE, times=1) as challenged:
                first = context.renew(wait=False)
                challenged.wait()
                finalizing.release()
                second.wait()
                assert outage.down
                challenged.release()
                first.wait()
        context.wait_settled()
        assert not outage.down
    assert (first.returncode, second.returncode) == (0, 0)
    assert context.apache.served_certificate(ONE) == context.home.certificate(ONE)
    assert context.apache.served_certificate(TWO) == home.certificate(TWO)
    context.mailbox.stays_at(0, seconds=0.3)


@pytest.mark.parametrize("start", ["as-found", "always"])
def test_a_run_that_ends_during_anothers_window_neither_starts_apache_nor_calls_it_down(
        context: Context, start: str) -> None:
    context.obtain(ONE)
    context.guard_ini(server=f"start = {start}\n")
    home = second_home(context, authenticator="webroot")
    context.apache.start()
    with context.apache.watch() as outage:
        with context.ca.hold("challenge", name=ONE, times=1) as held:
            first = context.renew(wait=False)
            held.wait()
            context.ca.answer("directory", Answer(503, b"{}"))
            assert context.renew(home=home).returncode == 1
            told = context.mailbox.wait(1)[0]
            assert outage.down and first.running
            held.release()
            first.wait()
        context.wait_settled()
        assert not outage.down
    assert first.returncode == 0 and TWO in told.text
    assert "DOWN" not in told.subject and "Apache is down" not in told.text
    context.mailbox.stays_at(1, seconds=0.3)
