"""Common services by plain answers: what to ask for each, and the Apprise URL that the answers make.

Nothing here asks, sends or writes; that is :mod:`certbot_guard.setup`'s business. No sentence holds a part of a URL.
"""

from __future__ import annotations

from typing import Optional

from certbot_guard.services import chat, mail, push, web
from certbot_guard.services.service import AnswerError, Question, Service

__all__ = ["SERVICES", "AnswerError", "Question", "Service", "by_name", "refusal"]

SERVICES: tuple[Service, ...] = (*mail.SERVICES, *chat.SERVICES, *push.SERVICES, *web.SERVICES)


def by_name(name: str) -> Optional[Service]:
    return next((one for one in SERVICES if one.name == name.strip().lower()), None)


def refusal(url: str) -> str:
    """Why this URL cannot be a channel's, as a sentence without any part of it; empty if Apprise takes it."""
    from certbot_guard.services import accepting

    return accepting.refusal(url)
