"""What a run remembers of a passage, and how it ends it: with real files and a server that notes what it is asked."""

from __future__ import annotations

import os
import socket

import pytest

from certbot_guard import passage
from certbot_guard.errors import RefusedError, ServerError, StateError
from certbot_guard.proxying import loopback, ourfile, placement, snippet
from certbot_guard.proxying.responder import Responder
from certbot_guard.run import Run, open_windows


class Server:
    name, identity = "a server", "apache:/nowhere"

    def __init__(self, fails=None):
        self.reloads, self.fails = 0, fails

    def reload(self):
        self.reloads += 1
        if self.fails is not None:
            raise self.fails

    def look(self):
        return {"serving": True, "sockets": []}


@pytest.fixture
def run(tmp_path):
    tmp_path.chmod(0o700)
    return Run.create([tmp_path / "state"], {"id": "one"})


@pytest.fixture
def file(run, tmp_path):
    path = tmp_path / placement.NAME
    path.write_text(snippet.text(785, 4711, ["a.example"]))
    run.note("proxy-placing", number=1, lineage="a.example", path=str(path), port=785, pid=4711)
    return path


def open_for(run, server):
    with pytest.raises(ServerError, match="it died"):
        passage.open_for(run, server, 1, {"lineage": "a.example", "names": ["a.example"], "ports": [80]})


def ends(run):
    over = [event for event in run.events() if event["kind"] == "proxy-removed"]
    return [(event["number"], event["by"], event["problem"]) for event in over]


def test_it_is_taken_away_once_and_the_server_reloaded(run, file):
    server = Server()
    passage.end(run, server, "settle")
    passage.end(run, server, "settle")
    assert not file.exists() and server.reloads == 1 and ends(run) == [(1, "settle", "")]
    assert passage.opened(run.events()) == []


def test_what_was_withdrawn_is_not_reloaded_for_again(run, file):
    server = Server()
    passage.withdraw(run)
    assert all(line.startswith("#") for line in file.read_text().splitlines())
    assert len(passage.opened(run.events())) == 1
    passage.end(run, server, "restart", forgotten=True)
    assert not file.exists() and server.reloads == 0 and ends(run) == [(1, "restart", "")]


def test_what_was_withdrawn_and_not_reloaded_for_is_reloaded_for(run, file):
    server = Server()
    passage.withdraw(run)
    passage.end(run, server, "settle")
    assert not file.exists() and server.reloads == 1 and ends(run) == [(1, "settle", "")]


@pytest.mark.parametrize("do", [lambda run, server: passage.end(run, server, "settle"), open_for],
                         ids=["taken away", "placed"])
def test_a_server_that_our_reload_ends_is_there_to_be_brought_back(run, file, do, monkeypatch):
    monkeypatch.setattr(passage.placing, "place", lambda server, *_: server.reload())
    server = Server(ServerError("it died"))
    server.look = lambda: {"serving": server.reloads == 0, "sockets": []}
    do(run, server)
    opened, = open_windows(run.events())
    assert (opened["window"], opened["lineage"], opened["before"]["serving"]) == (-1, "a.example", True)
    said, = [event["error"] for event in run.events() if event["kind"] == "guard-error"]
    assert "ended when it was reloaded" in said


def test_a_server_that_was_down_before_is_left_so(run, file):
    server = Server(ServerError("it does not run"))
    server.look = lambda: {"serving": False, "sockets": []}
    passage.end(run, server, "settle")
    assert open_windows(run.events()) == []


@pytest.mark.parametrize("port, pid", [(786, 4711), (785, 4712), (785, 471), (78, 4711)])
def test_the_file_of_another_run_is_left_to_it(run, file, port, pid):
    file.write_text(snippet.text(port, pid, ["b.example"]))
    server = Server()
    passage.end(run, server, "settle")
    assert file.exists() and server.reloads == 0 and ends(run) == [(1, "settle", "")]


@pytest.mark.parametrize("fails", [RefusedError("its configuration is broken"), ServerError("it died"),
                                   ZeroDivisionError("a bug")])
def test_a_server_that_cannot_be_reloaded_keeps_no_file_and_the_event_says_so(run, file, fails):
    passage.end(run, Server(fails), "settle")
    assert not file.exists()
    (_, _, problem), = ends(run)
    assert str(fails) in problem


