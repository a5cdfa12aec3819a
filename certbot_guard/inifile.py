"""guard.ini as lines: sections, keys and values with their line numbers, and what is wrong with their form.

The grammar is configparser's, with ``=`` as the only delimiter, no interpolation and no inline comments:
Apprise URLs are full of ``#``, ``%``, ``:`` and ``,``. It is read here line by line, so that one broken line
costs that line: configparser gives up at the first. What values mean is :mod:`certbot_guard.config`'s business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterable, Iterator, Optional

SECTIONS = ("server", "notify", "messages", "watch", "deploy", "heartbeat", "metrics", "state", "certbot")
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://", re.ASCII)  # syslog:// and dbus:// are whole URLs
_NAME = re.compile(r"[\w .()+-]{1,60}")  # nothing that separates the parts of a URL
# What is wrong in more than these is no longer a typo, and each is a line in certbot's log.
_PROBLEMS_LIMIT = 50


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the settings: a sentence with file, line, key, what to write."""

    section: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Entry:
    """A line ``key = value``; ``wrapped`` is the number of the first line that continues it, or 0."""

    section: str
    key: str
    value: str
    line: int
    indent: int
    wrapped: int = 0


class IniFile:
    """The entries of a file's text in their order, and its problems so far. No problem quotes a value.

    :ivar sections: each section's first line
    :ivar server_usable: false once something was wrong with ``[server]``, or with what was meant for it
    """

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.sections: dict[str, int] = {}
        self.server_usable = True
        self._problems: list[tuple[int, Problem]] = []
        self._left_out = 0
        self.entries = list(self._read(text))
        self._by_section: dict[str, list[Entry]] = {}
        for entry in self.entries:
            self._by_section.setdefault(entry.section, []).append(entry)

    def of_section(self, name: str) -> list[Entry]:
        return self._by_section.get(name, [])

    @property
    def is_full(self) -> bool:
        """No more problems are kept; what would be said of the next ones need not be worked out."""
        return len(self._problems) >= _PROBLEMS_LIMIT

    # -- lines -----------------------------------------------------------------------------------------------

    def _read(self, text: str) -> Iterator[Entry]:
        section: Optional[str] = None
        entry: Optional[Entry] = None
        for number, line in enumerate(text.split("\n"), 1):
            line = line.rstrip("\r")
            if not line.strip() or line.lstrip().startswith(("#", ";")):
                continue
            indent = len(line) - len(line.lstrip())
            line = line.strip()
            # Indented deeper, it continues the line above, unless it names a section of ours or is a channel
            # of its own: then its indentation is a slip.
            if entry is not None and indent > entry.indent and not _begins(line, entry.section):
                entry = replace(entry, value=f"{entry.value} {line}".strip(), wrapped=entry.wrapped or number)
                continue
            if entry is not None:
                yield entry
                entry = None
            if line.startswith("["):
                section = self._section(line, number)
                continue
            key, equals, value = (part.strip() for part in line.partition("="))
            if section is None:
                self.problem("file", number, "this line stands before the first section, such as [notify]")
            elif not (key and equals):
                self.problem(section, number,
                             f"this line of [{safe(section)}] is not of the form: key = value")
            if key and equals:
                entry = Entry(section or "?", key, value, number, indent)
        if entry is not None:
            yield entry

    def _section(self, line: str, number: int) -> str:
        name = _header(line)
        if name is None:
            self.problem("file", number, "a section's name stands in square brackets, such as [notify]")
            if close(line.strip("[ "), ["server"]):
                self.server_usable = False
            return "?"
        if not is_known(name):
            first, space, _ = name.partition(" ")
            near = nearest(f"{first} NAME" if space else name, [*SECTIONS, "channel NAME"])
            self.problem("file", number, f"unknown section [{safe(name)}]{near}")
            if "did you mean [server]" in near:
                self.server_usable = False
        elif name in self.sections:
            self.problem(name, number, f"[{safe(name)}] is there twice, first in line {self.sections[name]}; "
                         "put its lines together")
        self.sections.setdefault(name, number)
        return name

    # -- problems --------------------------------------------------------------------------------------------

    def problems(self) -> tuple[Problem, ...]:
        """In the order of their lines; beyond a limit they are only counted."""
        found = [problem for _, problem in sorted(self._problems, key=lambda one: one[0])]
        if self._left_out:
            found.append(Problem("file", f"{self.path}: {self._left_out} more problems; mend these first."))
        return tuple(found)

    def problem(self, section: str, line: int, text: str) -> None:
        if section == "server":
            self.server_usable = False
        if len(self._problems) >= _PROBLEMS_LIMIT:
            self._left_out += 1
            return
        end = "" if text.endswith("?") else "."
        self._problems.append((line, Problem(safe(section), f"{self.path}, line {line}: {text}{end}")))

    def wrong(self, entry: Entry, instead: str) -> None:
        self.problem(entry.section, entry.line, f"the value of '{safe(entry.key)}' in "
                     f"[{safe(entry.section)}] is not usable; write {instead}")


def is_known(section: str) -> bool:
    return section in SECTIONS or section.startswith("channel ")


def is_url(text: str) -> bool:
    """Whether it has the form of an Apprise URL, which only Apprise itself can say more about."""
    return bool(_URL.match(text)) and not has_controls(text)


def has_controls(text: str) -> bool:
    return any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text)


def safe(name: str) -> str:
    """A key or section as it may be quoted. Part of a URL is not: it may be the password."""
    return name if _NAME.fullmatch(name) else "..."


def nearest(name: str, known: Iterable[str], quote: str = "[]") -> str:
    """The end of a sentence about an unknown name: which one was meant, or which ones there are."""
    wrapped = [f"{quote[0]}{one}{quote[-1]}" for one in known]
    near = close(name, known)
    if near:
        return f"; did you mean {quote[0]}{near}{quote[-1]}?"
    return "; known are " + ", ".join(wrapped[:20]) if wrapped else ""


def close(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or an empty string."""
    from difflib import get_close_matches

    plain = {one.lower(): one for one in known}
    return next((plain[one] for one in get_close_matches(name.lower()[:60], plain, n=1, cutoff=0.6)), "")


def _header(line: str) -> Optional[str]:
    """The name in ``[name]``, which a comment may follow; None if the line is nothing of the kind."""
    name, bracket, rest = line[1:].partition("]")
    if not bracket or (rest.strip() and not rest.lstrip().startswith(("#", ";"))):
        return None
    return " ".join(name.split())


def _begins(line: str, section: str) -> bool:
    if line.startswith("["):
        return is_known(_header(line) or "")
    key, equals, value = (part.strip() for part in line.partition("="))
    return section == "notify" and bool(equals and _NAME.fullmatch(key) and _URL.match(value))
