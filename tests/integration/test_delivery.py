"""Messages through the real Apprise to a real mail server and a real HTTP receiver, some of them broken."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Union

import pytest

from certbot_guard import notify
from certbot_guard.config import Channel, Config
from certbot_guard.journal import Journal
from certbot_guard.message import Message
from tests.support import packages
from tests.support.composing import composed
from tests.support.mailbox import Mailbox
from tests.support.processes import marked
from tests.support.webhook import Webhook
from tests.unit.test_message_text import NASTY, acts_on_nothing

FAULTS = ["refuse", "hang", "500", "drip"]


def text(number: int = 1, body: str = "Apache serves.\nNot renewed: example.com") -> Message:
    return Message(f"r1-{number}", "r1", "failure", "warning", f"WARNING web1: message {number}", body)


def config(*channels: Channel, files: tuple[Path, ...] = ()) -> Config:
    return Config(path=Path("/nowhere/guard.ini"), channels=channels, apprise_configs=files)


@pytest.fixture()
def book(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path)
    yield opened
    opened.close()


@pytest.fixture()
def mail() -> Iterator[Mailbox]:
    with closing(Mailbox()) as box:
        yield box


@pytest.fixture()
def hook() -> Iterator[Webhook]:
    with closing(Webhook()) as one:
        yield one


@pytest.fixture()
def second_hook() -> Iterator[Webhook]:
    with closing(Webhook()) as one:
        yield one


def breaking(server: Union[Mailbox, Webhook], fault: str) -> None:
    actions = {"refuse": server.refuse, "hang": server.hang, "drip": server.drip,
               "500": server.reject if isinstance(server, Mailbox) else server.fail}
    actions[fault]()


def subjects(mail: Mailbox) -> list[str]:
    return [one.subject for one in mail.messages]


def titles(hook: Webhook) -> list[str]:
    return [one.title for one in hook.received]


def verdicts(found: list[notify.Delivery]) -> dict[str, bool]:
    return {one.channel: one.ok for one in found}


def test_every_channel_gets_every_message_once_in_order(book: Journal, mail: Mailbox, hook: Webhook) -> None:
    settings = config(Channel("mail", mail.apprise_url), Channel("hook", hook.apprise_url))
    for number in (1, 2, 3):
        book.add(text(number), ["mail", "hook"], number)
    found = notify.deliver_outbox([book], settings)
    assert len(found) == 6 and all(one.ok for one in found)
    assert subjects(mail) == titles(hook) == [text(number).title for number in (1, 2, 3)]
    assert "Not renewed: example.com" in mail.messages[0].text and hook.received[0].text == text().body
    assert hook.received[0].document["type"] == "warning" and "possible repeat" not in mail.messages[0].text
    assert notify.deliver_outbox([book], settings) == [] and len(mail.messages) == 3
    assert not list(book.directory.glob("outcomes-*"))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_channel_keeps_its_message_and_delays_no_other(fault: str, book: Journal, mail: Mailbox,
                                                                hook: Webhook) -> None:
    breaking(hook, fault)
    settings = config(Channel("hook", hook.apprise_url), Channel("mail", mail.apprise_url))
    for number in (1, 2):
        book.add(text(number), ["hook", "mail"], number)
    done: list[notify.Delivery] = []
    delivery = threading.Thread(target=lambda: done.extend(_deliver_elsewhere(book.directory, settings)))
    delivery.start()
    mail.wait(2)  # with the broken one still broken: nothing of it has been released
    if fault == "drip":
        assert not done
    delivery.join(30)
    assert subjects(mail) == [text(1).title, text(2).title]
    assert verdicts(done) == {"hook": False, "mail": True}
    assert [one.message.id for one in book.waiting("hook")] == ["r1-1", "r1-2"] and not book.waiting("mail")
    hook.heal()
    assert all(one.ok for one in notify.deliver_outbox([book], settings, 20.0))
    # the doubt is about the first one alone: the second one's turn never came
    marked = titles(hook)[0].endswith(" (possible repeat)")
    assert marked == (fault in ("hang", "drip"))
    assert [titles(hook)[0].replace(" (possible repeat)", ""), titles(hook)[1]] == [text(1).title, text(2).title]
    assert len(mail.messages) == len(hook.received) == 2


def _deliver_elsewhere(directory: Path, settings: Config) -> list[notify.Delivery]:
    """In a thread of the test: SQLite's connections belong to theirs."""
    own = Journal.open(directory)
    try:
        return notify.deliver_outbox([own], settings, 6.0)
    finally:
        own.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_mail_server_gets_it_later(fault: str, book: Journal, mail: Mailbox) -> None:
    breaking(mail, fault)
    settings = config(Channel("mail", mail.apprise_url))
    book.add(text(), ["mail"], 1)
    began = time.monotonic()
    found = notify.deliver_outbox([book], settings, 3.0)
    assert time.monotonic() - began < 10 and not found[0].ok and found[0].reason
    mail.heal()
    assert notify.deliver_outbox([book], settings, 20.0)[0].ok
    # where no answer came it may have been delivered; where it was refused it was not
    assert [one.endswith("(possible repeat)") for one in subjects(mail)] == [fault in ("hang", "drip")]


