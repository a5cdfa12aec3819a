"""What a steady stream of visitors does not get while certificates are renewed, each way: ``--only requests``."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Mapping

from benchmarks import load
from benchmarks.figures import Options, Section, Table, in_turn, middle, say
from benchmarks.ways import Way, left_out, names, ways
from tests.support.apache import MODULES_DIRECTORY
from tests.support.context import World
from tests.support.ports import free_port
from tests.support.site import Site

_COLUMNS = ("way", *(f"{kind}: failed of asked" for kind in (load.KEPT, load.FRESH)),
            "the download broke off", "the upgraded connection broke",
            f"answered after more than {load.LATE_SECONDS} s", "slowest answer", "rounds")


# As Debian's mpm_event.conf has it; the tests' own Apache is smaller.
_WORKERS = ("StartServers 2\nMinSpareThreads 25\nMaxSpareThreads 75\nThreadLimit 64\nThreadsPerChild 25\n"
            "MaxRequestWorkers 150\n")


@dataclass(frozen=True)
class Got:
    asked: Mapping[str, int]
    failed: Mapping[str, int]
    late: Mapping[str, int]
    slowest: Mapping[str, float]
    why: Mapping[str, int]


def with_socket(port: int, site: Site) -> None:
    """The site hands /socket on to a program that takes the connection over, as behind a websocket."""
    loads = (f"LoadModule {name}_module {MODULES_DIRECTORY}/mod_{name}.so\n" for name in ("proxy", "proxy_http"))
    site.append(_WORKERS + "".join(loads) + f"ProxyPass /socket http://127.0.0.1:{port}/socket upgrade=websocket\n")


def got(world: World, way: Way, lineages: int) -> Got:
    backend = free_port()
    context = way.site(world, names(lineages), partial(with_socket, backend))
    visitors = None
    try:
        visitors = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load", context.apache.address, str(context.apache.http_port),
             str(backend)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parent.parent)
        assert visitors.stdout is not None and visitors.stdout.readline() == "ready\n"
        way.renew(context)
        said, _ = visitors.communicate(timeout=60)
        return Got(**json.loads(said))
    finally:
        if visitors is not None:
            visitors.kill()
            visitors.wait()
        context.close()


def measure(options: Options) -> Section:
    section = Section(notes=left_out(options.acme_sh) + [
        "200 requests a second, on four kept connections and on new ones, and all the while one download of 32 MB and "
        "one connection that was upgraded and is handed to a program behind the site. A request is made when it is "
        "due, however the ones before it went.",
        "A kept connection that was idle may be found closed; it is opened again, as browsers do."])
    world = World()
    try:
        for lineages, rounds in [(1, 1)] if options.quick else [(1, options.least(3)), (20, options.least(1))]:
            label = f"{lineages} lineage{'s' if lineages > 1 else ''}"
            say(f"requests: {label}")
            found = in_turn({title: partial(got, world, way, lineages) for title, way in ways(options.acme_sh).items()},
                            rounds, warm_up=False)
            table = Table(f"Requests during one renewal, {label}", _COLUMNS)
            for title, each in found.items():
                table.rows.append((title, *(_of(each, kind) for kind in (load.KEPT, load.FRESH)),
                                   *(_times(each, kind) for kind in (load.DOWNLOAD, load.UPGRADED)),
                                   f"{sum(sum(one.late.values()) for one in each):,}",
                                   middle([max(one.slowest.values()) for one in each], digits=2), str(rounds)))
                for reason, count in sorted(each[-1].why.items(), key=lambda item: -item[1])[:3]:
                    say(f"    {title}: {count} times {reason}")
            section.tables.append(table)
    finally:
        world.close()
    return section


def _of(each: list[Got], kind: str) -> str:
    """All rounds together. How many were asked depends on how long a renewal takes; what failed, on the outage."""
    failed, asked = sum(one.failed[kind] for one in each), sum(one.asked[kind] for one in each)
    return f"{failed:,} of {asked:,}" if failed else f"**0** of {asked:,}"


def _times(each: list[Got], kind: str) -> str:
    failed = sum(one.failed[kind] for one in each)
    return f"{failed} times" if failed else "**no**"
