"""Which certbots there are, and whether each would load the plugin."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Optional, Sequence

import pytest

from certbot_guard import installations
from certbot_guard.installations import Installation, find, how_to_install_guard, of_program
from certbot_guard.servers.execute import Result


def program(path: Path, first: str = "", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((first or f"#!{path.parent}/python3") + "\nprint('hello')\n")
    path.chmod(mode)
    python = path.parent / "python3"
    if not python.exists():
        python.symlink_to(os.path.realpath(sys.executable))
    return path


class Answers:
    """In place of the programs: what each Python says, and which were asked."""

    def __init__(self, **said: Any) -> None:
        self.said = {"version": "5.8.0", "installer": "pip", "sees": True, "error": "", **said}
        self.asked: list[list[str]] = []

    def __call__(self, command: Sequence[str], seconds: float) -> Result:
        self.asked.append(list(command))
        return Result(0, f"a warning of the distribution's\n={json.dumps(self.said)}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


def test_the_certbot_of_this_python_is_ours_and_sees_the_plugin() -> None:
    beside = Path(sys.executable).parent / "certbot"
    one = of_program(beside)
    assert (one.kind, one.sees_guard, one.ours, one.problem) == ("pip", True, True, "")
    assert one.version[0].isdigit() and one.python is not None


def test_each_certbot_is_found_once_whatever_leads_to_it(root: Path) -> None:
    real = program(root / "opt/certbot/bin/certbot")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/certbot").symlink_to(real)
    other = program(root / "usr/local/bin/certbot")
    found = find(path=f"{root}/usr/bin:relative:", root=root, ask=Answers())
    assert {one.program for one in found} == {root / "usr/bin/certbot", other}
    assert all(one.kind == "pip" and one.version == "5.8.0" for one in found)


def test_a_file_that_cannot_be_executed_is_no_certbot(root: Path) -> None:
    program(root / "usr/bin/certbot", mode=0o644)
    assert find(path="", root=root, ask=Answers()) == []


def test_a_certbot_without_the_plugin_does_not_see_it(root: Path) -> None:
    one = of_program(program(root / "bin/certbot"), Answers(sees=False))
    assert one.sees_guard is False and one.problem == "" and not one.ours


def test_a_plugin_that_cannot_be_loaded_is_not_seen_and_the_reason_is_given(root: Path) -> None:
    one = of_program(program(root / "bin/certbot"), Answers(sees=False, error="ImportError: no zope\x1b[31m"))
    assert one.sees_guard is False and "ImportError: no zope" in one.problem and "\x1b" not in one.problem


@pytest.mark.parametrize("first", [
    "#!{directory}/python3 -sP", "#!/usr/bin/env {directory}/python3",
    "#!/bin/sh\n'''exec' \"{directory}/python3\" \"$0\" \"$@\"\n' '''",
    "#!/bin/sh\n'''exec' {directory}/python3 \"$0\" \"$@\""])
def test_the_interpreter_is_the_one_of_the_first_line(root: Path, first: str) -> None:
    ask, directory = Answers(), root / "bin"
    one = of_program(program(directory / "certbot", first.format(directory=directory)), ask)
    assert one.python == directory / "python3" and ask.asked[0][:2] == [f"{directory}/python3", "-I"]


def test_what_is_no_python_script_is_asked_for_its_version_alone(root: Path) -> None:
    def ask(command: Sequence[str], seconds: float) -> Result:
        assert command[1:] == ["--version"]
        return Result(0, "certbot 2.11.0")

    one = of_program(program(root / "bin/certbot", "#!/bin/sh"), ask)
    assert (one.kind, one.version, one.sees_guard, one.python) == ("other", "2.11.0", None, None)
    assert "not known" in one.problem


def test_what_somebody_else_could_have_put_there_is_not_started(root: Path) -> None:
    path, ask = program(root / "bin/certbot"), Answers()
    path.chmod(0o777)
    one = of_program(path, ask)
    assert ask.asked == [] and one.sees_guard is None and "can be changed by others" in one.problem
    path.chmod(0o755)
    path.parent.chmod(0o777)
    assert of_program(path, ask).sees_guard is None and ask.asked == []


def test_nothing_is_known_of_a_program_that_is_not_there(root: Path) -> None:
    one = of_program(root / "bin/certbot")
    assert one.version == "" and one.sees_guard is None and "there is no" in one.problem


@pytest.mark.parametrize("result", [Result(1, ""), Result(None, ""), Result(0, "=[]"), Result(0, "=nonsense"),
                                    Result(0, "Segmentation fault")])
def test_a_python_that_does_not_answer_leaves_it_open(root: Path, result: Result) -> None:
    one = of_program(program(root / "bin/certbot"), lambda command, seconds: result)
    assert one.sees_guard is None and "does not say" in one.problem


def test_an_ask_that_breaks_is_a_problem_and_no_exception(root: Path) -> None:
    def ask(command: Sequence[str], seconds: float) -> Result:
        raise RuntimeError("broken")

    assert "broken" in of_program(program(root / "bin/certbot"), ask).problem


def test_a_real_python_without_certbot_says_so(root: Path) -> None:
    one = of_program(program(root / "bin/certbot", f"#!{os.path.realpath(sys.executable)}"))
    assert one.version == "" and "does not know a package called certbot" in one.problem


def test_debian_s_own_is_known_by_dpkg_s_list(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(root / "usr/bin/certbot")
    listed = root / "certbot.list"
    listed.write_text(f"/.\n{path}\n")
    monkeypatch.setattr(installations, "_DPKG_LIST", listed)
    assert of_program(path, Answers(installer="")).kind == "debian"


def one(kind: str, program: str = "/usr/bin/certbot", python: Optional[Path] = None) -> Installation:
    return Installation(Path(program), kind, python, "2.1.0", False, False)


def test_the_plugin_is_installed_by_the_pip_of_that_environment(root: Path) -> None:
    python = root / "a dir/python3"
    assert how_to_install_guard(one("pip", python=python)) == f"'{root}/a dir/python3' -m pip install certbot-guard"
    program(root / "a dir/pip")
    assert how_to_install_guard(one("pip", python=python)) == f"'{root}/a dir/pip' install certbot-guard"


@pytest.mark.parametrize("kind", ["debian", "rpm", "snap"])
def test_a_distribution_s_own_is_not_to_be_installed_into(kind: str) -> None:
    said = how_to_install_guard(one(kind, python=Path("/usr/bin/python3")))
    assert "python3 -m venv /opt/certbot" in said and "/usr/bin/python3 -m pip" not in said


def test_pipx_has_a_way_of_its_own() -> None:
    said = how_to_install_guard(one("pip", "/opt/pipx/venvs/certbot/bin/certbot", Path("/x/python")))
    assert said == "pipx inject certbot certbot-guard"


def test_a_snap_loads_no_plugin_of_pip_s(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Answers()
    found = of_program(Path("/snap/bin/certbot"), asked)
    assert (found.kind, found.sees_guard) == ("snap", False) and asked.asked == []


@pytest.mark.parametrize("said, sees", [
    (Result(0, "Interface  Plug  Slot  Notes\ncontent[certbot-1]  certbot:plugin  certbot-guard:certbot  manual\n"), True),
    (Result(0, "content[certbot-1]  certbot:plugin  certbot-dns-guard:certbot  manual\n"), False),
    (Result(0, "content[metadata-1]  certbot-guard:certbot-metadata  certbot:certbot-metadata  -\n"), False),
    (Result(1, "error: cannot communicate with server"), None)], ids=["connected", "another", "metadata", "no answer"])
def test_a_snap_of_ours_may_be_connected_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Result,
                                               sees: Optional[bool]) -> None:
    monkeypatch.setattr(installations, "_SNAPS", tmp_path)
    (tmp_path / "certbot-guard/current").mkdir(parents=True)
    found = of_program(Path("/snap/bin/certbot"), lambda command, seconds: said)
    assert found.sees_guard is sees and bool(found.problem) == (sees is None) and not found.ours


def test_what_snapd_starts_is_not_started_by_the_path_inside_its_snap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                                      ) -> None:
    inside, outside = program(tmp_path / "certbot/current/bin/certbot"), program(tmp_path / "bin/certbot")
    monkeypatch.setattr(installations, "_SNAPS", tmp_path)
    found = find(f"{inside.parent}:{outside.parent}", tmp_path / "nothing", Answers())
    assert outside in [one.program for one in found] and inside not in [one.program for one in found]
