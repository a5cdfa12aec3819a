"""The hint that something is left to do: found where the state is, whatever the settings look like."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from certbot_guard import business


def mark(tmp_path: Path) -> str:
    return business.mark(str(tmp_path / "guard.ini"))


def line(tmp_path: Path) -> list[str]:
    return ["renew", "--config-dir", str(tmp_path), "--quiet"]


@pytest.mark.parametrize("text", [
    "[state]\ndir = {}\n", "[notify]\nmail = mailto://x\n\n[state]\n  # where\n\tdir={}  \r\n[certbot]\nconfig_dir = /x\n",
    "[certbot]\nconfig_dir = /x\n[state]\ndir = {}"], ids=["plain", "among others", "last"])
def test_it_is_looked_for_where_the_settings_say(tmp_path: Path, text: str) -> None:
    state = tmp_path / "state of things"
    (tmp_path / "guard.ini").write_bytes(text.format(state).encode())
    assert not business.is_left(line(tmp_path))
    state.mkdir()
    (state / mark(tmp_path)).touch()
    assert business.is_left(line(tmp_path))
    (state / mark(tmp_path)).unlink()
    (state / "run").mkdir()
    (state / "run" / mark(tmp_path)).touch()
    assert business.is_left(line(tmp_path))


def test_another_section_s_directory_is_not_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(business, "_DEFAULT", (str(tmp_path / "default"),))
    (tmp_path / "guard.ini").write_text(f"[state]\n[other]\ndir = {tmp_path}/elsewhere\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / mark(tmp_path)).touch()
    assert not business.is_left(line(tmp_path))
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / mark(tmp_path)).touch()
    assert business.is_left(line(tmp_path))


def test_without_settings_nobody_was_told_of_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(business, "_DEFAULT", (str(tmp_path),))
    (tmp_path / mark(tmp_path)).touch()
    assert not business.is_left(line(tmp_path))


def test_a_pipe_in_place_of_the_settings_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "guard.ini")
    business.is_left(line(tmp_path))


def test_what_is_left_for_other_settings_in_the_same_directory_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "guard.ini").write_text(f"[state]\ndir = {tmp_path}\n")
    (tmp_path / business.mark("/etc/other/guard.ini")).touch()
    assert not business.is_left(line(tmp_path))
