"""From the death of certbot in the middle of a challenge to an Apache that serves: ``--only kill``."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import Sequence

from benchmarks.figures import PAIR, Options, Section, Table, Verdict, in_turn, pair
from tests.support.context import Context, World

# Promised: so many times what a start takes, and so many seconds.
_TIMES, _SECONDS = 1.5, 0.2


def killed(world: World) -> float:
    context = Context(world)
    try:
        context.guarded_site(server="mode = stop")
        run = context.kill_at("challenge", number=signal.SIGKILL)
        context.apache.wait_serving()
        seconds = time.monotonic() - (run.killed_at or 0.0)
        context.wait_settled()
        return seconds
    finally:
        context.close()


def started(world: World) -> float:
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


def measure(options: Options) -> Section:
    table = Table("certbot is killed while it holds the port", PAIR)
    world = World()
    try:
        found = in_turn({"killed": partial(killed, world), "started": partial(started, world)}, options.rounds,
                        not options.quick)
    finally:
        world.close()
    beside = [_TIMES * seconds + _SECONDS for seconds in found["started"]]
    pair(table, "SIGKILL of certbot to Apache's first answer (beside: `apachectl start` to its first answer)",
         found["killed"], found["started"])
    pair(table, f"the same (beside: the promise, {_TIMES:.1f} times such a start and {_SECONDS:.1f} s)",
         found["killed"], beside)
    return Section([table], verdicts=[_verdict(found["killed"], beside)])


def _verdict(killed_seconds: Sequence[float], promised: Sequence[float]) -> Verdict:
    """None where some rounds hold it and some do not: the machine was busy, or it is close."""
    within = [one <= most for one, most in zip(killed_seconds, promised)]
    return Verdict(f"certbot is killed in a window: Apache serves within {_TIMES:.1f} times what a start takes, "
                   f"and {_SECONDS:.1f} s",
                   f"{sum(within)} of {len(within)} times; after {max(killed_seconds):.2f} s at the most",
                   True if all(within) else None if any(within) else False)
