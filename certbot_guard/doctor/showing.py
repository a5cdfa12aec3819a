"""What the checks found, as lines for a person and as JSON. Knows how wide, and whether in colour; looks at nothing."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from certbot_guard.doctor import catalogue
from certbot_guard.doctor.result import PROBLEM, SKIPPED, STATUSES, WARNING, Result

VERSION = 1
_COLOURS = {"ok": "green", WARNING: "yellow", PROBLEM: "red", SKIPPED: None}
_MARK_WIDTH = max(map(len, STATUSES)) + 1
_INDENT = " " * 4
_NARROWEST = 40
# A remedy that begins with one of them is a command, to be copied as it is.
_PROGRAMS = ("certbot", "certbot-guard", "systemctl", "python3", "pipx", "uv", "timedatectl", "chmod", "chown")


def lines(found: Sequence[Result], width: int, colour: bool) -> Iterator[str]:
    """Grouped, a line each; below what is wrong all that there is to say. Lines to copy are never wrapped."""
    width = max(_NARROWEST, width)
    title = ""
    for number, result in enumerate(found):
        if catalogue.group_of(result.id) != title:
            if title:
                yield ""
            title = catalogue.group_of(result.id)
            yield click.style(title, bold=True) if colour else title
        before, behind = found[:number][-1:], found[number + 1:number + 2]
        yield from _result(result, width, colour, any(_same_line(result, one) for one in before),
                           any(_same_line(result, one) and one.instead == result.instead for one in behind))
    yield ""
    yield summary(found)


def _same_line(one: Result, other: Result) -> bool:
    return bool(one.line) and (one.where, one.line) == (other.where, other.line)


def _result(result: Result, width: int, colour: bool, again: bool, comes_again: bool) -> Iterator[str]:
    """``again``: the result before has shown the same line. ``comes_again``: the next one has the same instead."""
    mark = result.status.ljust(_MARK_WIDTH)
    head = f"{result.id}: {shown(result.says)}"
    wrapped = _wrapped(head, width - 2 - _MARK_WIDTH, "")
    yield f"  {click.style(mark, fg=_COLOURS[result.status]) if colour else mark}{wrapped[0]}"
    yield from (" " * (2 + _MARK_WIDTH) + line for line in wrapped[1:])
    if result.status not in (WARNING, PROBLEM):
        return
    if again:
        yield f"{_INDENT}where: the same line"
    elif result.where:
        yield f"{_INDENT}where: {shown(result.where)}"
    if result.line and not again:
        yield f"{_INDENT}line:"
        yield from (f"{_INDENT}  {shown(line)}" for line in result.line.split("\n"))
    for name, words in (("why", result.why), ("remedy", result.remedy)):
        if not words:
            continue
        if name == "remedy" and _is_command(words):
            yield f"{_INDENT}{name}: {shown(words)}"
        else:
            yield from _wrapped(f"{name}: {shown(words)}", width, _INDENT)
    if result.instead and not comes_again:
        yield f"{_INDENT}instead:"
        # At the beginning of the line: what is copied from a terminal is all of it, and nothing else.
        yield from (shown(line) for line in result.instead.split("\n"))


def _wrapped(words: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(words, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False,
                         break_on_hyphens=False) or [""]


def _is_command(words: str) -> bool:
    first = words.split(None, 1)[0]
    return first.startswith("/") or first in _PROGRAMS


def shown(words: str) -> str:
    """The same without anything that a terminal would act on."""
    return "".join(letter if letter.isprintable() else " " if letter == "\t" else "?" for letter in words)


def summary(found: Sequence[Result]) -> str:
    counts = {status: sum(one.status == status for one in found) for status in STATUSES}
    wrong = [f"{counts[status]} {status}{'s' if counts[status] != 1 else ''}" for status in (PROBLEM, WARNING)
             if counts[status]]
    rest = f"{counts['ok']} ok, {counts[SKIPPED]} skipped."
    return f"{' and '.join(wrong)}; {rest}" if wrong else f"Nothing is wrong: {rest}"


def as_json(found: Sequence[Result], is_ok: bool) -> str:
    """For other programs: see docs/doctor.md. All in ASCII, so that no reader's locale matters."""
    return json.dumps({"version": VERSION, "ok": is_ok, "results": [asdict(one) for one in found]}, indent=2)
