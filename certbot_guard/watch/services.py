"""What the web server and the endpoints of guard.ini show, compared with what certbot has on the disk; as events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Optional

from certbot_guard.config import Config
from certbot_guard.endpoints import Endpoint
from certbot_guard.interfaces import IWebServer
from certbot_guard.watch import judge, sites, tls
from certbot_guard.watch.ondisk import Disk, on_disk

DEADLINE_SECONDS = 60.0
# A run between the save of a certificate and the reload is no trouble.
SETTLED_AFTER = timedelta(minutes=10)

Note = Callable[..., object]


def look(config: Config, config_dir: Path, server: Optional[IWebServer], note: Note, now: datetime) -> bool:
    """Note each place that does not show what it should. Returns whether time was left for all of them.

    :param server: one that serves; None where there is none to look at
    """
    disk = on_disk(config_dir)
    hosts = list(sites.of_server(server, disk).places) if server is not None else []
    named = [_place(one) for one in config.watch.endpoints]
    shown = tls.look([*hosts, *named], DEADLINE_SECONDS)
    _judge(shown[:len(hosts)], disk, note, now, unknown_ok=True)
    _judge(shown[len(hosts):], disk, note, now, unknown_ok=False)
    return all(one.asked for one in shown)


def look_at_endpoints(config: Config, config_dir: Path, note: Note, now: datetime, deadline: timedelta) -> None:
    """The same for the endpoints of guard.ini alone."""
    shown = tls.look([_place(one) for one in config.watch.endpoints], deadline.total_seconds())
    _judge(shown, on_disk(config_dir), note, now, unknown_ok=False, settled_after=timedelta(0))


def _place(one: Endpoint) -> tls.Place:
    return tls.Place(one.host, one.port, one.asked, one.starttls, "[watch] endpoints")


def _judge(shown: Sequence[tls.Shown], disk: Disk, note: Note, now: datetime, unknown_ok: bool,
           settled_after: timedelta = SETTLED_AFTER) -> None:
    for one in shown:
        if one.asked:
            for trouble in judge.judge(one, disk, now, unknown_ok, settled_after):
                note("shown", what=trouble.kind, lineage=trouble.lineage or None, place=_where(trouble.place),
                     words=trouble.words, not_after=trouble.not_after.isoformat() if trouble.not_after else None)


def _where(place: tls.Place) -> str:
    host = f"[{place.host}]" if ":" in place.host else place.host
    return f"{host}:{place.port}" + (f" ({place.name})" if place.name and place.name != place.host else "")
