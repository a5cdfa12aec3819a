"""Directories, locks and files that are root's alone: made so, kept so, and refused where they cannot be."""

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from certbot_guard import statedir
from certbot_guard.errors import StateError
from certbot_guard.statedir import UntrustedFileError

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.fixture
def loose_umask():
    before = os.umask(0)
    yield
    os.umask(before)


# -- directories ---------------------------------------------------------------------------------------------


def test_state_is_in_the_places_of_the_system_or_in_one_of_the_users():
    assert statedir.state_directories(None) == (Path("/var/lib/certbot-guard"), Path("/run/certbot-guard"))
    assert statedir.state_directories(Path("/srv/state")) == (Path("/srv/state"), Path("/srv/state/run"))


def test_a_missing_directory_is_made_with_mode_0700_and_so_are_its_parents(tmp_path, loose_umask):
    assert statedir.secure_directory(tmp_path / "a" / "b" / "c") == tmp_path / "a" / "b" / "c"
    assert [mode(tmp_path / one) for one in ("a", "a/b", "a/b/c")] == [0o700] * 3


def test_a_strict_umask_takes_nothing_from_the_mode(tmp_path):
    before = os.umask(0o277)
    try:
        statedir.secure_directory(tmp_path / "a")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a") == 0o700


@pytest.mark.parametrize("loose", [0o755, 0o777, 0o1777, 0o750, 0o2770])
def test_an_existing_directory_is_tightened_and_keeps_what_is_in_it(tmp_path, loose):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "kept").write_text("x")
    (tmp_path / "a").chmod(loose)
    statedir.secure_directory(tmp_path / "a")
    assert mode(tmp_path / "a") & 0o1777 == 0o700
    assert (tmp_path / "a" / "kept").read_text() == "x"


def test_it_may_be_called_again(tmp_path):
    statedir.secure_directory(tmp_path / "a")
    assert statedir.secure_directory(tmp_path / "a") == tmp_path / "a"


def test_dots_in_a_path_are_resolved(tmp_path):
    assert statedir.secure_directory(tmp_path / "x" / ".." / "a") == tmp_path / "a"
    assert not (tmp_path / "x").exists()


@needs_root
def test_a_directory_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "a").mkdir(mode=0o755)
    os.chown(tmp_path / "a", NOBODY, NOBODY)
    with pytest.raises(StateError, match="belongs to user 65534"):
        statedir.secure_directory(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o755


@needs_root
def test_a_parent_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    os.chown(tmp_path / "a", NOBODY, NOBODY)
    with pytest.raises(StateError, match=f"{tmp_path}/a belongs to user 65534"):
        statedir.secure_directory(tmp_path / "a" / "b")
    assert list((tmp_path / "a").iterdir()) == []


@pytest.mark.parametrize("loose", [0o777, 0o775, 0o757])
def test_a_parent_others_can_write_to_is_refused_with_a_remedy(tmp_path, loose):
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(loose)
    with pytest.raises(StateError, match=f"run: chmod go-w {tmp_path}/a"):
        statedir.secure_directory(tmp_path / "a" / "b")
    assert list((tmp_path / "a").iterdir()) == []


def test_a_sticky_parent_is_allowed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o1777)
    assert mode(statedir.secure_directory(tmp_path / "a" / "b")) == 0o700


@needs_root
def test_what_somebody_else_left_in_a_sticky_parent_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o1777)
    (tmp_path / "a" / "b").mkdir()
    os.chown(tmp_path / "a" / "b", NOBODY, NOBODY)
    for path in (tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"):
        with pytest.raises(StateError):
            statedir.secure_directory(path)


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "a").write_text("")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(StateError, match=f"{tmp_path}/a is not a directory"):
            statedir.secure_directory(path)


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_in_the_last_place_is_refused(tmp_path, dangling):
    if not dangling:
        (tmp_path / "real").mkdir(mode=0o755)
    (tmp_path / "a").symlink_to(tmp_path / "real")
    with pytest.raises(StateError, match=f"{tmp_path}/a is a symbolic link"):
        statedir.secure_directory(tmp_path / "a")
    assert dangling or mode(tmp_path / "real") == 0o755
    assert not dangling or not (tmp_path / "real").exists()


