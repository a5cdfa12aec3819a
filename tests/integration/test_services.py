"""Messages to URLs made from plain answers, through the product's own deliverer: what arrives is what was answered."""

from __future__ import annotations

import base64
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from certbot_guard import notify, services
from certbot_guard.config import Channel, Config
from certbot_guard.message import Message
from certbot_guard.notify import Delivery
from tests.support.authority import Authority
from tests.support.mailbox import Mailbox
from tests.support.webhook import Webhook

PASSWORDS = ["%41%25 a#b@c:d/e?f&g+h;i,j", " '\"\\`~!$^*()=[]{}|<> "]


def url(name: str, **answers: str) -> str:
    service = services.by_name(name)
    assert service is not None
    return service.url({key.rstrip("_"): value for key, value in answers.items()})


def send(**urls: str) -> list[Delivery]:
    channels = tuple(Channel(name, one) for name, one in urls.items())
    message = Message("20261124T041500Z-0000abcd-4", "r1", "failure", "warning", "WARNING web1: news", "Apache serves.")
    return notify.AppriseNotifier(Config(Path("/x"), channels=channels)).deliver(
        [(name, message) for name in urls], 20.0)




@pytest.mark.parametrize("password", PASSWORDS)
def test_the_mail_server_gets_the_password_as_it_was_typed(password: str) -> None:
    with closing(Mailbox(login=("guard user", password))) as box:
        (found,) = send(mail=url("email", host="127.0.0.1", port=str(box.port), security="plain", user="guard user",
                                 password=password, from_="web1@guard.test", to="ops@guard.test, me@guard.test"))
        assert found.ok, found.reason
        assert set(box.logins) == {("guard user", password)}
        assert sorted(to for mail in box.wait(1) for to in mail.recipients) == ["me@guard.test", "ops@guard.test"]
        assert "web1@guard.test" in str(box.messages[0].message["From"])


def test_starttls_is_used_where_it_was_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority()
    (tmp_path / "bundle.pem").write_bytes(authority.certificate)
    tmp_path.chmod(0o755)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.pem"))
    with closing(Mailbox.secure(tmp_path, authority, ("guard", PASSWORDS[0]))) as box:
        (found,) = send(mail=url("email", host="localhost", port=str(box.port), security="starttls", user="guard",
                                 password=PASSWORDS[0], from_="web1@guard.test", to="ops@guard.test"))
        assert found.ok, found.reason
        assert box.logins == [("guard", PASSWORDS[0])]  # the mailbox takes none before TLS


@pytest.mark.parametrize("password", PASSWORDS)
def test_web_servers_get_the_login_and_the_path_as_they_were_typed(password: str) -> None:
    login = {"user": "guard user", "password": password}
    with ExitStack() as stack:
        hooks = {name: stack.enter_context(closing(Webhook())) for name in ("webhook", "ntfy", "apprise")}
        at = {name: f"http://127.0.0.1:{one.port}" for name, one in hooks.items()}
        found = send(webhook=url("webhook", hook=f"{at['webhook']}/a/b?x=%2541%20b%26c&y=1", **login),
                     ntfy=url("ntfy", server=at["ntfy"], topic="web1_news", **login),
                     apprise=url("apprise", server=f"{at['apprise']}/sub", key="abc-DEF_1", **login))
        assert [one.channel for one in found if not one.ok] == []
        got = {name: one.wait(1) for name, one in hooks.items()}
    for name, deliveries in got.items():
        assert len(deliveries) == 1, name
        kind, _, given = deliveries[0].headers["Authorization"].partition(" ")
        assert (kind, base64.b64decode(given).decode()) == ("Basic", f"guard user:{password}"), name
    assert got["webhook"][0].path == "/a/b?x=%2541+b%26c&y=1"
    assert got["ntfy"][0].document["topic"] == "web1_news"
    assert got["apprise"][0].path == "/sub/notify/abc-DEF_1"


def test_tokens_arrive_where_the_service_looks_for_them() -> None:
    with ExitStack() as stack:
        hooks = {name: stack.enter_context(closing(Webhook())) for name in ("webhook", "ntfy", "gotify", "mattermost")}
        at = {name: f"http://127.0.0.1:{one.port}" for name, one in hooks.items()}
        found = send(webhook=url("webhook", hook=f"{at['webhook']}/a", token="a%41#b@c:d/e?f&g+h"),
                     ntfy=url("ntfy", server=at["ntfy"], topic="web1", token="tk_abcdefghijkl"),
                     gotify=url("gotify", server=f"{at['gotify']}/sub", token="A.b-c_12345"),
                     mattermost=url("mattermost", hook=f"{at['mattermost']}/team/hooks/abc123", channel="town-square"))
        assert [one.channel for one in found if not one.ok] == []
        got = {name: one.wait(1)[0] for name, one in hooks.items()}
    assert got["webhook"].headers["Authorization"] == "Bearer a%41#b@c:d/e?f&g+h"
    assert services.refusal(url("ntfy", server=at["ntfy"], topic="web1", token="tk_abcdefghijkl")) or \
        got["ntfy"].headers["Authorization"] == "Bearer tk_abcdefghijkl"
    assert (got["gotify"].path, got["gotify"].headers["X-Gotify-Key"]) == ("/sub/message", "A.b-c_12345")
    assert got["mattermost"].path == "/team/hooks/abc123" and got["mattermost"].document["channel"] == "town-square"
