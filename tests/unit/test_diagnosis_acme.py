"""The CA's answers, through the real ACME client, and what is said of each."""

from __future__ import annotations

import json
import sys

import pytest

from certbot_guard.diagnosis import diagnose
from tests.support.failures import KEY, LocalCA, as_text, explained, failure, fetch, network
from tests.support.faulty_ca import STORY_503, Answer, problem


@pytest.fixture(scope="module")
def ca():
    with LocalCA() as server:
        yield server


URN = "urn:ietf:params:acme:error:"
# RFC 8555 section 6.7, RFC 9773 (ARI), profiles, and those that Boulder adds: status, type, cause, whose, transient
TYPES = [
    (400, "accountDoesNotExist", "acme:accountDoesNotExist", "configuration", False),
    (409, "alreadyReplaced", "acme:alreadyReplaced", "configuration", None),
    (400, "alreadyRevoked", "acme:alreadyRevoked", "configuration", None),
    (400, "badCSR", "acme:badCSR", "configuration", False),
    (400, "badNonce", "acme:badNonce", "ca", True),
    (400, "badPublicKey", "acme:badPublicKey", "configuration", False),
    (400, "badRevocationReason", "acme:badRevocationReason", "configuration", False),
    (400, "badSignatureAlgorithm", "acme:badSignatureAlgorithm", "certbot", False),
    (403, "caa", "caa", "dns", False),
    (400, "connection", "challenge-unreachable", "network", None),
    (409, "conflict", "acme:conflict", "ca", True),
    (400, "dns", "dns", "dns", None),
    (400, "dnssec", "dnssec", "dns", False),
    (401, "externalAccountRequired", "acme:externalAccountRequired", "configuration", False),
    (403, "incorrectResponse", "challenge-wrong-answer", "configuration", False),
    (400, "invalidContact", "acme:invalidContact", "configuration", False),
    (400, "invalidEmail", "acme:invalidContact", "configuration", False),
    (400, "invalidProfile", "acme:invalidProfile", "configuration", False),
    (400, "malformed", "acme:malformed", "certbot", None),
    (403, "onionCAARequired", "acme:onionCAARequired", "configuration", False),
    (403, "orderNotReady", "acme:orderNotReady", "ca", True),
    (429, "rateLimited", "acme:rateLimited", "configuration", True),
    (400, "rejectedIdentifier", "acme:rejectedIdentifier", "configuration", False),
    (500, "serverInternal", "ca-unavailable", "ca", True),
    (503, "serverInternal", "ca-unavailable", "ca", True),
    (400, "tls", "challenge-redirect", "web server", None),
    (403, "unauthorized", "acme:unauthorized", "configuration", False),
    (400, "unknownHost", "dns", "dns", None),
    (400, "unsupportedContact", "acme:invalidContact", "configuration", False),
    (400, "unsupportedIdentifier", "acme:unsupportedIdentifier", "configuration", False),
    (403, "userActionRequired", "acme:userActionRequired", "configuration", False),
    (400, "brandNew", "acme:other", "unknown", None),
]


@pytest.mark.parametrize("status, kind, cause, whose, transient", TYPES, ids=[f"{row[1]} {row[0]}" for row in TYPES])
def test_every_type_of_error_is_explained(ca, status, kind, cause, whose, transient):
    ca.answer = problem(status, kind, "the CA's own words")
    found = explained(fetch(ca.url))
    assert (found.cause, found.whose, found.transient) == (cause, whose, transient)
    assert found.happened.endswith(".") and found.advice
    assert ("Nothing now" in found.advice) or not found.transient or kind == "rateLimited"


@pytest.mark.parametrize("status, kind, cause", [row[:3] for row in TYPES if row[0] != 409])
def test_the_text_alone_is_enough_for_a_log_that_is_read_later(ca, status, kind, cause):
    ca.answer = problem(status, kind, "the CA's own words")
    assert diagnose(as_text(failure(fetch(ca.url))), {}).cause == cause


