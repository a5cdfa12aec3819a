"""Is it serving? The sockets of a snapshot, beside what a server's own processes listen on and give now.

Serving takes both: a standalone certbot answers HTTP, too, and a listening socket alone proves nothing
(Apache reads its configuration a second time after it has detached). But a live server that listens is never
called down because it did not answer in time: it may be busy, and nobody could make it less so.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Optional, Sequence

from certbot_guard.errors import ForeignOwnerError, ServerError
from certbot_guard.servers import probe, processes, sockets
from certbot_guard.servers.probe import CONNECTION, Place
from certbot_guard.servers.sockets import Listener

# Measured, Apache 2.4.71: 1 virtual host serves 0.06 s after the start, 1000 with TLS after 3.6 s.
START_SECONDS = 10.0
START_SECONDS_PER_VHOST = 0.01
_DYING_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.003
_LONGEST_PAUSE_SECONDS = 0.2
# Between looks whether a port is free: each is outage, and costs a tenth of this.
_FREE_PAUSE_SECONDS = 0.001


def patience_seconds(vhosts: int) -> float:
    """How long a start may take until it counts as failed."""
    return START_SECONDS + START_SECONDS_PER_VHOST * vhosts


def look_at(held: Sequence[Listener]) -> list[dict[str, Any]]:
    """The sockets of a snapshot: what each of ``held`` gives. A silent one still listens."""
    expected: dict[Place, Optional[str]] = {(listener.address, listener.port): None for listener in held}
    return [
        {"address": address, "port": port, "gave": gave or CONNECTION}
        for (address, port), gave in sorted(probe.probe_all(expected).items())
    ]


def wanted(snapshot: dict[str, Any]) -> dict[Place, str]:
    """The places of a snapshot and what each gave."""
    return {(found["address"], found["port"]): found["gave"] for found in snapshot.get("sockets") or []}


def serves(before: dict[Place, str], held: Sequence[Listener]) -> bool:
    """Does each place belong to ``held``, and give what it gave before?"""
    if _missing(before, held):
        return False
    return not _contradicted(before, probe.probe_all(dict(before)))


def answers_as(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Did a later snapshot find, at every place of an earlier one, an answer like the one it gave there?"""
    gave = wanted(now)
    return all(probe.satisfies(gave.get(place), what) for place, what in wanted(before).items())


def answers(before: dict[Place, str], held: Sequence[Listener], seconds: float) -> bool:
    """Like :func:`serves`, but silence is a no: is a start needless? Ends within a few ``seconds``."""
    if not before or _missing(before, held):
        return False
    gave = probe.probe_all(dict(before), seconds)
    return all(probe.satisfies(gave[place], what) for place, what in before.items())


def wait(
    before: dict[Place, str],
    held_now: Callable[[], Sequence[Listener]],
    may_still_come: Callable[[], bool],
    seconds: float,
) -> bool:
    """Wait until the server gives what it gave ``before`` (nothing known: until all it listens on answers).

    Returns True then, and False as soon as it cannot come any more: it listens nowhere and ``may_still_come``
    says no.

    :raises ServerError: it runs, but ``seconds`` later a place is missing or gives something else than
        before.
    """
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    passed: set[Place] = set()
    gave: dict[Place, Optional[str]] = {}
    while True:
        held = held_now()
        if not held and not may_still_come():
            return False
        places: dict[Place, str] = before or {
            (listener.address, listener.port): CONNECTION for listener in held
        }
        absent = _missing(places, held)
        gave = probe.probe_all(
            {place: what for place, what in places.items() if place not in passed and place not in absent},
            max(0.05, min(probe.TIMEOUT_SECONDS, deadline - time.monotonic())),
        )
        passed |= {place for place, answer in gave.items() if probe.satisfies(answer, places[place])}
        if held and passed >= places.keys() and not absent:
            return True
        if time.monotonic() >= deadline:
            break
        if gave:  # it was asked and did not satisfy: there is no use in asking it hundreds of times
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        time.sleep(pause)
    if absent or not held:
        raise ServerError(f"it runs, but does not listen on {_text(absent or places)}, as it did before")
    wrong = _contradicted(places, gave)
    if wrong:
        raise ServerError(f"it runs, but gives something else than before on {_text(wrong)}")
    return True


def wait_until_free(inodes: set[int], seconds: float) -> bool:
    """Wait until none of these sockets listens any more. False if one still does after ``seconds``."""
    deadline = time.monotonic() + seconds
    while inodes & sockets.inodes_listening():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_FREE_PAUSE_SECONDS)
    return True


def claims(port: int, address: str, is_ours: Callable[[int], bool], name: str) -> bool:
    """Does the server listen in the way of a challenge server on ``address`` and ``port``?

    :raises ForeignOwnerError: somebody else does, alone or together with it.
    """
    in_the_way = _in_the_way(port, address)
    for held in in_the_way.values():
        strangers = [pid for pid in held if not is_ours(pid)]
        if strangers or not held:
            raise foreign(port, strangers[0] if strangers else None, name)
    return bool(in_the_way)


def refuse_strangers(before: dict[Place, str], is_ours: Callable[[int], bool], name: str) -> None:
    """:raises ForeignOwnerError: a place of the server is taken, so that it could not start."""
    for address, port in before:
        claims(port, address, is_ours, name)


def _in_the_way(port: int, address: str) -> dict[Listener, list[int]]:
    """The sockets that a bind to ``address`` and ``port`` would meet, and who holds each."""
    deadline = time.monotonic() + _DYING_SECONDS
    while True:
        owners = sockets.owners(
            [one for one in sockets.listeners([port]) if one.in_the_way_of(address, port)]
        )
        # A process that was killed may have lost its files, so that nobody holds a socket that still listens.
        if all(owners.values()) or time.monotonic() > deadline:
            return owners
        time.sleep(0.005)


def foreign(port: int, pid: Optional[int], name: str) -> ForeignOwnerError:
    owner = processes.describe(pid) if pid else None
    if pid and processes.is_outside_our_container(pid):
        owner = f"{owner} outside of this container"
    return ForeignOwnerError(
        f"port {port} belongs to {owner or 'a process that cannot be seen'}, not to {name}", port, owner
    )


def _missing(places: dict[Place, str], held: Sequence[Listener]) -> list[Place]:
    return [place for place in places if not any(listener.covers(*place) for listener in held)]


def _contradicted(places: dict[Place, str], gave: dict[Place, Optional[str]]) -> list[Place]:
    """The places that gave an answer, and another one than before. Silence is no answer."""
    return [
        place
        for place, answer in gave.items()
        if answer not in (None, CONNECTION) and not probe.satisfies(answer, places[place])
    ]


def _text(places: Any) -> str:
    return ", ".join(f"{f'[{address}]' if ':' in address else address}:{port}" for address, port in places)
