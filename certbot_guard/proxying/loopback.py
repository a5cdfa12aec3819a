"""A port on the loopback for certbot's challenge server, that nobody but root can listen on in its stead.

Between two challenges nobody listens there while Apache still hands tokens over. On a port that every user may bind, a
user of this machine could answer a challenge in that moment, and be given a certificate for a name that is not his.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

from certbot_guard.errors import ServerError

ADDRESS = "127.0.0.1"
_FIRST, _ORDINARY = 600, 1024
_UNPRIVILEGED_FROM = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def free_port(unprivileged_from: Path = _UNPRIVILEGED_FROM) -> int:
    """A port on :data:`ADDRESS` that nobody listens on now. Another process may still be faster: the self-check tells.

    :raises ServerError: every user of this machine may listen on every port, we may not, or none is free.
    """
    try:
        last = min(int(unprivileged_from.read_text("ascii")), _ORDINARY)
    except (OSError, ValueError):
        last = _ORDINARY
    if last <= _FIRST:
        raise ServerError("every user of this machine may listen on low ports (net.ipv4.ip_unprivileged_port_start), "
                          "and could answer a challenge")
    ports = list(range(_FIRST, last))
    random.SystemRandom().shuffle(ports)
    for port in ports:
        if _is_free(port):
            return port
    raise ServerError(f"no port from {_FIRST} to {last - 1} of {ADDRESS} can be listened on")


def _is_free(port: int) -> bool:
    # A well-known service that does not run now may be started in this very moment.
    try:
        socket.getservbyport(port, "tcp")
        return False
    except OSError:
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As certbot's own server does, which inherits allow_reuse_address from http.server (acme 2.1 to 5.8).
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True
