"""The mail as it arrives: both parts, over STARTTLS and a login; and what is said when it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apprise
import pytest

from certbot_guard import notify
from certbot_guard.config import Channel, Config
from certbot_guard.message import Message
from certbot_guard.notify import Delivery
from tests.support.authority import Authority
from tests.support.mailbox import Mailbox
from tests.support.ports import free_port
from tests.support.samples import ALL, DIGEST, OUTAGE_OF_THE_CA, Sample

USER, PASSWORD = "a-mailbox-user", "hunter2-S3cr3t"
# Apprise 1.x does not look at a mail server's certificate (facts: fixed by 1.12).
VERIFIES = tuple(int(part) for part in apprise.__version__.split(".")[:2]) >= (1, 12)


def send(url: str, sample: Sample = OUTAGE_OF_THE_CA) -> Delivery:
    one = Message("20261124T041500Z-0000abcd-4", "r1", sample.event, sample.severity, sample.title, sample.body)
    (found,) = notify.AppriseNotifier(Config(Path("/x"), channels=(Channel("mail", url),))).deliver([("mail", one)], 20.0)
    assert PASSWORD not in found.reason and USER not in found.reason
    return found


def lines(one: str) -> list[str]:
    return [" ".join(line.split()) for line in one.strip().splitlines()]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority()
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(made.certificate)
    tmp_path.chmod(0o755)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    return made


@pytest.fixture
def mailbox(tmp_path: Path, authority: Authority) -> Iterator[Mailbox]:
    with closing(Mailbox.secure(tmp_path, authority, (USER, PASSWORD))) as box:
        yield box


@pytest.mark.parametrize("name", ALL)
def test_both_parts_arrive_over_starttls_and_read_like_the_master(name: str, mailbox: Mailbox) -> None:
    found = send(mailbox.secure_url(USER, PASSWORD), ALL[name])
    assert found.ok, found.reason
    (mail,) = mailbox.wait(1)
    assert mailbox.logins[0] == (USER, PASSWORD)
    assert mail.message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.message.iter_parts()] == ["text/plain", "text/html"]
    assert mail.subject == ALL[name].title and lines(mail.text) == lines(ALL[name].body)
    assert mail.html.startswith("<!DOCTYPE html>") and mail.html.rstrip().endswith("</html>")
    assert "<strong>Log:</strong>" in mail.html


def test_a_user_who_asked_for_text_gets_text_alone(mailbox: Mailbox) -> None:
    assert send(mailbox.secure_url(USER, PASSWORD) + "&format=text", DIGEST).ok
    (mail,) = mailbox.wait(1)
    assert mail.message.get_content_type() == "text/plain" and mail.text.split() == DIGEST.body.split()
    assert [line.rstrip() for line in mail.text.strip().splitlines()] == DIGEST.body.splitlines()


def test_a_body_at_its_limit_arrives_whole(mailbox: Mailbox) -> None:
    long = OUTAGE_OF_THE_CA._replace(body=OUTAGE_OF_THE_CA.body + "\n" + "\n".join(f"  | line {n}" for n in range(1500)))
    assert send(mailbox.secure_url(USER, PASSWORD), long).ok
    (mail,) = mailbox.wait(1)
    assert mail.html.rstrip().endswith("</html>") and "The rest did not fit here." in mail.text.splitlines()[-1]


def test_a_refused_login_says_so_with_the_server_s_reply(mailbox: Mailbox) -> None:
    found = send(mailbox.secure_url(USER, "wrong-" + PASSWORD))
    assert not found.ok and found.reason.startswith("the login was refused: check user and password in the URL (")
    assert "535" in found.reason and mailbox.messages == []


def test_a_mail_server_that_wants_a_login_says_so(mailbox: Mailbox) -> None:
    found = send(mailbox.secure_url())
    assert not found.ok and "wants a login" in found.reason and "530" in found.reason


@pytest.mark.skipif(not VERIFIES, reason="this Apprise does not look at a mail server's certificate")
def test_a_certificate_that_is_not_trusted_gets_no_password(mailbox: Mailbox, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(Authority("somebody else").certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(stranger))
    found = send(mailbox.secure_url(USER, PASSWORD))
    assert not found.ok and "the TLS certificate of localhost is not trusted here" in found.reason
    assert mailbox.logins == [] and mailbox.messages == []


@pytest.mark.skipif(not VERIFIES, reason="this Apprise does not look at a mail server's certificate")
@pytest.mark.parametrize("options, expected", [
    ({"days_left": -3}, "the TLS certificate of localhost has expired"),
    ({"names": ("elsewhere.example",)}, "the TLS certificate of localhost is for another name"),
], ids=["expired", "another name"])
def test_what_is_wrong_with_a_certificate_is_said(tmp_path: Path, authority: Authority, options: dict, expected: str) -> None:
    with closing(Mailbox.secure(tmp_path, authority, **options)) as box:
        found = send(box.secure_url())
    assert not found.ok and expected in found.reason


@pytest.mark.parametrize("reply, expected", [
    ("550 5.1.1 no such user here", "the mailbox was refused: check from= and to= in the URL"),
    ("552 5.3.4 message too big", "the message is too large"),
    ("451 4.7.1 greylisted, come back", "the mail server takes it later"),
    ("554 5.7.1 we do not like you", "the mail server refused the message"),
])
def test_a_refusal_is_explained_and_quoted(mailbox: Mailbox, reply: str, expected: str) -> None:
    mailbox.reject(reply)
    found = send(mailbox.secure_url(USER, PASSWORD))
    assert not found.ok and expected in found.reason and reply in found.reason


def test_a_server_that_is_not_there_is_named() -> None:
    found = send(f"mailto://127.0.0.1:{free_port()}?from=a@b.example&to=c@d.example")
    assert not found.ok and "127.0.0.1 refuses the connection" in found.reason


def test_a_server_without_starttls_is_named() -> None:
    with closing(Mailbox()) as box:
        found = send(box.secure_url())
    assert not found.ok and "localhost offers no STARTTLS" in found.reason


def test_a_name_that_does_not_exist_is_named() -> None:
    found = send("mailto://nowhere.guard.invalid?from=a@b.example&to=c@d.example&smtp=nowhere.guard.invalid")
    assert not found.ok and "the name nowhere.guard.invalid was not found" in found.reason
