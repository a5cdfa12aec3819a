"""Servers of one's own that are named by a URL: a webhook that takes JSON, an Apprise API server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Callable
from urllib.parse import parse_qsl, urlsplit

from certbot_guard.services import answers as say
from certbot_guard.services.service import AnswerError, Question, Service

_PATH = r"(/[\w.~@:+-]+)*/?"


def server_question(default: str = "", path: bool = True) -> Question:
    """A server's address with http:// or https://. ``path``: it may have one."""
    return Question("server", f"Server, such as {default or 'https://push.example.com'}",
                    _server if path else _bare_server, default=default)


def _bare_server(text: str) -> str:
    address = _server(text)
    if urlsplit(address).path:
        raise ValueError("the server's address without a path, such as https://push.example.com")
    return address


def _server(text: str) -> str:
    """An address without a scheme is meant as https."""
    tidied = say.unwrapped(text)
    parts = say.split(tidied if "://" in tidied else f"https://{tidied}")
    if parts is None or parts.scheme not in ("http", "https") or parts.username or parts.query or parts.fragment \
            or not re.fullmatch(_PATH, parts.path, re.ASCII):
        raise ValueError("the server's address, such as https://push.example.com, without user and password")
    return parts.geturl().rstrip("/")


def place(server: str) -> tuple[bool, str]:
    """Whether it is https, and ``host:port/path`` of the checked address."""
    parts = urlsplit(server)
    at = f":{parts.port}" if parts.port else ""
    return parts.scheme == "https", f"{say.host(parts.hostname or '')}{at}{parts.path.rstrip('/')}"


def login_questions(applies: Callable[[Mapping[str, str]], bool] = lambda found: True) -> tuple[Question, Question]:
    return (Question("user", "User name; empty if there is none", say.plain_name("the user name"), optional=True,
                     applies=applies),
            Question("password", "Password", say.plain_secret("the password"), secret=True, optional=True,
                     applies=lambda found: bool(found.get("user"))))


def login(found: Mapping[str, str]) -> str:
    """The login of a URL, from the answers to :func:`login_questions`.

    :raises AnswerError: there is no password for the user.
    """
    if found["user"] and not found["password"]:
        raise AnswerError("password", "the password of that user, or no user name")
    return say.login(found["user"], found["password"])


def _hook(text: str) -> str:
    tidied = say.unwrapped(text)
    parts = say.split(tidied)
    # Apprise takes the quoting off a path and lets others put it back: %2F would arrive as a slash.
    if parts is None or parts.scheme not in ("http", "https") or parts.username or parts.fragment \
            or not re.fullmatch(_PATH, parts.path, re.ASCII):
        raise ValueError("an address such as https://hooks.example.com/certbot, without user, password, # and %")
    return tidied


def _webhook_url(found: Mapping[str, str]) -> str:
    parts = urlsplit(found["hook"])
    at = f":{parts.port}" if parts.port else ""
    more = {f"-{say.quoted(key)}": say.twice(value) for key, value in parse_qsl(parts.query)}
    if found["token"]:
        more["+Authorization"] = say.twice(f"Bearer {found['token']}")
    return (f"{'jsons' if parts.scheme == 'https' else 'json'}://{login(found)}"
            f"{say.host(parts.hostname or '')}{at}{parts.path or '/'}{say.query(more)}")


_WEBHOOK = Service(
    "webhook", "Webhook (JSON by POST)",
    "Any program of yours that takes a POST: the JSON has title, message and type.",
    (Question("hook", "Address (https://hooks.example.com/certbot)", _hook, secret=True),
     Question("token", "Bearer token; empty if there is none", say.matching(
         "[!-~]{1,1000}", "the token, without spaces and without \"Bearer\""), secret=True, optional=True),
     *login_questions(lambda found: not found.get("token"))),
    _webhook_url)


def _apprise_url(found: Mapping[str, str]) -> str:
    secure, where = place(found["server"])
    return (f"{'apprises' if secure else 'apprise'}://{login(found)}{where}/"
            + found["key"]
            # v=1: the path that every Apprise API server has; from 2.x on Apprise would use one of newer servers.
            + say.query({"v": "1", "tags": say.quoted(found["tags"])}))


_APPRISE = Service(
    "apprise", "Apprise API server", "The configuration key is the last part of its page's address, /cfg/KEY.",
    (server_question("http://localhost:8000"),
     Question("key", "Configuration key", say.matching(
         "[A-Za-z0-9_-]{1,64}", "the configuration key of letters, digits, - and _"), secret=True),
     Question("tags", "Tags, separated by commas; empty for all", say.matching(
         r"[\w-]+(,\s*[\w-]+)*", "tags such as: ops, web"), optional=True),
     *login_questions()),
    _apprise_url)

SERVICES = (_WEBHOOK, _APPRISE)