def test_all_channels_down_and_up_again_get_it_once_in_order(book: Journal, mail: Mailbox, hook: Webhook) -> None:
    mail.refuse()
    hook.fail(500)
    settings = config(Channel("mail", mail.apprise_url), Channel("hook", hook.apprise_url))
    for number in (1, 2):
        book.add(text(number), ["mail", "hook"], number)
        assert not any(one.ok for one in notify.deliver_outbox([book], settings))
    mail.heal()
    hook.heal()
    book.add(text(3), ["mail", "hook"], 3)
    assert all(one.ok for one in notify.deliver_outbox([book], settings))
    assert subjects(mail) == titles(hook) == [text(number).title for number in (1, 2, 3)]


def test_what_two_journals_hold_for_a_channel_goes_out_in_order(tmp_path: Path, mail: Mailbox) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = Journal.open(tmp_path / "a"), Journal.open(tmp_path / "b")
    second.add(text(1), ["mail"], 1)
    first.add(text(2), ["mail"], 2)
    notify.deliver_outbox([first, second], config(Channel("mail", mail.apprise_url)))
    assert subjects(mail) == [text(1).title, text(2).title]
    assert not first.channels_waiting() and not second.channels_waiting()


def test_a_database_in_memory_is_delivered_from_as_well(mail: Mailbox) -> None:
    book = Journal.in_memory()
    book.add(text(), ["mail"], 1)
    assert notify.deliver_outbox([book], config(Channel("mail", mail.apprise_url)))[0].ok


def test_an_apprise_file_is_a_channel_and_its_good_service_gets_it_once(book: Journal, mail: Mailbox, hook: Webhook,
                                                                        tmp_path: Path) -> None:
    hook.fail()
    file = tmp_path / "apprise.txt"
    file.write_text(f"{mail.apprise_url}\n{hook.apprise_url}\n")
    os.chmod(file, 0o600)
    settings = config(files=(file,))
    names = [taker.name for taker in notify.takers(settings)]
    book.add(text(), names, 1)
    assert verdicts(notify.deliver_outbox([book], settings)) == {names[0]: False}
    hook.heal()
    assert verdicts(notify.deliver_outbox([book], settings)) == {names[0]: True}
    assert len(mail.messages) == len(hook.received) == 1


def test_an_apprise_file_that_is_missing_fails_and_says_so(book: Journal, tmp_path: Path) -> None:
    settings = config(files=(tmp_path / "gone.yml",))
    book.add(text(), [taker.name for taker in notify.takers(settings)], 1)
    assert "cannot be read" in notify.deliver_outbox([book], settings)[0].reason


def test_a_channel_that_apprise_does_not_accept_fails_alone(book: Journal, mail: Mailbox) -> None:
    settings = config(Channel("bad", "nonsense://user:hunter22@host"), Channel("mail", mail.apprise_url))
    book.add(text(), ["bad", "mail"], 1)
    found = {one.channel: one for one in notify.deliver_outbox([book], settings)}
    assert found["mail"].ok and not found["bad"].ok and "hunter22" not in found["bad"].reason


@pytest.mark.parametrize("nasty", NASTY, ids=range(len(NASTY)))
def test_hostile_text_does_no_harm_in_mail_and_json(nasty: str, book: Journal, mail: Mailbox, hook: Webhook) -> None:
    now = datetime.now(timezone.utc)
    events = [{"n": 1, "kind": "lineage-failed", "lineage": nasty, "error": nasty, "context": [nasty], "acme": {
        "type": nasty, "detail": nasty, "subproblems": [{"identifier": nasty, "type": nasty, "detail": nasty}]}}]
    one = composed({"id": "r1", "host": nasty}, events, now, True, {nasty: now})
    settings = config(Channel("mail", mail.apprise_url), Channel("hook", hook.apprise_url))
    book.add(one, ["mail", "hook"], 1)
    assert all(found.ok for found in notify.deliver_outbox([book], settings))
    arrived = mail.messages[0]
    assert arrived.recipients == ["ops@guard.test"] and not {"bcc", "cc"} & {name.lower() for name in arrived.message}
    assert acts_on_nothing(arrived.subject) and acts_on_nothing(arrived.text.replace("\r", ""))
    assert acts_on_nothing(hook.received[0].title) and acts_on_nothing(hook.received[0].text.replace("\r", ""))
    assert b"<script" not in arrived.raw.lower()


