"""A challenge through a running Apache: the file's coming and going, with an Apache that only is asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from certbot_guard.errors import ConfigtestError, RefusedError, ServerError
from certbot_guard.proxying import modules, placement, placing, snippet
from certbot_guard.servers.configuration import TLS, Configuration, Dump, Named, Place


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


def test_apache_finds_it_until_it_has_been_reloaded_without_what_it_says(server, monkeypatch):
    path = place(server)
    found = []
    monkeypatch.setattr(server, "reload", lambda: found.append((path.exists(), placing.is_for(path, 700, os.getpid()),
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
