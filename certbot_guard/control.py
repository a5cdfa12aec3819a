"""How the plugin and the hooks ask the sentinel for something: one JSON line each way over a socket in the run.

The socket lies in the run's directory, which is root's alone; that is the whole of its access control.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Optional

from certbot_guard.run import SOCKET, Run

REPLY_LIMIT_BYTES = 64 * 1024


@contextmanager
def _short_path(directory: Path) -> Iterator[str]:
    """A socket path is limited to 107 bytes, a state directory is not: go through an open descriptor."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


def listen(run: Run) -> socket.socket:
    """A listening socket for this run's sentinel; a leftover of an earlier one is replaced."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    os.fchmod(server.fileno(), 0o600)  # the mode that bind() gives the file
    with _short_path(run.directory) as path:
        if os.path.lexists(path):
            os.unlink(path)
        server.bind(path)
    server.listen(16)
    return server


def ask(run: Run, request: dict[str, Any], patience_seconds: float) -> Optional[dict[str, Any]]:
    """The sentinel's answer, or None if there is no sentinel or it did not answer in time."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(patience_seconds)
            with _short_path(run.directory) as path:
                client.connect(path)
            client.sendall(json.dumps(request).encode() + b"\n")
            reply = _line(client)
        answer = json.loads(reply)
        return answer if isinstance(answer, dict) else None
    except (OSError, ValueError):
        return None


def tell(run: Run, request: dict[str, Any]) -> bool:
    """Leave a request with the sentinel without waiting for its answer. False: there is nobody to leave it with."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(0.5)
            with _short_path(run.directory) as path:
                client.connect(path)
            client.sendall(json.dumps(request).encode() + b"\n")
        return True
    except OSError:
        return False


def receive(connection: socket.socket) -> dict[str, Any]:
    """:raises ValueError: what came is not a request."""
    request = json.loads(_line(connection))
    if not isinstance(request, dict):
        raise ValueError("a request is an object")
    return request


def reply(connection: socket.socket, answer: dict[str, Any]) -> None:
    """Whoever asked may be gone by now; that is no reason to stop."""
    try:
        connection.sendall(json.dumps(answer).encode() + b"\n")
    except OSError:
        pass


def _line(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n") and len(data) < REPLY_LIMIT_BYTES:
        chunk = connection.recv(4096)
        if not chunk:
            break
        data += chunk
    return data
