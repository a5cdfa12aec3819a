"""The harness itself, and what certbot alone does: the facts that the rest of the project rests on."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import Callable

import pytest

from tests.support import faulty_ca
from tests.support.context import Context
from tests.support.faulty_ca import STORY_503, problem
from tests.support.webhook import Webhook


def plain_hooks(context: Context) -> list[str]:
    """certbot's own hooks around a renewal, with the wait that its documentation leaves out."""
    ctl = context.apache.program
    # measured, Apache 2.4.71: both verbs return before the port is free
    return ["--pre-hook", f"{ctl} graceful-stop; sleep 0.5", "--post-hook", f"{ctl} start"]


@pytest.mark.core
def test_certbot_alone_renews_with_plain_hooks(context: Context) -> None:
    context.obtain("one.guard.test", guarded=False)
    context.apache.start()
    old = context.apache.served_certificate("one.guard.test")
    assert old == context.home.certificate("one.guard.test")
    with context.apache.watch() as outage:
        context.renew(*plain_hooks(context), check=True)
        context.apache.wait_serving()
    assert context.home.version("one.guard.test") == 2
    assert context.apache.served_certificate("one.guard.test") == context.home.certificate("one.guard.test") != old
    assert 0.2 < outage.longest < 15
    assert [r.endpoint for r in context.ca.requests][:2] == ["directory", "new-nonce"]


def test_a_lineage_with_time_left_is_not_due(context: Context) -> None:
    context.obtain("fresh.guard.test", guarded=False, days_left=80)
    context.obtain("due.guard.test", guarded=False)
    context.renew(force=False, check=True)
    assert (context.home.version("fresh.guard.test"), context.home.version("due.guard.test")) == (1, 2)


def test_webroot_renews_through_the_running_apache(context: Context) -> None:
    context.obtain("web.guard.test", guarded=False, authenticator="webroot")
    context.apache.start()
    with context.apache.watch() as outage:
        context.renew(check=True)
    assert context.home.version("web.guard.test") == 2
    assert outage.intervals == []


@pytest.mark.core
def test_no_hook_runs_when_the_directory_answers_503(context: Context) -> None:
    context.obtain("one.guard.test", guarded=False)
    context.apache.start()
    context.ca.answer("directory", STORY_503)
    with context.apache.watch() as outage:
        run = context.renew(*plain_hooks(context))
    assert run.returncode == 1
    assert "HTTP 503" in context.home.log() and "The service is down for maintenance" in context.home.log()
    assert "pre-hook" not in run.output
    assert outage.intervals == []
    assert [(r.endpoint, r.status) for r in context.ca.requests] == [("directory", 503)]


def test_the_cron_line_of_the_story_leaves_apache_down(context: Context) -> None:
    context.obtain("one.guard.test", guarded=False)
    context.apache.start()
    context.ca.answer("directory", STORY_503)
    context.apache.ctl("graceful-stop")
    context.apache.wait_down()
    assert context.renew().returncode == 1  # "&& apachectl start" does not happen
    assert not context.apache.serving()


@pytest.mark.core
def test_plain_hooks_leave_apache_down_when_certbot_is_killed(context: Context) -> None:
    context.obtain("one.guard.test", guarded=False)
    context.apache.start()
    run = context.kill_at("challenge", *plain_hooks(context))
    assert run.returncode == -signal.SIGKILL
    time.sleep(0.5)
    assert not context.apache.serving()
    context.apache.start()


def test_a_fault_can_be_limited_to_one_name(context: Context) -> None:
    for name in ("a.guard.test", "b.guard.test"):
        context.obtain(name, guarded=False)
    for endpoint in ("finalize", "authz"):
        context.ca.clear()
        context.ca.answer(endpoint, problem(500, "serverInternal", "Error finalizing order"), name="a.guard.test")
        assert context.renew().returncode == 1
        assert len(context.ca.seen("finalize")) == (2 if endpoint == "finalize" else 1)
    assert (context.home.version("a.guard.test"), context.home.version("b.guard.test")) == (1, 3)


def test_a_rate_limit_reaches_certbot_with_type_and_detail(context: Context) -> None:
    context.obtain("one.guard.test", guarded=False)
    context.ca.answer("new-order", problem(429, "rateLimited", "too many certificates", retry_after="3600"))
    run = context.renew()
    assert run.returncode == 1 and "too many certificates" in run.output


