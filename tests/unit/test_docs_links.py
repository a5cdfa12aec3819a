"""Every link, picture, file, command, option, settings example and figure that the documentation names is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from certbot_guard import config as configuration
from certbot_guard.cli import commands

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("howto/*.md"), ROOT / "README.md"])
_FENCED = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_SECTION = re.compile(r"^ *\[(server|notify|watch|deploy|metrics|heartbeat|messages|channel |state|certbot)", re.M)
_PROGRAM = re.compile(r"^(?:\S*/)?certbot-guard$")
# What stands for something else in an example.
_PLACEHOLDERS = re.compile(r"\.\.\.|…|\[|\]|\||<|>|\$|\{|\bCOMMAND\b")


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def headings(page: Path) -> list[str]:
    """As GitHub and MyST name them in links."""
    text = _FENCED.sub("", page.read_text("utf-8"))
    found = re.findall(r"^#+ (.*)$", text, re.M)
    return [re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in found]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_each_link_and_picture_leads_somewhere(page: Path) -> None:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _FENCED.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (heading and heading not in headings(there)):
            wrong.append(target)
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_each_path_of_the_project_that_is_named_is_there(page: Path) -> None:
    named = re.findall(r"`((?:script|tests|docs|contrib|benchmarks)/[\w./*-]+)`", page.read_text("utf-8"))
    named += [f"tests/{path}" for path in re.findall(r"`((?:unit|integration|faults|systemd)/\w+\.py)`",
                                                     page.read_text("utf-8"))]
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/")))] == []


def typed(page: Path) -> Iterator[list[str]]:
    """The words behind each ``certbot-guard`` in code, as far as it is a whole command."""
    text = page.read_text("utf-8")
    lines = re.findall(r"`([^`\n]*certbot-guard [^`\n]*)`", _FENCED.sub("", text))
    for _, language, block in _FENCED.findall(text):
        if language == "console":
            lines += [line[2:] for line in block.splitlines() if line.startswith("# ")]  # the rest is what it said
        elif language in ("", "sh", "bash"):
            lines += [re.sub(r"^\s*# (?=\S*certbot)", "", line) for line in block.splitlines()]
    for line in lines:
        line = re.split(r"\s+#|\s{3,}|&&|;", line.strip())[0]
        try:
            words = shlex.split(line)
        except ValueError:
            continue
        if words and _PROGRAM.match(words[0]) and not _PLACEHOLDERS.search(line):
            yield words[1:]


def problem(words: list[str]) -> str:
    """What click would say to these words, but for values; empty if it takes them."""
    group: click.Command = commands
    context = click.Context(commands, info_name="certbot-guard")
    known = {name: one for one in group.params if isinstance(one, click.Option)
             for name in one.opts + one.secondary_opts}
    words = list(words)
    while words:
        word = words.pop(0)
        if word == "--":
            break
        name = word.partition("=")[0]
        if word.startswith("-"):
            if name in ("--help", "-h"):
                continue
            if name not in known:
                return f"there is no option {name}"
            if not known[name].is_flag and "=" not in word and words:
                words.pop(0)
        elif isinstance(group, click.Group):
            below = group.get_command(context, word)
            if below is None:
                return f"there is no command {word}"
            group, context = below, click.Context(below, info_name=word, parent=context)
            known.update({name: one for one in group.params if isinstance(one, click.Option)
                          for name in one.opts + one.secondary_opts})
        elif not any(isinstance(one, click.Argument) for one in group.params):
            return f"{group.name} takes no word such as {word}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_each_command_is_one_that_there_is(page: Path) -> None:
    assert [f"{' '.join(words)}: {problem(words)}" for words in typed(page) if problem(words)] == []


def test_a_wrong_command_is_noticed() -> None:
    assert problem(["statsu"]) and problem(["status", "--jsno"]) and problem(["recover", "now"])
    assert not problem(["--config", "x", "run", "--retry-for", "6h", "--", "certbot", "renew", "--wrong"])
    assert sum(len(list(typed(page))) for page in PAGES) > 100


def in_code(page: Path) -> list[str]:
    """Each line of the page's fenced blocks, and each piece of code in its sentences."""
    text = page.read_text("utf-8")
    blocks = [line for _, _, block in _FENCED.findall(text) for line in block.splitlines()]
    return blocks + re.findall(r"`([^`\n]*)`", _FENCED.sub("", text))


