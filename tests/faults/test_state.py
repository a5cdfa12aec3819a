"""Disks that are full or read-only, a damaged state database, a state directory of somebody else's.

Apache serves, people are told, and a renewal that certbot alone would have done is done. Each test has a /run of its
own, in a mount namespace: the last place where a run can be recorded.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.support.certbot import Certbot, program
from tests.support.context import Context, wait_for
from tests.support.mailbox import Mail

NAME = "one.guard.test"
_RUN = Path("/run/certbot-guard")


def mount(context: Context, directory: Path, size: str = "512k", *options: str) -> Path:
    """A small file system there, until the test has ended."""
    directory.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() != 0 or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size},mode=0700", *options]), "tmpfs", str(directory)],
            check=False, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    context.cleanup(lambda: subprocess.run(["umount", "-l", str(directory)], check=True) and None)
    return directory


def remount(directory: Path, how: str) -> None:
    """A process that was killed a moment ago may still have a file open there: then it is busy."""
    wait_for(lambda: not subprocess.run(["mount", "-o", f"remount,{how}", str(directory)], check=False,
                                        capture_output=True).returncode, 10, f"remount,{how}")


def fill(directory: Path) -> Path:
    ballast = directory / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        for size in (65536, 512):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                pass
    return ballast


def own_run(context: Context) -> Path:
    """What the programs of this test see as /run/certbot-guard."""
    directory = context.directory / "own-run"
    return directory if directory.exists() else mount(context, directory)


def inside(context: Context, *arguments: str, wait: bool = True, timeout: float = 90.0) -> Certbot:
    """Run a program with the test's own /run/certbot-guard."""
    if not _RUN.exists():
        _RUN.mkdir(mode=0o700)
    script = f'mount --bind {own_run(context)} {_RUN} && exec "$@"'
    return context._run(["unshare", "-m", "sh", "-c", script, "sh", *arguments], False, None, "/", wait, timeout)


def renew(context: Context, **options: Any) -> Certbot:
    return inside(context, str(program()), "renew", "--force-renewal", *context.home.arguments, **options)


def recover(context: Context) -> Certbot:
    return inside(context, str(program("certbot-guard")), "--config", str(context.ini), "recover")


def the_mail(context: Context) -> Mail:
    context.wait_settled()
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    return mail


def renewed_and_shown(context: Context) -> bool:
    served = context.apache.served_certificate(NAME)
    return (context.home.version(NAME) == 2 and served is not None
            and served.serial_number == context.home.certificate(NAME).serial_number)


# -- where state cannot be kept from the beginning -------------------------------------------------------------------


def _full(context: Context) -> None:
    fill(mount(context, context.state))


def _read_only(context: Context) -> None:
    mount(context, context.state, "512k", "ro")


def _a_link(context: Context) -> None:
    elsewhere = context.directory / "elsewhere"
    elsewhere.mkdir()
    context.state.symlink_to(elsewhere)


def _another_users(context: Context) -> None:
    context.state.mkdir(mode=0o700)
    os.chown(context.state, 65534, 65534)


def _below_a_directory_that_all_can_write(context: Context) -> None:
    parent = context.directory / "shared"
    parent.mkdir()
    parent.chmod(0o777)
    context.state = parent / "state"
    context.guard_ini()


def _a_file(context: Context) -> None:
    context.state.write_text("no directory")


UNUSABLE = [_full, _read_only, _a_link, _another_users, _below_a_directory_that_all_can_write, _a_file]


@pytest.mark.parametrize("unusable", UNUSABLE)
def test_with_an_unusable_state_directory_the_run_is_recorded_under_run_and_the_failure_told(
        context: Context, unusable: Callable[[Context], None]) -> None:
    context.guarded_site(NAME)
    unusable(context)
    context.ca.invalid_challenge(NAME, "no such page")
    with context.apache.watch() as outage:
        run = renew(context)
        context.wait_settled()
    assert run.returncode == 1 and outage.intervals and not outage.down
    mail = the_mail(context)
    assert "no such page" in mail.text and "own trouble (state database)" in mail.text
    assert recover(context).returncode == 0
    context.mailbox.stays_at(1, seconds=0.3)


@pytest.mark.core
@pytest.mark.parametrize("unusable", [_full, _another_users])
def test_with_an_unusable_state_directory_a_renewal_succeeds_and_people_hear_of_the_directory(
        context: Context, unusable: Callable[[Context], None]) -> None:
    context.guarded_site(NAME)
    unusable(context)
    with context.apache.watch() as outage:
        run = renew(context)
    assert run.returncode == 0, run.output
    assert renewed_and_shown(context) and outage.intervals and not outage.down
    mail = the_mail(context)
    assert str(context.state) in mail.text and "not renewed" not in mail.subject + mail.text


