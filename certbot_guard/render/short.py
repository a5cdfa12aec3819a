"""A message where there is little room: an SMS, a pager, a push notification. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from certbot_guard import text
from certbot_guard.render import layout

# In the alphabet of SMS (GSM 03.38): one letter outside it, and a message holds 70 characters instead of 160.
_GSM = str.maketrans({"‹": "(", "›": ")", "＆": "+", "…": "...", "’": "'", "–": "-", "—": "-", "�": "?"})
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
# What a short message goes without, first what is first.
_LESS = (frozenset({"Started", "Command", "Error"}), frozenset({"Log"}), frozenset({"Next attempt"}),
         frozenset({"It means"}))


def sms(title: str, body: str, limit: int) -> str:
    """Title and first line: the title whole if it fits, and as many whole sentences of the first line as still do."""
    title = text.cut(title.translate(_GSM), limit).translate(_GSM)[:limit]
    state = next((block.lines[0].text for block in layout.blocks(body)), "").translate(_GSM)
    shown = title
    for number, sentence in enumerate(_SENTENCE.split(state)):
        longer = f"{shown}{' ' if number else chr(10)}{sentence}"
        if not sentence or len(longer) > limit:
            break
        shown = longer
    return shown


def brief(body: str, fits: Callable[[str], bool]) -> str:
    """The body without its details; then with less and less, until it ``fits`` or only what matters most is left.

    That is the first line, what failed, why, and what to do.
    """
    found = [block for block in layout.blocks(body) if not block.details]
    shown = _joined(found, frozenset(), True)
    dropped: frozenset[str] = frozenset()
    for labels in _LESS:
        if fits(shown):
            break
        dropped |= labels
        shown = _joined(found, dropped, False)
    return shown


def _joined(blocks: list[layout.Block], dropped: frozenset[str], whole: bool) -> str:
    parts = []
    for block in blocks:
        rows = [_row(line) for line in block.lines
                if line.label not in dropped and (whole or line.kind not in (layout.MORE, layout.WORDS))]
        if rows:
            parts.append("\n".join(rows))
    return "\n\n".join(parts)


def _row(line: layout.Line) -> str:
    before = {layout.LABEL: f"{line.label}: ", layout.MORE: "  ", layout.WORDS: "  | "}.get(line.kind, "")
    return before + line.text
