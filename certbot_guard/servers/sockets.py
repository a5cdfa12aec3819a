"""Listening TCP sockets of this network namespace, and the processes that hold them."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from typing import Iterable, Optional

from certbot_guard.servers import sockdiag

_LISTEN = b"0A"
_CHUNK_LINES = 256
ANY_ADDRESSES = ("0.0.0.0", "::")  # nosec B104 # here and below: others listen there
# Where a visitor on this machine finds a socket that listens on every address.
_LOOPBACK = {"0.0.0.0": ("127.0.0.1",), "::": ("::1", "127.0.0.1")}  # nosec B104
_KNOCK_SECONDS = 0.02


@dataclass(frozen=True)
class Listener:
    """One listening socket. ``inode`` names the socket itself: another one on the same port has another."""

    address: str
    port: int
    inode: int

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.address

    def covers(self, address: str, port: int) -> bool:
        """Does a visitor of ``address`` and ``port`` come here? An IPv6 wildcard takes IPv4 on Linux."""
        if self.port != port:
            return False
        return (
            self.address == address
            or self.address == "::"
            or (self.address == "0.0.0.0" and ":" not in address)  # nosec B104
        )

    def in_the_way_of(self, address: str, port: int) -> bool:
        """Would a server that binds ``address`` (``""``: every one) and ``port`` meet this socket?"""
        if self.port != port:
            return False
        if not address or address == "::" or self.address == "::":
            return True
        if self.is_ipv6 != (":" in address):
            return False
        return address in (self.address, "0.0.0.0") or self.address == "0.0.0.0"  # nosec B104


def listeners(ports: Optional[Iterable[int]] = None) -> list[Listener]:
    """Every listening TCP socket, or those on ``ports``."""
    wanted = None if ports is None else set(ports)
    return [listener for listener in _every_listener() if wanted is None or listener.port in wanted]


def inodes_listening() -> set[int]:
    """The inodes of all listening sockets: what a caller asks often."""
    return {listener.inode for listener in _every_listener()}


def _every_listener() -> list[Listener]:
    try:
        return [Listener(*found) for found in sockdiag.listening()]
    except OSError:  # a kernel without it, or a sandbox that does not let us ask
        return listeners_in_proc()


def listeners_in_proc() -> list[Listener]:
    """Every listening TCP socket, as /proc shows them."""
    return [
        Listener(_address(local[:-5]), int(local[-4:], 16), inode)
        for path in ("/proc/self/net/tcp", "/proc/self/net/tcp6")
        for local, inode in _listening_lines(path)
    ]


def held_by(pid: int) -> set[int]:
    """The inodes of the sockets ``pid`` has open, listening or not."""
    found = set()
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(entry.path)
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(int(target[8:-1]))
    except OSError:
        pass
    return found


def of_processes(pids: Iterable[int]) -> list[Listener]:
    """The listening sockets that any of ``pids`` holds."""
    held = set().union(*[held_by(pid) for pid in pids]) if pids else set()
    return [listener for listener in listeners() if listener.inode in held] if held else []


def owners(wanted: Iterable[Listener]) -> dict[Listener, list[int]]:
    """The processes that hold each of ``wanted``. An empty list: none that this process can see."""
    by_inode: dict[int, list[int]] = {listener.inode: [] for listener in wanted}
    if by_inode:
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                for inode in held_by(int(entry)) & by_inode.keys():
                    by_inode[inode].append(int(entry))
    return {listener: sorted(by_inode[listener.inode]) for listener in wanted}


def is_listening(port: int) -> bool:
    """Does anybody listen on ``port``, on any address?"""
    return bool(listeners([port]))


def listening_pids(port: int) -> set[int]:
    """The processes that listen on ``port``, on any address, as far as they can be seen."""
    return {pid for held in owners(listeners([port])).values() for pid in held}


def knock(listener: Listener, strangers: Iterable[Listener]) -> bool:
    """Connect to ``listener`` and hang up, as a visitor who has nothing to ask. Was it reached?

    Never where one of ``strangers`` would answer. Waits for a moment at the most, and sends nothing.
    """
    in_the_way = list(strangers)
    for address in _LOOPBACK.get(listener.address, (listener.address,)):
        if any(other.covers(address, listener.port) for other in in_the_way):
            continue
        try:
            socket.create_connection((address, listener.port), timeout=_KNOCK_SECONDS).close()
            return True
        except OSError:  # no such address on this machine, or it has just left, or it has visitors enough
            continue
    return False


def _listening_lines(path: str) -> list[tuple[str, int]]:
    """``(local address, inode)`` of each listening socket in ``path``."""
    found = []
    try:
        with open(path, "rb") as table:
            next(table, None)
            since = 0
            for line in table:
                fields = line.split(None, 10)
                if fields[3] == _LISTEN:
                    found.append((fields[1].decode("ascii"), int(fields[9])))
                    since = 0
                    continue
                # The kernel lists all listening sockets before the first connection (tcp_seq_start() in
                # net/ipv4/tcp_ipv4.c). A busy server has a hundred thousand connections: they are not read.
                since += 1
                if since >= _CHUNK_LINES:
                    break
    except OSError:  # no IPv6
        pass
    return found


def _address(text: str) -> str:
    """The kernel prints an address as 32-bit words in this machine's byte order."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    raw = struct.pack(f"={len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)
