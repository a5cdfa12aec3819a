"""Whether a lineage needs the web server stopped, and what refuses it where the server may not be. Part of the session:
asked in prepare(), before certbot talks to the CA. Stops nothing.

What it raises is no :class:`certbot.errors.PluginError`: certbot would renew without the guard (docs/flow.md).
"""

from __future__ import annotations

import os
from typing import Any, NoReturn

from certbot import errors as certbot_errors

from certbot_guard import launch, serverlock
from certbot_guard.errors import ServerError, StateError
from certbot_guard.ownrun import OwnRun
from certbot_guard.servers import sockets

# Authenticators that answer through the running web server, or need none: stopping it would not help them.
_NEED_APACHE_UP = ("webroot", "apache", "nginx")


class Need:
    """One per session. ``facts`` are a lineage's: ``lineage``, ``names``, ``authenticator``, ``ports``, ``address``."""

    def __init__(self, own: OwnRun) -> None:
        self._own = own

    def of_a_stop(self, facts: dict[str, Any]) -> bool:
        """Does this lineage need the web server stopped?

        :raises certbot.errors.Error: the port it needs belongs to somebody who is not ours to stop.
        """
        mode = self._own.config.server.mode
        if mode == "reload" or facts["authenticator"] in _NEED_APACHE_UP:
            return False
        if mode == "stop":
            facts["always"] = True
            return True
        if facts["authenticator"] != "standalone":
            return False
        self.refuse_what_is_down(facts)
        if self._own.server is None or self._own.option_problem:
            if _port_is_free(facts):
                return False
            self._refuse_without_server(facts)
        return self._server_has_the_port(facts)

    def _server_has_the_port(self, facts: dict[str, Any]) -> bool:
        # Another certbot may have its own challenge on that port now, with our server stopped: wait for its window.
        try:
            lock = serverlock.take(self._own.server.identity, self._own.config.server.max_outage_seconds + 60.0)
        except StateError as error:
            if _port_is_free(facts):
                return False  # no lock can be had, and none is needed
            self._refuse(facts, str(error), "")
        if lock is None:
            self._refuse(facts, "another certbot run has it stopped, or has its own challenge pass through it, "
                         "and did not end in time", "")
        try:
            return any([self._own.server.claims(port, facts["address"]) for port in facts["ports"]])
        except ServerError as error:
            self._refuse(facts, str(error), error.detail)
        finally:
            os.close(lock)

    def refuse_what_is_down(self, facts: dict[str, Any]) -> None:
        """:raises certbot.errors.Error: this run has the server down already."""
        if self._own.is_stopped:
            self._refuse(facts, "it went down earlier in this run and does not start; that is tried again and again "
                         "until it does", "")

    def refuse_after_max_outage(self, facts: dict[str, Any]) -> None:
        """:raises certbot.errors.Error: an earlier lineage of this run used max_outage up."""
        if self._own.run is None or not self._own.run.has("overdue"):
            return
        lineage = facts["lineage"]
        self._own.note("not-attempted", lineages=[lineage], reason="max_outage had passed in this run")
        raise certbot_errors.Error(
            f"certbot-guard does not stop {self._own.server_name} again for {lineage}: an earlier lineage of "
            "this run kept it stopped until max_outage. It is tried again with the next run.")

    def refuse_what_would_not_come_back(self, facts: dict[str, Any]) -> None:
        """Promise 2: what cannot be started is not stopped.

        :raises certbot.errors.Error: it cannot be.
        """
        if self._own.run is None or self._own.run_problem:
            self._refuse(facts, self._own.run_problem or "the run could not be recorded", "")
        if self._own.server is None or self._own.option_problem:
            self._refuse_without_server(facts)
        try:
            self._own.server.check()
        except ServerError as error:
            self._refuse(facts, str(error), error.detail)
        if not self._own.run.sentinel_lives() and launch.start_sentinel(self._own.run):
            self._refuse(facts, "the sentinel is gone, so nobody could bring the web server back", "")

    def _refuse_without_server(self, facts: dict[str, Any]) -> NoReturn:
        self._refuse(facts, self._own.option_problem or self._own.server_problem or "the web server is not known", "")

    def _refuse(self, facts: dict[str, Any], reason: str, detail: str) -> NoReturn:
        self._own.note("refused", lineage=facts["lineage"], names=facts["names"], reason=reason, detail=detail)
        sentence = (f"certbot-guard leaves {self._own.server_name} running and does not renew {facts['lineage']}: "
                    f"{reason}")
        raise certbot_errors.Error(sentence + (f"\n{detail}" if detail else ""))


def _port_is_free(facts: dict[str, Any]) -> bool:
    return not any(sockets.listening_pids(port) or sockets.is_listening(port) for port in facts["ports"])
