"""Delivery without a network: whom a message goes to, what leaves the process, and what is struck out of a reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from zope.interface.verify import verifyObject

from certbot_guard import deliverer, notify, outcomes, redact, unprivileged
from certbot_guard.config import Channel, Config
from certbot_guard.interfaces import INotifier
from certbot_guard.journal import Journal
from certbot_guard.message import Message
from certbot_guard.outcomes import Outcome, OutcomeFile
from certbot_guard.standing import Taker

ONE = Message("r1-1", "r1", "failure", "warning", "title", "body")


def config(*channels: Channel, files: tuple[Path, ...] = ()) -> Config:
    return Config(path=Path("/nowhere/guard.ini"), channels=channels, apprise_configs=files)


# -- to whom -------------------------------------------------------------------------------------------------------


def test_every_channel_is_offered_messages_and_an_apprise_file_is_a_channel() -> None:
    found = config(Channel("mail", "mailto://x"), Channel("chat", "json://x", frozenset({"recovery"}), "critical"),
                   files=(Path("/etc/apprise.yml"),))
    assert notify.takers(found) == [
        Taker("mail", notify.EVERYTHING), Taker("chat", frozenset({"recovery"}), "critical"),
        Taker("apprise_config /etc/apprise.yml", notify.EVERYTHING)]


def test_without_any_channel_it_is_the_system_log() -> None:
    assert notify.takers(config()) == [Taker(notify.SYSLOG, notify.EVERYTHING)]


def test_channels_that_want_nothing_are_not_replaced_by_the_system_log() -> None:
    assert [one.name for one in notify.takers(config(Channel("a", "json://x", frozenset({"recovery"}))))] == ["a"]


def test_nothing_waiting_starts_no_process(monkeypatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    assert notify.deliver_outbox([Journal.in_memory()], config(Channel("a", "json://x"))) == []


def test_what_waits_for_a_channel_that_is_gone_is_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    book = Journal.in_memory()
    book.add(ONE, ["gone"], 1)
    assert notify.deliver_outbox([book], config(Channel("a", "json://x"))) == []
    assert [one.message.id for one in book.waiting("gone")] == ["r1-1"]


def test_a_deliverer_that_cannot_be_started_is_a_failure_that_is_no_doubt(monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(subprocess, "Popen", broken)
    book = Journal.in_memory()
    book.add(ONE, ["a"], 1)
    found = notify.deliver_outbox([book], config(Channel("a", "json://x")))
    assert [(one.ok, one.reason) for one in found] == [
        (False, "the deliverer could not be started: No such file or directory")]
    again = book.waiting("a")[0]
    assert not again.possible_repeat and (again.attempts, again.reason) == (1, found[0].reason)
    assert [one.id for one in book.nobody_has()] == ["r1-1"]  # so the system log is told, and certbot's output


def test_a_deliverer_that_breaks_off_before_it_has_sent_anything_is_one_too(monkeypatch) -> None:
    monkeypatch.setattr(notify.unprivileged, "run", lambda *_, **__: "ended with code 1")
    book = Journal.in_memory()
    book.add(ONE, ["a"], 1)
    found = notify.deliver_outbox([book], config(Channel("a", "json://x")))
    assert [(one.ok, one.reason) for one in found] == [(False, "the deliverer ended with code 1")]
    assert [one.id for one in book.nobody_has()] == ["r1-1"] and not book.waiting("a")[0].possible_repeat


def test_a_bug_of_ours_is_an_outcome_and_no_exception(monkeypatch) -> None:
    monkeypatch.setattr(notify, "_targets", lambda config: 1 / 0)
    assert notify.deliver_outbox([Journal.in_memory()], config())[0].reason.endswith("ZeroDivisionError")


def test_a_message_whose_intent_cannot_be_recorded_is_not_sent(monkeypatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    book = Journal.in_memory()
    book.add(ONE, ["a"], 1)
    book._database.execute("PRAGMA query_only = ON")
    assert notify.deliver_outbox([book], config(Channel("a", "json://x"))) == []


def test_the_notifier_fulfils_its_contract() -> None:
    notifier = notify.AppriseNotifier(config())
    assert verifyObject(INotifier, notifier)
    assert notifier.deliver([("nobody", ONE)], 5.0) == [
        notify.Delivery("nobody", "r1-1", False, "there is no such channel")]


# -- what leaves the process ---------------------------------------------------------------------------------------


def test_the_deliverer_gets_no_more_of_the_environment_than_a_connection_needs(monkeypatch) -> None:
    monkeypatch.setattr(os, "environ", {"HTTPS_PROXY": "http://p:1", "no_proxy": "x", "SSL_CERT_FILE": "/c", "HOME": "/root",
                                        "AWS_SECRET": "s", "PYTHONPATH": "/evil", "LD_PRELOAD": "/evil.so", "NETRC": "/n"})
    assert unprivileged.environment() == {"HTTPS_PROXY": "http://p:1", "no_proxy": "x", "SSL_CERT_FILE": "/c",
                                     "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}


def test_importing_it_does_not_import_apprise() -> None:
    script = "import sys, certbot_guard.notify, certbot_guard.deliverer; print('apprise' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], check=True)
    assert done.stdout == b"False\n"


# -- reasons hold no secret ----------------------------------------------------------------------------------------

URLS = [
    "mailtos://user:p%40ss%2Fword@smtp.example.com?from=guard@example.com&to=ops@example.com",
    "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops",
    "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "json://127.0.0.1:8080/hook/tok-3f9aSECRETpath?+X-Token=abc123&method=POST",
    "tgram://123456789:AABBccddEEff_-x/12315544/",
    "gotify://host.example/AbCdEf%2B1234567",
    "mailto://u:x@[::1",
    "mailtos://me:my.pass.word@example.com?smtp=mail.example.com",
    "ntfys://tk_secret@ntfy.example/topic-nobody-knows",
]


@pytest.mark.parametrize("url", URLS)
def test_no_part_of_an_url_that_could_be_secret_survives(url: str) -> None:
    for secret in redact.parts(url) - {""}:
        if len(secret) > 3:
            assert secret.lower() not in redact.strike_out(f"x {secret} y {secret.upper()} {quote(secret)}", [url]).lower()


@pytest.mark.parametrize("url, secret", [
    (URLS[0], "p@ss/word"), (URLS[0], "p%40ss%2Fword"), (URLS[0], "p%40ss%2fword"), (URLS[0], "dXNlcjpwQHNzL3dvcmQ="),
    (URLS[1], "TIiajkdnlazkcOXrIdevi7FQ"), (URLS[1], "T1JJ3T3L2"), (URLS[3], "tok-3f9aSECRETpath"), (URLS[3], "abc123"),
    (URLS[4], "AABBccddEEff_-x"), (URLS[5], "AbCdEf+1234567"), (URLS[6], "mailto://u:x@[::1"), (URLS[7], "my.pass.word"),
    (URLS[8], "tk_secret"),
])
def test_a_known_secret_is_struck_out(url: str, secret: str) -> None:
    assert secret not in redact.strike_out(f"Failed: {secret} ({url}) refused", [url])


def test_what_explains_a_failure_stays_readable() -> None:
    said = "A Connection error occurred sending Email notification to smtp.example.com."
    assert redact.strike_out(said, [URLS[0]]) == said
    assert redact.strike_out("mail.example.com refused", [URLS[7]]) == "mail.example.com refused"
    assert redact.strike_out("error=500 from 127.0.0.1:8080", [URLS[3]]) == "error=500 from 127.0.0.1:8080"


def test_a_password_of_one_letter_does_not_eat_the_text() -> None:
    assert redact.strike_out("an error: x", ["mailto://u:x@h.example"]) == "an error: ***"


# -- outcomes ------------------------------------------------------------------------------------------------------


def _row(**more: object) -> bytes:
    return json.dumps({"message": "r1-1", "attempt": 1, "ok": True, **more}).encode() + b"\n"


def test_torn_and_foreign_lines_are_passed_over() -> None:
    file = OutcomeFile.create(None, "mail")
    os.write(file.descriptor, b'{"attempt": 1, "mess\n' + _row(ok=None) + b"[1]\nnull\n" + _row() + _row()[:20])
    assert file.read() == {"r1-1": Outcome("r1-1", 1, True)}
    file.discard()


def test_a_file_left_behind_is_applied_once_by_who_holds_the_lease(tmp_path: Path) -> None:
    book = Journal.open(tmp_path)
    book.add(ONE, ["mail", "hook"], 1)
    file, other = OutcomeFile.create(tmp_path, "mail"), OutcomeFile.create(tmp_path, "hook")
    os.write(file.descriptor, _row(attempt=book.sending("r1-1", "mail")))
    os.write(other.descriptor, _row(attempt=book.sending("r1-1", "hook"), ok=False, reason="refused"))
    outcomes.collect(book, ["mail"])  # its writer lives: what it has said counts already
    assert book.channels_waiting() == ["hook"] and file.path.exists()
    for one in (file, other):
        os.close(one.descriptor)
    outcomes.collect(book, ["mail"])
    assert not file.path.exists() and other.path.exists()
    assert book.waiting("hook")[0].possible_repeat, "what it says of the other channel is still to be applied"
    outcomes.collect(book, ["mail", "hook"])
    assert not other.path.exists() and not book.waiting("hook")[0].possible_repeat


def test_a_file_left_behind_speaks_for_messages_of_another_journal(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    books = [Journal.open(tmp_path), Journal.open(tmp_path / "run")]
    file = OutcomeFile.create(tmp_path, "mail")
    for number, book in enumerate(books):
        book.add(replace(ONE, id=f"r1-{number}"), ["mail"], 1)
        os.write(file.descriptor, _row(message=f"r1-{number}", attempt=book.sending(f"r1-{number}", "mail")))
    books[1].add(replace(ONE, id="r1-2"), ["mail"], 1)
    os.write(file.descriptor, _row(message="r1-2", attempt=books[1].sending("r1-2", "mail") - 1))
    os.close(file.descriptor)
    outcomes.collect(books[0], ["mail"], books[1:])
    assert books[0].channels_waiting() == [] and not file.path.exists()
    assert [one.message.id for one in books[1].waiting("mail")] == ["r1-2"], "that was of another attempt"


def test_a_sender_can_say_nothing_of_another_channel(tmp_path: Path) -> None:
    book = Journal.open(tmp_path)
    book.add(ONE, ["mail", "hook"], 1)
    attempt = book.sending("r1-1", "mail")
    book.sending("r1-1", "hook")
    file = OutcomeFile.create(tmp_path, "hook")
    os.write(file.descriptor, _row(channel="mail", attempt=attempt) + _row(channel="mail", attempt=attempt, ok=None))
    os.close(file.descriptor)
    outcomes.collect(book, ["mail", "hook"])
    assert book.channels_waiting() == ["hook", "mail"] and book.waiting("mail")[0].possible_repeat


def test_a_begun_attempt_without_an_end_stays_in_doubt(tmp_path: Path) -> None:
    book = Journal.open(tmp_path)
    book.add(ONE, ["mail"], 1)
    file = OutcomeFile.create(tmp_path, "mail")
    os.write(file.descriptor, _row(attempt=book.sending("r1-1", "mail"), ok=None))
    os.close(file.descriptor)
    outcomes.collect(book, ["mail"])
    assert book.waiting("mail")[0].possible_repeat and not file.path.exists()


def test_a_file_that_cannot_be_made_in_the_state_directory_is_made_elsewhere(tmp_path: Path) -> None:
    file = OutcomeFile.create(tmp_path / "missing", "mail")
    os.write(file.descriptor, _row())
    assert len(file.read()) == 1 and file.path is None
    file.discard()


# -- inside the deliverer, without Apprise -------------------------------------------------------------------------


class FakeService:
    def __init__(self, url: str, answer: object) -> None:
        self.url, self.answer, self.got = url, answer, []


class FakeServices:
    def __init__(self, *services: FakeService) -> None:
        self.services = services

    def of(self, channel: dict):
        for service in self.services:
            yield service.url, service

    def notify(self, service: FakeService, message: dict) -> str:
        service.got.append(message["id"])
        if isinstance(service.answer, Exception):
            raise service.answer
        return service.answer


def _send_all(monkeypatch, services: FakeServices, messages: list[dict], **channel: object) -> list[dict]:
    written: list[bytes] = []
    monkeypatch.setattr(deliverer, "os", SimpleNamespace(write=lambda _, data: written.append(data)))
    deliverer._send_all({"url": "json://u:secret1@h.example", "messages": messages, **channel}, services)
    return [json.loads(one) for one in written]


def _item(identity: str, **more: object) -> dict:
    return {"id": identity, "severity": "warning", "event": "failure", "title": "t", "body": "b", "attempt": 1,
            "done": [], "stubborn": False, **more}


def test_intent_is_written_before_and_outcome_after_each_message(monkeypatch) -> None:
    rows = _send_all(monkeypatch, FakeServices(FakeService("x://1", "")), [_item("m1"), _item("m2")])
    assert [(row["message"], row["ok"]) for row in rows] == [("m1", None), ("m1", True), ("m2", None), ("m2", True)]


def test_after_a_failure_the_rest_keeps_its_order_for_later(monkeypatch) -> None:
    rows = _send_all(monkeypatch, FakeServices(FakeService("x://1", "refused")), [_item("m1"), _item("m2")])
    assert [(row["message"], row["ok"]) for row in rows] == [("m1", None), ("m1", False)]


def test_a_message_that_failed_again_and_again_does_not_hold_up_the_next_for_ever(monkeypatch) -> None:
    rows = _send_all(monkeypatch, FakeServices(FakeService("x://1", "refused")), [_item("m1", stubborn=True), _item("m2")])
    assert [row["message"] for row in rows] == ["m1", "m1", "m2", "m2"]


def test_of_several_services_only_those_without_it_get_it_again(monkeypatch) -> None:
    good, bad = FakeService("x://good", ""), FakeService("x://bad", "refused")
    rows = _send_all(monkeypatch, FakeServices(good, bad), [_item("m1")])
    assert rows[1]["ok"] is False and len(rows[1]["done"]) == 1
    bad.answer = ""
    rows = _send_all(monkeypatch, FakeServices(good, bad), [_item("m1", done=rows[1]["done"])])
    assert rows[1]["ok"] is True and good.got == ["m1"] and bad.got == ["m1", "m1"]


def test_an_exception_of_a_service_is_a_failure_without_its_text(monkeypatch) -> None:
    rows = _send_all(monkeypatch, FakeServices(FakeService("x://1", ValueError("json://u:secret1@h"))), [_item("m1")])
    assert rows[1]["reason"] == "Apprise failed: ValueError"


def test_a_reason_is_one_harmless_line_without_the_secret(monkeypatch) -> None:
    rows = _send_all(monkeypatch, FakeServices(FakeService(
        "json://u:secret1@h.example", "no: secret1 <b>\x1b[0m\r\n" + "x" * 9000)), [_item("m1")])
    reason = rows[1]["reason"]
    assert "secret1" not in reason and "<" not in reason and "\x1b" not in reason and len(reason) <= 300


def test_no_service_in_the_channel_is_a_failure(monkeypatch) -> None:
    assert "does not accept" in _send_all(monkeypatch, FakeServices(), [_item("m1")])[1]["reason"]


def test_the_system_log_gets_every_line_at_its_priority(monkeypatch) -> None:
    import syslog

    lines: list[tuple[int, str]] = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, text: lines.append((priority, text)))
    deliverer.to_syslog({"severity": "critical", "title": "a title", "body": "first\n\nsecond\n" + "x\n" * 500})
    assert lines[:3] == [(syslog.LOG_CRIT, "a title"), (syslog.LOG_CRIT, "first"), (syslog.LOG_CRIT, "second")]
    assert len(lines) <= 60


# -- what Apprise says yes and no with -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def services():
    return deliverer._Services()


@pytest.mark.parametrize("answer, expected", [
    (True, ""), (False, "the service did not take it"), (None, "the service did not take it"),
    (SimpleNamespace(), ""),
], ids=["yes", "no", "nobody was told", "a result object that is true"])
def test_the_three_answers_of_apprise(services, monkeypatch, answer: object, expected: str) -> None:
    monkeypatch.setattr(services._apprise.Apprise, "notify", lambda self, **_: answer)
    _, service = next(services.of({"url": "json://127.0.0.1:9/"}))
    assert services.notify(service, _item("m1")) == expected


def test_only_slack_of_one_apprise_version_is_believed_against_its_word(services, monkeypatch) -> None:
    _, slack = next(services.of({"url": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops"}))
    monkeypatch.setattr(services._apprise, "__version__", "1.2.0")
    assert services._is_a_yes(slack, "Failed to send to Slack: error=200.")
    assert not services._is_a_yes(slack, "Failed to send to Slack: Server error, error=500.")
    _, bot = next(services.of({"url": "slack://xoxb-1234567890-1234567890-4ddtest7e44ffef0e4b90fd/#ops"}))
    assert not services._is_a_yes(bot, "Failed to send to Slack: error=200."), "a bot's refusal reads the same"
    monkeypatch.setattr(services._apprise, "__version__", "1.9.0")
    assert not services._is_a_yes(slack, "Failed to send to Slack: error=200.")


def test_a_service_cuts_what_is_too_long_for_it_unless_the_url_says_otherwise(services) -> None:
    _, service = next(services.of({"url": "json://127.0.0.1:9/"}))
    assert str(getattr(service.overflow_mode, "value", service.overflow_mode)) == "truncate"
    _, service = next(services.of({"url": "json://127.0.0.1:9/?overflow=split"}))
    assert str(getattr(service.overflow_mode, "value", service.overflow_mode)) == "split"


@pytest.mark.parametrize("url", ["nonsense://user:hunter22@host", "json://", "slack://bad", "hunter22"])
def test_a_bad_url_is_refused_without_quoting_it(url: str) -> None:
    reason = deliverer.refusal(url)
    assert reason and "hunter22" not in reason.replace("'hunter22://'", "")
    assert deliverer.refusal("json://127.0.0.1:9/x") == ""


def test_a_misspelt_service_is_answered_with_the_nearest_one() -> None:
    assert "did you mean 'mailto" in deliverer.refusal("mailtoo://u:p@h.example")
