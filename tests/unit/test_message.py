"""What people read: for every kind of news, and for every kind of hostile text in it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certbot_guard import message
from certbot_guard.account import NextAttempt
from certbot_guard.message import Message
from tests.support.composing import composed
from tests.unit.test_message_text import NASTY, acts_on_nothing

START = datetime(2026, 11, 24, 2, 15, 30, tzinfo=timezone.utc)
NOW = START + timedelta(seconds=20)
FACTS = {"id": "20261124T021530Z-4f3a9c", "host": "web1", "verb": "renew", "argv": ["renew", "--quiet"],
         "dry_run": False, "logs_dir": "/var/log/letsencrypt", "log_file": "/var/log/letsencrypt/letsencrypt.log",
         "certbot_version": "5.8.0", "guard_version": "0.1.0", "started": START.isoformat(),
         "server": {"control": "auto"}, "server_name": "apache2.service"}
EXPIRY = {"example.com": NOW + timedelta(days=12, hours=3)}
LINEAGE = ("lineage", {"lineage": "example.com", "names": ["example.com", "www.example.com"], "window": 1})
LIMITED = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates already issued",
           "subproblems": [{"identifier": "www.example.com", "type": "urn:ietf:params:acme:error:caa",
                            "detail": "CAA forbids it"}]}
FAILED = ("lineage-failed", {"lineage": "example.com", "error_type": "Error", "error": "x", "acme": LIMITED,
                             "context": []})
STOPPING = ("stopping", {"window": 1, "lineage": "example.com", "before": {}})
START_FAILED = ("start-failed", {"window": 1, "reason": "configtest failed", "detail": "AH00526: Syntax error",
                                 "attempt": 1})


def events(*found: tuple[str, dict[str, Any]], step: float = 1.0) -> list[dict[str, Any]]:
    return [{"n": number, "kind": kind, "mono": 100.0 + number * step,
             "at": (START + timedelta(seconds=number * step)).isoformat(), **fields}
            for number, (kind, fields) in enumerate(found, 1)]


def compose(*found: tuple[str, dict[str, Any]], after: int = 0, serving: Optional[bool] = True,
            facts: Optional[dict] = None, expiry: Optional[dict] = None) -> Optional[Message]:
    return composed({**FACTS, **(facts or {})}, events(*found), NOW, serving, EXPIRY if expiry is None else expiry, after)


def served(seconds: float = 1.3, again: bool = False) -> tuple[str, dict[str, Any]]:
    return "serving", {"window": 1, "outage_seconds": seconds, "again": again, "by": "challenge"}


# -- when there is something to say --------------------------------------------------------------------------------


@pytest.mark.parametrize("quiet", [
    [],
    [("opened", {}), LINEAGE, STOPPING, ("stopped", {"window": 1}), served(), ("deployed", {"lineage": "example.com"}),
     ("reloaded", {"lineage": "example.com"}), ("exit", {}), ("settled", {})],
    [("config-problem", {"text": "a typo"})],
    [("left-down", {"reason": "it was down before the run"})],
    [("something-of-a-later-version", {"x": 1})],
], ids=["nothing", "a good run", "a typo in a run without a lineage", "down as found", "unknown kind"])
def test_a_run_with_nothing_noteworthy_says_nothing(quiet: list) -> None:
    assert compose(*quiet) is None


def test_what_was_told_is_not_told_again() -> None:
    assert compose(LINEAGE, FAILED, after=2) is None
    assert compose(LINEAGE, FAILED, ("hook-failed", {"hook": "post-hook", "code": 1}), after=2).id.endswith("-3")


def test_the_same_news_has_the_same_id() -> None:
    assert compose(LINEAGE, FAILED).id == compose(LINEAGE, FAILED, ("exit", {})).id == f"{FACTS['id']}-2"


@pytest.mark.parametrize("kind", sorted(message.NOTEWORTHY))
def test_every_noteworthy_kind_makes_a_message_even_when_its_fields_are_missing(kind: str) -> None:
    found = compose(LINEAGE, (kind, {"again": True} if kind == "serving" else {}))
    assert found is not None and found.title and found.body


def test_our_own_refusal_in_certbots_words_is_not_a_second_failure() -> None:
    found = compose(LINEAGE, ("refused", {"lineage": "example.com", "reason": "configtest failed", "detail": ""}),
                    ("lineage-failed", {"lineage": "example.com", "error": "certbot-guard leaves it running"}))
    assert found.event == "refused" and found.body.count("configtest failed") == 1
    assert "leaves it running" not in found.body


# -- is the site up ------------------------------------------------------------------------------------------------


def test_the_first_line_says_that_it_serves_and_for_how_long_it_did_not() -> None:
    found = compose(LINEAGE, STOPPING, ("stopped", {"window": 1}), served(1.3), FAILED)
    assert found.body.split("\n")[0] == "Apache serves. In this run it was not serving for 1.3 s."
    assert found.severity == "warning" and found.event == "failure"


def test_an_outage_without_a_figure_is_measured_by_the_monotonic_clock() -> None:
    found = events(LINEAGE, STOPPING, ("serving", {"window": 1}), FAILED)
    found[2]["at"] = (START + timedelta(hours=1)).isoformat()  # the clock jumped
    body = composed(FACTS, found, NOW, expiry=EXPIRY).body
    assert "not serving for 1.0 s" in body


def test_after_a_reboot_the_outage_is_measured_by_the_wall_clock() -> None:
    found = events(LINEAGE, STOPPING, ("died", {}), ("serving", {"window": 1}))
    found[3].update(mono=3.0, at=(START + timedelta(minutes=10, seconds=2)).isoformat())
    assert "not serving for 10 min" in composed(FACTS, found, NOW, expiry=EXPIRY).body


def test_several_outages_are_added_up() -> None:
    second = ("stopping", {"window": 2, "lineage": "b.example"})
    found = compose(STOPPING, served(1.0), second, ("serving", {"window": 2, "outage_seconds": 2.5}), FAILED)
    assert "not serving for 3.5 s in all, 2 times, 2.5 s at most" in found.body


def test_a_server_that_is_down_is_critical_and_said_first() -> None:
    found = compose(LINEAGE, STOPPING, START_FAILED, serving=False)
    assert found.severity == "critical" and found.event == "outage"
    assert found.title.startswith("CRITICAL web1: Apache is DOWN")
    first = found.body.split("\n")
    assert first[0].startswith("Apache is DOWN. It has not been serving since 2026-11-24 02:15 UTC, for 18 s so far")
    assert "configtest failed" in first[1] and "AH00526" in first[2]


def test_a_server_that_serves_again_is_a_recovery() -> None:
    found = compose(LINEAGE, STOPPING, START_FAILED, served(600.0, again=True), after=3)
    assert (found.event, found.severity) == ("recovery", "info")
    assert found.title == "OK web1: Apache serves again, after 10 min"
    assert found.body.startswith("Apache serves again. In this run it was not serving for 10 min.")


def test_a_recovery_with_other_news_is_a_failure() -> None:
    found = compose(LINEAGE, STOPPING, START_FAILED, served(600.0, again=True), FAILED, after=3)
    assert (found.event, found.severity) == ("failure", "warning") and "rateLimited" in found.body


def test_a_failed_start_that_nobody_heard_of_yet_is_no_recovery() -> None:
    found = compose(LINEAGE, STOPPING, START_FAILED, served(2.0, again=True))
    assert (found.event, found.severity) == ("outage", "warning")
    assert "did not start at first: configtest failed" in found.body


def test_a_server_left_down_by_a_person_is_said_and_no_alarm() -> None:
    found = compose(LINEAGE, STOPPING, ("left-down", {"window": 1, "reason": "apache2.service is masked"}), serving=False)
    assert found.severity == "warning" and found.event == "outage"
    assert "It is left down: apache2.service is masked." in found.body


def test_a_server_down_that_this_run_never_stopped_is_critical_and_not_blamed_on_the_run() -> None:
    found = compose(LINEAGE, FAILED, serving=False)
    assert found.severity == "critical" and "It was not stopped by this run" in found.body.split("\n")[0]


NOT_PROXIED = ("not-proxied", {"lineage": "example.com", "reason": "it has a pre hook, which may stop the web server"})


@pytest.mark.parametrize("found, words", [
    ([LINEAGE, FAILED], "Apache was not touched."),
    ([("proxy-placed", {"lineage": "example.com"}), LINEAGE, FAILED], "Apache was not stopped."),
    ([("proxy-placing", {"lineage": "example.com"}), NOT_PROXIED, LINEAGE, FAILED], "Apache was not stopped."),
    ([LINEAGE, STOPPING, served(), FAILED], "Apache was started again."),
    ([LINEAGE, STOPPING, FAILED], "Apache may be DOWN."),
], ids=["never touched", "reloaded", "reloaded in vain", "started", "open"])
def test_where_nobody_knows_whether_it_serves_the_events_decide(found: list, words: str) -> None:
    assert compose(*found, serving=None).body.startswith(words)


def test_a_run_whose_challenge_passed_through_did_not_stop_it() -> None:
    body = compose(("proxy-placing", {"lineage": "example.com"}), ("proxy-placed", {"lineage": "example.com"}), LINEAGE,
                   ("proxy-removed", {"lineage": "example.com"}), FAILED).body
    assert body.split("\n")[:2] == ["Apache serves. It was not stopped in this run.", ""]


def test_where_it_was_stopped_since_the_challenge_could_not_pass_a_sentence_says_why() -> None:
    body = compose(NOT_PROXIED, LINEAGE, STOPPING, served(1.3), FAILED).body
    assert body.startswith("Apache serves. In this run it was not serving for 1.3 s.\n\nNot renewed")
    assert ("\nThe challenge of example.com could not pass through the running web server: it has a pre hook, which may "
            "stop the web server\nStarted: ") in body
    # It was not stopped after all; or it does not come back, which is what matters; or it is news of its own.
    assert "could not pass" not in compose(NOT_PROXIED, LINEAGE, FAILED).body
    assert "could not pass" not in compose(NOT_PROXIED, LINEAGE, STOPPING, START_FAILED, serving=False).body
    assert compose(NOT_PROXIED, ("config-problem", {"text": "mode = proxy: x", "lineage": "example.com"}), LINEAGE,
                   STOPPING, served(1.3), FAILED).body.count("pass through the running") == 0


def test_of_several_reasons_why_it_was_stopped_the_first_is_said_and_the_others_are_counted() -> None:
    found: list = []
    for number, reason in enumerate(("no directory", "no directory", "a token", "no name"), 1):
        found += [("not-proxied", {"lineage": f"{number}.example", "reason": reason}),
                  ("stopping", {"window": number, "lineage": f"{number}.example"}),
                  ("serving", {"window": number, "outage_seconds": 1.0})]
    assert ("The challenge of 1.example, 2.example could not pass through the running web server: no directory (and 2 "
            "other reasons: certbot-guard history)") in compose(*found, FAILED).body


def test_another_web_server_is_not_called_apache() -> None:
    found = compose(LINEAGE, FAILED, facts={"server": {"control": "command"}})
    assert "Apache" not in found.title + found.body and found.body.startswith("The web server serves.")


# -- what failed ---------------------------------------------------------------------------------------------------


def test_the_exact_acme_error_is_there_with_its_subproblems_and_the_names() -> None:
    body = compose(LINEAGE, FAILED).body
    for words in ("Not renewed: example.com (example.com, www.example.com)", "urn:ietf:params:acme:error:rateLimited",
                  "too many certificates already issued", "www.example.com: caa: CAA forbids it",
                  "expires on 2026-12-06 05:15 UTC, in 12 days", "/var/log/letsencrypt/letsencrypt.log on web1",
                  "certbot renew --quiet"):
        assert words in body[:1000]


def test_an_error_without_an_acme_problem_comes_with_the_records_around_it() -> None:
    found = compose(LINEAGE, ("lineage-failed", {
        "lineage": "example.com", "error_type": "AuthorizationError", "error": "Some challenges have failed.",
        "acme": None, "context": ["Domain: example.com\n  Type: unauthorized\n  Detail: 203.0.113.5: Invalid response"]}))
    assert "Error: Some challenges have failed. [AuthorizationError]" in found.body
    assert "Detail: 203.0.113.5: Invalid response" in found.body[:1000]


def test_an_expired_certificate_is_critical() -> None:
    found = compose(LINEAGE, FAILED, expiry={"example.com": NOW - timedelta(days=3)})
    assert found.severity == "critical" and "certificate EXPIRED" in found.title
    assert "EXPIRED on 2026-11-21 02:15 UTC, 3 days ago" in found.body


def test_an_unknown_expiry_is_said() -> None:
    assert "When the certificate expires is not known." in compose(LINEAGE, FAILED, expiry={}).body


def test_the_title_says_severity_host_state_lineage_and_time_left() -> None:
    assert compose(LINEAGE, FAILED).title == "WARNING web1: Apache serves, example.com not renewed (12 days left)"


def test_a_dry_run_says_so_and_is_never_critical_for_a_certificate() -> None:
    found = compose(LINEAGE, FAILED, facts={"dry_run": True}, expiry={"example.com": NOW - timedelta(days=1)})
    assert "(dry run)" in found.title and "This was a dry run" in found.body and found.severity == "warning"


def test_a_thousand_lineages_with_three_causes_are_three_groups() -> None:
    failures = [("lineage-failed", {"lineage": f"l{number}.example", "error": "e", "error_type": "Error", "acme": {
        "type": f"urn:ietf:params:acme:error:{('dns', 'caa', 'connection')[number % 3]}",
        "detail": f"no good for l{number}.example"}}) for number in range(1000)]
    found = compose(*failures)
    assert found.body.count("lineages, same cause") == 3
    assert "334 lineages" in found.body[:1000] and "and 324 more" in found.body[:1000]
    assert len(found.title) < 200 and len(found.body) <= message.BODY_LIMIT


def test_two_status_codes_are_two_reasons_and_two_order_numbers_are_one() -> None:
    def failed(name: str, error: str) -> tuple[str, dict[str, Any]]:
        return "lineage-failed", {"lineage": name, "error_type": "ClientError", "error": error}

    assert compose(failed("a", "<Response [503]>"), failed("b", "<Response [429]>")).body.count("Not renewed: ") == 2
    body = compose(failed("a", "order 123456 of 2026-11-24 02:15:30"), failed("b", "order 98765 of 2026-11-24 02:15:31")).body
    assert "Not renewed: 2 lineages, same cause: a, b" in body


def test_lineages_that_were_refused_for_one_reason_are_one_group() -> None:
    refused = [("refused", {"lineage": f"l{number}.example", "reason": "configtest failed", "detail": "AH00526"})
               for number in range(1000)]
    found = compose(*refused)
    assert "Not renewed: 1000 lineages, same cause: l0.example" in found.body and found.body.count("AH00526") == 1
    assert found.event == "refused" and found.body.count("What to do:") == 1


def test_a_thousand_causes_are_capped() -> None:
    failures = [("lineage-failed", {"lineage": f"l{number}.example", "error": "e" + "x" * (number % 50)})
                for number in range(1000)]
    found = compose(*failures)
    assert "for 45 other reasons" in found.body and len(found.body) <= message.BODY_LIMIT


def test_a_long_error_is_cut_above_and_longer_in_the_details() -> None:
    long = {**LIMITED, "detail": "begin " + "x" * 100_000 + " end"}
    found = compose(LINEAGE, ("lineage-failed", {"lineage": "example.com", "acme": long, "error": "e"}))
    assert "/var/log/letsencrypt/letsencrypt.log" in found.body[:1000]
    upper, _, details = found.body.partition("\nDetails\n")
    assert "left out" in upper and len(details) > 3000 and "begin" in details and " end" in details
    assert len(found.body) <= message.BODY_LIMIT


@pytest.mark.parametrize("event, words", [
    (("refused", {"lineage": "example.com", "reason": "configtest failed", "detail": "AH00526"}),
     ["Not renewed: example.com", "could not be stopped safely, so it was not: configtest failed", "| AH00526"]),
    (("left-running", {"lineage": "example.com", "reason": "port 80 belongs to haproxy (pid 812)"}),
     ["was not stopped for example.com", "haproxy (pid 812)"]),
    (("stop-failed", {"lineage": "example.com", "reason": "it still listens"}), ["could not be stopped", "still listens"]),
    (("overdue", {"lineage": "example.com", "max_outage_seconds": 300.0, "action": "interrupted", "window": 1}),
     ["max_outage (5 min)", "example.com", "certbot was interrupted"]),
    (("not-attempted", {"lineages": ["a.example", "b.example"], "reason": "max_outage had passed"}),
     ["Not attempted: a.example, b.example: max_outage had passed"]),
    (("lineage-broken", {"path": "/etc/letsencrypt/renewal/b.conf", "error": "cannot be parsed"}),
     ["/etc/letsencrypt/renewal/b.conf", "cannot be parsed"]),
    (("hook-failed", {"hook": "deploy-hook", "code": 3, "command": "/etc/reload.sh --now"}),
     ["The deploy-hook failed with exit code 3: /etc/reload.sh --now"]),
    (("fatal", {"error": "Another instance of Certbot is already running."}),
     ["certbot ended with this error: Another instance of Certbot is already running."]),
    (("reload-refused", {"lineage": "example.com", "reason": "the key does not fit"}),
     ["example.com was renewed, but Apache was not reloaded", "the key does not fit"]),
    (("reload-failed", {"lineage": "example.com", "reason": "it died"}), ["could not be reloaded", "it died"]),
    (("not-served", {"lineage": "example.com", "where": ["www.example.com (0.0.0.0:443)"]}),
     ["old certificate is still served on: www.example.com (0.0.0.0:443)"]),
    (("guard-error", {"where": "state database", "error": "it was damaged"}), ["state database", "it was damaged"]),
    (("config-problem", {"text": "/etc/letsencrypt/guard.ini line 3: unknown key 'emial'"}), ["line 3: unknown key"]),
], ids=lambda value: value[0] if isinstance(value, tuple) else "")
def test_every_kind_of_news_says_what_it_means(event: tuple, words: list[str]) -> None:
    found = compose(LINEAGE, event)
    for one in words:
        assert one in found.body
    assert found.severity == "warning"


def test_certbots_death_says_who_acted_and_what_it_was_at() -> None:
    found = compose(LINEAGE, STOPPING, ("died", {}), served(0.1))
    assert "certbot died before its end" in found.body and "example.com" in found.title and "certbot died" in found.title
    assert "certbot-guard's sentinel took over and started Apache again." in found.body
    found = compose(LINEAGE, STOPPING, ("died", {"by": "certbot-guard"}), served(0.1))  # there was no sentinel any more
    assert "certbot-guard took over and started Apache again." in found.body


def test_our_own_troubles_come_last() -> None:
    body = compose(LINEAGE, FAILED, ("guard-error", {"where": "x", "error": "ours"})).body
    assert body.index("ours") > body.index("/var/log/letsencrypt") > body.index("rateLimited")


# -- what to do, and when ------------------------------------------------------------------------------------------

UNAVAILABLE = ("lineage-failed", {"lineage": "example.com", "error_type": "Error", "error": "x", "acme": {
    "type": "urn:ietf:params:acme:error:serverInternal", "detail": "down for maintenance"}})


@pytest.mark.parametrize("attempt, left, words", [
    (NextAttempt("tomorrow", NOW + timedelta(days=1)), timedelta(days=20), "What to do: Nothing now: certbot tries again"),
    (NextAttempt("in 31 days", NOW + timedelta(days=31)), timedelta(days=20), "by hand as soon as the cause is gone: the next"),
    (NextAttempt("tomorrow", NOW + timedelta(days=1)), timedelta(days=2), "by hand as soon as the cause is gone: there is"),
    (NextAttempt("none was found", None, False), timedelta(days=20), "no scheduled run of certbot was found"),
    (NextAttempt("at a time that is not known"), timedelta(days=20), "What to do: Nothing now: certbot tries again"),
], ids=["in time", "too late", "critical", "none", "unknown"])
def test_nothing_has_to_be_done_only_where_it_is_tried_again_in_time(attempt: NextAttempt, left: timedelta, words: str) -> None:
    found = composed(FACTS, events(LINEAGE, UNAVAILABLE), NOW, expiry={"example.com": NOW + left}, next_attempt=attempt)
    assert words in found.body and f"Next attempt: {attempt.words}." in found.body
    assert ("What to do: Nothing now" in found.body) == ("by hand" not in words)
    assert "by hand" not in words or "left. Look at the CA's" in found.body or "late. Look at the CA's" in found.body


def test_a_port_that_our_own_refusal_left_taken_is_not_blamed_on_a_stranger() -> None:
    bound = ("lineage-failed", {"lineage": "example.com", "error_type": "PluginError", "acme": None, "error": (
        "Could not bind TCP port 80 because it is already in use by another process on this system."),
        "evidence": {"port": 80, "port_owner": "apache2 (pid 7)"}})
    left = ("left-running", {"lineage": "example.com", "reason": "its configuration test fails", "detail": "AH00526"})
    body = compose(LINEAGE, left, bound).body
    assert "stop it" not in body and "apachectl configtest" in body.split("Error:")[0]


def test_our_own_troubles_come_second_where_they_are_the_only_news() -> None:
    body = compose(LINEAGE, ("guard-error", {"where": "state database", "error": "it was damaged"})).body
    assert body.index("it was damaged") < body.index("/var/log/letsencrypt") and "What to do:" in body


def test_the_titles_of_many_replaced_messages_do_not_push_the_news_down() -> None:
    one = compose(LINEAGE, FAILED)
    many = tuple((NOW.isoformat(), f"WARNING web1: the {number}th title {'x' * 100}") for number in range(30))
    _, body = message.as_delivered(one, NOW, NOW, False, many)
    assert "takes the place of 30 messages" in body.split("\n")[1] and "What to do:" in body[:1000]
    assert "the 29th title" in body and "the 19th title" not in body and "and 20 older ones" in body


def test_when_it_started_is_told_in_seconds() -> None:
    body = compose(LINEAGE, FAILED, facts={"started": "2026-11-24T04:15:00.123+00:00"}).body
    assert "Started: 2026-11-24T04:15:00+00:00;" in body


def test_a_failure_that_was_tried_again_says_how_often() -> None:
    body = compose(LINEAGE, FAILED, ("retried", {"attempts": 7, "seconds": 21_000.0})).body
    assert "It was tried 7 times within 5 h 50 min, each time in vain." in body
    assert "It was tried" not in compose(LINEAGE, FAILED).body


def test_the_page_that_lifts_a_pause_is_named_whole() -> None:
    link = "https://portal.letsencrypt.org/sfe/v1/unpause?jwt=" + "aB3" * 120
    paused = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": f"Your account is paused. Please visit {link} ."}
    body = compose(LINEAGE, ("lineage-failed", {"lineage": "example.com", "error": "x", "acme": paused})).body
    assert link in body


def test_what_stands_beside_that_page_is_masked() -> None:
    link = "https://portal.letsencrypt.org/sfe/v1/unpause?jwt=" + "aB3" * 120
    body = compose(LINEAGE, ("lineage-failed", {"lineage": "example.com", "error": f"password=hunter22 {link} token=hunter33"})).body
    assert link in body and "hunter" not in body


def test_a_hook_s_secrets_are_not_sent_to_everybody() -> None:
    hook = {"hook": "deploy-hook", "command": "curl -H 'Authorization: Bearer s3cr3tT0ken99' https://x.example/?token=hunter22"}
    body = compose(LINEAGE, ("hook-failed", {**hook, "code": 1}), ("hook-output", {"output": "password=hunter33"}),
                   ("fatal", {"error": "api_key=hunter44", "context": ["secret=hunter55"]})).body
    assert "hunter" not in body and "s3cr3t" not in body and "x.example" in body and "exit code 1" in body


def test_a_certificate_that_is_not_loaded_is_named_with_the_end_of_the_old_one() -> None:
    old = ("lineage", {**LINEAGE[1], "not_after": (NOW + timedelta(days=5)).isoformat()})
    found = compose(old, ("deployed", {"lineage": "example.com"}),
                    ("reload-refused", {"lineage": "example.com", "reason": "the key does not fit"}))
    assert "new certificate of example.com not loaded" in found.title
    assert "It means: the old certificate expires on 2026-11-29" in found.body


def test_what_kept_certbot_from_every_lineage_is_as_grave_as_the_first_that_expires() -> None:
    found = compose(("fatal", {"error": "An account is missing"}), expiry={"a.example": NOW + timedelta(days=2),
                                                                           "b.example": NOW + timedelta(days=60),
                                                                           "dead.example": NOW - timedelta(days=90)})
    assert found.severity == "critical" and "the first certificate (a.example) expires" in found.body


# -- hostile text --------------------------------------------------------------------------------------------------


def _everywhere(nasty: str) -> list[tuple[str, dict[str, Any]]]:
    return [("lineage", {"lineage": nasty, "names": [nasty, nasty]}),
            ("stopping", {"window": 1, "lineage": nasty}),
            ("start-failed", {"window": 1, "reason": nasty, "detail": nasty}),
            ("lineage-failed", {"lineage": nasty, "error": nasty, "error_type": nasty, "context": [nasty], "acme": {
                "type": nasty, "detail": nasty, "subproblems": [
                    {"identifier": nasty, "type": nasty, "detail": nasty}] * 30}}),
            ("lineage-failed", {"lineage": "b", "error": nasty, "error_type": nasty, "context": [nasty, nasty]}),
            ("refused", {"lineage": nasty, "reason": nasty, "detail": nasty}),
            ("left-running", {"lineage": nasty, "reason": nasty, "detail": nasty}),
            ("overdue", {"lineage": nasty, "action": nasty, "max_outage_seconds": nasty, "window": nasty}),
            ("not-attempted", {"lineages": [nasty], "reason": nasty}),
            ("lineage-broken", {"path": nasty, "error": nasty}), ("fatal", {"error": nasty, "context": [nasty]}),
            ("hook-failed", {"hook": nasty, "code": nasty, "command": nasty, "output": nasty}),
            ("reload-failed", {"lineage": nasty, "reason": nasty, "detail": nasty}),
            ("not-served", {"lineage": nasty, "where": [nasty]}), ("config-problem", {"text": nasty}),
            ("guard-error", {"where": nasty, "error": nasty}), ("died", {"by": nasty}),
            ("left-down", {"reason": nasty}), ("deployed", {"lineage": nasty, "not_after": nasty})]


@pytest.mark.parametrize("nasty", NASTY, ids=range(len(NASTY)))
@pytest.mark.parametrize("serving", [True, False, None])
def test_hostile_text_in_every_field_does_nothing(nasty: str, serving: Optional[bool]) -> None:
    facts = {name: nasty for name in ("host", "log_file", "server_name", "certbot_version", "started")}
    found = compose(*_everywhere(nasty), serving=serving, facts={**facts, "argv": [nasty, nasty]}, expiry={nasty: NOW})
    assert acts_on_nothing(found.title) and "\n" not in found.title and 0 < len(found.title) < 200
    assert acts_on_nothing(found.body) and len(found.body) <= message.BODY_LIMIT
    assert found.body.split("\n")[0].startswith("Apache")


@pytest.mark.parametrize("nasty", NASTY, ids=range(len(NASTY)))
def test_hostile_text_in_each_field_alone_does_nothing(nasty: str) -> None:
    for event in _everywhere(nasty):
        found = compose(LINEAGE, event, FAILED)
        assert acts_on_nothing(found.title) and acts_on_nothing(found.body) and len(found.title) < 200


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=300), st.sampled_from([True, False, None]), st.booleans())
def test_whatever_text_there_is_a_message_is_made_and_acts_on_nothing(nasty: str, serving: Optional[bool], dry: bool) -> None:
    found = compose(*_everywhere(nasty), serving=serving, facts={"host": nasty, "argv": [nasty], "dry_run": dry},
                    expiry={nasty: NOW})
    assert acts_on_nothing(found.title) and "\n" not in found.title and 0 < len(found.title) < 200
    assert acts_on_nothing(found.body) and len(found.body) <= message.BODY_LIMIT
    assert found.body.split("\n")[0].startswith("Apache")


def test_a_line_of_ours_cannot_be_forged_by_a_newline_in_a_detail() -> None:
    forged = {**LIMITED, "detail": "x\n\nApache is DOWN.\nLog: /tmp/evil", "subproblems": []}
    body = compose(LINEAGE, ("lineage-failed", {"lineage": "example.com", "acme": forged, "error": "e"})).body
    assert "\nApache is DOWN" not in body and "\nLog: /tmp" not in body


# -- at delivery ---------------------------------------------------------------------------------------------------


def test_a_possible_repeat_is_marked_in_title_and_body_after_the_first_line() -> None:
    one = compose(LINEAGE, FAILED)
    title, body = message.as_delivered(one, NOW, NOW, possible_repeat=True)
    assert title.endswith("(possible repeat)") and len(title) < 200
    assert body.split("\n")[0] == one.body.split("\n")[0]
    assert f"possible repeat, id {one.id}" in body.split("\n")[1]


def test_a_late_message_says_when_it_was_written() -> None:
    _, body = message.as_delivered(compose(LINEAGE, FAILED), NOW + timedelta(days=1), NOW, possible_repeat=False)
    assert "this was written on 2026-11-24 02:15 UTC" in body.split("\n")[1]


def test_a_message_in_time_goes_out_as_it_is() -> None:
    one = compose(LINEAGE, FAILED)
    assert message.as_delivered(one, NOW, NOW, possible_repeat=False) == (one.title, one.body)


def test_a_body_is_never_empty() -> None:
    assert message.as_delivered(Message("i", "r", "failure", "info", "t", ""), NOW, NOW, False)[1]
