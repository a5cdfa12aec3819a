"""docs/events.md has every event that the source writes, with its fields and who writes it, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from script import events

PAGE = events.ROOT / "docs" / "events.md"


def test_each_kind_field_and_writer_in_the_source_is_explained_and_no_other() -> None:
    wrong = events.problems(events.found(), events.table())
    assert not wrong, "\n".join(wrong)


def test_the_page_is_what_the_source_and_the_table_say() -> None:
    text = PAGE.read_text("utf-8")
    assert text == events.written(text), "write it again: script/reference"


def collected(tmp_path: Path, source: str) -> dict[str, events.Kind]:
    (tmp_path / "module.py").write_text(source)
    return events.found(tmp_path)


@pytest.mark.parametrize("source, kinds", [
    ('def f(run):\n    run.note("one", a=1, b=2)', {"one": ["a", "b"]}),
    ('def f(run):\n    run.record("one", sync=True, a=1)', {"one": ["a"]}),
    ('def f(run, x):\n    run.note("one" if x else "two", a=1)', {"one": ["a"], "two": ["a"]}),
    ('def f(note):\n    note("one", **{"a": 1})', {"one": ["a"]}),
    ('def g():\n    return {"a": 1, "b": 2}\ndef f(run):\n    run.note("one", **g())', {"one": ["a", "b"]}),
    ('def f(run):\n    run.note("one", a=1)\n    run.note("one", b=1)', {"one": ["a", "b"]}),
    ('def f(self):\n    self._not_reloaded("one", "why", "", "name")', {"one": ["reason", "detail", "lineage"]}),
    ('def f(x):\n    x.tell("no event")', {}),
])
def test_the_collector_finds_what_is_written_and_nothing_else(
        tmp_path: Path, source: str, kinds: dict[str, list[str]]) -> None:
    assert {name: one.fields for name, one in collected(tmp_path, source).items()} == kinds


@pytest.mark.parametrize("source", [
    "def f(run, which):\n    run.note(which, a=1)", 'def f(run, more):\n    run.note("one", **more)',
    'def f(run):\n    run.note("one" + "two")'])
def test_an_event_that_nobody_can_name_is_an_error_and_no_silence(tmp_path: Path, source: str) -> None:
    with pytest.raises(events.UnknownKind, match="module, line 2"):
        collected(tmp_path, source)


def test_what_the_table_lacks_and_what_it_has_too_much_is_named() -> None:
    known = events.table("## Part\nold: when\n## Fields\na: what\n## Who writes\nmodule: somebody\n")
    wrong = events.problems({"new": events.Kind("new", ["a", "b"], ["module"])}, known)
    assert wrong == ["kind new: nothing is said of it in script/events.txt",
                     "kind old: nothing in the source is called that",
                     "field b: nothing is said of it in script/events.txt"]
