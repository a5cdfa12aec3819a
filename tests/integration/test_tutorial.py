"""docs/tutorial.md says what its commands say: they are run, on a machine of their own, and compared but for times."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import practice

PAGE = practice.TUTORIAL.read_text("utf-8")
# What differs from one time to the next: ids, moments, how long something takes or lasts, versions and the CA's port.
TIMES = [
    (r"\b(test-)?\d{8}T\d{6}Z?-[0-9a-z-]+", "ID"), (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\+00:00| UTC)", "MOMENT"),
    (r"\d{4}-\d\d-\d\d", "DAY"), (r"\b\d\d-\d\d\b", "DAY"),
    (r"\b\d+(\.\d+)* (s|min|h|d|seconds?|minutes?|hours?|days?)\b", "TIME"), (r"TIME( TIME)+", "TIME"),
    (r"\bcertbot \d+\.\d+\.\d+", "certbot VERSION"), (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
]


def without_times(page: str) -> list[str]:
    for pattern, word in TIMES:
        page = re.sub(pattern, word, page)
    return page.splitlines()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_its_commands_say_what_the_page_says(tmp_path: Path) -> None:
    page = tmp_path / "tutorial.md"
    page.write_text(PAGE, "utf-8")
    words = [sys.executable, "-m", "tests.practice", "write", str(page)]
    done = subprocess.run(words, cwd=practice.CHECKOUT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=880, check=False)
    if done.returncode == 77 or "pip cannot get" in done.stdout:
        pytest.skip(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout
    assert without_times(page.read_text("utf-8")) == without_times(PAGE), "write it again: script/practice write"


def test_the_page_tells_the_whole_story() -> None:
    said = practice.commands(PAGE)
    assert all(any(word in one for one in said) for word in ("venv", "setup", "ca 503", "recover", "status"))
    night, again = PAGE.split("## The night of the story")[1:]
    assert "does not answer" in night.partition("## ")[0] and "No new mail." in night.partition("## ")[0]
    assert "does not answer" not in again.partition("## ")[0] and "Apache serves, www.example.com not renewed" in again
    assert "took over and started Apache again" in again and PAGE.count("answers: 200") == 4


def test_a_page_is_played_command_by_command() -> None:
    page = "a\n```console\n# one\nold\n# two\n```\nb\n```\n# no command\n```\n"
    assert practice.played(page, lambda command: f"{command} says\n") == (
        "a\n```console\n# one\none says\n# two\ntwo says\n```\nb\n```\n# no command\n```\n")
    assert practice.commands(page) == ["one", "two"]


@pytest.mark.parametrize("said, other", [("exit code 1", "exit code 2"), ("answers: 200", "answers: 503"),
                                         ("HTTP 503", "HTTP 500")])
def test_what_is_no_time_counts(said: str, other: str) -> None:
    assert without_times(said) != without_times(other)
