"""Messages as people get them, in the product's own words: for the tests of how services show them, the pictures and
the documentation. What certbot, the CA and Apache say in them is what they say; who is told of it does not exist.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple, Optional

from certbot_guard import __version__, findings
from certbot_guard.account import NextAttempt
from certbot_guard.standing import Standing
from tests.support.composing import composed

START = datetime(2026, 11, 24, 4, 15, tzinfo=timezone.utc)
NOW = START + timedelta(seconds=20)
NEXT = NextAttempt("2026-11-24 16:17 UTC, in 12 hours (certbot.timer)", START + timedelta(hours=12, minutes=2))
_FACTS = {"id": "20261124T041500Z-0000abcd", "host": "web1", "verb": "renew", "argv": ["renew", "--quiet"],
          "config_dir": "/etc/letsencrypt", "log_file": "/var/log/letsencrypt/letsencrypt.log",
          "certbot_version": "5.8.0", "guard_version": __version__, "started": START.isoformat(),
          "server": {"control": "auto"}, "server_name": "apache2.service"}
_CA = "https://acme-v02.api.letsencrypt.org"
_ACME = "urn:ietf:params:acme:error:"
_Event = tuple[str, dict[str, Any]]


class Sample(NamedTuple):
    """A message. ``event`` and ``severity`` as in :class:`certbot_guard.message.Message`."""

    title: str
    body: str
    severity: str
    event: str


def _lineage(name: str, *more: str, window: Optional[int] = None) -> _Event:
    return "lineage", {"lineage": name, "names": [name, *more], "window": window}


def _failed(name: str, kind: str, detail: str, **evidence: Any) -> _Event:
    return "lineage-failed", {
        "lineage": name, "error_type": "Error", "error": f"{_ACME}{kind} :: {detail}",
        "acme": {"type": _ACME + kind, "detail": detail, "subproblems": []}, "context": [],
        "evidence": {"types": ["acme.messages.Error"], "texts": [f"{_ACME}{kind} :: {detail}"], **evidence}}


def _sample(*found: _Event, serving: bool = True, expiry: Optional[dict[str, datetime]] = None,
            over: Optional[Standing] = None, log_tail: tuple[str, ...] = ()) -> Sample:
    events = [{"n": number, "kind": kind, "mono": float(number), "at": (START + timedelta(seconds=number)).isoformat(),
               **fields} for number, (kind, fields) in enumerate(found, 1)]
    one = composed(_FACTS, events, NOW, serving, expiry, standing=[over] if over else [], next_attempt=NEXT,
                   log_tail=log_tail)
    assert one is not None
    return Sample(one.title, one.body, one.severity, one.event)


def _in(days: float) -> datetime:
    return START + timedelta(days=days, hours=1)


OUTAGE_OF_THE_CA = _sample(
    _lineage("example.com", "www.example.com"),
    _failed("example.com", "serverInternal", "The service is down for maintenance or had an internal error. Check "
            "https://letsencrypt.status.io/ for more details.", status=503, url=f"{_CA}/directory"),
    expiry={"example.com": _in(29)},
    log_tail=(f"2026-11-24 04:15:01,312:DEBUG:acme.client:Sending GET request to {_CA}/directory.",
              "2026-11-24 04:15:01,803:DEBUG:acme.client:Received response:",
              "HTTP 503",
              "2026-11-24 04:15:01,804:ERROR:certbot._internal.renewal:Failed to renew certificate example.com"))

DOWN = _sample(
    _lineage("example.com", "www.example.com", window=1),
    ("stopping", {"window": 1, "lineage": "example.com", "before": {}}),
    _failed("example.com", "unauthorized", "203.0.113.7: Invalid response from http://example.com/.well-known/"
            "acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA: 404", status=403,
            url=f"{_CA}/acme/authz/1", challenges=[{
                "domain": "example.com", "type": "unauthorized", "detail": "203.0.113.7: Invalid response from "
                "http://example.com/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA: 404"}]),
    ("start-failed", {
        "window": 1, "attempt": 1, "reason": "apache2.service did not start: exit code 1 of systemctl",
        "detail": "AH02565: Certificate and private key *.shop_old.example.com:443:0 from "
                  "/etc/ssl/shop_old.pem and /etc/ssl/shop_old.key do not match\nAH00016: Configuration Failed"}),
    serving=False, expiry={"example.com": _in(29)})

RECOVERY = _sample(
    _lineage("example.com", "www.example.com"), ("deployed", {"lineage": "example.com"}), ("exit", {}),
    expiry={"example.com": _in(90)},
    over=Standing(findings.subject_of_lineage(_FACTS, "example.com"), "example.com", "ca-unavailable", "warning",
                  "The CA is down or has an error of its own; it answered HTTP 503.", START - timedelta(hours=36),
                  START - timedelta(hours=12), "example.com", _in(29)))

_SHOPS = [f"shop{number}.example.com" for number in range(1, 10)]
_OTHERS = ["_intern.example.org", "*.example.org", "blog.example.net"]
DIGEST = _sample(
    *[_lineage(name) for name in [*_SHOPS, *_OTHERS]],
    *[_failed(name, "rateLimited", 'too many certificates (50) already issued for "example.com" in the last 168h0m0s, '
              "retry after 2026-11-26 07:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/", status=429,
              url=f"{_CA}/acme/new-order") for name in _SHOPS],
    *[_failed(name, "dns", f"DNS problem: NXDOMAIN looking up TXT for _acme-challenge.{name.lstrip('*.')} - check that "
              "a DNS record exists for this domain", status=400, url=f"{_CA}/acme/authz/2") for name in _OTHERS],
    expiry={**{name: _in(6 + number) for number, name in enumerate(_SHOPS)},
            **{name: _in(30 - number) for number, name in enumerate(_OTHERS)}},
    log_tail=("2026-11-24 04:15:01,803:DEBUG:acme.client:Received response:", "HTTP 429"))

ALL = {"outage-of-the-ca": OUTAGE_OF_THE_CA, "down": DOWN, "recovery": RECOVERY, "digest": DIGEST}
