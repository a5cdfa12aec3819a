"""What a measurement comes to: rounds of several ways in turn, ratios between them, and a section of tables.

Every part of the benchmarks returns a :class:`Section`; :mod:`benchmarks.report` writes it. Nothing here runs anything.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Mapping, Optional, Sequence, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line. ``quick``: small sizes, one round, to see that it works."""

    quick: bool = False
    rounds: int = 5
    acme_sh: Optional[Path] = None

    def least(self, rounds: int) -> int:
        """At the most so many rounds, for what takes minutes each."""
        return 1 if self.quick else min(self.rounds, rounds)


@dataclass
class Table:
    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def markdown(self) -> str:
        lines = [f"**{self.title}**", "", f"| {' | '.join(self.columns)} |", "|---" * len(self.columns) + "|"]
        return "\n".join(lines + [f"| {' | '.join(row)} |" for row in self.rows])


@dataclass
class Section:
    """One part's results. ``images`` are SVG texts by file name, ``image_words`` what each of them shows."""

    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    image_words: dict[str, str] = field(default_factory=dict)


def in_turn(ways: Mapping[str, Callable[[], T]], rounds: int, warm_up: bool = True) -> dict[str, list[T]]:
    """Each way once a round, so that a machine that slows down slows all; another one comes first each time.

    With ``warm_up`` there is one more round before, which does not count.
    """
    found: dict[str, list[T]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds + warm_up):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            say(f"  {name}, {number + (not warm_up)} of {rounds}")
            result = ways[name]()
            if number or not warm_up:
                found[name].append(result)
    return found


def ratio(these: Sequence[float], beside: Sequence[float]) -> str:
    """Round by round; nothing is divided by an outage that there was not."""
    if not all(beside):
        return "-"
    each = [one / other for one, other in zip(these, beside)]
    if len(each) == 1:
        return f"**{_short(each[0])}**"
    return f"**{_short(statistics.median(each))}** ({_short(min(each))} to {_short(max(each))})"


def middle(values: Sequence[float], unit: str = "s", digits: int = 3) -> str:
    return f"{statistics.median(values):,.{digits}f} {unit}".rstrip()


def pair(table: Table, label: str, these: Sequence[float], beside: Sequence[float], unit: str = "s") -> None:
    """A row of a table whose columns are :data:`PAIR`."""
    table.rows.append((label, middle(these, unit), middle(beside, unit), ratio(these, beside), str(len(these))))


PAIR = ("what", "with certbot-guard", "beside it", "ratio, round by round (least to most)", "rounds")


def say(text: str) -> None:
    """To whoever waits; the results alone go to standard output."""
    print(text, file=sys.stderr, flush=True)


def _short(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
