"""Delivery when somebody is killed in the act, when two settle at once, and what can be seen of it from outside.

The settler is a process of its own here, as it is in life, so that it can be killed.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Optional

import pytest

from certbot_guard import notify
from certbot_guard.config import Channel, Config
from certbot_guard.journal import FILE, Journal
from certbot_guard.message import Message
from tests.support import processes
from tests.support.mailbox import Mailbox
from tests.support.webhook import Webhook

SECRET = "hunter2-S3cr3tTokenInPath"
RUN = "20261124T021530Z-0000abcd"
# What settle does. Settings come on standard input: no secret in an argument here either.
_SETTLER = """
import json, sys
from pathlib import Path
from certbot_guard import notify
from certbot_guard.config import Channel, Config
from certbot_guard.journal import Journal
job = json.load(sys.stdin)
settings = Config(Path("/x"), channels=tuple(Channel(name, url) for name, url in job["channels"]))
print("ready", flush=True)
found = notify.deliver_outbox([Journal.open(Path(job["state"]))], settings, job["seconds"])
print(json.dumps([[one.channel, one.message, one.ok, one.reason] for one in found]), flush=True)
"""


def text(number: int = 1, **more: str) -> Message:
    fields = {"event": "failure", "severity": "warning", "title": f"WARNING web1: news {number}",
              "body": f"Apache serves.\nnews {number} in full", **more}
    return Message(f"{RUN}-{number}", RUN, **fields)


def config(*pairs: tuple[str, str]) -> Config:
    return Config(Path("/etc/letsencrypt/guard.ini"), channels=tuple(Channel(name, url) for name, url in pairs))


def deliver(book: Journal, settings: Config, seconds: float = 20.0) -> dict[str, bool]:
    return {one.channel: one.ok for one in notify.deliver_outbox([book], settings, seconds)}


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Journal]:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    with closing(Journal.open(state)) as opened:
        yield opened


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with closing(Webhook()) as one:
        yield one


@pytest.fixture
def good() -> Iterator[Webhook]:
    with closing(Webhook()) as one:
        yield one


@pytest.fixture
def mail() -> Iterator[Mailbox]:
    with closing(Mailbox()) as box:
        yield box


def settler(book: Journal, settings: Config, seconds: float = 6.0) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-I", "-c", _SETTLER], cwd="/", stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps({"state": str(book.directory), "seconds": seconds, "channels": [
        [one.name, one.url] for one in settings.channels]}).encode())
    process.stdin.close()
    process.stdin = None
    assert process.stdout.readline() == b"ready\n"
    return process


def ended(process: subprocess.Popen) -> None:
    process.communicate(timeout=30)


def kill(process: subprocess.Popen) -> None:
    process.kill()
    ended(process)


def senders(book: Journal) -> list[int]:
    """Every deliverer and sender of this state directory that runs now: each has a file there to write to."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            links = [os.readlink(f"/proc/{name}/fd/{number}") for number in os.listdir(f"/proc/{name}/fd")]
            if "certbot_guard.notify" in processes.arguments_of(int(name)) and any(
                    link.startswith(f"{book.directory}/outcomes-") for link in links):
                found.append(int(name))
        except OSError:
            continue
    return [pid for pid in found if processes.is_alive(pid)]


def kill_senders(book: Journal) -> None:
    for pid in senders(book):
        processes.send(pid, signal.SIGKILL)
    assert not processes.wait_gone(lambda: senders(book), 5.0)


def until_connected(server: Webhook) -> None:
    processes.wait_for(lambda: server.connections, 15.0, "nobody connected")


def outcome_written(book: Journal) -> object:
    assert book.directory is not None
    return any('"ok": true' in path.read_text() for path in book.directory.glob("outcomes-*"))


# -- killed in the act -----------------------------------------------------------------------------------------------


