"""A stranger's text on its way to Slack: the real plugin of Apprise, through a proxy to a sink with Slack's names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from certbot_guard import message, notify
from certbot_guard.config import Channel, Config
from certbot_guard.journal import Journal
from tests.support.authority import Authority
from tests.support.composing import composed
from tests.support.slack import Slack

TOKEN = "TIiajkdnlazkcOXrIdevi7FQ"
WEBHOOK = f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}/#ops"
BOT = "slack://xoxb-1234567890-1234567890-4ddbc191d40ee098cbaae6f3523ada2d/#ops"
HOSTILE = "<!channel> <!here> <@U1> @U1 @everyone <https://evil.example|click> <script>x</script>\r\nBcc: x \x1b[31m \u202e"


@pytest.fixture
def slack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slack]:
    with closing(Slack(tmp_path)) as found:
        monkeypatch.setenv("HTTPS_PROXY", found.proxy)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(found.bundle))
        for name in ("https_proxy", "NO_PROXY", "no_proxy", "CURL_CA_BUNDLE", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield found


def hostile_message() -> message.Message:
    now = datetime.now(timezone.utc)
    events = [{"n": 1, "kind": "lineage", "lineage": HOSTILE, "names": [HOSTILE]},
              {"n": 2, "kind": "lineage-failed", "lineage": HOSTILE, "error": HOSTILE, "error_type": "Error",
               "context": [], "acme": {"type": "urn:ietf:params:acme:error:unauthorized", "detail": HOSTILE,
                                       "subproblems": [{"identifier": HOSTILE, "type": HOSTILE, "detail": HOSTILE}]}}]
    found = composed({"id": "20261124T021530Z-0000abcd", "host": "web1"}, events, now, True, {HOSTILE: now})
    assert found is not None
    return found


@pytest.mark.parametrize("url", [WEBHOOK, BOT], ids=["webhook", "bot"])
def test_a_stranger_s_text_mentions_nobody_and_arrives_once(tmp_path: Path, slack: Slack, url: str) -> None:
    settings = Config(Path("/x"), channels=(Channel("slack", url),))
    with closing(Journal.open(tmp_path)) as book:
        book.add(hostile_message(), ["slack"], 2)
        (found,) = notify.deliver_outbox([book], settings)
        assert found.ok, found.reason
        assert notify.deliver_outbox([book], settings) == [], "Apprise 1.2.0 says that it failed, though it did not"
    (received,) = slack.received
    assert slack.asked[0].startswith(("CONNECT hooks.slack.com:443", "CONNECT slack.com:443"))
    said = json.dumps(received, ensure_ascii=False)
    assert "Apache serves" in said and "urn:ietf:params:acme:error:unauthorized" in said
    for harm in ("<!", "<@", "@U1", "@everyone", "<http", "<script", "\\u001b", "\u202e", "\x1b"):
        assert harm not in said, harm


def test_a_slack_that_cannot_be_trusted_gets_nothing_and_the_reason_holds_no_token(tmp_path: Path, slack: Slack,
                                                                                   monkeypatch) -> None:
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(Authority("somebody else").certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stranger))
    with closing(Journal.open(tmp_path)) as book:
        book.add(hostile_message(), ["slack"], 2)
        (found,) = notify.deliver_outbox([book], Config(Path("/x"), channels=(Channel("slack", WEBHOOK),)))
    assert not found.ok and found.reason and TOKEN not in found.reason and slack.received == []
