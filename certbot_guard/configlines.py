"""Which line of a renewal configuration certbot's reader would not come to the end of.

configobj 5.0.6 to 5.0.9 reads lines with patterns whose time doubles with each bracket, or each quoted item of a list,
and grows with the third power of a run of blanks. certbot never writes such a line; who reads these files from outside
certbot must not hang on one. Pure; asked before every reading of ours.
"""

from __future__ import annotations

import re
from typing import Optional

_LINE_LIMIT = 64 * 1024
_BLANKS = re.compile(r"\s{200}")
_HEADER_LIMIT = 500
_BRACKETS_LIMIT = 8
_ITEM = re.compile(r"[\"'] {0,9},")
_ITEMS_LIMIT = 12


def slow(text: str) -> Optional[int]:
    """The number of the first line that might take for ever; None where there is none."""
    return next((number for number, line in enumerate(text.split("\n"), 1) if _is_slow(line)), None)


def _is_slow(line: str) -> bool:
    words = line.strip()
    if not words or words.startswith("#"):
        return False
    if len(line) > _LINE_LIMIT or _BLANKS.search(line):
        return True
    if words.startswith("["):
        return len(line) > _HEADER_LIMIT or line.count("[") + line.count("]") > 2 * _BRACKETS_LIMIT
    return len(_ITEM.findall(line)) > _ITEMS_LIMIT
