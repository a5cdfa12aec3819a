"""The message that a channel is told which takes everything and was told of nothing yet."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Optional

from certbot_guard import findings, message, recoveries
from certbot_guard.account import Account
from certbot_guard.message import Message
from certbot_guard.notify import EVERYTHING
from certbot_guard.stakes import Validity
from certbot_guard.standing import Memory, Standing, Taker, Told, news_for


def composed(facts: dict[str, Any], events: list[dict[str, Any]], now: datetime, serving: Optional[bool] = True,
             expiry: Optional[dict[str, datetime]] = None, after: int = 0, standing: Iterable[Standing] = (),
             **more: Any) -> Optional[Message]:
    """Of a run with these facts and events; ``more`` as for :func:`certbot_guard.message.compose`.

    :param standing: what earlier runs have told this channel; the certificates that ``expiry`` names exist
    """
    when = {name: Validity(until) for name, until in (expiry or {}).items()}
    told = {one.subject: one for one in standing}
    memory = Memory(told, {(subject, "mail"): Told(subject, "mail", one.key, one.severity, one.since, "earlier")
                           for subject, one in told.items()})
    found = Account(facts, events, after, now, serving, when)
    over = recoveries.of(found, memory, lambda name: (True, when.get(name)))
    news = news_for(Taker("mail", EVERYTHING), findings.of(found), over, memory, now, timedelta(days=1))
    return message.compose(found, news, **more) if news else None
