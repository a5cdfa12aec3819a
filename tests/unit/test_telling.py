"""Thirty days of a failure, twice a day, by a clock that is passed in: who is told what, and when.

The journal is a real one on a disk, and so are the run and the certificate. What stands in for Apprise is a function that
takes every message or, on the days on which a channel is down, none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certbot_guard import journal as journals
from certbot_guard import notify, telling
from certbot_guard.account import NextAttempt
from certbot_guard.message import as_delivered
from certbot_guard.run import Run

START = datetime(2026, 11, 24, 4, 17, tzinfo=timezone.utc)
DOWN = {"type": "urn:ietf:params:acme:error:serverInternal", "detail": "The service is down for maintenance"}
BUSY = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates already issued"}


@dataclass
class Mail:
    day: float
    title: str
    body: str

    @property
    def severity(self) -> str:
        return self.title.split()[0]


@dataclass
class Machine:
    """A machine with certbot's directories, a guard.ini, and a state directory; certbot itself is played by the test."""

    directory: Path
    ini: str = "mail = json://127.0.0.1:9/\n"
    now: datetime = START
    got: dict[str, list[Mail]] = field(default_factory=dict)
    down: dict[str, tuple[float, float]] = field(default_factory=dict)  # from which day to which a channel is down
    tried: list[tuple[float, str]] = field(default_factory=list)
    runs: int = 0

    def __post_init__(self) -> None:
        self.directory.chmod(0o700)
        (self.directory / "guard.ini").write_text(f"[notify]\n{self.ini}\n[state]\ndir = {self.directory}/state\n")
        (self.directory / "guard.ini").chmod(0o600)
        self.state = self.directory / "state"
        (self.directory / "renewal").mkdir()

    @property
    def day(self) -> float:
        return (self.now - START) / timedelta(days=1)

    def certificate(self, name: str, left: timedelta, lifetime: timedelta = timedelta(days=90)) -> None:
        (self.directory / "renewal" / f"{name}.conf").write_text("# of this lineage\n")
        live = self.directory / "live" / name
        live.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        end = self.now + left
        made = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(end - lifetime).not_valid_after(end)
                .sign(key, hashes.SHA256()))
        (live / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def run(self, *events: tuple[str, dict[str, Any]], dry_run: bool = False, argv: tuple[str, ...] = ("renew",),
            verb: str = "renew", began: Optional[datetime] = None) -> None:
        """certbot has run and noted these events; people are told."""
        self.runs += 1
        facts = {"id": f"{self.now:%Y%m%dT%H%M%SZ}-{self.runs}", "host": "web1", "verb": verb, "argv": list(argv),
                 "dry_run": dry_run, "config_dir": str(self.directory), "guard_config": str(self.directory / "guard.ini"),
                 "server": None, "server_name": "", "started": (began or self.now).isoformat(timespec="milliseconds")}
        run = Run.create([self.state], facts)
        for kind, fields in events:
            run.note(kind, **fields)
        run.note("exit")
        telling.tell(run, None, outside=telling.Outside(lambda: self.now, lambda _now: NextAttempt("tomorrow"), self.deliver))

    def fail(self, *names: str, acme: dict[str, str] = DOWN, **options: Any) -> None:
        self.run(*[("lineage-failed", {"lineage": name, "error_type": "Error", "error": acme["detail"], "acme": acme})
                   for name in names], **options)

    def deliver(self, books: list, config: Any, _deadline: float, now: datetime, rest: bool) -> list[notify.Delivery]:
        found = []
        for book in books:
            resting = book.resting(now) if rest else {}
            for channel in book.channels_waiting():
                waiting = book.waiting(channel)
                if channel in resting and all(one.attempts for one in waiting):
                    continue
                begin, end = self.down.get(channel, (99.0, 99.0))
                ok = not begin <= self.day < end
                for one in waiting:
                    attempt = book.sending(one.message.id, channel)
                    self.tried.append((self.day, channel))
                    if ok:
                        book.sent(one.message.id, channel, attempt)
                        title, body = as_delivered(one.message, now, one.created, one.possible_repeat, one.replaced)
                        self.got.setdefault(channel, []).append(Mail(self.day, title, body))
                    else:
                        book.failed(one.message.id, channel, "refused", attempt)
                    found.append(notify.Delivery(channel, one.message.id, ok, "" if ok else "refused"))
                book.channel_tried(channel, ok, now)
        return found

    def days(self, channel: str = "mail") -> list[tuple[float, str]]:
        return [(round(mail.day, 1), mail.severity) for mail in self.got.get(channel, [])]

    def twice_a_day(self, days: float, until: Optional[float] = None) -> Any:
        """Each moment at which certbot runs."""
        for half in range(int(days * 2)):
            self.now = START + half * timedelta(hours=12)
            yield half / 2


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


THREE = ("mail = json://127.0.0.1:9/\nslack = json://127.0.0.1:9/\npager = json://127.0.0.1:9/\n\n"
         "[channel slack]\nevents = failure recovery\n\n[channel pager]\nmin_severity = critical\n")


def test_thirty_days_of_the_same_failure_twice_a_day(tmp_path: Path) -> None:
    machine = Machine(tmp_path, THREE)
    machine.certificate("example.com", timedelta(days=25))
    for day in machine.twice_a_day(30):
        if day < 28:
            machine.fail("example.com")
        elif day == 28:
            machine.certificate("example.com", timedelta(days=90))
            machine.run(("deployed", {"lineage": "example.com"}))
        else:
            machine.run()
    # 25 days are left: at 9 it is a tenth of 90, on day 16. A day of warnings less, a day of reminders more.
    warnings = [(float(day), "WARNING") for day in range(16)]
    critical = [(float(day), "CRITICAL") for day in range(16, 28)]
    assert machine.days("mail") == warnings + critical + [(28.0, "OK")]
    assert machine.days("slack") == machine.days("mail")
    assert machine.days("pager") == critical + [(28.0, "OK")]
    over = machine.got["mail"][-1]
    assert over.title == "OK web1: Apache was not touched, example.com works again after 28 days"
    assert "Works again: example.com. It was renewed." in over.body
    assert "since 2026-11-24 04:17 UTC (28 days)" in over.body


def test_it_becomes_graver_between_two_reminders(machine: Machine) -> None:
    machine.certificate("example.com", timedelta(days=10, hours=-6))  # at 9 days, 18 hours on
    for _ in machine.twice_a_day(3):
        machine.fail("example.com")
    assert machine.days() == [(0.0, "WARNING"), (1.0, "CRITICAL"), (2.0, "CRITICAL")]
    machine.got.clear()
    machine.now = START + timedelta(days=10)
    machine.certificate("short.example", timedelta(hours=20), lifetime=timedelta(days=6))  # a tenth: 14.4 hours
    for hours in (0, 4, 8, 12):
        machine.now = START + timedelta(days=10, hours=hours)
        machine.fail("short.example")
    assert [mail.severity for mail in machine.got["mail"]] == ["WARNING", "CRITICAL"]


def test_an_expired_certificate_goes_on_being_critical_and_says_expired(machine: Machine) -> None:
    machine.certificate("example.com", timedelta(hours=6))
    for _ in machine.twice_a_day(2):
        machine.fail("example.com")
    assert machine.days() == [(0.0, "CRITICAL"), (1.0, "CRITICAL")]
    assert "EXPIRED" in machine.got["mail"][-1].title


def test_another_cause_is_told_at_once_and_the_first_one_again_too(machine: Machine) -> None:
    machine.certificate("example.com", timedelta(days=25))
    for day, acme in enumerate([DOWN, DOWN, BUSY, BUSY, DOWN]):
        machine.now = START + day * timedelta(hours=6)
        machine.fail("example.com", acme=acme)
    assert [round(mail.day * 4) for mail in machine.got["mail"]] == [0, 2, 4]


def test_a_channel_that_is_down_for_three_days_gets_one_message_that_says_what_it_replaced(tmp_path: Path) -> None:
    machine = Machine(tmp_path, THREE)
    machine.certificate("example.com", timedelta(days=60))
    machine.down["slack"] = (2.0, 5.0)
    for day in machine.twice_a_day(8):
        machine.fail("example.com") if day < 7 else machine.run(("deployed", {"lineage": "example.com"}))
    every_day = [(float(day), "WARNING") for day in range(7)] + [(7.0, "OK")]
    assert machine.days("mail") == every_day
    # The reminder of day 5 takes the place of those of days 2, 3 and 4.
    assert machine.days("slack") == [one for one in every_day if one[0] not in (2.0, 3.0, 4.0)]
    first = next(mail for mail in machine.got["slack"] if mail.day == 5.0)
    assert "takes the place of 3 messages that had not reached this channel" in first.body
    assert "2026-11-26 04:17 UTC: WARNING web1" in first.body and "example.com" in first.title
    assert all("takes the place" not in mail.body for mail in machine.got["slack"] if mail.day > 5.0)
    assert {channel for _, channel in machine.tried if channel == "slack"} and len(machine.got["slack"]) == 5


def test_a_recovery_reaches_a_channel_that_never_got_the_failure_and_says_so(machine: Machine) -> None:
    machine.certificate("example.com", timedelta(days=60))
    machine.down["mail"] = (0.0, 1.0)
    for day in machine.twice_a_day(2):
        machine.fail("example.com") if day < 1 else machine.run(("deployed", {"lineage": "example.com"}))
    over, = machine.got["mail"]
    assert over.severity == "OK" and "takes the place of one message" in over.body and "WARNING web1" in over.body


def test_what_is_never_taken_is_given_up_after_keep_undelivered(machine: Machine) -> None:
    machine.certificate("example.com", timedelta(days=60))
    machine.down["mail"] = (0.0, 40.0)
    machine.fail("example.com")
    machine.certificate("example.com", timedelta(days=90))
    for day in machine.twice_a_day(9):
        machine.run()
    with journals.Journal.open(machine.state)._database as database:
        states = {row[0] for row in database.execute("SELECT state FROM outbox")}
    assert states == {"replaced", "given-up"}
    assert not list(machine.state.glob("business-*"))
    assert max(day for day, _ in machine.tried) <= 7.5


def test_one_of_many_failures_is_not_repeated_with_a_new_one_but_named(machine: Machine) -> None:
    for name in ("a.example", "b.example"):
        machine.certificate(name, timedelta(days=20))
    machine.fail("a.example")
    machine.now = START + timedelta(hours=12)
    machine.fail("a.example", "b.example")
    second = machine.got["mail"][1]
    assert "b.example not renewed" in second.title and "a.example" not in second.title
    assert "Still so, as told before: a.example, since 2026-11-24 04:17 UTC" in second.body


def test_a_dry_run_is_told_each_time_and_leaves_no_trace(machine: Machine) -> None:
    machine.certificate("example.com", timedelta(days=20))
    machine.fail("example.com", dry_run=True)
    machine.now += timedelta(hours=1)
    machine.fail("example.com", dry_run=True)
    machine.now += timedelta(hours=1)
    machine.fail("example.com")
    assert [("dry run" in mail.title) for mail in machine.got["mail"]] == [True, True, False]


def test_a_success_is_told_to_those_alone_who_asked_for_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "mail = json://127.0.0.1:9/\nall = json://127.0.0.1:9/\n\n"
                                "[channel all]\nevents = success failure recovery\n")
    machine.certificate("example.com", timedelta(days=90))
    machine.run(("deployed", {"lineage": "example.com"}))
    machine.run()
    assert "mail" not in machine.got
    assert [mail.title for mail in machine.got["all"]] == ["OK web1: Apache was not touched, example.com renewed"]


