"""A challenge passes through a running Apache, and everything goes wrong meanwhile: no visitor notices, nothing stays.

Visitors with kept and with new connections, and one long download, are there all the time; none of them may fail.
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

import pytest

from certbot_guard import launch
from certbot_guard.proxying import loopback, placement, placing
from certbot_guard.servers.apache import ApacheServer
from tests.faults import test_state as disks
from tests.support.certbot import Certbot
from tests.support.context import Context, wait_for
from tests.support.faulty_ca import STORY_503, problem
from tests.support.visitors import Visitors

ONE, TWO, THREE, FOUR = "a-one.guard.test", "b-two.guard.test", "c-three.guard.test", "d-four.guard.test"
# Measured: nothing of the server's own is merged after it, so this lineage has to be stopped for.
DENIED = '<If "true">\nRequire all denied\n</If>'


@pytest.fixture
def context(new_context: Callable[..., Context]) -> Context:
    """An Apache that includes a directory, as distributions have it, so that ``mode = auto`` lets challenges through."""
    return new_context(open_directory=True)


@contextmanager
def nobody_notices(context: Context) -> Iterator[None]:
    """Within it no visitor's request fails; afterwards nothing of ours is in Apache's configuration."""
    with Visitors(context.apache.address, context.apache.http_port) as visitors:
        yield
        context.wait_settled()
        wait_for(lambda: visitors.answered > 50, what="fifty visitors")
    assert visitors.failed == []
    assert_nothing_stays(context)


def assert_nothing_stays(context: Context) -> None:
    assert not [path for path in context.apache.vhosts.iterdir() if placement.NAME in path.name]
    placed = {event["number"] for event in context.events("proxy-placing")}
    assert placed == {event["number"] for event in context.events("proxy-removed")}
    assert context.apache.serving() and not any("http01_address" in path.read_text() for path in confs(context))


def confs(context: Context) -> list[Path]:
    return list(context.home.config.glob("renewal/*.conf"))


def file_of(context: Context) -> Path:
    return context.apache.vhosts / placement.NAME


def told(context: Context) -> str:
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    return f"{mail.subject}\n{' '.join(mail.text.split())}"


# -- it works --------------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_three_lineages_are_renewed_without_a_failed_request(context: Context) -> None:
    context.guarded_site(ONE, TWO, THREE)
    before = {path: path.read_text().replace("version = ", "") for path in confs(context)}
    with nobody_notices(context):
        run = context.renew()
    assert run.returncode == 0, run.output
    assert not context.events("stopping")
    assert [event["by"] for event in context.events("proxy-removed")] == ["restart"] * 3
    for name in (ONE, TWO, THREE):
        assert context.home.version(name) == 2
        assert context.apache.served_certificate(name) == context.home.certificate(name)
    for path in confs(context):
        assert f"http01_port = {context.apache.http_port}\n" in path.read_text()
        assert "http01_address" not in before[path] + path.read_text()
    # One reload that hands over, one for the certificate, which takes the file's end along.
    assert context.apache.error_log.read_bytes().count(b"Doing graceful restart") == 6
    context.mailbox.stays_at(0, seconds=0.3)


@pytest.mark.core
def test_beside_webroot_and_one_that_cannot_pass_each_gets_what_it_needs(context: Context) -> None:
    context.obtain(ONE)
    context.obtain(TWO, vhost="")
    context.apache.add_vhost(f"{TWO}-http", server_name=TWO, extra=DENIED)
    context.obtain(THREE, authenticator="webroot")
    context.obtain(FOUR)
    context.guard_ini(server="mode = proxy")
    context.apache.start()
    with context.apache.watch() as outage:
        run = context.renew()
        context.wait_settled()
    assert run.returncode == 0, run.output
    assert [context.home.version(name) for name in (ONE, TWO, THREE, FOUR)] == [2] * 4
    assert [event["lineage"] for event in context.events("stopping")] == [TWO] and len(outage.intervals) == 1
    assert [event["lineage"] for event in context.events("proxy-placed")] == [ONE, FOUR]
    assert "403" in context.events("not-proxied")[0]["reason"]
    assert f"the challenge of {TWO} cannot pass through" in context.home.log()
    # It is not what was asked for, so people hear of it.
    said = told(context)
    assert f"mode = proxy: the challenge of {TWO} cannot pass" in said and "403" in said and "not renewed" not in said
    assert "mode = proxy" in run.output
    assert_nothing_stays(context)


def test_a_dry_run_and_certonly_leave_nothing_either(context: Context) -> None:
    context.guarded_site(ONE)
    with nobody_notices(context):
        assert context.certbot("renew", "--dry-run", "--no-random-sleep-on-renew").returncode == 0
        context.wait_settled()
        assert_nothing_stays(context)
        run = context.certbot("certonly", "--standalone", "--installer", "guard", "-d", ONE, "--force-renewal")
        assert run.returncode == 0, run.output
    assert context.home.version(ONE) == 2 and len(context.events("proxy-placed")) == 2
    assert not context.events("stopping")
    assert f"http01_port = {context.apache.http_port}\n" in context.home.conf_path(ONE).read_text()


def test_a_lineage_whose_own_pre_hook_may_stop_apache_has_it_stopped(context: Context) -> None:
    context.guarded_site(ONE, pre_hook="true")
    run = context.renew()
    context.wait_settled()
    assert run.returncode == 0 and len(context.events("stopping")) == 1
    assert "pre hook" in context.events("not-proxied")[0]["reason"]
    assert "cannot pass" in context.home.log() and "cannot pass" not in run.output
    assert not context.events("proxy-placing")
    context.mailbox.stays_at(0, seconds=0.3)  # nobody has asked for it
    context.guard_ini(server="mode = proxy")
    run = context.renew()
    context.wait_settled()
    assert run.returncode == 0 and "cannot pass" in run.output and "cannot pass" in told(context)


def test_with_mode_stop_nothing_passes_through(context: Context) -> None:
    context.obtain(ONE)
    context.guard_ini(server="mode = stop")
    context.apache.start()
    assert context.renew().returncode == 0
    context.wait_settled()
    assert len(context.events("stopping")) == 1 and not context.events("not-proxied")
    assert not context.events("proxy-placing")


@pytest.mark.core
def test_two_certbots_have_their_passages_one_after_the_other(context: Context) -> None:
    context.obtain(ONE)
    context.guard_ini()
    home = context.new_home("second")
    context.obtain(TWO, home=home)
    (home.config / "guard.ini").write_text(context.ini.read_text())
    (home.config / "guard.ini").chmod(0o600)
    context.apache.start()
    with nobody_notices(context), context.ca.hold("challenge", times=1) as held:
        first = context.renew(wait=False)
        held.wait()
        mine = file_of(context).read_bytes()
        second = context.renew(wait=False, home=home)
        wait_for(lambda: len(context.sentinels()) == 2, what="the second run's sentinel")
        with pytest.raises(AssertionError):
            wait_for(lambda: file_of(context).read_bytes() != mine, timeout=1.5)
        held.release()
        for run in (first, second):
            assert run.wait().returncode == 0, run.output
    assert context.home.version(ONE) == 2 and home.version(TWO) == 2
    assert not context.events("stopping")


# -- what goes wrong -------------------------------------------------------------------------------------------------


def killed(number: signal.Signals, moment: str) -> Callable[[Context], Certbot]:
    return lambda context: context.kill_at(moment, number=number)


def no_directory(context: Context) -> Certbot:
    context.ca.answer("directory", STORY_503)
    return context.renew()


def killed_with_the_sentinel(context: Context) -> Certbot:
    with context.ca.hold("challenge", times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        for pid in (*context.sentinels(), run.pid):
            os.kill(pid, signal.SIGKILL)
        run.wait()
        held.release(forward=False)
    context.wait_settled()
    assert file_of(context).exists() and not context.events("died")
    assert context.guard("recover").returncode == 0
    return run


def in_the_challenge(context: Context, happens: Callable[[], object]) -> Certbot:
    with context.ca.hold("challenge", times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        happens()
        held.release()
        return run.wait()


def reloaded_by_somebody(context: Context) -> Certbot:
    def graceful() -> None:
        assert context.apache.ctl("graceful").returncode == 0

    return in_the_challenge(context, graceful)


def configuration_broken(context: Context) -> Certbot:
    return in_the_challenge(context, context.apache.break_configuration)


def killed_with_the_configuration_broken(context: Context) -> Certbot:
    with context.ca.hold("challenge", times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        context.apache.break_configuration()
        run.send(signal.SIGKILL)
        held.release(forward=False)
        return run.wait()


def full(context: Context) -> Certbot:
    disks._full(context)
    context.ca.invalid_challenge(ONE, "no such page")
    return disks.renew(context)


FAULTS = [
    pytest.param(killed(signal.SIGKILL, "event:proxy-placing"), ["certbot died"], id="SIGKILL while it is placed"),
    pytest.param(killed(signal.SIGKILL, "challenge"), ["certbot died"], id="SIGKILL in the challenge",
                 marks=pytest.mark.core),
    pytest.param(killed(signal.SIGINT, "challenge"), ["not renewed"], id="SIGINT in the challenge"),
    pytest.param(killed(signal.SIGTERM, "event:proxy-placed"), ["certbot died"], id="SIGTERM before the challenge"),
    pytest.param(killed(signal.SIGKILL, "saved"), ["certbot died"], id="SIGKILL after the save"),
    pytest.param(killed(signal.SIGKILL, "directory"), ["certbot died"], id="a directory that hangs"),
    pytest.param(killed_with_the_sentinel, ["certbot died"], id="the sentinel is killed, too", marks=pytest.mark.core),
    pytest.param(no_directory, ["down for maintenance"], id="503 at the directory"),
    pytest.param(reloaded_by_somebody, [], id="somebody reloads Apache"),
    pytest.param(configuration_broken, ["ThisDirectiveDoesNotExist", "was renewed"], id="the configuration is broken"),
    pytest.param(killed_with_the_configuration_broken, ["certbot died"], id="broken, and SIGKILL"),
    pytest.param(full, ["no such page", "own trouble (state database)"], id="the state's disk is full"),
]


@pytest.mark.parametrize("fault, words", FAULTS)
def test_no_request_fails_nothing_stays_and_people_are_told(
        context: Context, fault: Callable[[Context], Certbot], words: list[str]) -> None:
    context.guarded_site(ONE)
    with nobody_notices(context):
        run = fault(context)
    assert not context.events("stopping")
    if not words:
        assert run.returncode == 0 and context.home.version(ONE) == 2
        context.mailbox.stays_at(0, seconds=0.3)
        return
    said = told(context)
    assert all(word in said for word in words), said
    assert "Apache serves" in said and "It was not stopped in this run." in said, said
    assert not any(wrong in said for wrong in ("started again", "could not be stopped", "was stopped")), said


def test_an_apache_that_the_reload_ends_is_brought_back_and_people_are_told(context: Context) -> None:
    context.guarded_site(ONE)
    with socket.create_server(("127.0.0.1", 0)) as other:
        # configtest says nothing of it, and Apache ends when it is reloaded.
        (context.apache.vhosts / "more.conf").write_text(f"Listen 127.0.0.1:{other.getsockname()[1]}\n")
        run = context.renew()
        assert run.returncode == 1 and "does not start" in run.output, run.output
        assert not context.apache.serving() and context.home.version(ONE) == 1
    context.wait_settled()
    wait_for(lambda: any("serves again" in mail.subject for mail in context.mailbox.messages), 20, "mail of its end")
    # That it is down is told once more where a later start fails for another reason.
    said = " ".join(mail.subject + " ".join(mail.text.split()) for mail in context.mailbox.messages)
    assert "ended when it was reloaded for the challenge" in said and len(context.mailbox.messages) <= 3, said
    assert_nothing_stays(context)


def test_so_is_one_that_ends_when_what_a_killed_run_left_is_taken_away(context: Context) -> None:
    context.guarded_site(ONE)
    with socket.create_server(("127.0.0.1", 0)) as other, context.ca.hold("challenge", times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        (context.apache.vhosts / "more.conf").write_text(f"Listen 127.0.0.1:{other.getsockname()[1]}\n")
        run.send(signal.SIGKILL)
        held.release(forward=False)
        run.wait()
        wait_for(lambda: context.events("start-failed"), what="a start that fails")
    context.wait_settled()
    assert_nothing_stays(context)


def test_three_that_fail_in_three_ways_are_one_message_with_the_usual_reasons(context: Context) -> None:
    context.guarded_site(ONE, TWO, THREE)
    context.ca.answer("new-order", problem(429, "rateLimited", "too many certificates", "3600"), name=ONE)
    context.ca.invalid_challenge(TWO, f"127.0.0.1: Invalid response from http://{TWO}/.well-known/acme-challenge/x: 404")
    context.ca.answer("finalize", problem(500, "serverInternal", "Error finalizing"), name=THREE)
    with nobody_notices(context):
        assert context.renew().returncode == 1
    said = told(context)
    for words in ("too many certificates", "answered with HTTP 404", "Error finalizing", "It was not stopped"):
        assert words in said, said
    assert [event["by"] for event in context.events("proxy-removed")] == ["failure"] * 3
    assert not context.events("stopping")


def test_what_failed_though_it_passed_through_is_stopped_for_the_next_time(context: Context) -> None:
    context.guarded_site(ONE)
    refused = context.ca.invalid_challenge(ONE, f"127.0.0.1: Invalid response from http://{ONE}/.well-known/x: 403")
    with nobody_notices(context):
        assert context.renew().returncode == 1
    refused.release()
    run = context.renew()
    context.wait_settled()
    assert run.returncode == 0 and context.home.version(ONE) == 2 and len(context.events("stopping")) == 1
    assert "its last challenge that passed through failed" in context.home.log()
    run = context.certbot("renew", "--dry-run", "--guard-mode", "proxy", "--no-random-sleep-on-renew")
    context.wait_settled()
    assert run.returncode == 0 and len(context.events("stopping")) == 1 and len(context.events("proxy-placed")) == 2
    assert_nothing_stays(context)


def test_killed_at_the_second_of_three_the_others_are_named(context: Context) -> None:
    context.guarded_site(ONE, TWO, THREE)
    with nobody_notices(context), context.ca.hold("challenge", name=TWO, times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        run.send(signal.SIGKILL)
        run.wait()
        held.release(forward=False)
    said = told(context)
    assert "certbot died" in said and TWO in said and f"Not attempted: {THREE}" in said
    assert context.home.version(ONE) == 2


def test_a_file_that_no_run_remembers_is_taken_away_by_recover(context: Context) -> None:
    context.guarded_site(ONE)
    server = ApacheServer(context.apache.program, {**launch.surroundings(), **context.apache.environment})
    with nobody_notices(context):
        path = placing.place(server, loopback.free_port(), 2**22 - 1, [ONE])
        done = context.guard("recover")
        assert done.returncode == 0 and f"{path} was left" in done.output
        assert context.guard("recover").stdout == "Nothing was unfinished.\n"


def test_an_apache_that_is_down_already_is_left_so_and_one_that_is_broken_is_not_touched(context: Context) -> None:
    context.obtain(ONE)
    context.guard_ini()
    run = context.renew()
    context.wait_settled()
    assert run.returncode == 0 and not context.apache.serving() and not context.events("proxy-placing")
    context.apache.start()
    context.apache.break_configuration()
    with nobody_notices(context):
        run = context.renew()
    assert run.returncode == 1 and "ThisDirectiveDoesNotExist" in told(context)
    assert not context.events("proxy-placing") and not context.events("stopping")
