"""The man pages and docs/commands.md, from the same source as ``--help``: the commands that are registered.

:func:`pages` are the files of ``docs/man/``, :func:`reference` is the generated part of ``docs/commands.md``. What a
code means is taken from ``docs/exit-codes.md``. Used by ``script/reference`` and its test.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from script.commandtree import PROGRAM, SHORT, Command, Option, read

DOCS = Path(__file__).resolve().parent.parent / "docs"
_UNRELEASED = "2026-11-27"
_FILES = (
    ("/etc/letsencrypt/guard.ini", "The settings: who is told, and by what. It holds passwords: mode 0600."),
    ("/var/lib/certbot-guard", "What is remembered: runs, messages that wait, who was told of what."),
    ("/run/certbot-guard", "The same, where that directory cannot be written, and until the next reboot."),
    ("/etc/letsencrypt/renewal", "certbot's renewal configurations, one for each lineage."),
)


# -- exit codes ------------------------------------------------------------------------------------------------------


def exit_codes(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """``(code, what it means)`` of one command, from the table in docs/exit-codes.md; empty cells are left out."""
    for line in (DOCS / "exit-codes.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if len(cells) == 5 and _names(cells[0], " ".join(words)):
            found = [(code, _plain(cell)) for code, cell in zip(("0", "1", "2"), cells[1:]) if cell]
            return found + [one for part in cells[4].split("; ") if part for one in [_other(_plain(part))]]
    return []


def _other(said: str) -> tuple[str, str]:
    code, colon, means = said.partition(": ")
    return (code, means) if colon and re.fullmatch(r"[\d, +N]+", code) else ("any other", said)


def _names(cell: str, name: str) -> bool:
    return any(one.partition(" --")[0] == name or re.match(rf"{re.escape(name)} (-|[A-Z])", one)
               for one in re.findall(r"`([^`]+)`", cell)) and bool(name)


def _plain(markdown: str) -> str:
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown.replace("`", "").replace("**", ""))


# -- man pages -------------------------------------------------------------------------------------------------------


def pages(commands: click.Command, version: str, date: str) -> dict[str, str]:
    """The man pages by the names of their files: one for the program, and one for each of its commands."""
    root = read(commands)
    every = [root, *root.below]
    return {_file(one): _page(one, every, version, date) for one in every}


def _file(command: Command) -> str:
    return "-".join((PROGRAM, *command.words)) + ".1"


def _page(command: Command, every: list[Command], version: str, date: str) -> str:
    name = "-".join((PROGRAM, *command.words))
    short = command.short[:1].lower() + command.short[1:] if command.words else SHORT
    lines = [".\\\" Written by script/reference from the commands themselves; change it there.",
             f'.TH {roff(name.upper())} 1 "{date}" "{roff(f"{PROGRAM} {version}")}" "{roff(PROGRAM)}"',
             ".SH NAME", f"{roff(name)} \\- {roff(short)}",
             ".SH SYNOPSIS", *_synopsis(command), ".SH DESCRIPTION", *_description(command)]
    if command.options:
        lines += [".SH OPTIONS", *_options(command)]
    if command.below:
        lines.append(".SH COMMANDS")
        for one in command.below:
            if command.words:
                lines += [f".SS {roff(one.title)}", *_synopsis(one), ".PP", *_description(one), *_options(one)]
            else:
                lines += [".TP", f"\\fB{roff(one.title)}\\fR",
                          *_lines(f"{one.short}. See {'-'.join((PROGRAM, *one.words))}(1).")]
    lines += [".SH EXIT STATUS", *_exit_status(command)]
    lines.append(".SH FILES")
    for path, what in _FILES:
        lines += [".TP", f"\\fI{roff(path)}\\fR", *_lines(what)]
    others = [f".BR {roff('-'.join((PROGRAM, *one.words)))} (1)" for one in every if one is not command]
    lines += [".SH SEE ALSO", *[f"{line}," for line in others], ".BR certbot (1)"]
    return "\n".join(lines) + "\n"


def _synopsis(command: Command) -> list[str]:
    return [f"\\fB{roff(PROGRAM)}\\fR {roff(command.usage[len(PROGRAM):].strip())}"]


def _description(command: Command) -> list[str]:
    lines: list[str] = []
    for as_it_stands, said in command.paragraphs:
        lines += [".PP"] if lines else []
        lines += [".nf", *(_line(one) for one in said.split("\n")), ".fi"] if as_it_stands else _lines(said)
    return lines or _lines(f"{command.short}.")


def _options(command: Command) -> list[str]:
    lines = []
    for one in command.options:
        names = ", ".join(f"\\fB{roff(name)}\\fR" for name in one.names)
        names += f" \\fI{roff(one.value)}\\fR" if one.value else ""
        lines += [".TP", names, *_lines(one.help or "See above.")]
    return lines


def _exit_status(command: Command) -> list[str]:
    lines: list[str] = []
    for one in command.everything() if command.words else ():
        found = exit_codes(one.words)
        if found and one is not command:
            lines += [*([".PP"] if lines else []), f"\\fB{roff(one.title)}\\fR"]
        for code, means in found:
            lines += [".TP", f"\\fB{roff(code)}\\fR", *_lines(f"{means[:1].upper()}{means[1:]}.".replace("..", "."))]
    lines = lines or _lines("0 fine, 1 trouble, 2 the command line or the settings are not usable, 75 try again later.")
    others = "Any command: 130: it was interrupted (Ctrl-C); 141: whoever read its output had gone."
    return [*lines, ".PP", *_lines(others)]


def _lines(prose: str) -> list[str]:
    """A sentence a line, as roff is written."""
    return [_line(one) for one in re.split(r"(?<=[.:;?]) (?=[A-Z])", prose)]


def _line(text: str) -> str:
    escaped = roff(text)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


_ROFF = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq"}


def roff(text: str) -> str:
    """``text`` so that roff shows these very characters, also within the argument of a macro."""
    return "".join(_ROFF.get(letter) or (letter if letter.isascii() else f"\\[u{ord(letter):04X}]") for letter in text)


# -- docs/commands.md ------------------------------------------------------------------------------------------------


def reference(commands: click.Command) -> str:
    """Every command with its options, as Markdown."""
    lines: list[str] = []
    for one in read(commands).everything():
        lines += [f"## {one.title}", "", "```", one.usage, "```", ""]
        for as_it_stands, said in one.paragraphs or ((False, f"{one.short}."),):
            lines += ["```", said, "```", ""] if as_it_stands else [_markdown(said), ""]
        if one.options:
            lines += ["| option | |", "|---|---|"]
            lines += [f"| {_names_in_code(option)} | {_markdown(option.help)} |" for option in one.options]
            lines.append("")
        if one.below:
            lines += [f"- `{below.title}`: {_markdown(below.short)}." for below in one.below]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _names_in_code(option: Option) -> str:
    value = f" {option.value}".replace("|", "\\|") if option.value else ""
    return ", ".join(f"`{name}{value}`" for name in option.names)


def _markdown(text: str) -> str:
    return re.sub(r"([\\*_<>|`\[\]])", r"\\\1", text)


def written(commands: click.Command, version: str) -> dict[Path, str]:
    """Every file of this module as it should be."""
    date = _date()
    found: dict[Path, str] = {DOCS / "man" / name: text for name, text in pages(commands, version, date).items()}
    page = DOCS / "commands.md"
    said = page.read_text("utf-8")
    found[page] = said[:said.index(f"## {PROGRAM}\n")] + reference(commands)
    return found


def _date() -> str:
    """Of the newest entry of the change log that has one."""
    match: Any = re.search(r"\d{4}-\d{2}-\d{2}", (DOCS.parent / "CHANGELOG.md").read_text("utf-8"))
    return match[0] if match else _UNRELEASED
