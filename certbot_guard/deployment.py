"""After a certificate was saved: the server loads it, and shows it; or an event says why not. Part of the session."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from certbot_guard import entrypoints
from certbot_guard.errors import GuardError, RefusedError
from certbot_guard.interfaces import IWebServer

logger = logging.getLogger(__name__)

Note = Callable[..., None]


def load_new_certificate(server: IWebServer, name: str, config_dir: Path, lineage: str, note: Note,
                         is_stopped: Callable[[], bool]) -> None:
    """Reload the server, and look whether the new certificate is what it shows.

    :param name: of the server, for a person
    :param is_stopped: whether a window of this run has the server stopped: then it loads the certificate when it starts
    """
    from certbot_guard.served import Served

    served = Served(server, config_dir, lineage)
    try:
        if not server.look()["serving"]:
            if not is_stopped():
                note("not-reloaded", lineage=lineage, reason="it does not run, and did not before us")
            return  # our own stop: it loads the new certificate when it starts, or settle reloads it
        served.look_before()
        server.reload()
    except GuardError as error:
        kind = "reload-refused" if isinstance(error, RefusedError) else "reload-failed"
        not_reloaded(kind, str(error), getattr(error, "detail", ""), name, lineage, note)
        return
    note("reloaded", lineage=lineage)
    stale = served.still_old()
    if stale:
        note("not-served", lineage=lineage, where=stale)
        logger.warning("certbot-guard: %s was reloaded, but still serves the old certificate of %s on %s.",
                       name, lineage, ", ".join(stale))


def by_installer(installer: str, config: Any, name: str, lineage: str, note: Note) -> None:
    """The renewal configuration names another installer; what certbot would have done with it is done.

    :raises Exception: what that installer raises
    """
    for entry in entrypoints.of_group(entrypoints.CERTBOT_PLUGINS):
        if entry.name == installer:
            plugin = entry.load()(config, installer)
            plugin.prepare()
            plugin.restart()
            note("reloaded", lineage=lineage, by=installer)
            return
    not_reloaded("reload-failed", f"the installer {installer}, which the renewal configuration names, is not installed", "",
                 name, lineage, note)


def not_reloaded(kind: str, reason: str, detail: str, name: str, lineage: str, note: Note) -> None:
    note(kind, lineage=lineage, reason=reason, detail=detail)
    logger.warning("certbot-guard: the new certificate of %s is on disk, but %s was not reloaded: %s%s", lineage, name,
                   reason, f"\n{detail}" if detail else "")
