"""Whatever an event holds, a diagnosis comes of it that harms nobody; and the table is complete."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from certbot_guard import diagnosis
from certbot_guard.account import NOTEWORTHY
from certbot_guard.diagnosis import Diagnosis, diagnose, table
from tests.unit.test_message_text import NASTY, acts_on_nothing

WHOSE = {"ca", "network", "dns", "host", "configuration", "web server", "certbot", "unknown"}
URN = "urn:ietf:params:acme:error:"

# Words that lead into the table's rows, and what strangers may put around them.
SEEDS = ["Connection refused", "Max retries exceeded", "HTTPSConnectionPool(host='x', port=443)", "[Errno 28] No "
    "space left on device", "Could not bind TCP port 80 because it is already in use", "The requested {0} plugin does "
    "not appear to be installed", "192.0.2.7: Invalid response from http://a/.well-known/acme-challenge/x: 404",
    "1.2.3.4.5: ", "DNS problem: NXDOMAIN", "::::: ", URN + "rateLimited", "retry after 2026-99-99 99:99:99 UTC",
    "<Response [503]>", "Deserialization error", "{x.__class__} {} {0}", "%s %d"]
words = st.one_of(st.sampled_from(NASTY + SEEDS), st.text(max_size=60), st.lists(st.sampled_from(SEEDS + NASTY[:8]),
    max_size=3).map("\n".join))
junk = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words), lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)), max_leaves=6)
types = st.one_of(words, st.sampled_from([URN + name for name in ("rateLimited", "compound", "unauthorized", "dns",
    "caa", "connection", "x")]))
numbers = st.one_of(st.sampled_from([28, 13, 98, 111, 404, 429, 503, 10, -2]), st.integers(), junk)
problem = st.fixed_dictionaries({}, optional={"domain": words, "identifier": words, "type": types, "detail": words})
problems = st.lists(problem, max_size=3)
classes = st.one_of(words, st.sampled_from(
    ["requests.exceptions.ConnectionError", "acme.errors.ClientError", "builtins.OSError"]))
urls = st.one_of(words, st.sampled_from(
    ["https://acme-v02.api.letsencrypt.org/directory", "https://[", "http://a b/"]))
dates = st.one_of(words, st.sampled_from(["Tue, 24 Nov 2026 04:16:00 GMT", "Tue, 24 Nov 0000 04:16:00 GMT"]))
addresses = st.one_of(words, st.sampled_from(["192.0.2.7", "::1", "8.8.8.8"]))
evidence = st.fixed_dictionaries({}, optional={
    "types": st.lists(classes, max_size=3), "texts": st.lists(words, max_size=3), "errno": numbers,
    "filename": words, "status": numbers, "url": urls, "retry_after": words, "verify_code": numbers,
    "port": numbers, "port_owner": words, "challenges": problems, "server_date": dates,
    "addresses": st.lists(addresses, max_size=3), "problem": problem})
refusal = st.fixed_dictionaries({"type": types, "detail": words, "subproblems": problems})
moments = st.one_of(junk, st.sampled_from(["2026-11-24T04:15:00+00:00", "0001-01-01T00:00:00+14:00"]))
events = st.fixed_dictionaries({"kind": st.one_of(st.sampled_from(sorted(NOTEWORTHY)), junk)}, optional={
    "lineage": words, "error": words, "error_type": words, "reason": words, "detail": words, "text": words,
    "context": st.lists(words, max_size=2), "acme": st.one_of(junk, refusal), "evidence": st.one_of(junk, evidence),
    "hook": junk, "code": junk, "path": junk, "action": junk, "where": junk, "at": moments})
facts = st.one_of(junk, st.fixed_dictionaries({}, optional={
    "argv": st.one_of(junk, st.lists(words, max_size=3)), "server": junk, "acme_server": junk}))


def assert_is_one(found: Diagnosis) -> None:
    for name, value, limit in (("cause", found.cause, 100), ("key", found.key, 300), ("happened", found.happened, 300),
        ("advice", found.advice, 700), ("link", found.link, 200), ("retry_after", found.retry_after, 40)):
        assert acts_on_nothing(value) and "\n" not in value and len(value) <= limit, (name, value)
    assert found.happened.endswith(("." , "?")) and found.advice
    assert found.whose in WHOSE and found.transient in (True, False, None)
    assert found.link == "" or re.match(r"https://(letsencrypt\.org|letsencrypt\.status\.io|"
        r"community\.letsencrypt\.org|certbot\.eff\.org|eff-certbot\.readthedocs\.io)/", found.link)
    assert re.fullmatch(r"|\d{4}-\d\d-\d\d \d\d:\d\d UTC|\d{1,8} s", found.retry_after)


@given(event=events, facts=facts)
@settings(max_examples=600, deadline=None)
@example(event={"kind": "lineage-failed", "acme": {"type": URN + "caa", "detail": "x"}}, facts={})
def test_whatever_an_event_holds_the_diagnosis_harms_nobody(event, facts):
    found = diagnosis._diagnosis(event, facts)  # without the net under it: nothing is raised
    assert_is_one(found)
    assert found == diagnose(event, facts) == diagnose(event, facts)


@pytest.mark.parametrize("event", [None, [], "x", 3, {}, {"kind": None}, {"kind": "lineage-failed", "evidence": []}])
@pytest.mark.parametrize("facts", [None, [], {}, {"argv": 5}])
def test_what_is_no_event_has_a_diagnosis_too(event, facts):
    assert_is_one(diagnose(event, facts))


@pytest.mark.parametrize("kind", sorted(NOTEWORTHY))
def test_every_noteworthy_kind_has_a_diagnosis_of_its_own(kind):
    found = diagnose({"kind": kind}, {})
    assert_is_one(found)
    assert (found.cause == "unknown") == (kind in ("lineage-failed", "fatal"))


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
@pytest.mark.parametrize("make", [
    lambda text: {"kind": "lineage-failed", "error": text, "error_type": text},
    lambda text: {"kind": "lineage-failed", "acme": {"type": URN + "malformed", "detail": text}},
    lambda text: {"kind": "lineage-failed", "acme": {"type": text, "detail": text}},
    lambda text: {"kind": "start-failed", "reason": text, "detail": text},
    lambda text: {"kind": "lineage-failed", "evidence": {"challenges": [{
        "domain": text, "type": "unauthorized",
        "detail": f'192.0.2.7: Invalid response from http://a/.well-known/acme-challenge/x: "{text}"'}]}}])
def test_strangers_words_act_on_nothing(text, make):
    assert_is_one(diagnose(make(text), {}))


@pytest.mark.parametrize("one, other", [
    ("2026-11-24 04:15:00", "2026-11-24 16:15:00"), ("order 123456789", "order 987654321"), ("a.example", "b.example"),
    ("/etc/letsencrypt/live/a/x.pem", "/etc/letsencrypt/live/b/x.pem")])
@pytest.mark.parametrize("make", [
    lambda text: {"kind": "lineage-failed", "error": text, "error_type": "Error"},
    lambda text: {"kind": "lineage-failed", "acme": {"type": URN + "malformed", "detail": text}},
    lambda text: {"kind": "lineage-failed", "error": f"[Errno 28] No space left on device: '{text}'"},
    lambda text: {"kind": "start-failed", "reason": "Apache did not start: exit code 1", "detail": text},
    lambda text: {"kind": "lineage-failed", "at": text, "lineage": text, "evidence": {
        "status": 503, "types": ["acme.errors.ClientError"], "url": f"https://ca/{text}", "retry_after": text,
        "server_date": text}}])
def test_the_key_does_not_change_with_times_numbers_and_names(one, other, make):
    assert diagnose(make(one), {}).key == diagnose(make(other), {}).key


def test_the_key_changes_with_what_matters():
    keys = {diagnose({"kind": "lineage-failed", "evidence": {"status": status, "types": ["acme.errors.ClientError"]}},
        {}).key
            for status in (403, 404, 429, 500, 503)}
    assert len(keys) == 5


def test_the_table_is_complete_and_every_sentence_of_it_harmless():
    rows = list(table())
    assert len(rows) > 100
    for cause, whose, transient, happened, advice in rows:
        assert cause and whose in WHOSE and transient in (True, False, None)
        for said in (happened, advice):
            assert acts_on_nothing(said) and said.endswith((".", "?")) and "{" not in said and "  " not in said, said
            assert " ," not in said and "?." not in said, said
        assert len(happened) <= 300 and not happened.endswith("…."), happened
    assert {"unknown", "ca-unavailable", "acme:rateLimited", "dns", "port-in-use"} <= {row[0] for row in rows}


def test_a_diagnosis_is_quick_even_for_hostile_text():
    import time

    began = time.monotonic()
    for text in ("a:" * 50_000, "1.1." * 50_000, "Invalid response from " * 5000, "::" * 50_000, "Domain: \n Type: \n "
        "Detail: \n" * 5000):
        diagnose({"kind": "lineage-failed", "error": text, "context": [text], "evidence": {"texts": [text], "types": [
            "x.y"], "challenges": [{"domain": text, "type": "unauthorized", "detail": text}]}}, {})
        diagnose({"kind": "start-failed", "reason": text, "detail": text}, {})
    assert time.monotonic() - began < 5
