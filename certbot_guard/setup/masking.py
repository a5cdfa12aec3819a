"""URLs, and a guard.ini that we have made, as they may be shown: of every URL its service alone. Pure."""

from __future__ import annotations

import re

MASK = "***"
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)\S.*", re.ASCII)
_HEADER = re.compile(r"\s*\[([^\]]*)\]")


def of_url(url: str) -> str:
    """``mailtos://***``"""
    return _URL.sub(rf"\1{MASK}", url) if _URL.fullmatch(url) else MASK


def of_text(content: str) -> list[str]:
    """The lines of a new guard.ini. Its comments are our own; what is no comment in [notify] is a channel."""
    found, section = [], ""
    for line in content.splitlines():
        header = _HEADER.match(line)
        if header:
            section = header[1].strip()
        elif line.strip() and not line.startswith("#"):
            key, equals, value = line.partition("=")
            is_channel = section == "notify" and equals
            line = f"{key}{equals} {of_url(value.strip())}" if is_channel else _URL.sub(rf"\1{MASK}", line)
        found.append("".join(letter if letter.isprintable() else "?" for letter in line))
    return found
