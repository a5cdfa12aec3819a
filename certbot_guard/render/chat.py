"""A message as a chat shows it well: bold labels, other programs' words as code, addresses of ours to click on. Pure.

Slack has no way to escape a character, so nothing is escaped anywhere: a word with something in it that a chat could
act on (a ``*``, a name like ``_acme-challenge``, an ``:emoji:``, a stranger's address) is shown as code, which no chat
looks into.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from certbot_guard.render import layout

# What none of them may get from us, whoever wrote it: the end of code, a mention, Slack's own markup.
_NEVER = str.maketrans({"`": "'", "<": "‹", ">": "›", "&": "＆", "@": "＠"})
_ACTS = re.compile(r"[*_~|\\\[\]{}#^$]|:[a-z0-9_+'-]*[a-z][a-z0-9_+'-]*:|://|^mailto:|^--+$|^==+$|^[+-]$|^\d+[.)]$",
                   re.IGNORECASE)
_AROUND = re.compile(r"^([(\"'‹]*)(.*?)([)\"'›.,;:!?]*)$", re.DOTALL)


@dataclass(frozen=True)
class Dialect:
    """How a chat marks what. ``bold`` and ``code`` are put before and after; ``link`` around an address."""

    bold: tuple[str, str] = ("*", "*")
    code: tuple[str, str] = ("`", "`")
    fence: tuple[str, str] = ("```\n", "\n```")
    link: tuple[str, str] = ("", "")
    markup: bool = False  # HTML: characters are escaped, and nothing else acts


SLACK = Dialect()
# Discord shows no preview of an address in angle brackets.
DISCORD = Dialect(bold=("**", "**"), link=("<", ">"))
MATTERMOST = Dialect(bold=("**", "**"))
# https://core.telegram.org/bots/api#html-style
TELEGRAM = Dialect(("<b>", "</b>"), ("<code>", "</code>"), ("<code>", "</code>"), markup=True)


def render(body: str, dialect: Dialect) -> str:
    """The body in this dialect."""
    return "\n\n".join("\n".join(_lines(block.lines, dialect)) for block in layout.blocks(body))


def bold(words: str, dialect: Dialect) -> str:
    """One line, bold: a title."""
    return _marked(" ".join(words.split()), dialect)


def _lines(lines: Iterable[layout.Line], dialect: Dialect) -> list[str]:
    shown: list[str] = []
    fenced: list[str] = []
    for line in lines:
        if line.kind == layout.WORDS:
            fenced.append(_code(line.text, dialect))
            continue
        shown += _fence(fenced, dialect)
        fenced = []
        shown.append(_line(line, dialect))
    return shown + _fence(fenced, dialect)


def _line(line: layout.Line, dialect: Dialect) -> str:
    if line.kind in (layout.STATE, layout.HEADING):
        return _marked(line.text, dialect)
    if line.kind == layout.LABEL:
        return f"{_marked(line.label + ':', dialect)} {_plain(line.text, dialect)}"
    return ("    " if line.kind == layout.MORE else "") + _plain(line.text, dialect)


def _fence(fenced: list[str], dialect: Dialect) -> list[str]:
    return [dialect.fence[0] + "\n".join(fenced) + dialect.fence[1]] if fenced else []


def _marked(words: str, dialect: Dialect) -> str:
    """Bold, where every chat makes it so: Slack wants no blank inside, and code cannot be bold in all of them."""
    before, after = dialect.bold
    if dialect.markup:
        return before + escape(words, quote=False) + after
    pieces = _plain(words, dialect)
    return pieces if "`" in pieces or not pieces else before + pieces + after


def _plain(words: str, dialect: Dialect) -> str:
    return "".join(dialect.link[0] + piece + dialect.link[1] if is_link else _stranger(piece, dialect)
                   for piece, is_link in layout.links(words))


def _stranger(words: str, dialect: Dialect) -> str:
    if dialect.markup:
        return " ".join(_telegram_word(word, dialect) for word in words.split(" "))
    return " ".join(_word(word.translate(_NEVER), dialect) for word in words.split(" "))


def _word(word: str, dialect: Dialect) -> str:
    if not _ACTS.search(word):
        return word
    around = _AROUND.match(word)
    before, inner, after = around.groups() if around else ("", word, "")
    if not inner or _ACTS.search(before) or _ACTS.search(after):
        before, inner, after = "", word, ""
    return before + dialect.code[0] + inner + dialect.code[1] + after


def _telegram_word(word: str, dialect: Dialect) -> str:
    safe = escape(word.replace("@", "＠"), quote=False)
    return dialect.code[0] + safe + dialect.code[1] if "://" in word else safe


def _code(words: str, dialect: Dialect) -> str:
    return escape(words.replace("@", "＠"), quote=False) if dialect.markup else words.translate(_NEVER)
