"""What may be answered to a service's questions: each check returns the answer tidied, or says what to write.

A check is a function of the text that was typed. It raises a ValueError whose text completes "write ...", and
quotes nothing of the answer, since most answers are secrets. Pure; used by the families of services beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Callable, Optional
from urllib.parse import SplitResult, quote, urlsplit

from certbot_guard.inifile import has_controls

Check = Callable[[str], str]

# As Apprise's is_hostname has it: a label of one digit, or one with a final hyphen, is none (1.2.0 to 2.3.0).
_LABEL = r"([A-Za-z0-9][A-Za-z0-9_-]{0,61}[A-Za-z0-9]|[A-Za-z])"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?", re.ASCII)
_NUMBERS = re.compile(r"[0-9.]+", re.ASCII)
_BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_BYTE}(\.{_BYTE}){{3}}", re.ASCII)
_ADDRESS = re.compile(r"[A-Za-z0-9._+=-]+@[^@\s]+", re.ASCII)
_LONGEST = 1000


def secret(what: str) -> Check:
    """A password in any script, as it is. Spaces at its ends are part of it."""
    def check(text: str) -> str:
        if not text.strip() or has_controls(text) or len(text) > _LONGEST or not _encodes(text):
            raise ValueError(f"{what}, on one line, of at most {_LONGEST} characters")
        return text
    return check


def plain_secret(what: str) -> Check:
    """The same, of ASCII characters.

    Python's smtplib sends no others (measured, 3.11: UnicodeEncodeError in auth()), and requests sends them as Latin-1
    or not at all, where servers expect UTF-8 (measured, 2.32).
    """
    any_script = secret(what)

    def check(text: str) -> str:
        if not text.isascii():
            raise ValueError(f"{what} in ASCII characters; one with others cannot be sent by Python, so change it "
                             "there first")
        return any_script(text)
    return check


def plain_name(what: str) -> Check:
    """A user name: as a password, without the spaces around it."""
    check = plain_secret(what)
    return lambda text: check(unwrapped(text))


def matching(pattern: str, what: str) -> Check:
    """A token, key or number of a known alphabet. Spaces around it came with the pasting."""
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        tidied = unwrapped(text)
        if not compiled.fullmatch(tidied):
            raise ValueError(what)
        return tidied
    return check


def one_of(*choices: str) -> Check:
    def check(text: str) -> str:
        tidied = text.strip().lower()
        if tidied not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return tidied
    return check


def host(text: str) -> str:
    """A server's name or IPv4 address; a name in another script as it goes over the wire."""
    tidied = unwrapped(text)
    try:
        name = tidied if tidied.isascii() else tidied.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    fits = _IPV4 if _NUMBERS.fullmatch(name) else _HOST
    if len(name) > 253 or not fits.fullmatch(name):
        raise ValueError("the server's name alone, such as mail.example.com, without https:// and without a path")
    return name.rstrip(".")


def port(text: str) -> str:
    tidied = text.strip()
    if not re.fullmatch("[0-9]{1,5}", tidied, re.ASCII) or not 0 < int(tidied) < 65536:
        raise ValueError("a port number from 1 to 65535, such as 587")
    return str(int(tidied))


def address(text: str) -> str:
    """One mail address, without a name beside it."""
    tidied = unwrapped(text)
    local, at, domain = tidied.rpartition("@")
    try:
        if len(tidied) <= 254 and _ADDRESS.fullmatch(tidied) and "." in domain:
            return f"{local}@{host(domain)}"
    except ValueError:
        pass
    raise ValueError("a mail address alone, such as guard@example.com")


def addresses(text: str) -> str:
    """One or more mail addresses, as ``a@example.com,b@example.com``."""
    try:
        found = list(dict.fromkeys(address(part) for part in re.split(r"[\s,;]+", text) if part))
    except ValueError:
        found = []
    if not found:
        raise ValueError("one or more mail addresses, such as: ops@example.com, me@example.org")
    return ",".join(found)


def numbers(text: str) -> str:
    """One or more telephone numbers, as ``+49...,+43...``."""
    found = [re.sub(r"[\s().-]", "", part) for part in re.split("[,;]", text) if part.strip()]
    if not found or not all(re.fullmatch(r"\+[0-9]{11,14}", part, re.ASCII) for part in found):
        raise ValueError("telephone numbers with their country's code, such as +491701234567")
    return ",".join(dict.fromkeys(found))


def number(text: str) -> str:
    """One telephone number."""
    found = numbers(text)
    if "," in found:
        raise ValueError("one telephone number, such as +491701234567")
    return found


def web_address(pattern: str, what: str) -> Check:
    """A URL that a service shows, pasted: https, of this host and path."""
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        tidied = unwrapped(text)
        parts = split(tidied)
        if parts is None or not compiled.fullmatch(f"{parts.scheme}://{(parts.hostname or '')}{parts.path}"):
            raise ValueError(what)
        return tidied
    return check


def split(text: str) -> Optional[SplitResult]:
    """The parts of a URL with a usable host and port, or None."""
    try:
        parts = urlsplit(text)
        host(parts.hostname or "")
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        return None
    if has_controls(text) or any(letter.isspace() for letter in text) or len(text) > 2 * _LONGEST:
        return None
    return parts


def unwrapped(text: str) -> str:
    """Without what pasting puts around it: spaces, a pair of quotes, angle brackets."""
    tidied = text.strip()
    for pair in ('""', "''", "<>", "``"):
        if len(tidied) > 1 and tidied[0] == pair[0] and tidied[-1] == pair[1]:
            tidied = tidied[1:-1].strip()
    return tidied


# -- the pieces of a URL -------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    """For a user, a password, a host or a piece of a path: Apprise takes one layer of quoting from these."""
    return quote(text, safe="")


def twice(text: str) -> str:
    """For a parameter that Apprise unquotes when it takes the URL apart and again when it uses it."""
    return quote(quote(text, safe=""), safe="")


def login(user: str, password: str) -> str:
    """``user:password@``, ``user@`` or nothing."""
    if not user:
        return ""
    return quoted(user) + (f":{quoted(password)}" if password else "") + "@"


def query(parameters: Mapping[str, str]) -> str:
    """``?a=b&c=d`` of those that have a value; values are quoted already."""
    given = [f"{key}={value}" for key, value in parameters.items() if value]
    return "?" + "&".join(given) if given else ""


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, from a terminal that speaks no UTF-8
        return False
    return True