def test_a_lineage_that_was_renewed_by_other_means_has_recovered(machine: Machine) -> None:
    machine.certificate("example.com", timedelta(days=20))
    machine.fail("example.com")
    machine.certificate("example.com", timedelta(days=90))  # by hand, in another environment
    machine.now += timedelta(hours=12)
    machine.run()
    assert "It has been renewed meanwhile." in machine.got["mail"][1].body


def test_a_lineage_that_was_deleted_is_not_waited_for(machine: Machine) -> None:
    machine.certificate("example.com", timedelta(days=20))
    machine.fail("example.com")
    (machine.directory / "renewal" / "example.com.conf").unlink()
    machine.now += timedelta(hours=12)
    machine.run(argv=("renew", "--cert-name", "other"))
    assert len(machine.got["mail"]) == 1  # that run did not look at it
    machine.run()
    assert "Its renewal configuration is gone." in machine.got["mail"][1].body


def test_a_hook_that_runs_again_has_recovered(machine: Machine) -> None:
    hook = {"hook": "deploy-hook", "command": "/etc/reload.sh"}
    machine.run(("hook-ran", hook), ("hook-failed", {**hook, "code": 1}))
    machine.now += timedelta(hours=12)
    machine.run()
    assert len(machine.got["mail"]) == 1  # it did not run, so nothing is known of it
    machine.now += timedelta(hours=1)
    machine.run(("hook-ran", hook))
    assert "It ran without an error." in machine.got["mail"][1].body


