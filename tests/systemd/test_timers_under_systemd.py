"""The next attempt, asked of a real systemd. All of :mod:`tests.systemd.inside_timers` runs in one box."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.box import BOX, CHECKOUT
from tests.systemd.test_under_systemd import box

__all__ = ["box"]


@pytest.mark.systemd
def test_timers_in_the_box(box: Path) -> None:
    words = [str(BOX), "run", str(box), "env", "-C", str(CHECKOUT), "PYTHONDONTWRITEBYTECODE=1", sys.executable, "-m",
             "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "tests/systemd/inside_timers.py"]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-12000:]
