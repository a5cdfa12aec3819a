"""Visitors of a web server who come all the time: kept connections and new ones, and every request that failed.

Each says what a right answer is (:class:`Ask`): what is not that one is a failure, as no answer is.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Optional, Sequence

from cryptography import x509

from tests.support.apache import SLOW_FILE_BYTES

BODY = b"it works\n"
# Whoever waits for that long is told nothing any more. It is no measure of speed.
_PATIENCE_SECONDS = 20.0
_TROUBLES = (OSError, AssertionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError)
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Ask:
    """One request, and what the right answer to it is.

    :ivar says: the whole body; None where it is whatever goes with the status
    :ivar login: ``user:password``
    """

    host: str
    path: str = "/index.html"
    tls: bool = False
    status: int = 200
    says: Optional[bytes] = BODY
    location: str = ""
    login: str = ""

    def request(self, *headers: str) -> bytes:
        if self.login:
            headers = (*headers, "Authorization: Basic " + base64.b64encode(self.login.encode()).decode())
        return "\r\n".join([f"GET {self.path} HTTP/1.1", f"Host: {self.host}", *headers, "", ""]).encode("ascii")


@dataclass(frozen=True)
class Failure:
    """What somebody did not get, and from when to when (monotonic seconds) he was at it."""

    began: float
    ended: float
    words: str


class Load:
    """Visitors, one request after another. Only a connection that was idle may be found closed (RFC 9112, 9.5)."""

    def __init__(self, address: str, port: int, host: str = "plain", https_port: int = 0) -> None:
        self.address, self.ports, self.host = address, (port, https_port), host
        self.over, self.closed_idle, self.echoes = False, 0, 0
        self.failures: list[Failure] = []
        self.seconds: list[float] = []  # of each right answer
        self.right: Counter[Ask] = Counter()

    @property
    def answered(self) -> int:
        return len(self.seconds)

    @property
    def failed(self) -> list[str]:
        return [failure.words for failure in self.failures]

    def _fail(self, began: float, what: object, error: BaseException) -> None:
        self.failures.append(Failure(began, time.monotonic(), f"{what}: {error!r}"))

    async def client(self, keep: bool, pause: float = 0.001, asks: Sequence[Ask] = ()) -> None:
        connection, place = None, None
        for ask in itertools.cycle(asks or [Ask(self.host)]):
            if self.over:
                break
            if connection is not None and place != _place(ask):
                connection = _close(connection)
            fresh, began = connection is None, time.monotonic()
            try:
                connection, place = connection or await self._connect(ask), _place(ask)
                stays = await _exchange(connection, ask, keep)
                self.seconds.append(time.monotonic() - began)
                self.right[ask] += 1
                connection = connection if stays else _close(connection)
            except _TROUBLES as error:
                closed = isinstance(error, ConnectionError) or (
                    isinstance(error, asyncio.IncompleteReadError) and not error.partial)
                if closed and not fresh:
                    self.closed_idle += 1
                else:
                    self._fail(began, ask, error)
                connection = _close(connection)
            await asyncio.sleep(pause)
        _close(connection)

    async def _connect(self, ask: Ask) -> Connection:
        if not ask.tls:
            return await asyncio.wait_for(asyncio.open_connection(self.address, self.ports[0]), _PATIENCE_SECONDS)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = await asyncio.wait_for(
            asyncio.open_connection(self.address, self.ports[1], ssl=context, server_hostname=ask.host),
            _PATIENCE_SECONDS)
        names = _names(connection[1].get_extra_info("ssl_object").getpeercert(binary_form=True))
        assert ask.host in names, f"a certificate of {names}"
        return connection

    async def download(self, ask: Optional[Ask] = None) -> None:
        """One long answer, which is still on its way when everything is over, and then is whole."""
        ask = ask or Ask(self.host, "/slow.bin")
        began, connection = time.monotonic(), None
        try:
            connection = reader, writer = await self._connect(ask)
            writer.write(ask.request("Connection: close"))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE_SECONDS)
            assert head.startswith(b"HTTP/1.1 200"), head
            received = 0
            while not self.over:
                received += len(await reader.read(4096))
                await asyncio.sleep(0.1)
            while part := await asyncio.wait_for(reader.read(1024 * 1024), _PATIENCE_SECONDS):
                received += len(part)
            assert received == SLOW_FILE_BYTES, f"{received} of {SLOW_FILE_BYTES} bytes"
        except _TROUBLES as error:
            self._fail(began, f"the download from {ask.host}", error)
        finally:
            _close(connection)

    async def websocket(self, ask: Ask) -> None:
        """One that stays open, and gives back every word it is sent (RFC 6455, text of less than 126 bytes)."""
        began, connection = time.monotonic(), None
        try:
            connection = reader, writer = await self._connect(ask)
            writer.write(ask.request("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE_SECONDS)
            # RFC 6455, 1.3: what answers this key.
            assert head.startswith(b"HTTP/1.1 101") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head, head
            for number in itertools.count():
                if self.over:
                    break
                words, mask = f"word {number}".encode(), os.urandom(4)
                masked = bytes(one ^ mask[at % 4] for at, one in enumerate(words))
                writer.write(bytes([0x81, 0x80 | len(words)]) + mask + masked)
                got = await asyncio.wait_for(reader.readexactly(2 + len(words)), _PATIENCE_SECONDS)
                assert got == bytes([0x81, len(words)]) + words, got
                self.echoes += 1
                await asyncio.sleep(0.05)
        except _TROUBLES as error:
            self._fail(began, f"the websocket {ask.path} of {ask.host}", error)
        finally:
            _close(connection)


async def _exchange(connection: Connection, ask: Ask, keep: bool) -> bool:
    """The right answer has come. Returns whether the connection can be used again.

    :raises AssertionError: it was another one.
    """
    reader, writer = connection
    writer.write(ask.request(*([] if keep else ["Connection: close"])))
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE_SECONDS)
    assert head.startswith(b"HTTP/1.1 %d " % ask.status), head
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    assert fields.get(b"content-length", b"").isdigit(), head
    body = await asyncio.wait_for(reader.readexactly(int(fields[b"content-length"])), _PATIENCE_SECONDS)
    assert fields.get(b"location", b"").decode() == ask.location, head
    assert ask.says is None or body == ask.says, body
    return keep and fields.get(b"connection") != b"close"


def _place(ask: Ask) -> tuple[bool, str]:
    """Over TLS a connection is for one name."""
    return ask.tls, ask.host if ask.tls else ""


def _close(connection: Optional[Connection]) -> None:
    if connection is not None:
        connection[1].close()


def _names(certificate: bytes) -> list[str]:
    extensions = x509.load_der_x509_certificate(certificate).extensions
    return extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


class Visitors:
    """Within ``with`` five visitors are there, or more; afterwards :attr:`failed` says what they did not get.

    :param asks: what they want, one after the other; over TLS two more come for it
    :param download: who gives the long answer
    :param websockets: which stay open all the time
    """

    def __init__(self, address: str, port: int, host: str = "localhost", https_port: int = 0, asks: Sequence[Ask] = (),
                 download: Optional[Ask] = None, websockets: Sequence[Ask] = ()) -> None:
        self.load = Load(address, port, host, https_port)
        self.asks, self._download, self.websockets = tuple(asks), download, tuple(websockets)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            asyncio.run(self._come())
        except Exception as error:  # a visitor that is broken must not look like one that is content
            self.load.failures.append(Failure(0.0, time.monotonic(), f"the visitors themselves: {error!r}"))

    async def _come(self) -> None:
        plain, tls = ([ask for ask in self.asks if ask.tls == wanted] for wanted in (False, True))
        coming = [self.load.download(self._download), *map(self.load.websocket, self.websockets)]
        if plain or not tls:
            coming += [self.load.client(keep, 0.02, plain) for keep in (True, True, False, False)]
        if tls:
            coming += [self.load.client(True, 0.02, [ask for ask in tls if ask.host == tls[0].host]),
                       self.load.client(False, 0.05, tls)]
        await asyncio.gather(*coming)

    @property
    def failed(self) -> list[str]:
        return self.load.failed

    @property
    def answered(self) -> int:
        return self.load.answered

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                 where: Optional[TracebackType]) -> None:
        self.load.over = True
        self._thread.join(3 * _PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "a visitor waits for ever"