def test_the_story_is_the_ca_s_outage_and_nothing_is_to_be_done(ca):
    ca.answer = STORY_503
    found = explained(fetch(ca.url))
    assert found.cause == "ca-unavailable" and found.key == "ca-unavailable|503"
    assert "HTTP 503" in found.happened and "down for maintenance" in found.happened
    assert found.advice.startswith("Nothing now") and found.transient is True
    assert found.link == ""  # 127.0.0.1 is not Let's Encrypt, whatever it says


def test_the_status_page_is_shown_for_lets_encrypt_only(ca):
    ca.answer = STORY_503
    event = failure(fetch(ca.url))
    event["evidence"]["url"] = "https://acme-v02.api.letsencrypt.org/directory"
    assert diagnose(event, {}).link == "https://letsencrypt.status.io/"
    assert "(acme-v02.api.letsencrypt.org)" in diagnose(event, {}).happened
    event["evidence"]["url"] = "https://letsencrypt.org.evil.example/directory"
    assert diagnose(event, {}).link == ""
    assert diagnose(as_text(event), {}).link == "https://letsencrypt.status.io/"
    assert diagnose(as_text(event), {"argv": ["renew", "--server", "https://acme.zerossl.com/v2/DV90"]}).link == ""


@pytest.mark.parametrize("body, kind", [(b"<html>busy</html>", "text/html"), (b"", "text/plain"), (b'{"detail": 3}',
    "application/json"), (b"{}", "application/problem+json")])
@pytest.mark.parametrize("status, cause", [(500, "ca-unavailable"), (502, "ca-unavailable"), (503, "ca-unavailable"), (
    504, "ca-unavailable"), (429, "acme:rateLimited"), (403, "ca-forbidden"), (404, "ca-wrong-address")])
def test_an_http_error_without_a_problem_document_is_explained_by_its_status(ca, status, cause, body, kind):
    ca.answer = Answer(status, body, (("Content-Type", kind), ("Retry-After", "120")))
    found = explained(fetch(ca.url))
    assert found.cause == cause and found.retry_after == "120 s"


@pytest.mark.parametrize("body", [b"<html>Maintenance</html>", b'{"newNonce": ', b"\x00\xff\xfe"])
def test_a_page_instead_of_json_is_said_to_be_one(ca, body):
    ca.answer = Answer(200, body, (("Content-Type", "text/html"),))
    found = explained(fetch(ca.url))
    assert found.cause == "ca-garbage" and "HTTP 200" in found.happened


def test_an_answer_without_a_nonce_is_not_acme(ca):
    ca.answer = Answer(200, b"{}", (("Content-Type", "application/json"),))
    assert explained(lambda: network().post(ca.url, None, new_nonce_url=ca.url)).cause == "ca-garbage"


# -- rate limits -----------------------------------------------------------------------------------------------------

# Boulder's words: ratelimits/transaction.go (2024), ra/ra.go (before), wfe2/wfe.go (paused, busy)
LIMITS = [("too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, retry "
    "after 2026-12-02 07:00:00 UTC: see "
    "https://letsencrypt.org/docs/rate-limits/#new-certificates-per-exact-set-of-hostnames", "same names"), (
    "Error creating new order :: too many certificates already issued for exact set of domains: a.example: see "
    "https://letsencrypt.org/docs/rate-limits/", "same names"), ('too many certificates (50) already issued for '
    '"a.example" in the last 168h0m0s, retry after 2026-12-02 07:00:00 UTC: see', "domain"), ('too many failed '
    'authorizations (5) for "a.example" in the last 1h0m0s, retry after 2026-12-02 07:00:00 UTC: see',
    "failed authorizations"), ("too many new orders (300) from this account in the last 3h0m0s, retry after "
    "2026-12-02 07:00:00 UTC: see", "orders"), ("too many new registrations (10) from this IP address in the last "
    "3h0m0s, retry after 2026-12-02 07:00:00 UTC: see", "accounts"), ("Your account is temporarily prevented from "
    "requesting certificates for a.example and possibly others. Please visit: "
    "https://portal.letsencrypt.org/sfe/v1/unpause?jwt=eyJ0", "paused"), ("Service busy; retry later.", "busy"), (
    "slow down", "requests"),]