def test_with_all_of_them_killed_the_message_goes_again_under_its_id_as_a_possible_repeat(
        book: Journal, hook: Webhook) -> None:
    settings = config(("hook", hook.apprise_url))
    book.add(text(), ["hook"], 1)
    hook.hang()
    process = settler(book, settings)
    until_connected(hook)
    kill(process)
    kill_senders(book)
    hook.heal()
    assert deliver(book, settings) == {"hook": True}
    (found,) = hook.wait(1)
    assert found.title == "WARNING web1: news 1 (possible repeat)"
    assert f"id {RUN}-1" in found.text and found.text.startswith("Apache serves.\n")
    assert deliver(book, settings) == {} and book.channels_waiting() == []


def test_killed_between_the_intent_and_the_deliverer_it_goes_again(book: Journal, hook: Webhook) -> None:
    """The intent is on disk, and nothing was sent: nobody can know that, so it is marked."""
    book.add(text(), ["hook"], 1)
    book.sending(text().id, "hook")
    assert deliver(book, config(("hook", hook.apprise_url))) == {"hook": True}
    assert hook.wait(1)[0].title.endswith("(possible repeat)")


def test_with_the_settler_killed_the_deliverer_goes_on_and_its_outcomes_are_believed(
        book: Journal, hook: Webhook, good: Webhook) -> None:
    settings = config(("hook", hook.apprise_url), ("good", good.apprise_url))
    book.add(text(), ["hook", "good"], 1)
    hook.hang()
    process = settler(book, settings)
    until_connected(hook)
    kill(process)
    assert senders(book), "it goes on without its settler"
    good.wait(1)
    assert not processes.wait_gone(lambda: senders(book), 12.0), "until its own deadline"
    hook.heal()
    assert deliver(book, settings) == {"hook": True}
    assert hook.wait(1)[0].title.endswith("(possible repeat)"), "no answer came in time"
    good.stays_at(1, 0.3)
    assert book.channels_waiting() == [] and not list(book.directory.glob("outcomes-*"))


def test_what_is_known_to_have_gone_out_does_not_go_again_though_everybody_was_killed(
        book: Journal, hook: Webhook, good: Webhook) -> None:
    settings = config(("hook", hook.apprise_url), ("good", good.apprise_url))
    book.add(text(), ["hook", "good"], 1)
    hook.hang()
    process = settler(book, settings)
    processes.wait_for(lambda: outcome_written(book), 15.0, "the good channel's outcome was not written")
    kill(process)
    kill_senders(book)
    hook.heal()
    assert deliver(book, settings) == {"hook": True}
    good.stays_at(1, 0.3)
    assert book.channels_waiting() == []


def test_a_killed_sender_is_in_doubt_and_the_other_channel_s_is_not(book: Journal, hook: Webhook, good: Webhook) -> None:
    settings = config(("hook", hook.apprise_url), ("good", good.apprise_url))
    book.add(text(), ["hook", "good"], 1)
    hook.hang()
    process = settler(book, settings)
    processes.wait_for(lambda: outcome_written(book), 15.0, "the good channel's outcome was not written")
    until_connected(hook)
    kill_senders(book)
    said, _ = process.communicate(timeout=10)
    assert {row[0]: row[2] for row in json.loads(said)} == {"hook": False, "good": True}
    assert book.waiting("hook")[0].possible_repeat and book.waiting("good") == []


def test_a_hang_up_without_a_settler_ends_at_the_deadline(book: Journal, hook: Webhook) -> None:
    book.add(text(), ["hook"], 1)
    hook.drip()
    process = settler(book, config(("hook", hook.apprise_url)), 3.0)
    until_connected(hook)
    kill(process)
    assert senders(book)
    assert not processes.wait_gone(lambda: senders(book), 7.0)


# -- two at once -----------------------------------------------------------------------------------------------------


def test_two_settlers_at_once_send_each_message_once_in_order(book: Journal, mail: Mailbox, hook: Webhook) -> None:
    settings = config(("mail", mail.apprise_url), ("hook", hook.apprise_url))
    for number in (1, 2):
        book.add(text(number), ["mail", "hook"], number)
    for process in [settler(book, settings, 20.0) for _ in range(3)]:
        ended(process)
    assert [one.subject for one in mail.stays_at(2, 0.2)] == [text(1).title, text(2).title]
    assert [one.title for one in hook.stays_at(2, 0.1)] == [text(1).title, text(2).title]


