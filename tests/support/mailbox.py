"""A real mail server on a loopback port, and what arrived there."""

from __future__ import annotations

import email
import email.policy
import ssl
import threading
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.support.authority import Authority
from tests.support.listener import Switchable
from tests.support.ports import free_port


class Mail:
    """One mail as it arrived. :ivar raw: the bytes; :ivar message: parsed; :ivar at: monotonic time"""

    def __init__(self, raw: bytes, sender: str, recipients: list[str]) -> None:
        self.raw, self.sender, self.recipients, self.at = raw, sender, recipients, time.monotonic()
        message = email.message_from_bytes(raw, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.message = message

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        """The body; its plain part where there are several."""
        part = self.message.get_body(("plain", "html"))
        return part.get_content() if part is not None else ""

    @property
    def html(self) -> str:
        """The HTML part, or an empty string."""
        part = self.message.get_body(("html",))
        return part.get_content() if part is not None else ""

    def __repr__(self) -> str:
        return f"<Mail {self.subject!r}>"


class Mailbox(Switchable):
    """Open from the start. ``refuse()``, ``hang()``, ``drip()``, ``reject()`` break it; ``heal()`` mends it.

    :param tls: certificate and key: STARTTLS is offered, and wanted before anything else.
    :param login: user and password: without these nothing is taken.
    """

    def __init__(self, tls: Optional[tuple[Path, Path]] = None, login: Optional[tuple[str, str]] = None,
                 port: Optional[int] = None) -> None:
        super().__init__(port or free_port())
        self._tls, self._login = tls, login
        self.messages: list[Mail] = []
        self.logins: list[tuple[str, str]] = []
        self.attempts = 0  # mails offered, those rejected too
        self._changed = threading.Condition()
        self._rejection: Optional[str] = None
        self._controller: Optional[Controller] = None
        self.heal()

    @property
    def apprise_url(self) -> str:
        return self.url()

    def url(self, user: str = "", password: str = "", to: str = "ops@guard.test", more: str = "") -> str:
        """The Apprise URL of this mailbox; with a login if ``user`` is given."""
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
        return f"mailto://{login}127.0.0.1:{self.port}?from=guard@guard.test&to={to}{more}"

    @classmethod
    def secure(cls, directory: Path, authority: Authority, login: Optional[tuple[str, str]] = None,
               names: tuple[str, ...] = ("localhost", "127.0.0.1"), **options: Any) -> Mailbox:
        """With STARTTLS, under a certificate of this authority."""
        return cls(authority.write(directory, "mailbox", list(names), **options), login)

    def secure_url(self, user: str = "", password: str = "", to: str = "ops@guard.test", host: str = "localhost") -> str:
        """The Apprise URL of this mailbox over STARTTLS."""
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
        return f"mailtos://{login}{host}:{self.port}?from=guard@guard.test&to={to}&mode=starttls"

    def reject(self, reply: str = "554 5.7.1 no mail today") -> None:
        """Mails are refused with this reply from now on."""
        self._rejection = reply

    def heal(self) -> None:
        self._rejection = None
        super().heal()

    def wait(self, count: int = 1, timeout: float = 20.0) -> list[Mail]:
        """Return the mails as soon as there are ``count`` of them."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.messages) >= count, timeout):
                raise AssertionError(f"{len(self.messages)} mails in {timeout} s, not {count}: {self.messages}")
            return list(self.messages)

    def stays_at(self, count: int, seconds: float = 2.0) -> list[Mail]:
        """Return the mails after ``seconds`` in which no more than ``count`` have arrived."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.messages) > count, seconds)
            assert len(self.messages) == count, f"{len(self.messages)} mails, not {count}: {self.messages}"
            return list(self.messages)

    def clear(self) -> None:
        with self._changed:
            self.messages.clear()

    # -- what aiosmtpd calls -----------------------------------------------------------------------------------

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        with self._changed:
            self.attempts += 1
            if self._rejection is not None:
                return self._rejection
            self.messages.append(Mail(envelope.original_content, envelope.mail_from, list(envelope.rcpt_tos)))
            self._changed.notify_all()
        return "250 OK"

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        given = (bytes(data.login).decode(), bytes(data.password).decode())
        self.logins.append(given)
        # handled=False: aiosmtpd says 535 5.7.8 itself
        return AuthResult(success=self._login in (None, given), handled=False)

    def _start(self) -> None:
        options: dict[str, Any] = {}
        if self._tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._tls)
            options = {"tls_context": context, "require_starttls": True}
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, auth_require_tls=False,
                                      auth_required=self._login is not None, authenticator=self._authenticate, **options)
        self._controller.start()

    def _stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None
