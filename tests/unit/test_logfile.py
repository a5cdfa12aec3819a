"""What a letsencrypt.log tells, old and new; certbot's own of today are made in tests/integration/test_explain.py."""

from __future__ import annotations

import io
import json
import os
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certbot_guard import logfile, logrecords, traceback_text
from certbot_guard.diagnosis import diagnose

DATA = Path(__file__).parent.parent / "data"
STORY = (DATA / "letsencrypt-2018.log").read_text("utf-8")
CHALLENGE = (DATA / "letsencrypt-0.27-challenge.log").read_text("utf-8")
DETAIL = ("The service is down for maintenance or had an internal error. Check https://letsencrypt.status.io/ for more "
          "details.")
AT = "2026-11-24 04:15:03,123"


def only_run(text: str, **options: Any) -> logfile.Run:
    run, = logfile.runs(text, **options)
    return run


def test_the_log_of_the_story() -> None:
    run = only_run(STORY)
    event, = run.events
    assert (event["kind"], event["lineage"]) == ("lineage-failed", "www.serotoninpower.club")
    assert event["acme"] == {"type": "urn:acme:error:serverInternal", "detail": DETAIL, "subproblems": []}
    assert event["error"] == f"urn:acme:error:serverInternal :: The server experienced an internal error :: {DETAIL}"
    found = event["evidence"]
    assert found["status"] == 503 and found["url"] == "https://acme-v02.api.letsencrypt.org/directory"
    assert found["server_date"] == "Fri, 30 Nov 2018 19:00:23 GMT" and found["types"] == ["acme.messages.Error"]
    line = STORY.splitlines()[event["line"] - 1]
    assert line.startswith("2018-12-01 04:00:23,113:WARNING:certbot.renewal:Attempting")
    assert run.facts == {"certbot": "0.27.1", "argv": ["--force-renewal"], "dry_run": False} and not run.unfinished


def test_the_time_zone_of_another_machines_log_is_read_from_the_cas_answer() -> None:
    event, = only_run(STORY).events
    assert datetime.fromisoformat(event["at"]).astimezone(timezone.utc) == datetime(2018, 11, 30, 19, 0, 23,
                                                                                    tzinfo=timezone.utc)
    undated, = only_run(STORY.replace("\ndate: ", "\nx: ")).events
    assert "at" not in undated


def test_a_log_that_was_pasted_and_wrapped_is_understood() -> None:
    wrapped = STORY.replace("unexpected error: urn:", "unexpected error: u\nrn:").replace("more details..",
                                                                                          "more detai\nls..")
    event, = only_run(f"```bash\n$ sudo view x.log\n(snip)\n\n{wrapped}(snip)\n```\n").events
    assert event["error"].endswith(DETAIL) and event["acme"]["type"] == "urn:acme:error:serverInternal"


def test_the_words_of_2018_for_a_challenge_a_hook_and_a_broken_file() -> None:
    events = only_run(CHALLENGE).events
    broken, hook, output, failed = events
    assert broken["kind"] == "lineage-broken" and broken["path"] == "/etc/letsencrypt/renewal/old.example.conf"
    assert broken["evidence"]["types"] == ["certbot.errors.CertStorageError"]
    assert (hook["hook"], hook["code"], hook["command"]) == ("pre-hook", 4, "/usr/local/bin/open-port")
    assert output["output"] == "no such zone"
    assert failed["lineage"] == "www.example.com" and failed["error_type"] == "FailedChallenges"
    challenge, = failed["evidence"]["challenges"]
    assert (challenge["domain"], challenge["type"]) == ("www.example.com", "unauthorized")
    assert "[192.0.2.7]: 404" in challenge["detail"] and "To fix" not in challenge["detail"]
    assert failed["evidence"]["types"] == ["certbot.errors.FailedChallenges"] and "addresses" not in failed["evidence"]


def log(*records: str) -> str:
    return "".join(f"{AT}:{record}\n" for record in ("DEBUG:certbot._internal.main:certbot version: 5.8.0", *records))


PROCESSING = "DEBUG:certbot._internal.display.obj:Notifying user: Processing /etc/letsencrypt/renewal/a.conf"
FAILED = "ERROR:certbot._internal.renewal:Failed to renew certificate {} with error: {}"


