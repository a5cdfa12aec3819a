"""Killed in the act: what may have gone out goes again and says so, what is known to have gone out does not."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

import pytest

from certbot_guard import notify
from certbot_guard.config import Channel, Config
from certbot_guard.journal import Journal
from certbot_guard.message import Message
from tests.support.processes import arguments_of, children_of, descendants_of
from tests.support.webhook import Webhook

ROOT = Path(__file__).parents[2]
_SETTLER = """
import json, os, signal, sys
from pathlib import Path
from certbot_guard import notify
from certbot_guard.config import Channel, Config
from certbot_guard.journal import Journal
job = json.loads(sys.stdin.readline())
if job["die"] == "before":
    notify._run_deliverer = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if job["die"] == "after":
    notify.outcomes.apply = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if job["die"] == "between":
    apply, applied = notify.outcomes.apply, []
    def once(*of):
        os.kill(os.getpid(), signal.SIGKILL) if applied else applied.append(apply(*of))
    notify.outcomes.apply = once
books = [Journal.open(Path(state)) for state in job["states"]]
found = notify.deliver_outbox(books, Config(path=Path("/x"), channels=(Channel("hook", job["url"]),)), job["deadline"])
print(json.dumps([[one.message, one.ok, one.reason] for one in found]))
"""


class SlowService:
    """An HTTP service that takes a message at once, and says so only when it is let."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.let = threading.Event()
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.taken.append(body["title"])
                service.let.wait(20)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"json://127.0.0.1:{self._server.server_address[1]}/x?rto=15"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.let.set()
        self._server.shutdown()
        self._server.server_close()


def text(number: int = 1) -> Message:
    return Message(f"r1-{number}", "r1", "failure", "warning", f"message {number}", "Apache serves.\nmore")


def settler(state: Path, url: str, die: str = "", deadline: float = 20.0,
            also: tuple[Path, ...] = ()) -> subprocess.Popen:
    child = subprocess.Popen([sys.executable, "-c", _SETTLER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    job = {"states": [str(state), *map(str, also)], "url": url, "die": die, "deadline": deadline}
    child.stdin.write(json.dumps(job).encode() + b"\n")
    child.stdin.flush()
    return child


def end(child: subprocess.Popen) -> list:
    out = child.communicate(timeout=60)[0]
    return json.loads(out) if out.strip() else []


def until(true: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return true()


def deliver(book: Journal, url: str, *others: Journal) -> list[notify.Delivery]:
    return notify.deliver_outbox([book, *others], Config(path=Path("/x"), channels=(Channel("hook", url),)), 20.0)


@pytest.fixture()
def book(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal.open(tmp_path)) as opened:
        opened.add(text(), ["hook"], 1)
        yield opened


@pytest.fixture()
def service() -> Iterator[SlowService]:
    with closing(SlowService()) as one:
        yield one


def test_a_settler_killed_between_intent_and_sending_is_a_possible_repeat(book: Journal) -> None:
    with closing(Webhook()) as hook:
        settler(book.directory, hook.url(), die="before").communicate(timeout=30)
        assert not hook.received
        assert [one.ok for one in deliver(book, hook.url())] == [True]
        assert [one.title for one in hook.received] == ["message 1 (possible repeat)"]
        assert "possible repeat, id r1-1" in hook.received[0].text


def test_a_settler_and_its_deliverer_killed_in_the_act_are_a_possible_repeat(book: Journal, service: SlowService) -> None:
    child = settler(book.directory, service.url)
    until(lambda: service.taken)
    for pid in [*descendants_of(child.pid), child.pid]:
        os.kill(pid, signal.SIGKILL)
    child.communicate(timeout=30)
    service.let.set()
    assert [one.ok for one in deliver(book, service.url)] == [True]
    assert service.taken == ["message 1", "message 1 (possible repeat)"]


def test_a_settler_killed_alone_loses_nothing_since_its_deliverer_finishes(book: Journal, service: SlowService) -> None:
    child = settler(book.directory, service.url)
    until(lambda: service.taken)
    deliverer = [pid for pid in children_of(child.pid) if "certbot_guard.notify" in arguments_of(pid)]
    child.kill()
    child.communicate(timeout=30)
    with book.lease("hook") as lease:
        assert lease is None  # the sender lives: nobody else may send the same now
    service.let.set()
    until(lambda: not any(arguments_of(pid) for pid in deliverer))
    assert deliver(book, service.url) == []
    assert service.taken == ["message 1"] and not book.channels_waiting()
    assert not list(book.directory.glob("outcomes-*"))


def test_a_settler_killed_between_sending_and_outcome_does_not_send_again(book: Journal) -> None:
    with closing(Webhook()) as hook:
        settler(book.directory, hook.url(), die="after").communicate(timeout=30)
        assert len(hook.wait(1)) == 1
        deliver(book, hook.url())
        assert len(hook.received) == 1 and not book.channels_waiting()


@pytest.mark.parametrize("die", ["after", "between"])
@pytest.mark.parametrize("first", [True, False], ids=["older in the first", "older in the second"])
def test_nor_are_messages_in_two_journals_in_doubt_for_that(book: Journal, tmp_path: Path, first: bool, die: str) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    with closing(Webhook()) as hook, closing(Journal.open(tmp_path / "run")) as other:
        book.sent("r1-1", "hook", book.sending("r1-1", "hook"))
        for number, journal in enumerate([book, other] if first else [other, book], start=2):
            journal.add(text(number), ["hook"], number)
        settler(book.directory, hook.url(), die=die, also=(other.directory,)).communicate(timeout=30)
        assert len(hook.wait(2)) == 2
        assert deliver(book, hook.url(), other) == []
        assert [one.title for one in hook.received] == ["message 2", "message 3"]
        assert not list(tmp_path.rglob("outcomes-*"))


def test_two_settlers_at_once_send_once(book: Journal, service: SlowService) -> None:
    first = settler(book.directory, service.url)
    until(lambda: service.taken)
    second = settler(book.directory, service.url)
    service.let.set()
    assert end(first) == [["r1-1", True, ""]] and end(second) == []
    assert service.taken == ["message 1"]


def test_a_message_added_while_another_process_sends_goes_out_all_the_same(book: Journal, service: SlowService) -> None:
    first = settler(book.directory, service.url)
    until(lambda: service.taken)
    book.add(text(2), ["hook"], 2)
    second = settler(book.directory, service.url)
    time.sleep(0.5)
    service.let.set()
    found = end(first) + end(second)
    assert sorted(found) == [["r1-1", True, ""], ["r1-2", True, ""]]
    assert service.taken == ["message 1", "message 2"]


def test_many_settlers_and_many_messages_deliver_each_once_in_order(book: Journal) -> None:
    with closing(Webhook()) as hook:
        for number in range(2, 6):
            book.add(text(number), ["hook"], number)
        for one in [settler(book.directory, hook.url()) for _ in range(4)]:
            end(one)
        assert [one.title for one in hook.received] == [f"message {number}" for number in range(1, 6)]


def test_a_frozen_sender_is_waited_for_no_longer_than_the_deadline(book: Journal, service: SlowService) -> None:
    child = settler(book.directory, service.url)
    until(lambda: service.taken)
    everyone = [child.pid, *descendants_of(child.pid)]
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    assert notify.deliver_outbox([book], Config(path=Path("/x"), channels=(Channel("hook", service.url),)), 2.0) == []
    assert time.monotonic() - began < 10
    for pid in everyone:
        os.kill(pid, signal.SIGKILL)
    child.communicate(timeout=30)