@pytest.mark.parametrize("break_it", ["refuse", "untrusted", "drop", "malformed", "bad_nonce", "invalid", "elsewhere"])
def test_every_way_to_break_the_ca_fails_a_renewal(context: Context, break_it: str) -> None:
    context.obtain("one.guard.test", guarded=False)
    ca = context.ca
    {"refuse": ca.refuse, "untrusted": ca.untrusted, "drop": lambda: ca.drop("new-order"),
     "malformed": lambda: ca.malformed("new-order"), "bad_nonce": ca.bad_nonce,
     "invalid": lambda: ca.invalid_challenge("one.guard.test", "<script>said a stranger"),
     "elsewhere": lambda: context.home.use_server("https://ca.invalid/dir")}[break_it]()
    run = context.renew()
    assert run.returncode == 1, run.output
    assert context.home.version("one.guard.test") == 1
    if break_it == "invalid":
        assert "<script>said a stranger" in run.output + context.home.log()


def test_a_held_request_ends_when_it_is_released(context: Context) -> None:
    context.obtain("one.guard.test", guarded=False)
    held = context.ca.hold("finalize")
    run = context.renew(wait=False)
    request = held.wait()
    assert "one.guard.test" in request.names and request.status is None and run.running
    held.release()
    assert run.wait().returncode == 0


def test_certbot_is_killed_just_after_the_save(context: Context) -> None:
    context.obtain("one.guard.test", guarded=False)
    run = context.kill_at("saved", "--deploy-hook", "sleep 30")
    assert run.returncode == -signal.SIGKILL and context.home.version("one.guard.test") == 2
    context.leaves_processes = True  # the sleep


@pytest.mark.parametrize("moment", ["event:stopped", "hook:pre", "hook:deploy", "hook:post", "reload", "cert"])
def test_moments_of_a_guarded_run_are_met(context: Context, moment: str) -> None:
    context.guarded_site("one.guard.test")
    run = context.kill_at(moment)
    assert run.returncode == -signal.SIGKILL
    assert context.home.version("one.guard.test") == (2 if moment in ("hook:deploy", "hook:post", "reload") else 1)
    context.apache.wait_serving()
    context.wait_settled()


def test_what_a_test_leaves_running_is_ended_and_named(new_context: Callable[..., Context]) -> None:
    context = new_context()
    stray = subprocess.Popen(["sleep", "100"], env={"MARK": str(context.directory)})
    assert context.close(patience_seconds=0.2) == [f"{stray.pid}: sleep 100"]
    assert stray.wait(1) == -signal.SIGKILL
    assert not context.directory.exists()


@pytest.mark.parametrize("name", ["sp ace", "$(touch x)", "quo'te\"s", "new\nline", "comma,#x"])
def test_strange_lineage_names_are_renewed(context: Context, name: str) -> None:
    context.obtain(name, ["one.guard.test"], guarded=False, vhost="one")
    context.renew(check=True)
    assert context.home.version(name) == 2


def test_ipv6_alone(new_context: Callable[..., Context]) -> None:
    context = new_context(address="::1")
    context.world.pebble.resolve_everything(ipv4="", ipv6="::1")
    context.obtain("six.guard.test", guarded=False, authenticator="webroot")
    context.apache.start()
    context.renew(check=True)
    assert context.home.version("six.guard.test") == 2


def test_mails_and_deliveries_arrive(context: Context) -> None:
    import apprise

    webhook = Webhook()
    context.cleanup(webhook.close)
    urls = [context.mailbox.url("user", "p@ss"), webhook.url()]
    assert all(apprise.Apprise([url]).notify("a body", "a title", body_format="text") for url in urls)
    assert context.mailbox.wait()[0].subject == "a title" and "a body" in context.mailbox.messages[0].text
    assert context.mailbox.logins == [("user", "p@ss")]
    assert webhook.wait()[0].title == "a title"
    for channel, url in zip((context.mailbox, webhook), urls):
        for broken in ("refuse", "hang"):
            getattr(channel, broken)()
            more = ("&" if "?" in url else "?") + "cto=1&rto=1"
            assert not apprise.Apprise([url + more]).notify("a body", "a title", body_format="text")
            channel.heal()
    context.mailbox.reject()
    assert not apprise.Apprise([urls[0]]).notify("a body", "a title", body_format="text")
    assert context.mailbox.attempts == 2 and context.mailbox.stays_at(1, 0.2)


def test_an_order_that_would_need_no_challenge_is_asked_for_again(context: Context) -> None:
    order = faulty_ca.Answer(201, b'{"authorizations": ["https://127.0.0.1/authZ/x"]}', (("Replay-Nonce", "abc"),))
    request = faulty_ca.Request("new-order", "POST", "/order-plz", b"")
    assert context.ca._without_reuse(request, order) is order
    again = context.ca._without_reuse(request, order)
    assert again.status == 400 and b"badNonce" in again.body and ("Replay-Nonce", "abc") in again.headers
