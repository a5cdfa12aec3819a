"""What the CA's error types mean: RFC 8555 section 6.7, ARI (RFC 9773) and profiles. Where a request was refused.

What a CA says of single names (a challenge that failed) is in :mod:`certbot_guard.diagnosis.challenges`.
"""

from __future__ import annotations

import re
from typing import Callable, Optional

from certbot_guard import text
from certbot_guard.diagnosis.case import RATE_LIMITS, STATUS_PAGE, Case, Cause, Fields, quoted

_EXAMPLE_CA = "The CA (acme-v02.api.letsencrypt.org)"
_FORCE = ("The command has --force-renewal: it asks for a new certificate each time, due or not, and that is why the "
    "limit is reached. Take --force-renewal out of the scheduled command; certbot then renews when it is due.")


def _problem(*types: str) -> Callable[[Case], Optional[Fields]]:
    def seen(case: Case) -> Optional[Fields]:
        if case.acme_type not in types:
            return None
        return {"type": case.acme_type, "detail": quoted(case.acme_detail), "names": _names(case)}

    return seen


def _names(case: Case) -> str:
    """`` for a.example and b.example``, where the CA named them."""
    names = list(dict.fromkeys(one.name for one in case.subproblems if one.name))
    return f" for {text.listed(names, 2, 60)}" if names else ""


# -- rate limits -----------------------------------------------------------------------------------------------------

# Boulder's words, ratelimits/transaction.go and, before 2024, ra/ra.go; the last one takes any other.
_LIMITS = (("paused", r"temporarily prevented from requesting certificates", "the CA has paused this account for "
    "names whose challenges failed for a long time"), ("busy", r"[Ss]ervice busy", "the CA is busy and takes no more "
    "requests for the moment"), ("failed authorizations", r"failed authorizations", "too many challenges for the same "
    "name failed in the last hour"), ("same names", r"exact set of (?:identifiers|domains)|duplicate",
    "too many certificates for exactly these names in a week"), ("orders", r"new orders", "too many orders from this "
    "account in a few hours"), ("accounts", r"registrations", "too many new accounts from this address in a few "
    "hours"), ("domain", r"too many certificates", "too many certificates for the same domain in a week"), ("requests",
    r"", "too many requests"),)


def _limit(forced: Optional[bool], *limits: str) -> Callable[[Case], Optional[Fields]]:
    def seen(case: Case) -> Optional[Fields]:
        if not (case.acme_type == "rateLimited" or (not case.acme_type and case.status == 429)):
            return None
        name, words = next((name, words) for name, pattern, words in _LIMITS if re.search(pattern, case.acme_detail))
        if (limits and name not in limits) or (forced is not None and case.forced != forced):
            return None
        return {"limit": name, "why": words}

    return seen


def _limited(limit: str) -> Fields:
    return {"ca": _EXAMPLE_CA, "limit": limit, "why": next(words for name, _, words in _LIMITS if name == limit)}


_LIMITED = "{ca} refused with a rate limit: {why}"
_RATES = (
    Cause("acme:rateLimited", _limit(True, "same names", "orders", "domain"), _LIMITED + ". The command's "
          "--force-renewal is why", "configuration", True, _FORCE, RATE_LIMITS, ("limit",), _limited("same names")),
    Cause("acme:rateLimited", _limit(None, "paused"), _LIMITED, "configuration", False, "Let certbot succeed once by "
          "hand after opening the link that the CA gives in the error below (it lifts the pause); first mend what "
          "made the challenges fail.", RATE_LIMITS, ("limit",), _limited("paused")),
    Cause("acme:rateLimited", _limit(None, "failed authorizations"), _LIMITED, "configuration", True, "Find out why "
          "the challenges failed (the messages before this one, certbot's log) and mend that; the limit itself passes "
          "within an hour. 'certbot renew --dry-run' tests without using it up.", RATE_LIMITS, ("limit",),
          _limited("failed authorizations")),
    Cause("acme:rateLimited", _limit(None, "busy"), _LIMITED, "ca", True,
          "Nothing now: certbot tries again with its next run.", STATUS_PAGE, ("limit",),
          {"ca": _EXAMPLE_CA, "limit": "busy", "why": _LIMITS[1][2]}),
    Cause("acme:rateLimited", _limit(None), _LIMITED, "configuration", True, "Nothing now if this is rare: certbot "
          "tries again with its next run. Otherwise look for what asks so often: a second certbot for the same names, "
          "or --force-renewal in a script.", RATE_LIMITS, ("limit",), _limited("domain")),
)

