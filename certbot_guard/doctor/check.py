"""One check: its stable identifier, what it is for, and the function that looks. No check knows another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

from certbot_guard.doctor.result import OK, PROBLEM, SKIPPED, WARNING, Result

if TYPE_CHECKING:
    from certbot_guard.doctor.host import Host

# Of a thousand lineages with the same fault, so many are shown; the last line says how many more there are.
MOST = 10


@dataclass(frozen=True)
class Check:
    """:ivar title: what is true where nothing is wrong, a few words
    :ivar explanation: why it matters, a sentence or two
    :ivar look: yields what it found; nothing at all means that there was nothing to look at
    """

    id: str
    title: str
    explanation: str
    look: Callable[[Host], Iterable[Result]]


@dataclass(frozen=True)
class Group:
    """Checks of one thing, shown under one heading."""

    title: str
    checks: tuple[Check, ...]


def ok(id: str, says: str, **more: str) -> Result:
    return Result(id, OK, says, **more)


def warning(id: str, says: str, **more: str) -> Result:
    return Result(id, WARNING, says, **more)


def problem(id: str, says: str, **more: str) -> Result:
    return Result(id, PROBLEM, says, **more)


def skipped(id: str, says: str) -> Result:
    return Result(id, SKIPPED, says)


def some(found: Sequence[Result], what: str) -> Iterator[Result]:
    """The first of ``found``, and how many more ``what`` there are."""
    yield from found[:MOST]
    if len(found) > MOST:
        yield Result(found[0].id, found[0].status, f"... and {len(found) - MOST} more {what} with the same fault")