def test_what_a_channel_could_not_take_is_kept_under_run_where_the_state_directory_is_unusable(
        context: Context) -> None:
    context.guarded_site(NAME)
    _another_users(context)
    context.ca.invalid_challenge(NAME, "no such page")
    context.mailbox.refuse()
    assert renew(context).returncode == 1
    context.wait_settled()
    context.mailbox.heal()
    assert recover(context).returncode == 0
    assert "no such page" in the_mail(context).text


def test_certbot_killed_in_the_window_with_the_state_directory_unusable(context: Context) -> None:
    context.guarded_site(NAME)
    _full(context)
    with context.ca.hold("challenge", times=1) as held:
        run = renew(context, wait=False)
        held.wait()
        assert not context.apache.serving()
        run.send(signal.SIGKILL)
        context.apache.wait_serving(10)
        held.release(forward=False)
    assert "certbot died" in the_mail(context).text


@pytest.mark.core
def test_recover_brings_apache_back_where_the_disk_has_become_read_only_since(context: Context) -> None:
    context.guarded_site(NAME)
    mount(context, context.state)
    with context.ca.hold("challenge", times=1) as held:
        run = renew(context, wait=False)
        held.wait()
        for pid in (*context.sentinels(), run.pid):
            os.kill(pid, signal.SIGKILL)
        run.wait()
        held.release(forward=False)
    context.wait_settled()
    remount(context.state, "ro")
    assert not context.apache.serving()
    assert recover(context).returncode == 0
    assert context.apache.serving()
    assert "certbot died" in the_mail(context).text
    assert recover(context).returncode == 0
    context.mailbox.stays_at(1, seconds=0.3)


# -- nowhere at all --------------------------------------------------------------------------------------------------


def _nowhere(context: Context) -> None:
    _another_users(context)
    own_run(context)
    remount(context.directory / "own-run", "ro")


@pytest.mark.core
def test_where_no_run_can_be_recorded_apache_is_not_stopped_and_people_are_told(context: Context) -> None:
    context.guarded_site(NAME)
    _nowhere(context)
    with context.apache.watch() as outage:
        run = renew(context)
        context.wait_settled()
    assert run.returncode == 1 and outage.intervals == [] and not context.ca.seen("new-order")
    assert "no run can be recorded" in run.output and "Traceback" not in run.output
    mail = the_mail(context)
    assert NAME in mail.text and "no run can be recorded" in mail.text


def test_where_no_run_can_be_recorded_a_webroot_lineage_is_renewed_and_reloaded_all_the_same(
        context: Context) -> None:
    context.guarded_site(NAME, authenticator="webroot")
    _nowhere(context)
    run = renew(context)
    assert run.returncode == 0 and renewed_and_shown(context)
    assert "no run can be recorded" in the_mail(context).text


def test_where_no_run_can_be_recorded_a_failure_before_any_lineage_is_told(context: Context) -> None:
    context.guarded_site(NAME)
    context.home.conf_path(NAME).write_text("version = 5\n[renewalparams]\n")
    _nowhere(context)
    assert renew(context).returncode == 1
    assert f"{NAME}.conf" in the_mail(context).text


def test_where_nothing_can_be_kept_and_nobody_reached_certbots_output_says_so(context: Context) -> None:
    context.guarded_site(NAME)
    _nowhere(context)
    context.mailbox.refuse()
    run = renew(context)
    assert run.returncode == 1
    for said in (run.output, context.home.log()):
        assert "no run can be recorded" in said and "told" in said


# -- while Apache is stopped -----------------------------------------------------------------------------------------


def _fills_up(context: Context) -> None:
    fill(context.state)


def _and_run_fills_up_too(context: Context) -> None:
    fill(context.state)
    fill(own_run(context))


def _loses_its_events(context: Context) -> None:
    for path in context.state.glob("runs/*/events.jsonl"):
        path.unlink()
        path.mkdir()


def _loses_everything(context: Context) -> None:
    subprocess.run(["find", str(context.state), "-mindepth", "1", "-delete"], check=True)


HAPPENS = [_fills_up, _and_run_fills_up_too, _loses_its_events, _loses_everything]


@pytest.mark.parametrize("ending", ["fails", "is killed"])
@pytest.mark.parametrize("happens", HAPPENS)
def test_the_disk_while_apache_is_stopped(context: Context, happens: Callable[[Context], None], ending: str) -> None:
    context.guarded_site(NAME)
    mount(context, context.state)
    context.ca.invalid_challenge(NAME, "no such page")
    with context.ca.hold("challenge", times=1) as held:
        run = renew(context, wait=False)
        held.wait()
        assert not context.apache.serving()
        happens(context)
        if ending == "is killed":
            run.send(signal.SIGKILL)
        held.release(forward=ending == "fails")
        run.wait()
        context.apache.wait_serving(10)
    mail = the_mail(context)
    assert ("no such page" if ending == "fails" else "certbot died") in mail.text
    assert ending == "is killed" or "died" not in mail.subject + mail.text