@pytest.mark.parametrize("detail, limit", LIMITS, ids=[row[1] for row in LIMITS])
def test_which_rate_limit_it_is_is_said(ca, detail, limit):
    ca.answer = problem(429, "rateLimited", detail, "3600")
    found = explained(fetch(ca.url), argv=["renew"])
    assert found.key == f"acme:rateLimited|{limit}"
    assert found.retry_after == ("2026-12-02 07:00 UTC" if "retry after" in detail else "3600 s")
    assert "force-renewal is why" not in found.happened and "jwt" not in repr(found)


@pytest.mark.parametrize("detail, limit", LIMITS, ids=[row[1] for row in LIMITS])
def test_force_renewal_is_named_as_the_reason_where_it_can_be_the_reason(ca, detail, limit):
    ca.answer = problem(429, "rateLimited", detail, "3600")
    found = explained(fetch(ca.url), argv=["renew", "--force-renewal", "--quiet"])
    it_is = limit in ("same names", "domain", "orders")
    assert ("--force-renewal is why" in found.happened) == it_is
    assert ("Take --force-renewal out" in found.advice) == it_is
    assert found.key == f"acme:rateLimited|{limit}"


@pytest.mark.parametrize("header, told", [("3600", "3600 s"), ("Wed, 02 Dec 2026 07:00:00 GMT", "2026-12-02 07:00 "
    "UTC"), ("soon", ""), ("9" * 400, ""), ("-5", ""), ("Mon, 99 Foo 2026", ""), ("٣", "")])
def test_retry_after_is_told_as_it_stands_and_only_if_it_is_one(ca, header, told):
    ca.answer = problem(503, "serverInternal", "down", "60")
    event = failure(fetch(ca.url))
    assert event["evidence"]["retry_after"] == "60"
    event["evidence"]["retry_after"] = header
    assert diagnose(event, {}).retry_after == told


# -- several names -----------------------------------------------------------------------------------------------------


def _inner(name: str, kind: str, detail: str) -> dict:
    return {"type": URN + kind, "detail": detail, "identifier": {"type": "dns", "value": name}}


def test_different_errors_of_different_names_are_told_by_name(ca):
    ca.answer = problem(403, "compound", "Errors during validation", subproblems=[_inner("a.example", "caa",
        "CAA record for a.example prevents issuance"), _inner("b.example", "dns", "DNS problem: SERVFAIL")])
    found = explained(fetch(ca.url))
    assert found.cause == "acme:compound" and found.key == "acme:compound|caa,dns"
    assert "a.example: caa" in found.happened and "b.example: dns" in found.happened


def test_the_same_error_of_several_names_is_that_error(ca):
    ca.answer = problem(403, "compound", "Errors", subproblems=[
        _inner(f"{letter}.example", "caa", f"CAA record for {letter}.example prevents issuance") for letter in "abc"])
    found = explained(fetch(ca.url))
    assert found.cause == "caa" and "a.example and 2 more names" in found.happened


def test_a_name_that_is_rejected_is_named(ca):
    ca.answer = problem(400, "rejectedIdentifier", "Error creating new order :: Cannot issue for names", subproblems=[
        _inner("bank.example", "rejectedIdentifier", "The ACME server refuses to issue a certificate for this domain "
        "name")])
    assert "for bank.example" in explained(fetch(ca.url)).happened


# -- challenges, shown by certbot's own code ---------------------------------------------------------------------------


def _challenges(*rows: tuple[str, str, str]):
    """What certbot shows and raises when these (name, type, detail) failed."""
    from types import SimpleNamespace

    from acme import messages
    from certbot import errors
    from certbot._internal import auth_handler
    from certbot._internal.display import obj
    from certbot._internal.plugins import standalone

    account = SimpleNamespace(key=KEY)
    config = SimpleNamespace(http01_port=80, http01_address="")
    handler = auth_handler.AuthHandler(standalone.Authenticator(config, "standalone"), None, account, [])
    bodies = [messages.Authorization.from_json({
        "identifier": {"type": "dns", "value": name}, "status": "invalid",
        "challenges": [{"type": "http-01", "url": "http://x.invalid/c", "token": "a" * 43, "status": "invalid",
                        "error": {"type": URN + kind, "detail": detail}}]}) for name, kind, detail in rows]

    def act() -> None:
        obj.set_display(obj.NoninteractiveDisplay(sys.stderr))
        handler._report_failed_authzrs([messages.AuthorizationResource(body=body, uri="http://x.invalid/a") for body in
            bodies])
        raise errors.AuthorizationError("Some challenges have failed.")

    return act


