"""Challenges through Debian's own Apache: under a real systemd, without one, and over a machine that dies in between.

Each test of :mod:`tests.systemd.inside_proxy` runs in a box, :mod:`tests.systemd.inside_plain` in a clean root, and the
two of :mod:`tests.systemd.inside_crash` on one machine, before and after a power cut.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator

import pytest

from tests.support.box import BOX, CANNOT_RUN, CHECKOUT, CLEAN_ROOT, skip_where_it_is_not_seen
from tests.support.context import wait_for
from tests.systemd.test_under_systemd import box

__all__ = ["box"]
LONG = ("test_apaches_unit_is_hardened", "test_modules_whose_files_are_missing",
        "test_somebody_reloads_or_restarts_apache_in_the_challenge")


def _inside(module: str) -> list[str]:
    text = (Path(__file__).parent / f"{module}.py").read_text("utf-8")
    return [line[len("def "):line.index("(")] for line in text.splitlines() if line.startswith("def test_")]


def _words(start: list[str], which: str) -> list[str]:
    return [*start, "env", "-C", str(CHECKOUT), "PYTHONDONTWRITEBYTECODE=1", "TMPDIR=/srv", sys.executable, "-m",
            "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", f"tests/systemd/{which}"]


def _play(start: list[str], which: str, timeout: float = 400) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_words(start, which), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=timeout, check=False)


@pytest.mark.systemd
@pytest.mark.timeout(450)
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.long if name in LONG else ())
                                  for name in _inside("inside_proxy")])
def test_in_the_box(box: Path, name: str) -> None:
    done = _play([str(BOX), "run", str(box)], f"inside_proxy.py::{name}")
    assert done.returncode == 0, done.stdout[-12000:]


@pytest.mark.timeout(450)
def test_without_systemd() -> None:
    skip_where_it_is_not_seen()
    done = _play([str(CLEAN_ROOT)], "inside_plain.py")
    if done.returncode == CANNOT_RUN:
        pytest.skip(f"no clean root can be had here: {done.stdout.strip()}")
    assert done.returncode == 0, done.stdout[-12000:]


@pytest.fixture
def machine(box: Path) -> Iterator[Path]:
    """A box whose disk outlives a power cut, running. ``box`` is asked for because it knows where none can be had."""
    directory = Path(tempfile.mkdtemp(prefix="guard-machine-", dir="/var/lib"))
    disk = directory / "ovl"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(disk)], check=True, timeout=30)
    try:
        subprocess.run([str(BOX), "start", str(directory)], check=True, timeout=120)
        yield directory
    finally:
        subprocess.run([str(BOX), "stop", str(directory)], timeout=60, check=False)
        subprocess.run(["umount", "--lazy", str(disk)], timeout=30, check=False)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.systemd
@pytest.mark.timeout(450)
def test_a_machine_dies_in_a_challenge_and_boots_again(machine: Path) -> None:
    ready = machine / "ovl" / "up" / "srv" / "crash" / "ready"
    run = [str(BOX), "run", str(machine)]
    with open(machine / "before", "w+", encoding="utf-8") as said:
        before = subprocess.Popen(_words(run, "inside_crash.py::test_before"), stdout=said, stderr=said)
        try:
            wait_for(lambda: ready.exists() or before.poll() is not None, 200, "the challenge")
            assert ready.exists(), (machine / "before").read_text("utf-8")[-12000:]
        finally:
            subprocess.run([str(BOX), "stop", str(machine)], check=True, timeout=60)
            before.wait(60)
    subprocess.run([str(BOX), "start", str(machine)], check=True, timeout=120)
    done = _play(run, "inside_crash.py::test_after")
    assert done.returncode == 0, done.stdout[-12000:]
