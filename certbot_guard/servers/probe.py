"""What a listening socket gives: an HTTP answer, a TLS handshake, or no more than an accepted connection."""

from __future__ import annotations

import socket
import ssl
from typing import Iterable, Optional

HTTP, TLS, CONNECTION = "http", "tls", "connection"
TIMEOUT_SECONDS = 2.0
_PARALLEL_LIMIT = 16
# Cheap for every server, and no application behind it is asked.
_REQUEST = (
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nUser-Agent: certbot-guard (is it serving?)\r\n"
    b"Connection: close\r\n\r\n"
)

Place = tuple[str, int]


def probe(
    address: str, port: int, expected: Optional[str] = None, seconds: float = TIMEOUT_SECONDS
) -> Optional[str]:
    """What ``address`` and ``port`` give: ``"http"``, ``"tls"``, ``"connection"``, or None if nobody accepts.

    ``expected`` only decides what is asked first. ``seconds`` bounds each wait, of which there are a few.
    """
    if expected == TLS and _handshake(address, port, seconds):
        return TLS
    answer = _http_answer(address, port, seconds)
    if answer is None:
        return None
    if answer.startswith(b"HTTP/") and answer[8:12] != b" 400":
        return HTTP
    # A TLS port answers plain HTTP with 400 (Apache, nginx) or hangs up. An empty answer may also be a
    # healthy listener that expects the PROXY protocol.
    if expected != TLS and _handshake(address, port, seconds):
        return TLS
    return HTTP if answer.startswith(b"HTTP/") else CONNECTION


def probe_all(
    expected: dict[Place, Optional[str]], seconds: float = TIMEOUT_SECONDS
) -> dict[Place, Optional[str]]:
    """:func:`probe` of many places at once."""
    places = list(expected)
    if len(places) <= 1:
        return {place: probe(place[0], place[1], expected[place], seconds) for place in places}
    # Not at the top: it cannot be imported any more at certbot's exit, when threads are over (Python 3.9 to 3.13).
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(places), _PARALLEL_LIMIT)) as pool:
        gave = pool.map(lambda place: probe(place[0], place[1], expected[place], seconds), places)
        return dict(zip(places, gave))


def satisfies(gave: Optional[str], before: str) -> bool:
    """Is that at least what the socket gave before? An answer is also an accepted connection."""
    return gave == before or (before == CONNECTION and gave is not None)


def _connect(address: str, port: int, seconds: float) -> socket.socket:
    """:raises OSError: nobody accepts the connection there."""
    error: Optional[OSError] = None
    for host in _hosts(address):
        try:
            return socket.create_connection((host, port), timeout=seconds)
        except OSError as caught:
            error = caught
    assert error is not None
    raise error


def _hosts(address: str) -> Iterable[str]:
    # Where there is no ::1 (IPv6 switched off for lo) an IPv6 wildcard still takes IPv4.
    return {"0.0.0.0": ("127.0.0.1",), "::": ("::1", "127.0.0.1"), "": ("127.0.0.1", "::1")}.get(  # nosec B104 # not bound
        address, (address,)
    )


def _http_answer(address: str, port: int, seconds: float) -> Optional[bytes]:
    """The first bytes of the answer, ``b""`` if there was none in time, None if nobody accepts."""
    try:
        connection = _connect(address, port, seconds)
    except OSError:
        return None
    answer = b""
    with connection:
        try:
            connection.sendall(_REQUEST)
            while len(answer) < 12:
                chunk = connection.recv(4096)
                if not chunk:
                    break
                answer += chunk
        except OSError:
            pass
    return answer


def _handshake(address: str, port: int, seconds: float) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # whether it speaks TLS is the question, not who it is
    try:
        context.set_ciphers("ALL:@SECLEVEL=0")
    except ssl.SSLError:
        pass
    try:
        with _connect(address, port, seconds) as plain:  # noqa: SIM117
            with context.wrap_socket(plain, server_hostname="localhost"):
                return True
    except ssl.SSLError as error:
        # "unrecognized name", "certificate required": an alert is an answer in TLS.
        return (error.reason or "").startswith(("TLSV1", "SSLV3_ALERT"))
    except (OSError, ValueError):
        return False