@pytest.mark.parametrize("happens", [_and_run_fills_up_too, _loses_everything])
def test_a_renewal_succeeds_whatever_the_state_directory_does_meanwhile(
        context: Context, happens: Callable[[Context], None]) -> None:
    context.guarded_site(NAME)
    mount(context, context.state)
    with context.apache.watch() as outage, context.ca.hold("challenge", times=1) as held:
        run = renew(context, wait=False)
        held.wait()
        happens(context)
        held.release()
        run.wait()
        context.wait_settled()
        assert not outage.down
    assert run.returncode == 0, run.output
    assert renewed_and_shown(context)
    assert "not renewed" not in "".join(mail.subject + mail.text for mail in context.mailbox.messages)


# -- the state database ----------------------------------------------------------------------------------------------


def _damaged(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def _truncated(path: Path) -> None:
    _newer(path)
    path.write_bytes(path.read_bytes()[:2000])


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE of_tomorrow (a, b, c)")
        database.execute("PRAGMA user_version = 99")
        database.commit()


def _a_directory(path: Path) -> None:
    path.mkdir()


def _a_link_elsewhere(path: Path) -> None:
    elsewhere = path.parent / "precious"
    elsewhere.write_bytes(b"precious")
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("spoil, fails", [
    *((spoil, True) for spoil in (_damaged, _truncated, _newer, _a_directory, _a_link_elsewhere)),
    (_damaged, False), (_newer, False)])
def test_a_state_database_that_cannot_be_used(context: Context, spoil: Callable[[Path], None], fails: bool) -> None:
    context.guarded_site(NAME)
    context.state.mkdir(mode=0o700)
    book = context.state / "journal.db"
    spoil(book)
    before = book.read_bytes() if book.is_file() else b""
    if fails:
        context.ca.invalid_challenge(NAME, "no such page")
    with context.apache.watch() as outage:
        run = context.renew()
        context.wait_settled()
    assert run.returncode == int(fails) and not outage.down and outage.intervals
    assert fails or renewed_and_shown(context)
    mail = the_mail(context)
    assert ("no such page" in mail.text) == fails and str(book) in mail.text
    if spoil in (_newer, _a_link_elsewhere):
        assert book.read_bytes() == before, "not a byte of it is touched"
    if spoil is _damaged:
        assert [path.read_bytes() for path in context.state.glob("journal.db.damaged-*")] == [before]


def test_with_no_usable_database_at_all_and_the_channel_down_the_next_recover_tells(context: Context) -> None:
    """After a downgrade, say: both databases are of the newer version."""
    context.guarded_site(NAME)
    (context.state / "run").mkdir(parents=True, mode=0o700)
    context.state.chmod(0o700)
    _newer(context.state / "journal.db")
    _newer(context.state / "run" / "journal.db")
    context.ca.invalid_challenge(NAME, "no such page")
    context.mailbox.refuse()
    assert renew(context).returncode == 1
    context.wait_settled()
    context.mailbox.heal()
    recover(context)
    assert "no such page" in the_mail(context).text
    recover(context)
    context.mailbox.stays_at(1, seconds=0.3)


# -- other people's disks --------------------------------------------------------------------------------------------


def _home_on_a_small_disk(context: Context) -> Path:
    disk = mount(context, context.directory / "small", "2m")
    context.home = context.new_home(str(disk))
    context.ini = context.home.config / "guard.ini"
    return disk


@pytest.mark.parametrize("when", ["before the run", "while Apache is stopped"])
def test_certbots_own_directory_is_full(context: Context, when: str) -> None:
    disk = _home_on_a_small_disk(context)
    context.guarded_site(NAME)
    if when == "before the run":
        fill(disk)
        run = renew(context)
    else:
        with context.ca.hold("challenge", times=1) as held:
            run = renew(context, wait=False)
            held.wait()
            fill(disk)
            held.release()
            run.wait()
    context.wait_settled()
    assert run.returncode == 1 and context.apache.serving()
    assert "space" in the_mail(context).text


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_apache_cannot_write_its_pid_file(context: Context, how: str) -> None:
    """It was stopped while it could; it is told when it does not start, and serves soon after the mend."""
    disk = mount(context, context.apache.pid_file.parent)
    context.guarded_site(NAME)
    with context.ca.hold("challenge", times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        ballast = fill(disk) if how == "full" else None
        if how == "read-only":
            remount(disk, "ro")
        held.release()
        run.wait()
    served = context.apache.serving()
    if not served:
        assert "DOWN" in context.mailbox.wait(1)[0].subject
    if ballast is not None:
        ballast.unlink()
    else:
        remount(disk, "rw")
    context.apache.wait_serving(60)
    context.wait_settled()
    context.mailbox.stays_at(0 if served else 2, seconds=0.3)

