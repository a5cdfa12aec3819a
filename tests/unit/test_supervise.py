"""When a failed attempt is tried again, and who tells what: by a clock that is passed in, with real state on a disk."""

from __future__ import annotations

import os
import signal
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import pytest

from certbot_guard import config as configuration
from certbot_guard import invocation, settle, stale, telling
from certbot_guard.journal import Journal
from certbot_guard.run import Run, boot_id, new_id, runs_below, utc_now
from certbot_guard.supervise import holding, memory, retry
from certbot_guard.supervise.attempts import Supervisor
from certbot_guard.supervise.command import Ended
from certbot_guard.supervise.signals import Signals
from tests.support.mailbox import Mailbox

NOW = datetime(2026, 12, 2, 6, 0, tzinfo=timezone.utc)
FINE = Ended(0, "", "exit", b"", 1.0)
LATER = Ended(75, "", "exit", b"come again", 1.0)
DOWN = {"type": "urn:ietf:params:acme:error:serverInternal", "detail": "The service is down for maintenance"}


# -- whether, and when -----------------------------------------------------------------------------------------------


def failed(**fields: Any) -> retry.Failure:
    return {"kind": "lineage-failed", "lineage": "a", "error": "", **fields}, {}


CA_DOWN = failed(error_type="Error", acme=DOWN)
BUSY = failed(error_type="Error", acme={"type": "urn:ietf:params:acme:error:rateLimited", "detail": (
    "too many certificates (5) already issued, retry after 2026-12-02 07:00:00 UTC: see https://letsencrypt.org/")})
LASTING = ({"kind": "lineage-broken", "path": "/etc/letsencrypt/renewal/a.conf", "error": "it is broken"}, {})
REFUSED = failed(error="[Errno 111] Connection refused", error_type="ConnectionError",
                 evidence={"errno": 111, "types": ["requests.exceptions.ConnectionError"]})


@pytest.mark.parametrize("failures, again, lasting, named", [
    ([CA_DOWN], True, False, None), ([REFUSED], True, False, None), ([LASTING], False, True, None),
    ([CA_DOWN, LASTING], True, True, None), ([BUSY], True, False, 3600.0), ([BUSY, CA_DOWN], True, False, None),
    ([], False, False, None), ([failed(error="division by zero", error_type="ZeroDivisionError")], False, True, None),
])
def test_what_passes_by_itself_is_tried_again(
        failures: list[retry.Failure], again: bool, lasting: bool, named: Optional[float]) -> None:
    assert retry.verdict(failures, NOW) == retry.Verdict(again, lasting, named)


@pytest.mark.parametrize("words, seconds", [("3600 s", 3600.0), ("2026-12-02 07:00 UTC", 3600.0), ("", None),
                                            ("2026-12-02 05:00 UTC", 0.0), ("soon", None)])
def test_when_the_ca_wants_to_be_asked_again(words: str, seconds: Optional[float]) -> None:
    assert retry.seconds_until(words, NOW) == seconds


def test_the_waits_grow_to_an_hour_and_are_spread() -> None:
    assert [retry.wait_seconds(n, None, lambda: 0.0) for n in (1, 2, 3, 7, 50)] == [60, 120, 240, 3600, 3600]
    assert retry.wait_seconds(1, None, lambda: 1.0) == 75


def test_a_time_that_the_ca_names_is_the_least_and_grows_where_it_names_it_again_and_again() -> None:
    assert [retry.wait_seconds(n, 3.0, lambda: 0.0) for n in (1, 2, 3, 4)] == [3, 3, 4, 8]
    assert retry.wait_seconds(1, 7200.0, lambda: 0.0) == 7200


# -- signals, memory -------------------------------------------------------------------------------------------------


def test_a_wait_ends_with_a_signal_that_ends_a_program_and_with_no_other() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        for number in (signal.SIGUSR1, signal.SIGTERM):
            threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
            assert signals.wait(0.5 if number == signal.SIGUSR1 else 60) is (number == signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)  # while nobody waits
        assert signals.wait(60) is False
    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_the_kernel_counts_those_it_killed_for_memory(tmp_path: Path) -> None:
    assert memory.killed_so_far() >= 0
    (tmp_path / "two").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 1\n")
    assert memory._count_in(tmp_path / "two") == 2 and memory._count_in(tmp_path / "none") is None


# -- held back -------------------------------------------------------------------------------------------------------


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    made = Mailbox()
    yield made
    made.close()


@pytest.fixture
def config(tmp_path: Path, mailbox: Mailbox) -> configuration.Config:
    tmp_path.chmod(0o700)
    path = tmp_path / "guard.ini"
    path.write_text(f"[notify]\nmail = {mailbox.apprise_url}\n[state]\ndir = {tmp_path}/state\n")
    path.chmod(0o600)
    return configuration.load(path)


