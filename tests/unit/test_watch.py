"""What a look from outside finds, tells, and tells no more: real files, a real journal, and a clock that is passed in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional

import pytest

from certbot_guard import config as configuration
from certbot_guard import schedule, telling
from certbot_guard.account import NextAttempt
from certbot_guard.watch import passes
from certbot_guard.watch.services import Seen
from tests.unit.test_telling import START, Machine

DAILY = schedule.Attempt(START + timedelta(hours=12), "certbot.timer", None)
DAY = timedelta(days=1)


@dataclass
class Watched(Machine):
    """A machine that is looked at: certbot's timer and the services are played by the test."""

    attempt: Optional[schedule.Attempt] = DAILY
    shown: tuple[dict[str, Any], ...] = ()
    asked: frozenset[str] = frozenset(f"192.0.2.{number}:443 (example.com)" for number in range(1, 40))
    complete: bool = True
    uptime: timedelta = timedelta(days=100)

    def __post_init__(self) -> None:
        super().__post_init__()
        ini = self.directory / "guard.ini"
        ini.write_text(ini.read_text() + f"[certbot]\nconfig_dir = {self.directory}\nlogs_dir = {self.directory}/logs\n")
        self.logs = self.directory / "logs"
        self.logs.mkdir()
        self.ran(START - timedelta(hours=1))

    def lineage(self, name: str, left: timedelta, lifetime: timedelta = 90 * DAY, installer: str = "guard", more: str = "",
                top: str = "") -> None:
        self.certificate(name, left, lifetime)
        live = self.directory / "live" / name
        references = "".join(f"{key} = {live}/{key}.pem\n" for key in ("cert", "privkey", "chain", "fullchain"))
        installing = f"installer = {installer}\n" if installer else ""
        (self.directory / "renewal" / f"{name}.conf").write_text(
            f"{top}{references}[renewalparams]\nauthenticator = standalone\n{installing}{more}")
        for path in (live / "cert.pem", self.directory / "renewal" / f"{name}.conf"):
            os.utime(path, (self.now.timestamp() - 7 * 86400,) * 2)

    def ran(self, when: datetime, said: str = "no renewal failures", arguments: tuple[str, ...] = (),
            logger: str = "renewal") -> None:
        """certbot has run and left a log."""
        local = when.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        (self.logs / "letsencrypt.log").write_text(
            f"{local},100:DEBUG:certbot._internal.main:certbot version: 5.8.0\n"
            f"{local},101:DEBUG:certbot._internal.main:Arguments: {[*arguments, '--config-dir', str(self.directory)]}\n"
            f"{local},200:DEBUG:certbot._internal.{logger}:{said}\n")

    def watch(self, schedule_: Any = None) -> passes.Outcome:
        outside = telling.Outside(lambda: self.now, lambda _now: NextAttempt("tomorrow"), self.deliver)
        return passes.watch(configuration.load(self.directory / "guard.ini"), passes.Eyes(
            lambda: self.now, outside, lambda _config: None, self._services, schedule_ or (lambda _now: self.attempt),
            lambda _seconds: None, lambda: self.uptime))

    def _services(self, _config: Any, _directories: Any, _server: Any, note: Any, _now: datetime) -> Seen:
        for fields in self.shown:
            note("shown", **fields)
        return Seen(self.asked, self.complete)

    def days_of_watching(self, days: float, every: timedelta = timedelta(hours=6)) -> None:
        """certbot runs well all the while; a look every few hours."""
        end = self.now + days * DAY
        while self.now < end:
            if self.attempt is not None:
                self.ran(self.now - timedelta(minutes=30))
            self.watch()
            self.now += every

    @property
    def mails(self) -> list[Any]:
        return self.got.get("mail", [])

    @property
    def titles(self) -> list[str]:
        return [mail.title for mail in self.mails]