def test_a_second_settler_waits_for_a_sender_that_is_still_at_it(book: Journal, hook: Webhook) -> None:
    settings = config(("hook", hook.apprise_url))
    book.add(text(1), ["hook"], 1)
    hook.hang()
    first = settler(book, settings, 3.0)
    until_connected(hook)
    book.add(text(2), ["hook"], 2)
    kill(first)  # its deliverer lives on, and holds the channel
    second = settler(book, settings, 10.0)
    assert not processes.wait_gone(lambda: [pid for pid in senders(book) if pid not in processes.descendants_of(
        second.pid)], 7.0)
    hook.heal()
    ended(second)
    if book.channels_waiting():  # the second one may have met the hanging server once more
        deliver(book, settings)
    assert [one.title.replace(" (possible repeat)", "") for one in hook.stays_at(2, 0.2)] == [
        text(1).title, text(2).title]
    assert book.channels_waiting() == []


def test_what_comes_while_a_channel_fails_does_not_overtake_what_failed(book: Journal, hook: Webhook) -> None:
    settings = config(("hook", hook.apprise_url))
    book.add(text(1), ["hook"], 1)
    hook.hang()
    first = settler(book, settings, 2.5)
    until_connected(hook)
    book.add(text(2), ["hook"], 2)
    said, _ = first.communicate(timeout=15)
    assert [row[1][-1] for row in json.loads(said)] == ["1"], "no second time-out for a channel that is down"
    hook.heal()
    deliver(book, settings)
    assert [one.title.replace(" (possible repeat)", "") for one in hook.wait(2)] == [text(1).title, text(2).title]


def test_many_channels_that_hang_take_no_longer_than_one_and_delay_nobody(book: Journal, hook: Webhook,
                                                                         good: Webhook) -> None:
    hook.hang()
    pairs = [(f"hang{number}", hook.url(str(number))) for number in range(12)] + [("good", good.apprise_url)]
    book.add(text(), [name for name, _ in pairs], 1)
    process = settler(book, config(*pairs), 4.0)
    good.wait(1, 3.9)
    assert process.poll() is None
    said, _ = process.communicate(timeout=8)
    assert [row[0] for row in json.loads(said) if row[2]] == ["good"]
    assert senders(book) == []


# -- what can be seen from outside ------------------------------------------------------------------------------------


def test_no_secret_of_any_channel_is_seen_though_servers_quote_it(book: Journal, mail: Mailbox, hook: Webhook,
                                                                  good: Webhook) -> None:
    mail.reject(f"554 5.7.1 bad login {SECRET}")
    hook.fail()
    good.drip()
    settings = config(("email", mail.url("user", SECRET)), ("hook", hook.url(SECRET, f"?+X-Key={SECRET}")),
                      ("drip", good.url(SECRET)), ("typo", f"slck://{SECRET}/b/c"), ("slack", f"slack://{SECRET}"))
    book.add(text(), [one.name for one in settings.channels], 1)
    process = settler(book, settings, 5.0)
    until_connected(good)
    seen = b""
    for pid in [process.pid, *senders(book)]:
        for what in ("cmdline", "environ"):
            try:
                seen += Path("/proc", str(pid), what).read_bytes()
            except OSError:  # it has just ended
                pass
    said, _ = process.communicate(timeout=20)
    seen += said + b"".join(path.read_bytes() for path in book.directory.iterdir())
    with closing(sqlite3.connect(book.directory / FILE)) as database:
        rows = database.execute("SELECT channel, reason FROM outbox").fetchall()
    assert len(rows) == 5 and all(reason for _, reason in rows), "each says why"
    assert SECRET.encode() not in seen and SECRET not in repr(rows) + repr(settings)


