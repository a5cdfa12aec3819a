"""Visitors of a site, at a steady rate, in a process of their own: ``python -m benchmarks.load ADDRESS PORT BACKEND``.

They come until standard input ends; then what each kind of them got is written as JSON. A request that is due is made,
however the ones before it went, so what fails is the rate times how long the site was away. BACKEND is a port on which
this process answers what the site hands on for /socket, as a program behind a websocket does.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import socket
import struct
import sys
import time
from typing import Optional

KEPT, FRESH, DOWNLOAD, WEBSOCKET = "kept connections", "new connections", "a long download", "a websocket"
KINDS = (KEPT, FRESH, DOWNLOAD, WEBSOCKET)
LATE_SECONDS = 0.25
_BODY = b"it works\n"
# Four kept connections, each used every 40 ms, and a new one every 10 ms: 200 requests a second.
_KEPT_CONNECTIONS, _KEPT_SECONDS, _FRESH_SECONDS = 4, 0.04, 0.01
_LINE_SECONDS = 0.05
_WORDS = b"still there?"
_PATIENCE_SECONDS = 5.0
_LONG_BYTES = 32 * 1024 * 1024
_TROUBLE = (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, ValueError)
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Visitors:
    def __init__(self, address: str, port: int) -> None:
        self.place, self.over = (address, port), False
        self.asked = dict.fromkeys(KINDS, 0)
        self.failed = dict.fromkeys(KINDS, 0)
        self.slowest = dict.fromkeys(KINDS, 0.0)
        self.late = dict.fromkeys(KINDS, 0)
        self.why: dict[str, int] = {}

    async def come(self) -> None:
        await asyncio.gather(self.download(), self.websocket(), self.fresh(),
                             *(self.kept(number) for number in range(_KEPT_CONNECTIONS)))

    def _note(self, kind: str, began: float, error: Optional[BaseException] = None) -> None:
        self.asked[kind] += 1
        if error is None:
            seconds = time.monotonic() - began
            self.slowest[kind] = max(self.slowest[kind], seconds)
            self.late[kind] += seconds > LATE_SECONDS
        else:
            self.failed[kind] += 1
            self.why[repr(error)[:100]] = self.why.get(repr(error)[:100], 0) + 1

    async def _get(self, connection: Connection, keep: bool) -> bool:
        """Whether the site keeps the connection. :raises one of _TROUBLE: there was no whole answer from it."""
        reader, writer = connection
        writer.write(_request("/index.html", "" if keep else "Connection: close"))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE_SECONDS)
        if not head.startswith(b"HTTP/1.1 200"):
            raise ValueError(head.split(b"\r\n")[0])  # certbot's own server has the port, and says 404
        if await asyncio.wait_for(reader.readexactly(len(_BODY)), _PATIENCE_SECONDS) != _BODY:
            raise ValueError("another page")
        return b"connection: close" not in head.lower()

    async def _open(self) -> Connection:
        return await asyncio.wait_for(asyncio.open_connection(*self.place), _PATIENCE_SECONDS)

    async def _once(self, kind: str) -> None:
        began, connection = time.monotonic(), None
        try:
            connection = await self._open()
            await self._get(connection, False)
            self._note(kind, began)
        except _TROUBLE as error:
            self._note(kind, began, error)
        finally:
            if connection is not None:
                _drop(connection)

    async def fresh(self) -> None:
        due, tasks = time.monotonic(), set()
        while not self.over:
            task = asyncio.ensure_future(self._once(FRESH))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            due += _FRESH_SECONDS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*tasks)

    async def kept(self, number: int) -> None:
        """A connection that was idle may be found closed (RFC 9112, 9.5): then another is opened, once."""
        connection: Optional[Connection] = None
        due = time.monotonic() + number * _KEPT_SECONDS / _KEPT_CONNECTIONS
        while not self.over:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += _KEPT_SECONDS
            began = time.monotonic()
            try:
                try:
                    was_idle = connection is not None
                    connection = connection or await self._open()
                    stays = await self._get(connection, True)
                except (ConnectionError, asyncio.IncompleteReadError) as error:
                    if not was_idle or getattr(error, "partial", b""):
                        raise
                    connection = await self._open()
                    stays = await self._get(connection, True)
                self._note(KEPT, began)
            except _TROUBLE as error:
                self._note(KEPT, began, error)
                stays = False
            if not stays and connection is not None:
                _drop(connection)
                connection = None
        if connection is not None:
            _drop(connection)

    async def download(self) -> None:
        """One long answer, slowly taken, which is whole in the end; one that breaks off is begun again."""
        while not self.over:
            began, connection = time.monotonic(), None
            try:
                connection = await self._open()
                reader, writer = connection
                writer.write(_request("/slow.bin", "Connection: close"))
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE_SECONDS)
                received = 0
                while not self.over and received < _LONG_BYTES:
                    received += len(await reader.readexactly(4096))
                    await asyncio.sleep(0.1)
                while part := await asyncio.wait_for(reader.read(1024 * 1024), _PATIENCE_SECONDS):
                    received += len(part)
                if not head.startswith(b"HTTP/1.1 200") or received != _LONG_BYTES:
                    raise ValueError(f"{received} bytes after {head[:20]!r}")
                self._note(DOWNLOAD, time.monotonic())
            except _TROUBLE as error:
                self._note(DOWNLOAD, began, error)
                await asyncio.sleep(_LINE_SECONDS)
            finally:
                if connection is not None:
                    _drop(connection)

    async def websocket(self) -> None:
        """One for ever, on which each message comes back; one that breaks is a failure, and begun again."""
        while not self.over:
            began, connection = time.monotonic(), None
            try:
                connection = await self._open()
                reader, writer = connection
                key = base64.b64encode(os.urandom(16))
                writer.write(_request("/socket", "Connection: Upgrade", "Upgrade: websocket",
                                      f"Sec-WebSocket-Key: {key.decode()}", "Sec-WebSocket-Version: 13"))
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE_SECONDS)
                if not head.startswith(b"HTTP/1.1 101") or _accepted(key) not in head:
                    raise ValueError(head.split(b"\r\n")[0])
                while not self.over:
                    began = time.monotonic()
                    writer.write(_message(_WORDS, masked=True))
                    if await asyncio.wait_for(_next_message(reader), _PATIENCE_SECONDS) != _WORDS:
                        raise ValueError("another message")
                    self.slowest[WEBSOCKET] = max(self.slowest[WEBSOCKET], time.monotonic() - began)
                    await asyncio.sleep(_LINE_SECONDS)
                self._note(WEBSOCKET, time.monotonic())
            except _TROUBLE as error:
                self._note(WEBSOCKET, began, error)
                await asyncio.sleep(_LINE_SECONDS)
            finally:
                if connection is not None:
                    _drop(connection)


def _request(path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", *(header for header in headers if header)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _drop(connection: Connection) -> None:
    """RST: thousands of them must not leave as many ports that nobody can use for a minute."""
    writer = connection[1]
    if sock := writer.get_extra_info("socket"):
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
    writer.close()


# -- a websocket (RFC 6455): whole messages of less than 126 bytes are all that is needed -----------------------------


def _accepted(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def _message(words: bytes, masked: bool) -> bytes:
    """A text message in one frame; clients mask theirs."""
    if not masked:
        return bytes((0x81, len(words))) + words
    mask = os.urandom(4)
    return bytes((0x81, 0x80 | len(words))) + mask + _masked(words, mask)


def _masked(words: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(words))


async def _next_message(reader: asyncio.StreamReader) -> bytes:
    """:raises ValueError: what came is another kind of frame."""
    kind, size = await reader.readexactly(2)
    if kind != 0x81 or size & 0x7f > 125:
        raise ValueError(f"a frame {kind:#x} of {size & 0x7f} bytes")
    mask = await reader.readexactly(4) if size & 0x80 else bytes(4)
    return _masked(await reader.readexactly(size & 0x7f), mask)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(line.split(b":", 1)[1].strip() for line in head.split(b"\r\n")
                   if line.lower().startswith(b"sec-websocket-key:"))
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     b"Sec-WebSocket-Accept: " + _accepted(key) + b"\r\n\r\n")
        while True:
            writer.write(_message(await _next_message(reader), masked=False))
    except (*_TROUBLE, StopIteration):
        pass
    finally:
        writer.close()


async def _main(address: str, port: int, backend: int) -> dict[str, object]:
    visitors = Visitors(address, port)
    server = await asyncio.start_server(_echo, "127.0.0.1", backend)
    print("ready", flush=True)
    coming = asyncio.ensure_future(visitors.come())
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    visitors.over = True
    await coming
    server.close()
    return {"asked": visitors.asked, "failed": visitors.failed, "late": visitors.late, "slowest": visitors.slowest,
            "why": visitors.why}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