@needs_root
def test_a_users_link_in_the_middle_is_refused(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "a").symlink_to(tmp_path / "real")
    os.lchown(tmp_path / "a", NOBODY, NOBODY)
    with pytest.raises(StateError, match=f"{tmp_path}/a is a symbolic link"):
        statedir.secure_directory(tmp_path / "a" / "b")
    assert list((tmp_path / "real").iterdir()) == []


@needs_root
@pytest.mark.parametrize("absolute", [True, False])
def test_a_link_of_roots_in_the_middle_is_followed(tmp_path, absolute):
    (tmp_path / "real").mkdir(mode=0o755)
    (tmp_path / "a").symlink_to(tmp_path / "real" if absolute else "real")
    statedir.secure_directory(tmp_path / "a" / "b")
    assert mode(tmp_path / "real" / "b") == 0o700
    assert mode(tmp_path / "real") == 0o755


@needs_root
def test_where_a_link_of_roots_leads_is_checked_like_the_path_itself(tmp_path):
    (tmp_path / "users" / "below").mkdir(parents=True)
    os.chown(tmp_path / "users", NOBODY, NOBODY)  # who may replace "below", though that one is root's
    (tmp_path / "a").symlink_to(tmp_path / "users" / "below")
    with pytest.raises(StateError, match=f"{tmp_path}/users belongs to user 65534"):
        statedir.secure_directory(tmp_path / "a" / "b")
    assert list((tmp_path / "users" / "below").iterdir()) == []


@needs_root
def test_links_in_a_circle_end(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StateError, match="too many symbolic links"):
        statedir.secure_directory(tmp_path / "a" / "c")


def test_it_leaves_no_descriptor_open(tmp_path):
    def count():
        return len(os.listdir("/proc/self/fd"))

    (tmp_path / "file").write_text("")
    before = count()
    statedir.secure_directory(tmp_path / "a" / "b")
    (tmp_path / "a").chmod(0o777)
    for path in (tmp_path / "a" / "b", tmp_path / "file" / "c"):
        with pytest.raises(StateError):
            statedir.secure_directory(path)
    assert count() == before


@needs_root
def test_a_user_needs_to_pass_through_the_parents_alone(tmp_path):
    home = Path("/tmp") / f"guard-test-{os.getpid()}"  # tmp_path is below a directory of mode 0700
    (home / "passage" / "users").mkdir(parents=True)
    try:
        home.chmod(0o755)
        os.chown(home / "passage" / "users", NOBODY, NOBODY)
        (home / "passage").chmod(0o711)
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                statedir.secure_directory(home / "passage" / "users" / "state")
                (home / "passage" / "users" / "ini").write_text("x")
                (home / "passage" / "users" / "ini").chmod(0o600)
                assert statedir.read_trusted(home / "passage" / "users" / "ini") == (b"x", 0o600)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert mode(home / "passage" / "users" / "state") == 0o700
    finally:
        subprocess.run(["rm", "-rf", "--", str(home)], check=True)


@pytest.mark.parametrize("entries, permissions, others", [
    ([], 0o755, False), (["cert.pem"], 0o755, True), (["cert.pem"], 0o700, False), (["runs", "x"], 0o755, False),
    (["journal.db"], 0o755, False), (["journal.db.damaged-1"], 0o755, False), (["servers"], 0o755, False),
])
def test_a_directory_in_use_for_something_else_is_told_from_ours(tmp_path, entries, permissions, others):
    (tmp_path / "a").mkdir()
    for name in entries:
        (tmp_path / "a" / name).write_text("")
    (tmp_path / "a").chmod(permissions)
    assert statedir.is_others(tmp_path / "a") is others
    assert not statedir.is_others(tmp_path / "none")


# -- whole files ---------------------------------------------------------------------------------------------


def test_a_file_is_written_with_mode_0600(tmp_path, loose_umask):
    statedir.atomic_write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert mode(tmp_path / "a") == 0o600


def test_a_file_is_replaced_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"a longer old content")
    with open(tmp_path / "a", "rb") as before:
        statedir.atomic_write(tmp_path / "a", b"new")
        assert before.read() == b"a longer old content"  # another file: a reader never sees half of each
    assert (tmp_path / "a").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "a").symlink_to(tmp_path / "real")
    statedir.atomic_write(tmp_path / "a", b"new")
    assert (tmp_path / "real").read_bytes() == b"old"
    assert not (tmp_path / "a").is_symlink()


