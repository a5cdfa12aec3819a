"""After a certificate was saved: the server loads it, and shows it; or an event says why not. Part of the session."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Optional

from certbot_guard import entrypoints, hookset, lineages, serverhold, serverlock
from certbot_guard.errors import GuardError, RefusedError, StateError
from certbot_guard.interfaces import IWebServer
from certbot_guard.ownrun import OwnRun

logger = logging.getLogger(__name__)

# After max_outage: what the other run's sentinel takes to stop, start and look.
_PATIENCE_SECONDS = 60.0
_HAS_ENDED = "it has ended since the challenge began, not by certbot-guard; it loads the certificate when it starts"


class Deployment:
    """One per session, for one lineage after the other."""

    def __init__(self, own: OwnRun) -> None:
        self._own = own
        self._installer: Optional[tuple[str, Any]] = None  # that the lineage names instead of us, and certbot's config

    @property
    def is_by_another(self) -> bool:
        """The lineage's renewal configuration names another installer, whose errors are certbot's to report."""
        return self._installer is not None

    def keep_installer(self, config: Any, lineage: str) -> None:
        """Whom this lineage's renewal configuration names, it names afterwards, and that one is asked to reload."""
        named = lineages.value(Path(config.config_dir) / "renewal" / f"{lineage}.conf", "installer")
        self._installer = None
        if named and named not in ("guard", "None"):
            hookset.keep_installer(config, named)
            self._installer = (named, config)

    def load_unless_it_has_ended(self, lineage: str) -> None:
        """As :meth:`load`. A server whose end is somebody else's doing is left so, and people hear of it, since it
        served when this began."""
        if self._installer is None and self._has_ended():
            self._not_reloaded("reload-failed", _HAS_ENDED, "", lineage)
        else:
            self.load(lineage)

    def _has_ended(self) -> bool:
        try:
            return (self._own.server is not None and not self._own.is_stopped
                    and not self._own.server.look()["serving"])
        except Exception:  # a controller's trouble is no sign of an end
            return False

    def load(self, lineage: str) -> None:
        """The new certificate is what the server shows, or an event says why not.

        :raises Exception: what the lineage's own installer raises
        """
        if self._installer is not None:
            self._by_installer(*self._installer, lineage)
        elif self._own.server is None:
            self._not_reloaded("reload-refused", self._own.server_problem or "no web server was found", "", lineage)
        else:
            self._by_us(lineage)

    def _by_us(self, lineage: str) -> None:
        from certbot_guard.served import Served

        server, name = self._own.server, self._own.server_name
        served = Served(server, self._own.config_dir, lineage)
        try:
            if not server.look()["serving"]:
                if not self._own.is_stopped:
                    self._own.note("not-reloaded", lineage=lineage, reason="it does not run, and did not before us")
                return  # our own stop: it loads the new certificate when it starts, or settle reloads it
            served.look_before()
            self._reload(server)
        except GuardError as error:
            kind = "reload-refused" if isinstance(error, RefusedError) else "reload-failed"
            self._not_reloaded(kind, str(error), getattr(error, "detail", ""), lineage)
            return
        self._own.note("reloaded", lineage=lineage)
        stale = served.still_old()
        if stale:
            self._own.note("not-served", lineage=lineage, where=stale)
            logger.warning("certbot-guard: %s was reloaded, but still serves the old certificate of %s on %s.",
                           name, lineage, ", ".join(stale))

    def _reload(self, server: IWebServer) -> None:
        """Once more where another run had it stopped in just that moment, as soon as that one has let go of it."""
        try:
            server.reload()
        except RefusedError:
            if self._own.is_stopped or server.look()["serving"]:
                raise
            self._wait_for_the_other(server)
            if not server.look()["serving"]:
                raise
            server.reload()

    def _wait_for_the_other(self, server: IWebServer) -> None:
        """No longer than our own sentinel lets us, and not at all while we hold the lock, for a passage: nobody else
        can have stopped it then, and whoever brings it back waits for us."""
        if serverhold.holds_lock_in(serverlock.lock_directory(), os.getpid()):
            return
        try:
            lock = serverlock.take(server.identity, self._own.config.server.max_outage_seconds + _PATIENCE_SECONDS,
                                   give_up=lambda: self._own.is_stopped)
        except StateError:  # nobody can hold it, then
            return
        if lock is not None:
            os.close(lock)

    def _by_installer(self, installer: str, config: Any, lineage: str) -> None:
        """What certbot would have done with it is done."""
        for entry in entrypoints.of_group(entrypoints.CERTBOT_PLUGINS):
            if entry.name == installer:
                plugin = entry.load()(config, installer)
                plugin.prepare()
                plugin.restart()
                self._own.note("reloaded", lineage=lineage, by=installer)
                return
        self._not_reloaded("reload-failed", f"the installer {installer}, which the renewal configuration names, is not "
                           "installed", "", lineage)

    def _not_reloaded(self, kind: str, reason: str, detail: str, lineage: str) -> None:
        name = self._own.server_name
        self._own.note(kind, lineage=lineage, reason=reason, detail=detail)
        logger.warning("certbot-guard: the new certificate of %s is on disk, but %s was not reloaded: %s%s", lineage,
                       name, reason, f"\n{detail}" if detail else "")
