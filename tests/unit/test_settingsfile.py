"""guard.ini as we write it: only what was meant changes, it is read back as it was meant, and it is never torn."""

from __future__ import annotations

import errno
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certbot_guard import config, keptfile, newfile, options, settingsfile
from certbot_guard.errors import GuardError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")
URL = "json://new.example.com/"
HOSTILE = ["json://h/a%20b%25", "json://u:p%2541@h/#frag;x?y=%(z)s&w=${q}", "json://h/;a,b=c", "json://h/ü€パス",
           "mailto://h?to=a@b.example,c@d.example", "syslog://", "json://h/" + "x" * 2000, "json://h/a = json://b/",
           "json://h/[notify]", "json://h/'\"\\n", "json://h/\u2028x\u00a0y"]


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "guard.ini"


def channels(path: Path) -> dict[str, str]:
    found = config.load(path)
    assert found.problems == (), [str(one) for one in found.problems]
    return {one.name: one.url for one in found.channels}


# -- channels in a text that is there ------------------------------------------------------------------------


@pytest.mark.parametrize("before, after", [
    ("[notify]\na = json://a/\n", "[notify]\na = json://a/\nnew = {}\n"),
    ("[notify]\na = json://a/", "[notify]\na = json://a/\nnew = {}\n"),
    ("[notify]\r\na = json://a/\r\n\r\n[server]\r\n", "[notify]\r\na = json://a/\r\nnew = {}\r\n\r\n[server]\r\n"),
    ("[notify]\r\na = json://a/", "[notify]\r\na = json://a/\r\nnew = {}\r\n"),
    ("\ufeff[notify]\na=json://a/\n", "\ufeff[notify]\na=json://a/\nnew = {}\n"),
    ("\ufeff", "\ufeff[notify]\nnew = {}\n"),
    ("", "[notify]\nnew = {}\n"),
    ("[server]\nmode = stop\n", "[server]\nmode = stop\n\n[notify]\nnew = {}\n"),
    ("[server]\r\nmode = stop", "[server]\r\nmode = stop\r\n\r\n[notify]\r\nnew = {}\r\n"),
    ("# mine\n", "# mine\n\n[notify]\nnew = {}\n"),
    ("[notify]\n# who\n; more\n\n# x\n[server]\n", "[notify]\n# who\n; more\nnew = {}\n\n# x\n[server]\n"),
    ("[notify]", "[notify]\nnew = {}\n"),
    ("[notify] # people\n", "[notify] # people\nnew = {}\n"),
    ("[notify]\n  a = json://a/\n# end\n [state]\n", "[notify]\n  a = json://a/\n  new = {}\n# end\n [state]\n"),
    ("[notify]\na = json://a/\n[server]\n[notify]\nb = json://b/\n[state]\n",
     "[notify]\na = json://a/\n[server]\n[notify]\nb = json://b/\nnew = {}\n[state]\n"),
    ("[notify]\na = json://a/\n[channel a]\nevents = failure\n",
     "[notify]\na = json://a/\nnew = {}\n[channel a]\nevents = failure\n"),
    ("[notify]\na = json://half\n   /rest\n[server]\n", "[notify]\na = json://half\n   /rest\nnew = {}\n[server]\n"),
])
def test_a_new_channel_stands_behind_the_last_and_all_else_is_as_it_was(before: str, after: str) -> None:
    assert settingsfile.with_channels(before, {"new": URL}) == after.format(URL)


