"""Text from outside, made harmless for every place a message may end up: mail, chat, SMS, the system log.

ACME details quote strangers' web pages, lineage names are free text, and what renders a message is not ours: Slack reads
``<!channel>`` (Apprise 1.9.0 lets it through even as plain text), Discord ``@everyone`` and ``[text](url)``, a terminal
ESC. So these characters are replaced, everywhere and always, by ones that no service gives a meaning to, and a reader
still recognises: ``<`` by ``‹``, ``>`` by ``›``, ``&`` by ``＆``, ``@`` by ``(at)``, a backtick by ``'``, ``](`` by
``] (``. Doing it twice changes nothing more. Pure; used by :mod:`certbot_guard.message` and the deliverer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

_REPLACED = str.maketrans({"<": "‹", ">": "›", "&": "＆", "@": "(at)", "`": "'"})
_LINE_BREAKS = re.compile("\r\n|[\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")
# Of a text that has to be cut: the beginning says what it is, the end often says why.
_HEAD_SHARE = 2 / 3
# No text that is shown is longer; what is beyond is not even looked at.
_LOOK_AT = 40_000


def line(value: Any, limit: int = 500) -> str:
    """``value`` as one harmless line of at most ``limit`` characters, both of its ends kept."""
    return cut(" ".join(harmless(_short(value)).split()), limit)


def lines(value: Any, limit: int = 2000, most: int = 40) -> list[str]:
    """``value`` as harmless lines, empty ones left out: ``limit`` characters in all, ``most`` lines, both ends kept."""
    found = [" ".join(part.split()) for part in harmless(_short(value)).split("\n")]
    found = [part for part in cut("\n".join(part for part in found if part), limit).split("\n") if part]
    if len(found) <= most:
        return found
    head = int(most * _HEAD_SHARE)
    tail = most - head - 1
    return found[:head] + [f"[... {len(found) - head - tail} lines left out ...]"] + found[len(found) - tail:]


def harmless(text: str) -> str:
    """The same text with nothing in it that anything could act on. Line breaks of every kind become ``\\n``."""
    text = _LINE_BREAKS.sub("\n", text).translate(_REPLACED)
    text = text if text.replace("\n", "").isprintable() else "".join(map(_visible, text))
    return text.replace("](", "] (")


def cut(text: str, limit: int) -> str:
    """``text`` itself if it is at most ``limit`` long, or its two ends with what was left out counted."""
    if len(text) <= limit:
        return text
    note = " [... {} characters left out ...] "
    room = limit - len(note) - len(str(len(text)))
    if room <= len(note):
        return text[:max(0, limit - 1)] + "…"
    head = int(room * _HEAD_SHARE)
    return text[:head] + note.format(len(text) - room) + text[len(text) - (room - head):]


def listed(names: Iterable[Any], most: int = 10, limit: int = 120) -> str:
    """``a, b, c and 7 more``: each name one harmless line."""
    names = list(names)
    shown = ", ".join(line(name, limit) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _short(value: Any) -> str:
    return cut(value if isinstance(value, str) else "" if value is None else str(value), _LOOK_AT)


def _visible(character: str) -> str:
    if character == "\n" or character.isprintable():
        return character
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    return "�" if category in ("Cs", "Co") else " "