PATH = ".well-known/acme-challenge/Ab-1"
# Boulder's details: detail, type, addresses of this host, cause, key after the cause, words
WRONG = [
    (f"192.0.2.7: Invalid response from http://a.example/{PATH}: 404", "unauthorized", ["8.8.8.8"],
        "challenge-elsewhere", "404", ["192.0.2.7, which is not this host", "HTTP 404"]),
    (f"192.0.2.7: Invalid response from http://a.example/{PATH}: 404", "unauthorized", ["192.0.2.7"],
        "challenge-wrong-answer", "404", ["192.0.2.7, an address of this host", "HTTP 404"]),
    (f"192.0.2.7: Invalid response from http://a.example/{PATH}: 503", "unauthorized", ["10.0.0.5"],
        "challenge-wrong-answer", "503", ["192.0.2.7 answered with HTTP 503"]),
    (f'2001:db8::7: Invalid response from https://other.example/{PATH}: "<!DOCTYPE html>\\n<html>Parked"',
        "unauthorized", ["2606:4700::1"], "challenge-elsewhere", "page", ["2001:db8::7, which", "‹!DOCTYPE html›",
        "redirect to https://other.example"]),
    (f'Invalid response from http://a.example/{PATH} [192.0.2.7]: "<html>old"', "unauthorized", [],
        "challenge-wrong-answer", "page", ["192.0.2.7", "‹html›old"]),
    ('192.0.2.7: The key authorization file from the server did not match this challenge. Expected "x" (got "y")',
        "unauthorized", ["192.0.2.7"], "challenge-wrong-answer", "key authorization", ["the file of another "
        "challenge"]),
    (f"192.0.2.7: Fetching http://a.example/{PATH}: Connection refused", "connection", ["192.0.2.7"],
        "challenge-unreachable", "refused", ["192.0.2.7, an address of this host, refused the connection"]),
    (f"192.0.2.7: Fetching http://a.example/{PATH}: Timeout during connect (likely firewall problem)", "connection", [
        "8.8.8.8"], "challenge-elsewhere", "timeout", ["192.0.2.7, which is not this host, did not answer in time"]),
    (f"During secondary validation: 192.0.2.7: Fetching http://a.example/{PATH}: Timeout during connect (likely "
        f"firewall problem)", "connection", ["192.0.2.7"], "challenge-unreachable", "timeout", ["from some of its "
        "places"]),
    (f"192.0.2.7: Fetching http://a.example/{PATH}: Connection reset by peer", "connection", [],
        "challenge-unreachable", "reset", ["broke the connection off"]),
    (f"192.0.2.7: Fetching https://a.example/{PATH}: remote error: tls: handshake failure", "tls", [],
        "challenge-redirect", "tls", ["TLS handshake"]),
    ("DNS problem: NXDOMAIN looking up A for a.example - check that a DNS record exists for this domain", "dns", [],
        "dns", "nxdomain", ["there is no a.example"]),
    ("DNS problem: SERVFAIL looking up CAA for a.example - the domain's nameservers may be malfunctioning", "dns", [],
        "dns", "servfail", ["name servers of a.example failed"]),
    ("DNS problem: query timed out looking up A for a.example", "dns", [], "dns", "timeout", ["in time"]),
    ("no valid A records found for a.example; no valid AAAA records found for a.example", "dns", [], "dns",
        "no address", ["no A and no AAAA"]),
    ("DNS problem: looking up A for a.example: DNSSEC: Bogus", "dns", [], "dns", "dnssec", ["DNSSEC"]),
    ("CAA record for a.example prevents issuance", "caa", [], "caa", "", ["CAA record forbids"]),
    ("No TXT record found at _acme-challenge.a.example", "unauthorized", [], "dns-record", "missing", ["found no TXT "
        "record"]),
    ('Incorrect TXT record "abc" (and 1 more) found at _acme-challenge.a.example', "unauthorized", [], "dns-record",
        "wrong", ["another TXT"]),
    ("account key changed", "malformed", [], None, "", []),
]


