"""How long Apache was away, as a visitor sees it."""

from __future__ import annotations

import socket
import struct
import threading
import time
from typing import Optional


class OutageWatch:
    """Asks a port for a page, over new connections, until :meth:`stop`; usable in a ``with`` statement.

    Only an answer that calls itself Apache counts: certbot's own server answers on the same port while it has it.
    """

    def __init__(self, address: str, port: int, seconds_between: float = 0.005) -> None:
        self._where, self._between = (address, port), seconds_between
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._closed: list[tuple[float, float]] = []
        self._down_since: Optional[float] = None
        self.looks = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            answered = apache_answers(*self._where)
            ended = time.monotonic()
            with self._lock:
                self.looks += 1
                if not answered and self._down_since is None:
                    self._down_since = began
                elif answered and self._down_since is not None:
                    self._closed.append((self._down_since, ended))
                    self._down_since = None
            self._over.wait(max(0.0, self._between - (ended - began)))

    @property
    def intervals(self) -> list[tuple[float, float]]:
        """When it was down: (from, to), monotonic seconds. One that lasts ends now."""
        with self._lock:
            lasting = [(self._down_since, time.monotonic())] if self._down_since is not None else []
            return self._closed + lasting

    @property
    def durations(self) -> list[float]:
        return [end - begin for begin, end in self.intervals]

    @property
    def longest(self) -> float:
        """Seconds; 0.0 if it was never down."""
        return max(self.durations, default=0.0)

    @property
    def total(self) -> float:
        return sum(self.durations)

    @property
    def down(self) -> bool:
        with self._lock:
            return self._down_since is not None

    def stop(self) -> None:
        self._over.set()
        self._thread.join(10)

    def __enter__(self) -> OutageWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def apache_answers(address: str, port: int, seconds: float = 2.0) -> bool:
    """A new connection gets an answer from a program that calls itself Apache."""
    try:
        with socket.create_connection((address, port), timeout=seconds) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while b"\r\n\r\n" not in answer:
                part = connection.recv(4096)
                if not part:
                    return False
                answer += part
            if b"\r\nServer: Apache" in answer:
                # RST at the end: thousands of looks must leave no connection behind that Apache has to wait for.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return True
            while connection.recv(4096):  # certbot's server would complain of a reset, in certbot's output
                pass
            return False
    except OSError:
        return False
