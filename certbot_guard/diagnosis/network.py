"""The way to the CA: names, connections, TLS, proxies; and answers that are not ACME.

certbot up to 4.0 wraps what requests raises as ``ValueError("Requesting host/path: Connection refused")``, later ones
leave it: both have the same exceptions in their chain, and the same words where only the text is left.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Callable, Optional

from certbot_guard.diagnosis.case import STATUS_PAGE, Case, Cause, Fields, quoted

# requests and urllib3 name the host in the words of their own exceptions, acme 2.1 in those of its ValueError.
_POOL = re.compile(r"HTTPS?ConnectionPool\(host='([A-Za-z0-9.:_-]{1,253})'|Requesting ([A-Za-z0-9._-]{1,253})[/:]|"
                   r"HTTPS?Connection\(host='([A-Za-z0-9.:_-]{1,253})'")
_CLASSES = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "SSLError", "ProxyError", "MaxRetryError",
    "ProtocolError", "NewConnectionError", "NameResolutionError", "ChunkedEncodingError", "ConnectTimeoutError",
    "ReadTimeoutError")
_AGAIN = "Nothing now if it is the first time: certbot tries again with its next run. "


def _on_the_way(*ways: Callable[[Case], bool]) -> Callable[[Case], Optional[Fields]]:
    """Something between certbot and a host it asked over HTTP, in one of these ways."""

    def seen(case: Case) -> Optional[Fields]:
        asked = case.said(_POOL.pattern)
        if not asked and not ({"requests", "urllib3"} & case.modules or case.error_type in _CLASSES):
            return None
        if not any(way(case) for way in ways):
            return None
        host = next((one for one in asked.groups() if one), "") if asked else case.host
        # A DNS authenticator asks its provider in the same way.
        there = f"the CA ({host})" if host else "the CA"
        elsewhere = bool(case.host) and host not in ("", case.host)
        if elsewhere:
            there = f"the server {host}"
        at = case.event.get("at")
        return {"there": there, "elsewhere": elsewhere, "error": quoted(case.error), "at": f" ({at[:10]})" if isinstance(at, str) else ""}

    return seen


def _errno(*numbers: int) -> Callable[[Case], bool]:
    return lambda case: case.errno in numbers


def _class(*names: str) -> Callable[[Case], bool]:
    return lambda case: case.is_a(*names)


def _words(pattern: str) -> Callable[[Case], bool]:
    return lambda case: case.said(pattern) is not None


def _verify(*codes: int) -> Callable[[Case], bool]:
    return lambda case: case.verify_code in codes


_EXAMPLE = {"there": "the CA (acme-v02.api.letsencrypt.org)", "error": '"..."', "ca": "The CA "
    "(acme-v02.api.letsencrypt.org)"}

# OpenSSL, x509_vfy.h: 9 not yet valid, 10 expired, 62 hostname and 64 IP address mismatch; 18-21, 2 and 27 untrusted.
_WAYS = (
    Cause("proxy", _on_the_way(_class("ProxyError"), _words(r"ProxyError|[Uu]nable to connect to proxy|Tunnel "
          r"connection failed")), "The HTTP proxy that certbot is told to use did not let it through to {there}",
          "network", None, "Look at the proxy and at HTTPS_PROXY (also https_proxy, no_proxy) in the environment of "
          "the scheduled command.", "", (), _EXAMPLE),
    Cause("name-resolution", _on_the_way(_words(r"Temporary failure in name resolution|\[Errno -3\]")),
          "This host could not look up the name of {there}: its DNS resolver did not answer", "network", True,
          _AGAIN + "If it stays, look at /etc/resolv.conf and whether this host is on the net.", "", (), _EXAMPLE),
    Cause("name-resolution", _on_the_way(_class("NameResolutionError", "gaierror"), _words(r"NameResolutionError|"
          r"[Nn]ame or service not known|Failed to resolve|nodename nor servname|No address associated|getaddrinfo "
          r"failed")), "By this host's DNS resolver there is no such name as that of {there}", "network", None,
          "Look at /etc/resolv.conf, and at the CA's address (--server, 'server =' in the renewal configuration) for "
          "a typo.", "", (), _EXAMPLE),
    Cause("clock", _on_the_way(_verify(9, 10), _words(r"certificate has expired|certificate is not yet valid")),
          "By this host's clock{at} the TLS certificate of {there} is expired or not valid yet", "host", None,
          "Check the date on this host (timedatectl) and set the clock right. If it is right, the certificate there "
          "is really out of date, or something in between answers in its place.", "", (), _EXAMPLE),
    Cause("tls-hostname", _on_the_way(_verify(62, 64), _words(r"[Hh]ostname mismatch|IP address mismatch|doesn't "
          r"match")), "Somebody else answered in place of {there}: the TLS certificate is for another name", "network",
          None, "Look for a captive portal, a proxy or a firewall that answers instead, and for a wrong line in "
          "/etc/hosts.", "", (), _EXAMPLE),
    Cause("tls-untrusted", _on_the_way(_verify(2, 18, 19, 20, 21, 27), _words(r"self[- ]signed|unable to get (?:local "
          r")?issuer|CERTIFICATE_VERIFY_FAILED")), "The TLS certificate of {there} is not one that this host trusts",
          "host", False, "Update the ca-certificates package (or certbot), and look for a proxy that opens TLS, or a "
          "REQUESTS_CA_BUNDLE that lacks its certificate.", "", (), _EXAMPLE),
    Cause("tls", _on_the_way(_class("SSLError", "SSLEOFError", "SSLZeroReturnError"), _words(r"SSLError|\[SSL")),
          "TLS with {there} failed: {error}", "network", None, _AGAIN + "If it stays, look for a proxy or firewall "
          "that looks into TLS, and for a very old OpenSSL.", "", ("shape",), _EXAMPLE),
    Cause("ca-refused", _on_the_way(_errno(111), _words(r"[Cc]onnection refused")), "{there} refused the connection: "
          "nothing listens there, or a firewall says so", "network", None, _AGAIN + "If it stays, look at the CA's "
          "status, at the firewall and at HTTPS_PROXY.", STATUS_PAGE, (), _EXAMPLE),
    Cause("ca-timeout", _on_the_way(_class("ConnectTimeout", "ReadTimeout", "ReadTimeoutError", "ConnectTimeoutError",
          "TimeoutError"), _errno(110), _words(r"timed out|[Tt]imeout")), "{there} did not answer in time", "network",
          True, _AGAIN + "If it stays, look at the firewall for outgoing port 443, and at IPv6 that leads nowhere.",
          STATUS_PAGE, (), _EXAMPLE),
    Cause("ca-unreachable", _on_the_way(_errno(113, 101, 100), _words(r"No route to host|[Nn]etwork is unreachable")),
          "From this host there was no way to {there}", "network", True, _AGAIN + "If it stays, look at whether this "
          "host is on the net, at its routes and at IPv6.", "", (), _EXAMPLE),
    Cause("ca-reset", _on_the_way(_errno(104, 32), _class("RemoteDisconnected", "IncompleteRead", "ProtocolError",
          "ChunkedEncodingError"), _words(r"reset by peer|[Rr]emote end closed|Connection aborted|IncompleteRead|"
          r"Broken pipe")), "{there} broke the connection off in the middle", "network", True, _AGAIN + "If it stays, "
          "look for a firewall or proxy that cuts connections.", STATUS_PAGE, (), _EXAMPLE),
    Cause("network", _on_the_way(lambda case: case.error_type in _CLASSES or bool(case.said(r"Max retries exceeded|"
          r"Requesting \S+:"))), "{there} could not be asked: {error}", "network", None, _AGAIN + "If it stays, read "
          "the details.", "", ("shape",), _EXAMPLE),
)

# What is said of the CA in these rows does not hold for another host (a DNS provider's API, a proxy).
_OTHERWISE = {
    ("name-resolution", None): "Look at /etc/resolv.conf, and for a typo where that server is named.",
    ("ca-refused", None): _AGAIN + "If it stays, look at that server's status, at the firewall and at HTTPS_PROXY.",
}


def _elsewhere(cause: Cause) -> Cause:
    def seen(case: Case) -> Optional[Fields]:
        found = cause.seen(case)
        return found if found is not None and found["elsewhere"] else None

    return replace(cause, seen=seen, link="", advice=_OTHERWISE.get((cause.name, cause.transient), cause.advice),
                   significant=(*cause.significant, "there"),
                   example={**cause.example, "there": "the server api.provider.example"})


_BOTH = tuple(row for cause in _WAYS for row in (_elsewhere(cause), cause))

# -- answers that are not ACME -----------------------------------------------------------------------------------------

_CLIENT = ("ClientError", "UnexpectedUpdate", "NonceError", "BadNonce", "MissingNonce", "ConflictError",
    "DeserializationError", "JSONDecodeError", "ARIError")


def _answered(low: int, high: int) -> Callable[[Case], Optional[Fields]]:
    def seen(case: Case) -> Optional[Fields]:
        if case.status is None or not low <= case.status <= high or not ("acme" in case.modules or case.said(
            r"<Response \[")):
            return None
        return {"status": case.status, "there": f"the CA ({case.host})" if case.host else "the CA"}

    return seen


def _no_acme(case: Case) -> Optional[Fields]:
    garbage = case.said(r"Unexpected response Content-Type|Expecting value: line|Deserialization error|Field not found|"
                        r"did not include a replay nonce|Invalid nonce")
    if not garbage and not case.is_a(*_CLIENT, "SchemaValidationError"):
        return None
    return {"error": quoted(case.error or case.words), "status": f" (HTTP {case.status})" if case.status else ""}


_ANSWERS = (
    Cause("ca-wrong-address", _answered(404, 410), "{ca} answered HTTP {status}: it has nothing at the address that "
          "certbot asks", "configuration", None, "Look at --server and 'server =' in the renewal configuration: it "
          "has to be the URL of the CA's ACME directory.", "", ("status",), {**_EXAMPLE, "status": 404}),
    Cause("ca-forbidden", _answered(400, 499), "Something answered HTTP {status} in place of {there}, without an ACME "
          "error", "network", None, "Look for a proxy or firewall between this host and the CA; some CAs also block "
          "addresses.", "", ("status",), {**_EXAMPLE, "status": 403}),
    Cause("ca-garbage", _no_acme, "{ca} answered{status}, but not in ACME's language: {error}", "network", None,
          _AGAIN + "If it stays, see what is there: a maintenance page, a captive portal, a proxy, a wrong --server.",
          STATUS_PAGE, ("shape",), {**_EXAMPLE, "status": " (HTTP 200)", "error": '"Unexpected response Content-Type: '
          'text/html"'}),
)

CAUSES: tuple[Cause, ...] = (*_BOTH, *_ANSWERS)