@pytest.mark.parametrize("before, after", [
    ("[notify]\nx = json://x/\nnew = json://old/#1\ny=json://y/\n", "[notify]\nx = json://x/\nnew = {}\ny=json://y/\n"),
    ("[notify]\r\n\tnew=json://old/  \r\n", "[notify]\r\n\tnew={}  \r\n"),
    ("[notify]\nnew   =\t json://old/", "[notify]\nnew   =\t {}"),
    ("\ufeff[notify]\nnew =\n# x\n", "\ufeff[notify]\nnew = {}\n# x\n"),
    ("[notify]\nnew=\r\n", "[notify]\nnew= {}\r\n"),
    ("[notify]\nnew = not a url\n", "[notify]\nnew = {}\n"),
    ("[notify]\nnew = json://half\n  # why\n   /rest\n\n   more\n[channel new]\nevents = failure\n",
     "[notify]\nnew = {}\n  # why\n\n[channel new]\nevents = failure\n"),
    ("[notify]\nnew = json://1/\nx = json://x/\nnew = json://2/\n", "[notify]\nnew = {}\nx = json://x/\n"),
    ("[server]\nnew = json://x/\n[notify]\nnew = json://1/\n", "[server]\nnew = json://x/\n[notify]\nnew = {}\n"),
])
def test_a_channel_that_is_there_keeps_its_place(before: str, after: str) -> None:
    assert settingsfile.with_channels(before, {"new": URL}) == after.format(URL)


def test_the_same_channels_change_nothing() -> None:
    text = "\ufeff# x\r\n[notify]\r\na=json://a/ \r\n b = json://b/"
    assert settingsfile.with_channels(text, {"b": "json://b/", "a": "json://a/"}) == text
    assert settingsfile.with_channels(text, {}) == text


def test_what_cannot_be_understood_is_left_alone() -> None:
    text = "[notify]\nnew = json://half\n   [odd]\n   /rest\n[server]\n"
    with pytest.raises(settingsfile.SettingsTextError, match="too broken"):
        settingsfile.with_channels(text, {"new": URL})


@pytest.mark.parametrize("url", HOSTILE)
@pytest.mark.parametrize("before", ["", "[notify]\r\na = json://a/\r\n",
                                    "\ufeff[notify]\nnew = x\n[server]\nmode = stop"])
def test_a_hostile_url_is_read_back_exactly(url: str, before: str, ini: Path) -> None:
    settingsfile.write(ini, settingsfile.with_channels(before, {"new": url, "new 2": url}))
    found = channels(ini)
    assert (found["new"], found["new 2"]) == (url, url)


@pytest.mark.parametrize("name, url", [
    ("a=b", URL), ("", URL), (" a", URL), ("a ", URL), ("#a", URL), (";a", URL), ("[a", URL), ("a:b", URL),
    ("x" * 61, URL), ("apprise_config", URL), ("a\nb", URL), ("a", ""), ("a", "no url"), ("a", " " + URL),
    ("a", URL + " "), ("a", "json://h/\nb"), ("a", "json://h/\r"), ("a", "json://h/\x00"), ("a", "json://h/\x85"),
    ("a", "json://h/\u3000"), ("a", '"json://h/"'), ("a", "json://h/\ud800"),
])
def test_what_would_not_be_read_back_is_refused_without_quoting_it(name: str, url: str) -> None:
    with pytest.raises(settingsfile.SettingsTextError) as caught:
        settingsfile.with_channels("[notify]\n", {name: url})
    assert "://h" not in str(caught.value) and "new.example" not in str(caught.value)
    assert "too broken" not in str(caught.value)  # it is not the file's fault


_LINES = st.sampled_from(["[notify]", "[server]", " [notify]", "[channel a]", "[odd", "  [odd]", "a = json://a/",
                          " b=json://b/", "\tc = x", "   more", "# note", "  ; note", "", "mode = stop", "a = ",
                          "rubbish", "  /rest", "[notify] # x"])


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(_LINES, max_size=9), end=st.sampled_from(["\n", "\r\n"]), last=st.booleans(),
       name=st.sampled_from(["a", "b", "c", "d"]), url=st.sampled_from(HOSTILE))
