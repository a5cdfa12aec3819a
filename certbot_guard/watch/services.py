"""What the web server and the endpoints of guard.ini show, compared with what certbot has on the disk; as events."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Optional

from certbot_guard.config import Config
from certbot_guard.endpoints import Endpoint
from certbot_guard.interfaces import IWebServer
from certbot_guard.watch import judge, sites, tls
from certbot_guard.watch.ondisk import Disk, on_disk

DEADLINE_SECONDS = 60.0
_PAUSE_SECONDS = 10.0
_AGAIN_SECONDS = 20.0
# A service may be back from its reload before its workers show the new one.
_PATIENCE_SECONDS = (1.0, 3.0, 8.0)
# A run between the save of a certificate and the reload is no trouble.
SETTLED_AFTER = timedelta(minutes=10)

Note = Callable[..., object]


@dataclass(frozen=True)
class Seen:
    """:ivar asked: the places that were looked at and could be judged, as they are named in events
    :ivar complete: every place that there is was
    :ivar endpoints: those of guard.ini
    """

    asked: frozenset[str] = frozenset()
    complete: bool = False
    endpoints: frozenset[str] = frozenset()


def look(config: Config, config_dirs: Sequence[Path], server: Optional[IWebServer], note: Note, now: datetime,
         pause: Callable[[float], None] = time.sleep) -> Seen:
    """Note each place that does not show what it should.

    :param server: one that serves; None where there is none to look at
    """
    disk = Disk([lineage for config_dir in config_dirs for lineage in on_disk(config_dir)])
    hosts = sites.of_server(server, disk) if server is not None else sites.Sites()
    named = [_place(one) for one in config.watch.endpoints]
    shown = tls.look([*hosts.places, *named], DEADLINE_SECONDS)
    silent = [number for number, one in enumerate(shown) if one.asked and not one.chain]
    if silent:  # a service that restarts, or is busy for a moment, is asked once more
        pause(_PAUSE_SECONDS)
        for number, again in zip(silent, tls.look([shown[number].place for number in silent], _AGAIN_SECONDS)):
            shown[number] = again
    parts = ((shown[:len(hosts.places)], True), (shown[len(hosts.places):], False))
    told = [fields for part, unknown_ok in parts for fields in _judged(part, disk, now, unknown_ok, SETTLED_AFTER)]
    for fields in told:
        note("shown", **fields)
    # What was renewed a moment ago and is not shown yet is neither wrong nor well.
    young = {fields["place"] for part, unknown_ok in parts for fields in _judged(part, disk, now, unknown_ok)}
    young -= {fields["place"] for fields in told}
    nowhere = server is None and (config.watch.served == "no" or not config.server_usable)
    complete = ((server is not None or nowhere) and not hosts.problem and not hosts.left_out and not young
                and all(one.asked for one in shown))
    asked = frozenset(_where(one.place) for one in shown if one.asked and not (one.place.guess and not one.chain))
    return Seen(asked - young, complete, frozenset(_where(place) for place in named))


def look_at_endpoints(config: Config, config_dir: Path, note: Note, now: datetime,
                      pause: Callable[[float], None] = time.sleep) -> None:
    """Note each endpoint of guard.ini that shows an old certificate after a reload, and goes on to do so for a while.

    What else is wrong there was so before, and is the watch's.
    """
    disk, places = on_disk(config_dir), [_place(one) for one in config.watch.endpoints]
    found: list[dict[str, Any]] = []
    for seconds in (0.0, *_PATIENCE_SECONDS):
        pause(seconds)
        found = [fields for fields in _judged(tls.look(places, _AGAIN_SECONDS), disk, now, unknown_ok=False)
                 if fields["what"] in ("served-old", "served-expired")]
        places = [place for place in places if _where(place) in {fields["place"] for fields in found}]
        if not places:
            break
    for fields in found:
        note("shown", **fields)


def _place(one: Endpoint) -> tls.Place:
    return tls.Place(one.host, one.port, one.asked, one.starttls, "[watch] endpoints")


def _judged(shown: Sequence[tls.Shown], disk: Disk, now: datetime, unknown_ok: bool,
            settled_after: timedelta = timedelta(0)) -> list[dict[str, Any]]:
    """What is wrong there, as the fields of events."""
    return [{"what": trouble.kind, "lineage": trouble.lineage or None, "place": _where(trouble.place),
             "words": trouble.words, "not_after": trouble.not_after.isoformat() if trouble.not_after else None}
            for one in shown if one.asked for trouble in judge.judge(one, disk, now, unknown_ok, settled_after)]


def _where(place: tls.Place) -> str:
    host = f"[{place.host}]" if ":" in place.host else place.host
    return f"{host}:{place.port}" + (f" ({place.name})" if place.name and place.name != place.host else "")