@pytest.mark.parametrize("failing", ["write", "fsync", "rename"])
def test_what_was_there_stays_whatever_fails(tmp_path, monkeypatch, failing):
    def fail(*_, **__):
        raise OSError(5, "Input/output error")

    (tmp_path / "a").write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        with pytest.raises(StateError, match=f"{tmp_path}/a cannot be written: Input/output error"):
            statedir.atomic_write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_short_writes_are_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    statedir.atomic_write(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_missing_directory_is_an_error_of_ours(tmp_path):
    with pytest.raises(StateError, match="cannot be written"):
        statedir.atomic_write(tmp_path / "none" / "a", b"new")


@pytest.fixture
def tiny_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if mounted.returncode != 0:
        pytest.skip("not permitted to mount")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_what_was_there_and_no_rest(tiny_disk):
    statedir.atomic_write(tiny_disk / "a", b"old" * 100)
    with pytest.raises(StateError, match="No space left on device"):
        statedir.atomic_write(tiny_disk / "a", b"n" * 64 * 1024)
    assert (tiny_disk / "a").read_bytes() == b"old" * 100
    assert os.listdir(tiny_disk) == ["a"]


def test_a_read_only_disk_leaves_what_was_there(tiny_disk):
    statedir.atomic_write(tiny_disk / "a", b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(StateError, match="Read-only file system"):
        statedir.atomic_write(tiny_disk / "a", b"new")
    with pytest.raises(StateError, match="Read-only file system"):
        statedir.secure_directory(tiny_disk / "b")
    with pytest.raises(StateError, match="Read-only file system"):
        statedir.open_lock(tiny_disk / "lock")
    assert (tiny_disk / "a").read_bytes() == b"old"


# -- locks ---------------------------------------------------------------------------------------------------


def test_a_lock_is_made_with_mode_0600_and_stays(tmp_path, loose_umask):
    first = statedir.open_lock(tmp_path / "lock")
    second = statedir.open_lock(tmp_path / "lock")
    try:
        assert mode(tmp_path / "lock") == 0o600
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(BlockingIOError):
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(first)
        os.close(second)


@pytest.mark.parametrize("dangling", [False, True])
def test_a_lock_is_no_link(tmp_path, dangling):
    if not dangling:
        (tmp_path / "real").write_text("")
    (tmp_path / "lock").symlink_to(tmp_path / "real")
    with pytest.raises(StateError, match=f"{tmp_path}/lock cannot be opened"):
        statedir.open_lock(tmp_path / "lock")
    assert (tmp_path / "real").exists() is not dangling


def test_a_lock_that_is_a_directory_is_an_error_of_ours(tmp_path):
    (tmp_path / "lock").mkdir()
    with pytest.raises(StateError, match="cannot be opened"):
        statedir.open_lock(tmp_path / "lock")


def test_a_lock_is_not_inherited(tmp_path):
    descriptor = statedir.open_lock(tmp_path / "lock")
    try:
        script = f"import os; print(any(os.path.realpath(f'/proc/self/fd/{{n}}') == {str(tmp_path / 'lock')!r}" \
                 " for n in os.listdir('/proc/self/fd')))"
        done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True, close_fds=False)
        assert done.stdout.strip() == b"False"
    finally:
        os.close(descriptor)


# -- files that name commands --------------------------------------------------------------------------------


def test_a_trusted_file_is_read_with_its_mode(tmp_path):
    (tmp_path / "ini").write_bytes(b"x\n")
    (tmp_path / "ini").chmod(0o640)
    assert statedir.read_trusted(tmp_path / "ini") == (b"x\n", 0o640)


@needs_root
def test_a_file_below_a_directory_of_somebody_else_is_not_trusted(tmp_path):
    (tmp_path / "users" / "roots").mkdir(parents=True)
    (tmp_path / "users" / "roots" / "ini").write_text("x")
    os.chown(tmp_path / "users", NOBODY, NOBODY)
    with pytest.raises(UntrustedFileError, match=f"{tmp_path}/users belongs to user 65534"):
        statedir.read_trusted(tmp_path / "users" / "roots" / "ini")


def test_reading_leaves_no_descriptor_open(tmp_path):
    (tmp_path / "ini").write_text("x")
    (tmp_path / "ini").chmod(0o666)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(UntrustedFileError):
        statedir.read_trusted(tmp_path / "ini")
    (tmp_path / "ini").chmod(0o600)
    statedir.read_trusted(tmp_path / "ini")
    assert len(os.listdir("/proc/self/fd")) == before
