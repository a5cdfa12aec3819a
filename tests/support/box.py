"""A real systemd for the tests that need one: ``tests/support/systemd-box``, booted, stopped and cleared away."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
BOX = CHECKOUT / "tests" / "support" / "systemd-box"
CLEAN_ROOT = CHECKOUT / "tests" / "support" / "clean-root"
CANNOT_RUN = 77
_EMPTY_INSIDE = ("/tmp/", "/run/", "/dev/")


def skip_where_it_is_not_seen() -> None:
    """A box, and a clean root, see this machine's files, but for /tmp, /run and /dev."""
    if any(str(path).startswith(_EMPTY_INSIDE) for path in (CHECKOUT, sys.prefix)):
        pytest.skip("the checkout or its environment is below /tmp, /run or /dev, which are empty where the test runs")


@contextmanager
def booted(*units: str) -> Iterator[Path]:
    """The directory that ``systemd-box run`` is given. Skips the test where no systemd can be booted."""
    skip_where_it_is_not_seen()
    directory = Path(tempfile.mkdtemp(prefix="guard-box-", dir="/var/lib"))
    try:
        done = subprocess.run([str(BOX), "start", str(directory), *units], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
        if done.returncode == CANNOT_RUN:
            pytest.skip(f"no systemd can be booted here: {done.stdout.strip()}")
        assert done.returncode == 0, done.stdout
        yield directory
    finally:
        subprocess.run([str(BOX), "stop", str(directory)], timeout=60, check=False)
        subprocess.run(["rm", "-rf", "--one-file-system", str(directory)], check=False)
