"""Text from a stranger harms nobody on its way to people, and what is secret in guard.ini is found nowhere else."""

from __future__ import annotations

import base64
import os
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.support.context import Context
from tests.support.faulty_ca import problem
from tests.support.mailbox import Mail, Mailbox
from tests.support.slack import Slack
from tests.support.webhook import Webhook

NAME = "one.guard.test"
HARM = ("<", ">", "\x1b", "\x00", "\u202e", "@U1", "@everyone", "](http")
HOSTILE = ("<script>alert(1)</script> <!channel> <!here> <@U1> @U1 @everyone <https://evil.example|click> "
           "[click](https://evil.example)\r\nBcc: victim@guard.test\r\nSubject: all is well\r\n\r\n"
           "<b>another body</b>\r\n.\r\nMAIL FROM:<x> \x1b[2J\x1b[31m \x00 \u202e ")
LONG = HOSTILE + "x" * 100_000 + HOSTILE
SLACK_URL = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops"


# -- a stranger's text -----------------------------------------------------------------------------------------------


@pytest.fixture
def webhook(context: Context) -> Webhook:
    made = Webhook()
    context.cleanup(made.close)
    return made


@pytest.fixture
def slack(context: Context) -> Slack:
    made = Slack(context.directory, context.authority)
    context.cleanup(made.close)
    return made


def _order(context: Context) -> None:
    inner = [{"type": HOSTILE, "detail": HOSTILE, "identifier": {"type": "dns", "value": HOSTILE}}] * 40
    context.ca.answer("new-order", problem(403, f"urn:ietf:params:acme:error:{HOSTILE}", LONG, subproblems=inner))


def _challenge(context: Context) -> None:
    context.ca.invalid_challenge(NAME, LONG, HOSTILE)


def _directory(context: Context) -> None:
    context.ca.answer("directory", problem(503, "serverInternal", LONG))


@pytest.mark.parametrize("fault", [
    pytest.param(_order, id="of an order", marks=pytest.mark.core),
    pytest.param(_challenge, id="of a challenge"),
    pytest.param(_directory, id="of the directory")])
def test_the_detail_of_an_acme_problem_does_no_harm_in_mail_slack_and_json(
        context: Context, webhook: Webhook, slack: Slack, fault: Callable[[Context], None]) -> None:
    context.obtain(NAME)
    context.guard_ini(channels={"mail": context.mailbox.apprise_url, "html": context.mailbox.url(more="&format=html"),
                                "json": webhook.apprise_url, "slack": SLACK_URL})
    context.apache.start()
    fault(context)
    run = context.renew(env={"HTTPS_PROXY": slack.proxy, "NO_PROXY": "127.0.0.1"})
    assert run.returncode == 1
    context.wait_settled()
    for mail in context.mailbox.stays_at(2, seconds=0.3):
        assert_harmless_mail(mail)
    delivery, = webhook.stays_at(1, seconds=0.1)
    assert_harmless_texts(delivery.document)
    assert "\n" not in delivery.title and "script" in delivery.text and "evil.example" in delivery.text
    received, = slack.received
    assert_harmless_texts(received)
    assert "script" in str(received) and "Apache serves" in str(received)


def assert_harmless_mail(mail: Mail) -> None:
    head = mail.raw.replace(b"\r\n", b"\n").partition(b"\n\n")[0].lower()
    assert b"bcc" not in head and b"victim" not in head
    assert mail.recipients == ["ops@guard.test"] and mail.message.get_all("To") == ["ops@guard.test"]
    assert len(mail.message.get_all("Subject")) == 1 and NAME in mail.subject and len(mail.subject) < 250
    assert not mail.message.defects and len(mail.raw) < 120_000
    assert_harmless_text(mail.subject)
    said = [part for part in mail.message.walk() if part.get_content_maintype() == "text"]
    assert said and all(not part.defects for part in said)
    for part in said:
        assert_harmless_part(part)
    assert "script" in mail.text and "Apache serves" in mail.text


def assert_harmless_part(part: EmailMessage) -> None:
    text = part.get_content()
    if part.get_content_type() == "text/plain":
        assert_harmless_text(text)
    else:
        for harm in ("<script", "<!channel", "<@", "<b>", "<x>", 'href="', "\x1b", "\x00"):
            assert harm not in text, harm
    assert not any(line.lower().startswith(("bcc:", "mail from", "subject:")) for line in text.splitlines())


def assert_harmless_text(text: str) -> None:
    for harm in HARM:
        assert harm not in text, repr(harm)


def assert_harmless_texts(document: Any) -> None:
    """In each string of a JSON document."""
    if isinstance(document, dict):
        for value in document.values():
            assert_harmless_texts(value)
    elif isinstance(document, list):
        for value in document:
            assert_harmless_texts(value)
    elif isinstance(document, str):
        assert_harmless_text(document)
        assert len(document) < 60_000


# -- our own secrets -------------------------------------------------------------------------------------------------

