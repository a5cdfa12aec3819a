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

from benchmarks.figures import PAIR, Options, Section, Table, in_turn, pair, say
from tests.support.context import Context, World

# certbot with every plugin, or as if the guard were not installed: the same interpreter, the same start. VmHWM is the
# peak of this program alone: see benchmarks/telling.py.
_CERTBOT = """
import sys, importlib.metadata as metadata
hide = sys.argv.pop(1) == "plain"
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


def cost(context: Context, which: str) -> Cost:
    """Of one ``certbot renew`` that finds nothing due."""
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", _CERTBOT, which, "renew", "--quiet", *context.home.arguments],
        env=context.environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True)
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    peak = re.search(r"PEAK (\d+)", said)
    assert child.returncode == 0 and peak, said
    return Cost(used.ru_utime + used.ru_stime, seconds, int(peak[1]) / 1024)


def measure(options: Options) -> Section:
    tables = {what: Table(f"`certbot renew` with nothing due: {what}", ("lineages", *PAIR[1:]))
              for what in ("user and system time", "from start to end", "peak memory")}
    least: list[str] = []
    world = World()
    try:
        for lineages, rounds in ((1, options.rounds * 3), (100, options.rounds * 2), (1000, options.rounds)):
            if options.quick and lineages > 100:
                continue
            say(f"idle: {lineages}")
            context = Context(world)
            try:
                for number in range(lineages):
                    context.obtain(f"n{number}.guard.test", days_left=89, vhost="")
                found = in_turn({which: partial(cost, context, which) for which in ("guard", "plain")},
                                3 if options.quick else rounds)
            finally:
                context.close()
            guard, plain = found["guard"], found["plain"]
            least.append(f"{min(one.processor for one in guard) / min(one.processor for one in plain):.3f} for "
                         f"{lineages:,}")
            for table, unit, of in zip(tables.values(), ("s", "s", "MB"), (
                    lambda one: one.processor, lambda one: one.seconds, lambda one: one.megabytes)):
                pair(table, f"{lineages:,}", [of(one) for one in guard], [of(one) for one in plain], unit)
    finally:
        world.close()
    return Section(list(tables.values()), [
        "Beside it: the same certbot, to which the plugin is not shown.",
        f"The least time of all rounds with the plugin, in times of the least without: {', '.join(least)}. What else "
        "the machine does only ever adds, so that the least says most about a small difference.", imports()])


def imports() -> str:
    """What importing the plugin adds to an interpreter that has certbot."""
    code = ("import time, sys; import certbot.main; before = set(sys.modules); began = time.perf_counter(); "
            "import certbot_guard.plugin; print((time.perf_counter() - began) * 1000)")
    figures = [float(subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True,
                                    cwd="/", env=dict(os.environ)).stdout) for _ in range(10)]
    return f"Importing the plugin after certbot takes {statistics.median(figures):.1f} ms (median of {len(figures)})."
