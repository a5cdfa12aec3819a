"""What the plugin costs on the days when nothing is due, and to import: ``--only idle``."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Callable, Sequence

from benchmarks import counting, drawing
from benchmarks.figures import (
    ENOUGH,
    Options,
    Section,
    Table,
    Verdict,
    at_most,
    in_turn,
    interval,
    middle,
    ratio,
    ratios,
    say,
    spread,
)
from tests.support.certbot import Home
from tests.support.context import Context, World

LIMIT = 1.02
_COUNTED = (1, 20, 100)
# Lineages, and how many times the rounds: what is short is repeated more often, for the same share of noise.
_SIZES = ((1, 4), (100, 2), (1000, 1))

# certbot with every plugin, or as if the guard were not installed: the same interpreter, the same start. VmHWM is the
# peak of this program alone: see benchmarks/telling.py.
_CERTBOT = """
import sys, importlib.metadata as metadata
hide = sys.argv.pop(1) != "guard"
every = metadata.entry_points
def entry_points(**wanted):
    found = every(**wanted)
    return [one for one in found if not (hide and one.name == "guard")] if wanted else found
metadata.entry_points = entry_points
from certbot.main import main
try:
    code = main()
finally:
    print("PEAK", next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
sys.exit(code)
"""


@dataclass(frozen=True)
class Cost:
    processor: float
    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Pairs:
    """Rounds with the plugin and as many without, of one number of lineages: they name no installer, or ``null``.

    ``null`` is certbot's own, which does nothing: certbot looks up whatever installer a lineage names, and logs that.
    """

    lineages: int
    guard: Sequence[Cost]
    plain: Sequence[Cost]
    null: Sequence[Cost]

    def ratios(self, of: Callable[[Cost], float]) -> list[float]:
        return ratios([of(one) for one in self.guard], [of(one) for one in self.plain])

    def more(self, of: Callable[[Cost], float], beside: str = "plain") -> list[float]:
        """What the plugin adds, round by round."""
        return [of(one) - of(other) for one, other in zip(self.guard, getattr(self, beside))]


def _command(home: Home, which: str) -> list[str]:
    return [sys.executable, "-I", "-c", _CERTBOT, which, "renew", "--quiet", *home.arguments]


def cost(context: Context, home: Home, which: str) -> Cost:
    """Of one ``certbot renew`` that finds nothing due."""
    began = time.perf_counter()
    child = subprocess.Popen(
        _command(home, which), env=context.environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True)
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    peak = re.search(r"PEAK (\d+)", said)
    assert child.returncode == 0 and peak, said
    return Cost(used.ru_utime + used.ru_stime, seconds, int(peak[1]) / 1024)


def measure(options: Options) -> Section:
    found = []
    world = World()
    try:
        for lineages, times in _SIZES:
            if not options.quick or lineages <= 100:
                say(f"idle: {lineages}")
                found.append(_pairs(world, lineages, 3 if options.quick else options.rounds * times))
        counts = [_counted(world, lineages) for lineages in _COUNTED[:1 if options.quick else None]
                  ] if counting.possible() else []
    finally:
        world.close()
    section = Section([counting.table(counts)] * bool(counts) + [_table(found, *what) for what in _WHAT], [
        "Without it: the same certbot, which does not see the plugin, with the same lineages, but that they name no "
        "installer. certbot looks up and logs whatever installer a lineage names, each time that it looks at it; what "
        "that costs is in the columns with `null`, an installer of certbot's own that does nothing.",
        "The interval is the one in which the median lies with 95 % confidence (order statistics of the "
        "rounds). A pair of runs follow each other at once, and take turns in being the first.", imports()],
        # What is counted is judged; time, of which two runs in turn differ by more than the limit, where it is not.
        verdicts=(counting.verdicts(counts) or [_verdict(each) for each in found]) + _growth(found, bool(counts)))
    section.picture("performance-idle.svg", "What the plugin costs when nothing is due, beside certbot without it",
                    _plot(found))
    return section


def _homes(context: Context, lineages: int) -> dict[str, Home]:
    """The same lineages, not due, which name guard, none, or certbot's ``null``."""
    homes = {"guard": context.home, "plain": context.new_home("plain"), "null": context.new_home("null")}
    for which, home in homes.items():
        named = {"installer": "null"} if which == "null" else {}
        for number in range(lineages):
            home.obtain(f"n{number}.guard.test", days_left=89, guarded=which == "guard", **named)
    return homes


def _pairs(world: World, lineages: int, rounds: int) -> Pairs:
    context = Context(world)
    try:
        found = in_turn({which: partial(cost, context, home, which)
                         for which, home in _homes(context, lineages).items()}, rounds)
    finally:
        context.close()
    return Pairs(lineages, found["guard"], found["plain"], found["null"])


def _counted(world: World, lineages: int) -> counting.Counted:
    context = Context(world)
    say(f"idle: instructions, {lineages}")
    try:
        homes = _homes(context, lineages)
        return counting.counted(lineages, lambda which: counting.instructions(
            _command(homes[which], which), context.environment))
    finally:
        context.close()


def _processor(one: Cost) -> float:
    return one.processor


def _seconds(one: Cost) -> float:
    return one.seconds


def _memory(one: Cost) -> float:
    return one.megabytes


_WHAT = (("user and system time", _processor, "s"), ("from start to end", _seconds, "s"),
         ("peak memory", _memory, "MB"))


def _table(found: Sequence[Pairs], what: str, of: Callable[[Cost], float], unit: str) -> Table:
    table = Table(f"`certbot renew` with nothing due: {what}", (
        "lineages", "with certbot-guard", "without it", "ratio, round by round (interval)", "with `null`",
        "ratio to that (interval)", "rounds"))
    for each in found:
        guard, plain, null = ([of(one) for one in of_one] for of_one in (each.guard, each.plain, each.null))
        table.rows.append((f"{each.lineages:,}", middle(guard, unit), middle(plain, unit), ratio(guard, plain, 3),
                           middle(null, unit), ratio(guard, null, 3), str(len(guard))))
    return table


def _verdict(each: Pairs) -> Verdict:
    values = each.ratios(_processor)
    return Verdict(f"Nothing due: at most 2 % more processor time than certbot alone, {_lineages(each.lineages)}",
                   f"{spread(values, 3)} of it (pairs: {len(values)})", at_most(values, LIMIT))


def _growth(found: Sequence[Pairs], counted: bool = False) -> list[Verdict]:
    """What each further lineage adds: the difference of two differences, at the ends of their intervals."""
    few, many = found[0], found[-1]
    further = many.lineages - few.lineages
    verdicts = []
    for words, of, unit, times in (("processor time", _processor, "ms", 1000), ("memory", _memory, "KB", 1024)):
        if counted and of is _processor:
            continue
        for beside, than in (("plain", "without it"), ("null", "with certbot's own `null` installer")):
            low, high = interval(few.more(of, beside))
            each = [(value - end) / further * times for value, end in zip(interval(many.more(of, beside)), (high, low))]
            typical = (statistics.median(many.more(of, beside)) - statistics.median(few.more(of, beside))) / further
            verdicts.append(Verdict(
                f"Nothing due: no {words} that grows with the lineages more than it does {than}",
                f"{typical * times:+.3f} {unit} ({each[0]:+.3f} to {each[1]:+.3f}) for each more",
                each[0] <= 0 if len(many.guard) >= ENOUGH else None))
    return verdicts


def _plot(found: Sequence[Pairs]) -> str:
    def three(each: Pairs, of: Callable[[Cost], float]) -> tuple[float, float, float]:
        values = each.ratios(of)
        least, most = interval(values)
        return least, statistics.median(values), most

    return drawing.ranges("certbot renew with nothing due, with the plugin and without", {
        what: {_lineages(each.lineages): three(each, of) for each in found} for what, of, _ in _WHAT},
        "with certbot-guard, in times of certbot without it (median and its interval)", LIMIT, "at most 1.02")


def _lineages(count: int) -> str:
    return f"{count:,} lineage{'s' if count > 1 else ''}"


def imports() -> str:
    """What importing the plugin adds to an interpreter that has certbot."""
    code = ("import time, sys; import certbot.main; before = set(sys.modules); began = time.perf_counter(); "
            "import certbot_guard.plugin; print((time.perf_counter() - began) * 1000)")
    figures = [float(subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True,
                                    cwd="/", env=dict(os.environ)).stdout) for _ in range(10)]
    return f"Importing the plugin after certbot takes {statistics.median(figures):.1f} ms (median of {len(figures)})."
