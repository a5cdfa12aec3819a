"""What each command says of itself: its words, texts, arguments and options, as a person would write them.

Built from click's own objects and not from click's help, whose form differs from version to version. Used by
:mod:`script.manual`, which writes it as man pages and as Markdown.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

PROGRAM = "certbot-guard"
SHORT = "Apache comes back after a certificate renewal, and people hear of every failure"


@dataclass(frozen=True)
class Option:
    """One option as a person writes it."""

    names: tuple[str, ...]
    value: str
    help: str


@dataclass(frozen=True)
class Command:
    """One command; ``words`` are behind the program's name, none for the program itself."""

    words: tuple[str, ...]
    short: str
    paragraphs: tuple[tuple[bool, str], ...]  # (as it stands, text)
    arguments: tuple[str, ...]
    options: tuple[Option, ...]
    below: tuple[Command, ...]

    @property
    def title(self) -> str:
        return " ".join((PROGRAM, *self.words))

    @property
    def usage(self) -> str:
        first = [PROGRAM, *(["[--config PATH]"] if self.words else []), *self.words]
        return " ".join([*first, *(["[OPTION]..."] if self.options else []), *self.arguments,
                         *(["COMMAND"] if self.below else [])])

    def everything(self) -> Iterator[Command]:
        yield self
        for one in self.below:
            yield from one.everything()


def read(command: click.Command, words: tuple[str, ...] = ()) -> Command:
    """What a command says of itself and of those below it; hidden ones are left out."""
    below = _below(command)
    paragraphs = tuple(_paragraphs(command.help or ""))
    short = (command.short_help or (paragraphs[0][1] if paragraphs else "")).rstrip(".") if words else SHORT
    arguments = tuple(_argument(one) for one in command.params if isinstance(one, click.Argument))
    options = tuple(_option(one) for one in command.params if isinstance(one, click.Option) and not one.hidden)
    return Command(words, short, paragraphs, arguments, options,
                   tuple(read(one, (*words, name)) for name, one in below.items()))


def _below(command: click.Command) -> dict[str, click.Command]:
    """Those that are shown, in the order of their names."""
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    every = [(name, command.get_command(context, name)) for name in sorted(command.list_commands(context))]
    return {name: one for name, one in every if one is not None and not one.hidden}


def _paragraphs(said: str) -> Iterator[tuple[bool, str]]:
    """click's rules: a blank line between them, ``\\b`` before what keeps its lines, nothing after ``\\f``."""
    for part in re.split(r"\n\s*\n", inspect.cleandoc(said.partition("\f")[0])):
        lines = part.strip("\n").split("\n")
        as_it_stands = lines[0].strip() == "\b"
        if as_it_stands:
            yield True, "\n".join(lines[1:])
        elif part.strip():
            yield False, " ".join(part.split())


def _argument(one: click.Argument) -> str:
    if one.metavar:
        return one.metavar
    name = (one.name or "").upper()
    name = name if one.required else f"[{name}]"
    return f"{name}..." if one.nargs == -1 else name


def _option(one: click.Option) -> Option:
    names = tuple(sorted(one.opts, key=len)) + tuple(one.secondary_opts)
    value = "" if one.is_flag or one.count else _value(one)
    more = []
    if one.multiple and not re.search(r"several times|again|more than once", one.help or "", re.IGNORECASE):
        more.append("May be given several times.")
    if one.show_default and isinstance(one.default, (str, int, float, Path)) and not one.is_flag:
        more.append(f"[default: {one.default}]")
    if one.required:
        more.append("[required]")
    return Option(names, value, " ".join([" ".join((one.help or "").split()), *more]).strip())


def _value(one: click.Option) -> str:
    if one.metavar:
        return one.metavar
    if isinstance(one.type, click.Choice):
        return "|".join(str(choice) for choice in one.type.choices)
    kinds = {"filename": "FILE", "file": "FILE", "path": "PATH", "directory": "DIR", "integer": "N", "float": "N"}
    return kinds.get(one.type.name, (one.type.name or "text").upper())