def test_in_any_file_it_is_set_or_refused_and_nothing_else_is_lost(lines: list[str], end: str, last: bool, name: str,
                                                                   url: str) -> None:
    before = end.join(lines) + (end if last else "")
    try:
        after = settingsfile.with_channels(before, {name: url})
    except settingsfile.SettingsTextError:
        return
    old, new = (config._config(config.IniFile(Path("/x/guard.ini"), text)) for text in (before, after))
    assert {one.name: one.url for one in new.channels}[name] == url
    assert [(one.name, one.url) for one in new.channels if one.name != name] == [
        (one.name, one.url) for one in old.channels if one.name != name]
    assert (new.server, new.server_usable) == (old.server, old.server_usable)
    # Every line that is not this channel's own is still there, in its order.
    kept = iter(after.split("\n"))
    own = [number for number, line in enumerate(before.split("\n")) if line.split("=")[0].strip() == name]
    assert all(line in kept for number, line in enumerate(before.split("\n")[:-1]) if number not in own
               and not (own and line.lstrip() != line))
    assert settingsfile.with_channels(after, {name: url}) == after


# -- a new file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"mail": URL}, {"mail": URL, "second one": HOSTILE[1]}])
def test_a_new_file_loads_without_a_problem_and_leaves_the_defaults(given: dict[str, str], ini: Path) -> None:
    settingsfile.write(ini, settingsfile.fresh(given))
    assert channels(ini) == given
    found = config.load(ini)
    assert (found.server, found.messages) == (config.ServerConfig(), config.MessagesConfig())
    assert (found.watch, found.deploy) == (config.WatchConfig(), config.DeployConfig())


def test_a_new_file_takes_values_and_loads_with_them(ini: Path) -> None:
    values = {"server": {"mode": "stop"}, "certbot": {"config_dir": "/srv/le /x"}}
    settingsfile.write(ini, settingsfile.fresh({}, values))
    found = config.load(ini)
    assert found.problems == () and found.server.mode == "stop"
    assert found.certbot_config_dirs == (Path("/srv/le"), Path("/x"))


def test_a_value_that_cannot_stand_there_is_refused() -> None:
    for value in ("maybe", "stop\n[notify]", " stop"):
        with pytest.raises(settingsfile.SettingsTextError, match="'mode' in \\[server\\]"):
            settingsfile.fresh({}, {"server": {"mode": value}})


def test_its_comments_are_options_that_could_be_used(ini: Path) -> None:
    text = settingsfile.fresh({"NAME": URL})
    lines = [line[2:] if line.startswith("# ") and (line.startswith("# [") or " = " in line) else line
             for line in text.split("\n")]
    settingsfile.write(ini, "\n".join(lines))
    assert [str(one) for one in config.load(ini).problems] == []
    assert {option.section for option in options.OPTIONS} <= {
        line.strip("[]").split()[0] for line in lines if line.startswith("[")}
    assert max(map(len, text.split("\n"))) <= 120


# -- writing -------------------------------------------------------------------------------------------------


def copies(path: Path) -> list[Path]:
    return sorted(path.parent.glob(path.name + ".old-*"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0, 0o777])
def test_it_is_ours_alone_and_the_old_one_is_kept(mask: int, ini: Path) -> None:
    before = os.umask(mask)
    try:
        assert settingsfile.write(ini, "[notify]\n") is None
        ini.chmod(0o644)
        kept = settingsfile.write(ini, "[server]\n")
    finally:
        os.umask(before)
    assert kept is not None and kept.parent == ini.parent and kept == copies(ini)[0]
    assert (ini.read_text(), kept.read_text()) == ("[server]\n", "[notify]\n")
    assert (mode(ini), mode(kept)) == (0o600, 0o600)
    assert ini.stat().st_uid == kept.stat().st_uid == os.geteuid()
    assert sorted(one.name for one in ini.parent.iterdir()) == sorted([ini.name, kept.name])


