"""docs/state-files.md: every file that the source makes in a state directory is in its table, and no other."""

from __future__ import annotations

import re

import pytest

from certbot_guard import history_rows, outbox_rows, schema, stale, standing_rows
from certbot_guard.keptfile import COPIES_KEPT
from script import statefiles

PAGE = statefiles.PAGE.read_text("utf-8")


def test_the_table_is_read_whole() -> None:
    assert len(statefiles.ROWS) > 20 and all(row.mode in ("0600", "0700") for row in statefiles.ROWS)


def test_every_name_in_the_source_has_a_row() -> None:
    known = [row.path.rstrip("/").rpartition("/")[2] for row in statefiles.ROWS]
    without = [(module, name) for module, name in statefiles.names()
               if name not in known and not any(fits(row, name) for row in known if "*" in row)]
    assert not without, "add a row to docs/state-files.md"


def fits(row: str, name: str) -> bool:
    """A name of varying parts (``*``) is that of a row of varying parts with the same end."""
    return "*" in name and name.rpartition("*")[2] == row.rpartition("*")[2]


def test_every_word_of_a_row_is_in_the_source() -> None:
    source = "\n".join(path.read_text("utf-8") for path in statefiles.SOURCE.rglob("*.py"))
    words = {word.strip("-") for row in statefiles.ROWS for word in re.split(r"[/*]", row.path) if word.strip(".-")}
    assert [word for word in words if word.removeprefix("journal.db") not in source] == []


@pytest.mark.parametrize("words, count", [
    ("{} days; 30 days where", outbox_rows.KEEP_SENT_DAYS),
    ("90 days; {} days where", outbox_rows.KEEP_UNDELIVERED_DAYS),
    ("(`runs`) | {} days", history_rows.KEEP_DAYS), ("{:,} runs at the most", history_rows.KEEP),
    ("(`told`) | {} days", history_rows.KEEP_DAYS), ("until it is over; {} days", standing_rows.FORGET_DAYS),
    ("the newest {} that are settled", stale.KEEP_SETTLED_RUNS), ("the newest {} |", COPIES_KEPT),
    ("the newest {} |", schema.KEEP_DAMAGED)])
def test_how_long_it_is_kept_is_what_the_source_says(words: str, count: int) -> None:
    assert words.format(count) in PAGE


def test_every_table_of_the_journal_is_named() -> None:
    told = PAGE.partition("## Rows of the journal")[2].partition("## ")[0]
    assert all(f"`{name}`" in told for name in schema._NAMES)
