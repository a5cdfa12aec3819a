"""Reads a line of POSIX shell, as far as it is simple: commands, joined by operators, and no more.

Pure: expands nothing, runs nothing, looks at no file. Used through :mod:`certbot_guard.shellwords`, and by
:mod:`certbot_guard.shellgroups`, which reads more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Optional

# Longer than any command of cron's (MAX_COMMAND is 1,000 there, cronie 131,072); more is not judged.
LINE_LIMIT = 16 * 1024
RESERVED = frozenset({"!", "{", "}", "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case",
                      "esac", "in", "select", "function", "[[", "coproc"})
BLANK = re.compile(r"(?:[ \t]|\\\n)+")
OPERATOR = re.compile(r"&&|\|\||;;|\|&|[;|\n]|&(?!>)")
REDIRECT = re.compile(r"([0-9]*)(&>>|&>|<<<|<<|<>|<&|>>|>&|>\||<|>)")
SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=", re.ASCII)
_PLAIN = re.compile(r"""[^ \t\n\\'"`$&|;<>()]+""")
_VARIABLE = re.compile(r"\$(?:[A-Za-z_0-9@*#?$!-]\w*|\{[^}\"'`$\\]*\}|(?=[^({]|$))", re.ASCII)
_DOUBLE_PLAIN = re.compile(r'[^"\\$`]+')
_ARITHMETIC = re.compile(r"\$\(\([^()'\"`]*(?:\([^()'\"`]*\)[^()'\"`]*)*\)\)")
_SUBSTITUTION = re.compile(r"\$\([^()'\"`]*\)|`[^`'\"]*`")


class NotSimple(Exception):
    """There is more in it than simple commands."""


@dataclass(frozen=True)
class Simple:
    """One simple command.

    :ivar words: without quotes, redirections and ``VAR=value`` in front; variables stand as they are written
    :ivar joined: the operator before it: an empty string (first), ``&&``, ``||``, ``;``, ``|``, ``&``, a line break
    :ivar redirects: such as ``(">/dev/null", "2>&1")``, with the number as written
    :ivar settings: the ``VAR=value`` in front of it
    :ivar then: the operator behind it, an empty string at the end
    :ivar start: where it begins in the line
    :ivar end: and where it ends, redirections included
    """

    words: tuple[str, ...]
    joined: str = ""
    redirects: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    then: str = field(default="", compare=False)
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


def commands(line: str, substitutions: bool = False) -> Optional[list[Simple]]:
    """The simple commands of a line, or of several; an empty list where there is none.

    :param substitutions: take ``$(date +%F)`` as a piece of a word, as it stands, where it holds no quotes
    :returns: None where it is more than simple commands joined by operators (loops, groups, substitutions,
        here-documents), where a quote is not closed, and above :data:`LINE_LIMIT` characters: then nothing is judged
    """
    if len(line) > LINE_LIMIT:
        return None
    try:
        return Reader(line, substitutions).read()
    except NotSimple:
        return None


class Reader:
    """Goes through the line once, from left to right.

    :cvar stops: what ends a command besides operators
    """

    stops = ""

    def __init__(self, line: str, substitutions: bool) -> None:
        self.line, self.at, self.substitutions = line, 0, substitutions

    def read(self) -> list[Simple]:
        found: list[Simple] = []
        joined, must_follow = "", False
        while True:
            one = self.simple(joined)
            operator = OPERATOR.match(self.line, self.at)
            if operator:
                self.at = operator.end()
            spelled = operator[0] if operator else ""
            if spelled == ";;":
                raise NotSimple
            if one is None:
                # An empty line is nothing; so is the line break after an operator. Any other gap is an error.
                if spelled not in ("", "\n") or (must_follow and not spelled):
                    raise NotSimple
                if not spelled:
                    return found
                if found and not must_follow:
                    joined = joined or "\n"
                continue
            extra = ("2>&1",) if spelled == "|&" else ()
            spelled = "|" if spelled == "|&" else spelled
            found.append(replace(one, redirects=one.redirects + extra, then=spelled))
            if not spelled:
                return found
            joined, must_follow = spelled, spelled in ("&&", "||", "|")

    def simple(self, joined: str) -> Optional[Simple]:
        """The command that begins here; None where an operator or the end comes first."""
        words: list[str] = []
        redirects: list[str] = []
        settings: list[str] = []
        start, end = None, 0
        while True:
            blank = BLANK.match(self.line, self.at)
            self.at = blank.end() if blank else self.at
            if self.line.startswith("#", self.at):
                end_of_line = self.line.find("\n", self.at)
                self.at = len(self.line) if end_of_line < 0 else end_of_line
            if self.at >= len(self.line) or self.line[self.at] in self.stops or OPERATOR.match(self.line, self.at):
                break
            begin = self.at
            start = begin if start is None else start
            redirect = REDIRECT.match(self.line, self.at)
            if redirect:
                redirects.append(self.redirect(redirect))
                end = self.at
                continue
            word, quoted = self.word()
            end = self.at
            if not words and not quoted and word in RESERVED:
                raise NotSimple
            if not words and SETTING.match(self.line, begin):
                settings.append(word)
            else:
                words.append(word)
        if start is None:
            return None
        return Simple(tuple(words), joined, tuple(redirects), tuple(settings), start=start, end=end)

    def redirect(self, redirect: re.Match[str]) -> str:
        if redirect[2] in ("<<", "<<<"):
            raise NotSimple
        self.at = redirect.end()
        blank = BLANK.match(self.line, self.at)
        self.at = blank.end() if blank else self.at
        begin = self.at
        target, _ = self.word()
        if self.at == begin:
            raise NotSimple
        return redirect[0] + target

    def word(self) -> tuple[str, bool]:
        """The word that begins here, without its quotes, and whether it had any."""
        said: list[str] = []
        quoted = False
        while self.at < len(self.line):
            character = self.line[self.at]
            if character in " \t\n&|;<>" or character in self.stops:
                break
            if character == "'":
                end = self.line.find("'", self.at + 1)
                if end < 0:
                    raise NotSimple
                said.append(self.line[self.at + 1:end])
                self.at, quoted = end + 1, True
            elif character == '"':
                said.append(self._double_quoted())
                quoted = True
            elif character == "\\":
                following = self.line[self.at + 1:self.at + 2]
                said.append("" if following == "\n" else following or "\\")
                self.at, quoted = self.at + 2, quoted or following != "\n"
            else:
                said.append(self.piece(_PLAIN))
        self.at = min(self.at, len(self.line))
        return "".join(said), quoted

    def _double_quoted(self) -> str:
        said: list[str] = []
        self.at += 1
        while self.at < len(self.line):
            character = self.line[self.at]
            if character == '"':
                self.at += 1
                return "".join(said)
            if character == "\\":
                following = self.line[self.at + 1:self.at + 2]
                said.append("" if following == "\n" else following if following in '$`"\\' else "\\" + following)
                self.at += 2
            else:
                said.append(self.piece(_DOUBLE_PLAIN))
        raise NotSimple

    def piece(self, plain: re.Pattern[str]) -> str:
        """A piece of a word that stands as it is written: plain characters, a variable, arithmetic."""
        patterns = [plain, _ARITHMETIC, _VARIABLE] + ([_SUBSTITUTION] if self.substitutions else [])
        for pattern in patterns:
            match = pattern.match(self.line, self.at)
            if match:
                self.at = match.end()
                return match[0]
        raise NotSimple
