"""A challenge through a running Apache: the file's coming and going, with an Apache that only is asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from certbot_guard.errors import ConfigtestError, RefusedError, ServerError
from certbot_guard.proxying import modules, ourfile, placement, placing, snippet
from certbot_guard.servers.configuration import TLS, Configuration, Named, Place
from certbot_guard.servers.dump import Dump

NOBODY = 65534


class Instance:
    """What placing asks of :class:`certbot_guard.servers.instance.Instance`."""

    def __init__(self, directory: Path) -> None:
        self.dump = Dump(modules=frozenset(modules.NEEDED))
        self.read = Configuration(TLS(Place("", 0)), includes=[Named(f"{directory}/*.conf", Place("", 0))])
        self.broken: list[str] = []
        self.tested: list[str] = []
        self.is_version: tuple[int, ...] = (2, 4, 26)

    def configtest(self) -> Configuration:
        return self.configuration()

    def version(self) -> tuple[int, ...]:
        return self.is_version

    def configuration(self) -> Configuration:
        if "files" in self.broken:
            raise ConfigtestError("the configuration is broken")
        return self.read

    def read_dump(self, also: str) -> None:
        self.tested.append(Path(also.split('"')[1]).read_text())
        self.dump = Dump()
        if "ours" in self.broken:
            raise ConfigtestError("not accepted", "line 3")


def says_something(path: Path) -> bool:
    return any(line and not line.startswith("#") for line in path.read_text().splitlines())


class Server:
    name, identity = "apache2.service", "apache:default"

    def __init__(self, directory: Path) -> None:
        self.instance = Instance(directory)
        self.directory = directory
        self.fails: list[ServerError] = []
        self.loaded: list[list[str]] = []
        self.serves = True

    def reload(self) -> None:
        if self.fails:
            raise self.fails.pop(0)
        self.loaded.append(sorted(path.name for path in self.directory.iterdir() if says_something(path)))

    def look(self) -> dict:
        return {"serving": self.serves, "sockets": []}


@pytest.fixture
def server(tmp_path) -> Server:
    directory = tmp_path / "conf.d"
    directory.mkdir()
    return Server(directory)


def place(server: Server) -> Path:
    return placing.place(server, 700, os.getpid(), ["a.example"])


def test_it_is_tested_elsewhere_then_written_whole_then_loaded(server):
    path = place(server)
    assert path == server.directory / placement.NAME
    assert server.instance.tested == [path.read_text()]
    assert path.stat().st_mode & 0o777 == 0o644
    assert server.loaded == [[placement.NAME]]
    assert server.instance.dump.modules  # what was learnt in the rehearsal is not kept
    assert placing.leftovers(server) == [path]


@pytest.mark.parametrize("version, words", [((2, 4, 25), "2.4.25"), ((2, 2, 34), "2.2.34"), ((), "unknown")])
def test_an_apache_that_does_not_know_no_proxy_gets_no_file(server, version, words):
    server.instance.is_version = version
    with pytest.raises(ServerError, match=f"is {words}, and a challenge"):
        place(server)
    assert not list(server.directory.iterdir())


def test_it_is_taken_away_once_and_again(server):
    path = place(server)
    assert [placing.remove(server, path), placing.remove(server, path)] == ["", ""]
    assert server.loaded == [[placement.NAME], []]


def test_what_a_killed_write_has_left_beside_it_goes_and_what_is_somebody_elses_stays(server):
    others = [server.directory / name for name in (f".{placement.NAME}.old", f".{placement.NAME}.0123456789abcdef")]
    left = server.directory / f".{placement.NAME}.0123456789ab"
    for one in (left, *others):
        one.write_text("half of")
    assert placing.leftovers(server) == []
    assert not left.exists() and all(one.exists() for one in others)


@pytest.fixture(params=["for others to write", "another user's"])
def give(request):
    """A directory becomes one in which somebody else can exchange things."""
    def give(directory: Path) -> None:
        if request.param == "for others to write":
            directory.chmod(0o777)
        elif os.geteuid() == 0:
            os.chown(directory, NOBODY, NOBODY)
        else:
            pytest.skip("only root can give a directory away")
    return give


@pytest.fixture(params=["itself", "the one above"])
def given(request, give):
    """Gives away the directory of a file, or the one above, in which another could be put in its place."""
    return lambda path: give(path.parent if request.param == "itself" else path.parent.parent)


def contents(directory: Path) -> dict[str, tuple]:
    return {path.name: (path.lstat().st_ino, path.lstat().st_mtime_ns, path.read_bytes())
            for path in directory.iterdir()}


def test_where_somebody_else_can_exchange_it_nothing_is_changed_or_reloaded_and_the_file_is_named(server, given):
    path, left = place(server), server.directory / f".{placement.NAME}.0123456789ab"
    left.write_text("half of")
    before = contents(server.directory)
    given(path)
    assert placing.leftovers(server) == [path]
    said = placing.remove(server, path)
    assert f"{path} cannot be taken away: {server.directory.parent}" in said and "delete it by hand" in said
    for change in (lambda: ourfile.disarm(path, 700, os.getpid()), lambda: ourfile.disarm_any(path),
                   lambda: ourfile.unlink(path), lambda: ourfile.write(path, b"ours"),
                   lambda: placing.take_away(path, 700, os.getpid(), server)):
        with pytest.raises(PermissionError, match=str(server.directory.parent)):
            change()
    ourfile.clear_unfinished(path)
    assert contents(server.directory) == before and server.loaded == [[placement.NAME]]


def test_none_is_placed_there_either(server, given):
    given(server.directory / placement.NAME)
    with pytest.raises(ServerError, match="no file is put where Apache would read it"):
        place(server)
    assert os.listdir(server.directory) == [] and server.loaded == []


def test_a_directory_that_is_given_away_while_the_file_is_tested_gets_none(server, given, monkeypatch):
    monkeypatch.setattr(placing.room, "wait", lambda instance: given(server.directory / placement.NAME))
    with pytest.raises(ServerError, match="cannot be written: .* who could replace"):
        place(server)
    assert os.listdir(server.directory) == [] and server.loaded == []


def test_one_that_is_given_away_while_it_is_written_keeps_the_file_that_was_there(server, give, monkeypatch):
    path, synced = place(server), os.fsync

    def gives(descriptor: int) -> None:
        synced(descriptor)
        give(server.directory)

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", gives)
    said = placing.remove(server, path)
    assert "who could replace" in said and path.read_bytes() == before and server.loaded == [[placement.NAME]]


def test_one_that_is_given_away_while_apache_is_reloaded_keeps_a_file_that_says_nothing(server, give, monkeypatch):
    path = place(server)
    monkeypatch.setattr(server, "reload", lambda: give(server.directory))
    assert "who could replace" in placing.remove(server, path)
    assert path.exists() and not says_something(path)


def test_a_file_that_was_given_away_is_left_and_said_and_known_as_whose_it_was(server):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = place(server)
    os.chown(path, NOBODY, NOBODY)
    assert placing.leftovers(server) == [path] and not ourfile.is_ours(path)
    assert f"it belongs to user {NOBODY} by now" in placing.remove(server, path)
    with pytest.raises(PermissionError, match="by now"):
        ourfile.check_kept(path, 700, os.getpid())
    ourfile.check_kept(path, 701, os.getpid())  # that of another run is not this one's to say
    ourfile.unlink(path)
    assert says_something(path) and len(server.loaded) == 1


def test_a_link_of_somebody_elses_leads_to_no_file_that_is_taken_away(server, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can make a link of another user's")
    path, link = place(server), tmp_path / "linked"
    link.symlink_to(server.directory)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    assert "symbolic link of user" in placing.remove(server, link / placement.NAME)
    assert path.exists()


@pytest.mark.parametrize("change", [lambda path: ourfile.disarm(path, 700, os.getpid()), ourfile.disarm_any,
                                    ourfile.unlink], ids=["disarm", "disarm_any", "unlink"])
@pytest.mark.parametrize("by", ["a file", "a link"])
def test_what_is_put_in_its_place_between_two_looks_is_left_as_it_is(server, monkeypatch, change, by):
    path, other = place(server), server.directory / "other"
    other.write_text("another's")
    read, reads = ourfile._content, []

    def exchanged(*arguments: object) -> bytes:
        reads.append(arguments)
        if len(reads) == 2:  # after it has been found to be ours
            path.unlink()
            other.rename(path) if by == "a file" else path.symlink_to(other)
        return read(*arguments)

    monkeypatch.setattr(ourfile, "_content", exchanged)
    change(path)
    assert len(reads) == 2 and path.read_text() == "another's" and path.is_symlink() == (by == "a link")


def test_it_is_written_in_the_directory_that_was_there_when_it_began(server, monkeypatch):
    moved, path = server.directory.with_name("moved"), server.directory / placement.NAME

    def exchanged(_descriptor: int) -> None:
        server.directory.rename(moved)
        server.directory.mkdir()
        for one in list(moved.iterdir()):  # what is renamed by name would be this
            (server.directory / one.name).write_text("Listen 81")

    monkeypatch.setattr(os, "fsync", exchanged)
    ourfile.write(path, b"ours")
    assert os.listdir(moved) == [path.name] and not path.exists()


def test_changes_to_a_file_whose_directory_is_gone_are_none(server):
    path = server.directory / "gone" / placement.NAME
    ourfile.disarm(path, 700, os.getpid())
    ourfile.disarm_any(path)
    ourfile.unlink(path)
    ourfile.clear_unfinished(path)
    ourfile.check_kept(path)
    assert placing.remove(server, path) == "" and server.loaded == []


def test_apache_finds_it_until_it_has_been_reloaded_without_what_it_says(server, monkeypatch):
    path = place(server)
    found = []
    monkeypatch.setattr(server, "reload", lambda: found.append((path.exists(), ourfile.is_for(path, 700, os.getpid()),
                                                                says_something(path))))
    assert placing.take_away(path, 701, os.getpid(), server) is None
    assert placing.take_away(path, 700, os.getpid(), server) == ""
    assert found == [(True, True, False)] and os.listdir(server.directory) == []


def test_on_a_full_disk_it_goes_all_the_same(server, monkeypatch):
    path = place(server)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert placing.remove(server, path) == "" and os.listdir(server.directory) == []
    assert server.loaded == [[placement.NAME], []]


def test_placing_it_again_replaces_it(server):
    assert place(server) == place(server)
    assert server.loaded == [[placement.NAME]] * 2


@pytest.mark.parametrize("what", ["files", "ours"])
def test_nothing_is_written_or_reloaded_if_apache_does_not_accept_it(server, what):
    server.instance.broken.append(what)
    with pytest.raises(ServerError) as caught:
        place(server)
    assert os.listdir(server.directory) == [] and server.loaded == []
    assert isinstance(caught.value, ConfigtestError) is (what == "files")
    assert caught.value.detail == ("line 3" if what == "ours" else "")


def test_a_reload_that_fails_leaves_nothing_and_says_what_went_wrong(server):
    server.fails = [ServerError("it died", "the log")]
    with pytest.raises(ServerError, match="it died$") as caught:
        place(server)
    assert caught.value.detail == "the log"
    assert server.loaded == [[]]
    server.fails = [ServerError("it died"), ServerError("it is dead")]
    with pytest.raises(ServerError, match="it died; .*reload after it failed: it is dead"):
        place(server)
    assert os.listdir(server.directory) == []


def test_an_interruption_leaves_no_file(server):
    server.fails = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        place(server)
    assert os.listdir(server.directory) == []


def test_a_reload_that_fails_after_the_removal_is_said_and_the_file_is_gone(server):
    path = place(server)
    server.fails = [ServerError("it did not reload")]
    assert "it did not reload" in placing.remove(server, path)
    assert not path.exists()


def test_a_server_that_does_not_run_needs_no_reload(server):
    path = place(server)
    server.fails, server.serves = [RefusedError("it does not run")], False
    assert placing.remove(server, path) == ""
    place(server)
    server.fails, server.serves = [RefusedError("configtest")], True
    assert "was not reloaded: configtest" in placing.remove(server, path)
    assert not path.exists()


def test_what_is_not_ours_is_neither_replaced_nor_taken_away(server, tmp_path):
    path = server.directory / placement.NAME
    (tmp_path / "ours").write_text(f"{snippet.MARK} once\n")
    for make in (lambda: path.write_text("Listen 81\n"), lambda: path.symlink_to(tmp_path / "ours"), path.mkdir,
                 lambda: path.symlink_to(tmp_path / "nothing"), lambda: os.mkfifo(path)):
        make()
        before = os.lstat(path)
        assert "not certbot-guard's" in placing.remove(server, path)
        with pytest.raises(ServerError, match="did not write it"):
            place(server)
        assert placing.leftovers(server) == []
        assert os.lstat(path).st_ino == before.st_ino
        path.rmdir() if path.is_dir() else path.unlink()
    assert server.loaded == []


def test_a_full_disk_leaves_no_half_file(server, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ServerError, match="No space left"):
        place(server)
    assert os.listdir(server.directory) == [] and server.loaded == []


def test_a_server_that_is_not_apache_is_refused(server):
    server.instance = None
    with pytest.raises(ServerError, match="not known to be Apache"):
        place(server)
