"""Which processes of Apache count as workers: those with a place, not the daemons of modules or programs for a log."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from certbot_guard.proxying import room

_THREADS = """
import socket, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
held = [socket.socket(socket.AF_UNIX) for path in sys.argv[1:]]
for path, one in zip(sys.argv[1:], held):
    one.bind(path)
    one.listen()
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def child(program: Path, *arguments: str) -> Iterator[None]:
    """A process with two threads below this one, under that name."""
    if not program.exists():
        shutil.copy(os.path.realpath(sys.executable), program)
    with subprocess.Popen([program, "-I", "-c", _THREADS, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          cwd=program.parent, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield
        process.communicate("")


@pytest.fixture
def apache(tmp_path: Path) -> Path:
    # Python finds its library beside the program, or where a file says.
    (tmp_path / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n")
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin" / "apache2"


def test_a_worker_that_listens_no_more_stays(apache: Path) -> None:
    before = room._workers(os.getpid())
    with child(apache):
        assert room._workers(os.getpid()) == (before[0], before[1] + 1)
    assert room._workers(os.getpid()) == before


def test_a_daemon_of_mod_wsgi_has_no_place(apache: Path) -> None:
    before = room._workers(os.getpid())
    with child(apache, "wsgi.sock"):
        assert room._workers(os.getpid()) == before


def test_a_program_for_a_log_has_no_place_however_many_threads_it_has(apache: Path) -> None:
    before = room._workers(os.getpid())
    with child(apache.with_name("logger")):
        assert room._workers(os.getpid()) == before


def test_where_the_table_cannot_be_read_a_daemon_counts_as_one_that_stays(
        apache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_UNIX", str(apache.parent / "none"))
    before = room._workers(os.getpid())
    with child(apache, "wsgi.sock"):
        assert room._workers(os.getpid()) == (before[0], before[1] + 1)
