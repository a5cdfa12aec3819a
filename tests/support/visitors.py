"""Visitors of a web server who come all the time: kept connections and new ones, and every request that failed."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Optional

from tests.support.apache import SLOW_FILE_BYTES

BODY = b"it works\n"


class Load:
    """Visitors, one request after another. Only a connection that was idle may be found closed (RFC 9112, 9.5)."""

    def __init__(self, address: str, port: int, host: str = "plain") -> None:
        self.place, self.host = (address, port), host
        self.over, self.answered, self.closed_idle = False, 0, 0
        self.failed: list[str] = []

    async def client(self, keep: bool, pause: float = 0.001) -> None:
        connection, fresh = None, True
        request = f"GET /index.html HTTP/1.1\r\nHost: {self.host}\r\n" + ("" if keep else "Connection: close\r\n") + "\r\n"
        while not self.over:
            try:
                fresh = connection is None
                connection = connection or await asyncio.open_connection(*self.place)
                reader, writer = connection
                writer.write(request.encode("ascii"))
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
                assert head.startswith(b"HTTP/1.1 200"), head
                body = await asyncio.wait_for(reader.readexactly(len(BODY)), 5)
                assert body == BODY
                self.answered += 1
                if not keep or b"connection: close" in head.lower():
                    writer.close()
                    connection = None
            except (OSError, AssertionError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
                closed = isinstance(error, ConnectionError) or (
                    isinstance(error, asyncio.IncompleteReadError) and not error.partial)
                if closed and not fresh:
                    self.closed_idle += 1
                else:
                    self.failed.append(repr(error))
                connection = None
            await asyncio.sleep(pause)
        if connection is not None:
            connection[1].close()


    async def download(self) -> None:
        """One long answer, which is still on its way when everything is over, and then is whole."""
        reader, writer = await asyncio.open_connection(*self.place)
        try:
            writer.write(f"GET /slow.bin HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode("ascii"))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert head.startswith(b"HTTP/1.1 200"), head
            received = 0
            while not self.over:
                received += len(await reader.read(4096))
                await asyncio.sleep(0.1)
            while part := await asyncio.wait_for(reader.read(1024 * 1024), 10):
                received += len(part)
            assert received == SLOW_FILE_BYTES, f"{received} of {SLOW_FILE_BYTES} bytes"
        except (OSError, AssertionError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            self.failed.append(f"the download: {error!r}")
        finally:
            writer.close()


class Visitors:
    """Within ``with`` five visitors are there; afterwards :attr:`failed` says what they did not get."""

    def __init__(self, address: str, port: int, host: str = "localhost") -> None:
        self._load = Load(address, port, host)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._come()), daemon=True)

    async def _come(self) -> None:
        await asyncio.gather(self._load.download(),
                             *(self._load.client(keep, 0.02) for keep in (True, True, False, False)))

    @property
    def failed(self) -> list[str]:
        return self._load.failed

    @property
    def answered(self) -> int:
        return self._load.answered

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                 where: Optional[TracebackType]) -> None:
        self._load.over = True
        self._thread.join(20)
        assert not self._thread.is_alive(), "a visitor waits for ever"
