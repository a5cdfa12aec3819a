"""What the CA found when it looked for a challenge: who answered instead of us, or why nobody did.

Read from the details that Boulder (Let's Encrypt) and Pebble write. Which address they name, and whether that is this
host's, decides whose problem it is.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from dataclasses import replace
from typing import Callable, Optional, Union

from certbot_guard import text
from certbot_guard.diagnosis.case import Case, Cause, Fields, Problem, quoted

# Errors of single names; "unauthorized" is one too, where the detail is about a challenge and not about the account.
_OF_NAMES = frozenset({"connection", "dns", "dnssec", "unknownHost", "tls", "caa", "incorrectResponse", "unauthorized"})
_ABOUT_CHALLENGE = re.compile(r"nvalid response from|TXT record|[Kk]ey authorization|acme-challenge|Non-200|"
    r"[Cc]hallenge")
# Boulder va.go: "192.0.2.7: Invalid response from ..."; before 2021 the address came in brackets after the URL.
_FIRST = re.compile(r"^(?:During secondary validation: )?\[?([0-9a-fA-F.:]{3,45}?)\]?: ")
_BRACKETS = re.compile(r"\[([0-9a-fA-F.:]{3,45})\](?::\d+)?")
_DIALLED = re.compile(r"dial tcp \[?([0-9a-fA-F.:]{3,45}?)\]?:\d{1,5}:")  # Go's own words, which Pebble passes on
_URL = re.compile(r"(?:from|Fetching|HTTP:|Get) \"?(https?)://([^/\s\"\[]{1,255})")
_STATUS = re.compile(r": \"?(\d{3})\"?\s*$|\breturned (\d{3})\b|\bstatus code (\d{3})\b")
_BODY = re.compile(r"nvalid response from \S{1,2000}(?: \[\S{1,60}\])?: (\".{0,2000})", re.DOTALL)
_REST_OF_IT = re.compile(r"nvalid response from \S{1,2000}(?: \[\S{1,60}\])?: ([^\n]{1,300})")


def _problems(case: Case) -> list[Problem]:
    """What the CA said of each name, where that is about names."""
    if case.challenges:
        return case.challenges
    found = case.subproblems if case.acme_type in ("compound", *_OF_NAMES) else []
    if not found and case.acme_type in _OF_NAMES:
        found = [Problem("", case.acme_type, case.acme_detail)]
    return [one for one in found if one.type != "unauthorized" or _ABOUT_CHALLENGE.search(one.detail)]


def _lead(case: Case) -> Optional[tuple[Problem, list[Problem]]]:
    """The problem that most names have, and all of them. None where names have different ones: that is compound."""
    found = _problems(case)
    if not found or (case.acme_type == "compound" and len({one.type for one in case.subproblems}) > 1):
        return None
    kind = Counter(one.type for one in found).most_common(1)[0][0]
    return next(one for one in found if one.type == kind), found


def _fields(case: Case, *types: str, same: Callable[[Problem], object] = lambda one: "") -> Optional[tuple[
        Problem, dict[str, object]]]:
    """The lead, and how many names have the same trouble: its type, and what ``same`` makes of it."""
    lead = _lead(case)
    if lead is None or lead[0].type not in types:
        return None
    one, found = lead
    trouble = same(one)
    alike = [problem for problem in found if problem.type == one.type and same(problem) == trouble]
    names = list(dict.fromkeys(problem.name for problem in alike if problem.name))
    more = f" and {len(names) - 1} more name{'' if len(names) == 2 else 's'}" if len(names) > 1 else ""
    partly = " from some of its places" if "secondary validation" in one.detail else ""
    return one, {"name": (text.line(one.name, 80) or "the name") + more, "first": one.name or "the name",
                 "partly": partly, "type": one.type, "detail": quoted(one.detail, 120),
                 "otherwise": "; other names failed otherwise, see the details" if len(alike) < len(found) else ""}


# -- whose address ---------------------------------------------------------------------------------------------------


def address_in(detail: str) -> str:
    """The IP address that the CA asked, or nothing."""
    for pattern in (_FIRST, _DIALLED, _BRACKETS):
        found = pattern.search(detail[:4000])
        if found:
            try:
                return str(ipaddress.ip_address(found[1]))
            except ValueError:
                continue
    return ""


def is_ours(address: str, own: list[str]) -> Optional[bool]:
    """Is that an address of this host? None: behind a router that translates addresses nobody can tell."""
    if not address:
        return None
    asked = ipaddress.ip_address(address)
    if asked.is_loopback or address in own:
        return True
    public = [one for one in map(_parsed, own) if one is not None and one.is_global and one.version == asked.version]
    return False if public else None


def _parsed(address: str) -> Union[ipaddress.IPv4Address, ipaddress.IPv6Address, None]:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _at(one: Problem, case: Case) -> dict[str, object]:
    address = address_in(one.detail)
    ours = is_ours(address, case.addresses)
    words = {True: ", an address of this host,", False: ", which is not this host,", None: ""}[ours]
    return {"at": f"{address}{words}" if address else "the web server there", "address": address or "that machine",
        "ours": ours}


# -- what answered -----------------------------------------------------------------------------------------------------


def _answered(ours: Optional[bool]) -> Callable[[Case], Optional[Fields]]:
    def seen(case: Case) -> Optional[Fields]:
        known = _fields(case, "unauthorized", "incorrectResponse", same=lambda one: (
            _dns_row(one), _at(one, case)["ours"], _what(one)["short"]))
        if known is None or re.search(r"TXT record", known[0].detail):
            return None
        one, fields = known
        fields.update(_at(one, case), **_what(one))
        return fields if fields["ours"] is ours else None

    return seen


def _what(one: Problem) -> dict[str, object]:
    """What it said, as a person would say it, and the short of it that makes it another trouble when it changes."""
    url = _URL.search(one.detail)
    host = url[2].partition(":")[0] if url else ""
    redirected = url is not None and one.name and host not in ("", one.name)
    via = f" after a redirect to {url[1]}://{text.line(host, 50)}" if url and redirected else ""
    body, status = _BODY.search(one.detail), _STATUS.search(one.detail[-300:])
    if body:
        return {"got": f"a page that begins {quoted(_unquoted(body[1])[:50], 60)}{via}", "short": "page"}
    if status:
        number = next(one for one in status.groups() if one)
        return {"got": f"HTTP {number}{via}", "short": number}
    if re.search(r"[Kk]ey authorization", one.detail):
        return {"got": f"the file of another challenge{via}", "short": "key authorization"}
    rest = _REST_OF_IT.search(one.detail)
    if rest:  # no CA known here writes so: its words, without what is one lineage's own, tell two troubles apart
        words = re.sub(r"[^A-Za-z ]", "", rest[1].replace(one.name or "\n", ""))
        return {"got": f"{quoted(rest[1], 60)}{via}", "short": words[:40]}
    return {"got": f"something else{via}", "short": "other"}


def _unquoted(page: str) -> str:
    """Boulder quotes a page as Go does."""
    return re.sub(r"\\[nrt]", " ", page).replace('\\"', "'").strip('" ')


_GOT = "The CA asked {name}{partly} for the challenge's file, and {at} answered with {got} instead"
_WRONG = (
    Cause("challenge-elsewhere", _answered(False), _GOT, "dns", False, "Let the A and AAAA records of {first} lead to "
          "this host, or let {address} pass /.well-known/acme-challenge/ on to it. An old AAAA record is the usual "
          "reason.", "", ("type", "short"),
          {"name": "example.com", "first": "example.com", "at": "198.51.100.7, "
          "which is not this host,", "address": "198.51.100.7", "got": "HTTP 404"}),
    Cause("challenge-wrong-answer", _answered(True), _GOT, "web server", False, "Something on this host answers for "
          "{first} in certbot's place: with webroot compare webroot_path with the DocumentRoot and look for redirects "
          "and rewrite rules; with standalone look at what listens on port 80.", "", ("type", "short"),
          {"name": "example.com",
          "first": "example.com", "at": "192.0.2.7, an address of this host,", "got": "HTTP 404"}),
    Cause("challenge-wrong-answer", _answered(None), _GOT, "configuration", False, "See what answers there: curl -i "
          "http://{first}/.well-known/acme-challenge/x . If it is not this host, its DNS records or a proxy lead "
          "elsewhere; if it is, look at the webroot path, redirects and port forwarding.", "", ("type", "short"), {
          "name": "example.com", "first": "example.com", "at": "203.0.113.7", "got": 'a page that begins "‹!DOCTYPE '
          'html›"'}),
)

# -- nobody answered ---------------------------------------------------------------------------------------------------

_HOW = (
    ("refused", r"[Cc]onnection refused", "refused the connection"),
    ("reset", r"reset by peer|EOF|[Ss]erver closed", "broke the connection off"),
    ("timeout", r"[Tt]imeout|timed out|deadline exceeded", "did not answer in time"),
    ("unreachable", r"[Uu]nreachable|[Nn]o route to host", "could not be reached"),
    ("tls", r"tls:|handshake|x509|certificate", "failed in the TLS handshake"),
    ("redirects", r"[Rr]edirect", "redirected the CA in a way it does not follow"),
    ("failed", r"", "could not be asked"),
)
_TLS = ("tls", "failed in the TLS handshake")


def _how(one: Problem) -> tuple[str, str]:
    how, words = next((how, words) for how, pattern, words in _HOW if re.search(pattern, one.detail))
    return _TLS if how == "failed" and one.type == "tls" else (how, words)


def _unreached(ours: Optional[bool], *hows: str) -> Callable[[Case], Optional[Fields]]:
    def seen(case: Case) -> Optional[Fields]:
        known = _fields(case, "connection", "tls", same=lambda one: (_at(one, case)["ours"], _how(one)))
        if known is None:
            return None
        one, fields = known
        how, words = _how(one)
        fields.update(_at(one, case), how=how, did=words)
        if how == "refused" and fields["ours"]:
            fields["look"] = "See whether anything listens there: ss -ltn. "
        return fields if (fields["ours"] is False) == (ours is False) and (not hows or how in hows) else None

    return seen


_NOBODY = "The CA wanted to fetch the challenge's file of {name}{partly}, but {at} {did}"
_UNREACHED = (
    Cause("challenge-elsewhere", _unreached(False), _NOBODY, "dns", None, "Let the A and AAAA records of {first} lead "
          "to this host; an old AAAA record is the usual reason. If {address} is a proxy of yours, see why it does "
          "not answer on port 80.", "", ("type", "how"),
          {"name": "example.com", "first": "example.com", "at": "198.51.100.7, which is not this host,",
          "address": "198.51.100.7", "did": "did not answer in time"}),
    Cause("challenge-redirect", _unreached(None, "tls", "redirects"), _NOBODY, "web server", None, "Look at the redirects "
          "of {first}: curl -iL http://{first}/.well-known/acme-challenge/x . The CA follows them to port 80 or 443 of a "
          "domain name only; best is not to redirect that path at all.", "", ("type", "how"),
          {"name": "example.com", "first": "example.com", "at": "192.0.2.7, an address of this host,",
          "did": "redirected the CA in a way it does not follow"}),
    Cause("challenge-unreachable", _unreached(None), _NOBODY, "network", None, "{look}Open port 80 to everyone: look at the "
          "firewall here and in front of this host, and at port forwarding. The CA asks from several places in the "
          "world, so it cannot be opened for some addresses only.", "", ("type", "how"),
          {"name": "example.com", "at": "192.0.2.7, an address of this host,",
          "did": "refused the connection", "look": "See whether anything listens there: ss -ltn. "}),
)

# -- DNS ---------------------------------------------------------------------------------------------------------------


_DNS_ROWS: list[tuple[str, tuple[str, ...]]] = []


def _dns_row(one: Problem) -> Optional[int]:
    """Which of the rows below is the first to recognise it."""
    return next((number for number, (pattern, types) in enumerate(_DNS_ROWS) if one.type in types and re.search(
        pattern, one.detail)), None)


def _of_dns(how: str, pattern: str, *types: str) -> Callable[[Case], Optional[Fields]]:
    _DNS_ROWS.append((pattern, types))

    def seen(case: Case) -> Optional[Fields]:
        known = _fields(case, *types, same=_dns_row)
        return {**known[1], "how": how} if known and re.search(pattern, known[0].detail) else None

    return seen


_QUESTIONS = ("dns", "unknownHost", "dnssec", "caa")
_EXAMPLE = {"name": "example.com", "first": "example.com", "detail": '"DNS problem: ..."'}
_DNS = (
    Cause("dns-record", _of_dns("missing", r"[Nn]o TXT record|NXDOMAIN looking up TXT", "unauthorized",
          "incorrectResponse", "dns"), "The CA found no TXT record _acme-challenge of {name}", "dns", None,
          "Look at the DNS provider's API and at the credentials; if the record is made but late, raise the "
          "authenticator's propagation seconds.", "", ("how",), _EXAMPLE),
    Cause("dns-record", _of_dns("wrong", r"TXT record", "unauthorized", "incorrectResponse"), "The CA found another "
          "TXT record _acme-challenge of {name} than the one for this challenge", "dns", None,
          "Remove old _acme-challenge records, and raise the authenticator's propagation seconds if the new one comes "
          "late.", "", ("how",), _EXAMPLE),
    Cause("caa", _of_dns("caa", r"", "caa"), "A CAA record forbids this CA to issue for {name}: {detail}", "dns",
          False, "Add the CA to the CAA records of {first} (for Let's Encrypt: 0 issue \"letsencrypt.org\"), or take "
          "the name out of the certificate.", "https://letsencrypt.org/docs/caa/", (), {**_EXAMPLE, "detail": '"CAA '
          'record for example.com prevents issuance"'}),
    Cause("dnssec", _of_dns("dnssec", r"", "dnssec"), "The DNSSEC signatures of {name} are not valid: {detail}", "dns",
          False, "Look at the DS record at the registrar and at the signatures of the zone.", "", (), _EXAMPLE),
    Cause("dns", _of_dns("nxdomain", r"NXDOMAIN|no such host", *_QUESTIONS), "In the DNS there is no {name}: {detail}",
          "dns", False, "If the name is no longer used, take it out of the certificate; if it is, create its A or "
          "AAAA record, or renew the domain.", "", ("how",), {**_EXAMPLE, "detail": '"DNS problem: NXDOMAIN looking '
          'up A for example.com"'}),
    Cause("dns", _of_dns("no address", r"[Nn]o valid (?:A|AAAA|IP)|No valid IP", *_QUESTIONS), "There is no A and no "
          "AAAA record with a public address for {name}", "dns", False, "Create the record that leads to this host, or take the name out of the "
          "certificate.", "", ("how",), _EXAMPLE),
    Cause("dns", _of_dns("dnssec", r"DNSSEC|[Bb]ogus", *_QUESTIONS), "The DNSSEC signatures of {name} are not valid: "
          "{detail}", "dns", False, "Look at the DS record at the registrar and at the signatures of the zone.", "", (
          "how",), _EXAMPLE),
    Cause("dns", _of_dns("servfail", r"SERVFAIL|REFUSED", *_QUESTIONS), "The name servers of {name} failed when the "
          "CA asked them: {detail}", "dns", None, "Nothing now if it is the first time: certbot tries again with its "
          "next run. If it stays, look at the name servers, also at how they answer for CAA.", "", ("how",), _EXAMPLE),
    Cause("dns", _of_dns("timeout", r"timed out|timeout", *_QUESTIONS), "The name servers of {name} did not answer "
          "the CA in time", "dns", None, "Nothing now if it is the first time: certbot tries again with its next run. "
          "If it stays, look at whether the name servers answer from everywhere.", "", ("how",), _EXAMPLE),
    Cause("dns", _of_dns("other", r"", *_QUESTIONS), "The CA could not look {name} up in the DNS: {detail}", "dns",
          None, "Look at the DNS records of {first}; a name server that fails now and then passes by itself.", "", (
          "how",), _EXAMPLE),
)


def _any(case: Case) -> Optional[Fields]:
    """A challenge that failed in a way of its own: types that belong to requests, too."""
    lead = _lead(case) if case.challenges else None
    known = _fields(case, lead[0].type) if lead else None
    return known[1] if known else None


_REST = (
    Cause("challenge", _any, "The CA did not accept the challenge of {name}, {type}: {detail}", "unknown", None,
          "Read the details of each name.", "", ("type",), {**_EXAMPLE, "type": "malformed", "detail": '"what the CA '
          'says"'}),
)

CAUSES: tuple[Cause, ...] = tuple(replace(cause, happened=cause.happened + "{otherwise}") for cause in (
    *_DNS[:2], *_WRONG, *_UNREACHED, *_DNS[2:], *_REST))