def test_an_answer_of_the_lineage_before_is_no_evidence_for_the_next() -> None:
    first, second = only_run(log(
        PROCESSING, "DEBUG:acme.client:Sending GET request to https://ca.example/dir.",
        "DEBUG:acme.client:Received response:\nHTTP 503\nRetry-After: 120\n\nx", FAILED.format("a", "x"),
        PROCESSING, FAILED.format("b", "[Errno 28] No space left on device: '/etc/x'"))).events
    assert first["evidence"] == {"url": "https://ca.example/dir", "status": 503, "retry_after": "120"}
    assert second["evidence"] == {"errno": 28, "filename": "/etc/x"}


def test_subproblems_come_from_the_cas_answer() -> None:
    document = {"type": "urn:ietf:params:acme:error:compound", "detail": "two", "subproblems": [
        {"type": "urn:ietf:params:acme:error:caa", "detail": "no",
         "identifier": {"type": "dns", "value": "a.example"}}, 7]}
    document["subproblems"].pop()  # type: ignore[attr-defined]
    event, = only_run(log(
        "DEBUG:acme.client:Sending POST request to https://ca.example/order:\n{}",
        f"DEBUG:acme.client:Received response:\nHTTP 400\nA: b\n\n{json.dumps(document)}",
        FAILED.format("a", "urn:ietf:params:acme:error:compound :: two\nProblem for a.example: x"))).events
    assert event["acme"]["subproblems"] == [{"identifier": "a.example", "type": "urn:ietf:params:acme:error:caa",
                                             "detail": "no"}]
    assert event["evidence"]["problem"] == {"type": "urn:ietf:params:acme:error:compound", "detail": "two"}


def test_what_ended_certbot_is_one_event_in_the_words_that_were_shown() -> None:
    event, = only_run(log(
        "DEBUG:certbot._internal.log:Exiting abnormally:\nTraceback (most recent call last):\n"
        "  File \"x\", line 1, in y\n"
        "    z\nOSError: [Errno 30] Read-only file system: '/var/lib/x'",
        "ERROR:certbot._internal.log:An unexpected error occurred:",
        "ERROR:certbot._internal.log:OSError: [Errno 30] Read-only file system: '/var/lib/x'",
        "ERROR:certbot._internal.log:Ask for help or search for solutions at "
        "https://community.letsencrypt.org.")).events
    assert (event["kind"], event["error_type"]) == ("fatal", "OSError")
    assert event["error"].startswith("OSError: [Errno 30]")
    assert event["evidence"]["types"] == ["builtins.OSError"] and event["evidence"]["errno"] == 30


def test_the_count_of_failures_is_no_failure_of_its_own() -> None:
    assert [event["kind"] for event in only_run(CHALLENGE).events].count("fatal") == 0


def test_a_renewal_whose_end_is_missing_is_unfinished() -> None:
    assert only_run(log(PROCESSING)).unfinished
    assert not only_run(log(PROCESSING, "DEBUG:certbot._internal.renewal:no renewal failures")).unfinished
    assert not only_run(log("DEBUG:x:y")).unfinished
    assert not only_run(log(PROCESSING, "DEBUG:certbot.log:Exiting abnormally:\nTraceback (most recent call last):\n"
                                        "Error: 1 renew failure(s), 0 parse failure(s)")).unfinished


def test_several_runs_in_one_file_are_told_apart() -> None:
    first, second = logfile.runs(STORY + log(PROCESSING, FAILED.format("a", "x")))
    assert first.events[0]["lineage"] == "www.serotoninpower.club" and second.events[0]["lineage"] == "a"
    assert second.facts["certbot"] == "5.8.0" and second.events[0]["line"] == STORY.count("\n") + 3


def test_secrets_of_the_command_line_are_no_facts() -> None:
    run = only_run(log("DEBUG:certbot._internal.main:Arguments: ['--eab-hmac-key', 's3cr3t', '--dry-run']"))
    assert run.facts["argv"] == ["--eab-hmac-key", "***", "--dry-run"] and run.facts["dry_run"]


def test_an_address_is_compared_with_ours_only_in_our_own_log() -> None:
    text = log(FAILED.format("a", "Invalid response from 127.0.0.1"))
    assert "127.0.0.1" in only_run(text, here=True).events[0]["evidence"]["addresses"]
    assert "addresses" not in only_run(text).events[0]["evidence"]


