"""nginx as a unit, under a real systemd. Each test of :mod:`tests.systemd.inside_nginx` runs in a box."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.test_nginx import PROGRAM
from tests.support.box import BOX, CHECKOUT
from tests.systemd.test_under_systemd import box

__all__ = ["box"]
UNIT = Path("/lib/systemd/system/nginx.service")
pytestmark = [pytest.mark.systemd, pytest.mark.skipif(PROGRAM is None or not UNIT.exists(),
                                                      reason="nginx is not installed, or has no unit")]


def _inside() -> list[str]:
    text = (Path(__file__).parent / "inside_nginx.py").read_text("utf-8")
    return [line[len("def "):line.index("(")] for line in text.splitlines() if line.startswith("def test_")]


@pytest.mark.parametrize("name", _inside())
def test_in_the_box(box: Path, name: str) -> None:
    words = [str(BOX), "run", str(box), "env", "-C", str(CHECKOUT), "PYTHONDONTWRITEBYTECODE=1", "TMPDIR=/srv",
             sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly",
             f"tests/systemd/inside_nginx.py::{name}"]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout[-12000:]
