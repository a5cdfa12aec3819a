"""How long a site is away while its certificates are renewed, each way in turn: ``--only outages``."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import partial

from benchmarks import drawing
from benchmarks.figures import Options, Section, Table, in_turn, middle, ratio, say
from benchmarks.ways import HOOKS, Way, left_out, names, ways
from tests.support.context import World

_SLOW_SECONDS = 3.0
_COLUMNS = ("way", "longest outage", "away in all, for each lineage", "outages",
            "longest, beside certbot's hooks (least to most)", "rounds")


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


def measure(options: Options) -> Section:
    section = Section(notes=left_out(options.acme_sh))
    section.notes.append(
        "An outage is what a visitor sees who opens a new connection every 5 ms; certbot's own server on the port does "
        "not count as the site. Validation that takes 3 s: the ACME server acts on a challenge that much later.")
    section.notes.append("Where people stop Apache themselves it is `graceful-stop`, which frees the port at once.")
    longest: dict[str, dict[str, float]] = {}
    strips: dict[str, Seen] = {}
    world = World()
    try:
        for validation, lineages, rounds in _sizes(options):
            label = f"{lineages} lineage{'s' if lineages > 1 else ''}, validation " + (
                f"takes {validation:.0f} s" if validation else "at once")
            say(f"outages: {label}")
            found = in_turn({title: partial(seen, world, way, lineages, validation)
                             for title, way in ways(options.acme_sh).items()}, rounds, warm_up=False)
            section.tables.append(_table(label, lineages, found))
            longest[label] = {title: statistics.median(one.longest for one in each) for title, each in found.items()}
            if lineages <= 5:
                strips = {title: each[0] for title, each in found.items()}
                strip_label = label
    finally:
        world.close()
    section.images["performance-outages.svg"] = drawing.bars("Longest outage of one renewal, seconds", longest)
    section.image_words["performance-outages.svg"] = "Longest outage of one renewal, each way beside the others"
    section.images["performance-timeline.svg"] = drawing.strips(
        f"When the site is away: {strip_label}", {title: (one.seconds, one.away) for title, one in strips.items()})
    section.image_words["performance-timeline.svg"] = "When the site is away in the course of one renewal"
    return section


def _sizes(options: Options) -> list[tuple[float, int, int]]:
    if options.quick:
        return [(0.0, 1, 1)]
    # Twenty lineages that take 3 s each are ten minutes a round.
    return [(0.0, 1, options.rounds), (0.0, 5, options.least(3)), (0.0, 20, options.least(3)),
            (_SLOW_SECONDS, 1, options.least(3)), (_SLOW_SECONDS, 20, options.least(1)),
            (_SLOW_SECONDS, 5, options.least(3))]


def _table(label: str, lineages: int, found: dict[str, list[Seen]]) -> Table:
    table = Table(label, _COLUMNS)
    beside = [one.longest for one in found[HOOKS]]
    for title, each in found.items():
        table.rows.append((
            title, middle([one.longest for one in each], digits=2),
            middle([one.total / lineages for one in each], digits=2),
            str(round(statistics.median(len(one.away) for one in each))),
            ratio([one.longest for one in each], beside), str(len(each))))
    return table
