"""From a real certbot renew against Pebble, or a proxy in front of it that fails, to what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from certbot_guard.diagnosis import Diagnosis, diagnose
from tests.support.context import Context
from tests.support.faulty_ca import STORY_503, problem

ONE, TWO = "a-one.guard.test", "b-two.guard.test"


def failed(context: Context, *arguments: str) -> tuple[dict[str, Any], Diagnosis]:
    """The event of the lineage that a forced renewal of everything could not renew, and what is said of it."""
    run = context.renew(*arguments)
    assert run.returncode == 1
    event = context.events("lineage-failed")[-1]
    return event, diagnose(event, {"argv": ["renew", "--force-renewal", *arguments]})


def site(context: Context, *names: str) -> None:
    """Webroot: what the CA says is the same, and Apache need not be stopped for it."""
    context.guarded_site(*(names or (ONE,)), authenticator="webroot")


def test_the_503_of_the_story_is_the_ca_s_and_passes(context: Context) -> None:
    context.ca.answer("directory", STORY_503)
    site(context)
    event, found = failed(context)
    assert event["evidence"]["status"] == 503 and event["evidence"]["url"] == context.ca.directory_url
    assert (found.cause, found.whose, found.transient) == ("ca-unavailable", "ca", True)
    assert found.advice.startswith("Nothing now") and "HTTP 503" in found.happened


def test_a_rate_limit_under_force_renewal_names_the_reason_and_the_time(context: Context) -> None:
    detail = ("too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, "
              "retry after 2026-12-02 07:00:00 UTC")
    context.ca.answer("new-order", problem(429, "rateLimited", detail, "86400"))
    site(context)
    event, found = failed(context)
    assert event["evidence"]["retry_after"] == "86400" and event["evidence"]["status"] == 429
    assert found.key == "acme:rateLimited|same names" and found.retry_after == "2026-12-02 07:00 UTC"
    assert "--force-renewal is why" in found.happened


def test_pebble_s_own_404_is_what_answered_instead_of_us(context: Context) -> None:
    context.world.pebble.resolve(ONE, "127.0.0.1")
    context.obtain(ONE, authenticator="webroot", webroot=context.directory, vhost="")  # not where Apache looks
    context.guard_ini()
    context.apache.start()
    event, found = failed(context)
    challenge, = event["evidence"]["challenges"]
    assert challenge["domain"] == ONE and challenge["type"] == "unauthorized"
    assert found.cause == "challenge-wrong-answer" and "HTTP 404" in found.happened, challenge
    assert found.key.endswith("|404")


def test_pebble_finds_nobody_on_the_port(context: Context) -> None:
    site(context)
    context.apache.stop()
    event, found = failed(context)
    assert found.cause == "challenge-unreachable", event["evidence"]["challenges"]
    assert "127.0.0.1, an address of this host, refused the connection" in found.happened


def test_a_name_that_pebble_cannot_look_up(context: Context) -> None:
    context.ca.invalid_challenge(ONE, f"DNS problem: NXDOMAIN looking up A for {ONE}", "dns")
    site(context)
    _, found = failed(context)
    assert found.key == "dns|nxdomain" and ONE in found.happened


def test_a_ca_that_refuses_connections_and_one_that_nobody_trusts(context: Context) -> None:
    site(context)
    context.ca.untrusted()
    event, found = failed(context)
    assert found.cause == "tls-untrusted" and event["evidence"]["verify_code"] in (18, 19, 20, 21)
    context.ca.clear()
    context.ca.refuse()
    _, found = failed(context)
    assert found.cause == "ca-refused"


def test_an_order_with_different_problems_names_each(context: Context) -> None:
    inner = [{"type": f"urn:ietf:params:acme:error:{kind}", "detail": kind,
              "identifier": {"type": "dns", "value": name}}
             for kind, name in (("caa", ONE), ("dns", TWO))]
    context.ca.answer("finalize", problem(403, "compound", "two names", subproblems=inner))
    site(context)
    _, found = failed(context)
    assert found.key == "acme:compound|caa,dns" and f"{ONE}: caa" in found.happened and f"{TWO}: dns" in found.happened


@pytest.mark.parametrize("verb", ["certonly"])
def test_a_first_certificate_that_is_refused_is_explained_from_certbot_s_end(context: Context, verb: str) -> None:
    context.guard_ini()
    context.apache.start()
    context.ca.answer("new-order", problem(400, "rejectedIdentifier", "policy forbids it"))
    context.certbot(verb, "--webroot", "-w", str(context.apache.docroot), "-d", ONE, "--installer", "guard",
                    "--non-interactive")
    event = context.events("fatal")[-1]
    assert event["evidence"]["status"] == 400 and diagnose(event, {}).cause == "acme:rejectedIdentifier"
