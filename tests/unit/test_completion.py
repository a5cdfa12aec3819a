"""A real shell sources the script, and is given the right words; nothing that is wrong on the machine is in its way."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class

from certbot_guard.cli import commands
from certbot_guard.cli.completion import script

# bash calls the function so; what it is answered is in COMPREPLY
ASK = """
ask() {
    COMP_WORDS=("$@") COMP_CWORD=$(( $# - 1 )) COMPREPLY=()
    $(complete -p certbot-guard | sed 's/.*-F \\([^ ]*\\) .*/\\1/') "$1" "${COMP_WORDS[COMP_CWORD]}"
    echo "${COMPREPLY[*]}"
}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    renewal = tmp_path / "config" / "renewal"
    renewal.mkdir(parents=True)
    for name in ("one.guard.test", "two.guard.test", "$(touch evil)"):
        (renewal / f"{name}.conf").write_text("")
    ini = tmp_path / "guard.ini"
    ini.write_text(f"[certbot]\nconfig_dir = {renewal.parent}\n[notify]\nemail = json://127.0.0.1/secret\n"
                   "ops = json://127.0.0.1/y\n")
    ini.chmod(0o600)
    return ini


def bash(*questions: str) -> list[str]:
    asked = "\n".join(f"ask {question}" for question in questions)
    done = subprocess.run(["bash", "--norc", "-c", script("bash", commands) + ASK + asked], capture_output=True,
                          text=True, timeout=60, cwd="/", env={**os.environ, "PATH": "/usr/bin:/bin"}, check=False)
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
def test_bash_is_given_commands_options_lineages_channels_and_checks(settings: Path) -> None:
    config = f"certbot-guard --config {shlex.quote(str(settings))}"
    answers = bash("certbot-guard wa", "certbot-guard units ''", "/opt/certbot/bin/certbot-guard watch --q",
                   f"{config} notify test ''", f"{config} adopt --cert-name ''", f"{config} adopt --cert-name t",
                   "certbot-guard doctor --only cron")
    checks = answers.pop().split()
    assert checks and all(one.startswith("cron") for one in checks)
    assert answers == ["watch", "install remove show", "--quiet", "email ops", "one.guard.test two.guard.test",
                       "two.guard.test"]


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
def test_where_nothing_can_be_read_nothing_is_offered_and_nothing_is_said(tmp_path: Path) -> None:
    assert bash(f"certbot-guard --config {tmp_path} notify test ''",
                f"certbot-guard --config {tmp_path}/none adopt --config-dir /dev/null --cert-name ''",
                f"certbot-guard --config {tmp_path}/new$'\\n'line notify test ''") == ["", "", ""]


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish here")
def test_fish_is_given_the_same(settings: Path, tmp_path: Path) -> None:
    (tmp_path / "script.fish").write_text(script("fish", commands))
    asked = f"source {tmp_path}/script.fish; complete -C 'certbot-guard --config {settings} adopt --cert-name t'"
    done = subprocess.run(["fish", "--no-config", "-c", asked], capture_output=True, text=True, timeout=60, check=True,
                          env={**os.environ, "HOME": str(tmp_path)})
    assert done.stdout.split() == ["two.guard.test"]


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh here")
def test_zsh_takes_the_script_and_asks_as_it_says(settings: Path, tmp_path: Path) -> None:
    # compadd works only while zsh completes; what it would be called with is what we look at
    asked = ("compdef() { }\ncompadd() { shift 3; [[ $1 == -a ]] && shift; print -l ${(P)1} }\n"
             "_describe() { print -l ${(P)3} }\n" + script("zsh", commands) +
             f"\nwords=(certbot-guard --config {settings} adopt --cert-name t) CURRENT=6\n_certbot_guard_completion\n")
    done = subprocess.run(["zsh", "-f", "-c", asked], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["two.guard.test"], done.stderr


def test_a_name_that_would_mean_something_to_a_shell_is_never_offered(settings: Path) -> None:
    made = get_completion_class("bash")
    assert made is not None
    words = ["--config", str(settings), "adopt", "--cert-name"]
    found = made(commands, {}, "certbot-guard", "_X").get_completions(words, "")
    assert [one.value for one in found] == ["one.guard.test", "two.guard.test"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_this_python_and_never_what_path_holds(shell: str) -> None:
    said = script(shell, commands)
    assert f"{sys.executable} -I -m certbot_guard.cli 2>/dev/null" in said
    assert "complete $1" not in said and "complete certbot-guard)" not in said and "$+commands" not in said


def test_the_program_prints_it_also_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-I", "-m", "certbot_guard.cli", "completion", "bash"], capture_output=True,
                          text=True, timeout=60, check=True)
    assert done.stdout == script("bash", commands)


def test_where_a_command_is_wrong_nothing_is_offered_and_nothing_is_said() -> None:
    made = get_completion_class("bash")
    assert made is not None
    assert made(commands, {}, "certbot-guard", "_X").get_completions(["statu"], "--no-such") == []