def test_the_mark_of_unfinished_business_is_there_while_something_stands_or_waits(machine: Machine) -> None:
    machine.certificate("example.com", timedelta(days=20))
    machine.run()
    assert not list(machine.state.glob("business-*"))
    machine.fail("example.com")
    assert list(machine.state.glob("business-*"))
    machine.run(("deployed", {"lineage": "example.com"}))
    assert not list(machine.state.glob("business-*"))


def test_what_is_told_survives_a_journal_that_is_lost(machine: Machine) -> None:
    """Rather twice than never: without the note of whom was told, everybody is told."""
    machine.certificate("example.com", timedelta(days=20))
    machine.fail("example.com")
    (machine.state / "journal.db").write_bytes(b"not a database, but long enough to look like a damaged one" * 50)
    machine.now += timedelta(hours=12)
    machine.fail("example.com")
    assert [mail.severity for mail in machine.got["mail"]] == ["WARNING", "WARNING"]


def test_a_bug_in_the_words_is_not_silence(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling.message, "compose", lambda *_arguments: 1 // 0)
    machine.fail("example.com")
    told, = machine.got["mail"]
    assert "could not put them into words" in told.title and "ZeroDivisionError" in told.body
    assert "example.com" in told.body and "down for maintenance" in told.body


def test_what_a_run_has_told_does_not_recover_in_the_same_run(machine: Machine) -> None:
    facts = {"id": "20261124T041700Z-9", "host": "web1", "verb": "renew", "argv": ["renew"], "dry_run": False,
             "config_dir": str(machine.directory), "guard_config": str(machine.directory / "guard.ini"), "server": None}
    run = Run.create([machine.state], facts)
    outside = telling.Outside(lambda: machine.now, lambda _now: NextAttempt(), machine.deliver)
    run.note("lineage", lineage="example.com")
    run.note("config-problem", text="guard.ini, line 3: unknown key")
    run.note("exit")
    for _ in range(3):
        telling.tell(run, None, outside=outside)
    assert len(machine.got["mail"]) == 1


@pytest.mark.parametrize("mended", [True, False], ids=["it passes", "it is not asked for"])
def test_a_challenge_that_was_to_pass_through_the_server_is_told_until_it_does(machine: Machine, mended: bool) -> None:
    def renewed(name: str, *events: tuple[str, dict[str, Any]]) -> None:
        machine.certificate(name, timedelta(days=90))
        machine.run(("lineage", {"lineage": name}), *events, ("deployed", {"lineage": name}))
        machine.now += timedelta(hours=1)

    stopped = ("not-proxied", {"lineage": "example.com", "reason": "403"})
    renewed("example.com", stopped, ("config-problem", {
        "lineage": "example.com", "reason": "403",
        "text": "mode = proxy: the challenge of example.com cannot pass: 403"}))
    renewed("other.example", ("proxy-placed", {"lineage": "other.example"}))
    told, = machine.got["mail"]
    assert "mode = proxy: the challenge of example.com cannot pass" in told.body and "not renewed" not in told.body
    renewed("example.com", ("proxy-placed", {"lineage": "example.com"}) if mended else stopped)
    assert [mail.severity for mail in machine.got["mail"]] == ["WARNING", "OK"]
    how = "has passed through" if mended else "mode = proxy is not set any more"
    assert how in machine.got["mail"][1].body


def test_a_certbot_that_was_at_work_when_another_found_the_lock_held_shows_nothing_by_its_end(machine: Machine) -> None:
    began = machine.now
    machine.now = began + timedelta(seconds=0.4)  # within one second, too
    machine.run(("fatal", {"error_type": "LockError", "error": "Another instance of Certbot is already running."}))
    machine.now = began + timedelta(seconds=3)
    machine.run(("lineage", {"lineage": "example.com"}), began=began)
    assert [mail.severity for mail in machine.got["mail"]] == ["WARNING"]
    machine.now = began + timedelta(hours=12)
    machine.run(("lineage", {"lineage": "example.com"}))
    assert [mail.severity for mail in machine.got["mail"]] == ["WARNING", "OK"]


# -- what one message must not take from another ---------------------------------------------------------------------


def test_a_waiting_message_does_not_give_way_to_one_about_something_else(machine: Machine) -> None:
    for name in ("a.example", "b.example"):
        machine.certificate(name, timedelta(days=20))
    machine.down["mail"] = (0.0, 0.4)
    machine.fail("a.example")
    machine.now += timedelta(hours=1)
    machine.fail("b.example", argv=("renew", "--cert-name", "b.example"))
    machine.now += timedelta(hours=1)
    machine.fail("b.example", dry_run=True)
    machine.now += timedelta(hours=10)
    machine.fail("a.example", "b.example")
    assert [("dry run" in mail.title, "a.example" in mail.title) for mail in machine.got["mail"]] == [
        (False, True), (False, False), (True, False)]


def test_a_recovery_that_waits_does_not_give_way_to_another_failure(machine: Machine) -> None:
    for name in ("a.example", "b.example"):
        machine.certificate(name, timedelta(days=20))
    machine.fail("a.example")
    machine.down["mail"] = (0.1, 0.9)
    machine.now += timedelta(hours=12)
    machine.run(("deployed", {"lineage": "a.example"}))
    machine.now += timedelta(hours=1)
    machine.fail("b.example")
    machine.now += timedelta(hours=12)
    machine.run()
    assert [mail.severity for mail in machine.got["mail"]][:2] == ["WARNING", "OK"]
    assert "b.example" in machine.got["mail"][2].title


def test_a_clock_that_was_wrong_for_a_day_does_not_silence_a_failure(machine: Machine) -> None:
    machine.certificate("example.com", timedelta(days=60))
    machine.now = START + timedelta(days=1000)
    machine.fail("example.com")
    machine.now = START
    machine.fail("example.com")
    assert len(machine.got["mail"]) == 2


def test_what_was_noted_elsewhere_for_want_of_room_recovers_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.certificate("example.com", timedelta(days=60))
    publish, full = journals.Journal.publish, [True]

    def no_room(book: journals.Journal, *arguments: Any) -> None:
        if full[0] and book.directory == machine.state:
            raise telling.StateError("no space left")
        publish(book, *arguments)

    monkeypatch.setattr(journals.Journal, "publish", no_room)
    machine.fail("example.com")
    full[0] = False
    for hours in (12, 24, 36):
        machine.now = START + timedelta(hours=hours)
        machine.run(("deployed", {"lineage": "example.com"}))
    assert [mail.severity for mail in machine.got["mail"]] == ["WARNING", "OK"]


def test_a_grave_trouble_reaches_who_wants_grave_ones_alone_whatever_kind_it_is(tmp_path: Path) -> None:
    machine = Machine(tmp_path, THREE)
    machine.certificate("example.com", timedelta(days=2))
    path = str(machine.directory / "renewal" / "example.com.conf")
    machine.run(("lineage-broken", {"path": path, "error": "it is broken"}))
    machine.now += timedelta(hours=1)
    machine.run(("fatal", {"error": "An account is missing"}))
    machine.now += timedelta(hours=1)
    machine.run(("stopping", {"window": 1, "lineage": "example.com", "before": {}}),
                ("start-failed", {"window": 1, "reason": "the web server of this run cannot be found any more"}))
    assert len(machine.got["pager"]) == 3 and all(mail.severity == "CRITICAL" for mail in machine.got["pager"])


def test_a_certificate_that_was_asked_for_once_and_not_issued_does_not_stand(machine: Machine) -> None:
    machine.fail("new.example", verb="certonly")
    machine.now += timedelta(hours=12)
    machine.run()
    assert [mail.severity for mail in machine.got["mail"]] == ["WARNING"]


def test_a_lineage_of_which_a_whole_run_has_nothing_to_say_is_well(machine: Machine) -> None:
    machine.certificate("example.com", timedelta(days=60))
    machine.run(("not-attempted", {"lineages": ["example.com"], "reason": "certbot ended before it came to them"}))
    machine.now += timedelta(hours=12)
    machine.run(argv=("renew", "--cert-name", "other"))
    assert len(machine.got["mail"]) == 1
    machine.run()
    assert "nothing wrong with it any more" in machine.got["mail"][1].body and not list(machine.state.glob("business-*"))


def test_a_lineage_that_was_renewed_after_all_does_not_stand(machine: Machine) -> None:
    machine.certificate("example.com", timedelta(days=60))
    machine.run(("left-running", {"lineage": "example.com", "reason": "haproxy has the port", "window": 1}),
                ("deployed", {"lineage": "example.com"}))
    machine.now += timedelta(hours=12)
    machine.run()
    assert len(machine.got["mail"]) == 1 and not list(machine.state.glob("business-*"))


def test_two_causes_of_which_one_comes_and_goes_are_not_told_each_time(machine: Machine) -> None:
    machine.certificate("example.com", timedelta(days=60))
    stays = ("left-running", {"lineage": "example.com", "reason": "haproxy (pid 8) has port 80", "window": 1})
    goes = ("lineage-failed", {"lineage": "example.com", "error_type": "Error", "error": "x", "acme": DOWN})
    for turn in range(6):
        machine.now = START + turn * timedelta(hours=4)
        machine.run(stays, *([goes] if turn % 2 == 0 else []))
    assert len(machine.got["mail"]) == 1


def test_people_are_reminded_of_a_server_that_is_down_by_runs_with_nothing_to_renew(
        machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    serves = [False]
    monkeypatch.setattr(telling.present, "serving", lambda _run, _server: serves[0])
    stopping = ("stopping", {"window": 1, "lineage": "example.com", "before": {}})
    machine.run(stopping, ("start-failed", {"window": 1, "reason": "it does not start"}))
    for half in range(1, 5):
        machine.now = START + half * timedelta(hours=12)
        machine.run()
    serves[0] = True
    machine.now += timedelta(hours=12)
    machine.run()
    assert machine.days() == [(0.0, "CRITICAL"), (1.0, "CRITICAL"), (2.0, "CRITICAL"), (2.5, "OK")]
    assert all("Apache is DOWN" in mail.title for mail in machine.got["mail"][:3])
    assert "Apache serves again" in machine.got["mail"][3].title


def test_a_server_that_a_dry_run_left_down_is_told_to_serve_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    serves = [False]
    monkeypatch.setattr(telling.present, "serving", lambda _run, _server: serves[0])
    facts = {"id": "20261124T041700Z-9", "host": "web1", "verb": "renew", "argv": ["renew"], "dry_run": True,
             "config_dir": str(machine.directory), "guard_config": str(machine.directory / "guard.ini"), "server": None}
    run = Run.create([machine.state], facts)
    outside = telling.Outside(lambda: machine.now, lambda _now: NextAttempt(), machine.deliver)
    run.note("stopping", window=1, lineage="example.com", before={})
    run.note("start-failed", window=1, reason="it does not start")
    telling.tell(run, None, outside=outside)
    serves[0] = True
    run.note("serving", window=1, by="retry", again=True, outage_seconds=9.0)
    telling.tell(run, None, outside=outside)
    assert [mail.title.split(":")[0] for mail in machine.got["mail"]] == ["CRITICAL web1 (dry run)", "OK web1 (dry run)"]


def test_a_start_that_is_under_way_does_not_serve_before_it_answers(machine: Machine) -> None:
    """It listens for a moment, and then dies of what the last one died of: people are not told that it serves."""
    class Starting:
        identity = name = "apache:default"
        gave = "connection"

        def serving(self, _before: dict) -> bool:
            return True  # silence is no reason to call a live server down

        def look(self) -> dict:
            return {"serving": True, "sockets": [{"address": "0.0.0.0", "port": 80, "gave": self.gave}]}

    server = Starting()
    facts = {"id": "20261124T041700Z-9", "host": "web1", "verb": "renew", "argv": ["renew"], "server_name": "Apache",
             "config_dir": str(machine.directory), "guard_config": str(machine.directory / "guard.ini"),
             "server": {"identity": "apache:default"}}
    run = Run.create([machine.state], facts)
    outside = telling.Outside(lambda: machine.now, lambda _now: NextAttempt(), machine.deliver)
    run.note("stopping", window=1, lineage="example.com",
             before={"serving": True, "sockets": [{"address": "0.0.0.0", "port": 80, "gave": "http"}]})
    run.note("start-failed", window=1, reason="it does not start")
    telling.tell(run, server, outside=outside)
    assert "Apache is DOWN" in machine.got["mail"][0].title
    server.gave = "http"
    assert telling.present.serving(run, server)
