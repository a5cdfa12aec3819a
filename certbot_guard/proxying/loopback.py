"""A port on the loopback for certbot's challenge server, that nobody but root can listen on in its stead.

Between two challenges nobody listens there while Apache still hands tokens over. On a port that every user may bind, a
user of this machine could answer a challenge in that moment, and be given a certificate for a name that is not his.

Among those who may bind low ports are some that take any that is free (bindresvport: NFS, rsh), and other runs of ours.
So the port is kept: bound, and not listened on, from when it is chosen until the lineage is done with or certbot ends.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Optional

from certbot_guard.errors import ServerError

ADDRESS = "127.0.0.1"
_FIRST, _ORDINARY = 600, 1024
_UNPRIVILEGED_FROM = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def free_port(unprivileged_from: Path = _UNPRIVILEGED_FROM) -> int:
    """A port on :data:`ADDRESS` that is nobody's now. Nobody keeps it. Raises as :func:`keep`."""
    with keep(unprivileged_from) as kept:
        return port_of(kept)


def keep(unprivileged_from: Path = _UNPRIVILEGED_FROM) -> socket.socket:
    """A port on :data:`ADDRESS` that was nobody's, and is ours until what is returned is closed.

    Meanwhile a process may listen there only if it says before that it shares its port (SO_REUSEADDR). certbot's own
    server does, which inherits that from http.server (acme 2.1 to 5.8). Another one that does, and that was told this
    very number, may still come between: the self-check tells, or certbot.

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
        kept = _kept(port)
        if kept is not None:
            return kept
    raise ServerError(f"no port from {_FIRST} to {last - 1} of {ADDRESS} can be listened on")


def port_of(kept: socket.socket) -> int:
    return int(kept.getsockname()[1])


def _kept(port: int) -> Optional[socket.socket]:
    # A well-known service that does not run now may be started in this very moment.
    try:
        socket.getservbyport(port, "tcp")
        return None
    except OSError:
        pass
    kept = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        kept.bind((ADDRESS, port))
        # Not before: two that share may both bind, so of two runs that choose at once each would think it has the port.
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return kept
    except OSError:
        kept.close()
        return None
