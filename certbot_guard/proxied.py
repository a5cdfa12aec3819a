"""The passage of the lineage that certbot is at work on, begun in prepare(), ended with it. Part of the session.

Holds the machine-wide lock of the server, and the port behind it, for as long as there is a passage, so it lives in
certbot's process and ends with it. :mod:`certbot_guard.passage` does the work; whether a lineage needs the port of the
challenge is not asked here.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import Any, Optional

from certbot_guard import hookset, launch, passage, precedent, serverlock
from certbot_guard.errors import GuardError, ServerError
from certbot_guard.interfaces import IWebServer
from certbot_guard.ownrun import OwnRun
from certbot_guard.proxying import loopback
from certbot_guard.run import Run, utc_now

logger = logging.getLogger(__name__)

# On top of max_outage: how long to wait for another certbot run that has the server.
_PATIENCE_SECONDS = 60.0


class Proxied:
    """One per session, for one lineage after the other."""

    def __init__(self, own: OwnRun) -> None:
        self._own = own
        self._lock: Optional[int] = None  # the server's, while there is a passage
        self._port: Optional[socket.socket] = None  # the one that is handed over to, likewise
        self._past: Optional[list[Run]] = None  # read for the first lineage

    @property
    def is_open(self) -> bool:
        return self._lock is not None

    def begin(self, config: Any, number: int, facts: dict[str, Any]) -> Optional[str]:
        """This lineage's challenge passes through the running server, and ``""``; else a sentence says why it does not.

        None: nobody tried, since it is not wanted or this run can have no passage. Never raises but for what is to end
        certbot: there is the stop to fall back to.

        :param config: certbot's own, of this lineage; it has certbot listen where the server hands over
        :param facts: of the lineage; gets the ``port`` that is handed over to
        """
        own = self._own
        if own.config.server.mode == "stop" or own.server is None or own.option_problem:
            return None
        if own.run is None or own.run_problem:
            return None
        began = False
        try:
            facts["port"] = self._begin(own.run, own.server, config, number, facts)
            began = True
            return ""
        except GuardError as error:
            reason, detail = str(error), getattr(error, "detail", "")
        except Exception as error:  # a bug of ours costs the passage, not the renewal
            logger.debug("certbot-guard: a challenge through the running server", exc_info=True)
            reason, detail = f"certbot-guard's own error: {type(error).__name__}: {error}", ""
        finally:
            if not began:
                self.end("it did not work")
        own.note("not-proxied", number=number, lineage=facts["lineage"], reason=reason, detail=detail)
        return reason

    def _begin(self, run: Run, server: IWebServer, config: Any, number: int, facts: dict[str, Any]) -> int:
        """:raises GuardError: it cannot be."""
        if hookset.has_pre_hook(config):
            raise ServerError("it has a pre hook, which may stop the web server")
        # A dry run is how a person finds out whether it works by now.
        why_not = "" if config.dry_run else precedent.against(
            self._past_of(run), str(run.facts.get("config_dir")), facts["lineage"], utc_now())
        if why_not:
            raise ServerError(why_not)
        if not run.sentinel_lives() and launch.start_sentinel(run):
            raise ServerError("the sentinel is gone, so nobody would take away what is put into Apache's configuration")
        self._lock = serverlock.take(server.identity, self._own.config.server.max_outage_seconds + _PATIENCE_SECONDS)
        if self._lock is None:
            raise ServerError("another certbot run has the web server stopped, or its configuration changed, and did "
                              "not end in time")
        self._port = passage.open_for(run, server, number, facts)
        port = loopback.port_of(self._port)
        hookset.listen_at(config, loopback.ADDRESS, port)
        return port

    def _past_of(self, run: Run) -> list[Run]:
        if self._past is None:
            self._past = precedent.past([run.directory.parent.parent])
        return self._past

    def end(self, by: str, forgotten: bool = False) -> None:
        """Nothing of it is left in the server's configuration, or an event says what is. Safe to repeat.

        :param forgotten: the server has been reloaded since :func:`certbot_guard.passage.withdraw`
        """
        if self._lock is not None and self._own.run is not None:
            passage.end(self._own.run, self._own.server, by, forgotten=forgotten)
            if self._own.is_stopped:  # a reload of ours has ended it
                self._own.bring_back()
        self.let_go()

    def let_go(self) -> None:
        """Whoever settles ends it."""
        if self._port is not None:
            self._port.close()
            self._port = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def say_it_is_stopped(self, lineage: str, why_not: str) -> None:
        """In certbot's log; where the passage was asked for, people are told that they do not get it."""
        sentence = f"the challenge of {lineage} cannot pass through the running web server, which is stopped for it"
        if self._own.config.server.mode != "proxy":
            logger.info("certbot-guard: %s: %s", sentence, why_not)
            return
        logger.warning("certbot-guard: mode = proxy: %s: %s", sentence, why_not)
        self._own.note("config-problem", text=f"mode = proxy: {sentence}: {why_not}", lineage=lineage, reason=why_not)
