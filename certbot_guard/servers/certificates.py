"""Does every certificate Apache loads fit its key, and can both be read?

Its own configuration test does not ask. Measured, Apache 2.4.71: a certificate that does not fit its key, a
damaged PEM file or an encrypted key pass ``configtest``, and then keep Apache from starting, and kill a running
one at its next graceful reload.

The question is asked of OpenSSL, through ``ssl``: the calls are those that mod_ssl makes itself, so that the
answer is the same for every kind of key.
"""

from __future__ import annotations

import ssl
from typing import Iterator, Optional

from certbot_guard import plainfile
from certbot_guard.errors import PairError
from certbot_guard.servers.configuration import TLS, Configuration, Named

# mod_ssl reads these through an engine or a provider: there is no file.
_NOT_FILES = ("pkcs11:", "engine:", "store:", "file:")


class _Encrypted(Exception):
    """The key asks for a password."""


def check(configuration: Configuration) -> None:
    """Return if each certificate that is surely loaded can be read and fits its key.

    What is not sure to be active (see configuration.py), or names a variable that is not known, is passed
    over: a refusal for a directive that Apache never sees would cost the renewal itself, each time. What is
    checked that way is every plain ``SSLCertificateFile``, which is how certbot and people write it.

    :raises PairError: naming the file and the line of the configuration.
    """
    known: set[tuple[str, str]] = set()
    for certificate, key in pairs(configuration):
        if (certificate.path, key.path) not in known:
            known.add((certificate.path, key.path))
            _check_pair(certificate, key, configuration.passphrase_from_program)
    for named in _single_files(configuration):
        if (named.path, "") not in known:
            known.add((named.path, ""))
            _check_readable(named)


def pairs(configuration: Configuration) -> Iterator[tuple[Named, Named]]:
    """Each certificate with the key mod_ssl would try on it, for every host that has TLS switched on."""
    for host in hosts_with_tls(configuration):
        certificates = of_host(configuration, host)
        keys = _merged(configuration.server.keys, host.keys)
        if not all(named.certain for named in certificates + keys):
            continue  # an uncertain one shifts the places of those behind it
        for index, certificate in enumerate(certificates):
            # mod_ssl, ssl_init_server_certs(): the key of the same number, else the certificate's own file
            yield certificate, keys[index] if index < len(keys) else certificate


def hosts_with_tls(configuration: Configuration) -> Iterator[TLS]:
    """The hosts that Apache loads certificates for, the server itself among them."""
    for host in [configuration.server, *configuration.vhosts]:
        engine = host.engine or configuration.server.engine
        if engine in ("on", "optional"):
            yield host
        elif engine is None and any(
            address.rpartition(":")[2] in configuration.https_ports for address in host.addresses
        ):
            # mod_ssl switches itself on where the protocol of the Listen line is https, which 443 means by
            # itself
            yield host


def _single_files(configuration: Configuration) -> Iterator[Named]:
    for host in hosts_with_tls(configuration):
        chains = host.chains or configuration.server.chains
        authorities = host.authorities or configuration.server.authorities
        yield from (named for named in [*chains[-1:], *authorities[-1:]] if named.certain)


def of_host(configuration: Configuration, host: TLS) -> list[Named]:
    """The certificates of this host, those of the whole server included."""
    return _merged(configuration.server.certificates, host.certificates)


def _merged(base: list[Named], own: list[Named]) -> list[Named]:
    # mod_ssl, modssl_ctx_cfg_merge_certkeys_array(): a host's own entries replace the server's of the same
    # number
    return [*own, *base[len(own) :]]


def _check_pair(certificate: Named, key: Named, password_elsewhere: bool) -> None:
    if certificate.path.startswith(_NOT_FILES) or key.path.startswith(_NOT_FILES):
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Whether a key is long enough is for Apache's own settings to say.
        context.set_ciphers("ALL:@SECLEVEL=0")
    except ssl.SSLError:
        pass
    try:
        for path in (certificate.path, key.path):
            plainfile.check(path, plainfile.BUNDLE_LIMIT_BYTES)
        context.load_cert_chain(certificate.path, key.path, password=_refuse_password)
    except _Encrypted:
        if not password_elsewhere:
            raise _refusal(
                f"{key.path} is encrypted, and nobody is there to type its password", key
            ) from None
    except ssl.SSLError as error:
        # NO_CERTIFICATE_ASSIGNED: the key is of another kind than the certificate
        if "MISMATCH" in (error.reason or "") or error.reason == "NO_CERTIFICATE_ASSIGNED":
            raise _refusal(f"{certificate.path} does not fit its key {key.path}", certificate) from error
        culprit = certificate if not _parses(certificate.path) else key
        raise _refusal(f"{culprit.path} cannot be read as PEM", culprit, error) from error
    except OSError as error:
        raise _refusal(f"{certificate.path} or {key.path} cannot be read", certificate, error) from error


def _check_readable(named: Named) -> None:
    try:
        _load(named.path)
    except OSError as error:
        raise _refusal(f"{named.path} cannot be read as PEM", named, error) from error


def _parses(path: str) -> bool:
    try:
        _load(path)
    except OSError:
        return False
    return True


def _load(path: str) -> None:
    """:raises OSError: it cannot be read, or holds no certificate (SSLError is one)."""
    plainfile.check(path, plainfile.BUNDLE_LIMIT_BYTES)
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)


def _refuse_password() -> bytes:
    raise _Encrypted


def _refusal(what: str, named: Named, error: Optional[Exception] = None) -> PairError:
    return PairError(f"{what} ({named.place})", str(error or ""))