# -- the CA itself ---------------------------------------------------------------------------------------------------


def _unavailable(case: Case) -> Optional[Fields]:
    by_status = case.status is not None and case.status >= 500 and not case.acme_type
    if case.acme_type != "serverInternal" and not by_status:
        return None
    status = f"HTTP {case.status}, " if case.status and case.status >= 400 else ""
    reason = f"serverInternal: {quoted(case.acme_detail)}" if case.acme_type else "without a reason"
    return {"said": status + reason, "status": case.status or ""}


_ITSELF = (
    Cause("ca-unavailable", _unavailable, "{ca} is down or has an error of its own; it answered {said}", "ca", True,
          "Nothing now: certbot tries again with its next run. If it stays for more than a day, look at the CA's "
          "status page.", STATUS_PAGE, ("status",), {"ca": _EXAMPLE_CA, "said": 'HTTP 503, serverInternal: "The '
          'service is down for maintenance"'}),
)

# -- one row for each type that a request can be refused with ----------------------------------------------------------

# "certbot unregister" asks the CA first (certbot 5.8 main.py): no help with an account that the CA does not have.
_NEW_ACCOUNT = ("Move the account's directory below accounts/ in certbot's configuration directory away, run "
    "'{register}', and put the new account's id into the line 'account =' of the renewal configurations.")
