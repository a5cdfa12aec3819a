"""A service with real TLS behind whatever is said before it: STARTTLS, or nothing."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path
from typing import Callable

from tests.support.ports import free_port


class Scripted:
    """Real TLS behind a dialogue: ``script`` talks on the plain connection and says whether TLS follows."""

    def __init__(self, pair: tuple[Path, Path], script: Callable[[socket.socket], bool] = lambda connection: True,
                 port: int = 0) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*pair)
        self._script, self.connections = script, 0
        self._socket = socket.create_server(("127.0.0.1", port or free_port()), backlog=128)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.settimeout(20)
                if self._script(connection):
                    with self._context.wrap_socket(connection, server_side=True) as secure:
                        secure.recv(1)
            except OSError:
                pass

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()
        self._thread.join(5)
