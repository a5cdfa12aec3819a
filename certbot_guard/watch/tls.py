"""What a visitor is shown: the certificates a service sends in its TLS handshake, asked at many places at once.

Reads only and judges nothing. :func:`look` is called by the watch; one visit is :mod:`certbot_guard.watch.handshake`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Optional, Sequence

from certbot_guard import text
from certbot_guard.watch import handshake
from certbot_guard.watch.starttls import NoTLSError, no_answer

# A server that just restarts refuses for a moment. What has already been waited for in vain is not asked again.
_AGAIN_SECONDS = 2.0
# Behind a name service that does not answer a thread may hang; it is left alone that long after its time.
_GRACE_SECONDS = 1.0
# Mail servers let strangers wait for the greeting on purpose (Postfix's postscreen: 6 s).
_PATIENCE = {"smtp": 3.0}
# So often in silence, and never an answer: this address is not asked for its other names.
_SILENT_LIMIT = 3


@dataclass(frozen=True)
class Place:
    """Where to look, and as whose visitor.

    :ivar name: asked for (SNI) and expected in the certificate; an address, or nothing, is not asked for
    :ivar starttls: one of :data:`certbot_guard.endpoints.STARTTLS`, or nothing
    :ivar source: where this place comes from, for a person
    :ivar files: the certificate files that the service is configured with, as written there
    :ivar real_files: the same without links
    :ivar guess: nobody says that ``name`` is served there; it is only asked whether it is
    """

    host: str
    port: int
    name: str = ""
    starttls: str = ""
    source: str = ""
    files: tuple[str, ...] = ()
    real_files: tuple[str, ...] = ()
    guess: bool = False

    def __str__(self) -> str:
        address = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return f"{self.name} at {address}" if self.name and self.name != self.host else address


@dataclass(frozen=True)
class Shown:
    """What was shown at ``place``.

    :ivar chain: certificates (DER) as they were sent, the server's own first; empty where there was no TLS answer
    :ivar problem: a short harmless phrase why not
    :ivar chain_known: False where only the first certificate could be had
    :ivar asked: False where the time was over before it was this place's turn: nothing is known of it
    """

    place: Place
    chain: tuple[bytes, ...] = ()
    problem: str = ""
    chain_known: bool = True
    asked: bool = True


def look(places: Sequence[Place], deadline_seconds: float, parallel: int = 32,
         each_seconds: float = 5.0) -> list[Shown]:
    """What each of ``places`` shows, in their order, after ``deadline_seconds`` at the latest; never raises for one.

    Each has ``each_seconds`` of its own (SMTP three times that), and ``parallel`` are asked at once. What fails at once
    is asked again after a moment, once.
    """
    deadline = time.monotonic() + deadline_seconds
    round_ = _Round(places, deadline, parallel, each_seconds)
    again = round_.run(list(range(len(places))))
    if again and time.monotonic() + _AGAIN_SECONDS < deadline:
        time.sleep(_AGAIN_SECONDS)
        second = _Round(places, deadline, min(parallel, 8), each_seconds)
        second.run(again)
        for index in again:
            if second.found[index].asked:
                round_.found[index] = second.found[index]
    return round_.found


@dataclass(frozen=True)
class _Asking:
    """One question under way. :ivar whole: it has all of its time, not just what was left of everybody's"""

    ends: float
    seconds: float
    whole: bool


class _Round:
    """Each place once. Threads are daemons: one that hangs keeps no interpreter from ending."""

    def __init__(self, places: Sequence[Place], deadline: float, parallel: int, each_seconds: float) -> None:
        self._places, self._deadline, self._parallel, self._each = places, deadline, parallel, each_seconds
        self.found = [_no_time(place) for place in places]
        self._done: queue.SimpleQueue[tuple[int, Optional[Shown], Optional[NoTLSError]]] = queue.SimpleQueue()
        self._running: dict[int, _Asking] = {}
        self._dead: dict[tuple[str, int], NoTLSError] = {}
        self._silent: Counter[tuple[str, int]] = Counter()
        self._spoke: set[tuple[str, int]] = set()
        self._again: list[int] = []

    def run(self, indexes: list[int]) -> list[int]:
        """Fill :attr:`found`; returns which of ``indexes`` are worth a second question."""
        waiting = list(reversed(indexes))
        while (waiting or self._running) and time.monotonic() < self._deadline:
            while waiting and len(self._running) < self._parallel:
                self._begin(waiting.pop())
            if self._running:
                self._take()
        return sorted(self._again)

    def _begin(self, index: int) -> None:
        place = self._places[index]
        dead = self._dead.get((place.host, place.port))
        if dead is not None:
            self._failed(index, dead)
            return
        seconds, left = self._each * _PATIENCE.get(place.starttls, 1.0), self._deadline - time.monotonic()
        asking = _Asking(time.monotonic() + min(seconds, left), seconds, seconds <= left)
        self._running[index] = asking
        threading.Thread(target=self._ask, args=(index, asking.ends), daemon=True).start()

    def _ask(self, index: int, ends: float) -> None:
        try:
            place = self._places[index]
            chain, whole = handshake.chain_of(place.host, place.port, place.name, place.starttls, ends)
            self._done.put((index, Shown(place, chain, chain_known=whole), None))
        except NoTLSError as error:
            self._done.put((index, None, error))
        except Exception as error:  # a bug of ours is this place's problem alone
            self._done.put((index, None, NoTLSError(f"it could not be asked: {text.line(error, 120)}")))

    def _take(self) -> None:
        """One answer, or the end of those whose time is over."""
        first = min(asking.ends for asking in self._running.values()) + _GRACE_SECONDS
        try:
            index, shown, error = self._done.get(timeout=max(0.0, min(first, self._deadline) - time.monotonic()))
        except queue.Empty:
            now = time.monotonic()
            for index in [one for one, asking in self._running.items() if now >= asking.ends + _GRACE_SECONDS]:
                self._ended(index, NoTLSError(no_answer(self._running[index].seconds), silent=True))
            return
        if index not in self._running:
            return  # it was given up before
        if error is not None:
            self._ended(index, error)
        elif shown is not None:
            del self._running[index]
            self._spoke.add((shown.place.host, shown.place.port))
            self.found[index] = shown

    def _ended(self, index: int, error: NoTLSError) -> None:
        if error.silent and not self._running[index].whole:
            del self._running[index]
            return  # it may have answered, had there been time
        del self._running[index]
        where = self._places[index].host, self._places[index].port
        self._silent[where] += error.silent
        if error.address or (error.silent and self._silent[where] >= _SILENT_LIMIT and where not in self._spoke):
            self._dead.setdefault(where, error)
        self._failed(index, error)

    def _failed(self, index: int, error: NoTLSError) -> None:
        self.found[index] = Shown(self._places[index], problem=str(error))
        if error.passing:
            self._again.append(index)


def _no_time(place: Place) -> Shown:
    return Shown(place, problem="there was no time left to look", asked=False)
