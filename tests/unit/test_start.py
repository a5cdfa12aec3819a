"""Our own processes are started by the way on which certbot found us, and by no other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from certbot_guard import launch, start

HOME = Path(start.__file__).parents[1]
PLAIN = [start.python(), "-I", "-m", "certbot_guard.hooks", "pre"]
BY_PATH = [start.python(), "-I", str(HOME / "certbot_guard" / "start.py"), "certbot_guard.hooks", "pre"]


@pytest.mark.parametrize("named, words", [
    (None, PLAIN), ("", PLAIN), (":", PLAIN), ("/usr:/nonexistent", PLAIN), (f"{HOME}/certbot_guard", PLAIN),
    (str(HOME), BY_PATH), (f"{HOME}/", BY_PATH), (f"/usr:{HOME}", BY_PATH)])
def test_by_its_path_where_certbot_was_told_of_our_directory(monkeypatch: pytest.MonkeyPatch, named: object,
                                                             words: list[str]) -> None:
    monkeypatch.delenv("CERTBOT_PLUGIN_PATH", raising=False)
    if named is not None:
        monkeypatch.setenv("CERTBOT_PLUGIN_PATH", str(named))
    assert start.command("certbot_guard.hooks", "pre") == words


def test_what_was_started_so_starts_others_so_and_what_the_python_has_itself_comes_first(tmp_path: Path) -> None:
    package = tmp_path / "certbot_guard"
    package.mkdir()
    for name in ("__init__.py", "start.py"):
        (package / name).write_text((HOME / "certbot_guard" / name).read_text())
    (package / "asked.py").write_text(
        "import sys, json\nfrom certbot_guard import start\n"
        "command = start.command('certbot_guard.asked')\n"
        "print(json.dumps([__name__, sys.argv, sys.path[-1], json.__file__, command]))\n")
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')\n")
    words = [sys.executable, "-I", str(package / "start.py"), "certbot_guard.asked", "a word"]
    said = subprocess.run(words, env={}, cwd="/", capture_output=True, text=True, check=False)
    name, given, last, where, command = json.loads(said.stdout)
    assert (name, given[1:], last) == ("__main__", ["a word"], str(tmp_path)), said.stderr
    assert where == json.__file__ and command[2:] == [str(package / "start.py"), "certbot_guard.asked"]


def test_no_program_of_certbot_s_snap_is_found_by_what_we_start() -> None:
    inside = {"SNAP": "/snap/certbot/7", "PATH": "/snap/certbot/7/bin:/snap/certbot/7/usr/bin:/usr/bin:/snap/bin"}
    assert launch.surroundings(inside)["PATH"].split(":")[:2] == ["/usr/bin", "/snap/bin"]
    assert launch.surroundings({**inside, "SNAP": ""})["PATH"].startswith("/snap/certbot/7/bin:")


def test_the_snap_s_command_starts_it_where_the_snap_has_it() -> None:
    snap = HOME / "contrib" / "snap"
    read = re.search(r"read: \[\$SNAP/(\S+)\]", (snap / "snapcraft.yaml").read_text())
    words = (snap / "certbot-guard").read_text().replace("\\\n", " ").split()
    assert read and f"/snap/certbot-guard/current/{read[1]}/certbot_guard/start.py" in words
    assert words[-6:-3] == ["exec", "/snap/certbot/current/bin/python3", "-I"]
    assert words[-2:] == ["certbot_guard.cli", '"$@"'] and os.access(snap / "certbot-guard", os.X_OK)


def test_the_program_is_the_one_beside_the_python_or_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bin", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python3"))
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    assert launch.program() is None
    for directory in (tmp_path / "elsewhere", tmp_path / "bin"):
        (directory / "certbot-guard").touch(mode=0o755)
        assert launch.program() == str(directory / "certbot-guard")
