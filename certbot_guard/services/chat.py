"""Rooms where people talk: Slack, Microsoft Teams, Discord, Google Chat, Mattermost, Matrix, Telegram."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from certbot_guard.services import answers as say
from certbot_guard.services.service import AnswerError, Question, Service

# -- Slack ---------------------------------------------------------------------------------------------------

# As Slack shows them: https://api.slack.com/messaging/webhooks. Apprise takes no other letters.
_SLACK_HOOK = r"https://hooks\.slack\.com/services/[A-Z0-9]+/[A-Z0-9]+/[A-Za-z0-9]+/?"
_SLACK_TOKEN = re.compile(r"xox[bp]-[A-Za-z0-9-]{5,250}", re.ASCII)


def _slack_key(text: str) -> str:
    tidied = say.unwrapped(text)
    if _SLACK_TOKEN.fullmatch(tidied):
        return tidied
    return say.web_address(_SLACK_HOOK, "the webhook's whole URL, https://hooks.slack.com/services/T.../B.../..., or a "
                                        "bot token that begins with xoxb-")(text)


def _slack_url(found: Mapping[str, str]) -> str:
    key, channel = found["key"], found["channel"]
    target = f"%23{channel}" if channel and not re.fullmatch("[CGD][A-Z0-9]{8,}", channel) else channel
    if key.startswith("xox"):
        if not channel:
            raise AnswerError("channel", "the channel that the bot writes to, such as #ops")
        # Apprise takes an ID for one only behind a plus sign.
        return f"slack://{key}/{target if target.startswith('%23') else '%2B' + target}"
    pieces = "/".join(urlsplit(key).path.strip("/").split("/")[1:])
    return f"slack://{pieces}" + (f"/{target if target.startswith('%23') else '%2B' + target}" if target else "")


def _slack_channel(text: str) -> str:
    return say.matching(r"[\w.-]{1,80}", "a channel, such as #ops")(say.unwrapped(text).lstrip("#"))


_SLACK = Service(
    "slack", "Slack",
    "Make an incoming webhook (https://api.slack.com/messaging/webhooks) and copy its URL, or take the bot token of an "
    "app that may write (chat:write) and has been invited to the channel.",
    (Question("key", "Webhook URL (https://hooks.slack.com/services/...) or bot token (xoxb-...)", _slack_key,
              secret=True),
     Question("channel", "Channel, such as #ops; for a webhook empty, since it has its own", _slack_channel,
              optional=True)),
    _slack_url)

# -- Microsoft Teams -----------------------------------------------------------------------------------------

_FLOW = re.compile(r"(?P<pa>/powerautomate/automations/direct(/cu/(?P<route>[0-9]+))?)?/workflows/"
                   r"(?P<id>[A-Za-z0-9_-]+)/triggers/[A-Za-z]+/paths/invoke/?", re.ASCII)
_FLOW_HOST = re.compile(r"[a-z0-9_.-]+\.(logic\.azure\.[a-z]{2,12}|(power|apps)platform(\.[a-z0-9-]{2,24}){1,3})",
                        re.ASCII)
_FLOW_WANTED = ("the whole URL that the workflow \"Post to a channel when a webhook request is received\" shows, from "
                "https:// to the end of sig=...")


def _teams_hook(text: str) -> str:
    tidied = say.unwrapped(text)
    parts = say.split(tidied)
    if parts is not None and (parts.hostname or "").endswith((".webhook.office.com", "outlook.office.com")):
        raise ValueError("a workflow's URL: Microsoft has retired the connectors, whose URLs were of this kind")
    if parts is None or parts.scheme != "https" or not _FLOW_HOST.fullmatch(parts.hostname or "") \
            or not _FLOW.fullmatch(parts.path) or not re.fullmatch("[A-Za-z0-9_-]+", _of_query(parts.query, "sig")):
        raise ValueError(_FLOW_WANTED)
    return tidied


def _teams_url(found: Mapping[str, str]) -> str:
    parts = urlsplit(found["hook"])
    match = _FLOW.fullmatch(parts.path)
    assert match is not None  # _teams_hook has seen it
    version = _of_query(parts.query, "api-version")
    more = {"ver": say.twice(version), "pa": "yes" if match["pa"] else "", "route": match["route"] or ""}
    at = f":{parts.port}" if parts.port else ""
    return f"workflows://{parts.hostname}{at}/{match['id']}/{_of_query(parts.query, 'sig')}/{say.query(more)}"


def _of_query(text: str, key: str) -> str:
    return parse_qs(text).get(key, [""])[0]


_TEAMS = Service(
    "msteams", "Microsoft Teams",
    "In the channel: Workflows, \"Post to a channel when a webhook request is received\"; copy the URL it shows at the "
    "end.",
    (Question("hook", "The workflow's URL (https://...logic.azure.com/... or ...powerplatform.com/...)", _teams_hook,
              secret=True),),
    _teams_url)

# -- Discord, Google Chat, Mattermost ------------------------------------------------------------------------

_DISCORD = Service(
    "discord", "Discord", "In the channel's settings: Integrations, Webhooks, New Webhook, Copy Webhook URL.",
    (Question("hook", "Webhook URL (https://discord.com/api/webhooks/...)", say.web_address(
        r"https://((ptb|canary)\.)?discord(app)?\.com/api(/v[0-9]+)?/webhooks/[0-9]+/[A-Za-z0-9_-]+/?",
        "the webhook's whole URL, https://discord.com/api/webhooks/.../..."), secret=True),),
    lambda found: "discord://" + "/".join(urlsplit(found["hook"]).path.strip("/").split("/")[-2:]) + "/")


def _google_hook(text: str) -> str:
    wanted = "the webhook's whole URL, https://chat.googleapis.com/v1/spaces/.../messages?key=...&token=..."
    tidied = say.web_address(r"https://chat\.googleapis\.com/v1/spaces/[\w-]+/messages", wanted)(text)
    query = urlsplit(tidied).query
    if not all(re.fullmatch(r"[\w=-]+", _of_query(query, key), re.ASCII) for key in ("key", "token")):
        raise ValueError(wanted)
    return tidied


def _google_url(found: Mapping[str, str]) -> str:
    parts = urlsplit(found["hook"])
    return "gchat://" + "/".join([parts.path.split("/")[3], *(
        say.quoted(_of_query(parts.query, key)) for key in ("key", "token"))]) + "/"


_GOOGLE = Service(
    "googlechat", "Google Chat", "In the space: Apps & integrations, Webhooks, Add webhook; copy its URL.",
    (Question("hook", "Webhook URL (https://chat.googleapis.com/v1/spaces/...)", _google_hook, secret=True),),
    _google_url)


def _mattermost_url(found: Mapping[str, str]) -> str:
    parts = urlsplit(found["hook"])
    *before, _, token = parts.path.strip("/").split("/")
    at = f":{parts.port}" if parts.port else ""
    return (f"{'mmost' if parts.scheme == 'http' else 'mmosts'}://{parts.hostname}{at}/{'/'.join([*before, token])}"
            + say.query({"channel": found["channel"]}))


_MATTERMOST = Service(
    "mattermost", "Mattermost", "Integrations, Incoming Webhooks, Add Incoming Webhook; copy its URL.",
    (Question("hook", "Webhook URL (https://mattermost.example.com/hooks/...)", say.web_address(
        r"https?://[^/]+(/[\w.-]+)*/hooks/[a-z0-9]+/?",
        "the webhook's whole URL, https://mattermost.example.com/hooks/..."), secret=True),
     Question("channel", "Channel, such as town-square; empty for the webhook's own", say.matching(
         "[a-z0-9_-]{1,64}", "the channel's name as it is in its address, such as town-square"), optional=True)),
    _mattermost_url)

# -- Matrix, Telegram ----------------------------------------------------------------------------------------


def _matrix_url(found: Mapping[str, str]) -> str:
    user, password, token = found["user"], found["password"], found["token"]
    if not token and not (user and password):
        raise AnswerError("token", "either an access token, or a user name and a password")
    who = f"{say.quoted(token)}@" if token else say.login(user, password)
    return f"matrixs://{who}{found['host']}/{say.quoted(found['room'])}"


_MATRIX = Service(
    "matrix", "Matrix",
    "Make an account for the server on its homeserver and invite it to the room; its access token is in its client's "
    "settings (in Element: Help & About, Advanced).",
    (Question("host", "Homeserver, such as matrix.example.com", say.host),
     Question("token", "Access token; empty to log in by name and password", say.matching(
         r"[\w.~=-]{5,500}", "the access token as the client shows it"), secret=True, optional=True),
     Question("user", "User name, without @ and server", say.matching(
         "[a-z0-9._=-]{1,100}", "the user name alone, such as guard"), optional=True,
         applies=lambda found: not found.get("token")),
     Question("password", "Password", say.secret("the password"), secret=True, optional=True,
              applies=lambda found: bool(found.get("user"))),
     Question("room", "Room, such as #ops:example.com or !abcdef:example.com", say.matching(
         r"[#!][\w.=+-]{1,200}:[A-Za-z0-9.-]+(:[0-9]+)?", "the room with its server, such as #ops:example.com"))),
    _matrix_url)

_TELEGRAM = Service(
    "telegram", "Telegram",
    "Talk to @BotFather to make a bot: it shows the token. Add the bot to the chat; the chat's number is in "
    "https://api.telegram.org/bot<token>/getUpdates once somebody has written there.",
    (Question("token", "Bot token (123456789:AA...)", say.matching(
        "[0-9]{5,20}:[A-Za-z0-9_-]{20,100}", "the token as BotFather shows it: a number, a colon, and letters"),
        secret=True),
     Question("chat", "Chat's number, such as -1001234567890, or a channel's @name", say.matching(
         "-?[0-9]{1,20}|@[A-Za-z][A-Za-z0-9_]{3,31}",
         "the chat's number, such as -1001234567890, or a channel's @name"))),
    lambda found: f"tgram://{found['token']}/{found['chat']}/")

SERVICES = (_SLACK, _TEAMS, _DISCORD, _GOOGLE, _MATTERMOST, _MATRIX, _TELEGRAM)