@pytest.fixture
def machine(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_where_all_is_well_nobody_hears_anything(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    machine.days_of_watching(30)
    assert machine.watch().found == [] and machine.got == {}


# -- certificates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime, left, told", [
    (90 * DAY, 31 * DAY, None), (90 * DAY, 28 * DAY, None), (90 * DAY, 26 * DAY, "warning"), (90 * DAY, 8 * DAY, "critical"),
    (90 * DAY, -DAY, "critical"), (90 * DAY, -40 * DAY, None),
    (365 * DAY, 60 * DAY, None), (365 * DAY, 31 * DAY, None), (365 * DAY, 26 * DAY, "critical"),
    (6 * DAY, timedelta(days=2.6), None), (6 * DAY, timedelta(days=2.3), "warning"), (6 * DAY, timedelta(hours=14), "critical")])
def test_a_certificate_that_is_due_is_told_when_its_runs_should_have_renewed_it(
        machine: Watched, lifetime: timedelta, left: timedelta, told: Optional[str]) -> None:
    machine.lineage("example.com", left, lifetime)
    outcome = machine.watch()
    assert [finding.severity for finding in outcome.found] == ([told] if told else [])
    assert len(machine.mails) == bool(told)
    if told:
        mail = machine.mails[0]
        assert mail.severity == told.upper() and "example.com" in mail.title
        assert "certbot renew --cert-name example.com" in mail.body and "Next attempt: tomorrow" in mail.body
        assert ("EXPIRED" in mail.title) == (left < timedelta(0))


def test_thirty_days_of_a_certificate_that_nobody_renews(machine: Watched) -> None:
    machine.lineage("example.com", 27.1 * DAY)
    machine.days_of_watching(30)
    # Told when it is three days overdue, every day from then on, and at once when it becomes grave.
    days = machine.days()
    assert days[0] == (0.2, "WARNING") or days[0] == (0.25, "WARNING"), days
    graver = next(day for day, severity in days if severity == "CRITICAL")
    assert 18.0 <= graver <= 18.5
    assert [severity for day, severity in days if day < graver] == ["WARNING"] * (len([1 for day, _ in days if day < graver]))
    gaps = [later - earlier for (earlier, _), (later, _) in zip(days, days[1:])]
    assert all(0.4 <= gap <= 1.1 for gap in gaps) and len(days) <= 32
    machine.lineage("example.com", 89 * DAY)
    machine.watch()
    assert machine.mails[-1].severity == "OK" and "It has been renewed." in machine.mails[-1].body
    machine.now += DAY
    count = len(machine.mails)
    machine.watch()
    assert len(machine.mails) == count


def test_a_lineage_of_which_a_run_has_told_is_not_told_a_second_time(machine: Watched) -> None:
    machine.lineage("example.com", 25 * DAY)
    machine.fail("example.com")
    machine.watch()
    assert len(machine.mails) == 1
    machine.now += timedelta(days=3.5)  # no run has said anything for longer than stale_after
    machine.ran(machine.now)
    machine.watch()
    assert len(machine.mails) == 2 and "not renewed" in machine.mails[1].title


def test_it_is_told_in_spite_of_that_when_it_has_become_graver(machine: Watched) -> None:
    machine.lineage("example.com", timedelta(days=9, hours=6))
    machine.fail("example.com")
    machine.now += timedelta(hours=12)
    machine.watch()
    assert [mail.severity for mail in machine.mails] == ["WARNING", "CRITICAL"]


def test_what_is_not_to_be_renewed_is_told_when_it_is_about_to_expire(machine: Watched) -> None:
    machine.lineage("example.com", 20 * DAY, more="autorenew = False\n")
    machine.watch()
    assert machine.got == {}
    machine.now += 12 * DAY
    machine.watch()
    assert "autorenew" in machine.mails[0].body and machine.mails[0].severity == "CRITICAL"


def test_renew_before_expiry_moves_the_day(machine: Watched) -> None:
    machine.lineage("example.com", 26 * DAY, top="renew_before_expiry = 10 days\n")
    machine.watch()
    assert machine.got == {}


