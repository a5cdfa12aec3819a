"""A loopback port that behaves badly: accepts and says nothing, or says something one byte a second."""

from __future__ import annotations

import socket
import threading
from typing import Optional


class BadListener:
    """Accepts connections on ``port`` and never serves one. With ``drip``, sends those bytes one at a time."""

    def __init__(self, port: int, drip: bytes = b"", seconds_per_byte: float = 1.0) -> None:
        self.connections = 0
        self._drip, self._seconds = drip, seconds_per_byte
        self._closed = threading.Event()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen(64)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._hold, args=(connection,), daemon=True).start()

    def _hold(self, connection: socket.socket) -> None:
        position = 0
        with connection:
            while not self._closed.wait(self._seconds if self._drip else None):
                try:
                    # The last byte is said again and again: the drip never ends.
                    connection.sendall(self._drip[min(position, len(self._drip) - 1):][:1])
                except OSError:
                    return
                position += 1

    def close(self) -> None:
        self._closed.set()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
        except OSError:
            pass
        self._socket.close()
        self._thread.join(2)


class Switchable:
    """A server on a port of its own that a test can break and heal. Subclasses say how to serve."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._bad: Optional[BadListener] = None
        self._serving = False

    @property
    def connections(self) -> int:
        """How many have connected since it began to hang or drip."""
        return self._bad.connections if self._bad is not None else 0

    def _start(self) -> None:
        raise NotImplementedError

    def _stop(self) -> None:
        raise NotImplementedError

    def _leave(self) -> None:
        if self._serving:
            self._stop()
            self._serving = False
        if self._bad is not None:
            self._bad.close()
            self._bad = None

    def refuse(self) -> None:
        """New connections are refused from now on."""
        self._leave()

    def hang(self) -> None:
        """Connections are accepted from now on, and never answered."""
        self._leave()
        self._bad = BadListener(self.port)

    def drip(self, said: bytes = b"220 ", seconds_per_byte: float = 1.0) -> None:
        """An answer begins, one byte a second, and never ends."""
        self._leave()
        self._bad = BadListener(self.port, said, seconds_per_byte)

    def heal(self) -> None:
        """It serves as it should, from now on."""
        if not self._serving:
            self._leave()
            self._start()
            self._serving = True

    def close(self) -> None:
        self._leave()
