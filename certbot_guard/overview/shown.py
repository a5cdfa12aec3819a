"""Which certificate visitors are really shown, by lineage: what was asked over TLS, beside what is on the disk. Pure.

Where the places are, and asking them, is :mod:`certbot_guard.overview.webserver`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

from certbot_guard import text
from certbot_guard.watch import judge, services
from certbot_guard.watch.ondisk import Disk, OnDisk, fingerprint, plain_name
from certbot_guard.watch.tls import Place, Shown

SAME, OLD, WRONG, OTHER, SILENT = "same", "old", "wrong", "another one", "no answer"
NOWHERE, NOT_LOOKED_AT = "nowhere", "not looked at"
# The graver one is what is said of a lineage.
_GRAVITY = (OLD, WRONG, SILENT, OTHER, SAME, NOT_LOOKED_AT)
_STATES = {"served-expired": OLD, "served-expiring": OLD, "served-old": OLD, "served-copy": OLD, "served-chain": WRONG,
           "served-name": WRONG, "served-silent": SILENT}
Key = tuple[str, str]  # certbot's configuration directory, the lineage


@dataclass(frozen=True)
class Seen:
    """One place. ``words``: what is wrong there; ``young``: it was renewed a moment ago, so that is no trouble."""

    place: str
    state: str
    words: str = ""
    kind: str = ""
    young: bool = False


@dataclass(frozen=True)
class Served:
    """What visitors of one lineage are shown."""

    state: str = NOT_LOOKED_AT
    places: tuple[Seen, ...] = ()

    @property
    def wrong(self) -> tuple[Seen, ...]:
        return tuple(one for one in self.places if one.words and not one.young)

    def to_json(self) -> dict[str, Any]:
        return {"state": self.state, "places": [
            {"place": text.line(one.place, 300), "state": one.state, "words": one.words or None}
            for one in self.places]}


def compare(shown: Iterable[tuple[Shown, bool]], disk: Disk, now: datetime) -> dict[Key, Served]:
    """By lineage, what was found at its places.

    :param shown: what a place has shown, and whether a certificate that no lineage knows is fine there
    """
    found: dict[Key, list[Seen]] = {}
    for one, unknown_ok in shown:
        for key, seen in _look_at(one, unknown_ok, disk, now):
            found.setdefault(key, []).append(seen)
    return {key: Served(min((one.state for one in seen), key=_GRAVITY.index), tuple(seen))
            for key, seen in found.items()}


def _look_at(one: Shown, unknown_ok: bool, disk: Disk, now: datetime) -> Iterable[tuple[Key, Seen]]:
    where = str(one.place)
    named = _named(one.place, disk)
    if not one.asked:
        if named is not None:
            yield _key(named), Seen(where, NOT_LOOKED_AT)
        return
    print_ = fingerprint(one.chain[0]) if one.chain else ""
    current, earlier = disk.current.get(print_), disk.older.get(print_)
    troubles = judge.judge(one, disk, now, unknown_ok)
    late = {trouble.kind for trouble in judge.judge(one, disk, now, unknown_ok, services.SETTLED_AFTER)}
    if troubles:
        first = troubles[0]
        about = next((lineage for lineage in (current, earlier, named) if lineage is not None
                      and lineage.lineage == first.lineage), current or earlier or named)
        if about is not None:
            state = _STATES.get(first.kind, WRONG)
            yield _key(about), Seen(where, state, first.words, first.kind, first.kind not in late)
        return
    if current is not None:
        yield _key(current), Seen(where, SAME)
    elif earlier is not None:  # of this moment
        yield _key(earlier), Seen(where, OLD, young=True)
    elif one.chain and named is not None:  # one of somebody else's, which may be meant so
        yield _key(named), Seen(where, OTHER)


def _named(place: Place, disk: Disk) -> Optional[OnDisk]:
    """Whose certificate is to be expected there."""
    of_files = disk.of_files(place)
    if of_files is not None or place.guess:
        return of_files
    known = disk.by_name.get(plain_name(place.name), [])
    return known[0] if known else None


def _key(one: OnDisk) -> Key:
    live = Path(one.live)
    return str(live.parent.parent), one.lineage
