"""Whose the server's lock is, asked of the kernel: of processes that have it, wait for it, or have let go of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from certbot_guard import flock
from certbot_guard.serverhold import holds_lock_in

_OPENS = """
import sys
from pathlib import Path
from certbot_guard import flock, statedir
descriptor = statedir.open_lock(Path(sys.argv[1]))
print("has it" if flock.taken(descriptor) else "has it open", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def another(tmp_path):
    """Starts a process that asks for a lock, and says whether it got it."""
    started = []

    def start(name):
        process = subprocess.Popen([sys.executable, "-I", "-c", _OPENS, str(tmp_path / "servers" / name)], cwd="/",
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, process.stdout.readline().strip()

    (tmp_path / "servers").mkdir()
    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_who_has_the_lock_holds_it_and_who_waits_for_it_does_not(another, tmp_path):
    holder, got = another("one.lock")
    waiting, refused = another("one.lock")
    assert (got, refused) == ("has it", "has it open")
    assert holds_lock_in(tmp_path / "servers", holder.pid) and not holds_lock_in(tmp_path / "servers", waiting.pid)


def test_a_lock_elsewhere_is_another_one(another, tmp_path):
    holder, _ = another("one.lock")
    (tmp_path / "others").mkdir()
    assert not holds_lock_in(tmp_path / "others", holder.pid) and not holds_lock_in(tmp_path, holder.pid)


def test_the_directory_may_be_reached_through_a_link(another, tmp_path):
    holder, _ = another("one.lock")
    (tmp_path / "link").symlink_to(tmp_path / "servers")
    assert holds_lock_in(tmp_path / "link", holder.pid)


def test_who_has_let_go_or_is_gone_holds_nothing(another, tmp_path):
    descriptor = os.open(tmp_path / "servers" / "mine.lock", os.O_RDWR | os.O_CREAT)
    assert flock.taken(descriptor) and holds_lock_in(tmp_path / "servers", os.getpid())
    os.close(descriptor)
    assert not holds_lock_in(tmp_path / "servers", os.getpid())
    holder, _ = another("one.lock")
    holder.kill()
    holder.wait()
    assert not holds_lock_in(tmp_path / "servers", holder.pid)