# type(s), sentence, whose, does it pass, what to do
_TYPES: tuple[tuple[tuple[str, ...], str, str, Optional[bool], str], ...] = (
    (("accountDoesNotExist",), "{ca} does not know the account that certbot has on this host", "configuration", False,
     _NEW_ACCOUNT),
    (("unauthorized",), "{ca} does not accept this account for what was asked: {detail}", "configuration", False,
        f"The details say what it may not do. If the account was deactivated: "
        f"{_NEW_ACCOUNT[0].lower()}{_NEW_ACCOUNT[1:]}"),
    (("externalAccountRequired",), "{ca} wants an account that is bound to a customer of its own (EAB)",
        "configuration", False, "Ask the CA for a key identifier and an HMAC key, and run '{register}' with "
        "--eab-kid and --eab-hmac-key."),
    (("userActionRequired",), "{ca} wants a person to do something first, such as to agree to new terms: {detail}",
        "configuration", False, "Read the details, do what the CA asks (terms: 'certbot update_account'), then run "
        "certbot renew."),
    (("invalidContact", "invalidEmail", "unsupportedContact"), "{ca} does not accept the account's contact address: "
        "{detail}", "configuration", False, "Set another one: certbot update_account --email ADDRESS"),
    (("rejectedIdentifier",), "{ca} does not issue certificates{names} by its policy: {detail}", "configuration",
        False, "Take the name out of the certificate ('certbot certonly --cert-name NAME -d ...'), or ask the CA why "
        "it is blocked."),
    (("unsupportedIdentifier",), "{ca} issues no certificate for a name of this kind{names}: {detail}",
        "configuration", False, "Take that name (an IP address, or a name that is not public) out of the certificate, "
        "or use a CA or profile that has it."),
    (("invalidProfile",), "{ca} has no certificate profile of the name that was asked for: {detail}", "configuration",
        False, "Look at preferred_profile or required_profile in the renewal configuration, and at the profiles that "
        "the CA offers now."),
    (("alreadyReplaced",), "{ca} says that this certificate was replaced by another one already", "configuration",
        None, "Look whether a second certbot renews the same certificate. If this one is new already ('certbot "
        "certificates'), nothing is to be done."),
    (("badCSR",), "{ca} does not accept the certificate request that certbot made: {detail}", "configuration", False,
        "Look at key_type, rsa_key_size and elliptic_curve in the renewal configuration, and at the number of names "
        "(Let's Encrypt: 100)."),
    (("badPublicKey",), "{ca} does not accept the key: {detail}", "configuration", False, "Renew with a new key of "
        "another kind: certbot renew --cert-name NAME --new-key --key-type ecdsa (a key that is weak or known to others is refused)."),
    (("badSignatureAlgorithm",), "{ca} does not accept the kind of signature that this account's key makes", "certbot",
        False, f"Update certbot. If it stays: {_NEW_ACCOUNT[0].lower()}{_NEW_ACCOUNT[1:]}"),
    (("badNonce",), "{ca} did not know the anti-replay nonce it had given out itself", "ca", True,
     "Nothing now: certbot tries again with its next run. If it stays, look for a proxy that caches the CA's answers."),
    (("orderNotReady",), "{ca} was not ready to issue the certificate although the challenges were over", "ca", True,
     "Nothing now: certbot tries again with its next run."),
    (("malformed",), "{ca} did not understand the request: {detail}", "certbot", None, "Update certbot and look at "
        "the details: an old certbot, an order that ran out, or a proxy that changes requests."),
    (("alreadyRevoked",), "{ca} says that the certificate is revoked already", "configuration", None,
     "Nothing is to be done about the revocation. If the certificate is still in use, renew it: certbot renew."),
    (("badRevocationReason",), "{ca} does not accept the reason given for a revocation", "configuration", False,
     "Run certbot revoke again with another --reason, or without one."),
    (("conflict",), "{ca} refused, since something else was going on with the same order or account: {detail}", "ca",
        True, "Nothing now: certbot tries again with its next run. If it stays, look for a second certbot with the "
        "same account."),
    (("onionCAARequired",), "{ca} wants CAA records of a .onion name with the request", "configuration", False,
     "certbot cannot send them: use an ACME client that can, or take the .onion name out of the certificate."),
)

_EXAMPLE = {"ca": _EXAMPLE_CA, "detail": '"what the CA says"', "names": " for bank.example"}
_BY_TYPE = tuple(
    Cause(f"acme:{types[0]}", _problem(*types), sentence, whose, transient, advice, "", ("type",),
          {**_EXAMPLE, "type": types[0]})
    for types, sentence, whose, transient, advice in _TYPES)


def _compound(case: Case) -> Optional[Fields]:
    if case.acme_type != "compound":
        return None
    said = "; ".join(f"{text.line(one.name or 'a name', 60)}: {one.type}" for one in case.subproblems[:3])
    more = len(case.subproblems) - 3
    return {"said": (said + (f" and {more} more" if more > 0 else "")) or quoted(case.acme_detail),
            "types": ",".join(sorted({one.type for one in case.subproblems})), "many": len(case.subproblems) or "some"}


def _other(case: Case) -> Optional[Fields]:
    if not case.acme_type:
        return None
    return {"type": case.acme_type, "detail": quoted(case.acme_detail)}


_REST = (
    Cause("acme:compound", _compound, "{ca} refused for different reasons: {said}", "configuration", None,
          "Look at each name in the details, and mend it or take it out of the certificate.", "", ("types",),
          {"ca": _EXAMPLE_CA, "said": "a.example: caa; b.example: dns"}),
    Cause("acme:other", _other, "{ca} refused with an error that is not known here, {type}: {detail}", "unknown", None,
          "Read the details; if they do not help, ask the CA.", "", ("type",),
          {"ca": _EXAMPLE_CA, "type": "somethingNew", "detail": '"what the CA says"'}),
)

CAUSES: tuple[Cause, ...] = (*_RATES, *_ITSELF, *_BY_TYPE, *_REST)
