"""What a measurement comes to: rounds of several ways in turn, ratios between them, and a section of tables.

Every part of the benchmarks returns a :class:`Section`; :mod:`benchmarks.report` writes it. Nothing here runs anything.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Mapping, Optional, Sequence, TypeVar

T = TypeVar("T")

# Fewer rounds have no interval of 95 %: the least and the most of five enclose the median in 94 % of all cases.
ENOUGH = 6
_CONFIDENCE = 0.95
_BETWEEN_WORDS_SECONDS = 2.0


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line. ``quick``: small sizes, one round, to see that it works."""

    quick: bool = False
    rounds: int = 5
    acme_sh: Optional[Path] = None
    thorough: bool = False

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


@dataclass(frozen=True)
class Verdict:
    """A row of the table that the page begins with. ``holds`` is None where these figures cannot tell."""

    promise: str
    measured: str
    holds: Optional[bool]


@dataclass
class Section:
    """One part's results. ``images`` are SVG texts by file name, ``image_words`` what each of them shows."""

    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    image_words: dict[str, str] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)

    def picture(self, name: str, words: str, svg: str) -> None:
        self.images[name], self.image_words[name] = svg, words


def in_turn(ways: Mapping[str, Callable[[], T]], rounds: int, warm_up: bool = True) -> dict[str, list[T]]:
    """Each way once a round, so that a machine that slows down slows all; another one comes first each time.

    With ``warm_up`` there is one more round before, which does not count.
    """
    found: dict[str, list[T]] = {name: [] for name in ways}
    names, said = list(ways), 0.0
    for number in range(rounds + warm_up):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            if time.monotonic() - said > _BETWEEN_WORDS_SECONDS:
                said = time.monotonic()
                say(f"  {name}, {number + (not warm_up)} of {rounds}")
            result = ways[name]()
            if number or not warm_up:
                found[name].append(result)
    return found


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Where the median of ever more such rounds lies, with 95 % confidence and whatever their distribution.

    Its ends are two of the values (order statistics); with fewer than :data:`ENOUGH`, the least and the most.
    """
    ordered = sorted(values)
    count, rank = len(ordered), 1
    while 2 * (rank + 1) <= count and _enclosed(count, rank + 1) >= _CONFIDENCE:
        rank += 1
    return ordered[rank - 1], ordered[count - rank]


def _enclosed(count: int, rank: int) -> float:
    """How likely the median is between the value of this rank and the one of that rank from the end."""
    return 1 - 2 * sum(math.comb(count, below) for below in range(rank)) / 2 ** count


def ratios(these: Sequence[float], beside: Sequence[float]) -> list[float]:
    """Round by round."""
    return [one / other for one, other in zip(these, beside)]


def ratio(these: Sequence[float], beside: Sequence[float], digits: int = 2) -> str:
    """Round by round; nothing is divided by an outage that there was not."""
    return spread(ratios(these, beside), digits) if all(beside) else "-"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median, and its interval where there is more than one round."""
    least, most = interval(values)
    words = f"**{_short(statistics.median(values), digits)}**"
    return words if len(values) == 1 else f"{words} ({_short(least, digits)} to {_short(most, digits)})"


def at_most(values: Sequence[float], limit: float) -> Optional[bool]:
    """Whether their median is no more than ``limit``; None if the interval is on both sides of it, or none is known."""
    least, most = interval(values)
    if len(values) < ENOUGH or least <= limit < most:
        return None
    return most <= limit


def not_above(values: Sequence[float], level: float) -> Optional[bool]:
    """Whether nothing shows that their median is above ``level``; None for too few of them."""
    return interval(values)[0] <= level if len(values) >= ENOUGH else None


def middle(values: Sequence[float], unit: str = "s", digits: int = 3) -> str:
    return f"{statistics.median(values):,.{digits}f} {unit}".rstrip()


def pair(table: Table, label: str, these: Sequence[float], beside: Sequence[float], unit: str = "s",
         digits: int = 2) -> None:
    """A row of a table whose columns are :data:`PAIR`; ``digits`` are those of the ratio."""
    table.rows.append((label, middle(these, unit), middle(beside, unit), ratio(these, beside, digits),
                       str(len(these))))


PAIR = ("what", "with certbot-guard", "beside it", "ratio, round by round (interval)", "rounds")


def say(text: str) -> None:
    """To whoever waits; the results alone go to standard output."""
    print(text, file=sys.stderr, flush=True)


def _short(value: float, digits: int = 2) -> str:
    return f"{value:.{digits + (0 < value < 0.1)}f}"
