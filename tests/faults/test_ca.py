"""The ACME server fails, hangs or is not there: Apache serves, and people are told once, in the server's words."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from tests.support.certbot import Certbot
from tests.support.context import Context
from tests.support.faulty_ca import STORY_503, Answer, problem
from tests.support.mailbox import Mail

ONE, TWO, THREE, FOUR = "a-one.guard.test", "b-two.guard.test", "c-three.guard.test", "d-four.guard.test"
NOWHERE = "acme.guard.invalid"
STORY_DETAIL = json.loads(STORY_503.body)["detail"]


def told_once(context: Context) -> Mail:
    """The one mail, when nothing more is to come."""
    context.wait_settled()
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    return mail


def everything(mail: Mail) -> str:
    return f"{mail.subject}\n{' '.join(mail.text.split())}"


def assert_says_where_and_until_when(context: Context, mail: Mail, *lineages: str) -> None:
    said = everything(mail)
    soonest = min(_not_after(context, name) for name in lineages)
    log = str(context.home.logs / "letsencrypt.log")
    for needed in (os.uname().nodename, *lineages, f"{soonest:%Y-%m-%d %H:%M}", log):
        assert needed in said, f"{needed} is missing in {said}"


def _not_after(context: Context, name: str):
    certificate = context.home.certificate(name)
    return getattr(certificate, "not_valid_after_utc", None) or certificate.not_valid_after


# -- the directory ---------------------------------------------------------------------------------------------------


def _story(context: Context) -> str:
    context.ca.answer("directory", STORY_503)
    return STORY_DETAIL


def _refused(context: Context) -> str:
    context.ca.refuse()
    return "Connection refused"


def _unknown_host(context: Context) -> str:
    context.home.use_server(f"https://{NOWHERE}/dir")
    return NOWHERE


def _untrusted(context: Context) -> str:
    context.ca.untrusted()
    return "CERTIFICATE_VERIFY_FAILED"


def _breaks_off(context: Context) -> str:
    context.ca.drop("directory")
    return "Connection"


def _no_json(context: Context) -> str:
    context.ca.answer("directory", Answer(200, b"<html>Maintenance</html>", (("Content-Type", "text/html"),)))
    return "Unexpected response Content-Type: text/html"


DIRECTORY_FAULTS = [
    pytest.param(_story, id="the 503 of the story", marks=pytest.mark.core),
    pytest.param(_refused, id="connection refused"),
    pytest.param(_unknown_host, id="no such host"),
    pytest.param(_untrusted, id="a certificate nobody trusts"),
    pytest.param(_breaks_off, id="the connection breaks"),
    pytest.param(_no_json, id="a page instead of JSON"),
]


@pytest.mark.parametrize("fault", DIRECTORY_FAULTS)
def test_without_a_directory_apache_is_never_stopped_and_people_are_told_why(
        context: Context, fault: Callable[[Context], str]) -> None:
    words = fault(context)
    context.guarded_site(ONE)
    with context.apache.watch() as outage:
        run = context.renew()
        mail = told_once(context)
    assert run.returncode == 1 and outage.intervals == []
    assert words in everything(mail) and words in run.output
    assert "Apache serves" in mail.subject and f"{ONE} not renewed" in mail.subject
    assert_says_where_and_until_when(context, mail, ONE)


def test_two_lineages_without_a_directory_are_one_message_that_names_both(context: Context) -> None:
    context.guarded_site(ONE, TWO)
    context.ca.answer("directory", STORY_503)
    with context.apache.watch() as outage:
        context.renew()
        mail = told_once(context)
    assert outage.intervals == []
    assert STORY_DETAIL in everything(mail)
    assert_says_where_and_until_when(context, mail, ONE, TWO)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_directory_that_hangs_until_somebody_ends_certbot_leaves_apache_serving(
        context: Context, number: signal.Signals) -> None:
    context.guarded_site(ONE)
    with context.apache.watch() as outage:
        run = context.kill_at("directory", number=number)
        mail = told_once(context)
    assert run.returncode != 0 and outage.intervals == []
    assert_says_where_and_until_when(context, mail, ONE)


# -- lineages that are not guarded -----------------------------------------------------------------------------------


def unguarded_site(context: Context, *names: str) -> None:
    for name in names:
        context.obtain(name, guarded=False, authenticator="webroot")
    context.apache.start()


@pytest.mark.parametrize("installer", [pytest.param(None, id="no installer", marks=pytest.mark.core),
                                       pytest.param("null", id="another installer")])
def test_a_lineage_that_is_not_guarded_is_told_of_where_there_is_a_guard_ini(
        context: Context, installer: Optional[str]) -> None:
    context.obtain(ONE, guarded=False, **({"installer": installer} if installer else {}))
    context.guard_ini()
    context.apache.start()
    context.ca.answer("directory", STORY_503)
    parents = context.apache.parents()
    with context.apache.watch() as outage:
        run = context.renew()
        mail = told_once(context)
    assert run.returncode == 1 and outage.intervals == [] and context.apache.parents() == parents
    assert STORY_DETAIL in everything(mail)
    assert_says_where_and_until_when(context, mail, ONE)
    assert context.home.conf(ONE)["renewalparams"].get("installer") == installer


def test_guarded_and_unguarded_lineages_that_fail_are_one_message(context: Context) -> None:
    context.obtain(TWO, guarded=False, authenticator="webroot")
    context.guarded_site(ONE)
    context.ca.invalid_challenge(ONE, "the first reason")
    context.ca.invalid_challenge(TWO, "the second reason")
    context.renew()
    mail = told_once(context)
    assert "the first reason" in everything(mail) and "the second reason" in everything(mail)
    assert_says_where_and_until_when(context, mail, ONE, TWO)


def test_without_a_guard_ini_a_lineage_that_is_not_guarded_fails_as_with_certbot_alone(context: Context) -> None:
    unguarded_site(context, ONE)
    context.ca.answer("directory", STORY_503)
    before = files_of(context)
    run = context.renew()
    assert run.returncode == 1
    assert not context.guard_processes() and files_of(context) == before
    assert not context.state.exists() and not runs_about(context)
    context.mailbox.stays_at(0, seconds=0.5)


def test_without_a_failure_a_lineage_that_is_not_guarded_leaves_no_run_behind(context: Context) -> None:
    unguarded_site(context, ONE)
    context.guard_ini()
    run = context.renew()
    assert run.returncode == 0 and context.home.version(ONE) == 2
    assert not context.guard_processes() and not context.state.exists()
    context.mailbox.stays_at(0, seconds=0.5)


def files_of(context: Context) -> set[Path]:
    """certbot makes the directories of its hooks by itself."""
    return {path for path in context.home.config.rglob("*") if not path.is_dir()}


def runs_about(context: Context) -> list[Path]:
    """In the places that are used where no guard.ini names another."""
    places = ("/var/lib/certbot-guard", "/run/certbot-guard")
    found = [path for place in places for path in Path(place).rglob("run.json")]
    return [path for path in found if str(context.directory) in path.read_text("utf-8", "replace")]


# -- an order that fails ---------------------------------------------------------------------------------------------


def fail(context: Context, name: str, endpoint: str, answer: Answer) -> tuple[str, str]:
    """The ACME type and detail that people are to read about the lineage ``name``."""
    context.ca.answer(endpoint, answer, name=name)
    document = json.loads(answer.body)
    return document["type"], document["detail"]


def renew_and_look(context: Context, lineages: int) -> tuple[Certbot, list[bool]]:
    """Does Apache serve when each further lineage begins? That is a request for the directory: held until we know."""
    held = [context.ca.hold("directory", times=1, after=number) for number in range(1, lineages)]
    run = context.renew(wait=False)
    served = []
    for fault in held:
        fault.wait()
        served.append(context.apache.serving())
        fault.release()
    return run.wait(), served


def test_after_a_rate_limit_apache_serves_before_the_next_lineage_is_looked_at(context: Context) -> None:
    context.guarded_site(ONE, TWO)
    answer = problem(429, "rateLimited", "too many certificates (5) already issued in the last 168h", "3600")
    kind, detail = fail(context, ONE, "new-order", answer)
    with context.apache.watch() as outage:
        run, served = renew_and_look(context, 2)
        mail = told_once(context)
        assert not outage.down
    assert run.returncode == 1 and served == [True] and len(outage.intervals) == 2
    assert context.home.version(ONE) == 1 and context.home.version(TWO) == 2
    assert kind in everything(mail) and detail in everything(mail)
    assert f"{ONE} not renewed" in mail.subject and f"Renewed in this run: {TWO}" in mail.text
    assert_says_where_and_until_when(context, mail, ONE)


@pytest.mark.core
def test_after_an_invalid_challenge_apache_serves_before_the_next_lineage_is_looked_at(context: Context) -> None:
    context.guarded_site(ONE, TWO)
    detail = f"192.0.2.7: Invalid response from http://{ONE}/.well-known/acme-challenge/ab-CD_1: 404"
    context.ca.invalid_challenge(ONE, detail)
    with context.apache.watch() as outage:
        run, served = renew_and_look(context, 2)
        mail = told_once(context)
        assert not outage.down
    assert run.returncode == 1 and served == [True] and len(outage.intervals) == 2
    assert context.home.version(ONE) == 1 and context.home.version(TWO) == 2
    assert "Type: unauthorized" in everything(mail)  # what certbot shows of it
    assert detail in everything(mail)[:1000]
    assert_says_where_and_until_when(context, mail, ONE)


def test_after_each_of_four_orders_that_fail_apache_serves_before_the_next_lineage_is_looked_at(
        context: Context) -> None:
    names = [f"{letter}.guard.test" for letter in "abcde"]
    context.guarded_site(*names)
    words = [fail(context, name, endpoint, answer) for name, (endpoint, answer) in zip(names, (
        ("new-order", problem(403, "unauthorized", "account is deactivated")),
        ("new-order", problem(500, "serverInternal", "Error creating new order")),
        ("finalize", problem(500, "serverInternal", "Error finalizing order")),
        ("new-order", problem(400, "badNonce", "JWS has an invalid anti-replay nonce"))))]
    with context.apache.watch() as outage:
        run, served = renew_and_look(context, 5)
        mail = told_once(context)
        assert not outage.down
    assert run.returncode == 1 and served == [True] * 4 and len(outage.intervals) == 5
    assert [context.home.version(name) for name in names] == [1, 1, 1, 1, 2]
    assert all(kind in everything(mail) and detail in everything(mail) for kind, detail in words)
    assert_says_where_and_until_when(context, mail, *names[:4])


@pytest.mark.parametrize("details", [("the first reason", "the second reason"), ("404", "404")], ids=["two", "one"])
def test_challenges_that_fail_for_the_same_reason_are_told_together_and_others_apart(
        context: Context, details: tuple[str, str]) -> None:
    context.guarded_site(ONE, TWO, authenticator="webroot")
    for name, token, detail in zip((ONE, TWO), ("aB-1", "c_D2"), details):
        url = f"http://{name}/.well-known/acme-challenge/{token}"
        context.ca.invalid_challenge(name, f"192.0.2.7: Invalid response from {url}: {detail}")
    context.renew()
    mail = told_once(context)
    assert all(detail in everything(mail) for detail in details)
    assert ("Not renewed: 2 lineages, same cause" in mail.text) == (len(set(details)) == 1)
    assert_says_where_and_until_when(context, mail, ONE, TWO)


def test_of_many_names_that_failed_each_one_s_reason_is_told(context: Context) -> None:
    names = [f"n{number}.guard.test" for number in range(9)]
    context.obtain(ONE, names, authenticator="webroot")
    context.guard_ini()
    context.apache.start()

    def change(authorization: dict[str, Any]) -> None:
        name = authorization["identifier"]["value"]
        error = {"type": "urn:ietf:params:acme:error:unauthorized", "detail": f"what is wrong with {name}"}
        authorization["status"] = "invalid"
        for challenge in authorization["challenges"]:
            if challenge["type"] == "http-01":
                challenge.update(status="invalid", error=error)

    context.ca.change("authz", change, after=9)  # the first nine requests are for the challenges to answer
    context.renew()
    said = everything(told_once(context))
    assert [name for name in names if f"what is wrong with {name}" not in said] == []


def test_a_dry_run_that_fails_says_that_it_is_one(context: Context) -> None:
    context.guarded_site(ONE)
    context.ca.invalid_challenge(ONE, "no such page")
    run = context.renew("--dry-run", force=False)
    mail = told_once(context)
    assert run.returncode == 1 and context.apache.serving()
    assert "dry run" in mail.subject and "dry run" in mail.text and "no such page" in everything(mail)


# -- a server that hangs with Apache stopped -------------------------------------------------------------------------


@pytest.mark.core
def test_when_the_acme_server_hangs_apache_serves_when_max_outage_is_over(context: Context) -> None:
    limit = 6.0
    for name in (ONE, TWO, THREE):
        context.obtain(name)
    context.obtain(FOUR, authenticator="webroot")
    context.guard_ini(server=f"max_outage = {limit:.0f}s\n")
    context.apache.start()
    with context.apache.watch() as outage, context.ca.hold("challenge", name=ONE):
        run = context.renew()
        mail = told_once(context)
        assert not outage.down
    assert run.returncode == 1 and len(outage.intervals) == 1
    assert limit / 2 < outage.longest < limit + 2.0  # the rest is for a slow machine
    assert [context.home.version(name) for name in (ONE, TWO, THREE, FOUR)] == [1, 1, 1, 2]
    assert "max_outage" in mail.subject + mail.text
    assert f"Not attempted: {TWO}, {THREE}" in mail.text
    assert_says_where_and_until_when(context, mail, ONE, TWO, THREE)


@pytest.mark.parametrize("endpoint", ["new-order", "finalize"])
def test_where_certbot_does_not_hold_the_port_apache_serves_though_the_acme_server_hangs(
        context: Context, endpoint: str) -> None:
    """Nothing has to be given up for that: the challenge is not begun, or over."""
    limit = 4.0
    context.guarded_site(ONE, server=f"max_outage = {limit:.0f}s\n")
    with context.apache.watch() as outage, context.ca.hold(endpoint) as held:
        run = context.renew(wait=False)
        held.wait()
        context.apache.wait_serving(limit + 2.0)
        assert run.running
        run.send(signal.SIGKILL)
        run.wait()
        told_once(context)
        assert not outage.down
    assert outage.longest < limit + 2.0


# -- renewal configurations that cannot be read ----------------------------------------------------------------------


@pytest.mark.core
def test_renewal_configurations_that_cannot_be_read_are_told_and_the_others_are_renewed(context: Context) -> None:
    context.guarded_site(ONE)
    broken = [context.home.conf_path(name) for name in ("no-configuration", "empty", "without-paths")]
    for path, text in zip(broken, ("no configuration at all\n[[[", "", "version = 5.8.0\n[renewalparams]\n")):
        path.write_text(text)
    run = context.renew()
    mail = told_once(context)
    assert run.returncode == 1 and context.home.version(ONE) == 2 and context.apache.serving()
    assert all(str(path) in everything(mail) for path in broken) and "not readable" in mail.subject
    assert f"Renewed in this run: {ONE}" in mail.text


def test_a_renewal_configuration_that_cannot_be_read_is_told_of_though_nothing_is_due(context: Context) -> None:
    context.obtain(ONE, days_left=80)
    context.guard_ini()
    context.apache.start()
    broken = context.home.conf_path("broken.guard.test")
    broken.write_text("[[[")
    with context.apache.watch() as outage:
        run = context.renew(force=False)
        mail = told_once(context)
    assert run.returncode == 1 and outage.intervals == [] and context.home.version(ONE) == 1
    assert str(broken) in everything(mail)
