"""Nobody but root, or the user we are, has a hand in what we keep or believe."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from certbot_guard import statedir
from certbot_guard.errors import StateError

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes files of somebody else")
as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything; the nobody fixture covers it")


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


# -- directories on the way --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o722])
def test_a_parent_that_others_can_write_is_refused(ours, mode):
    (ours / "open").mkdir()
    (ours / "open").chmod(mode)
    with pytest.raises(StateError, match=r"can be written by others.*chmod go-w"):
        statedir.secure_directory(ours / "open" / "a")
    assert not (ours / "open" / "a").exists()


def test_a_parent_further_up_that_others_can_write_is_refused(ours):
    (ours / "open" / "closed").mkdir(parents=True)
    (ours / "open").chmod(0o777)
    with pytest.raises(StateError, match="can be written by others"):
        statedir.secure_directory(ours / "open" / "closed" / "a")


@as_root
def test_a_link_of_somebody_else_on_the_way_is_refused(ours):
    (ours / "real").mkdir()
    (ours / "tmp").mkdir()
    (ours / "tmp").chmod(0o1777)
    (ours / "tmp" / "link").symlink_to(ours / "real")
    os.lchown(ours / "tmp" / "link", NOBODY, NOBODY)
    with pytest.raises(StateError, match="link"):
        statedir.secure_directory(ours / "tmp" / "link" / "a")
    assert not (ours / "real" / "a").exists()


@as_root
def test_where_a_link_on_the_way_leads_is_checked_as_well(ours):
    (ours / "theirs" / "real").mkdir(parents=True)
    (ours / "theirs").chmod(0o777)
    (ours / "link").symlink_to(ours / "theirs" / "real")
    with pytest.raises(StateError, match="can be written by others"):
        statedir.secure_directory(ours / "link" / "a")
    assert not (ours / "theirs" / "real" / "a").exists()


def test_a_name_that_no_file_can_have_is_a_state_error(ours):
    for name in ("a\0b", "x" * 300):
        with pytest.raises(StateError):
            statedir.secure_directory(ours / name)


def test_another_user_gets_one_sentence_where_he_may_not_write(nobody):
    with pytest.raises(StateError, match="Permission denied") as raised:
        statedir.secure_directory(Path("/var/lib/certbot-guard-test"))
    assert "/var/lib/certbot-guard-test" in str(raised.value) and "\n" not in str(raised.value)


def test_no_descriptor_is_left_open(ours):
    (ours / "open").mkdir()
    (ours / "open").chmod(0o777)
    (ours / "guard.ini").write_text("")
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        statedir.secure_directory(ours / "a" / "b")
        statedir.read_trusted(ours / "guard.ini")
        statedir.atomic_write(ours / "a" / "f", b"x")
        statedir.usable(ours / "a")
        with pytest.raises(StateError):
            statedir.secure_directory(ours / "open" / "a")
        with pytest.raises(StateError):
            statedir.read_trusted(ours)
    assert len(os.listdir("/proc/self/fd")) == len(before)


# -- a file that is believed --------------------------------------------------------------------------------



@pytest.fixture
def ini(ours):
    path = ours / "guard.ini"
    path.write_bytes(b"[notify]\n")
    path.chmod(0o600)
    return path


def untrusted(path: Path) -> str:
    with pytest.raises(statedir.UntrustedFileError) as raised:
        statedir.read_trusted(path)
    sentence = str(raised.value)
    assert str(path) in sentence or str(path.parent) in sentence
    assert "\n" not in sentence
    return sentence


def test_a_file_of_ours_is_read(ini):
    assert statedir.read_trusted(ini) == (b"[notify]\n", 0o600)


def test_a_missing_file_or_directory_is_missing(ours):
    for path in (ours / "guard.ini", ours / "none" / "guard.ini"):
        with pytest.raises(FileNotFoundError):
            statedir.read_trusted(path)


def test_a_file_that_others_can_write_is_not_trusted(ini):
    for mode in (0o620, 0o602, 0o666):
        ini.chmod(mode)
        assert f"chmod 600 {ini}" in untrusted(ini)


def test_a_link_is_not_followed_wherever_it_leads(ini, ours):
    (ours / "link.ini").symlink_to(ini)
    (ours / "dangling.ini").symlink_to(ours / "nowhere")
    assert "link" in untrusted(ours / "link.ini")
    assert "link" in untrusted(ours / "dangling.ini")


def test_a_pipe_does_not_make_anybody_wait(ours):
    os.mkfifo(ours / "guard.ini")
    assert "not a plain file" in untrusted(ours / "guard.ini")


def test_a_directory_a_device_and_a_socket_are_not_files(ours):
    assert "not a plain file" in untrusted(ours)
    untrusted(Path("/dev/null"))


def test_a_huge_file_is_not_read(ini):
    with open(ini, "r+b") as file:
        file.truncate(statedir.READ_LIMIT_BYTES)
    assert len(statedir.read_trusted(ini)[0]) == statedir.READ_LIMIT_BYTES
    with open(ini, "r+b") as file:
        file.truncate(statedir.READ_LIMIT_BYTES + 1)
    assert "larger than" in untrusted(ini)


def test_a_parent_that_others_can_write_makes_a_file_untrusted(ini, ours):
    ours.chmod(0o777)
    assert "can be written by others" in untrusted(ini)
    ours.chmod(0o1777)
    assert statedir.read_trusted(ini)[0] == b"[notify]\n"


def test_a_file_that_is_missing_in_such_a_place_is_missing_all_the_same(ours):
    ours.chmod(0o777)
    with pytest.raises(FileNotFoundError):
        statedir.read_trusted(ours / "guard.ini")


def test_a_grandparent_that_others_can_write_makes_a_file_untrusted(ours):
    (ours / "a" / "b").mkdir(parents=True)
    (ours / "a" / "b" / "guard.ini").write_text("")
    (ours / "a").chmod(0o777)
    assert str(ours / "a") in untrusted_anywhere(ours / "a" / "b" / "guard.ini")


def untrusted_anywhere(path: Path) -> str:
    with pytest.raises(statedir.UntrustedFileError) as raised:
        statedir.read_trusted(path)
    return str(raised.value)


def test_a_linked_directory_is_followed_if_both_ends_are_trusted(ini, ours):
    (ours / "etc").mkdir(mode=0o755)
    (ours / "etc" / "letsencrypt").symlink_to(ours)
    assert statedir.read_trusted(ours / "etc" / "letsencrypt" / "guard.ini")[0] == b"[notify]\n"
    (ours / "etc").chmod(0o777)  # now anybody can make that link lead elsewhere
    assert "can be written by others" in untrusted_anywhere(ours / "etc" / "letsencrypt" / "guard.ini")


@as_root
def test_a_linked_directory_whose_link_is_somebody_else_s_is_not_trusted(ini, ours):
    (ours / "tmp").mkdir()
    (ours / "tmp").chmod(0o1777)
    (ours / "tmp" / "etc").symlink_to(ours)
    os.lchown(ours / "tmp" / "etc", NOBODY, NOBODY)
    assert "link" in untrusted_anywhere(ours / "tmp" / "etc" / "guard.ini")


@as_root
def test_a_file_of_somebody_else_is_not_trusted(ini):
    os.chown(ini, NOBODY, NOBODY)
    assert "65534" in untrusted(ini)


@as_root
def test_a_file_in_a_directory_of_somebody_else_is_not_trusted(ini, ours):
    os.chown(ours, NOBODY, NOBODY)
    assert "65534" in untrusted(ini)


def test_a_file_of_root_s_is_trusted_by_others_and_one_they_may_not_read_is_said_to_be_unreadable(nobody):
    assert statedir.read_trusted(Path("/etc/passwd"))[0].startswith(b"root:")
    assert "Permission denied" in untrusted(Path("/etc/shadow"))


@as_user
def test_a_file_without_read_permission_is_untrusted(ini):
    ini.chmod(0o200)
    assert "Permission denied" in untrusted(ini)


def test_a_name_that_no_file_can_have_is_untrusted():
    with pytest.raises(statedir.UntrustedFileError):
        statedir.read_trusted(Path("/etc/a\0b"))


def test_the_advice_can_be_pasted_into_a_shell(ours):
    path = ours / "my $(touch x) guard.ini"
    path.write_text("")
    path.chmod(0o666)
    assert f"chmod 600 '{path}'" in untrusted(path)