def run_of(config: configuration.Config, supervisor: dict[str, str], *events: dict[str, Any]) -> Run:
    """As a certbot with the plugin leaves it that came to its end."""
    now = utc_now()
    assert config.state_dir is not None
    run = Run.create([config.state_dir], {
        "id": new_id(now), "verb": "renew", "argv": ["renew"], "host": "web1", "dry_run": False, "server": None,
        "config_dir": str(config.path.parent), "guard_config": str(config.path), "boot_id": boot_id(),
        "started": now.isoformat(timespec="milliseconds"), "report_only": True, **supervisor})
    for event in (*events, {"kind": "exit"}):
        run.note(**event)
    return run


def down(lineage: str = "a") -> dict[str, Any]:
    return {"kind": "lineage-failed", "lineage": lineage, "error": "down", "error_type": "Error", "acme": DOWN}


def test_a_run_is_held_back_while_its_supervisor_lives_and_found_again_afterwards(
        config: configuration.Config, mailbox: Mailbox) -> None:
    assert config.state_dir is not None
    hold = holding.Hold([config.state_dir])
    run = run_of(config, hold.facts, down())
    assert not settle.settle(run, None).told and not settle.settle(run, None).told
    assert [event["kind"] for event in run.events()].count("held") == 1
    assert stale.settle_stale([config.state_dir], config) == [] and not mailbox.messages
    hold.release()
    assert [found.id for found, _ in stale.settle_stale([config.state_dir], config)] == [run.id]
    assert run.has("settled") and len(mailbox.stays_at(1, seconds=0.2)) == 1


@pytest.mark.parametrize("kind", ["start-failed", "overdue", "died", "not-held"])
def test_what_cannot_wait_is_not_held_back(config: configuration.Config, kind: str) -> None:
    assert config.state_dir is not None
    hold = holding.Hold([config.state_dir])
    run = run_of(config, hold.facts, down())
    assert holding.holds_back(run)
    run.note(kind)
    assert not holding.holds_back(run)
    hold.release()


def test_a_run_that_no_disk_has_is_not_held_back(config: configuration.Config) -> None:
    assert config.state_dir is not None
    hold = holding.Hold([config.state_dir])
    assert not holding.holds_back(Run.nowhere({"id": "x", "boot_id": boot_id(), **hold.facts}))
    hold.release()


@pytest.mark.parametrize("path", ["", "relative/supervisors/x.lock", "/etc/passwd", "/dev/tty"])
def test_only_a_lock_of_a_supervisor_is_taken_from_the_environment(path: str, monkeypatch: Any) -> None:
    monkeypatch.setenv(holding.VARIABLE, path)
    assert holding.from_environment() == {}


def test_locks_of_killed_supervisors_are_cleared_away_and_those_of_others_stay(config: configuration.Config) -> None:
    assert config.state_dir is not None
    first = holding.Hold([config.state_dir])
    assert first.path is not None
    stale = first.path.with_name("old.lock")
    stale.touch()
    second = holding.Hold([config.state_dir])
    assert first.path.exists() and not stale.exists()
    first.release()
    second.release()
    assert list((config.state_dir / "supervisors").iterdir()) == []


# -- attempts --------------------------------------------------------------------------------------------------------


class Clock:
    """Time passes only while somebody waits. :ivar stop_after: the wait with this number is ended by a signal."""

    def __init__(self, stop_after: int = 1000) -> None:
        self.time, self.waits, self._stop_after = 0.0, [], stop_after  # type: ignore[var-annotated]

    def monotonic(self) -> float:
        return self.time

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.time += seconds
        return len(self.waits) < self._stop_after


def supervisor(config: configuration.Config, clock: Clock,
               attempts: list[Callable[[dict[str, str]], Ended]]) -> Supervisor:
    left = iter(attempts)
    asked = invocation.Invocation("renew", config.path.parent, config.path.parent, config.path, False)
    return Supervisor(["certbot", "renew"], config, asked, clock, lambda given: next(left)(given), lambda: 0.0)


def plugin_says(config: configuration.Config, *events: dict[str, Any],
                code: int = 1) -> Callable[[dict[str, str]], Ended]:
    """A certbot that the plugin speaks for."""
    def attempt(given: dict[str, str]) -> Ended:
        settle.settle(run_of(config, {"supervisor": given[holding.VARIABLE]}, *events), None)
        return Ended(code, "", "exit", b"", 1.0)

    return attempt


def settled(config: configuration.Config) -> list[bool]:
    assert config.state_dir is not None
    return [run.has("settled") for run in runs_below([config.state_dir])]


def test_attempts_that_fail_and_a_last_that_succeeds_are_nobodys_trouble(
        config: configuration.Config, mailbox: Mailbox) -> None:
    clock = Clock()
    ended = supervisor(config, clock, [plugin_says(config, down()), lambda _: LATER, plugin_says(config, down()),
                                       lambda _: FINE]).again_and_again(6 * 3600)
    assert ended == FINE and clock.waits == [60, 120, 240]
    assert settled(config) == [True] * 3
    mailbox.stays_at(0, seconds=0.3)
    assert config.state_dir is not None
    book = Journal.open(config.state_dir)
    assert len(book.history()) == 3
    book.close()


