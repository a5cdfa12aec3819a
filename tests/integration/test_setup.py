"""``certbot-guard setup`` as a command: on a real terminal, against a real mail server, killed, and on a disk that takes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certbot_guard import config
from tests.support import processes
from tests.support.certbot import program
from tests.support.mailbox import Mailbox
from tests.support.setting_up import Nobody, Stage
from tests.support.terminal import Terminal

PASSWORD, WRONG = "right %40#:/?&+ one", "wrong %40#:/?&+ one"
URL = "json://user:s3cret%2540@127.0.0.1:9/s3cret-path"
ADD = "nothing for no more: "


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """With a guard.ini that keeps setup away from this machine's own directories."""
    found = Stage(tmp_path)
    found.ini.write_text(f"[certbot]\nconfig_dir = {found.home}\n[state]\ndir = {tmp_path}/state\n")
    found.ini.chmod(0o600)
    return found


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8", "TERM": "xterm"}


def command(stage: Stage, *options: str) -> list[str]:
    return [str(program("certbot-guard")), "--config", str(stage.ini), "setup", "--no-units", *options]


@pytest.fixture
def terminal(stage: Stage, environment: dict[str, str]) -> Iterator[Terminal]:
    """setup on it, with a machine that is quickly looked at."""
    checkout = str(Path(__file__).parents[2])
    opened = Terminal([sys.executable, "-m", "tests.support.setting_up", str(stage.host.directory)],
                      {**environment, "PYTHONPATH": checkout})
    yield opened
    opened.close()


def secret(terminal: Terminal, question: str, words: str) -> None:
    """Typed when nothing is shown of it, as a person does it."""
    terminal.expect(question + r" \(not shown\): ")
    terminal.wait_silent()
    terminal.type(words)


def test_a_wrong_password_is_named_changed_and_never_shown(stage: Stage, terminal: Terminal) -> None:
    mailbox = _Watching(login=("guard@guard.test", PASSWORD))
    try:
        terminal.answer((ADD, "email"), ("Its name in guard.ini", ""), ("SMTP server", "127.0.0.1"), ("Security", "plain"),
                        ("Port", str(mailbox.port)), ("User", "guard@guard.test"))
        secret(terminal, "Password", WRONG)
        terminal.answer(("From", ""), ("addresses", "ops@guard.test"), (ADD, ""), (r"Write it\?", "y"),
                        (r"Send a test message to email\?", "y"), (r"email: it was not taken: .*What about email\?", "change"),
                        ("SMTP server", ""), ("Security", ""), ("Port", ""), ("User", ""))
        secret(terminal, "Password", PASSWORD)
        terminal.answer(("From", ""), ("addresses", ""), (r"Write it\?", "y"), (r"Did it arrive at email\?", "y"))
        assert terminal.wait() == 0, terminal.seen
        assert "TEST" in mailbox.wait(1)[0].subject and mailbox.logins[-1] == ("guard@guard.test", PASSWORD)
    finally:
        mailbox.close()
    assert "password" in terminal.seen.partition("it was not taken: ")[2].partition("What about")[0]
    shown = terminal.seen + "".join(path.read_text() for path in stage.home.rglob("*") if "guard.ini" not in path.name
                                    and path.is_file())
    for words in (PASSWORD, WRONG, "%2540", "right", "wrong %"):
        assert words not in shown, terminal.seen
    assert terminal.echoes
    assert mailbox.looked and mailbox.exposed == []


class _Watching(Mailbox):
    """While somebody logs in, it looks who on this machine could read the password in the list of processes."""

    exposed: list[str] = []
    looked = 0

    def _authenticate(self, *arguments: Any) -> Any:
        for pid in processes.descendants_of(os.getpid()):
            said = b"".join(Path("/proc", str(pid), what).read_bytes() for what in ("cmdline", "environ"))
            self.exposed += [processes.describe(pid)] * (any(words in said for words in (b"%2540", b"right %", b"wrong %")))
            self.looked += b"certbot_guard.notify" in said
        return super()._authenticate(*arguments)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_at_a_secret_the_terminal_shows_again_what_is_typed(stage: Stage, terminal: Terminal, number: int) -> None:
    before = stage.state()
    terminal.answer((ADD, "url"), ("Its name in guard.ini", ""))
    terminal.expect("Apprise URL")
    terminal.wait_silent()
    if number == signal.SIGINT:
        terminal.press(b"half a secret\x03")
    else:
        terminal.press(b"half a secret")
        terminal.send(number)
    assert terminal.wait() == 128 + number and terminal.echoes, terminal.seen
    assert "Stopped. Nothing was changed." in terminal.seen and "half a secret" not in terminal.seen
    assert "Traceback" not in terminal.seen and stage.state() == before


def test_the_end_of_the_input_is_the_end_of_setup(terminal: Terminal) -> None:
    terminal.expect(ADD)
    terminal.press(b"\x04")
    assert terminal.wait() == 1 and "Stopped. Nothing was changed." in terminal.seen


