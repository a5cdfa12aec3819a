"""What can go wrong, as data. Sentences for people are made at the edges: the plugin, the command, the message."""

from __future__ import annotations

from typing import Optional


class GuardError(Exception):
    """The root of everything certbot-guard raises on purpose. ``str()`` of it is one sentence without a secret."""


class StateError(GuardError):
    """The state directory or the record of a run cannot be used: missing, full, read-only, or not ours alone."""


class JournalError(StateError):
    """The state database cannot be used: damaged beyond what could be set aside, or written by a newer version."""


class ServerError(GuardError):
    """A web server did not do what it was asked to.

    :ivar detail: what the server itself said (configtest output, the end of its error log), or an empty string.
        Text from outside: to be escaped wherever it is shown.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class RefusedError(ServerError):
    """The server was left as it is, on purpose: stopping, starting or reloading it would not have been safe."""


class ConfigtestError(RefusedError):
    """The server's own configuration test failed, so it would not start again once stopped."""


class PairError(ConfigtestError):
    """A certificate that the server loads does not fit its key, or one of its files cannot be read; its own test passes."""


class ForeignOwnerError(RefusedError):
    """A port belongs to a process that is not the configured server.

    :ivar port: the TCP port
    :ivar owner: the process that has it, as far as it is known: ``"haproxy (pid 812)"``
    """

    def __init__(self, message: str, port: int, owner: Optional[str]) -> None:
        super().__init__(message)
        self.port = port
        self.owner = owner


class LeftDownError(ServerError):
    """A person masked or disabled the server after our stop; it was not started against that decision."""
