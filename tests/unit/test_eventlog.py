"""What a log that is read again and again says is what one that is opened now would say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbot_guard.eventlog import EventLog, append, line_of

WHOLE = [line_of(kind, {"window": number}) for number, kind in enumerate(("opened", "stopping", "serving", "exit"))]
PIECES = st.one_of(st.sampled_from(WHOLE), st.sampled_from(WHOLE).flatmap(
    lambda line: st.integers(1, len(line)).map(lambda end: line[:end])), st.sampled_from([b"\n", b"{}\n", b"\xff\n\n"]))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("events")


@given(st.lists(PIECES, max_size=12))
def test_a_log_that_grows_is_read_as_one_that_is_whole(directory: Path, pieces: list[bytes]) -> None:
    path = directory / "events.jsonl"
    path.unlink(missing_ok=True)
    log = EventLog(path, None)
    assert log.read(True) == []
    for piece in pieces:
        append(path, piece, sync=False)
        assert log.read(True) == EventLog(path, None).read(True)


def test_what_is_done_to_its_events_is_done_to_ones_own(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", None)
    log.record(WHOLE[0], sync=False)
    log.read(True)[0]["kind"] = "changed"
    assert [event["kind"] for event in log.read(True)] == ["opened"]


@pytest.mark.parametrize("how", ["replaced", "cut short", "gone", "unreadable"])
def test_a_file_that_is_another_one_by_now_is_read_from_its_beginning(tmp_path: Path, how: str) -> None:
    path, other = tmp_path / "events.jsonl", tmp_path / "other"
    log = EventLog(path, None)
    for line in WHOLE:
        append(path, line, sync=False)
    assert len(log.read(True)) == 4
    if how == "replaced":  # as long as before
        other.write_bytes(b"".join(reversed(WHOLE)))
        os.replace(other, path)
        assert [event["kind"] for event in log.read(True)] == ["exit", "serving", "stopping", "opened"]
    elif how == "cut short":
        path.write_bytes(WHOLE[3])
        assert [event["kind"] for event in log.read(True)] == ["exit"]
    else:
        path.unlink()
        if how == "unreadable":
            path.symlink_to(tmp_path)
        assert log.read(True) == []
        path.unlink(missing_ok=True)
        append(path, WHOLE[1], sync=False)
        assert [event["kind"] for event in log.read(True)] == ["stopping"]


def test_what_was_read_once_is_not_read_again(tmp_path: Path) -> None:
    """A run of a thousand lineages asks for its events tens of thousands of times."""
    path = tmp_path / "events.jsonl"
    log = EventLog(path, None)
    append(path, WHOLE[0], sync=False)
    log.read(True)
    with open(path, "r+b") as file:  # in place, and as long as before: nobody of ours does that
        file.write(WHOLE[0].replace(b"opened", b"OPENED"))
    append(path, WHOLE[1], sync=False)
    assert [event["kind"] for event in log.read(True)] == ["opened", "stopping"]
