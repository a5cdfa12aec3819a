"""Where every channel failed: the system log of this machine, at the right priority. Once for each message.

What nobody was told is also said at the end of certbot's own output (:mod:`certbot_guard.session`), which cron mails.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from certbot_guard import text
from certbot_guard.errors import StateError
from certbot_guard.message import Message

_LINES = 60


def tell(books: Iterable[Any]) -> list[str]:
    """The messages that were tried and that no channel has taken are in the system log. Returns the new ones' titles."""
    said = []
    for book in books:
        try:
            for message in book.nobody_has():
                if book.first_in_syslog(message.id):
                    _log(message)
                    said.append(message.title)
        except StateError:
            continue
    return said


def given_up(channel: str, title: str) -> None:
    """A message that a channel did not take for as long as it is kept is not tried any more; that is in the log."""
    import syslog

    _open(syslog)
    syslog.syslog(syslog.LOG_WARNING, text.line(f"given up, channel {channel} never took it: {title}", 900))


def _log(message: Message) -> None:
    import syslog

    priority = {"critical": syslog.LOG_CRIT, "warning": syslog.LOG_WARNING}.get(message.severity, syslog.LOG_NOTICE)
    _open(syslog)
    rows = [message.title, *message.body.split("\n")][:_LINES]
    for row in [*rows, "No channel took this message; it is kept and tried again. See: certbot-guard outbox"]:
        if row.strip():
            syslog.syslog(priority, text.harmless(row)[:900])


def _open(syslog: Any) -> None:
    syslog.openlog("certbot-guard", syslog.LOG_PID, syslog.LOG_DAEMON)
