"""What a CA answers, and what is logged of it: evidence, diagnosis and message come of it, and harm nobody."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbot_guard import diagnosis, evidence, findings, logfile, message, standing, traceback_text
from certbot_guard.account import Account
from certbot_guard.capture import Capture
from certbot_guard.standing import News
from tests.fuzz.trying import bounded, is_quiet, junk, many, text_of, words
from tests.unit.test_diagnosis import facts as any_facts
from tests.unit.test_message_text import acts_on_nothing

URN = "urn:ietf:params:acme:error:"
NOW = datetime(2026, 11, 24, 4, 16, tzinfo=timezone.utc)
TYPES = st.one_of(words, st.sampled_from([URN + name for name in (
    "rateLimited", "unauthorized", "dns", "caa", "connection", "compound", "serverInternal", "alreadyReplaced")]), junk)
PROBLEMS = st.one_of(junk, st.fixed_dictionaries({}, optional={
    "type": TYPES, "detail": st.one_of(words, junk), "status": junk, "subproblems": st.one_of(junk, st.lists(
        st.fixed_dictionaries({}, optional={"type": TYPES, "detail": junk, "identifier": st.one_of(junk, st.fixed_dictionaries(
            {"value": junk}))}), max_size=4))}))
BODIES = st.one_of(words, PROBLEMS.map(lambda found: json.dumps(found)), st.just("[" * 50_000), st.just("{\"a\":" * 50_000))
HEADERS = st.lists(st.one_of(words, st.sampled_from([
    "Retry-After: 3600", "Retry-After: \x1b[2J", "Date: Tue, 24 Nov 2026 04:16:00 GMT", "date: x", "Retry-After: " + "9" * 400])),
    max_size=4).map("\n".join)
LOG = ["2026-11-24 04:17:01,002:DEBUG:certbot._internal.main:certbot version: 5.8.0",
       "2026-11-24 04:17:01,002:DEBUG:certbot._internal.main:Arguments: ['--quiet', 'x']",
       "2026-11-24 04:17:01,002:DEBUG:acme.client:Sending POST request to https://acme-v02.api.letsencrypt.org/acme/new-order:",
       "2026-11-24 04:17:01,002:DEBUG:acme.client:Received response:\nHTTP 429\nRetry-After: 60\n\n{\"type\": \"" + URN + "rateLimited\", "
       "\"detail\": \"\x1b[2Jx\"}",
       "2026-11-24 04:17:01,002:ERROR:certbot._internal.renewal:Failed to renew certificate a with error: " + URN
       + "unauthorized :: The client lacks sufficient authorization :: 192.0.2.7: Invalid response <script>: 404",
       "2026-11-24 04:17:01,002:DEBUG:certbot._internal.display.obj:Notifying user: \nCertbot failed to authenticate some "
       "domains. The Certificate Authority reported these problems:\n  Identifier: a\n  Type: dns\n  Detail: \x1b]0;x\x07 NXDOMAIN",
       "2026-11-24 04:17:01,002:ERROR:certbot._internal.log:An unexpected error occurred:",
       "Traceback (most recent call last):", "  File \"main.py\", line 1, in x", "acme.messages.Error: " + URN + "dns :: x :: y",
       "2026-11-24 04:17:01,002:ERROR:certbot._internal.log:1 renew failure(s), 0 parse failure(s)", "certbot.errors.Error: {}"]


class _Error(Exception):
    """As ``acme.messages.Error``: it is known by its attributes."""

    def __init__(self, document: Any) -> None:
        super().__init__("an error")
        found = document if isinstance(document, dict) else {}
        self.typ, self.detail, self.subproblems = found.get("type"), found.get("detail"), found.get("subproblems")


@given(BODIES, HEADERS, st.integers(-1, 999), PROBLEMS, any_facts)
@many(60)
def test_any_answer_becomes_a_message_that_harms_nobody(body: str, headers: str, status: int, document: Any, facts: Any) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    with bounded():
        capture = Capture()
        capture.flush_to(lambda kind, fields: heard.append((kind, fields)))
        for name, level, words_, arguments in (
                ("acme.client", logging.DEBUG, "Sending POST request to %s:\n%s", ("https://ca.example/new-order", "{}")),
                ("acme.client", logging.DEBUG, "Received response:\nHTTP %d\n%s\n\n%s", (status, headers, body)),
                ("certbot", logging.INFO, "Notifying user: %s", (f"reported these problems:\n  Domain: a\n  Detail: {body}",)),
                ("certbot._internal.renewal", logging.ERROR, "Failed to renew certificate %s with error: %s",
                 ("a.example", _Error(document)))):
            capture.emit(logging.LogRecord(name, level, "x.py", 1, words_, arguments, None))
        assert [kind for kind, _ in heard] == ["lineage-failed"]
        event = {"n": 0, "kind": heard[0][0], "at": NOW.isoformat(), "mono": 1.0, **json.loads(json.dumps(heard[0][1]))}
        _is_told(event, facts if isinstance(facts, dict) else {})


def _is_told(event: dict[str, Any], facts: dict[str, Any]) -> None:
    found = diagnosis._diagnosis(event, facts)
    assert is_quiet(found.happened) and is_quiet(found.advice) and is_quiet(found.retry_after) and is_quiet(found.key)
    account = Account({"id": "20261124T041500Z-00000000", "host": "web1", "argv": ["renew"], "verb": "renew"}, [event], -1,
                      NOW, True, {})
    wrong = findings.of(account)
    assert wrong
    news = standing.news_for(standing.Taker("mail", frozenset({"failure", "refused", "outage", "expiry"})), wrong, [],
                             standing.Memory(), NOW, timedelta(days=1))
    assert isinstance(news, News)
    made = message.compose(account, news)
    assert is_quiet(made.title) and len(made.title) < 250, made.title
    assert all(is_quiet(line) for line in made.body.split("\n")) and acts_on_nothing(made.body.replace("\n", " "))


@given(text_of(LOG), st.booleans())
@many(60)
def test_any_log_is_read_and_what_it_tells_is_diagnosed(text: str, whole: bool) -> None:
    with bounded():
        for run in logfile.runs(text, whole):
            for event in run.events:
                found = diagnosis._diagnosis(event, run.facts)
                assert is_quiet(found.happened) and is_quiet(found.advice)


@pytest.mark.parametrize("unit", ["a", " ", "\n", " :: ", "Domain: a\n", "  Detail: a\n", "1.", "1.2.3.4", ":", "a:", "::1", "/a",
                                  "a.", "{", "[", "(", "Error: ", "urn:acme:error:", "\\", "'", "Caused by ", "port 80 ", "%s",
                                  "  File \"a\", line 1\n", "host='", "Mon Nov ", "retry after ", "<Response ["])
def test_a_long_error_takes_no_longer_than_its_length(unit: str) -> None:
    text = (unit * 100_000)[:100_000]
    with bounded():
        for error in (text, f"{URN}dns :: x :: {text}", f"HTTPSConnectionPool(host='{text}", f"Could not bind TCP port {text}"):
            gathered = evidence.gather(OSError(5, text), evidence.Exchange(), evidence.reported_problems(text), text)
            event = {"n": 0, "kind": "lineage-failed", "lineage": "a", "error": error, "context": [text], "evidence": gathered,
                     "acme": {"type": text, "detail": text, "subproblems": [{"detail": text}]}}
            assert is_quiet(diagnosis._diagnosis(event, {}).happened)
            account = Account({"id": "x", "argv": []}, [event], -1, NOW, True, {})
            account.likeness(event)
            traceback_text.evidence(error)
        for kind in ("Failed to renew certificate a with error: ", "", "Attempting to renew cert (a) from ", "Running x command: "):
            logfile.runs("2026-11-24 04:17:01,002:ERROR:certbot._internal.renewal:" + kind + text)
