"""The man pages and docs/commands.md are what the commands say of themselves, and roff shows them as they are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import click
import pytest

from certbot_guard import __version__
from certbot_guard.cli import commands
from script import commandtree, manual

WRITTEN = manual.written(commands, __version__)


def test_the_committed_pages_are_what_the_commands_say_now() -> None:
    wrong = [path.name for path, text in WRITTEN.items() if not path.exists() or path.read_text("utf-8") != text]
    assert not wrong, f"write them again: script/reference ({', '.join(wrong)})"
    assert {path for path in WRITTEN if path.suffix == ".1"} == set((manual.DOCS / "man").glob("*.1")), (
        "a page of a command that is gone: script/reference removes it")


def test_every_command_that_is_shown_has_its_page_and_its_options_are_in_it() -> None:
    context = click.Context(commands)
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        assert command is not None
        page = manual.DOCS / "man" / f"certbot-guard-{name}.1"
        assert (page in WRITTEN) == (not command.hidden)
        for option in command.params if page in WRITTEN else ():
            if isinstance(option, click.Option) and not option.hidden:
                assert all(manual.roff(word) in WRITTEN[page] for word in option.opts)


def test_every_command_that_is_shown_has_a_row_of_exit_codes() -> None:
    without = [one.title for one in commandtree.read(commands).everything()
               if one.words and not one.below and one.words != ("completion",) and not manual.exit_codes(one.words)]
    assert not without, f"add to docs/exit-codes.md: {', '.join(without)}"


@click.command("odd")
@click.option("-x", "--ex", metavar="A|B", help="'quoted' first, a back\\slash, 100% of ~it, and grün.")
@click.option("--no", is_flag=True, hidden=True, help="never shown")
def odd(ex: str, no: bool) -> None:
    """.TH is no macro here. Neither is

    'this \\fBline\\fR, nor "that" -- and --an-option stays.

    \b
    as it   stands
    .in two lines
    """


def shown(page: str) -> str:
    words = ["groff", "-man", "-Tutf8", "-ww", "-Kutf8", "-P-c", "-rLL=200n"]
    done = subprocess.run(words, input=page, encoding="utf-8", capture_output=True, check=True)
    assert not done.stderr
    plain = subprocess.run(["col", "-bx"], input=done.stdout, encoding="utf-8", capture_output=True, check=True)
    return " ".join(plain.stdout.split())


@pytest.mark.skipif(not (shutil.which("groff") and shutil.which("col")), reason="there is no groff here")
def test_roff_shows_what_was_written_and_nothing_else() -> None:
    group = click.Group("certbot-guard", {"odd": odd}, help="A group.")
    said = shown(manual.pages(group, "1.2", "2026-01-02")["certbot-guard-odd.1"])
    for words in ("SYNOPSIS certbot-guard [--config PATH] odd [OPTION]...", ".TH is no macro here. Neither is",
                  "'this \\fBline\\fR, nor \"that\" -- and --an-option stays.", "as it stands .in two lines",
                  "-x, --ex A|B 'quoted' first, a back\\slash, 100% of ~it, and grün."):
        assert words in said, said
    assert "never shown" not in said


@pytest.mark.skipif(not shutil.which("groff"), reason="there is no groff here")
def test_groff_has_nothing_to_say_of_our_pages() -> None:
    pages = [str(path) for path in WRITTEN if path.suffix == ".1"]
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", *pages], capture_output=True, check=True)
    assert not done.stderr, done.stderr.decode()


@pytest.mark.skipif(not shutil.which("mandoc"), reason="there is no mandoc here")
def test_mandoc_has_no_warning_for_our_pages() -> None:
    pages = [str(path) for path in WRITTEN if path.suffix == ".1"]
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *pages], capture_output=True, text=True, check=False)
    assert not done.stdout, done.stdout


def test_the_wheel_puts_them_where_man_looks() -> None:
    assert '"share/man/man1"' in (Path(manual.DOCS).parent / "setup.py").read_text("utf-8")
