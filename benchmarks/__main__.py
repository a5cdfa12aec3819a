"""``python -m benchmarks``: what the guard costs and what it saves, real programs side by side in one run.

Every figure is a ratio or a pair from this run; absolute seconds are those of this machine, at this moment.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Callable

from benchmarks import metrics, status, telling, watch_tls, watching
from tests.support.context import Context, World

# certbot with every plugin, or as if the guard were not installed: the same interpreter, the same start.
_CERTBOT = """
import sys, importlib.metadata as metadata
hide = sys.argv.pop(1) == "plain"
every = metadata.entry_points
def entry_points(**wanted):
    found = every(**wanted)
    return [one for one in found if not (hide and one.name == "guard")] if wanted else found
metadata.entry_points = entry_points
from certbot.main import main
sys.exit(main())
"""


def paired(one: Callable[[], float], other: Callable[[], float], runs: int) -> tuple[list[float], list[float]]:
    """Both in turn, so that a machine that slows down slows both; the first of each is not counted."""
    first, second = [], []
    for number in range(runs + 1):
        a, b = one(), other()
        if number:
            first.append(a)
            second.append(b)
    return first, second


def row(label: str, guard: list[float], plain: list[float], unit: str = "s") -> str:
    ratios = [a / b for a, b in zip(guard, plain)]
    return (f"| {label} | {statistics.median(guard):.3f} {unit} | {statistics.median(plain):.3f} {unit} | "
            f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) | {len(guard)} |")


def nothing_due(world: World, runs: int, lineages: int) -> str:
    context = Context(world)
    try:
        for number in range(lineages):
            context.obtain(f"n{number}.guard.test", days_left=89, vhost="")

        def measured(which: str) -> Callable[[], float]:
            def run() -> float:
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run([sys.executable, "-I", "-c", _CERTBOT, which, "renew", "--quiet",
                                *context.home.arguments], env=context.environment, cwd="/",
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               check=True)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
            return run

        return row(f"`certbot renew`, nothing due, {lineages} lineages (user + system time; beside: no plugin)",
                   *paired(measured("guard"), measured("plain"), runs))
    finally:
        context.close()


def outage(world: World, runs: int, lineages: int) -> str:
    def measured(guarded: bool) -> Callable[[], float]:
        def run() -> float:
            context = Context(world)
            try:
                names = [f"n{number}.guard.test" for number in range(lineages)]
                context.guarded_site(*names, guarded=guarded)
                apachectl = context.apache.program
                hooks = ["--pre-hook", f"{apachectl} graceful-stop", "--post-hook", f"{apachectl} start"]
                with context.apache.watch() as watch:
                    context.renew(*([] if guarded else hooks), check=True)
                    context.apache.wait_serving()
                context.wait_settled()
                return watch.longest
            finally:
                context.close()
        return run

    return row(f"longest outage, {lineages} lineage{'s' if lineages > 1 else ''} (beside: certbot's pre and post hooks)",
               *paired(measured(True), measured(False), runs))


def after_a_kill(world: World, runs: int) -> str:
    def killed() -> float:
        context = Context(world)
        try:
            context.guarded_site()
            run = context.kill_at("challenge", number=signal.SIGKILL)
            context.apache.wait_serving()
            seconds = time.monotonic() - (run.killed_at or 0.0)
            context.wait_settled()
            return seconds
        finally:
            context.close()

    def started() -> float:
        context = Context(world)
        try:
            context.guarded_site()
            context.apache.stop()
            began = time.monotonic()
            context.apache.ctl("start")
            context.apache.wait_serving()
            return time.monotonic() - began
        finally:
            context.close()

    return row("SIGKILL of certbot to Apache serving (beside: `apachectl start` to its first answer)",
               *paired(killed, started, runs))


def many_failures(runs: int, lineages: int) -> tuple[str, str]:
    """Time and memory, from the same pairs of processes."""
    peaks: dict[int, list[float]] = {lineages: [], 1: []}

    def measured(count: int) -> Callable[[], float]:
        def run() -> float:
            seconds, megabytes = telling.told(count)
            peaks[count].append(megabytes)
            return seconds
        return run

    seconds = paired(measured(lineages), measured(1), runs)
    what = f"{lineages:,} lineages failed for three causes"
    return (row(f"settle makes its message, {what} (beside: 1 lineage)", *seconds),
            row(f"peak memory of that process, {what} (beside: 1 lineage)", peaks[lineages][1:], peaks[1][1:], "MB"))


def broken_channels(runs: int) -> str:
    return row("ten channels, one hangs and one drips: until the other eight have it (beside: a single channel)",
               *paired(lambda: telling.reached(8, True), lambda: telling.reached(1, False), runs))


def whole_watch(runs: int, lineages: int = 1000, hosts: int = 500) -> None:
    """Time and memory, from the same pairs of processes."""
    with watching.machine(lineages, hosts) as many, watching.machine(1, 1) as one:
        peaks: dict[watching.Machine, list[float]] = {many: [], one: []}

        def measured(machine: watching.Machine) -> Callable[[], float]:
            def run() -> float:
                seconds, megabytes = machine.watched()
                peaks[machine].append(megabytes)
                return seconds
            return run

        seconds = paired(measured(many), measured(one), runs)
        what = f"`certbot-guard watch`, {lineages:,} lineages, {hosts} virtual hosts"
        print(row(f"{what} (beside: one of each)", *seconds))
        print(row(f"peak memory of that process, {what} (beside: one of each)", peaks[many][1:], peaks[one][1:], "MB"),
              flush=True)


def counting(runs: int, lineages: int = 1000, history: int = 800) -> str:
    with ExitStack() as held:
        directories = [Path(held.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        many, none = metrics.prepared(directories[0], lineages, history), metrics.prepared(directories[1], 0, 0)
        return row(f"`certbot-guard metrics --textfile`, {lineages:,} lineages, {history} runs in the history (beside: "
                   "none of either)", *paired(lambda: metrics.seconds(many), lambda: metrics.seconds(none), runs))


def looking(runs: int, lineages: int = 1000, hosts: int = 500) -> None:
    """What a person waits for: the same machines, with and without a look at what is shown to visitors."""
    with status.machine(lineages, hosts) as many, status.machine(1, 1) as one:
        for words, codes in ((("status",), (0,)), (("status", "--no-served"), (0,)), (("doctor", "--offline"), (0, 1))):
            what = " ".join(["certbot-guard", *words])
            print(row(f"`{what}`, {lineages:,} lineages, {hosts} virtual hosts (beside: one of each)",
                      *paired(partial(many.seconds, *words, codes=codes), partial(one.seconds, *words, codes=codes),
                              runs)), flush=True)


def watching_tls(runs: int, hosts: int = 500) -> None:
    many = f"watch looks at {hosts} virtual hosts over TLS"
    with watch_tls.farm(hosts) as made:
        with_dead = made.with_a_dead_one()
        print(row(f"{many} (beside: one after the other)",
                  *paired(lambda: made.looked(made.places), lambda: made.looked(made.places, 1), runs)), flush=True)
        print(row(f"{many}, and at one that accepts and is silent for its 5 s (beside: without it)",
                  *paired(lambda: made.looked(with_dead), lambda: made.looked(made.places), runs)), flush=True)
        print(row(f"peak memory of that process, {many} (beside: 1)",
                  *paired(lambda: made.peak(hosts), lambda: made.peak(1), runs), "MB"), flush=True)
        print(row(f"Apache says where its {hosts} virtual hosts are (beside: looking at them)",
                  *paired(made.found, lambda: made.looked(made.places), runs)), flush=True)


def imports() -> str:
    """What importing the plugin adds to an interpreter that has certbot."""
    code = ("import time, sys; import certbot.main; before = set(sys.modules); began = time.perf_counter(); "
            "import certbot_guard.plugin; print((time.perf_counter() - began) * 1000)")
    figures = [float(subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True,
                                    cwd="/", env=dict(os.environ)).stdout) for _ in range(10)]
    return f"Importing the plugin after certbot: {statistics.median(figures):.1f} ms (median of {len(figures)})."


def renewals(runs: int) -> None:
    world = World()
    try:
        print(nothing_due(world, runs * 3, 1), flush=True)
        print(nothing_due(world, runs * 2, 50), flush=True)
        for lineages in (1, 5):
            print(outage(world, runs, lineages), flush=True)
        print(after_a_kill(world, runs), flush=True)
    finally:
        world.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted pairs of each (default: 5)")
    parser.add_argument("--only", choices=("renewals", "watch", "status", "tls", "metrics", "telling"),
                        help="a part of them (default: all)")
    options = parser.parse_args()
    runs = options.runs
    print("| what | with certbot-guard | beside it | ratio, pair by pair (least to most) | pairs |\n|---|---|---|---|---|")
    if options.only in (None, "renewals"):
        renewals(runs)
    if options.only in (None, "watch"):
        whole_watch(runs)
    if options.only in (None, "status"):
        looking(runs)
    if options.only in (None, "tls"):
        watching_tls(runs)
    if options.only in (None, "metrics"):
        print(counting(runs), flush=True)
    if options.only in (None, "telling"):
        print(*many_failures(runs, 1000), sep="\n", flush=True)
        print(broken_channels(runs), flush=True)
    print("\n" + imports())
    return 0


if __name__ == "__main__":
    sys.exit(main())
