"""What can become of files that we keep: cut, overwritten, gone, something else in their place, strangers beside them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.trying import words

Damage = Callable[[Path], None]
FUTURE = "from-a-newer-version"
_DEEP = b"[" * 50_000


def _cut(share: float) -> Damage:
    def cut(path: Path) -> None:
        if path.is_file():
            os.truncate(path, int(path.stat().st_size * share))
    return cut


def _flip(places: list[tuple[float, int]]) -> Damage:
    def flip(path: Path) -> None:
        if not path.is_file() or not path.stat().st_size:
            return
        data = bytearray(path.read_bytes())
        for share, byte in places:
            data[int(share * (len(data) - 1))] = byte
        path.write_bytes(data)
    return flip


def _replaced(data: bytes) -> Damage:
    def replace(path: Path) -> None:
        _gone(path)
        path.write_bytes(data)
    return replace


def _gone(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _directory(path: Path) -> None:
    _gone(path)
    path.mkdir()
    (path / "within").write_bytes(b"kept")


def _pipe(path: Path) -> None:
    _gone(path)
    os.mkfifo(path, 0o600)


def _link(path: Path) -> None:
    _gone(path)
    path.symlink_to(path.name)


shares = st.floats(0, 1)
of_a_file: st.SearchStrategy[Damage] = st.one_of(
    shares.map(_cut), st.lists(st.tuples(shares, st.integers(0, 255)), min_size=1, max_size=8).map(_flip),
    st.one_of(st.binary(max_size=40), st.just(_DEEP), st.just(b"{\"id\":" * 50_000)).map(_replaced),
    st.sampled_from([_gone, _directory, _pipe, _link]))


def strangers(directory: Path, names: list[str]) -> list[Path]:
    """Files and directories that nobody of ours has made."""
    made = []
    for number, name in enumerate(names):
        path = directory / (name or f"stranger-{number}")
        if not path.exists() and not path.is_symlink():
            (_directory if number % 2 else _replaced(b"kept"))(path)
            made.append(path)
    return made


stranger_names = st.lists(st.sampled_from(["", ".x", FUTURE, "run.json.tmp", "journal.db-wal", "events.jsonl.1", "a b\n", "\udcff"]),
                          max_size=3, unique=True)
# As JSON has it, and Python's own reader takes: numbers that no float holds, what is no number, halves of letters.
values: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.just(10 ** 400), st.just(-2 ** 63), words,
    st.just("/nonexistent"), st.just("\0"), st.just("\ud800"), st.just([]), st.just({}), st.lists(words, max_size=2),
    st.just([[]]), st.just({"a": [1, {"b": None}]}), st.dictionaries(words, words, max_size=2))


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below it, by its name there."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*")
            if path.is_file() and not path.is_symlink()}
