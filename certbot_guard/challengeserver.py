"""certbot's own challenge server, seen from outside: does it have its port still, and a knock so that it leaves.

Called by the sentinel, before Apache is to bind that port, and by what gives a lineage up. Knows nothing of runs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from certbot_guard.servers import sockets

# certbot closes its listener right after the record that ends a window; a listener that stays is not waited for long.
_PATIENCE_SECONDS = 10.0
# It looks twice a second whether it is to stop, and at once when somebody connects (socketserver, serve_forever), so
# it is knocked at. Where IPv6 and IPv4 have a server each they stop one after the other, within a second in any case.
_OFTEN_SECONDS = 1.2
_BETWEEN_KNOCKS_SECONDS = (0.01, 0.25)  # until then, and later


@dataclass(frozen=True)
class ChallengeServer:
    """Whatever the certbot with this ``pid`` listens on of these ``ports``."""

    pid: int
    ports: tuple[int, ...]

    @property
    def has_its_port(self) -> bool:
        return bool(self._listeners())

    def wait_until_gone(self) -> None:
        """It has left the port, so that Apache can bind it; or it stays, and was waited for."""
        began = knock_at = time.monotonic()
        often, seldom = _BETWEEN_KNOCKS_SECONDS
        while (held := self._listeners()) and (now := time.monotonic()) < began + _PATIENCE_SECONDS:
            if now >= knock_at:
                _knock(held)
                knock_at = time.monotonic() + (often if now < began + _OFTEN_SECONDS else seldom)
            time.sleep(0.001)

    def _listeners(self) -> list[sockets.Listener]:
        return [listener for listener in sockets.of_processes([self.pid]) if listener.port in self.ports]


def _knock(held: list[sockets.Listener]) -> None:
    """Whoever else listens on that port, on another address, is left in peace."""
    strangers = [other for other in sockets.listeners({one.port for one in held}) if other not in held]
    for listener in held:
        sockets.knock(listener, strangers)