def test_when_the_time_is_up_there_is_one_message_with_the_number_of_attempts(
        config: configuration.Config, mailbox: Mailbox) -> None:
    clock = Clock()
    ended = supervisor(config, clock, [lambda _: LATER] * 9).again_and_again(1000)
    assert ended == LATER and clock.waits == [60, 120, 240, 480]  # the next would be beyond
    mail, = mailbox.stays_at(1, seconds=0.3)
    assert "come again" in mail.text and settled(config) == [True] * 5
    assert config.state_dir is not None
    attempts = [event["attempts"] for run in runs_below([config.state_dir]) for event in run.events()
                if event["kind"] == "command-failed"]
    assert sorted(attempts) == [1, 2, 3, 4, 5]


def test_what_somebody_has_to_mend_is_told_at_once_and_the_rest_tried_again(
        config: configuration.Config, mailbox: Mailbox) -> None:
    seen: list[int] = []

    def last(_: dict[str, str]) -> Ended:
        seen.append(len(mailbox.messages))
        return FINE

    broken = {"kind": "lineage-broken", "path": str(config.path.parent / "renewal/b.conf"), "error": "broken"}
    supervisor(config, Clock(), [plugin_says(config, down(), broken), last]).again_and_again(6 * 3600)
    assert seen == [1]
    mailbox.stays_at(1, seconds=0.3)


def test_a_wait_that_is_ended_tells_and_the_last_code_stays(config: configuration.Config, mailbox: Mailbox) -> None:
    ended = supervisor(config, Clock(stop_after=2), [plugin_says(config, down())] * 5).again_and_again(6 * 3600)
    assert ended.code == 1 and settled(config) == [True, True]
    mail, = mailbox.stays_at(1, seconds=0.3)
    assert "The service is down for maintenance" in mail.text


@pytest.mark.parametrize("ended", [
    Ended(None, "SIGKILL", "signal", b"", 1.0), Ended(None, "SIGTERM", "timeout", b"", 1.0),
    Ended(None, "SIGKILL", "memory", b"", 1.0), Ended(127, "", "start", b"no such file", 0.0),
    Ended(3, "", "exit", b"a reason", 1.0), Ended(75, "", "exit", b"", 1.0, asked=True)])
def test_what_another_attempt_would_not_change_is_told_at_once(
        config: configuration.Config, mailbox: Mailbox, ended: Ended) -> None:
    clock = Clock()
    assert supervisor(config, clock, [lambda _: ended]).again_and_again(6 * 3600) == ended
    assert clock.waits == [] and len(mailbox.stays_at(1, seconds=0.2)) == 1


def test_what_an_earlier_attempt_has_renewed_is_part_of_the_last_ones_news(
        config: configuration.Config, mailbox: Mailbox) -> None:
    config.path.write_text(config.path.read_text() + "[channel mail]\nevents = success\n")
    deployed = {"kind": "deployed", "lineage": "b", "not_after": None}
    supervisor(config, Clock(), [plugin_says(config, down(), deployed),
                                 plugin_says(config, {"kind": "deployed", "lineage": "a", "not_after": None}, code=0)
                                 ]).again_and_again(6 * 3600)
    mail, = mailbox.stays_at(1, seconds=0.3)
    renewed, = [line for line in mail.text.splitlines() if line.startswith("Renewed")]
    assert sorted(renewed.partition(": ")[2].rstrip(".").split(", ")) == ["a", "b"]


def test_without_a_disk_attempts_go_on_and_the_last_failure_is_told(
        config: configuration.Config, mailbox: Mailbox, monkeypatch: Any) -> None:
    supervised = supervisor(config, Clock(), [lambda given: LATER if not given else FINE] * 9)
    monkeypatch.setattr(supervised, "_bases", [])
    assert supervised.again_and_again(200) == LATER
    assert len(mailbox.stays_at(1, seconds=0.3)) == 1


def test_an_exit_code_says_how_it_ended() -> None:
    ends = [Ended(3, "", "exit", b"", 0), Ended(None, "SIGTERM", "signal", b"", 0), Ended(0, "", "timeout", b"", 0),
            Ended(None, "SIGKILL", "memory", b"", 0), Ended(126, "", "start", b"", 0)]
    assert [one.passed_on for one in ends] == [3, 143, 124, 137, 126] and all(one.failed for one in ends)
    assert not FINE.failed and FINE.passed_on == 0


def test_telling_says_that_a_run_is_held_back(config: configuration.Config) -> None:
    assert config.state_dir is not None
    hold = holding.Hold([config.state_dir])
    assert telling.tell(run_of(config, hold.facts, down()), None) is False
    hold.release()