SECRET = "hunter2-S3cr3tTokenInPath"


def test_no_secret_is_in_an_argument_a_reason_the_environment_or_the_database(book: Journal, hook: Webhook) -> None:
    hook.hang()
    settings = config(Channel("hook", hook.url(SECRET).replace("json://", f"json://user:{SECRET}@")))
    book.add(text(), ["hook"], 1)
    seen: list[bytes] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                for name in ("cmdline", "environ"):
                    try:
                        seen.append(Path("/proc", pid, name).read_bytes())
                    except OSError:
                        pass

    watcher = threading.Thread(target=watch)
    watcher.start()
    found = notify.deliver_outbox([book], settings, 3.0)
    ended.set()
    watcher.join()
    assert hook.connections and not found[0].ok and SECRET not in found[0].reason
    assert any(b"certbot_guard.notify" in one for one in seen)
    assert not any(SECRET.encode() in one for one in seen)
    for path in book.directory.iterdir():
        assert SECRET.encode() not in path.read_bytes()


def test_nothing_of_a_delivery_runs_on_after_its_deadline(book: Journal, hook: Webhook, second_hook: Webhook,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    mark = f"mark-{os.urandom(8).hex()}.example"
    monkeypatch.setitem(os.environ, "no_proxy", mark)  # its environment keeps this one
    hook.drip()
    second_hook.hang()
    settings = config(Channel("drip", hook.url("only-here")), Channel("hang", second_hook.url()))
    book.add(text(), ["drip", "hang"], 1)
    began = time.monotonic()
    found = notify.deliver_outbox([book], settings, 2.0)
    assert time.monotonic() - began < 8 and not any(one.ok for one in found)
    assert hook.connections and second_hook.connections and not marked(mark)


def test_a_proxy_from_the_environment_is_used_and_netrc_is_not(book: Journal, hook: Webhook, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / ".netrc").write_text("machine far.example login netrcuser password netrcsecret\n")
    os.chmod(tmp_path / ".netrc", 0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{hook.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    book.add(text(), ["far"], 1)
    assert notify.deliver_outbox([book], config(Channel("far", "json://far.example/x")))[0].ok
    arrived = hook.received[0]
    assert arrived.path.startswith("http://far.example") and "Authorization" not in arrived.headers


def test_a_hostile_current_directory_is_not_imported_from(book: Journal, mail: Mailbox, tmp_path: Path, monkeypatch) -> None:
    evil = tmp_path / "evil"
    evil.mkdir()
    for name in ("apprise.py", "json.py", "certbot_guard.py", "sitecustomize.py"):
        (evil / name).write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    monkeypatch.chdir(evil)
    monkeypatch.setenv("PYTHONPATH", str(evil))
    book.add(text(), ["mail"], 1)
    assert notify.deliver_outbox([book], config(Channel("mail", mail.apprise_url)))[0].ok
    assert not (tmp_path / "imported").exists()


def test_what_is_too_long_for_a_service_arrives_cut(book: Journal, hook: Webhook) -> None:
    # json takes 32,768 characters; the cut is Apprise's own, at each service's limit
    book.add(text(body="Apache serves.\n" + "x" * 60_000), ["hook"], 1)
    assert notify.deliver_outbox([book], config(Channel("hook", hook.apprise_url)))[0].ok
    assert hook.received[0].text.startswith("Apache serves.") and len(hook.received[0].text) <= 32_768


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
def test_what_talks_to_strangers_is_not_root(book: Journal, hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    if not packages.everybody_may_enter(Path(os.__file__), packages.ROOT, *packages.directories()):
        pytest.skip("this Python lies where only root may read: a sender stays root then")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    mark = f"mark-{os.urandom(8).hex()}.example"
    monkeypatch.setitem(os.environ, "no_proxy", mark)
    hook.hang()
    book.add(text(), ["hook"], 1)
    users: set[str] = set()

    def watch() -> None:
        while not hook.connections:
            time.sleep(0.05)
        for pid in marked(mark):
            users.add(Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    notify.deliver_outbox([book], config(Channel("hook", hook.apprise_url)), 3.0)
    watcher.join(10)
    assert users == {"0", "65534"}  # the parent of the senders, and the sender
