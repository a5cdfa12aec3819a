"""However a command ends, it is one sentence and an exit code: no traceback, and no secret."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import click
import pytest

from certbot_guard.cli import commands, ending
from certbot_guard.errors import GuardError, ServerError

SECRET = "mailtos://user:Pa55@mail.example.com"


def ends(body: Callable[[], Any], *arguments: str) -> int:
    """The exit code of a command of which this is all."""
    group = ending.Commands("certbot-guard", {"do": click.Command("do", callback=body)})
    return ending.run(group, ["do", *arguments])


def raising(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error
    return body


def interrupted() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise click.Abort() from None  # as click does at a question


def unanswered() -> None:
    try:
        raise EOFError
    except EOFError:
        raise click.Abort() from None


@pytest.mark.parametrize("body, code, sentence", [
    (raising(GuardError("it is broken")), 1, "certbot-guard: it is broken\n"),
    (raising(ServerError("it fails", "line one\nline\x1b[31m two")), 1,
     "certbot-guard: it fails\n  line one\n  line [31m two\n"),
    (raising(PermissionError(13, "Permission denied", "/a/b\nc")), 1, "certbot-guard: /a/b c may not be used by you: "
     "Permission denied. Run this as the user that certbot runs as, usually root\n"),
    (raising(OSError(28, "No space left on device", b"/a")), 1,
     "certbot-guard: /a cannot be used: No space left on device\n"),
    (raising(KeyboardInterrupt()), 130, "certbot-guard: interrupted\n"),
    (interrupted, 130, "certbot-guard: interrupted\n"),
    (unanswered, 1, "certbot-guard: no answer came, so it was not done\n"),
    (raising(click.Abort()), 1, "certbot-guard: not done, as you answered\n"),
    (raising(SystemExit(75)), 75, ""),
    (raising(SystemExit()), 0, ""),
    (lambda: None, 0, ""),
])
def test_what_ends_a_command_is_one_sentence_and_a_code(
        capsys: pytest.CaptureFixture[str], body: Callable[[], Any], code: int, sentence: str) -> None:
    assert ends(body) == code
    assert capsys.readouterr().err.lstrip("\n") == sentence


@pytest.mark.parametrize("error, named", [
    (sqlite3.OperationalError("disk I/O error"), "the state database cannot be used: disk I/O error"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "is not text in UTF-8"),
    (ModuleNotFoundError("No module named 'rich'", name="rich"), "may not be read by you: rich"),
    (OSError(24, "Too many open files"), "Too many open files"),
    (BrokenPipeError(32, "Broken pipe"), "Broken pipe"),  # of some other pipe: our reader is there
    (RecursionError("deep"), "an error of certbot-guard's own: RecursionError"),
])
def test_what_nobody_thought_of_is_one_sentence_too(
        capsys: pytest.CaptureFixture[str], error: Exception, named: str) -> None:
    assert ends(raising(error)) == 1
    said = capsys.readouterr().err
    assert named in said and said.count("\n") == 1 and "Traceback" not in said


def test_an_error_of_our_own_tells_nothing_of_what_was_worked_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(raising(ValueError(SECRET))) == 1
    said = capsys.readouterr().err
    assert "ValueError" in said and "CERTBOT_GUARD_DEBUG=1" in said and "Pa55" not in said


def test_the_traceback_is_there_when_it_is_asked_for(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ending.DEBUG, "1")
    assert ends(raising(GuardError("broken"))) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said and said.endswith("certbot-guard: broken\n")


def test_the_option_asks_for_the_traceback_of_this_run_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for option, shown in (("--debug", True), (None, False)):
        group = click.Group("certbot-guard", {"do": click.Command("do", callback=raising(GuardError("gone")))},
                            params=[one for one in commands.params if one.name == "debug"])
        ending.run(group, [*([option] if option else []), "do"])
        assert ("Traceback" in capsys.readouterr().err) == shown


def test_a_wrong_option_is_click_s_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(lambda: None, "--nonsense") == 2
    assert "No such option" in capsys.readouterr().err


# -- settings files that are none -------------------------------------------------------------------------------------


def directory(path: Path) -> Path:
    path.mkdir()
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path, 0o600)
    return path


def binary(path: Path) -> Path:
    path.write_bytes(bytes(range(256)) * 20)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("words", [["notify", "test", "--print"], ["units", "show", "--for", "cron"]])
@pytest.mark.parametrize("make", [directory, pipe, binary, lambda path: path, lambda path: Path("/dev/zero"),
                                  lambda path: Path("/" + "x" * 5000)])
def test_whatever_the_settings_file_is_there_is_no_traceback(capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                                              make: Callable[[Path], Path], words: list[str]) -> None:
    assert ending.run(commands, ["--config", str(make(tmp_path / "guard.ini")), *words]) in (0, 1, 2)
    said = "".join(capsys.readouterr())
    assert "Traceback" not in said and "certbot-guard's own" not in said and "[Errno" not in said


@pytest.mark.parametrize("name", ["new\nline.ini", "\x1b[31mred.ini", os.fsdecode(b"\xff.ini")])
def test_a_settings_file_whose_name_no_line_can_show_is_refused(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert ending.run(commands, ["--config", f"/tmp/{name}", "notify", "test", "--print"]) == 2
    said = capsys.readouterr().err
    assert "control characters" in said and name not in said


# -- streams ----------------------------------------------------------------------------------------------------------

PROGRAM = ("import os, sys\nimport click\nfrom certbot_guard.cli import ending\n"
           "def body():\n    {body}\n"
           "group = ending.Commands('certbot-guard', {{'do': click.Command('do', callback=body)}})\n"
           "sys.exit(ending.run(group, ['do']))\n")


def program(body: str, **more: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM.format(body=body)], stderr=subprocess.PIPE, **more)


def ended(child: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, said = child.communicate(timeout=30)
    return child.returncode, said.decode()


def test_a_reader_who_has_gone_is_no_trouble_and_nothing_is_said() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    child = program("click.echo('x' * 100000)", stdout=writing)
    os.close(writing)
    assert ended(child) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_behind_standard_output_is_said() -> None:
    with open("/dev/full", "wb") as full:
        code, said = ended(program("click.echo('x')", stdout=full))
    assert (code, said) == (1, "certbot-guard: the output cannot be written: No space left on device\n")


def test_what_is_written_to_a_host_that_knows_few_characters_is_written() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    child = program("click.echo('gr\\u00fcn \\u2588')", stdout=subprocess.PIPE, env=environment)
    out, said = child.communicate(timeout=30)
    assert (child.returncode, out, said) == (0, b"gr\xfcn \\u2588\n", b"")


def closing(descriptors: tuple[int, ...]) -> Optional[Callable[[], None]]:
    return lambda: [os.close(one) for one in descriptors][0]


def test_with_closed_streams_no_file_of_ours_takes_their_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    body = (f"open({str(out)!r}, 'w').write(' '.join(str(os.open('/dev/null', 0)) for _ in range(1)))\n    "
            "click.echo('to nobody'); click.echo('neither', err=True); sys.stdin.read()")
    child = subprocess.Popen([sys.executable, "-c", PROGRAM.format(body=body)], preexec_fn=closing((0, 1, 2)))
    assert child.wait(30) == 0
    assert int(out.read_text()) > 2


def test_ctrl_c_is_130_without_a_traceback() -> None:
    child = program("print('ready', flush=True); sys.stdin.read()", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGINT)
    code, said = ended(child)
    assert (code, said.strip()) == (130, "certbot-guard: interrupted")


def test_a_current_directory_that_is_gone_is_said(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    child = program(f"os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); os.getcwd()")
    code, said = ended(child)
    assert (code, said) == (1, "certbot-guard: the current directory does not exist any more: change to another one\n")


@pytest.mark.parametrize("name, said", [
    ("statu", "there is no command 'statu'; did you mean 'status'"),
    ("xyz\x1b[2J", "there is no command 'xyz [2J'; certbot-guard --help names them all"),
])
def test_a_command_that_there_is_not_is_said_with_the_one_that_was_meant(
        name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ending.run(commands, [name]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"Error: {said}"


@pytest.mark.parametrize("words, heavy", [
    ("--version", "sqlite3 cryptography rich apprise certbot"),
    ("run --help", "sqlite3 cryptography rich apprise certbot"),
    ("recover --help", "cryptography rich apprise certbot"),
    ("watch --help", "sqlite3 cryptography rich apprise certbot"),
    ("completion bash", "sqlite3 cryptography rich apprise certbot"),
])
def test_a_command_starts_without_what_it_has_no_use_for(words: str, heavy: str) -> None:
    code = (f"import sys; from certbot_guard.cli import commands, ending; ending.run(commands, {words.split()}); "
            f"sys.exit(' '.join(set({heavy.split()}) & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == "\n", done.stderr  # what sys.exit() says of an empty sentence


def test_ctrl_c_while_the_program_is_loaded_is_130_without_a_traceback() -> None:
    code = ("import sys\nclass Finder:\n    def find_spec(self, name, *more):\n        if name == 'click':\n"
            "            raise KeyboardInterrupt\nsys.meta_path.insert(0, Finder())\nimport certbot_guard.cli")
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "")
