"""Evidence: what is known of a failure beyond its text, bounded, and never an error of its own."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys

import pytest
from acme import errors as acme_errors
from acme import messages
from hypothesis import given, settings
from hypothesis import strategies as st

from certbot_guard import evidence
from certbot_guard.capture import Capture, acme_problem
from tests.support.failures import LocalCA, failure, fetch, heard, network
from tests.support.faulty_ca import Answer, problem


@pytest.fixture(scope="module")
def ca():
    with LocalCA() as server:
        yield server


def test_what_the_ca_answered_is_known_though_acme_s_error_drops_it(ca):
    ca.answer = problem(429, "rateLimited", "too many", "3600")
    found = failure(fetch(ca.url))["evidence"]
    assert found["status"] == 429 and found["retry_after"] == "3600" and found["url"] == ca.url
    assert found["server_date"].endswith("GMT") and found["types"][0] == "acme.messages.Error"


def test_what_the_ca_answered_is_known_from_the_response_in_the_error(ca):
    ca.answer = Answer(502, b"<html>", (("Retry-After", "7"),))
    error = None
    try:
        network().get(ca.url)
    except acme_errors.ClientError as raised:
        error = raised
    found = evidence.gather(error, evidence.Exchange(), [])  # no records were heard at all
    assert (found["status"], found["retry_after"], found["url"]) == (502, "7", ca.url)


def test_the_problem_behind_an_http_409_is_kept(ca):
    ca.answer = problem(409, "alreadyReplaced", "it was replaced")
    event = failure(fetch(ca.url))
    assert event["acme"] is None and event["evidence"]["problem"]["type"].endswith("alreadyReplaced")


def test_an_error_of_this_host_is_not_mixed_up_with_the_ca_s_last_good_answer(ca):
    ca.answer = Answer(200, b"{}", (("Content-Type", "application/json"),))

    def act():
        network().get(ca.url)
        open("/nonexistent")  # noqa: SIM115 - there is nothing to close

    found = failure(act)["evidence"]
    assert "status" not in found and found["errno"] == 2
    assert found["filename"] == "/nonexistent" and found["url"] == ca.url


def test_a_request_that_had_no_answer_has_no_status(ca):
    ca.answer = problem(503, "serverInternal", "down", "60")

    def act():
        with pytest.raises(messages.Error):
            network().get(ca.url)
        network(timeout=0.2).get("http://127.0.0.1:9/dir")

    found = failure(act)["evidence"]
    assert "status" not in found and "retry_after" not in found and found["url"] == "http://127.0.0.1:9/dir"


def test_what_was_said_of_one_lineage_is_forgotten_with_the_next():
    with heard() as (_, events):
        certbot = logging.getLogger("certbot._internal.x")
        shown = "The Certificate Authority reported these problems:\n  Domain: a\n  Type:   dns\n  Detail: x\n"
        certbot.debug("Notifying user: %s", shown)
        logging.getLogger("acme.client").debug("Sending %s request to %s.", "GET", "http://ca/dir")
        certbot.debug("Notifying user: %s", "Processing /r/b.conf")
        logging.getLogger("certbot._internal.renewal").error("Failed to renew certificate %s with error: %s", "b",
            ValueError("x"))
    assert "challenges" not in events[-1]["evidence"] and "url" not in events[-1]["evidence"]


@pytest.mark.parametrize("word", ["Domain", "Identifier"])
def test_challenges_are_read_as_certbot_shows_them(word):
    text = (f"\nCertbot failed to authenticate some domains (authenticator: standalone). The Certificate Authority "
        f"reported these problems:\n  {word}: a.example\n  Type:   unauthorized\n  Detail: first line\nsecond "
        f"line\n\n  {word}: b.example\n  Type:   dns\n  Detail: no such name\n\nHint: The Certificate Authority "
        f"failed to download\n")
    assert evidence.reported_problems(text) == [
        {"domain": "a.example", "type": "unauthorized", "detail": "first line second line"},
        {"domain": "b.example", "type": "dns", "detail": "no such name"}]


def test_this_host_s_addresses_are_known():
    assert "127.0.0.1" in evidence.own_addresses()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))  # sends nothing: it only chooses the address
            assert one.getsockname()[0] in evidence.own_addresses()
        except OSError:
            pass  # a machine without a route


def test_addresses_are_looked_up_only_where_a_detail_names_one(monkeypatch):
    monkeypatch.setattr(evidence, "own_addresses", lambda: ["192.0.2.7"])

    def gathered(detail):
        return evidence.gather(None, evidence.Exchange(), [{"domain": "a", "type": "dns", "detail": detail}])

    assert gathered("2001:db8::1: Fetching x")["addresses"] == ["192.0.2.7"] == gathered("192.0.2.9: x")["addresses"]
    assert "addresses" not in gathered("DNS problem: NXDOMAIN at 12:30")


def test_everything_is_bounded_and_fit_for_json():
    error: BaseException = ValueError("x" * 1_000_000)
    for _ in range(100):
        outer = OSError(28, "y" * 100_000, "f" * 100_000)
        outer.__cause__ = error
        error = outer
    challenges = [{"domain": "d", "type": "t", "detail": "z" * 500}] * 1000
    found = evidence.gather(error, evidence.Exchange(), challenges, "w" * 1_000_000)
    assert len(json.dumps(found)) < 100_000 and len(found["types"]) <= 12
    shown = "reported these problems:\n" + "  Domain: d\n  Type: t\n  Detail: z\n" * 100_000
    assert len(evidence.reported_problems(shown)) == 100


def test_a_chain_that_bites_its_own_tail_ends():
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert len(evidence.gather(one, evidence.Exchange(), [])["types"]) == 2


class _Hostile(Exception):
    errno = property(lambda self: 1 / 0)
    response = property(lambda self: 1 / 0)

    def __str__(self) -> str:
        raise RuntimeError


def test_an_exception_that_cannot_be_looked_at_costs_the_evidence_and_no_more():
    capture, events = Capture(), []
    capture.flush_to(lambda kind, fields: events.append(fields))
    record = logging.LogRecord("certbot._internal.renewal", logging.ERROR, "", 0, "Failed to renew certificate %s "
        "with error: %s", ("a", _Hostile()), None)
    capture.emit(record)
    assert events[0]["lineage"] == "a" and events[0]["evidence"] == {} and "_Hostile" in events[0]["error"]


def test_a_problem_that_acme_itself_cannot_show_is_told_all_the_same(ca):
    ca.answer = Answer(500, b'{"type": "urn:x:serverInternal", "detail": 3}', (("Content-Type",
        "application/problem+json"),))
    event = failure(fetch(ca.url))
    assert event["evidence"]["status"] == 500 and event["error"]


ARGUMENTS = st.one_of(st.none(), st.text(max_size=40), st.lists(st.text(max_size=9)).map(tuple))


@given(st.lists(st.tuples(st.text(max_size=40), ARGUMENTS)))
@settings(max_examples=200, deadline=None)
def test_records_of_any_shape_harm_nobody(records):
    capture, events = Capture(), []
    capture.flush_to(lambda kind, fields: events.append(fields))
    for message, arguments in records:
        for start in ("", "Sending ", "Received response:\nHTTP %d"):
            capture.emit(logging.LogRecord("acme.client", 10, "", 0, start + message, arguments, None))
    capture._failed("a", ValueError("x"))
    json.dumps(events)


def test_nothing_is_imported_for_it_that_certbot_has_not_imported():
    code = ("import sys, certbot.main; before = set(sys.modules); import certbot_guard.evidence; "
            "print(sorted(set(sys.modules) - before))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert eval(done.stdout) in (["certbot_guard", "certbot_guard.evidence"], ["certbot_guard.evidence"])


def test_only_acme_problems_are_problems():
    assert acme_problem(ValueError("x")) is None and acme_problem(None) is None
    inner = messages.Error(typ="urn:ietf:params:acme:error:badCSR", detail="weak")
    assert acme_problem(acme_errors.IssuanceError(inner))["detail"] == "weak"
