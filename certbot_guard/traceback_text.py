"""Tracebacks as certbot's log has them, read back into what :mod:`certbot_guard.evidence` says of an exception. Pure.

Of Python 2 (certbot until 1.3 in most distributions) and 3. Used by :mod:`certbot_guard.logfile`.
"""

from __future__ import annotations

import builtins
import re
from typing import Any

_CHAIN_LIMIT = 12
_TEXT_LIMIT = 600
_CHAINED = re.compile(r"\n\n(?:The above exception was the direct cause of the following exception|"
                      r"During handling of the above exception, another exception occurred):\n\n")
_NAMED = re.compile(r"([A-Za-z_][\w.]*)(?::\s?|$)", re.ASCII)
_USER_IN_URL = re.compile(r"(\w://)[^/\s@]{1,200}@")
# Python 2 shows a class without its module; those that certbot shows as they are
_BARE = {"ClientError": "acme.errors", "PollError": "acme.errors", "FailedChallenges": "certbot.errors",
         "CertStorageError": "certbot.errors",
         "AuthorizationError": "certbot.errors", "PluginError": "certbot.errors", "LockError": "certbot.errors",
         "StandaloneBindError": "certbot.errors", "PluginSelectionError": "certbot.errors",
         "AccountStorageError": "certbot.errors", "AccountNotFound": "certbot.errors",
         **dict.fromkeys(("SSLError", "ReadTimeout", "ConnectTimeout", "ProxyError"), "requests.exceptions")}
_OF_PYTHON_3_ONLY = {"ConnectionError": "requests.exceptions"}
_ERRNO = re.compile(r"\[Errno (\d{1,3})\] [^:\n]*(?:: ['\"](?P<file>[^'\"\n]{1,500})['\"])?")
_VERIFY = re.compile(r"certificate verify failed: (?P<message>[^\n]{1,200}?) ?\(_ssl")
# openssl-verification-options(1), and X509_V_ERR_* in x509_vfy.h
_VERIFY_CODES = {"certificate is not yet valid": 9, "certificate has expired": 10, "self signed certificate": 18,
                 "self-signed certificate": 18, "self signed certificate in certificate chain": 19,
                 "self-signed certificate in certificate chain": 19, "unable to get local issuer certificate": 20}


def evidence(text: str) -> dict[str, Any]:
    """``types`` and ``texts``, outermost first, and what the texts say of ``errno``, ``filename`` and TLS."""
    start = text.find("Traceback (most recent call last):")
    if start < 0:
        return {}
    chain = [one for one in map(_exception, _CHAINED.split(text[start:])) if one]
    chain = chain[::-1][:_CHAIN_LIMIT]
    found: dict[str, Any] = {"types": [kind for kind, _ in chain], "texts": [said for _, said in chain]}
    found.update(said_in("\n".join(found["texts"])))
    return found if chain else {}


def said_in(text: str) -> dict[str, Any]:
    """What the text of an exception says of the system's error and of TLS."""
    found: dict[str, Any] = {}
    number = _ERRNO.search(text)
    if number:
        found["errno"] = int(number[1])
        if number["file"]:
            found["filename"] = number["file"]
    verify = _VERIFY.search(text)
    if verify:
        found["verify_message"] = verify["message"]
        code = 62 if verify["message"].startswith("Hostname mismatch") else _VERIFY_CODES.get(verify["message"])
        if code is not None:
            found["verify_code"] = code
    return found


def _exception(block: str) -> tuple[str, str] | None:
    """(qualified class name, text) of the exception that one traceback ends with."""
    lines = block.split("\n")
    for index, line in enumerate(lines):
        named = _NAMED.match(line)
        if index and named:
            said = "\n".join([line[named.end():], *lines[index + 1:]]).strip()
            said = _USER_IN_URL.sub(r"\1***@", said[:_TEXT_LIMIT * 4])[:_TEXT_LIMIT]
            return _qualified(named[1], said, "/python2." in block)[:200], said
    return None


def _qualified(name: str, said: str, python2: bool) -> str:
    if "." in name:
        return name
    if name == "Error":
        return "acme.messages.Error" if said.startswith("urn:") else "certbot.errors.Error"
    if python2 and name in _OF_PYTHON_3_ONLY:
        return f"{_OF_PYTHON_3_ONLY[name]}.{name}"
    if hasattr(builtins, name):
        return f"builtins.{name}"
    return f"{_BARE[name]}.{name}" if name in _BARE else name