def test_the_same_text_writes_nothing_and_keeps_no_copy(ini: Path) -> None:
    settingsfile.write(ini, "[notify]\n")
    ini.chmod(0o644)
    inode = ini.stat().st_ino, ini.stat().st_mtime_ns
    assert settingsfile.write(ini, "[notify]\n") is None
    assert ((ini.stat().st_ino, ini.stat().st_mtime_ns), mode(ini), copies(ini)) == (inode, 0o600, [])


def test_no_copy_is_overwritten_and_the_newest_few_are_kept(ini: Path) -> None:
    names = ("guard.ini.old-mine", "guard.ini.old", "guard.ini.old-20200101T000000Z.txt")
    others = [ini.parent / name for name in names]
    for one in others:
        one.write_text("mine")
    for number in range(9):
        settingsfile.write(ini, f"# {number}\n")
    ours = [one for one in copies(ini) if one not in others]
    assert sorted(one.read_text() for one in ours) == [f"# {number}\n" for number in range(3, 8)]
    assert [one.read_text() for one in others] == ["mine"] * 3


def test_a_clock_that_was_set_back_does_not_cost_the_newest_copy(ini: Path) -> None:
    for number in range(keptfile.COPIES_KEPT):
        ini.with_name(f"guard.ini.old-20990101T00000{number}Z").write_text("older")
    settingsfile.write(ini, "# 1\n")
    kept = settingsfile.write(ini, "# 2\n")
    assert kept is not None and kept.read_text() == "# 1\n" and len(copies(ini)) == keptfile.COPIES_KEPT


