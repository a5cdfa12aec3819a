"""Reads shell with what stands around commands: groups, subshells, conditions, loops, functions, over several lines.

Pure: expands nothing, runs nothing, looks at no file. Goes through the text once; what is nested too deeply, or is more
than this, is not read. What is read can be judged, not rewritten by joining it again: :mod:`certbot_guard.shellreader`
has the lines of which that is true. Used by :mod:`certbot_guard.shellwords`, :mod:`certbot_guard.certbotlines` and
doctor.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Optional, Sequence

from certbot_guard.shellpieces import Pieces
from certbot_guard.shellreader import LINE_LIMIT, OPERATOR, REDIRECT, RESERVED, NotSimple, Simple
from certbot_guard.shelltree import COMMANDS_LIMIT, DEPTH_LIMIT, Group, Leaf, Node, expanded, leaves, shared

__all__ = ["COMMANDS_LIMIT", "DEPTH_LIMIT", "Group", "Leaf", "Node", "expanded", "leaves", "parse", "peeled", "shared"]

_PEEK = re.compile(r"""[^\s;&|()<>'"\\$`]+""")
_TESTED = re.compile(r"[^\n]*?[ \t]\]\](?=[\s;&|)]|$)")
_FUNCTION = re.compile(r"[ \t]*\([ \t]*\)")


def parse(text: str, limit: int = LINE_LIMIT) -> Optional[tuple[Node, ...]]:
    """The commands and groups of a text, as they stand there; None where it cannot be read."""
    if len(text) > limit:
        return None
    try:
        return _Compound(text).everything()
    except NotSimple:
        return None


def peeled(command: str) -> str:
    """Without the brackets where nothing else is beside them."""
    while True:
        nodes = parse(command) or ()
        if len(nodes) != 1 or not isinstance(nodes[0], Group) or nodes[0].kind not in ("{", "("):
            return command
        inside = nodes[0].parts[0]
        if nodes[0].redirects or nodes[0].then or inside[-1].then == "&":
            return command
        command = command[inside[0].start:inside[-1].end]


class _Compound(Pieces):
    """Goes through the text once, from left to right, and one level down at each bracket."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.depth, self.count = -1, 0  # what stands in no bracket is at 0

    def everything(self) -> tuple[Node, ...]:
        found = self._list(())
        if self.at < len(self.line) or self.awaited:
            raise NotSimple
        return found

    def _list(self, ends: Sequence[str], empty: bool = True) -> tuple[Node, ...]:
        """The commands up to one of these words, which is left."""
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise NotSimple
        found: list[Node] = []
        joined, must_follow = "", False
        while True:
            self.skip()
            if self._peek() in ends:
                break
            one = self._node(joined)
            self.skip()
            operator = OPERATOR.match(self.line, self.at)
            spelled = operator[0] if operator else ""
            if one is not None:
                self.count += 1
                if self.count > COMMANDS_LIMIT:
                    raise NotSimple
                extra = ("2>&1",) if spelled == "|&" else ()
                behind = {"|&": "|", ";;": ""}.get(spelled, spelled)
                found.append(replace(one, redirects=one.redirects + extra, then=behind))
                must_follow = spelled in ("&&", "||", "|", "|&")
                joined = behind
            elif spelled not in ("", "\n") or (not spelled and must_follow):
                raise NotSimple
            elif spelled and found and not must_follow:
                joined = joined or "\n"
            if spelled == ";;" or not spelled:
                if self._peek() in ends or (not ends and self.at >= len(self.line)):
                    break
                raise NotSimple
            self.at += len(spelled)
            if spelled == "\n":
                self.read_documents()
        if must_follow or not (found or empty):
            raise NotSimple
        self.depth -= 1
        return tuple(found)

    def _peek(self) -> str:
        """The word, bracket or ``;;`` that comes next; an empty string where that is nothing of a group's."""
        if self.line.startswith(")", self.at):
            return ")"
        if self.line.startswith(";;", self.at):
            return ";;"
        match = _PEEK.match(self.line, self.at, self.at + 40)
        if match is None or self.line[match.end():match.end() + 1] in ("'", '"', "\\", "$", "`"):
            return ""
        return match[0]

    def _take(self, *words: str) -> str:
        """The next word, which has to be one of these."""
        self.skip()
        word = self._peek()
        if word not in words:
            raise NotSimple
        self.at += len(word)
        return word

    def _lines(self) -> None:
        """Past line breaks, where nothing is between them."""
        if self.awaited:
            raise NotSimple
        self.skip()
        while self.line.startswith("\n", self.at):
            self.at += 1
            self.skip()

    def _node(self, joined: str) -> Optional[Node]:
        start, word = self.at, self._peek()
        if self.line.startswith("(", start):
            self.at += 1
            inside = self._list((")",), False)
            self._take(")")
            return self._redirected("(", (inside,), joined, start)
        if word == "!":
            if joined == "|":
                raise NotSimple
            self.at += 1
            return Group("!", (self._pipeline(),), joined, start=start, close=self.at, end=self.at)
        if word == "{":
            self.at += 1
            inside = self._list(("}",), False)
            self._take("}")
            return self._redirected("{", (inside,), joined, start)
        if word == "[[":
            match = _TESTED.match(self.line, self.at)
            if match is None:
                raise NotSimple
            self.at = match.end()
            return Simple(("[[",), joined, start=start, end=self.at)
        if word in ("if", "while", "until", "for", "select", "case", "function"):
            self.at += len(word)
            if word == "function":
                self.skip()
                name = self._peek()
                self.at += len(name)
                match = _FUNCTION.match(self.line, self.at)
                self.at = match.end() if match else self.at
                return self._function(name, joined, start)
            parts = (self._if() if word == "if" else self._case() if word == "case" else
                     self._loop(word in ("for", "select")))
            return self._redirected("for" if word == "select" else word, parts, joined, start)
        if word in RESERVED:
            raise NotSimple
        one = self.simple(joined)
        if one is not None and self.line.startswith("(", self.at):
            match = _FUNCTION.match(self.line, self.at)
            if match is None or len(one.words) != 1 or one.redirects or one.settings or word != one.words[0]:
                raise NotSimple
            self.at = match.end()
            return self._function(word, joined, start)
        return one

    def _pipeline(self) -> tuple[Node, ...]:
        """All that an exclamation mark turns round."""
        found: list[Node] = []
        while True:
            self.skip()
            one = self._nested(found[-1].then if found else "")
            if one is None:
                raise NotSimple
            self.skip()
            operator = OPERATOR.match(self.line, self.at)
            if operator is None or operator[0] not in ("|", "|&"):
                return (*found, one)
            extra = ("2>&1",) if operator[0] == "|&" else ()
            found.append(replace(one, redirects=one.redirects + extra, then="|"))
            self.at = operator.end()
            self._lines()

    def _nested(self, joined: str) -> Optional[Node]:
        """A command that belongs to what is before it: one level down."""
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise NotSimple
        one = self._node(joined)
        self.depth -= 1
        return one

    def _function(self, name: str, joined: str, start: int) -> Group:
        self._lines()
        body = self._nested("")
        if not name or not isinstance(body, Group) or body.kind in ("!", "function"):
            raise NotSimple
        return Group("function", ((body,),), joined, start=start, close=self.at, end=self.at, name=name)

    def _if(self) -> tuple[tuple[Node, ...], ...]:
        parts: list[tuple[Node, ...]] = []
        word = "if"
        while word != "fi":
            if word in ("if", "elif"):
                parts.append(self._list(("then",), False))
                self._take("then")
                parts.append(self._list(("elif", "else", "fi"), False))
            else:
                parts.append(self._list(("fi",), False))
            word = self._take(*(("fi",) if word == "else" else ("elif", "else", "fi")))
        return tuple(parts)

    def _loop(self, counted: bool) -> tuple[tuple[Node, ...], ...]:
        parts: list[tuple[Node, ...]] = []
        if counted:
            self.skip()
            self.word()
            self._lines()
            if self._peek() == "in":
                self._take("in")
                self.skip()
                while self.at < len(self.line) and not OPERATOR.match(self.line, self.at):
                    begin = self.at
                    self.word()
                    if self.at == begin:
                        raise NotSimple
                    self.skip()
            if self.line.startswith(";", self.at):
                self.at += 1
            self._lines()
        else:
            parts.append(self._list(("do",), False))
        self._take("do")
        parts.append(self._list(("done",), False))
        self._take("done")
        return tuple(parts)

    def _case(self) -> tuple[tuple[Node, ...], ...]:
        parts: list[tuple[Node, ...]] = []
        self.skip()
        self.word()
        self._lines()
        self._take("in")
        self._lines()
        while self._peek() != "esac":
            if self.line.startswith("(", self.at):
                self.at += 1
            while not self.line.startswith(")", self.at):
                begin = self.at
                self.word()
                self.skip()
                if self.line.startswith("|", self.at):
                    self.at += 1
                    self.skip()
                if self.at == begin:
                    raise NotSimple
            self._take(")")
            parts.append(self._list((";;", "esac")))
            if self._peek() == ";;":
                self.at += 2
                self._lines()
        self._take("esac")
        return tuple(parts)

    def _redirected(self, kind: str, parts: tuple[tuple[Node, ...], ...], joined: str, start: int) -> Group:
        close = end = self.at
        redirects: list[str] = []
        while True:
            self.skip()
            match = REDIRECT.match(self.line, self.at)
            if match is None:
                return Group(kind, parts, joined, tuple(redirects), "", start, close, end)
            redirects.append(self.redirect(match))
            end = self.at