# One word of each secret stands in it however it is quoted; base64, which servers are sent, is looked for as well.
MAIL_PASSWORD, DEAD_PASSWORD = "p/ss MailQ7zV1 +&", "D3adQ7zV2#pw"
WORDS = ("MailQ7zV1", "D3adQ7zV2", "hookQ7zV3", "userQ7zV4", "headerQ7zV5", "queryQ7zV6", "hangQ7zV7", "typoQ7zV8",
         "noNameQ7zV9", "sectionQ7zV10", "bracketQ7zV11", "fileQ7zV12", "slackQ7zV13")
_ENCODED = (MAIL_PASSWORD, DEAD_PASSWORD, f"\0robot\0{MAIL_PASSWORD}", f"\0robot\0{DEAD_PASSWORD}", "admin:userQ7zV4")
SECRETS = (*WORDS, *(base64.b64encode(secret.encode()).decode() for secret in _ENCODED))


class Channels:
    """Good ones and bad ones, each with a secret in its URL; one quotes the password it was given."""

    def __init__(self, context: Context) -> None:
        self.good, self.failing, self.hanging, self.listed = Webhook(), Webhook(), Webhook(), Webhook()
        self.rejecting = Mailbox()
        for one in (self.good, self.failing, self.hanging, self.listed, self.rejecting):
            context.cleanup(one.close)
        self.failing.fail(500)
        self.hanging.hang()
        self.rejecting.reject(f"554 5.7.1 no mail with the password {DEAD_PASSWORD} today")
        apprise_config = context.directory / "apprise.txt"
        apprise_config.write_text(f"{self.listed.url('fileQ7zV12')}\nnothing://fileQ7zV12\n")
        apprise_config.chmod(0o600)
        self.files = [context.ini, apprise_config]
        context.guard_ini(channels={
            "mail": context.mailbox.url("robot", MAIL_PASSWORD),
            "dead": self.rejecting.url("robot", DEAD_PASSWORD),
            "good": f"json://admin:userQ7zV4@127.0.0.1:{self.good.port}/hookQ7zV3?+X-Auth=headerQ7zV5&-k=queryQ7zV6",
            "failing": f"json://admin:userQ7zV4@127.0.0.1:{self.failing.port}/hookQ7zV3?+X-Auth=headerQ7zV5",
            "hanging": self.hanging.url("hangQ7zV7"),
            "typo": f"jsom://127.0.0.1:{self.good.port}/typoQ7zV8",
            "bracket": "mailtos://robot:bracketQ7zV11@[::1",
            "refused": "slack://slackQ7zV13/A1BRTD4JD/short/#ops",
            "apprise_config": str(apprise_config),
        }, more="[mailto://robot:sectionQ7zV10@127.0.0.1]\n[notify]\nmailto://robot:noNameQ7zV9@127.0.0.1?to=x@y.z\n")


def files_with_a_secret(context: Context) -> set[Path]:
    """Below the test's own directory (state, logs, output, renewal configurations) and the machine's two."""
    places = (context.directory, Path("/var/lib/certbot-guard"), Path("/run/certbot-guard"))
    return {path for place in places for path in place.rglob("*") if path.is_file() and _has_secret(path)}


def _has_secret(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return any(secret.encode() in content for secret in SECRETS)


def process_texts() -> Iterator[str]:
    """What everybody on the machine can see of each process, and what it was given as its environment."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        if int(entry) == os.getpid():
            continue
        for what in ("cmdline", "environ", "comm"):
            try:
                yield Path("/proc", entry, what).read_bytes().decode("utf-8", "replace")
            except OSError:
                break


def secrets_in(*texts: str) -> list[str]:
    return [secret for secret in SECRETS if any(secret in text for text in texts)]


@pytest.mark.core
def test_no_secret_of_a_channel_is_found_anywhere_but_in_its_own_file(context: Context) -> None:
    channels = Channels(context)
    context.obtain(NAME)
    context.apache.start()
    context.ca.invalid_challenge(NAME, "no such page")
    run = context.renew("-vv", "--debug", wait=False)
    while run.running and not channels.hanging.connections:
        assert not secrets_in(*process_texts())
    assert channels.hanging.connections, run.output
    for _ in range(5):  # with the message on its way to each channel
        assert not secrets_in(*process_texts())
    channels.hanging.heal()
    channels.hanging.fail(500)
    run.wait()
    again = context.guard("recover")
    context.wait_settled()

    assert run.returncode == 1 and again.returncode == 0
    assert ("robot", MAIL_PASSWORD) in context.mailbox.logins
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    delivered = channels.good.received + channels.listed.received
    assert len(delivered) == 2 and channels.failing.attempts and channels.rejecting.attempts
    assert delivered[0].headers["X-Auth"] == "headerQ7zV5"
    assert not secrets_in(mail.raw.decode("utf-8", "replace"), mail.text, mail.subject,
                          *(one.body.decode("utf-8", "replace") for one in delivered))
    assert not secrets_in(run.output, again.output, context.home.log())
    assert files_with_a_secret(context) == set(channels.files)
