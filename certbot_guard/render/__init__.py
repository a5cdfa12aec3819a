"""How each service shows a message: which form, of what length. Pure; imported by the deliverer's child alone.

What a service takes is read from Apprise's own object at run time (:class:`Service`); which of them shows what is known
here, by the name of Apprise's class, the same in 1.2.0 to 2.3. A form is never more than a function of title, body and
severity: whoever reads only the mail and whoever reads only Slack has read the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

from certbot_guard import text
from certbot_guard.render import chat, html, layout, short

HTML, TEXT = "html", "text"
# These turn HTML into a mail with both parts, or give it to a service that does.
_MAIL = frozenset(f"Notify{name}" for name in (
    "Email", "Mailgun", "SendGrid", "SES", "SMTP2Go", "SparkPost", "Office365", "Resend", "Brevo", "Postmark",
    "MailerSend", "SendPulse", "ACS", "GroundMail"))
_CHATS = {"NotifySlack": chat.SLACK, "NotifyDiscord": chat.DISCORD, "NotifyMattermost": chat.MATTERMOST,
          "NotifyRocketChat": chat.SLACK, "NotifyGoogleChat": chat.SLACK, "NotifyTelegram": chat.TELEGRAM}
# These can be told to show plain text, and do; the other chats read their markup in any case.
_CAN_BE_PLAIN = frozenset({"NotifySlack", "NotifyTelegram"})
_BRIEF = frozenset({"NotifyPagerDuty", "NotifyOpsgenie", "NotifyPushover"})
_SMS_UP_TO, _BRIEF_UP_TO = 320, 1024
# Slack's Block Kit, in characters: a section's text, a header's (https://api.slack.com/reference/block-kit/blocks).
_SLACK_SECTION, _SLACK_HEADER = 3000, 150
# https://docs.ntfy.sh/config/#message-size: what is longer becomes a file that is attached.
_NTFY_BYTES = 4096
# Apprise puts something between title and body where it joins them, and a counter with some.
_JOINT = 16
_UNLIMITED = 1_000_000


@dataclass(frozen=True)
class Service:
    """What Apprise says of a service.

    :ivar name: Apprise's class. :ivar format: "html", "markdown" or "text", what it will send.
    :ivar splits: the URL asks for a long text in several messages.
    :ivar joins: the title becomes part of the body, and counts. :ivar rows: lines at most, 0 for any number.
    :ivar escapes: this Apprise makes Markdown of plain text itself. :ivar blocks: Slack's newer form.
    """

    name: str
    format: str = TEXT
    body_limit: int = 32768
    title_limit: int = 250
    rows: int = 0
    joins: bool = False
    splits: bool = False
    escapes: bool = True
    blocks: bool = False


@dataclass(frozen=True)
class Form:
    """What Apprise is given. ``format`` is "html", "text", or None: in the service's own markup, to be left as it is."""

    title: str
    body: str
    format: Optional[str] = TEXT


def form(service: Service, title: str, body: str, severity: str) -> Form:
    """The message for this service. The body is within its limits, and cut between lines (but for the first)."""
    limit = service.body_limit if service.body_limit > 0 else _UNLIMITED
    if service.splits:
        return _plain(service, title, body, _UNLIMITED)
    if limit <= _SMS_UP_TO or service.rows == 1:
        return Form("", short.sms(title, body, limit), TEXT) if service.joins or service.rows == 1 else \
            Form(text.cut(title, service.title_limit), short.sms("", body, limit).strip(), TEXT)
    if service.name in _MAIL and service.format == HTML:
        page = layout.fit(body, limit, lambda part: html.render(title, severity, part))
        return Form(title, page, HTML) if page else _plain(service, title, body, limit)
    dialect = _CHATS.get(service.name)
    if dialect and not (service.name in _CAN_BE_PLAIN and _is_plain(service)):
        return _chat(service, title, body, limit, dialect)
    return _plain(service, title, body, limit)


def _is_plain(service: Service) -> bool:
    return service.format == TEXT or (service.name == "NotifyTelegram" and service.format != HTML)


def _chat(service: Service, title: str, body: str, limit: int, dialect: chat.Dialect) -> Form:
    if service.name == "NotifySlack":
        # The title has a place of its own there, which no markup is read in.
        if service.blocks:
            return Form(text.cut(title, _SLACK_HEADER), _fit(body, min(limit, _SLACK_SECTION), dialect), None)
        return Form(title, _fit(body, limit, dialect), None)
    heading = chat.bold(text.cut(title, service.title_limit or 250), dialect)
    room = limit - layout.units(heading) - _JOINT
    if service.name == "NotifyDiscord":
        return Form(heading, _fit(body, room, dialect), None)
    # Apprise would join them in a way of its own.
    return Form("", f"{heading}\n{_fit(body, room, dialect)}", None)


def _fit(body: str, limit: int, dialect: chat.Dialect) -> str:
    return _shortened(body, limit, lambda part: chat.render(part, dialect), layout.units, limit <= _BRIEF_UP_TO)


def _plain(service: Service, title: str, body: str, limit: int) -> Form:
    room = limit - (layout.units(title) + _JOINT if service.joins else 0)
    measure: Callable[[str], int] = layout.units
    show: Callable[[str], str] = str
    if service.name == "NotifyNtfy":
        measure, room = layout.size, min(room, _NTFY_BYTES)
    if service.format == "markdown":
        room = room * 4 // 5  # what Apprise or we put before each character that would act
        if not service.escapes and service.name != "NotifySlack":
            show, title = _escaped, _escaped(title) if service.joins else title
    is_brief = limit <= _BRIEF_UP_TO or service.name in _BRIEF
    return Form(title, _shortened(body, min(room, _BRIEF_UP_TO) if is_brief else room, show, measure, is_brief), TEXT)


def _shortened(body: str, limit: int, show: Callable[[str], str], measure: Callable[[str], int], is_brief: bool) -> str:
    if is_brief:
        body = short.brief(body, lambda part: measure(show(part)) <= limit)
    return layout.fit(body, limit, show, measure)


def _escaped(words: str) -> str:
    # Apprise 1.x gives plain text to a service that reads Markdown as it is; a backslash is understood by all of those.
    return "".join("\\" + letter if letter in "\\`*_[" else letter for letter in words)
