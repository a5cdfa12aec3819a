"""What stands behind a web server that is a proxy: answers pages, a long download, and websockets by an echo."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading

from tests.support.apache import SLOW_FILE_BYTES
from tests.support.ports import free_port

BEHIND = b"from behind\n"
_RFC6455 = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Backend:
    """Listens on :attr:`port` of the loopback until :meth:`close`."""

    def __init__(self) -> None:
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
                if b"Sec-WebSocket-Key" in fields:
                    return await _echo(reader, writer, fields[b"Sec-WebSocket-Key"])
                length = SLOW_FILE_BYTES if head.startswith(b"GET /slow.bin ") else len(BEHIND)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
                for at in range(0, length, 65536):
                    writer.write(BEHIND if length == len(BEHIND) else bytes(min(65536, length - at)))
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # it has gone away
        finally:
            writer.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes) -> None:
    """Frames of less than 126 bytes, masked, are given back unmasked."""
    accepted = base64.b64encode(hashlib.sha1(key + _RFC6455).digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Accept: %s\r\n\r\n" % accepted)
    while True:
        first, length = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        words = await reader.readexactly(length & 0x7F)
        writer.write(bytes([first, len(words)]) + bytes(one ^ mask[at % 4] for at, one in enumerate(words)))
        await writer.drain()
