"""From the death of certbot in the middle of a challenge to an Apache that serves: ``--only kill``."""

from __future__ import annotations

import signal
import time
from functools import partial

from benchmarks.figures import PAIR, Options, Section, Table, in_turn, pair
from tests.support.context import Context, World


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
    pair(table, "SIGKILL of certbot to Apache's first answer (beside: `apachectl start` to its first answer)",
         found["killed"], found["started"])
    return Section([table])