def test_a_file_that_cannot_be_taken_away_is_said_once_and_tried_again(run, file, monkeypatch):
    def fails(path):
        raise OSError(30, "Read-only file system")

    server = Server()
    with monkeypatch.context() as patched:
        patched.setattr(ourfile, "unlink", fails)
        for _ in range(2):
            passage.end(run, server, "settle")
    said, = [event["error"] for event in run.events() if event["kind"] == "guard-error"]
    assert str(file) in said and "Read-only file system" in said and ends(run) == []
    passage.end(run, server, "recover")
    assert not file.exists() and ends(run) == [(1, "recover", "")]


def give_the_directory(path):
    path.parent.chmod(0o777)


def give_the_file(path):
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize("give", [give_the_directory, pytest.param(give_the_file, marks=pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give a file away"))])
@pytest.mark.parametrize("how", [{}, {"reload": False}, {"forgotten": True}], ids=["", "no reload", "forgotten"])
def test_one_in_which_somebody_else_has_a_hand_by_now_is_left_and_said_once(run, file, give, how):
    before, server = file.read_text(), Server()
    run.note("proxy-placed", number=1, lineage="a.example", seconds=1)
    give(file)
    passage.withdraw(run)
    for _ in range(2):
        passage.end(run, server, "settle", **how)
    said, = [event["error"] for event in run.events() if event["kind"] == "guard-error"]
    assert f"{file} cannot be taken away: " in said and ("replace" in said or "user 65534" in said), said
    assert file.read_text() == before and server.reloads == 0 and ends(run) == []
    file.parent.chmod(0o700)
    os.chown(file, os.geteuid(), os.getegid())
    passage.end(run, server, "recover")
    assert not file.exists() and ends(run) == [(1, "recover", "")]


def test_a_server_that_another_run_holds_is_not_reloaded(run, file, monkeypatch):
    monkeypatch.setattr(passage.serverlock, "take", lambda *_: None)
    server = Server()
    passage.end_left(run, server, "settle")
    assert server.reloads == 0 and "says nothing any more" in ends(run)[0][2]
    # That other one may reload the server now, which must find what it has listed.
    assert all(line.startswith("#") for line in file.read_text().splitlines())


def test_without_a_server_the_file_goes_all_the_same(run, file):
    passage.end_left(run, None, "settle")
    assert not file.exists() and len(ends(run)) == 1


def test_nothing_is_written_before_the_run_has_it(run, file, monkeypatch):
    file.unlink()

    def place(server, port, pid, names, announce):
        announce(file)
        file.write_text("written")

    def full(*_, **__):
        raise StateError("no space left")

    monkeypatch.setattr(passage.placing, "place", place)
    monkeypatch.setattr(run, "record", full)
    with pytest.raises(StateError):
        passage.open_for(run, Server(), 2, {"lineage": "a.example", "names": ["a.example"], "ports": [80]})
    assert not file.exists()


def test_what_does_not_come_through_leaves_nothing(run, file, monkeypatch):
    ports = []

    def place(server, port, pid, names, announce):
        ports.append(port)
        announce(file)
        file.write_text(snippet.text(port, pid, names))

    monkeypatch.setattr(passage.placing, "place", place)
    server = Server()
    with pytest.raises(ServerError, match="answers HTTP nowhere on port 80"):
        passage.open_for(run, server, 1, {"lineage": "a.example", "names": ["a.example"], "ports": [80]})
    assert not file.exists() and server.reloads == 1
    with socket.socket() as another:
        another.bind(("127.0.0.1", ports[0]))


def test_nobody_who_takes_any_low_port_is_given_the_one_that_was_chosen(run, file, monkeypatch):
    ports = []

    def place(server, port, *_):
        ports.append(port)
        with socket.socket() as another, pytest.raises(OSError, match="in use"):
            another.bind(("", port))

    def check(names, at, port, to):
        with Responder(port):
            return []

    monkeypatch.setattr(passage.placing, "place", place)
    monkeypatch.setattr(passage.selfcheck, "check", check)
    with passage.open_for(run, Server(), 1, {"lineage": "a.example", "names": ["a.example"], "ports": [80]}) as kept:
        assert loopback.port_of(kept) == ports[0]
        with socket.socket() as another, pytest.raises(OSError, match="in use"):
            another.bind(("", ports[0]))
    with socket.socket() as another:
        another.bind(("", ports[0]))
