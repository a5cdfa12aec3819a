"""Who listens on a port, and since when: the kernel is asked every millisecond, by :mod:`benchmarks.window`.

By netlink (sock_diag(7)), which looks at listeners alone: /proc/net/tcp takes tens of milliseconds where thousands of
connections have just ended.
"""

from __future__ import annotations

import socket
import struct
import threading
import time

_BETWEEN_SECONDS = 0.001
# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG, _BY_FAMILY, _REQUEST_DUMP, _ERROR, _DONE = 4, 20, 0x301, 2, 3
_LISTENING = 1 << 10
_HEADER = struct.Struct("=IHHII")
_INODE_AT = 68  # in an inet_diag_msg of 72 bytes; its source port is at 4


class PortWatch:
    """Within ``with``: :attr:`changes` are (monotonic seconds, the inodes that listen from then on)."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
        self.changes: list[tuple[float, frozenset[int]]] = [(time.monotonic(), self._look())]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _look(self) -> frozenset[int]:
        found: set[int] = set()
        for family in (socket.AF_INET, socket.AF_INET6):
            wanted = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 0, _LISTENING)
            self._kernel.send(_HEADER.pack(_HEADER.size + len(wanted), _BY_FAMILY, _REQUEST_DUMP, 0, 0) + wanted)
            while self._take(self._kernel.recv(1 << 16), found):
                pass
        return frozenset(found)

    def _take(self, answer: bytes, found: set[int]) -> bool:
        """Whether more is to come."""
        at = 0
        while at < len(answer):
            length, kind = _HEADER.unpack_from(answer, at)[:2]
            if kind == _DONE:
                return False
            if kind == _ERROR:
                raise OSError(f"sock_diag: error {struct.unpack_from('=i', answer, at + _HEADER.size)[0]}")
            said = answer[at + _HEADER.size:at + length]
            if struct.unpack_from(">H", said, 4)[0] == self._port:
                found.add(struct.unpack_from("=I", said, _INODE_AT)[0])
            at += (length + 3) & ~3
        return True

    def _watch(self) -> None:
        while not self._over.wait(_BETWEEN_SECONDS):
            now, at = self._look(), time.monotonic()
            if now != self.changes[-1][1]:
                self.changes.append((at, now))

    def first(self, since: float, listened_on: bool) -> float:
        """When, from ``since`` on, somebody (or nobody) began to listen. :raises LookupError: it was not seen."""
        for at, who in self.changes:
            if at >= since and bool(who) == listened_on:
                return at
        raise LookupError(f"nothing of that kind was seen from {since} on")

    def __enter__(self) -> PortWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(5)
        self._kernel.close()
