"""``script/bare-debian`` says in one sentence what it cannot do, and changes nothing then. The rest is run by hand."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PROGRAM = CHECKOUT / "script" / "bare-debian"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it asks for root first")


def said(temporary: Path, *arguments: str) -> str:
    done = subprocess.run([str(PROGRAM), *arguments], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "TMPDIR": str(temporary)}, stdin=subprocess.DEVNULL)
    assert done.returncode == 1 and not done.stdout
    assert not list(temporary.iterdir())
    return done.stderr


@pytest.mark.parametrize("arguments, sentence", [
    (["--dmeo"], "unknown argument --dmeo: see the head of script/bare-debian"),
    (["--demo", "--keep"], "--keep needs a directory"),
    (["--in", "/nowhere"], "--in needs a directory and a command"),
    (["--in", "/nowhere", "true"], "/nowhere was not made by script/bare-debian --keep: it has no /root/certbot-guard"),
])
def test_what_it_cannot_do_is_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    assert said(tmp_path, *arguments) == f"bare-debian: {sentence}\n"


def test_a_directory_that_holds_something_is_left_as_it_is(tmp_path: Path) -> None:
    full, temporary = tmp_path / "full", tmp_path / "temporary"
    full.mkdir()
    temporary.mkdir()
    (full / "file").write_text("mine")
    assert said(temporary, "--demo", "--keep", str(full)) == (
        f"bare-debian: {full} is not empty: name a directory that is\n")
    assert [path.name for path in full.iterdir()] == ["file"]
