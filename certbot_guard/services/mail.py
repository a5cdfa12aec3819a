"""Mail: by any SMTP server, and by Gmail's."""

from __future__ import annotations

from collections.abc import Mapping

from certbot_guard.services import answers as say
from certbot_guard.services.service import AnswerError, Question, Service

_PORTS = {"starttls": "587", "tls": "465", "plain": "25"}
# Apprise calls TLS from the first byte "ssl"; without any it is mailto:// that says so (1.2.0 knows no word for it).
_MODES = {"starttls": "starttls", "tls": "ssl", "plain": ""}


def _url(found: Mapping[str, str]) -> str:
    security = found["security"]
    user, password = found["user"], found["password"]
    if user and not password:
        raise AnswerError("password", "the password of that user, or no user name if the server takes mail without a "
                                      "login")
    sender = found["from"] or user
    try:
        sender = say.address(sender)
    except ValueError as error:
        raise AnswerError("from", str(error)) from error
    # smtp= keeps Apprise from putting its own idea of the server, port and login of a known domain in place of these.
    more = {"mode": _MODES[security], "smtp": found["host"], "from": say.quoted(sender),
            "to": say.quoted(found["to"]).replace("%2C", ",").replace("%40", "@")}
    return (f"{'mailto' if security == 'plain' else 'mailtos'}://{say.login(user, password)}"
            f"{found['host']}:{found['port'] or _PORTS[security]}{say.query(more)}")


def _gmail_url(found: Mapping[str, str]) -> str:
    return _url({"host": "smtp.gmail.com", "security": "starttls", "port": "", "user": found["user"],
                 "password": found["password"], "from": found["user"], "to": found["to"] or found["user"]})


def _app_password(text: str) -> str:
    # Google shows it in four groups; the spaces are none of it.
    return say.matching("[A-Za-z]{16}", "the app password of 16 letters that Google shows; the account's own password "
                                        "is not taken")("".join(text.split()))


_EMAIL = Service(
    "email", "E-mail (any SMTP server)",
    "Your mail provider's help names its SMTP server, port and security. The password is that of the mailbox, or one "
    "that the provider makes for applications.",
    (Question("host", "SMTP server, such as smtp.example.com", say.host),
     Question("security", "Security: starttls, tls or plain", say.one_of(*_PORTS), default="starttls",
              choices=tuple(_PORTS)),
     Question("port", "Port; empty for the usual one (starttls 587, tls 465, plain 25)", say.port, optional=True),
     Question("user", "User name; empty if the server takes mail without a login", say.plain_name("the user name"),
              optional=True),
     Question("password", "Password", say.plain_secret("the password"), secret=True, optional=True,
              applies=lambda found: bool(found.get("user"))),
     Question("from", "From which address; empty for the user name, if it is an address", say.address, optional=True),
     Question("to", "To which addresses, separated by commas", say.addresses)),
    _url)

_GMAIL = Service(
    "gmail", "Gmail",
    "Make an app password at https://myaccount.google.com/apppasswords (2-Step Verification must be on).",
    (Question("user", "Gmail address", say.address),
     Question("password", "App password, 16 letters", _app_password, secret=True),
     Question("to", "To which addresses, separated by commas; empty for the same", say.addresses, optional=True)),
    _gmail_url)

SERVICES = (_EMAIL, _GMAIL)
