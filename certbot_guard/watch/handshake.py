"""One visit: connect, say what a protocol wants said before TLS, and see which certificates are sent. Verifies nothing.

Memory buffers stand between the socket and OpenSSL: so every read and write is under the one deadline of the visit.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from typing import Any, Optional

from certbot_guard import text
from certbot_guard.watch import starttls
from certbot_guard.watch.starttls import NoTLSError, Wire

# The first label where any would do. One that hardly has a virtual host of its own.
_ANY_LABEL = "certbot-guard-watch"
# What OpenSSL 1.1 and 3 call an answer that is none of TLS.
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE",
                      "PACKET_LENGTH_TOO_LONG"})


def chain_of(host: str, port: int, name: str, protocol: str, ends: float) -> tuple[tuple[bytes, ...], bool]:
    """The certificates (DER) that are sent there, and whether these are all of them.

    Back before ``ends`` (monotonic), except where looking up the host's name hangs.

    :param name: asked for (SNI), unless it is an address
    :param protocol: spoken before TLS, or nothing
    :raises NoTLSError: there was no certificate to see.
    """
    with _connect(host, port, ends) as connection:
        wire = Wire(connection, ends)
        if protocol:
            starttls.begin(protocol, wire)
        return _handshake(name, wire)


def _connect(host: str, port: int, ends: float) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NoTLSError(f"the name {text.line(host, 120)} is not found ({text.line(reason, 80)})",
                         address=True) from error
    problem = NoTLSError("there is no address to connect to", address=True)
    for number, (family, kind, protocol, _, address) in enumerate(found):
        # each address has its share: one that swallows everything leaves the others their time
        seconds = (ends - time.monotonic()) / (len(found) - number)
        if seconds <= 0:
            break
        connection = None
        try:
            connection = socket.socket(family, kind, protocol)
            connection.settimeout(seconds)
            connection.connect(address)
            return connection
        except socket.timeout:
            problem = NoTLSError("nobody answers there: connecting timed out", address=True, silent=True)
        except OSError as error:
            words = "the connection is refused" if isinstance(error, ConnectionRefusedError) \
                else text.line(error.strerror or error, 80).lower()
            problem = NoTLSError(words, passing=True, address=True)
        if connection is not None:
            connection.close()
    raise problem


def _context() -> ssl.SSLContext:
    """Takes whatever certificate is shown, also by a server that knows only what is obsolete today."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the question is which certificate, not whether to believe it
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.options |= getattr(ssl, "OP_LEGACY_SERVER_CONNECT", 0x4)
    try:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    except ssl.SSLError:
        pass
    return context


def _handshake(name: str, wire: Wire) -> tuple[tuple[bytes, ...], bool]:
    """A server may want a certificate of ours and break off: by then it has shown its own, which is all we want."""
    context, incoming, outgoing = _context(), ssl.MemoryBIO(), ssl.MemoryBIO()
    sent = _Sent(context)
    try:
        secure = context.wrap_bio(incoming, outgoing, server_hostname=asked_name(name))
    except ValueError as error:
        raise NoTLSError("its name cannot be asked for: it is no host name") from error
    try:
        _exchange(secure, incoming, outgoing, wire)
    except NoTLSError:
        if not sent.chain(secure):
            raise
    chain = sent.chain(secure)
    if chain:
        return chain, True
    leaf = secure.getpeercert(binary_form=True)
    if leaf is None:
        raise NoTLSError("the TLS handshake ended without a certificate")
    return (leaf,), False


def _exchange(secure: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, wire: Wire) -> None:
    while True:
        try:
            secure.do_handshake()
            if outgoing.pending:
                wire.send(outgoing.read())
            return
        except ssl.SSLWantReadError:
            if outgoing.pending:
                wire.send(outgoing.read())
            data = wire.receive()
            if not data:
                raise NoTLSError("it closed the connection during the TLS handshake", passing=True) from None
            incoming.write(data)
        except ssl.SSLError as error:
            raise _no_tls(error) from error


def _no_tls(error: ssl.SSLError) -> NoTLSError:
    reason = error.reason or ""
    if reason in _NOT_TLS:
        return NoTLSError("it does not speak TLS there")
    return NoTLSError("the TLS handshake failed: " + text.line(reason or error, 80).lower().replace("_", " "))


def asked_name(name: str) -> Optional[str]:
    """What to ask for (SNI): RFC 6066 has no addresses there, and any first label will do for a wildcard."""
    name = name.rstrip(".")
    try:
        ipaddress.ip_address(name.partition("%")[0])
        return None
    except ValueError:
        return (_ANY_LABEL + name[1:] if name.startswith("*.") else name) or None


class _Sent:
    """The chain as it was sent. ``SSLObject.get_unverified_chain`` is public from Python 3.13 on; before that the
    Certificate message is read as it comes (``SSLContext._msg_callback``, private, there since 3.8; measured on 3.9,
    3.11 and 3.13 for TLS 1.2 and 1.3). Both have it also when the handshake fails after it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._message: tuple[bytes, ...] = ()
        if not hasattr(ssl.SSLObject, "get_unverified_chain") and hasattr(context, "_msg_callback"):
            setattr(context, "_msg_callback", self._take)  # noqa: B010 - typeshed does not know it

    def chain(self, secure: ssl.SSLObject) -> tuple[bytes, ...]:
        public: Any = getattr(secure, "get_unverified_chain", None)
        return tuple(public() or ()) if public is not None else self._message

    def _take(self, _: Any, direction: str, version: int, content: int, kind: int, data: bytes) -> None:
        if direction == "read" and content == 22 and kind == 11:  # handshake, certificate
            self._message = certificates_of(data, with_extensions=version >= 0x0304)


def certificates_of(message: bytes, with_extensions: bool) -> tuple[bytes, ...]:
    """What a Certificate message holds: RFC 5246, 7.4.2, or RFC 8446, 4.4.2, which adds a context and extensions."""
    position = 4
    if with_extensions:
        position += 1 + message[position] if len(message) > position else 1
    position += 3
    found = []
    while position + 3 <= len(message):
        length = int.from_bytes(message[position:position + 3], "big")
        certificate = message[position + 3:position + 3 + length]
        if not length or len(certificate) < length:
            break
        found.append(certificate)
        position += 3 + length
        if with_extensions:
            position += 2 + int.from_bytes(message[position:position + 2], "big")
    return tuple(found)

