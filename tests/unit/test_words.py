"""The table of every error and warning: nothing that the source says is missing in it, and nothing in it is made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from script import words


@pytest.fixture(scope="module")
def sentences() -> list[words.Said]:
    return words.said()


@pytest.fixture(scope="module")
def entries() -> list[words.Entry]:
    return words.table()


def test_every_sentence_in_the_source_has_an_entry(sentences: list[words.Said], entries: list[words.Entry]) -> None:
    lines = words.missing(entries, sentences)
    assert not lines, "add to script/words.txt (means: and do: too), then run script/reference:\n" + "\n".join(lines)


def test_every_entry_is_of_a_sentence_in_the_source(sentences: list[words.Said], entries: list[words.Entry]) -> None:
    gone = words.superfluous(entries, sentences)
    assert not gone, "reword or remove in script/words.txt:\n" + "\n".join(gone)


def test_every_entry_says_what_it_means_and_what_to_do_and_is_there_once(entries: list[words.Entry]) -> None:
    assert words.incomplete(entries) == []


def test_the_page_has_the_table(sentences: list[words.Said], entries: list[words.Entry]) -> None:
    page = (words.ROOT / "docs" / "words.md").read_text("utf-8")
    assert page.endswith(words.page(entries, sentences)), "write it again: script/reference"


def collected(tmp_path: Path, source: str, name: str = "module.py") -> list[str]:
    (tmp_path / "errors.py").write_text("class GuardError(Exception): pass\nclass StateError(GuardError): pass\n")
    (tmp_path / name).write_text(source)
    return [one.template for one in words.said(tmp_path)]


@pytest.mark.parametrize("source, found", [
    ('raise StateError(f"{shown(path)} is full: {error.strerror or error}")', ["{path} is full: {error}"]),
    ('raise GuardError("one" + " and two")', ["one and two"]),
    ('return StateError("made here, raised there")', ["made here, raised there"]),
    ('raise GuardError("a thing" if x else "another")', ["a thing", "another"]),
    ('raise GuardError(f"it is {\'on\' if x else \'off\'} now")', ["it is {on|off} now"]),
    ('logger.warning("%s is %d s late", name, delay)', ["{name} is {delay} s late"]),
    ('logger.debug("nobody reads this")', []),
    ('click.echo(f"no {name} here", err=True)', ["no {name} here"]),
    ('click.echo("all is well")', []),
    ('raise click.UsageError("write one of them")', ["write one of them"]),
    ('raise errors.PluginError("not this one")', ["not this one"]),
    ('raise KeyError("of ours alone")', []),
    ('raise GuardError(str(error))', []),
    ('TEXT = "from a constant"\nraise GuardError(TEXT)', ["from a constant"]),
])
def test_the_collector_finds_what_people_are_told_and_nothing_else(
        tmp_path: Path, source: str, found: list[str]) -> None:
    body = "\n".join(f"    {line}" if not line.startswith("TEXT") else line for line in source.split("\n"))
    if "TEXT" not in source:
        source = f"def function():\n{body}"
    assert collected(tmp_path, source) == found


def test_what_a_setting_is_told_is_found_in_the_modules_of_settings(tmp_path: Path) -> None:
    half = 'def f():\n    raise ValueError("a time such as 5m")'
    assert collected(tmp_path, half, "options.py") == ["a time such as 5m"]
    problem = 'def f():\n    ini.problem("x", 1, f"unknown {name}")'
    assert collected(tmp_path, problem, "config.py")[:1] == ["unknown {name}"]


@pytest.mark.parametrize("name, source, found", [
    ("adoption.py", 'remarks.append(f"{name} stays as it is")', "{name} stays as it is"),
    ("adoption.py", 'return Change(name, remarks=(f"{name} is removed",))', "{name} is removed"),
    ("adoption_changes.py", 'yield f"there is no {name}"', "there is no {name}"),
    ("adoption_hooks.py", 'return (), [f"{key} is left: {why}" for key in keys]', "{key} is left: {why}"),
    ("setup/channels.py", 'raise ValueError("only one can be read")', "only one can be read"),
    ("setup/telling.py", 'work.tally.failed.append(f"to {name}: it failed")', "to {name}: it failed"),
    ("overview/webserver.py", 'self._say("not looked at")', "not looked at"),
    ("overview/webserver.py", 'found = Look(words="not in time")', "not in time"),
])
def test_what_adopt_setup_and_status_left_undone_is_found(tmp_path: Path, name: str, source: str, found: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    assert collected(tmp_path, f"def f():\n    {source}", name) == [found]


def test_a_new_sentence_is_answered_with_the_lines_to_add() -> None:
    said = [words.Said("a new thing is broken", "module", "f", 7, "exit 1")]
    old = [words.Entry("G-041", "an old thing", "Part", "m", "d")]
    assert words.missing(old, said)[0] == "G-042: a new thing is broken"
    assert words.superfluous(old, said) == ["G-041: an old thing"]


def test_the_table_of_markdown_is_not_broken_by_what_a_sentence_says() -> None:
    said = [words.Said("a | b [x] <y> {a|b} `c`", "module", "f", 1, "exit 1")]
    row = words.page([words.Entry("G-001", said[0].template, "Part", "means", "do")], said).splitlines()[-1]
    assert row.replace("\\|", "").count("|") == 6
