"""The message that a channel is told which takes everything and was told of nothing yet."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Optional

from certbot_guard import findings, message, recoveries, standing
from certbot_guard.account import Account
from certbot_guard.message import Message
from certbot_guard.notify import EVERYTHING
from certbot_guard.stakes import Validity
from certbot_guard.standing import Memory, Taker


def composed(facts: dict[str, Any], events: list[dict[str, Any]], now: datetime, serving: Optional[bool] = True,
             expiry: Optional[dict[str, datetime]] = None, after: int = 0, **more: Any) -> Optional[Message]:
    """Of a run with these facts and events; ``more`` as for :func:`certbot_guard.message.compose`."""
    found = Account(facts, events, after, now, serving, {name: Validity(when) for name, when in (expiry or {}).items()})
    over = recoveries.of(found, Memory(), lambda _name: (True, None))
    news = standing.news_for(Taker("mail", EVERYTHING), findings.of(found), over, Memory(), now, timedelta(days=1))
    return message.compose(found, news, **more) if news else None