def test_a_key_that_does_not_fit_is_told(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    machine.lineage("other.example", 80 * DAY)
    for name in ("example.com", "other.example"):
        _write_key(machine.directory / "live" / name, fits=name == "other.example")
    found = machine.watch().found
    assert [(finding.key, finding.severity, finding.lineage) for finding in found] == [
        ("key-mismatch-on-disk", "critical", "example.com")]
    _write_key(machine.directory / "live" / "example.com", fits=True)
    assert machine.watch().found == [] and "They fit each other again." in machine.mails[-1].body


def _write_key(live: Path, fits: bool) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    old = x509.load_pem_x509_certificate((live / "cert.pem").read_bytes())
    if fits:
        made = (x509.CertificateBuilder().subject_name(old.subject).issuer_name(old.issuer).public_key(key.public_key())
                .serial_number(old.serial_number).not_valid_before(old.not_valid_before_utc if hasattr(
                    old, "not_valid_before_utc") else old.not_valid_before)
                .not_valid_after(old.not_valid_after_utc if hasattr(old, "not_valid_after_utc") else old.not_valid_after)
                .sign(key, hashes.SHA256()))
        (live / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (live / "privkey.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


# -- renewal configurations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spoil, said", [
    (lambda path: path.write_text("[renewalparams\ncert"), "certbot cannot read"),
    (lambda path: path.write_text("cert = /x\n"), "missing a required file reference: privkey"),
    (lambda path: path.write_text(path.read_text().replace("authenticator = standalone\n", "")), "no authenticator"),
    (lambda path: path.write_bytes(b"\xff\xfe\x00cert"), "certbot cannot read")])
def test_a_renewal_configuration_that_certbot_cannot_use_is_told_until_it_can(machine: Watched, spoil: Any, said: str) -> None:
    machine.lineage("example.com", 80 * DAY)
    spoil(machine.directory / "renewal" / "example.com.conf")
    machine.watch()
    assert said in machine.mails[0].body and "example.com.conf" in machine.mails[0].body
    machine.now += timedelta(hours=1)
    machine.watch()
    assert len(machine.mails) == 1
    machine.lineage("example.com", 80 * DAY)
    machine.watch()
    assert "certbot can read it." in machine.mails[1].body and machine.mails[1].severity == "OK"


def test_a_lineage_that_has_lost_its_guard_is_told_until_it_has_it_again(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    machine.lineage("never.example", 80 * DAY, installer="")
    assert machine.watch().found == []
    machine.lineage("example.com", 80 * DAY, installer="")
    machine.now += timedelta(hours=1)
    machine.watch()
    machine.now += timedelta(hours=1)
    machine.watch()
    mail, = machine.mails
    assert "example.com not guarded any more" in mail.title and "never.example" not in mail.body
    assert "certbot-guard adopt --cert-name example.com" in mail.body
    machine.lineage("example.com", 80 * DAY)
    machine.watch()
    assert "installer = guard again" in machine.mails[1].body


def test_who_chose_another_installer_or_deleted_the_lineage_hears_nothing(machine: Watched) -> None:
    for name in ("a.example", "b.example"):
        machine.lineage(name, 80 * DAY)
    machine.watch()
    machine.lineage("a.example", 80 * DAY, installer="apache")
    (machine.directory / "renewal" / "b.example.conf").unlink()
    machine.days_of_watching(2)
    assert machine.got == {}


def test_a_plugin_that_is_not_installed_is_named(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    conf = machine.directory / "renewal" / "example.com.conf"
    conf.write_text(conf.read_text().replace("standalone", "dns-nowhere"))
    machine.watch()
    assert "authenticator 'dns-nowhere', which is not installed" in machine.mails[0].body


# -- certbot's runs --------------------------------------------------------------------------------------------------


def test_a_certbot_that_does_not_run_any_more_is_told_after_three_days_and_when_it_runs_again(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    machine.now = START + timedelta(days=2.9)
    machine.watch()
    assert machine.got == {}
    machine.now = START + timedelta(days=3.1)
    machine.watch()
    assert "certbot has not run since" in machine.mails[0].body and "certbot does not run" in machine.titles[0]
    machine.now += timedelta(hours=1)
    machine.ran(machine.now)
    machine.watch()
    assert "certbot has run." in machine.mails[1].body


def test_dry_runs_and_other_commands_are_no_runs(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    for arguments, logger in ((("--dry-run",), "renewal"), ((), "main"), (("-d", "renew.example"), "client")):
        machine.ran(START, arguments=arguments, logger=logger)
        machine.now = START + 4 * DAY
        assert _of_certbot(machine) == []  # watched since now: nobody can know yet
    machine.now += 4 * DAY
    assert _of_certbot(machine) == []  # nothing is due: whatever renews it may be out of sight
    machine.lineage("example.com", 29 * DAY)
    assert _of_certbot(machine) == ["certbot-stale"]


def _of_certbot(machine: Watched) -> list[str]:
    return [finding.key for finding in machine.watch().found if finding.key.startswith("certbot")]


def test_a_log_that_was_rotated_away_is_remembered(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    machine.watch()
    (machine.logs / "letsencrypt.log").unlink()
    machine.now += 2 * DAY
    machine.watch()
    assert machine.got == {}
    machine.now += 2 * DAY
    assert _of_certbot(machine) == ["certbot-stale"]


def test_a_host_that_was_off_has_its_turn_first(machine: Watched) -> None:
    machine.lineage("example.com", 26 * DAY)
    machine.now += 8 * DAY
    machine.uptime = timedelta(hours=1)
    assert machine.watch().found == []
    machine.uptime = timedelta(hours=14)
    assert {finding.key for finding in machine.watch().found} == {"certbot-stale", "lineage-not-renewed"}


def test_a_crontab_that_runs_it_once_a_month_is_given_two_months(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)

    def monthly(now: datetime) -> schedule.Attempt:
        return schedule.Attempt(START + 30 * DAY * ((now - START) // (30 * DAY) + 1), "/etc/crontab, line 1", None)

    def watch(day: float) -> list[str]:
        machine.now = START + day * DAY
        return [finding.key for finding in machine.watch(monthly).found if finding.key.startswith("certbot")]

    assert watch(29) == watch(59) == [] and watch(61) == ["certbot-stale"]


def test_where_nothing_starts_certbot_that_is_told(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    machine.watch()
    machine.attempt = None
    machine.watch()
    assert machine.got == {}  # it ran an hour ago: whatever started that is elsewhere
    machine.now += 4 * DAY
    found = {finding.key for finding in machine.watch().found}
    assert found == {"certbot-stale", "certbot-not-scheduled"} and len(machine.mails) == 1
    machine.attempt = DAILY
    machine.ran(machine.now)
    machine.watch()
    assert machine.mails[1].severity == "OK" and "It is scheduled again." in machine.mails[1].body


def test_a_host_without_lineages_needs_no_certbot(machine: Watched) -> None:
    machine.attempt = None
    machine.now += 30 * DAY
    assert machine.watch().found == []


FAILED = ("Traceback (most recent call last):\nImportError: no\n")


def test_a_run_that_failed_where_the_plugin_was_not_there_to_say_so_is_told_from_its_log(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    local = START.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    machine.ran(START, said=f"x\n{local},300:ERROR:certbot._internal.renewal:Failed to renew certificate example.com with error: "
                            "urn:ietf:params:acme:error:serverInternal :: The server experienced an internal error :: "
                            "The service is down for maintenance")
    machine.watch()
    mail, = machine.mails
    assert "not renewed" in mail.title and "down for maintenance" in mail.body
    machine.now += timedelta(hours=1)
    machine.watch()
    assert len(machine.mails) == 1
    machine.ran(START + timedelta(hours=12))
    machine.lineage("example.com", 89 * DAY)
    machine.now += timedelta(hours=12)
    machine.watch()
    assert len(machine.mails) == 2 and machine.mails[1].severity == "OK"


def test_a_run_of_which_the_plugin_has_told_is_not_told_again_from_its_log(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    machine.fail("example.com")
    local = START.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    machine.ran(START, said=f"x\n{local},300:ERROR:certbot._internal.renewal:Failed to renew certificate example.com with error: "
                            "another thing")
    machine.now += timedelta(hours=1)
    machine.watch()
    assert len(machine.mails) == 1


# -- what services show ----------------------------------------------------------------------------------------------


def place(number: int, what: str = "served-old", lineage: str = "example.com") -> dict[str, Any]:
    return {"what": what, "lineage": lineage, "place": f"192.0.2.{number}:443 ({lineage})", "words": "the new one is there since today"}


def test_a_service_that_shows_the_old_certificate_is_told_once_and_when_it_shows_the_new_one(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    machine.shown = tuple(place(number) for number in range(1, 30))
    for _ in range(3):
        machine.watch()
        machine.now += timedelta(hours=1)
    mail, = machine.mails
    assert mail.severity == "WARNING" and "old certificate shown on 192.0.2.1:443 (example.com)" in mail.title
    assert "29 places" in mail.body and "and 21 more places" in mail.body and len(mail.body) < 4000
    machine.shown = machine.shown[:1]
    machine.watch()
    assert machine.mails[1].severity == "OK" and "Still so" in machine.mails[1].body
    machine.shown = ()
    machine.watch()
    assert machine.mails[2].severity == "OK" and len(machine.mails) == 3


def test_what_could_not_be_looked_at_is_not_well_again(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    machine.shown = (place(1),)
    machine.watch()
    machine.shown, machine.asked, machine.complete = (), frozenset(), False
    machine.now += timedelta(hours=1)
    machine.watch()
    assert len(machine.mails) == 1
    machine.complete = True
    machine.watch()
    assert "It is not looked at any more." in machine.mails[1].body


def test_an_expired_certificate_is_critical_and_wakes_the_pager(tmp_path: Path) -> None:
    machine = Watched(tmp_path, "mail = json://127.0.0.1:9/\npager = json://127.0.0.1:9/p\n[channel pager]\nmin_severity = critical\n")
    machine.lineage("example.com", 80 * DAY)
    machine.shown = (place(1),)
    machine.watch()
    machine.shown = (place(1, "served-expired"),)
    machine.now += timedelta(hours=1)
    machine.watch()
    assert [severity for _, severity in machine.days("pager")] == ["CRITICAL"]
    assert [severity for _, severity in machine.days("mail")] == ["WARNING", "CRITICAL"]


def test_what_is_wrong_in_many_ways_is_one_message(machine: Watched) -> None:
    for number in range(20):
        machine.lineage(f"a{number}.example", 20 * DAY)
    machine.lineage("gone.example", -2 * DAY)
    machine.shown = (place(1), place(2, "served-chain"))
    machine.watch()
    mail, = machine.mails
    assert mail.severity == "CRITICAL" and "gone.example EXPIRED" in mail.title and "20 lineages, same cause" in mail.body
    assert mail.body.index("gone.example") < mail.body.index("a1.example") < 1000


# -- what is not well only because it was not found wrong ------------------------------------------------------------


def _unreadable(machine: Watched) -> None:
    (machine.directory / "live" / "example.com" / "cert.pem").unlink()


def _broken(machine: Watched) -> None:
    (machine.directory / "renewal" / "example.com.conf").write_text("[renewalparams\n")


def _forgotten(machine: Watched) -> None:
    machine.now += 40 * DAY
    machine.ran(machine.now)


def _failed(machine: Watched) -> None:
    machine.fail("example.com")


@pytest.mark.parametrize("change", [_unreadable, _broken, _forgotten, _failed])
def test_what_cannot_be_judged_any_more_has_not_been_renewed(machine: Watched, change: Any) -> None:
    machine.lineage("example.com", 5 * DAY)
    machine.watch()
    machine.now += timedelta(hours=1)
    change(machine)
    machine.watch()
    assert not any("It has been renewed" in mail.body for mail in machine.mails)
    machine.lineage("example.com", 89 * DAY)
    machine.watch()
    if change is not _forgotten:
        assert "It has been renewed." in machine.mails[-1].body
    assert not machine.watch().is_trouble


def test_another_installer_and_nothing_to_renew_have_words_of_their_own(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    machine.watch()
    machine.lineage("example.com", 80 * DAY, installer="")
    machine.now += 4 * DAY
    machine.watch()
    assert "not guarded any more" in machine.titles[0] and "certbot does not run" in machine.titles[0]
    machine.lineage("example.com", 80 * DAY, installer="apache", more="autorenew = False\n")
    machine.watch()
    body = machine.mails[1].body
    assert "Another installer was chosen for it." in body and "certbot has nothing to renew here." in body
    assert "installer = guard again" not in body and "certbot has run" not in body


@pytest.mark.parametrize("odd", ["x = %(x)s\n", "renew_before_expiry = %(x)s\n", "renew_before_expiry = 9999 years\n", "autorenew = [maybe\n"])
def test_an_odd_value_in_one_file_ends_no_look(machine: Watched, odd: str) -> None:
    machine.lineage("odd.example", 80 * DAY)
    path = machine.directory / "renewal" / "odd.example.conf"
    path.write_text(odd + path.read_text())
    machine.lineage("soon.example", 5 * DAY)
    outcome = machine.watch()
    assert [finding.lineage for finding in outcome.found] == ["soon.example"] and "soon.example" in machine.titles[0]


def test_a_look_that_goes_wrong_is_said_and_the_others_are_made(machine: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.lineage("soon.example", 5 * DAY)

    def broken(*_: Any) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(machine, "_services", broken)
    outcome = machine.watch()
    assert "soon.example" in machine.titles[0] and any("no such luck" in problem for problem in outcome.problems)


def test_a_failure_in_a_log_that_was_mended_since_is_not_told(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    local = START.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    os.utime(machine.directory / "renewal" / "example.com.conf")
    for name in ("example.com", "gone.example"):
        machine.ran(START - DAY * 300, said=f"x\n{local},300:ERROR:certbot._internal.renewal:Failed to renew certificate {name} "
                                            "with error: another thing")
        machine.watch()
    assert machine.got == {}  # its certificate is newer than that run; the other one is gone


def test_a_fatal_end_in_a_log_is_over_when_a_later_run_ended_well(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    machine.ran(START, said="x\n" + START.astimezone().strftime("%Y-%m-%d %H:%M:%S")
                + ",300:DEBUG:certbot._internal.log:Exiting abnormally:\nTraceback (most recent call last):\n  File \"x\", line 1, "
                  "in <module>\nValueError: no such thing")
    machine.now += timedelta(hours=1)
    machine.watch()
    assert len(machine.mails) == 1
    machine.now += timedelta(hours=12)
    machine.ran(machine.now - timedelta(minutes=5))
    machine.watch()
    assert "certbot ran to its end." in machine.mails[1].body


# -- thirty days of each ---------------------------------------------------------------------------------------------


def _no_guard(machine: Watched) -> None:
    machine.watch()
    machine.lineage("example.com", 80 * DAY, installer="")


def _no_plugin(machine: Watched) -> None:
    path = machine.directory / "renewal" / "example.com.conf"
    path.write_text(path.read_text().replace("standalone", "dns-nowhere"))


def _other_key(machine: Watched) -> None:
    _write_key(machine.directory / "live" / "example.com", fits=False)


def _old_shown(machine: Watched) -> None:
    machine.shown = (place(1),)


def _chain_cut(machine: Watched) -> None:
    machine.shown = (place(1, "served-chain"),)


def _expired_shown(machine: Watched) -> None:
    machine.shown = (place(1, "served-expired"),)


def _timer_off(machine: Watched) -> None:
    machine.watch()
    machine.attempt = None


def _no_runs(machine: Watched) -> None:
    (machine.logs / "letsencrypt.log").rename(machine.logs / "letsencrypt.log.1")


@pytest.mark.parametrize("spoil, words, starts", [
    (_no_guard, "not guarded any more", 0), (_broken, "renewal configuration not readable", 0), (_no_plugin, "cannot be renewed", 0),
    (_other_key, "key does not fit", 0), (_old_shown, "old certificate shown", 0), (_chain_cut, "chain incomplete", 0),
    (_expired_shown, "expired certificate shown", 0), (_timer_off, "certbot is not scheduled", 3), (_no_runs, "certbot does not run", 3)])
def test_thirty_days_of_each_trouble_are_a_message_a_day_and_one_when_it_is_over(
        machine: Watched, spoil: Any, words: str, starts: int) -> None:
    machine.lineage("example.com", 80 * DAY)
    spoil(machine)
    runs = spoil not in (_no_runs, _timer_off)
    for _ in range(120):
        if runs:
            machine.ran(machine.now - timedelta(minutes=30))
        machine.watch()
        machine.now += timedelta(hours=6)
    days = machine.days()
    expected = 30 - starts
    if spoil is _broken:  # once told, it is for the runs that cannot read it to remind of it, as long as they do
        expected = 10
    assert abs(len(days) - expected) <= 1, days
    assert all(words in mail.title for mail in machine.mails[:1]) and all(severity != "OK" for _, severity in days)
    machine.shown, machine.attempt = (), DAILY
    machine.lineage("example.com", 89 * DAY)
    _write_key(machine.directory / "live" / "example.com", fits=True)
    machine.ran(machine.now - timedelta(minutes=5))
    for _ in range(3):
        machine.watch()
        machine.now += timedelta(hours=6)
    assert len(machine.mails) == len(days) + 1 and machine.mails[-1].severity == "OK"


# -- rows that end, and rows that must not ---------------------------------------------------------------------------


def test_a_lineage_that_failed_and_was_deleted_stands_no_more(machine: Watched) -> None:
    machine.lineage("example.com", 20 * DAY)
    machine.lineage("other.example", 80 * DAY)
    machine.fail("example.com")
    (machine.directory / "renewal" / "example.com.conf").unlink()
    machine.now += timedelta(hours=1)
    outcome = machine.watch()
    assert "Its renewal configuration is gone." in machine.mails[1].body and not outcome.is_trouble


def test_what_certbot_cannot_read_is_not_well_because_we_can(machine: Watched) -> None:
    machine.now = datetime.now(timezone.utc) + DAY  # after everything that the disk knows of
    machine.lineage("example.com", 80 * DAY)
    machine.ran(machine.now)
    path = machine.directory / "renewal" / "example.com.conf"
    machine.run(("lineage-broken", {"path": str(path), "error": "expected cert.pem to be a symlink"}))
    machine.now += timedelta(hours=1)
    assert machine.watch().is_trouble and len(machine.mails) == 1


def test_a_directory_that_is_not_there_now_is_nothing_well(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    machine.watch()
    machine.lineage("example.com", 80 * DAY, installer="")
    machine.now += 4 * DAY
    machine.watch()
    assert len(machine.mails) == 1
    (machine.directory / "renewal").rename(machine.directory / "away")
    machine.now += timedelta(hours=1)
    assert machine.watch().is_trouble and len(machine.mails) == 1
    (machine.directory / "renewal").mkdir()
    (machine.directory / "renewal").rmdir()
    (machine.directory / "away").rename(machine.directory / "renewal")


def test_a_service_that_is_not_reloaded_any_more_and_settings_in_order_stand_no_more(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    machine.run(("deployed", {"lineage": "example.com"}), ("also-reload-failed", {"service": "postfix", "reason": "exit code 1"}),
                ("lineage", {"lineage": "example.com"}), ("config-problem", {"text": "guard.ini, line 3: unknown key"}))
    machine.now += timedelta(hours=1)
    assert not machine.watch().is_trouble
    assert "does not reload it any more" in machine.mails[1].body and "in order" in machine.mails[1].body


def test_a_reload_that_failed_is_over_when_the_new_certificate_is_what_is_shown(machine: Watched) -> None:
    machine.lineage("example.com", 80 * DAY)
    machine.run(("deployed", {"lineage": "example.com"}), ("reload-failed", {"lineage": "example.com", "reason": "no"}))
    machine.complete = False
    machine.now += timedelta(hours=1)
    assert machine.watch().is_trouble and len(machine.mails) == 1
    machine.complete = True
    assert not machine.watch().is_trouble and "The new certificate is what is shown." in machine.mails[1].body
