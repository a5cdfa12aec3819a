"""The text of a renewal configuration: one key of ``[renewalparams]`` is set, removed or put back, all else stays.

To the byte: comments, order, odd spacing, line breaks of either kind, quotes, lists, a byte order mark.

certbot reads and writes these files with configobj, which gives every line its own form when it writes. So lines are
edited here, and configobj is asked afterwards whether the file says what it should: an edit that it reads differently
is refused. Pure: never opens a file. Used by :mod:`certbot_guard.adoption`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Callable, Optional

from certbot_guard import configlines
from certbot_guard.errors import GuardError

SECTION = "renewalparams"
_BOM = b"\xef\xbb\xbf"
# As configobj 5.0.6 to 5.0.9 reads a line.
_HEADER = re.compile(r"""\s*((?:\[\s*)+)("\s*\S.*?\s*"|'\s*\S.*?\s*'|[^'"\s].*?)((?:\s*\])+)\s*(?:\#.*)?""")
_ENTRY = re.compile(r"""(\s*)(".*?"|'.*?'|[^'"=].*?)(\s*=\s*)(.*)""")
_VALUE = re.compile(r"""("[^"]*"|'[^']*'|[^#]*?)(\s*(?:\#.*)?)""")


class RenewalFileError(GuardError):
    """certbot cannot read this text as a renewal configuration, or an edit of it would not say what it should."""


@dataclass(frozen=True)
class Entry:
    """A key of ``[renewalparams]`` and the lines that it takes, ``lines[first:end]``."""

    key: str
    first: int
    end: int


@dataclass(frozen=True)
class RenewalFile:
    """A renewal configuration that certbot can read. Edits give a new one.

    :ivar lines: each with its line break, as it is
    """

    lines: tuple[str, ...]
    bom: bool = False

    @property
    def data(self) -> bytes:
        return (_BOM if self.bom else b"") + "".join(self.lines).encode("utf-8")

    @cached_property
    def parsed(self) -> dict[str, Any]:
        """What configobj reads. :raises RenewalFileError: it cannot."""
        return _parsed(self.data)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """``[renewalparams]``: text, lists of text, and sections below it."""
        found = self.parsed.get(SECTION)
        return found if isinstance(found, dict) else {}

    @cached_property
    def _entries(self) -> tuple[int, dict[str, Entry]]:
        return _entries(self.lines)

    @property
    def keys(self) -> list[str]:
        return list(self._entries[1])

    def get(self, key: str) -> str:
        """The value as text; empty where there is none, or certbot's ``None``, or a list."""
        found = self.parameters.get(key)
        return found if isinstance(found, str) and found != "None" else ""

    def with_value(self, key: str, value: str) -> RenewalFile:
        """This key has this value: in its place with its own spacing and comment, or as the last key of the section.

        :raises RenewalFileError: certbot would not read it so.
        """
        entry = self._entries[1].get(key)
        lines = self._added(f"{key} = {value}") if entry is None else self._replaced(entry, value)
        return self._checked(lines, lambda parameters: parameters.__setitem__(key, value))

    def without(self, key: str) -> RenewalFile:
        """This key is not there; comments stay. :raises RenewalFileError: certbot would not read it so."""
        entry = self._entries[1].get(key)
        if entry is None:
            return self
        lines = [*self.lines[:entry.first], *self.lines[entry.end:]]
        return self._checked(lines, lambda parameters: parameters.pop(key))

    def put_back(self, key: str, older: RenewalFile) -> RenewalFile:
        """This key stands as in ``older``, letter for letter: in its place, or behind the keys it stood behind there.

        :raises RenewalFileError: certbot would not read it so.
        """
        then, now = older._entries[1][key], self._entries[1].get(key)
        text = [one.rstrip("\r\n") + self._line_break for one in older.lines[then.first:then.end]]
        if now is not None:
            lines = [*self.lines[:now.first], *text, *self.lines[now.end:]]
            if not self.lines[now.end - 1].endswith("\n"):
                lines[-1] = lines[-1].rstrip("\r\n")
        else:
            lines = self._inserted(self._place(key, older), text)
        return self._checked(lines, lambda parameters: parameters.__setitem__(key, older.parameters[key]))

    # -- how ---------------------------------------------------------------------------------------------------

    @property
    def _line_break(self) -> str:
        return "\r\n" if self.lines[0].endswith("\r\n") else "\n"

    def _replaced(self, entry: Entry, value: str) -> list[str]:
        line = self.lines[entry.first].rstrip("\r\n")
        indent, name, divider, rest = _matched(_ENTRY, line)
        comment = ""
        if entry.end == entry.first + 1 and rest[:3] not in ('"""', "'''"):
            match = _VALUE.fullmatch(rest)
            comment = match.group(2) if match else ""
        if divider.endswith("="):
            divider += " " if not rest else ""
        if comment.startswith("#"):
            comment = " " + comment
        end = self.lines[entry.end - 1][len(self.lines[entry.end - 1].rstrip("\r\n")):]
        return [*self.lines[:entry.first], f"{indent}{name}{divider}{value}{comment}{end}", *self.lines[entry.end:]]

    def _added(self, text: str) -> list[str]:
        """Behind the last key of the section, where certbot's own merge puts a new one, and indented as that is."""
        header, entries = self._entries
        last = list(entries.values())[-1] if entries else None
        indent = _matched(_ENTRY, self.lines[last.first].rstrip("\r\n"))[0] if last else ""
        return self._inserted(last.end if last else header + 1, [indent + text + self._line_break])

    def _inserted(self, at: int, text: list[str]) -> list[str]:
        lines = [*self.lines[:at], *text, *self.lines[at:]]
        if not lines[at - 1].endswith("\n"):  # the file has no line break at its end, and keeps none
            lines[at - 1] += self._line_break
            lines[-1] = lines[-1].rstrip("\r\n")
        return lines

    def _place(self, key: str, older: RenewalFile) -> int:
        header, entries = self._entries
        older_header, then = older._entries
        ahead = [one for one in older.keys[:older.keys.index(key)] if one in entries]
        at = entries[ahead[-1]].end if ahead else header + 1
        start = then[ahead[-1]].end if ahead else older_header + 1
        # Comments that stood between the two are above it again, if they are there still.
        for line in older.lines[start:then[key].first]:
            if at < len(self.lines) and _is_comment(line) and self.lines[at].strip() == line.strip():
                at += 1
        return at

    def _checked(self, lines: list[str], change: Callable[[dict[str, Any]], object]) -> RenewalFile:
        made, expected = RenewalFile(tuple(lines), self.bom), dict(self.parsed)
        expected[SECTION] = dict(self.parameters)
        change(expected[SECTION])
        if made.parsed != expected:
            raise RenewalFileError("it is written in a way that certbot-guard cannot change safely; change it by hand")
        return made


def parse(data: bytes) -> RenewalFile:
    """:raises RenewalFileError: certbot cannot read this, or has nothing to renew by in it; the sentence says why."""
    bom = data.startswith(_BOM)
    try:
        text = data[len(_BOM) if bom else 0:].decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[:error.start].count(b"\n") + 1
        raise RenewalFileError(f"line {line} is not UTF-8, so certbot cannot read it; save the file as "
                               "UTF-8") from error
    lines = tuple(re.findall(r"[^\n]*\n|[^\n]+", text))
    # configobj up to 5.0.6 breaks lines at these characters, too, and 5.0.9 does not.
    for place, line in enumerate(lines, 1):
        if len(line.splitlines()) > 1 or line.rstrip("\r\n") != (line.splitlines() or [""])[0]:
            raise RenewalFileError(f"line {place} has a line break of another kind in it, which certbot's versions "
                                   "read differently; take it out")
    number = configlines.slow(text)
    if number is not None:
        raise RenewalFileError(f"line {number} is not as certbot could read it in any time; mend it by hand")
    found = RenewalFile(lines, bom)
    if not isinstance(found.parsed.get(SECTION), dict):
        raise RenewalFileError(f"there is no section [{SECTION}] in it, so certbot cannot renew by it")
    if found.keys != [key for key, value in found.parameters.items() if not isinstance(value, dict)]:
        raise RenewalFileError("it is written in a way that certbot-guard cannot change safely; change it by hand")
    return found


def _parsed(data: bytes) -> dict[str, Any]:
    import configobj  # certbot requires it, and reads these files with it

    try:
        found = configobj.ConfigObj(_as_lines(data), encoding="utf-8", default_encoding="utf-8",
                                    interpolation=False)
        return found.dict()  # type: ignore[no-any-return]
    except (configobj.ConfigObjError, ValueError, SyntaxError, RecursionError) as error:
        number = getattr(error, "line_number", None)
        where = f"line {number} is not" if isinstance(number, int) else "it is not"
        raise RenewalFileError(f"{where} as certbot could read it; mend it, or renew that certificate anew") from error


def _as_lines(data: bytes) -> list[bytes]:
    return re.findall(rb"[^\n]*\n|[^\n]+", data)


def _entries(lines: tuple[str, ...]) -> tuple[int, dict[str, Entry]]:
    """The line of the section's header, and its keys in their order."""
    where: list[str] = []
    header, found, number = -1, {}, 0
    while number < len(lines):
        line, first = lines[number].rstrip("\r\n"), number
        number += 1
        if _is_comment(line):
            continue
        match = _HEADER.fullmatch(line)
        if match:
            depth = match.group(1).count("[")
            where = [*where[:depth - 1], _unquoted(match.group(2))]
            header = first if where == [SECTION] else header
            continue
        _, key, _, rest = _matched(_ENTRY, line)
        quote = rest[:3]
        if quote in ('"""', "'''") and quote not in rest[3:]:
            while number < len(lines) and quote not in lines[number]:
                number += 1
            number += 1
        if where == [SECTION]:
            found[_unquoted(key)] = Entry(_unquoted(key), first, number)
    return header, found


def _matched(pattern: re.Pattern[str], line: str) -> tuple[str, ...]:
    match: Optional[re.Match[str]] = pattern.fullmatch(line)
    return match.groups() if match else ("", line, "", "")


def _is_comment(line: str) -> bool:
    return not line.strip() or line.strip().startswith("#")


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