def test_a_copy_without_hard_links_is_the_same(ini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    settingsfile.write(ini, "# 1\n")
    monkeypatch.setattr(os, "link", link)
    kept = settingsfile.write(ini, "# 2\n")
    assert kept is not None and (kept.read_text(), ini.read_text(), mode(kept)) == ("# 1\n", "# 2\n", 0o600)


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(ini: Path) -> None:
    ini.write_text("# theirs\n")
    ini.chmod(0o600)
    with pytest.raises(GuardError, match="changed meanwhile"):
        settingsfile.write(ini, "# ours\n", seen="# before\n")
    assert ini.read_text() == "# theirs\n"
    settingsfile.write(ini, "# ours\n", seen="# theirs\n")
    assert ini.read_text() == "# ours\n"


def test_line_ends_byte_order_mark_and_script_survive_reading_and_writing(ini: Path) -> None:
    data = "\ufeff# ü\r\n[notify]\r\n\n# \u2028".encode()
    ini.write_bytes(data)
    ini.chmod(0o600)
    text = settingsfile.read(ini)
    assert text is not None and settingsfile.write(ini, text) is None
    settingsfile.write(ini, text + "\n")
    assert ini.read_bytes() == data + b"\n"
    assert settingsfile.read(ini.with_name("none.ini")) is None


def _link(path: Path) -> None:
    path.with_name("real.ini").write_text("x")
    path.symlink_to("real.ini")


def _plain(path: Path, bits: int) -> None:
    path.write_text("x")
    path.chmod(bits)


@pytest.mark.parametrize("prepare, says", [
    (_link, "symbolic link"), (lambda path: path.mkdir(), "not a plain file"),
    (lambda path: os.mkfifo(path), "not a plain file"), (lambda path: _plain(path, 0o666), "can be written by others"),
    (lambda path: path.parent.chmod(0o777), "chmod go-w"),
    (lambda path: path.parent.rmdir(), "does not exist"),
])
def test_it_is_not_written_where_others_have_a_hand_in_it(prepare: Callable[[Path], object], says: str,
                                                          tmp_path: Path) -> None:
    path = tmp_path / "etc" / "guard.ini"
    path.parent.mkdir(mode=0o700)
    prepare(path)
    with pytest.raises(GuardError, match=says) as caught:
        settingsfile.write(path, "[notify]\n")
    assert str(path.parent) in str(caught.value) and "\n" not in str(caught.value)
    assert not path.parent.exists() or not copies(path)


@needs_root
def test_somebody_else_s_file_is_left_alone(ini: Path) -> None:
    ini.write_text("x")
    os.chown(ini, 65534, 65534)
    with pytest.raises(GuardError, match="belongs to user 65534"):
        settingsfile.write(ini, "[notify]\n")
    assert ini.read_text() == "x"


def test_a_text_that_would_not_be_read_is_not_written(ini: Path) -> None:
    with pytest.raises(GuardError, match="larger than"):
        settingsfile.write(ini, "# " + "x" * 1024 * 1024)
    assert not ini.exists()


CALLS = ("open", "write", "fsync", "fchmod", "link", "rename", "unlink", "close", "listdir", "stat")


class Watched:
    """The module ``os`` for what writes, with something done before the nth call that could change a file."""

    def __init__(self, number: int, act: Callable[[str], None]) -> None:
        self.count, self._number, self._act = 0, number, act

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self._number:
                self._act(name)
            return real(*arguments, **options)
        return call


def _watch(patch: pytest.MonkeyPatch, watched: Watched) -> None:
    for module in (keptfile, newfile):
        patch.setattr(module, "os", watched)


def _number_of_calls(ini: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    watched = Watched(0, lambda name: None)
    with monkeypatch.context() as patch:
        _watch(patch, watched)
        settingsfile.write(ini, "# new\n" * 2000)
    return watched.count


def _begin(ini: Path) -> None:
    for one in ini.parent.iterdir():
        one.unlink()
    for number in range(7):
        ini.with_name(f"guard.ini.old-2026010{number + 1}T000000Z").write_text("# older\n")
    ini.write_text("# old\n" * 2000)
    ini.chmod(0o600)


@pytest.mark.parametrize("there", [True, False])
def test_a_kill_at_any_moment_leaves_the_old_or_the_new_whole(there: bool, ini: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    def begin() -> None:
        _begin(ini)
        if not there:
            ini.unlink()

    begin()
    calls = _number_of_calls(ini, monkeypatch)
    assert calls > 10
    seen: set[Optional[str]] = set()
    for number in range(1, calls + 1):
        begin()
        child = os.fork()
        if child == 0:
            _watch(monkeypatch, Watched(number, lambda name: os.kill(os.getpid(), signal.SIGKILL)))
            settingsfile.write(ini, "# new\n" * 2000)
            os._exit(0)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), number
        text = ini.read_text() if ini.exists() else None
        assert text in ("# new\n" * 2000, "# old\n" * 2000 if there else None), number
        assert not there or "# old\n" * 2000 in [one.read_text() for one in [ini, *copies(ini)]], number
        assert all(mode(one) == 0o600 for one in ini.parent.iterdir() if "2026010" not in one.name), number
        seen.add(text)
        # The next one is not held up, and clears away what this one left.
        settingsfile.write(ini, "# next\n")
        assert [one.name for one in ini.parent.iterdir() if one.name.startswith(".")] == []
    assert len(seen) == 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_call_that_fails_leaves_the_old_or_the_new_and_nothing_torn(code: int, ini: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        if name not in ("close", "unlink"):
            raise OSError(code, os.strerror(code))

    _begin(ini)
    calls = _number_of_calls(ini, monkeypatch)
    failures = 0
    for number in range(1, calls + 1):
        _begin(ini)
        with monkeypatch.context() as patch:
            _watch(patch, Watched(number, fail))
            try:
                settingsfile.write(ini, "# new\n" * 2000)
            except GuardError as error:
                failures += 1
                assert str(error) == f"{ini} cannot be written: {os.strerror(code)}; it was as it was" or \
                    os.strerror(code) in str(error)
                assert ini.read_text() == "# old\n" * 2000
            else:
                assert ini.read_text() == "# new\n" * 2000
        assert [one.name for one in ini.parent.iterdir() if one.name.startswith(".")] == []
    assert failures > 5
