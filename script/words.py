"""The table of every error and warning that the product can say, kept by hand in ``script/words.txt``.

It has an entry for each sentence that :mod:`script.said` finds: what it means and what to do. :func:`missing` and
:func:`superfluous` compare the two; :func:`page` is the generated part of ``docs/words.md``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from script.said import ROOT, Said, said

__all__ = ["ROOT", "TABLE", "Entry", "Said", "incomplete", "missing", "page", "said", "superfluous", "table"]

TABLE = ROOT / "script" / "words.txt"


@dataclass
class Entry:
    """One row of the table."""

    identifier: str
    template: str
    part: str
    means: str = ""
    do: str = ""


def table(path: Path = TABLE) -> list[Entry]:
    """The entries as they stand in the file.

    :raises ValueError: a line of it is nothing that stands in it
    """
    found: list[Entry] = []
    part = ""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.startswith("# ") or not line:
            part = line[2:] or part
            continue
        key, _, words = line.partition(": ")
        if re.fullmatch(r"G-\d{3}", key):
            found.append(Entry(key, words, part))
        elif key in ("means", "do") and found:
            setattr(found[-1], key, words.strip())
        else:
            raise ValueError(f"{path}, line {number}: neither G-NNN:, means: nor do:")
    return found


def missing(entries: list[Entry], sentences: list[Said]) -> list[str]:
    """The lines to add for what the source says and the table does not."""
    known = {entry.template for entry in entries}
    number = max((int(entry.identifier[2:]) for entry in entries), default=0)
    lines: list[str] = []
    for one in sentences:
        if one.template not in known:
            known.add(one.template)
            number += 1
            lines += [f"G-{number:03}: {one.template}", "means: ", "do: ", f"    (from {one.module}, line {one.line})"]
    return lines


def superfluous(entries: list[Entry], sentences: list[Said]) -> list[str]:
    """The entries whose sentence is not in the source any more."""
    there = {one.template for one in sentences}
    return [f"{entry.identifier}: {entry.template}" for entry in entries if entry.template not in there]


def incomplete(entries: list[Entry]) -> list[str]:
    """Entries without a meaning or an advice, and identifiers or sentences that are there twice."""
    wrong = [entry.identifier for entry in entries if not (entry.means and entry.do and entry.part)]
    for key in ("identifier", "template"):
        every = [getattr(entry, key) for entry in entries]
        wrong += sorted({one for one in every if every.count(one) > 1})
    return wrong


def page(entries: list[Entry], sentences: list[Said]) -> str:
    """The part of ``docs/words.md`` that is generated."""
    lines: list[str] = []
    for part in dict.fromkeys(entry.part for entry in entries):
        lines += [f"## {part}", "", "| | what it says | what it means | what to do | from |", "|---|---|---|---|---|"]
        for entry in entries:
            if entry.part == part:
                own = [one for one in sentences if one.template == entry.template]
                places = ", ".join(f"`{module}`" for module in dict.fromkeys(one.module for one in own))
                codes = ", ".join(dict.fromkeys(one.code for one in own))
                cells = (entry.identifier, *map(_cell, (entry.template, entry.means, entry.do)), f"{places}; {codes}")
                lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    """For a table of Markdown: slots in italics, nothing that Markdown would act on."""
    parts = re.split(r"(\{[^{}]*\})", text)
    return "".join(f"*{{{_escaped(part[1:-1].strip())}}}*" if part.startswith("{") else _escaped(part)
                   for part in parts)


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text)