def test_the_reason_says_what_to_look_at(book: Journal, hook: Webhook) -> None:
    hook.fail(403)
    book.add(text(), ["hook"], 1)
    (found,) = notify.deliver_outbox([book], config(("hook", hook.url(SECRET))))
    assert "403" in found.reason


HOSTILE = "x\r\nBcc: everybody@evil.example\r\nSubject: forged\r\n\r\n<script>\x1b[31m\x00 @everyone \u202e"


def test_a_message_that_was_never_cleaned_injects_no_header(book: Journal, mail: Mailbox, hook: Webhook) -> None:
    """compose() cleans every text; this one comes from a database that somebody else has written to."""
    book.add(text(title=HOSTILE, body=HOSTILE * 20 + "y" * 100_000), ["mail", "hook"], 1)
    assert deliver(book, config(("mail", mail.apprise_url), ("hook", hook.apprise_url))) == {"mail": True, "hook": True}
    (arrived,) = mail.wait(1)
    assert arrived.message["Bcc"] is None and len(arrived.message.get_all("Subject")) == 1
    assert arrived.subject.startswith("x Bcc:") and arrived.recipients == ["ops@guard.test"]
    (found,) = hook.wait(1)
    for said in (arrived.subject, arrived.text, found.title, found.text):
        assert not set(said) & set("<>\x1b\x00\u202e@")
    assert "\n" not in found.title


# -- who sends -------------------------------------------------------------------------------------------------------


def uids_of_senders(book: Journal, hook: Webhook) -> set[int]:
    """The uids of all who are at work while a service hangs."""
    book.add(text(), ["hook"], 1)
    hook.hang()
    process = settler(book, config(("hook", hook.apprise_url)), 4.0)
    try:
        until_connected(hook)
        return {int(Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[0]) for pid in senders(book)}
    finally:
        ended(process)


def readable_for_all(*paths: str) -> bool:
    def readable(path: Path) -> bool:
        return bool(path.stat().st_mode & 0o004) and all(one.stat().st_mode & 0o001 for one in path.parents)

    return all(readable(Path(path).resolve()) for path in paths)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give up")
def test_who_talks_to_a_service_is_nobody_where_that_is_possible(book: Journal, hook: Webhook, mail: Mailbox) -> None:
    import apprise

    possible = readable_for_all(os.__file__, apprise.__file__, notify.__file__)
    expected = {0, pwd.getpwnam("nobody").pw_uid} if possible else {0}
    assert uids_of_senders(book, hook) == expected, "the sender, and the deliverer that waits for it"
    book.add(text(2), ["mail"], 2)
    assert deliver(book, config(("mail", mail.apprise_url))) == {"mail": True}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give up")
def test_it_stays_root_where_only_root_can_read_the_ca_bundle(book: Journal, hook: Webhook, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch(0o600)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    assert uids_of_senders(book, hook) == {0}


# -- no channel at all -----------------------------------------------------------------------------------------------


def test_without_a_channel_the_system_log_is_told_and_says_what_to_do(book: Journal) -> None:
    if os.geteuid() != 0 or os.path.lexists("/dev/log"):
        pytest.skip("the test would have to take the place of this machine's own system log")
    news = text(severity="critical", body="Apache is DOWN.\n\nNot renewed: example.com")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as log:
        log.bind("/dev/log")
        os.chmod("/dev/log", 0o666)  # as a system log is: a sender is nobody
        try:
            book.add(news, [taker.name for taker in notify.takers(config())], 1)
            assert deliver(book, config()) == {notify.SYSLOG: True}
            rows = list(iter(lambda: _received(log), None))
        finally:
            os.unlink("/dev/log")
    assert any(news.title in row for row in rows) and any("Not renewed: example.com" in row for row in rows)
    assert all(row.startswith("<26>") and "certbot-guard[" in row for row in rows), "daemon.crit"
    assert "[notify]" in rows[-1] and "guard.ini" in rows[-1]


def _received(log: socket.socket) -> Optional[str]:
    log.settimeout(0.2)
    try:
        return log.recv(4096).decode()
    except socket.timeout:
        return None
