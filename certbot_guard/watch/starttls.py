"""What is said before TLS begins: a socket with one deadline, and the dialogues of eight protocols on it.

Called by :mod:`certbot_guard.watch.tls`. Nothing of it knows certificates; no login and no data is ever sent.
"""

from __future__ import annotations

import socket
import time
from typing import Callable

from certbot_guard import text
from certbot_guard.errors import GuardError

_LINE_LIMIT_BYTES = 4096
_LINES_LIMIT = 100
_TOTAL_LIMIT_BYTES = 1024 * 1024
# An address literal: a name would have to be looked up here, and again by the server.
_HELLO = b"[127.0.0.1]"


class NoTLSError(GuardError):
    """There is no certificate to see. ``str()`` of it is a short, harmless phrase.

    :ivar passing: it may be different a moment later, as while a server restarts
    :ivar address: there is not even a connection, so it is the same for every name at this address
    :ivar silent: nothing came, for as long as was waited
    """

    def __init__(self, words: str, passing: bool = False, address: bool = False, silent: bool = False) -> None:
        super().__init__(words)
        self.passing, self.address, self.silent = passing, address, silent


class Wire:
    """A connected socket whose every use ends at ``deadline`` (monotonic), however slowly the peer speaks."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._socket, self._deadline = connection, deadline
        self._began = time.monotonic()
        self._held, self._total = b"", 0

    def send(self, data: bytes) -> None:
        self._patience()
        try:
            self._socket.sendall(data)
        except socket.timeout as error:  # Python 3.9: not yet a TimeoutError
            raise self._too_late() from error
        except OSError as error:
            raise _broken(error) from error

    def receive(self) -> bytes:
        """Some bytes; none when the peer has closed. :raises NoTLSError: the deadline, or too much of it."""
        held, self._held = self._held, b""
        if held:
            return held
        self._patience()
        try:
            data = self._socket.recv(65536)
        except socket.timeout as error:
            raise self._too_late() from error
        except OSError as error:
            raise _broken(error) from error
        self._total += len(data)
        if self._total > _TOTAL_LIMIT_BYTES:
            raise NoTLSError("it sends without end and no TLS answer comes")
        return data

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += self._some()
        self._held = data[count:]
        return data[:count]

    def line(self) -> bytes:
        """The next line without its end."""
        data = b""
        while b"\n" not in data:
            if len(data) > _LINE_LIMIT_BYTES:
                raise _refused("a line without end", data)
            data += self._some()
        line, _, self._held = data.partition(b"\n")
        return line.rstrip(b"\r")

    def _some(self) -> bytes:
        data = self.receive()
        if not data:
            raise NoTLSError("it closed the connection before TLS began", passing=True)
        return data

    def _patience(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._too_late()
        self._socket.settimeout(left)

    def _too_late(self) -> NoTLSError:
        return NoTLSError(no_answer(self._deadline - self._began), silent=True)


def no_answer(seconds: float) -> str:
    return f"no TLS answer within {max(1, round(seconds))} s"


def begin(protocol: str, wire: Wire) -> None:
    """From here on the peer expects TLS. :raises NoTLSError: it refused, and said so, or said nothing in time."""
    _DIALOGUES[protocol](wire)


def _smtp(wire: Wire, hello: bytes = b"EHLO ") -> None:
    _reply(wire, b"220", "the greeting")
    wire.send(hello + _HELLO + b"\r\n")
    offered = _reply(wire, b"250", hello.decode().strip())
    if not any(line[4:].strip().upper() == b"STARTTLS" for line in offered):
        raise NoTLSError("it does not offer STARTTLS")
    wire.send(b"STARTTLS\r\n")
    _reply(wire, b"220", "STARTTLS")


def _lmtp(wire: Wire) -> None:
    _smtp(wire, b"LHLO ")


def _ftp(wire: Wire) -> None:
    _reply(wire, b"220", "the greeting")
    wire.send(b"AUTH TLS\r\n")
    _reply(wire, b"234", "AUTH TLS")


def _imap(wire: Wire) -> None:
    _wait(wire, (b"* OK",), "the greeting", passed_over=())
    wire.send(b"a STARTTLS\r\n")
    _wait(wire, (b"A OK",), "STARTTLS", passed_over=(b"* ",))


def _pop3(wire: Wire) -> None:
    _wait(wire, (b"+OK",), "the greeting", passed_over=())
    wire.send(b"STLS\r\n")
    _wait(wire, (b"+OK",), "STLS", passed_over=())


def _sieve(wire: Wire) -> None:
    # RFC 5804: the greeting is the list of capabilities, each a quoted string, and ends with OK
    _wait(wire, (b"OK",), "the greeting", passed_over=(b'"',))
    wire.send(b"STARTTLS\r\n")
    _wait(wire, (b"OK",), "STARTTLS", passed_over=(b'"',))


def _postgres(wire: Wire) -> None:
    # PostgreSQL, "SSLRequest": a length and a number no version has; the answer is one byte
    wire.send(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
    answer = wire.exactly(1)
    if answer == b"N":
        raise NoTLSError("it says that it does not take TLS")
    if answer != b"S":
        raise _refused("the request for TLS", answer)


def _ldap(wire: Wire) -> None:
    # RFC 4511, 4.14.1: an ExtendedRequest with the name 1.3.6.1.4.1.1466.20037
    name = b"1.3.6.1.4.1.1466.20037"
    wanted = b"\x77" + bytes([len(name) + 2]) + b"\x80" + bytes([len(name)]) + name
    wire.send(b"\x30" + bytes([len(wanted) + 3]) + b"\x02\x01\x01" + wanted)
    message = _element(wire)
    # messageID (02 01 01), then the ExtendedResponse (78), which begins with resultCode (0a 01 ..)
    body = message[3:]
    start = 2 if len(body) > 1 and body[1] < 0x80 else 2 + (body[1] & 0x7F) if len(body) > 1 else 0
    if not message.startswith(b"\x02\x01\x01\x78") or body[start:start + 2] != b"\x0a\x01":
        raise _refused("the request for TLS", message)
    code = body[start + 2:start + 3]
    if code != b"\x00":
        raise NoTLSError(f"it refuses TLS: LDAP result {code[0] if code else 'unknown'}")


def _element(wire: Wire) -> bytes:
    """The content of the next BER sequence."""
    tag, length = wire.exactly(2)
    if tag != 0x30 or length == 0x80 or length > 0x82:
        raise _refused("the request for TLS", bytes([tag, length]))
    if length > 0x80:
        length = int.from_bytes(wire.exactly(length - 0x80), "big")
    return wire.exactly(min(length, 65535))


_DIALOGUES: dict[str, Callable[[Wire], None]] = {
    "smtp": _smtp, "lmtp": _lmtp, "imap": _imap, "pop3": _pop3, "sieve": _sieve, "ftp": _ftp, "postgres": _postgres,
    "ldap": _ldap,
}


def _reply(wire: Wire, code: bytes, asked: str) -> list[bytes]:
    """The lines of a reply as SMTP and FTP give it: ``250-...`` until ``250 ...``."""
    lines = []
    for _ in range(_LINES_LIMIT):
        line = wire.line()
        lines.append(line)
        if not line[:3].isdigit() and len(lines) > 1:
            continue  # FTP's text between the first line and the last
        if line[:3] != code:
            raise _refused(asked, line)
        if line[3:4] != b"-":
            return lines
    raise _refused(asked, lines[0])


def _wait(wire: Wire, good: tuple[bytes, ...], asked: str, passed_over: tuple[bytes, ...]) -> None:
    line = b""
    for _ in range(_LINES_LIMIT):
        line = wire.line()
        if line.upper().startswith(good):
            return
        if not passed_over or not line.startswith(passed_over):
            break
    raise _refused(asked, line)


def _refused(asked: str, said: bytes) -> NoTLSError:
    words = text.line(said[:200].decode("utf-8", "replace"), 120)
    return NoTLSError(f"after {asked} it said '{words}'" if words else f"after {asked} it said nothing that is known")


def _broken(error: OSError) -> NoTLSError:
    return NoTLSError(f"the connection broke: {text.line(error.strerror or error, 80)}", passing=True)
