"""Reads what is more than simple in the words of a command: substitutions, here-documents, arrays. Pure.

What runs within a substitution is not read: it stands in the word as it is written. Used by
:mod:`certbot_guard.shellgroups`.
"""

from __future__ import annotations

import re

from certbot_guard.shellreader import BLANK, NotSimple, Reader

_DELIMITER = re.compile(r"""-?[ \t]*(?:'([^'\n]+)'|"([^"\n]+)"|\\?([^\s;&|()<>'"\\$`]+))""")
_ARRAY = re.compile(r"[A-Za-z_]\w*\+?=\(", re.ASCII)
_CLOSES = {"(": ")", "{": "}", "`": "`", '"': '"'}
# What may hold a bracket that closes nothing
_UNSURE = re.compile(r"(?:^|[\s;(])(?:case[ \t]|#)|<<")


class Pieces(Reader):
    """Goes through the text once, from left to right.

    :ivar awaited: the here-documents that begin on the next line: where each ends, and whether tabs are left out
    """

    stops = "()"

    def __init__(self, line: str) -> None:
        super().__init__(line, True)
        self.awaited: list[tuple[str, bool]] = []

    def skip(self) -> None:
        """Blanks and comments."""
        blank = BLANK.match(self.line, self.at)
        self.at = blank.end() if blank else self.at
        if self.line.startswith("#", self.at) and (not self.at or self.line[self.at - 1] in " \t\n;&|()"):
            end = self.line.find("\n", self.at)
            self.at = len(self.line) if end < 0 else end

    def redirect(self, redirect: re.Match[str]) -> str:
        if redirect[2] == "<<":
            match = _DELIMITER.match(self.line, redirect.end())
            if match is None:
                raise NotSimple
            self.awaited.append((match[1] or match[2] or match[3], match[0].startswith("-")))
            self.at = match.end()
            return redirect[0] + match[0]
        if redirect[2] == "<<<":
            self.at = redirect.end()
            self.skip()
            return redirect[0] + self.word()[0]
        return super().redirect(redirect)

    def read_documents(self) -> None:
        """Past the here-documents of the line that has just ended."""
        for delimiter, tabs in self.awaited:
            while True:
                end = self.line.find("\n", self.at)
                line = self.line[self.at:end if end >= 0 else len(self.line)]
                self.at = end + 1 if end >= 0 else len(self.line)
                if (line.lstrip("\t") if tabs else line) == delimiter:
                    break
                if end < 0:
                    raise NotSimple
        self.awaited.clear()

    def word(self) -> tuple[str, bool]:
        array = _ARRAY.match(self.line, self.at)
        if array is None:
            return super().word()
        begin, self.at = self.at, array.end() - 1
        self._bracketed("(")
        return self.line[begin:self.at], False

    def piece(self, plain: re.Pattern[str]) -> str:
        if self.line.startswith(("$(", "${", "`"), self.at):
            begin = self.at
            self.at += self.line[self.at] == "$"
            self._bracketed(self.line[self.at])
            said = self.line[begin:self.at]
            if said[1:2] != "{" and _UNSURE.search(said):
                raise NotSimple
            return said
        return super().piece(plain)

    def _bracketed(self, bracket: str) -> None:
        """Past a bracket that begins here, and what is in it."""
        opened = [bracket]
        self.at += 1
        while opened:
            character = self.line[self.at:self.at + 1]
            if not character:
                raise NotSimple
            if character == "\\":
                self.at += 2
            elif character == _CLOSES[opened[-1]]:
                opened.pop()
                self.at += 1
            elif character == "'" and opened[-1] != '"':
                self.at = self.line.find("'", self.at + 1) + 1
                if not self.at:
                    raise NotSimple
            elif character == "$" and self.line[self.at + 1:self.at + 2] in ("(", "{"):
                opened.append(self.line[self.at + 1])
                self.at += 2
            elif character in ('"', "`") or (character == "(" and opened[-1] == "("):
                opened.append(character)
                self.at += 1
            else:
                self.at += 1
