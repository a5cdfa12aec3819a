"""What comes back into our own state from less trusted hands: what a deliverer says, what the watch noted."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbot_guard import outcomes
from certbot_guard.journal import Journal
from certbot_guard.message import Message
from certbot_guard.outcomes import OutcomeFile
from certbot_guard.watch import ari
from tests.fuzz.trying import bounded, is_quiet, junk, many, witness, words

_number = itertools.count()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


def _fresh(base: Path) -> Path:
    found = base / f"host-{next(_number)}"
    found.mkdir(mode=0o700)
    return found


OUTCOMES = st.one_of(st.binary(max_size=40), st.just(b"[" * 50_000), junk.map(lambda it: json.dumps(it).encode()),
                     st.fixed_dictionaries({"channel": st.one_of(st.just("mail"), junk), "message": st.one_of(st.just("m"), junk),
                                            "attempt": st.one_of(st.just(1), junk)}, optional={
                                                name: junk for name in ("ok", "reason", "doubt", "done")}).map(
                                                    lambda it: json.dumps(it).encode()))


@given(st.lists(OUTCOMES, max_size=6))
@many(120)
def test_what_a_deliverer_writes_cannot_stop_delivery(base: Path, lines: list[bytes]) -> None:
    host = _fresh(base)
    with closing(Journal.open(host, "x")) as book:
        book.add(Message("m", "r", "failure", "warning", "t", "b"), ["mail"], 0)
        attempt = book.sending("m", "mail")
        file = OutcomeFile.create(host, "mail")
        os.write(file.descriptor, b"\n".join(lines))
        with bounded(), witness.watching(host):
            for message, outcome in file.read().items():
                outcomes.apply(book, outcome, message, "mail", attempt)
            os.close(file.descriptor)
            outcomes.collect(book, ["mail"])
            for one in book.waiting("mail"):
                assert is_quiet(one.reason), one.reason
    shutil.rmtree(host)


@given(st.one_of(st.none(), words, junk.map(json.dumps), st.just("[" * 50_000), st.fixed_dictionaries({}, optional={
    name: junk for name in ("of", "next", "end", "since", "page", "told", "x")}).map(json.dumps)), words)
@many(150)
def test_what_the_watch_noted_is_read_or_begun_anew(value: Any, of: str) -> None:
    with bounded():
        assert isinstance(ari._known(value, of), ari.Known)