def test_without_a_person_it_is_done_once_and_the_second_time_there_is_nothing_to_change(
        stage: Stage, environment: dict[str, str], tmp_path: Path) -> None:
    stage.certificate()
    (tmp_path / "url").write_text(f"{URL}\n")
    (tmp_path / "url").chmod(0o600)
    words = command(stage, "--yes", "--no-test", "--channel", f"hook=@{tmp_path}/url", "--channel", "second=-")
    for number in range(2):
        done = subprocess.run(words, env=environment, input=f"{URL}/2\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=60, check=False)
        # This Python's certbot sees the plugin; one that this machine's own timer starts may not.
        assert done.returncode in (0, 1) and "s3cret" not in done.stdout, done.stdout
        assert (f"wrote {stage.ini}" in done.stdout) == (number == 0)
        found = {one.name: one.url for one in config.load(stage.ini).channels}
        assert found == {"hook": URL, "second": f"{URL}/2"}


# -- killed, and on a disk that takes nothing ------------------------------------------------------------------------

_WRITING = ("open", "mkdir", "link", "rename", "replace", "unlink", "fsync", "write", "fchmod", "chmod")


def _killed_at(stage: Stage, which: int) -> bool:
    """Setup in a process that is killed at its n-th call that changes a file system; false: it had fewer."""
    child = os.fork()
    if child == 0:
        try:
            calls = 0

            def killing(real: Any) -> Any:
                def call(*arguments: Any, **options: Any) -> Any:
                    nonlocal calls
                    if real.__name__ != "open" or arguments[1:2] and arguments[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                        calls += 1
                        if calls == which:
                            os.kill(os.getpid(), signal.SIGKILL)
                    return real(*arguments, **options)
                return call

            for name in _WRITING:
                setattr(os, name, killing(getattr(os, name)))
            stage.run(Nobody(), channels={"hook": URL})
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    return os.WIFSIGNALED(status)


def test_killed_at_any_write_each_file_is_the_old_or_the_new_and_the_next_run_ends_it(tmp_path: Path) -> None:
    whole = Stage(_made(tmp_path / "whole"))
    old, renewal = f"[certbot]\nconfig_dir = {whole.home}\n".encode(), whole.certificate()
    before = renewal.read_bytes()
    whole.ini.write_bytes(old)
    whole.ini.chmod(0o600)
    whole.run(Nobody(), channels={"hook": URL})
    cron = whole.host.directory / "cron.d" / "certbot-guard"
    fine = {whole.ini: whole.ini.read_bytes(), renewal: renewal.read_bytes(), cron: cron.read_bytes()}
    which = 0
    while True:
        which += 1
        for path in whole.home.glob(".*"):
            path.unlink()
        for path in [*whole.home.glob("guard.ini*"), *(whole.home / "renewal").iterdir(), *cron.parent.iterdir()]:
            path.unlink()
        whole.ini.write_bytes(old)
        whole.ini.chmod(0o600)
        renewal.write_bytes(before)
        if not _killed_at(whole, which):
            break
        assert whole.ini.read_bytes() in (old, fine[whole.ini])
        assert renewal.read_bytes() in (before, fine[renewal])
        assert not cron.exists() or cron.read_bytes().count(b"root ") == fine[cron].count(b"root ")
        whole.run(Nobody(), channels={"hook": URL})
        assert whole.code == 0, whole.asker.seen
        assert (whole.ini.read_bytes(), renewal.read_bytes()) == (fine[whole.ini], fine[renewal])
        for path in whole.home.rglob("*"):  # a file of a killed run may be left, and is as secret as guard.ini
            assert not path.is_file() or b"s3cret" not in path.read_bytes() or path.stat().st_mode & 0o077 == 0
    assert which > 10


def test_on_a_file_system_that_takes_nothing_each_step_is_one_sentence(tmp_path: Path) -> None:
    directory = _made(tmp_path / "disk")
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(directory)],
                                           check=False, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        stage = Stage(directory)
        stage.certificate()
        stage.ini.write_text(f"[certbot]\nconfig_dir = {stage.home}\n")
        stage.ini.chmod(0o600)
        before = stage.state()
        subprocess.run(["mount", "-o", "remount,ro", str(directory)], check=True)
        seen = stage.run(Nobody(), channels={"hook": URL})
        assert stage.code == 1 and stage.state() == before
        failed = [line for line in seen.partition("Failed:")[2].partition("Left")[0].splitlines() if line.startswith("  - ")]
        assert len(failed) == 3 and all("Read-only file system" in line for line in failed), seen
        subprocess.run(["mount", "-o", "remount,rw", str(directory)], check=True)
        stage.run(Nobody(), channels={"hook": URL})
        assert stage.code == 0 and config.load(stage.ini).channels[0].url == URL
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def _made(path: Path) -> Path:
    path.mkdir()
    return path


