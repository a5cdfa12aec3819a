"""certbot's log records as events. The records here are made as certbot makes them: same words, same arguments."""

import logging

import pytest
from acme import messages
from certbot import errors

from certbot_guard.capture import Capture, acme_problem

RENEWAL = "certbot._internal.renewal"


@pytest.fixture
def heard(capture_without_sink):
    events = []
    capture_without_sink.flush_to(lambda kind, fields: events.append((kind, fields)))
    capture_without_sink.events = events
    return capture_without_sink


@pytest.fixture
def capture_without_sink():
    capture = Capture()
    logger = logging.getLogger("certbot")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(capture)
    yield capture
    logger.removeHandler(capture)
    logger.setLevel(level)


def log(name, level, message, *arguments):
    logging.getLogger(name).log(level, message, *arguments)


def test_a_failed_lineage_keeps_the_problem_and_what_was_said_before_it(heard):
    error = messages.Error(typ="urn:ietf:params:acme:error:rateLimited", detail="too many certificates")
    log("certbot._internal.display.obj", logging.DEBUG, "Notifying user: %s", "Processing /etc/renewal/a.conf")
    log("certbot._internal.auth_handler", logging.WARNING, "a warning before it")
    log(RENEWAL, logging.ERROR, "Failed to renew certificate %s with error: %s", "a", error)
    (kind, fields), = heard.events
    assert kind == "lineage-failed" and fields["lineage"] == "a"
    assert fields["acme"]["type"].endswith("rateLimited") and fields["acme"]["detail"] == "too many certificates"
    assert fields["context"] == ["a warning before it"]


def test_the_lineage_certbot_looks_at_is_known(heard):
    log("certbot._internal.display.obj", logging.DEBUG, "Notifying user: %s", "Processing\n/etc/long path/a b.conf")
    assert heard.processing == "/etc/long path/a b.conf"


def test_the_end_of_the_challenges_is_heard(heard):
    heard.challenge_over = lambda: heard.events.append("over")
    log("certbot._internal.auth_handler", logging.INFO, "Cleaning up challenges")
    assert heard.events == ["over"]


def test_a_failing_hook_is_told_with_its_command(heard):
    log("certbot.compat.misc", logging.INFO, "Running %s command: %s", "deploy-hook", "/bin/false")
    log("certbot.display.ops", logging.WARNING, "%s reported error code %d", "Hook 'deploy-hook'", 3)
    hook = {"hook": "deploy-hook", "command": "/bin/false"}
    assert heard.events == [("hook-ran", hook), ("hook-failed", {**hook, "code": 3})]


def test_a_hook_that_ran_before_anything_was_recorded_is_no_reason_to_record_anything(capture_without_sink):
    log("certbot.compat.misc", logging.INFO, "Running %s command: %s", "pre-hook", "/bin/true")
    assert not capture_without_sink.pending
    heard = []
    capture_without_sink.flush_to(lambda kind, fields: heard.append((kind, fields)))
    assert heard == [("hook-ran", {"hook": "pre-hook", "command": "/bin/true"})]


def test_a_hook_of_our_own_is_not_noted(heard):
    log("certbot.compat.misc", logging.INFO, "Running %s command: %s", "pre-hook", "/v/bin/python -I -m certbot_guard.hooks pre /s 1")
    assert heard.events == []


def test_a_broken_renewal_configuration_is_told_once(heard):
    log(RENEWAL, logging.ERROR, "Renewal configuration file %s is broken.", "/r/a.conf")
    log(RENEWAL, logging.ERROR, "The error was: %s\nSkipping.", "no such file")
    assert heard.events == [("lineage-broken", {"path": "/r/a.conf", "error": "no such file"})]


@pytest.mark.parametrize("message, arguments", [
    ("Renewal configuration file %s lacks renewalparams. Skipping.", ("/r/a.conf",)),
    ("Renewal configuration file %s does not specify an authenticator. Skipping.", ("/r/a.conf",)),
    ("Renewal configuration file %s (cert: %s) produced an unexpected error: %s. Skipping.", ("/r/a.conf", "a", "x")),
    ("An error occurred while parsing %s. The error was %s. Skipping the file.", ("/r/a.conf", "bad")),
])
def test_every_other_parse_failure_is_told(heard, message, arguments):
    log(RENEWAL, logging.ERROR, message, *arguments)
    (kind, fields), = heard.events
    assert kind == "lineage-broken" and fields["path"] == "/r/a.conf"


def test_the_final_count_of_failures_says_nothing_new(heard):
    log("certbot._internal.log", logging.ERROR, "1 renew failure(s), 0 parse failure(s)")
    assert heard.events == []


def test_an_end_without_a_lineage_is_told(heard):
    log("certbot._internal.log", logging.ERROR, "Another instance of Certbot is already running.")
    assert heard.events[0][0] == "fatal"


def test_of_an_unexpected_error_the_error_is_told(heard):
    log("certbot._internal.log", logging.ERROR, "An unexpected error occurred:")
    log("certbot._internal.log", logging.ERROR, "OSError: [Errno 28] No space left on device")
    assert [fields["error"] for _, fields in heard.events] == ["OSError: [Errno 28] No space left on device"]


@pytest.mark.parametrize("said, told", [
    ("1 renew failure(s), 0 parse failure(s)", []), ("no such plugin", ["Error: no such plugin"])])
def test_under_debug_it_is_the_exception_that_is_told(heard, said, told):
    error = errors.Error(said)
    logging.getLogger("certbot._internal.log").error("Exiting abnormally:", exc_info=(type(error), error, None))
    assert [fields["error"] for _, fields in heard.events] == told


def test_events_wait_for_a_run_and_are_bounded():
    capture = Capture()
    for number in range(2000):
        capture._put("fatal", error=str(number))
    assert len(capture.pending) == 500
    seen = []
    capture.flush_to(lambda kind, fields: seen.append(fields["error"]))
    assert seen[0] == "0" and capture.pending == []


@pytest.mark.parametrize("record", [
    ("Failed to renew certificate %s with error: %s", ()), ("Running %s command: %s", ("only one",)), (None, ()),
    ("%s reported error code %d", ("x", "not a number")),
])
def test_a_record_of_another_shape_harms_nobody(heard, record):
    message, arguments = record
    heard.emit(logging.LogRecord("certbot", logging.ERROR, "", 0, message, arguments, None))


def test_only_acme_problems_are_problems():
    assert acme_problem(errors.AuthorizationError("Some challenges have failed.")) is None
    assert acme_problem(ValueError("x")) is None
