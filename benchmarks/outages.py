"""How long a site is away while its certificates are renewed, each way beside the others: ``--only outages``."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Optional

from benchmarks import drawing
from benchmarks.figures import Options, Section, Table, Verdict, in_turn, middle, ratio, say
from benchmarks.ways import AUTO, HOOKS, STOP, Way, left_out, names, ways
from tests.support.context import World

_SLOW_SECONDS = 3.0
_COLUMNS = ("way", "longest outage", "away in all, for each lineage", "outages",
            "longest, beside certbot's hooks (interval)", "rounds")
# The longest of many windows, each as long as its challenge, is a little longer than the one window of one lineage.
_AS_LONG_AS_ONE = 1.5


@dataclass(frozen=True)
class Seen:
    """One renewal as a visitor saw it: how long the program ran, and (from, to) of each outage, after it began."""

    seconds: float
    away: tuple[tuple[float, float], ...]

    @property
    def longest(self) -> float:
        return max((end - begin for begin, end in self.away), default=0.0)

    @property
    def total(self) -> float:
        return sum(end - begin for begin, end in self.away)


@dataclass(frozen=True)
class Size:
    """``at_once``: all ways at the same time, in processes of their own: they mostly wait for the CA."""

    validation_seconds: float
    lineages: int
    rounds: int
    at_once: bool = False

    @property
    def label(self) -> str:
        slow = f"takes {self.validation_seconds:.0f} s" if self.validation_seconds else "at once"
        return f"{self.lineages} lineage{'s' if self.lineages > 1 else ''}, validation {slow}"


Found = dict[str, list[Seen]]


def seen(world: World, way: Way, lineages: int, validation_seconds: float) -> Seen:
    context = way.site(world, names(lineages), lambda site: None)
    try:
        if validation_seconds:
            context.ca.delay("challenge", validation_seconds)
        with context.apache.watch() as watch:
            began = time.monotonic()
            way.renew(context)
        ended = context.runs[-1].ended_at or time.monotonic()  # settle goes on, and nobody waits
        return Seen(ended - began, tuple((begin - began, end - began) for begin, end in watch.intervals))
    finally:
        context.close()


def _alone(title: str, size: Size, acme_sh: Optional[Path]) -> Seen:
    """In a process of its own, with an ACME server of its own."""
    world = World()
    try:
        return seen(world, ways(acme_sh)[title], size.lineages, size.validation_seconds)
    finally:
        world.close()


def _at_once(size: Size, acme_sh: Optional[Path]) -> Found:
    titles = list(ways(acme_sh))
    found: Found = {title: [] for title in titles}
    with ProcessPoolExecutor(len(titles), get_context("spawn")) as pool:
        for number in range(size.rounds):
            say(f"  all of them, {number + 1} of {size.rounds}")
            for title, one in zip(titles, pool.map(partial(_alone, size=size, acme_sh=acme_sh), titles)):
                found[title].append(one)
    return found


def _in_turn(world: World, size: Size, acme_sh: Optional[Path]) -> Found:
    return in_turn({title: partial(seen, world, way, size.lineages, size.validation_seconds)
                    for title, way in ways(acme_sh).items()}, size.rounds, warm_up=False)


def measure(options: Options) -> Section:
    found: dict[Size, Found] = {}
    world = World()
    try:
        for size in _sizes(options):
            say(f"outages: {size.label}")
            found[size] = (_at_once(size, options.acme_sh) if size.at_once
                           else _in_turn(world, size, options.acme_sh))
    finally:
        world.close()
    section = Section([_table(size, each) for size, each in found.items()], _notes(options), verdicts=_verdicts(found))
    section.picture("performance-outages.svg", "Longest outage of one renewal, each way beside the others",
                    drawing.bars("Longest outage of one renewal", {
                        size.label: {title: statistics.median(one.longest for one in each)
                                     for title, each in ways_found.items()} for size, ways_found in found.items()}))
    shown = next((size for size in found if size.lineages == 5), next(iter(found)))
    section.picture("performance-timeline.svg", "When the site is away in the course of one renewal",
                    drawing.strips(f"When the site is away: {shown.label}", {
                        title: (each[0].seconds, each[0].away) for title, each in found[shown].items()}))
    return section


def _sizes(options: Options) -> list[Size]:
    if options.quick:
        return [Size(0.0, 1, 1), Size(_SLOW_SECONDS, 1, 1, True)]
    few = 3 if options.thorough else 1
    # In turn, twenty lineages that take 3 s each would be eight minutes a round.
    return [Size(0.0, 1, options.rounds), Size(0.0, 5, options.least(few)), Size(0.0, 20, options.least(few)),
            Size(_SLOW_SECONDS, 1, options.least(few + 1), True), Size(_SLOW_SECONDS, 5, options.least(few), True),
            Size(_SLOW_SECONDS, 20, options.least(few), True)]


def _notes(options: Options) -> list[str]:
    return left_out(options.acme_sh) + [
        "An outage is what a visitor sees who opens a new connection every 5 ms; certbot's own server on the port does "
        "not count as the site. Validation that takes 3 s: the ACME server acts on a challenge that much later. In "
        "these tables all ways run at the same time, each with its own Apache and ACME server; in the others in turn.",
        "Where people stop Apache themselves it is `graceful-stop`, which frees the port at once.",
        "`mode = auto` has let every challenge through the running Apache: a run in which it stopped Apache would "
        "have failed here."]


def _table(size: Size, found: Found) -> Table:
    table = Table(size.label, _COLUMNS)
    beside = [one.longest for one in found[HOOKS]]
    for title, each in found.items():
        table.rows.append((
            title, middle([one.longest for one in each], digits=2),
            middle([one.total / size.lineages for one in each], digits=2),
            str(round(statistics.median(len(one.away) for one in each))),
            ratio([one.longest for one in each], beside), str(len(each))))
    return table


def _verdicts(found: dict[Size, Found]) -> list[Verdict]:
    most = max(one.longest for ways_found in found.values() for one in ways_found[AUTO])
    renewals = sum(len(ways_found[AUTO]) for ways_found in found.values())
    verdicts = [Verdict("`mode = auto`: no outage", f"longest {most:.2f} s in {renewals} renewals of "
                        f"{', '.join(map(str, sorted({size.lineages for size in found})))} lineages", most == 0)]
    return verdicts + [_not_longer_for_many(found, slow)
                       for slow in sorted({size.validation_seconds for size in found})]


def _not_longer_for_many(found: dict[Size, Found], slow: float) -> Verdict:
    sizes = sorted((size for size in found if size.validation_seconds == slow), key=lambda size: size.lineages)
    one, many = ([each.longest for each in found[size][STOP]] for size in (sizes[0], sizes[-1]))
    hooks = statistics.median(each.longest for each in found[sizes[-1]][HOOKS])
    times = statistics.median(many) / statistics.median(one)
    return Verdict(
        f"`mode = stop`: many lineages make no outage longer than one does (validation "
        f"{f'takes {slow:.0f} s' if slow else 'at once'})",
        f"{statistics.median(many):.2f} s with {sizes[-1].lineages}, {statistics.median(one):.2f} s with 1: "
        f"{times:.2f} times; certbot's hooks: {hooks:.2f} s", times <= _AS_LONG_AS_ONE if len(sizes) > 1 else None)
