"""Loopback ports that no other test process is given, however many run at once."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

# Outside the range that the kernel takes the ports of outgoing connections from (32768 and up).
FIRST, LAST = 20000, 32000
_held: dict[int, int] = {}


def _directory() -> Path:
    path = Path(tempfile.gettempdir()) / f"certbot-guard-ports-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on now, and that this process keeps for itself until it ends.

    A lock file holds it, not a socket: what is tested may listen on it, stop, and listen again.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    source = random.SystemRandom()
    for _ in range(500):
        port = source.randrange(FIRST, LAST)
        if port in _held:
            continue
        lock = os.open(_directory() / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError:
            os.close(lock)
            continue
        _held[port] = lock
        return port
    raise RuntimeError("no free port found")
