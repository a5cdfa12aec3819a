"""A state directory that cannot be written now, or in which somebody else had a hand."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest

from certbot_guard import statedir
from certbot_guard.errors import StateError

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes files of somebody else")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.fixture
def nobody():
    """Until the end of the test we are nobody, as far as the kernel checks."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@pytest.fixture
def ours(tmp_path):
    """A directory of ours that everybody may pass through."""
    path = tmp_path / "ours"
    path.mkdir(mode=0o755)
    path.chmod(0o755)
    return path


def test_a_directory_we_can_write_is_usable_and_left_as_it_was(ours):
    assert statedir.usable(ours) is True
    assert os.listdir(ours) == []


def test_a_directory_that_is_not_there_is_not_usable(ours):
    assert statedir.usable(ours / "none") is False


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_a_full_disk_is_not_usable_and_nothing_is_left(ours, monkeypatch, step):
    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    assert statedir.usable(ours) is False
    assert os.listdir(ours) == []


def test_a_directory_of_others_is_not_usable(nobody):
    assert statedir.usable(Path("/var/lib")) is False


@as_root
def test_a_disk_that_is_really_full_or_read_only_is_not_usable(ours):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", str(ours)],
                             stderr=subprocess.DEVNULL, check=False)
    if mounted.returncode:
        pytest.skip("may not mount a tmpfs here")
    try:
        assert statedir.usable(ours) is True
        with open(ours / "filler", "wb", buffering=0) as filler:
            with pytest.raises(OSError):
                while True:
                    filler.write(b"x" * 4096)
        assert statedir.usable(ours) is False
        with pytest.raises(StateError, match="No space left"):
            statedir.atomic_write(ours / "x", b"y")
        (ours / "filler").unlink()
        assert os.listdir(ours) == []
        subprocess.run(["mount", "-o", "remount,ro", str(ours)], check=True)
        assert statedir.usable(ours) is False
    finally:
        subprocess.run(["umount", str(ours)], check=True)


@as_root
def test_a_directory_in_which_somebody_else_planted_something_is_refused_every_time(ours):
    (ours / "a").mkdir()
    (ours / "a" / "journal.db").write_text("planted")
    os.chown(ours / "a" / "journal.db", NOBODY, NOBODY)
    (ours / "a").chmod(0o1777)
    for _ in range(2):  # the refusal must not mend what it refuses
        with pytest.raises(StateError, match="65534"):
            statedir.secure_directory(ours / "a")
    (ours / "a" / "journal.db").unlink()
    assert mode_of(statedir.secure_directory(ours / "a")) == 0o700


def test_a_pipe_or_directory_in_the_place_of_a_lock_is_refused(ours):
    os.mkfifo(ours / "pipe")
    (ours / "directory").mkdir()
    for name in ("pipe", "directory"):
        with pytest.raises(StateError):
            statedir.open_lock(ours / name)


# -- a look that changes nothing -------------------------------------------------------------------------------------


def test_a_directory_that_could_be_made_is_fine_and_not_made(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    statedir.refuse_unusable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_there_and_ours_is_fine(tmp_path: Path) -> None:
    state = statedir.secure_directory(tmp_path / "state")
    statedir.refuse_unusable(state)
    assert list(state.iterdir()) == []


def test_below_a_directory_that_others_can_write_to_it_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for path in (tmp_path / "new", tmp_path / "deep" / "new"):
        with pytest.raises(StateError):
            statedir.refuse_unusable(path)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("x")
    with pytest.raises(StateError):
        statedir.refuse_unusable(tmp_path / "state")


@as_root
def test_somebody_else_s_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", NOBODY, NOBODY)
    with pytest.raises(StateError, match="belongs to user 65534"):
        statedir.refuse_unusable(tmp_path / "state")


def test_below_a_directory_that_we_cannot_write_to_it_is_refused(nobody) -> None:
    with pytest.raises(StateError, match="it cannot be made in /var/lib"):
        statedir.refuse_unusable(Path("/var/lib/no-such-guard"))
    assert not os.path.lexists("/var/lib/no-such-guard")
