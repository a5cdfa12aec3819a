"""The guard under a real systemd. Each test of :mod:`tests.systemd.inside` runs in a box of its own session.

The box is booted once, by ``tests/support/systemd-box``: this machine's own systemd as pid 1 of a throw-away container,
with a network of its own. Where it cannot be booted these tests are skipped.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from tests.support.box import BOX, CHECKOUT, booted


def _inside() -> list[str]:
    """The names of the tests that run in the box; that module is not importable by name for pytest out here."""
    text = (Path(__file__).parent / "inside.py").read_text("utf-8")
    return [line[len("def "):line.index("(")] for line in text.splitlines() if line.startswith("def test_")]


@pytest.fixture(scope="module")
def box() -> Iterator[Path]:
    with booted() as directory:
        yield directory


@pytest.mark.parametrize("name", _inside())
def test_in_the_box(box: Path, name: str) -> None:
    words = [str(BOX), "run", str(box), "env", "-C", str(CHECKOUT), "PYTHONDONTWRITEBYTECODE=1",
             "TMPDIR=/srv",  # the unit has a /tmp of its own, and must read the certificates
             sys.executable, "-m",
             "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", f"tests/systemd/inside.py::{name}"]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-12000:]
