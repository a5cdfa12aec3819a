"""The plain text of a message, read as lines with a meaning, and cut between lines. Pure.

The text is the master (:mod:`certbot_guard.message`): its first line is the state of the site, blocks are separated by
an empty line, ``Label: text`` has a label, ``  | text`` is another program's own words, a line that begins with two spaces
belongs to the line above, and from a block that begins with ``Details`` on it is only what is read when needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from certbot_guard import text

STATE, LABEL, TEXT, MORE, WORDS, HEADING = "state", "label", "text", "more", "words", "heading"
DETAILS = "Details"
_LABEL = re.compile(r"([A-Z][A-Za-z' -]{1,28}): (.*\S)")
_WORDS = "  | "
# A link is made of nothing else: pages of Let's Encrypt, certbot and Apache that only they write. Of a forum it
# is the entrance alone.
_OFFICIAL = ("letsencrypt.org", "letsencrypt.status.io", "certbot.eff.org", "eff-certbot.readthedocs.io",
             "httpd.apache.org", "www.rfc-editor.org", "datatracker.ietf.org")
# It stands between blanks, so that nobody's reader makes more of it than we do.
_LINK = re.compile(r"(?<![^\s(])https://(?:(?:" + "|".join(map(re.escape, _OFFICIAL))
                   + r")(?:/[A-Za-z0-9._~/#?=%+-]*)?|community\.letsencrypt\.org/?)"
                   + r"(?=[.,;:!?)'\"]*(?:\s|$))", re.ASCII)
_SENTENCE_END = re.compile(r"[.?]+$")


@dataclass(frozen=True)
class Line:
    """One line. :ivar text: without its label, without the mark of another program's words, without indentation."""

    kind: str
    text: str
    label: str = ""


@dataclass(frozen=True)
class Block:
    """Lines between two empty ones. :ivar details: whether it is only read when needed."""

    lines: tuple[Line, ...]
    details: bool


def blocks(body: str) -> list[Block]:
    """The body's blocks, in order; an empty list for an empty body."""
    found: list[Block] = []
    details = False
    for part in re.split(r"\n(?:[ \t]*\n)+", body.replace("\r", "").strip("\n")):
        rows = [row.rstrip() for row in part.split("\n") if row.strip()]
        if rows:
            details = details or (bool(found) and rows[0] == DETAILS)
            lines = tuple(_line(row, not found and place == 0, place) for place, row in enumerate(rows))
            found.append(Block(lines, details))
    return found


def _line(row: str, first: bool, place: int) -> Line:
    if first:
        return Line(STATE, row.strip())
    if row.startswith(_WORDS):
        return Line(WORDS, row[len(_WORDS):])
    if row.startswith("  "):
        return Line(MORE, row.strip())
    if row == DETAILS and place == 0:
        return Line(HEADING, row)
    labelled = _LABEL.fullmatch(row)
    return Line(LABEL, labelled[2], labelled[1]) if labelled else Line(TEXT, row.strip())


def links(words: str) -> Iterator[tuple[str, bool]]:
    """``words`` in pieces, each with whether it is an address of ours to click on."""
    end = 0
    for found in _LINK.finditer(words):
        address = _SENTENCE_END.sub("", found[0])
        if found.start() > end:
            yield words[end:found.start()], False
        yield address, True
        end = found.start() + len(address)
    if end < len(words):
        yield words[end:], False


def units(shown: str) -> int:
    """The length of ``shown`` as services count that were written in JavaScript or Java: never less than ``len``."""
    return len(shown.encode("utf-16-le", "surrogatepass")) // 2


def size(shown: str) -> int:
    """The length of ``shown`` in bytes."""
    return len(shown.encode("utf-8", "surrogatepass"))


def fit(body: str, limit: int, render: Callable[[str], str] = str, measure: Callable[[str], int] = len) -> str:
    """``render(body)`` if it measures at most ``limit``, or that of as many whole lines as do, from the first on.

    What is left out is at the end, where the details are; a last line then says where the rest is.
    """
    whole = render(body)
    if measure(whole) <= limit:
        return whole
    rows = body.split("\n")
    closing = _closing(body)
    fits, too_many, best = 0, len(rows), ""
    while too_many - fits > 1:  # more lines are never shorter
        middle = (fits + too_many) // 2
        shown = render("\n".join([*_without_end(rows[:middle]), "", closing]))
        if measure(shown) <= limit:
            fits, best = middle, shown
        else:
            too_many = middle
    length = limit
    while not best and length > 0:
        shown = render(text.cut(rows[0], length))
        best = shown if measure(shown) <= limit else ""
        length = length * 3 // 4
    return best


def _without_end(rows: list[str]) -> list[str]:
    while rows and (not rows[-1].strip() or rows[-1] == DETAILS):  # a heading with nothing below it
        rows = rows[:-1]
    return rows


def _closing(body: str) -> str:
    for block in blocks(body):
        for line in block.lines:
            if line.label == "Log":
                return f"(The rest did not fit here. It is in {text.cut(line.text, 160)})"
    return "(The rest did not fit here. It is in certbot's log.)"
