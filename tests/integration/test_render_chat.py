"""What chats, phones and programs are sent, by Apprise's own plugins; and what is said when they do not take it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from certbot_guard import notify
from certbot_guard.config import Channel, Config
from certbot_guard.message import Message
from certbot_guard.notify import Delivery
from tests.support.authority import Authority
from tests.support.samples import DIGEST, DOWN, OUTAGE_OF_THE_CA, RECOVERY, Sample
from tests.support.slack import HttpsServices
from tests.support.webhook import Webhook

TOKEN = "TIiajkdnlazkcOXrIdevi7FQ"
WEBHOOK = f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}/#ops"
BOT = "slack://xoxb-1234567890-1234567890-4ddtest7e44ffef0e4b90fd/#ops"
DISCORD = f"discord://4174216298/{TOKEN}_js"
TELEGRAM = f"tgram://123456789:AABBcc{TOKEN}/12315544/?image=no"
TWILIO = f"twilio://AC{'a' * 32}:{'b' * 32}@15551234567/15557654321"
SECRETS = (TOKEN, "xoxb-1234567890", "4ddtest7e44ffef0e4b90fd", "A1BRTD4JD", "a" * 32, "b" * 32, "123456789:AA")


def send(url: str, sample: Sample = OUTAGE_OF_THE_CA) -> Delivery:
    one = Message("20261124T041500Z-0000abcd-4", "r1", sample.event, sample.severity, sample.title, sample.body)
    (found,) = notify.AppriseNotifier(Config(Path("/x"), channels=(Channel("chat", url),))).deliver([("chat", one)], 20.0)
    assert not any(secret in found.reason for secret in SECRETS), found.reason
    return found


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpsServices]:
    tmp_path.chmod(0o755)
    with closing(HttpsServices(tmp_path)) as one:
        monkeypatch.setenv("HTTPS_PROXY", one.proxy)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(one.bundle))
        yield one


def arrived(services: HttpsServices, url: str, sample: Sample = OUTAGE_OF_THE_CA) -> dict:
    found = send(url, sample)
    assert found.ok, found.reason
    (document,) = services.received
    return document


@pytest.mark.parametrize("url", [WEBHOOK, BOT], ids=["webhook", "bot"])
def test_slack_shows_labels_code_and_our_addresses(services: HttpsServices, url: str) -> None:
    (attachment,) = arrived(services, url)["attachments"]
    assert attachment["title"] == OUTAGE_OF_THE_CA.title
    assert attachment["text"].startswith("*Apache serves. It was not stopped in this run.*\n\n*Not renewed:* example.com (")
    assert "*What to do:* Nothing now: " in attachment["text"] and " https://letsencrypt.status.io/\n" in attachment["text"]
    assert "```\n2026-11-24 04:15:01,312:DEBUG:acme.client:Sending GET" in attachment["text"]


def test_slack_shows_names_with_markup_in_them(services: HttpsServices) -> None:
    (attachment,) = arrived(services, WEBHOOK, DIGEST)["attachments"]
    assert "`_intern.example.org`, `*.example.org`, blog.example.net" in attachment["text"]


def test_slack_that_was_told_to_be_plain_gets_the_master(services: HttpsServices) -> None:
    document = arrived(services, WEBHOOK + "?format=text")
    assert document["attachments"][0]["text"].split() == OUTAGE_OF_THE_CA.body.split() and document["mrkdwn"] is False


def test_discord_gets_its_own_bold_within_its_limit(services: HttpsServices) -> None:
    long = DOWN._replace(body=DOWN.body + "\n\nDetails\n" + "\n".join(f"  | line {n}" for n in range(300)))
    content = arrived(services, DISCORD, long)["content"].replace("\r", "")
    assert content.startswith(f"**{DOWN.title}**\n**Apache is DOWN. It has not been serving since 2026-11-24 04:15 UTC")
    assert "```\nAH02565: Certificate and private key *.shop_old.example.com:443:0 from" in content
    assert "`http://example.com/.well-known/acme-challenge/x`" in content  # no preview of it
    assert len(content) <= 2000 and content.count("```") % 2 == 0
    assert content.splitlines()[-1] == "(The rest did not fit here. It is in /var/log/letsencrypt/letsencrypt.log on web1)"


def test_telegram_gets_its_own_html(services: HttpsServices) -> None:
    document = arrived(services, TELEGRAM, DOWN)
    assert document["parse_mode"] == "HTML"
    assert document["text"].startswith(f"<b>{DOWN.title}</b>\n<b>Apache is DOWN. It has not been serving since 2026-11-24 04:15 UTC")
    assert "\n<b>Why:</b> The CA asked example.com for the challenge's file" in document["text"]
    assert "<code>AH02565: Certificate and private key *.shop_old.example.com:443:0 from" in document["text"]


def test_an_sms_is_the_title_and_the_first_line(services: HttpsServices) -> None:
    body = arrived(services, TWILIO)["Body"]
    assert body == f"{OUTAGE_OF_THE_CA.title}\nApache serves. It was not stopped in this run." and len(body) <= 160


def test_ntfy_and_json_get_the_master() -> None:
    with closing(Webhook()) as hook:
        assert send(f"ntfy://127.0.0.1:{hook.port}/guard", RECOVERY).ok
        assert send(hook.apprise_url, DIGEST).ok
        first, second = hook.wait(2)
    assert RECOVERY.body in (first.document or {}).get("message", first.body.decode())
    assert (second.title, second.text) == (DIGEST.title, DIGEST.body)


# -- when it is not taken --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status, expected", [
    (401, "make a new one"), (403, "make a new one"), (404, "the webhook or channel was removed"),
    (410, "the webhook or channel was removed: make a new one"), (429, "no more messages for now"),
    (500, "the trouble is at that service"), (503, "the trouble is at that service"),
])
@pytest.mark.parametrize("name, url", [("Slack", WEBHOOK), ("Telegram", TELEGRAM)])
def test_an_http_status_is_said_with_what_to_do(services: HttpsServices, name: str, url: str, status: int,
                                               expected: str) -> None:
    services.answer(status, json.dumps({"description": f"quoting {TOKEN}"}).encode())
    found = send(url)
    assert not found.ok and f"HTTP {status} from {name}" in found.reason and expected in found.reason


def test_a_bot_s_token_that_is_not_accepted_is_said(services: HttpsServices) -> None:
    services.answer(200, b'{"ok": false, "error": "invalid_auth"}')
    found = send(BOT)
    assert not found.ok and "the token in the URL is not accepted: make a new one" in found.reason


def test_a_service_that_cannot_be_trusted_is_said(services: HttpsServices, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(Authority("somebody else").certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stranger))
    found = send(WEBHOOK)
    assert not found.ok and "the TLS certificate of hooks.slack.com is not trusted here" in found.reason
    assert services.requests == []


def test_a_proxy_that_is_not_there_is_said(services: HttpsServices) -> None:
    services.close()
    found = send(WEBHOOK)
    assert not found.ok and "the proxy (HTTPS_PROXY)" in found.reason


def test_a_service_that_closes_or_hangs_is_named() -> None:
    with closing(Webhook()) as hook:
        hook.refuse()
        assert "127.0.0.1 refuses the connection" in send(hook.apprise_url).reason
        hook.hang()
        assert "127.0.0.1 did not answer in time" in send(hook.apprise_url).reason


# -- no secret, though servers quote it ------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [WEBHOOK, BOT, DISCORD, TELEGRAM, TWILIO],
                         ids=["webhook", "bot", "discord", "telegram", "sms"])
@pytest.mark.parametrize("trouble", ["quotes", "refuses", "is not trusted"])
def test_no_reason_holds_a_secret(services: HttpsServices, url: str, trouble: str, tmp_path: Path,
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    if trouble == "quotes":
        services.answer(400, json.dumps({"error": url, "description": url, "message": " ".join(SECRETS)}).encode())
    elif trouble == "refuses":
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    else:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "service.pem"))
    found = send(url)  # send() looks for each of SECRETS
    assert not found.ok and 20 < len(found.reason) <= 300