@pytest.mark.parametrize("detail, kind, own, cause, parameter, words", WRONG, ids=range(len(WRONG)))
def test_a_failed_challenge_says_what_answered_instead_and_whose_address_that_is(
        monkeypatch, detail, kind, own, cause, parameter, words):
    monkeypatch.setattr("certbot_guard.evidence.own_addresses", lambda: own)
    event = failure(_challenges(("a.example", kind, detail)))
    found = diagnose(event, {})
    assert found.cause == (cause or "acme:malformed" if cause else "challenge")
    assert found.key.endswith(parameter) and all(word in found.happened for word in words), found
    assert event["evidence"]["challenges"] == [{"domain": "a.example", "type": kind, "detail": detail}]
    assert diagnose(as_text(event), {}).cause in (
        cause, "challenge-wrong-answer", "challenge-unreachable", "challenge-redirect", "challenge")


def test_several_names_that_failed_alike_are_one_sentence():
    event = failure(_challenges(*[(f"{letter}.example", "connection", f"192.0.2.7: Fetching "
        f"http://{letter}.example/{PATH}: Connection refused") for letter in "abcd"]))
    assert "a.example and 3 more names" in diagnose(event, {}).happened
    assert len(event["evidence"]["challenges"]) == 4


def test_the_key_of_a_failure_does_not_change_with_names_addresses_and_tokens(monkeypatch):
    monkeypatch.setattr("certbot_guard.evidence.own_addresses", lambda: ["8.8.8.8"])
    keys = {diagnose(failure(_challenges((name, "unauthorized", f"{address}: Invalid response from "
        f"http://{name}/.well-known/acme-challenge/{token}: 404"))), {}).key
            for name, address, token in (("a.example", "192.0.2.7", "x1"), ("b.example", "192.0.2.8", "y2"))}
    assert len(keys) == 1


def test_words_of_a_ca_that_is_not_known_tell_two_troubles_apart():
    def found(name, words):
        detail = f"192.0.2.7: Invalid response from http://{name}/{PATH}: {words}"
        return diagnose(failure(_challenges((name, "unauthorized", detail))), {})

    assert 'answered with "no luck today" instead' in found("a.example", "no luck today").happened
    assert found("a.example", "no luck 1").key == found("b.example", "no luck 2").key
    assert found("a.example", "no luck").key != found("a.example", "the wrong one").key


def test_an_order_that_fails_after_finalize_is_explained_by_its_own_error():
    from acme import errors, messages

    def act() -> None:
        raise errors.IssuanceError(messages.Error.from_json(json.loads(problem(403, "badCSR", "weak key").body)))

    assert explained(act).cause == "acme:badCSR"


def test_one_name_s_trouble_is_not_said_of_all():
    """NXDOMAIN, a time-out and a 404 are three troubles."""
    event = failure(_challenges(
        ("a.example", "dns", "DNS problem: NXDOMAIN looking up A for a.example - check that a DNS record exists"),
        ("b.example", "connection", f"192.0.2.7: Fetching http://b.example/{PATH}: Timeout during connect (likely firewall"
                                    " problem)"),
        ("c.example", "unauthorized", f"192.0.2.7: Invalid response from http://c.example/{PATH}: 404")))
    said = diagnose(event, {}).happened
    assert "more names" not in said and "other names failed otherwise" in said


def test_a_redirect_that_leads_nowhere_is_not_a_firewall_s():
    event = failure(_challenges(("a.example", "connection", f"192.0.2.7: Fetching https://a.example/{PATH}: too many redirects")))
    found = diagnose(event, {})
    assert found.whose == "web server" and "redirect" in found.advice and "firewall" not in found.advice.lower()
