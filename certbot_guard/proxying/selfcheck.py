"""Does each name of a lineage get its challenge through the running Apache? Asked before certbot is let go on.

What stands in a virtual host may beat what stands in our file, so nothing is concluded from the configuration.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Iterable

from certbot_guard.errors import ServerError
from certbot_guard.proxying import addresses, snippet
from certbot_guard.proxying.asking import Answer, Ports, ask
from certbot_guard.proxying.responder import Responder
from certbot_guard.servers import probe

SECONDS = 3.0
# For all of them together: a lineage of many names on an Apache that answers none is stopped for.
TOTAL_SECONDS = 20.0
# Workers of before the reload may still accept for a moment.
_AGAIN_SECONDS = 0.1
_TRIES = 3
_PARALLEL = 16


@dataclass(frozen=True)
class Missed:
    """A name that did not get its token at ``address``, and what it got instead."""

    name: str
    address: str
    got: Answer

    def __str__(self) -> str:
        return f"{self.name} at {self.address}: {self.got}"


def places(snapshot: dict[str, Any], port: int) -> list[str]:
    """The addresses to ask at: all where the server of this snapshot (``IWebServer.look``) answers HTTP on ``port``."""
    return addresses.reachable(found["address"] for found in snapshot.get("sockets") or []
                               if found["port"] == port and found["gave"] == probe.HTTP)


def check(names: Iterable[str], at: list[str], loopback_port: int, ports: Ports) -> list[Missed]:
    """Who did not get the token; an empty list: everybody did, at each address of ``at``.

    Each is asked for three seconds at the most, sixteen at a time, and after twenty nobody is any more. Nobody listens on ``loopback_port`` afterwards.

    :raises ServerError: somebody else listens there, or there is nothing to ask.
    """
    hosts = list(dict.fromkeys(snippet.host(name) for name in names if not name.startswith("*.")))
    if not hosts or not at:
        raise ServerError("there is no name to ask for" if at else f"Apache answers HTTP nowhere on port {ports.http}")
    mine = frozenset(hosts)
    # Not at the top: it cannot be imported any more at certbot's exit, when threads are over (Python 3.9 to 3.13).
    from concurrent.futures import ThreadPoolExecutor

    latest = time.monotonic() + TOTAL_SECONDS
    with Responder(loopback_port) as responder:
        def one(place: tuple[str, str]) -> Missed:
            deadline = min(time.monotonic() + SECONDS, latest)
            return Missed(place[0], place[1], _ask_again(place[1], place[0], responder, ports, mine, deadline))

        asked = [(host, address) for host in hosts for address in at]
        with ThreadPoolExecutor(min(len(asked), _PARALLEL)) as pool:
            answers = list(pool.map(one, asked))
        return [answer for answer in answers if not _proves(answer.got, responder)]


def _ask_again(address: str, host: str, responder: Responder, ports: Ports, mine: frozenset[str],
               deadline: float) -> Answer:
    answer = Answer(trouble="it was not asked")
    for attempt in range(_TRIES):
        if time.monotonic() >= deadline:
            break
        if attempt:
            time.sleep(_AGAIN_SECONDS)
        answer = ask(address, host, responder.path, ports, mine, deadline - time.monotonic())
        if _proves(answer, responder) or time.monotonic() + _AGAIN_SECONDS >= deadline:
            break
    return answer


def _proves(answer: Answer, responder: Responder) -> bool:
    # Exactly, but for white space at the end (RFC 8555, 8.3): a page that had something added is refused by a CA.
    return answer.status == 200 and answer.body.rstrip() == responder.proof
