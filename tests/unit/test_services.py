"""Plain answers become an Apprise URL from which Apprise itself reads the same; a bad answer says what to write.

What a service's object calls its fields is Apprise's business and differs by version: FIELDS names them.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, Callable

import apprise
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certbot_guard import services, urls
from certbot_guard.inifile import is_url
from certbot_guard.services import AnswerError

VERSION = tuple(int(part) for part in apprise.__version__.split(".")[:2])
# 1.2.0 (Debian 12) knows no workflows:// and no token for ntfy, 1.9.0 none for Matrix: said where they are chosen.
MODERN, NEWEST = VERSION >= (1, 9), VERSION >= (2, 2)
HOSTILE = ["a%b", "%41", "%2541%", "x#y", "p@ss", "a:b:c", "sl/ash/", "q?u=e&s=t", "a b  c", " ends ", "+plus+",
           "a;b,c", "back\\slash", "'\"`", "http://x/", "[::1]", "=", "~!$^*()_-{}|<>.", "%", "@", ":", "/", "://"]
SLACK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
FLOW = ("https://prod-12.westeurope.logic.azure.com:443/workflows/643e69f83c8944/triggers/manual/paths/invoke"
        "?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=KODuebWbDGYFr0z0eu-ab_c")
NEW_FLOW = ("https://defaultabc.12.environment.api.powerplatform.com:443/powerautomate/automations/direct/workflows/"
            "643e69f83c8944/triggers/manual/paths/invoke?api-version=1&sp=%2Frun&sv=1.0&sig=KODuebWbDGYFr0z0eu-ab_c")
ANSWERS: dict[str, dict[str, str]] = {
    "email": {"host": "smtp.example.com", "security": "starttls", "port": "2525", "user": "guard@example.com",
              "password": "secret", "from": "web1@example.com", "to": "ops@example.com, me@example.org"},
    "gmail": {"user": "guard@gmail.com", "password": "abcd efgh ijkl mnop", "to": "ops@example.com"},
    "slack": {"key": SLACK, "channel": "#ops"},
    "msteams": {"hook": FLOW},
    "discord": {"hook": "https://discord.com/api/webhooks/123456/abc-_DEF?wait=true"},
    "googlechat": {"hook": "https://chat.googleapis.com/v1/spaces/AAAA-b/messages?key=AIza-_x&token=abc-_%3D%3D"},
    "mattermost": {"hook": "https://mm.example.com:8065/team/hooks/abcdefghij0123456789klmnop",
                   "channel": "town-square"},
    "matrix": {"host": "matrix.example.com", "user": "guard", "password": "secret", "room": "#ops:example.com"},
    "telegram": {"token": "123456789:AAF-abcdefghijklmnopqrstuv_wxyz012", "chat": "-1001234567890"},
    "ntfy": {"server": "https://push.example.com:8443", "topic": "web1_news", "user": "guard", "password": "secret"},
    "gotify": {"server": "http://push.example.com/sub", "token": "A.b_c-d12345"},
    "pushover": {"user": "u" * 30, "token": "a" * 30},
    "signal": {"server": "http://localhost:8080", "from": "+49 170 1234567", "to": "+491701234568, +491701234569",
               "user": "guard", "password": "secret"},
    "twilio": {"sid": "AC" + "a1" * 16, "token": "0f" * 16, "from": "+15551234567", "to": "+15551234568"},
    "pagerduty": {"key": "a1B2" * 8, "region": "eu"},
    "opsgenie": {"key": "12345678-1234-1234-1234-123456789012", "region": "eu", "team": "web-ops"},
    "webhook": {"hook": "https://hooks.example.com:444/a/b?x=1%2B1&y=a%20b", "user": "guard", "password": "secret"},
    "apprise": {"server": "https://push.example.com/sub", "key": "abc-DEF_1", "tags": "ops", "user": "guard",
                "password": "secret"},
}
# What Apprise holds, as (what it should be, from the tidied answers; what it is).
FIELDS: dict[str, Callable[[Any, dict[str, str]], list[tuple[Any, Any]]]] = {
    "email": lambda one, a: [(a["host"], one.smtp_host), (int(a["port"]), one.port), (a["user"], one.user),
                             (a["password"], one.password), ("starttls", one.secure_mode), (True, one.secure),
                             (a["from"], one.from_addr[1] if not isinstance(one.from_addr, str) else one.from_addr),
                             (a["to"].split(","), [address for _, address in one.targets])],
    "gmail": lambda one, a: [("smtp.gmail.com", one.smtp_host), (587, one.port), (a["user"], one.user),
                             (a["password"], one.password), ("starttls", one.secure_mode)],
    "slack": lambda one, a: [(["T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnlazkcOXrIdevi7FQ"],
                              [one.token_a, one.token_b, one.token_c]), (["#" + a["channel"]], list(one.channels))],
    "msteams": lambda one, a: [("prod-12.westeurope.logic.azure.com", one.host), (443, one.port),
                               ("643e69f83c8944", one.workflow), ("KODuebWbDGYFr0z0eu-ab_c", one.signature),
                               ("2016-06-01", one.api_version)],
    "discord": lambda one, a: [("123456", one.webhook_id), ("abc-_DEF", one.webhook_token)],
    "googlechat": lambda one, a: [("AAAA-b", one.workspace), ("AIza-_x", one.webhook_key),
                                  ("abc-_==", one.webhook_token)],
    "mattermost": lambda one, a: [("mm.example.com", one.host), (8065, one.port), ("/team", one.fullpath.rstrip("/")),
                                  ("abcdefghij0123456789klmnop", one.token), (True, a["channel"] in str(
                                      getattr(one, "targets", None) or getattr(one, "channels", None)))],
    "matrix": lambda one, a: [(a["host"], one.host), (a["user"], one.user), (a["password"], one.password),
                              ([a["room"]], list(one.rooms)), (True, one.secure)],
    "telegram": lambda one, a: [(a["token"], one.bot_token), (True, a["chat"].lstrip("@") in str(one.targets))],
    "ntfy": lambda one, a: [("push.example.com", one.host), (8443, one.port), (True, one.secure),
                            ([a["topic"]], list(one.topics)), (a["user"], one.user), (a["password"], one.password)],
    "gotify": lambda one, a: [("push.example.com", one.host), (False, one.secure), ("/sub/", one.fullpath),
                              (a["token"], one.token)],
    "pushover": lambda one, a: [(a["user"], one.user_key), (a["token"], one.token)],
    "signal": lambda one, a: [("localhost", one.host), (8080, one.port), (a["from"], one.source),
                              (a["to"].split(","), list(one.targets)), (a["user"], one.user),
                              (a["password"], one.password)],
    "twilio": lambda one, a: [(a["sid"], one.account_sid), (a["token"], one.auth_token), (a["from"], one.source),
                              (True, a["to"] in str(one.targets))],
    "pagerduty": lambda one, a: [(a["key"], one.integration_key), ("eu", one.region_name),
                                 ("certbot-guard", one.source)],
    "opsgenie": lambda one, a: [(a["key"], one.apikey), ("eu", one.region_name), (a["team"], one.targets[0]["name"])],
    "webhook": lambda one, a: [("hooks.example.com", one.host), (444, one.port), ("/a/b", one.fullpath),
                               ({"x": "1+1", "y": "a b"}, dict(one.params)), (a["user"], one.user),
                               (a["password"], one.password)],
    "apprise": lambda one, a: [("push.example.com", one.host), ("sub", one.fullpath.strip("/")), (a["key"], one.token),
                               (a["user"], one.user), (a["password"], one.password)],
}
NAMES = [one.name for one in services.SERVICES]
# Where any secret is one: the service has no alphabet of its own for it.
FREE = [("email", "user"), ("email", "password"), ("matrix", "password"), ("ntfy", "user"), ("ntfy", "password"),
        ("signal", "password"), ("webhook", "user"), ("webhook", "password"), ("apprise", "password")]


def service(name: str) -> services.Service:
    found = services.by_name(name)
    assert found is not None
    return found


def question(name: str, key: str) -> services.Question:
    return next(one for one in service(name).questions if one.key == key)


def tidied(name: str, answers: dict[str, str]) -> dict[str, str]:
    return {one.key: one.cleaned(answers.get(one.key, "")) for one in service(name).questions}


def holds(name: str, answers: dict[str, str]) -> None:
    url = service(name).url(answers)
    assert is_url(url) and url.isascii() and not re.search(r"\s", url)
    if name == "msteams" and not MODERN:
        assert f"this is Apprise {apprise.__version__}" in services.refusal(url)
        return
    one = apprise.Apprise.instantiate(url)
    assert one is not None, f"{name}: Apprise does not take it"
    for wanted, found in FIELDS[name](one, tidied(name, answers)):
        assert found == wanted


@pytest.mark.parametrize("name", NAMES)
def test_apprise_reads_the_answers_from_the_url_and_takes_it(name: str) -> None:
    holds(name, ANSWERS[name])
    if name != "msteams" or MODERN:
        assert services.refusal(service(name).url(ANSWERS[name])) == ""


@pytest.mark.parametrize("name, key", FREE)
def test_any_password_comes_through_as_it_is(name: str, key: str) -> None:
    for text in HOSTILE:
        holds(name, {**ANSWERS[name], key: text})


def test_a_matrix_password_may_be_in_any_script() -> None:
    holds("matrix", {**ANSWERS["matrix"], "password": "Füße €パス"})


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(text=st.one_of(st.sampled_from(HOSTILE), st.text(st.sampled_from(
    list("ab1%#@:/?&+ ;,\\'\"=[]~é€\u2028\x00\r\n\t.-_")), max_size=25), st.text(max_size=12)))
def test_an_answer_is_refused_or_comes_through_as_it_is(name: str, text: str) -> None:
    for one in service(name).questions:
        answers = {**ANSWERS[name], one.key: text}
        try:
            url = service(name).url(answers)
        except ValueError:
            continue
        assert is_url(url) and url.isascii()
        if one.key in ANSWERS[name] and one.secret and text.strip():
            holds(name, answers)


@pytest.mark.parametrize("name", NAMES)
def test_a_refusal_says_what_to_write_and_quotes_nothing(name: str) -> None:
    for one in service(name).questions:
        for bad in ("hunter2 Sesame\n", "http://hunter2.Sesame[/", "hunter2\x00Sesame", "hunter2Sesame" * 400,
                    "ÿhunter2 é"):
            try:
                one.check(bad)
            except ValueError as error:
                assert "hunter2" not in str(error) and "Sesame" not in str(error) and len(str(error)) > 8


@pytest.mark.parametrize("name", NAMES)
def test_what_is_needed_is_asked_for(name: str) -> None:
    for one in service(name).questions:
        if not (one.optional or one.default):
            with pytest.raises(AnswerError) as caught:
                service(name).url({**ANSWERS[name], one.key: "  "})
            assert caught.value.key == one.key


@pytest.mark.parametrize("name", NAMES)
def test_pasting_brings_spaces_and_quotes_that_are_no_part_of_a_token(name: str) -> None:
    plain = service(name).url(ANSWERS[name])
    passwords = [key for who, key in FREE if who == name]
    for before, behind in ((" ", "\t"), ('"', '"'), ("<", ">"), (" '", "' ")):
        wrapped = {key: before + value + behind if key not in passwords and question(name, key).secret else value
                   for key, value in ANSWERS[name].items()}
        assert service(name).url(wrapped) == plain


@pytest.mark.parametrize("changes, schema, port, mode", [
    ({"port": "", "security": "starttls"}, "mailtos", 587, "starttls"),
    ({"port": "", "security": "TLS"}, "mailtos", 465, "ssl"),
    ({"port": "", "security": "plain", "user": "", "password": ""}, "mailto", 25, "plain"),
    ({"port": "25", "security": ""}, "mailtos", 25, "starttls"),
    # Known domains: Apprise has servers, ports and logins of its own for them.
    ({"port": "", "security": "tls", "user": "guard", "host": "smtp.office365.com"}, "mailtos", 465, "ssl"),
    ({"port": "", "security": "starttls", "user": "guard@example.com", "host": "yandex.com"}, "mailtos", 587,
     "starttls"),
])
def test_mail_goes_to_the_server_named_in_the_way_named(changes: dict[str, str], schema: str, port: int,
                                                        mode: str) -> None:
    answers = {**ANSWERS["email"], **changes}
    url = service("email").url(answers)
    one = apprise.Apprise.instantiate(url)
    assert url.startswith(schema + "://")
    assert (one.smtp_host, one.port, one.user or "") == (answers["host"], port, answers["user"])
    # 1.2.0 has no mode for mail without TLS: it looks at ``secure`` first, as the others do.
    assert (one.secure_mode if one.secure else "plain") == mode


def test_mail_from_nobody_in_particular_is_from_the_user() -> None:
    url = service("email").url({**ANSWERS["email"], "from": ""})
    assert "guard@example.com" in str(apprise.Apprise.instantiate(url).from_addr)
    with pytest.raises(AnswerError, match="mail address"):
        service("email").url({**ANSWERS["email"], "from": "", "user": "guard"})


@pytest.mark.parametrize("name, changes, key", [
    ("email", {"password": ""}, "password"), ("matrix", {"password": ""}, "token"),
    ("slack", {"key": "xoxb-1234-1234-4ddbc191d40ee098", "channel": ""}, "channel"),
    ("matrix", {"user": "", "password": ""}, "token"), ("ntfy", {"password": ""}, "password"),
    ("webhook", {"password": ""}, "password"), ("signal", {"password": ""}, "password"),
    ("apprise", {"password": ""}, "password"),
])
def test_answers_that_do_not_go_together_are_refused(name: str, changes: dict[str, str], key: str) -> None:
    with pytest.raises(AnswerError) as caught:
        service(name).url({**ANSWERS[name], **changes})
    assert caught.value.key == key


@pytest.mark.parametrize("name, changes", [
    ("matrix", {"token": "syt_abcdef"}), ("ntfy", {"token": "tk_abcdefghijkl"}), ("webhook", {"token": "abc"}),
    ("email", {"user": ""}), ("webhook", {"user": ""}), ("signal", {"user": ""}), ("apprise", {"user": ""}),
])
def test_an_answer_from_before_does_not_count_where_it_does_not_apply(name: str, changes: dict[str, str]) -> None:
    url = service(name).url({**ANSWERS[name], **changes})
    assert url == service(name).url({**ANSWERS[name], "user": "", "password": "", **changes})
    assert "secret" not in url


@pytest.mark.parametrize("name, key, text, says", [
    ("msteams", "hook", "https://example.webhook.office.com/webhookb2/a@b/IncomingWebhook/c/d", "retired"),
    ("slack", "key", "https://hooks.slack.com/triggers/T1/2/3", "hooks.slack.com/services/"),
    ("email", "password", "Füße", "ASCII"), ("ntfy", "password", "Füße", "ASCII"),
    ("email", "host", "https://mail.example.com/", "without https://"), ("email", "port", "70000", "65535"),
    ("email", "to", "ops", "mail addresses"), ("gmail", "password", "mein Passwort", "16 letters"),
    ("ntfy", "server", "https://push.example.com/ntfy", "without a path"),
    ("webhook", "hook", "https://user:secret@hooks.example.com/", "without user"),
    ("twilio", "from", "0170 1234567", "country's code"), ("telegram", "chat", "my chat", "@name"),
])
def test_what_people_get_wrong_is_named(name: str, key: str, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        question(name, key).check(text)


def test_a_name_in_another_script_goes_as_it_is_on_the_wire() -> None:
    assert question("email", "host").check("post.bücher.example") == "post.xn--bcher-kva.example"


@pytest.mark.parametrize("changes, channel", [
    ({"channel": ""}, None), ({"channel": "ops"}, "#ops"),
    ({"key": "xoxb-1234-1234-4ddbc191d40ee098", "channel": "#ops"}, "#ops"),
    ({"key": "xoxb-1234-1234-4ddbc191d40ee098", "channel": "C0123456789"}, "+C0123456789"),
])
def test_slack_takes_a_webhook_or_a_bot(changes: dict[str, str], channel: object) -> None:
    one = apprise.Apprise.instantiate(service("slack").url({**ANSWERS["slack"], **changes}))
    assert list(one.channels) == [channel]


def test_teams_new_addresses_are_taken_too() -> None:
    url = service("msteams").url({"hook": NEW_FLOW})
    one = apprise.Apprise.instantiate(url)
    if not hasattr(one, "power_automate"):
        assert f"Apprise {apprise.__version__}" in services.refusal(url)
        return
    assert (one.workflow, one.signature, one.power_automate) == ("643e69f83c8944", "KODuebWbDGYFr0z0eu-ab_c", True)


@pytest.mark.parametrize("name", ["ntfy", "matrix"])
def test_a_token_takes_the_place_of_a_login(name: str) -> None:
    token = "tk_abcdefghijklmnop" if name == "ntfy" else "syt_a.b-c~d=="
    url = service(name).url({**ANSWERS[name], "user": "", "password": "", "token": token})
    one = apprise.Apprise.instantiate(url)
    reason = services.refusal(url)
    if not NEWEST and reason:
        assert f"Apprise {apprise.__version__}" in reason and reason.endswith("or a newer Apprise")
    else:
        assert token in (getattr(one, "token", ""), getattr(one, "password", "")) and not one.user and reason == ""


# -- URLs that were typed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("url, says", [
    ("", "there is no URL"), (" json://h/", "spaces before or after"), ("json://h/\n", "line break"),
    ('"json://h/"', "quotes"), ("mail = json://h/", "behind its ="), ("h.example.com", "no Apprise URL"),
    ("mailtos://u:p w@h.example.com?from=a@example.com&to=b@example.com", "%20"), ("json://h/" + "x" * 4000, "4000"),
    (SLACK, "choose 'slack'"), (FLOW, "choose 'msteams'"), ("https://example.com/x", "'webhook'"),
    ("slak://T/B/C", "did you mean 'slack://'?"), ("qqqqqqqqqqqq://T/B/C", f"this is Apprise {apprise.__version__}"),
    ("json://[::1/", "Apprise does not accept"), ("mailtos://u:F%C3%BC@h.example.com?from=a@example.com", "ASCII"),
    ("json://u:%E2%82%AC@h.example.com/", "cannot be sent"), ("json://h/\ud800", "half a character"),
])
def test_a_url_that_cannot_be_used_is_explained(url: str, says: str) -> None:
    assert says in services.refusal(url)


@pytest.mark.parametrize("url", [
    "json://h.example.com/a%20b?x=%25#1", "mailto://127.0.0.1:99?from=a@b.example&to=c@d.example", "syslog://",
    "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops"])
def test_a_url_that_apprise_takes_is_taken(url: str) -> None:
    assert services.refusal(url) == ""


@pytest.mark.parametrize("url", [
    "slack://hunter2/Sesame/hunter2-Sesame", "mailtos://hunter2:Sesame@?to=Sesame", "discord://hunter2",
    "mailtos://u:hunter2@Sesame.example.com?mode=Sesame&from=a@example.com", "pover://hunter2@", "tgram://Sesame/1",
    "gotify://Sesame.example.com", "twilio://hunter2:Sesame@1/2", "json://hunter2:Sesame@[::1/", "'json://hunter2'",
    "x = json://hunter2/Sesame",
    "hunter2Sesame", "https://hunter2.example.com/Sesame", "opsgenie://hunter2 Sesame/", "json://hunter2/\x07Sesame",
])
def test_a_refusal_holds_no_part_of_the_url_and_nothing_is_logged(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    reason = services.refusal(url)
    assert reason and "hunter2" not in reason and "sesame" not in reason.lower()
    assert "hunter2" not in caplog.text and "Sesame" not in caplog.text


def test_what_apprise_says_is_left_out_where_it_quotes_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Apprise does not accept this URL: No such host Sesame.example.com"
    monkeypatch.setattr(urls, "refusal", lambda url: said)
    assert services.refusal("json://u:p@sesame.example.com/") == "Apprise does not accept this URL"
    assert services.refusal("json://u:p@other.guard.test/") == said


def test_a_url_that_is_taken_reaches_no_log_either(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(1, "apprise")
    assert services.refusal("json://u:hunter2@h.example.com/Sesame?+X=hunter2") == ""
    assert "hunter2" not in caplog.text and "Sesame" not in caplog.text


@pytest.mark.skipif(not NEWEST, reason="real old ones are looked at above")
@pytest.mark.parametrize("name, changes, without, says", [
    ("ntfy", {"user": "", "password": "", "token": "tk_abcdefghijkl"}, "token", "send ntfy no token"),
    ("matrix", {"user": "", "password": "", "token": "syt_abcdef"}, "password", "no access token for Matrix"),
    ("msteams", {"hook": NEW_FLOW}, "power_automate", "newer Apprise"),
])
def test_what_an_old_apprise_would_take_and_not_send_is_refused(
        name: str, changes: dict[str, str], without: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Apprise 1.2.0 does: it drops what it does not know."""
    url = service(name).url({**ANSWERS[name], **changes})
    found = apprise.Apprise.instantiate(url)
    assert services.refusal(url) == ""
    delattr(found, without)
    monkeypatch.setattr(apprise.Apprise, "instantiate", staticmethod(lambda *_, **__: found))
    assert says in services.refusal(url)


# -- the documentation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_has_the_questions_and_a_url_of_that_kind(name: str) -> None:
    one = service(name)
    page = (Path(__file__).parents[2] / "docs" / "channels.md").read_text("utf-8")
    lines = [f"### {one.name}: {one.title}", "", one.help, ""]
    for asked in one.questions:
        facts = (("not shown while it is typed", asked.secret), ("optional", asked.optional),
                 (f"default {asked.default}", asked.default))
        notes = [note for note, so in facts if so]
        lines.append(f"- {asked.words}" + (f" ({', '.join(notes)})" if notes else ""))
    begin = "\n".join([*lines, "", "The URL: `" + one.url(ANSWERS[name]).partition("://")[0].rstrip("s")])
    assert begin in page, begin
