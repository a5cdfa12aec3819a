"""The last lines of certbot's log, for a message, with everything in them struck out that opens a door.

certbot logs each ACME request whole: signed with the account key, with nonces, tokens and, at registration, what the CA
gave as credentials. Its command line and the hooks' may hold passwords. What looks like a secret is one here: a reader
can do without it, and the log itself still has it. For messages where ``log_lines`` asks for it, and ``explain``.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from certbot_guard import text

MASK = "***"
LINES_LIMIT = 200
LINE_LIMIT = 300
LIMIT = 12_000
WINDOW_BYTES = 512 * 1024

_RECORD = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}:"
# One without an end goes on to the next record: a key must not survive because the log was cut.
_PEM = re.compile(rf"-----BEGIN ([^-\n]{{1,60}})-----(?:(?!\n{_RECORD}).)*?"
                  rf"(?:-----END [^-\n]{{1,60}}-----|(?=\n{_RECORD})|\Z)", re.DOTALL)
_PEM_LINE = re.compile(r"^[ \t]*[A-Za-z0-9+/_-]{20,}={0,2}[ \t]*$", re.MULTILINE | re.ASCII)
# A key's last line is as short as it comes.
_PEM_LAST_LINE = re.compile(r"^[ \t]*[A-Za-z0-9+/_-]{2,64}={0,2}[ \t]*(?=\n[ \t]*-----END )", re.MULTILINE | re.ASCII)
_RUN = re.compile(r"[A-Za-z0-9_-]{22,}", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]{32,}(?:-[0-9a-fA-F]+)*", re.ASCII)
# RFC 8555 section 8.1: a token has 128 bits, 22 letters; a thumbprint and Let's Encrypt's tokens have 43.
_CERTAIN_LENGTH = 40

# What bandit takes for a password is a pattern that finds one.
_SECRET_NAME = (r"[\w.-]{0,40}(?:secret|passw|passphrase|pwd|token|hmac|api[_-]?key|access[_-]?key|"  # nosec B105
                r"private[_-]?key|credential|signature|nonce|cookie|thumbprint|session)[\w.-]{0,40}")
_KEY_NAME = r"[\w.-]{0,40}(?:key|kid|sig|auth|pin|pass)"
_QUOTE = r"\\{0,3}[\"']"
# in JSON and in Python's own notation
_MEMBER = re.compile(
    rf"({_QUOTE}(?:{_SECRET_NAME}|{_KEY_NAME}|protected|payload|(?:proxy-|key)?authorization){_QUOTE}\s{{0,9}}"
    rf":\s{{0,9}}b?{_QUOTE})"
    r"(?:(?<=[^\\]\")(?:\\.|[^\"\\\n])*|(?<=[^\\]')(?:\\.|[^'\\\n])*|[^\n]*?(?=\\{1,3}[\"']\s{0,9}[,}\]\\]|$))",
    re.IGNORECASE | re.MULTILINE)
# the numbers that a key is made of (RFC 7518 section 6)
_NUMBER = re.compile(rf"({_QUOTE}(?:d|p|q|dp|dq|qi|k|n|x|y){_QUOTE}\s{{0,9}}:\s{{0,9}}{_QUOTE})[A-Za-z0-9_=-]{{8,}}")
_HEADER = re.compile(r"((?:proxy-)?authorization|(?:set-)?cookie|[\w-]{0,40}-(?:key|token|nonce|secret|signature))"
                     r"(\s{0,9}(?<!:):(?!:)\s{0,9})[^\"'\n]*", re.IGNORECASE)  # "authorization :: The ..." is an ACME error
# "token: is invalid" is a sentence
_NO_SECRET = (r"(?!(?-i:is|was|are|were|has|not|invalid|expired|missing|required|wrong|rejected|revoked|unknown)"  # nosec B105
              r"[.,;:!?)\]]?(?:\s|\Z))")
_OPTION = re.compile(
    r"((?<![\w-])(?!--(?:key-type|key-path|rsa-key-size|reuse-key|new-key)\b)--?[\w-]{0,60}"
    r"(?:key|token|secret|passw|hmac|kid|credential|pwd)[\w-]{0,60}(?:=|[\"'],\s{0,9}[\"']|\s{1,9}))"
    r"(?!-)(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s\"',;\])]+)", re.IGNORECASE)
_ASSIGNED = re.compile(rf"(?<![\w.-])((?:{_SECRET_NAME}\s{{0,9}}[:=](?!:)|{_KEY_NAME}=)\s{{0,9}})" + _NO_SECRET +
                       r"(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s\"',;&\])}]+)", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer)(\s{1,9})[^\s\"',;]{4,}")
_USER_IN_URL = re.compile(r"(://)[^\s/\"']{1,500}@")
_USER_OPTION = re.compile(r"((?<!\S)(?:-u|--user|--proxy-user)[ =]['\"]?)[^\s\"']+:[^\s\"']+")
_CHALLENGE = re.compile(r"(acme-challenge/)[\w-]+(?:\.[\w-]+)?")


# Of slack://TokenA/TokenB every part is a secret; what Apprise does not know, nobody needs to read whole either.
_OF_APPRISE = re.compile(
    r"\b((?!(?:https?|file|ftps?|ldaps?|ldapi|unix|tcp|udp|tls|ssl|socks[45]h?|ssh|rsync|git|redis|mysql|postgres(?:ql)?):)"
    r"(?![a-z0-9+.-]{0,20}https?:)[a-z][a-z0-9+.-]{1,20}://)[^\s'\"]+", re.IGNORECASE)


def tail(log: Path, count: int) -> list[str]:
    """The last ``count`` lines of ``log``, harmless and without a secret, oldest first; none if it cannot be read."""
    if count <= 0:
        return []
    said = masked(_without_the_count(_end_of(log))).rstrip().split("\n")[-min(count, LINES_LIMIT):]
    shown, room = [], LIMIT
    for line in reversed(said):
        line = text.cut(text.harmless(line).replace("\n", " ").rstrip(), LINE_LIMIT)
        room -= len(line) + 1
        if room < 0:
            break
        shown.append(line)
    return [line for line in reversed(shown)] if any(shown) else []


# certbot's end after failed renewals: a traceback that says no more than how many failed (certbot 0.27 to 5.8).
_COUNT = re.compile(rf"^{_RECORD}DEBUG:certbot[\w.]*:Exiting abnormally:(?:\n(?!{_RECORD}).*)*"
                    r"\d+ renew failure\(s\), \d+ parse failure\(s\)[\s\S]*\Z", re.MULTILINE)


def _without_the_count(said: str) -> str:
    """What led to the failure, if the log ends with no more than their number."""
    begins = said.rfind("Exiting abnormally:")
    found = _COUNT.search(said, said.rfind("\n", 0, begins) + 1) if begins >= 0 else None
    return said[:found.start()] if found is not None else said


def end_of(said: str, limit: int) -> str:
    """Its last ``limit`` characters, masked: before it is cut, since half a secret is not known for one."""
    whole = masked(said)
    return whole if len(whole) <= limit else whole[-limit:].partition("\n")[2] or whole[-limit:]


def masked(said: str) -> str:
    """``said`` without keys, signatures, nonces, tokens and passwords. The time it takes grows with its length only."""
    said = _PEM.sub(rf"[\1 {MASK}]", said.replace("\r\n", "\n"))
    said = _PEM_LAST_LINE.sub(MASK, _PEM_LINE.sub(MASK, said))
    said = _RUN.sub(_unless_a_word, said)
    said = _HEX.sub(MASK, said)
    said = _USER_IN_URL.sub(rf"\1{MASK}@", said)
    said = _OF_APPRISE.sub(rf"\1{MASK}", said)
    said = _HEADER.sub(rf"\1\2{MASK}", said)
    for pattern in (_MEMBER, _NUMBER, _OPTION, _ASSIGNED, _USER_OPTION, _CHALLENGE):
        said = pattern.sub(rf"\1{MASK}", said)
    return _BEARER.sub(rf"\1\2{MASK}", said)


def _unless_a_word(match: re.Match[str]) -> str:
    """A long run of letters and digits is a secret, unless it is written as people name things."""
    run = match[0]
    mixed = any(letter.islower() for letter in run) and any(letter.isupper() for letter in run)
    digits = sum(letter.isdigit() for letter in run)
    return MASK if mixed and (len(run) >= _CERTAIN_LENGTH or digits > 1) else run


def _end_of(log: Path) -> str:
    """The end of the file from the beginning of a record on: half a record could hold half a key."""
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return ""
        start = max(0, status.st_size - WINDOW_BYTES)
        said = os.pread(descriptor, WINDOW_BYTES, start).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    if not start:
        return said
    first = re.search(rf"^{_RECORD}", said, re.MULTILINE)
    return said[first.start():] if first else ""