def options_behind(program_name: str, line: str) -> list[str]:
    """The long options of each such program in a line of code, up to the shell's next command."""
    found = re.findall(rf"(?<![\w.-]){re.escape(program_name)} ([^;&|#]*)", line)
    return [option for words in found for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", words)]


# Each option that certbot's own parser is given, those that its help does not show included.
OPTIONS = """
import argparse
add = argparse._ActionsContainer._add_action
def and_say(self, action):
    print(*action.option_strings)
    return add(self, action)
argparse._ActionsContainer._add_action = and_say
from certbot._internal import cli
from certbot._internal.plugins import disco
cli.prepare_and_parse_args(disco.PluginsRegistry.find_all(), ["plugins"])
"""


def test_each_option_of_certbot_is_one_of_the_installed_certbot(tmp_path: Path) -> None:
    named = {option: page.name for page in PAGES for line in in_code(page)
             for option in options_behind("certbot", line)}
    done = subprocess.run([sys.executable, "-I", "-c", OPTIONS], env={"HOME": str(tmp_path)}, capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    known = set(done.stdout.split())
    assert {"--dry-run", "--cert-name", "--guard-mode"} <= set(named) and "--webroot-path" in known
    assert {option: page for option, page in named.items() if option not in known} == {}


def test_each_option_of_a_script_is_in_that_script() -> None:
    wrong, seen = [], 0
    for page in PAGES:
        for line in in_code(page):
            for path in re.findall(r"(?<![\w.-])(script/[a-z-]+) ", line):
                for option in options_behind(path, line):
                    seen += 1
                    if option not in (ROOT / path).read_text("utf-8") and not line.startswith("script/test "):
                        wrong.append(f"{page.name}: {path} {option}")
    assert not wrong and seen > 4


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_each_example_of_guard_ini_can_be_used(page: Path, tmp_path: Path) -> None:
    ini = tmp_path / "guard.ini"
    for indent, language, block in _FENCED.findall(page.read_text("utf-8")):
        if language != "ini" or "..." in block or not _SECTION.search(block):
            continue
        lines = [line[len(indent):] for line in block.splitlines()]
        channels = {name for name in re.findall(r"^\[channel (.*)\]", "\n".join(lines), re.M)}
        if channels and "[notify]" not in lines:
            lines += ["[notify]", *(f"{name} = json://127.0.0.1/" for name in channels)]
        ini.write_text("\n".join(lines) + "\n")
        ini.chmod(0o600)
        assert [one.text for one in configuration.load(ini).problems] == [], block


# -- figures, and what stands in two places --------------------------------------------------------------------------


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_figures_of_why_are_those_of_performance() -> None:
    why = (DOCS / "why.md").read_text("utf-8")
    shown = re.search(r"<!-- figures: (.*?) -->\n(.*?)<!-- end of figures -->", why, re.S)
    assert shown is not None
    measured = (DOCS / "performance.md").read_text("utf-8").partition(f"**{shown[1]}**\n\n")[2].partition("\n\n")[0]
    known = [row[:4] for row in rows(measured)]
    assert len(known) > 4 and rows(shown[2]) == known


def test_the_table_of_faults_is_the_same_in_both_places() -> None:
    tables = [re.search(r"^\| what happens .*?\n\n", (ROOT / name).read_text("utf-8"), re.S | re.M)
              for name in ("README.md", "docs/why.md")]
    assert tables[0] and tables[1] and tables[0][0] == tables[1][0]


def test_readme_is_short_and_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) < 60 and "script/demo" in text and "script/test" in text
