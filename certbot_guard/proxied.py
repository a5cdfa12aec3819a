"""The passage of the lineage that certbot is at work on, begun in prepare(), ended with it. Part of the session.

Holds the machine-wide lock of the server for as long as there is a passage, so it lives in certbot's process and ends
with it. :mod:`certbot_guard.passage` does the work; whether a lineage needs the server's port is not asked here.
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable
from typing import Any, Optional

from certbot_guard import hookset, launch, passage, precedent, serverlock
from certbot_guard.errors import GuardError, ServerError
from certbot_guard.interfaces import IWebServer
from certbot_guard.proxying import loopback
from certbot_guard.run import Run, open_windows, utc_now

logger = logging.getLogger(__name__)

_BRING_BACK_SECONDS = 120.0


class Proxied:
    """One per session, for one lineage after the other."""

    def __init__(self, note: Callable[..., Any]) -> None:
        self._note = note
        self._lock: Optional[int] = None  # the server's, while there is a passage
        self._past: Optional[list[Run]] = None  # read for the first lineage

    @property
    def is_open(self) -> bool:
        return self._lock is not None

    def begin(self, run: Run, server: IWebServer, config: Any, number: int, facts: dict[str, Any],
              patience: float, try_anyway: bool = False) -> str:
        """This lineage's challenge passes through the running server, and ``""``; else a sentence says why it does not.

        Never raises but for what is to end certbot: there is the stop to fall back to.

        :param config: certbot's own, of this lineage; it has certbot listen where the server hands over
        :param facts: of the lineage; gets the ``port`` that is handed over to
        :param patience: how many seconds to wait for another certbot run that has the server
        :param try_anyway: whatever became of the last challenge that passed through
        """
        began = False
        try:
            facts["port"] = self._begin(run, server, config, number, facts, patience, try_anyway)
            began = True
            return ""
        except GuardError as error:
            reason, detail = str(error), getattr(error, "detail", "")
        except Exception as error:  # a bug of ours costs the passage, not the renewal
            logger.debug("certbot-guard: a challenge through the running server", exc_info=True)
            reason, detail = f"certbot-guard's own error: {type(error).__name__}: {error}", ""
        finally:
            if not began:
                self.end(run, server, "it did not work")
        self._note("not-proxied", number=number, lineage=facts["lineage"], reason=reason, detail=detail)
        return reason

    def _begin(self, run: Run, server: IWebServer, config: Any, number: int, facts: dict[str, Any],
               patience: float, try_anyway: bool) -> int:
        """:raises GuardError: it cannot be."""
        if hookset.has_pre_hook(config):
            raise ServerError("it has a pre hook, which may stop the web server")
        why_not = "" if try_anyway else precedent.against(
            self._past_of(run), str(run.facts.get("config_dir")), facts["lineage"], utc_now())
        if why_not:
            raise ServerError(why_not)
        if not run.sentinel_lives() and launch.start_sentinel(run):
            raise ServerError("the sentinel is gone, so nobody would take away what is put into Apache's configuration")
        self._lock = serverlock.take(server.identity, patience)
        if self._lock is None:
            raise ServerError("another certbot run has the web server stopped, or its configuration changed, and did "
                              "not end in time")
        port = passage.open_for(run, server, number, facts)
        hookset.listen_at(config, loopback.ADDRESS, port)
        return port

    def _past_of(self, run: Run) -> list[Run]:
        if self._past is None:
            self._past = precedent.past([run.directory.parent.parent])
        return self._past

    def end(self, run: Optional[Run], server: Optional[IWebServer], by: str, forgotten: bool = False) -> None:
        """Nothing of it is left in the server's configuration, or an event says what is. Safe to repeat.

        :param forgotten: the server has been reloaded since :func:`certbot_guard.passage.withdraw`
        """
        if self._lock is not None and run is not None:
            passage.end(run, server, by, forgotten=forgotten)
            self._bring_back(run)
        self.let_go()

    def _bring_back(self, run: Run) -> None:
        """A reload of ours has ended the server: a process of its own starts it, and settle if that one cannot."""
        if open_windows(run.events()):
            try:
                launch.start_settle(run, "--bring-back").wait(_BRING_BACK_SECONDS)
            except (OSError, subprocess.SubprocessError) as error:
                self._note("guard-error", where="bring back", error=str(error))

    def let_go(self) -> None:
        """Whoever settles ends it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def say_it_is_stopped(self, lineage: str, why_not: str, asked_for: bool) -> None:
        """In certbot's log; where the passage was ``asked_for``, people are told that they do not get it."""
        sentence = f"the challenge of {lineage} cannot pass through the running web server, which is stopped for it"
        if not asked_for:
            logger.info("certbot-guard: %s: %s", sentence, why_not)
            return
        logger.warning("certbot-guard: mode = proxy: %s: %s", sentence, why_not)
        self._note("config-problem", text=f"mode = proxy: {sentence}: {why_not}", lineage=lineage, reason=why_not)