# -- tracebacks --------------------------------------------------------------------------------------------------------


def test_a_real_chain_of_exceptions_is_read_back_outermost_first() -> None:
    import traceback
    try:
        try:
            os.open("/nowhere/at/all", 0)
        except OSError as error:
            raise ValueError("Requesting https://user:secret@ca.example\nfailed") from error
    except ValueError:
        text = traceback.format_exc()
    found = traceback_text.evidence("Traceback was:\n" + text)
    assert found["types"] == ["builtins.ValueError", "builtins.FileNotFoundError"]
    assert found["texts"][0] == "Requesting https://***@ca.example\nfailed"
    assert (found["errno"], found["filename"]) == (2, "/nowhere/at/all")


@pytest.mark.parametrize("message, code", [
    ("certificate has expired", 10), ("self-signed certificate in certificate chain", 19),
    ("Hostname mismatch, certificate is not valid for 'ca.example'.", 62)])
def test_why_tls_was_refused_is_read_back(message: str, code: int) -> None:
    found = traceback_text.said_in("[SSL: CERTIFICATE_VERIFY_FAILED] "
                                   f"certificate verify failed: {message} (_ssl.c:1000)")
    assert found == {"verify_message": message, "verify_code": code}


# -- anything at all ---------------------------------------------------------------------------------------------------

PIECES = [part for text in (STORY, CHALLENGE) for part in text.splitlines(keepends=True)] + [
    f"{AT}:{PROCESSING}\n", f"{AT}:{FAILED}\n", f"{AT}:DEBUG:certbot.main:Arguments: [[[[\n",
    "Traceback (most recent call last):\n",
    f"{AT}:DEBUG:acme.client:Received response:\nHTTP 999\n\n[]\n", f"{AT}:DEBUG:acme.client:Sending GET request to \n",
    "9999-99-99 99:99:99,123:DEBUG:a:b\n", f"{AT}:WARNING:certbot.renewal:The error was: \n",
    f"{AT}:ERROR:certbot.log:\n"]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=80), max_size=60).map("".join), st.booleans(), st.booleans())
def test_no_log_makes_it_fail_and_every_event_can_be_explained(text: str, whole: bool, here: bool) -> None:
    for run in logfile.runs(text, whole, here):
        for event in run.events:
            json.dumps(event)
            assert diagnose(event, run.facts).happened


@pytest.mark.parametrize("unit", [
    f"{AT}:DEBUG:a:b\n", "\n", f"{AT}:WARNING:certbot.renewal:Attempting to renew cert (a) from ", " from ", "urn:",
    "1:",
    f"{AT}:DEBUG:x:Notifying user: ", "Domain: a\nType: b\nDetail: c\n",
    f"{AT}:ERROR:certbot.hooks:a reported error code ",
    "Traceback (most recent call last):\nx: y\n", "Renewal configuration file ", "[Errno 1] ", " (success)"])
def test_the_time_it_takes_grows_with_the_length_only(unit: str) -> None:
    starts = (f"{AT}:WARNING:certbot.renewal:", f"{AT}:DEBUG:x:Notifying user: ", f"{AT}:DEBUG:x:Exiting abnormally:\n",
              f"{AT}:ERROR:certbot.renewal:Failed to renew certificate a with error: ")
    for start in starts:
        began = time.process_time()
        logfile.runs(start + unit * (1_000_000 // len(unit)))
        assert time.process_time() - began < 4, start


# -- files -------------------------------------------------------------------------------------------------------------


def test_only_the_end_of_an_endless_log_is_read_and_lines_are_not_counted_then(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text(f"{AT}:DEBUG:a:{'x' * 90}\n" * 60_000 + STORY)
    text, whole = logrecords.load(path)
    assert len(text) <= logrecords.LIMIT_BYTES and not whole
    assert logfile.runs(text, whole)[-1].events[0]["line"] is None
    with open(path, "rb") as file:
        piped, whole = logrecords.load_stream(file)
    assert piped.endswith(STORY) and len(piped) <= logrecords.LIMIT_BYTES and not whole
    assert logrecords.load_stream(io.BytesIO(b"abc")) == ("abc", True)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "missing", Path("/dev/zero")):
        with pytest.raises(OSError):
            logrecords.load(path)
