"""What a steady stream of visitors does not get while certificates are renewed, each way: ``--only requests``."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Mapping

from benchmarks import drawing, load
from benchmarks.figures import Options, Section, Table, Verdict, in_turn, middle, say
from benchmarks.ways import AUTO, Way, left_out, names, ways
from tests.support.apache import MODULES_DIRECTORY
from tests.support.context import World
from tests.support.ports import free_port
from tests.support.site import Site

_COLUMNS = ("way", *(f"{kind}: failed of asked" for kind in (load.KEPT, load.FRESH)),
            "the download broke off", "the websocket broke",
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
        "200 requests a second, half of them on four kept connections and half on new ones, and all the while one "
        "download of 32 MB and one websocket, which the site hands on to a program behind it. A request is made when "
        "it is due, however the ones before it went.",
        "A kept connection that was idle may be found closed; it is opened again, as browsers do."])
    world = World()
    failed: dict[str, dict[str, float]] = {}
    try:
        for lineages, rounds in _sizes(options):
            label = f"{lineages} lineage{'s' if lineages > 1 else ''}"
            say(f"requests: {label}")
            found = in_turn({title: partial(got, world, way, lineages) for title, way in ways(options.acme_sh).items()},
                            rounds, warm_up=False)
            section.tables.append(_table(label, found))
            section.verdicts.append(_verdict(label, found[AUTO]))
            for kind in (load.KEPT, load.FRESH):
                failed[f"{label}: on {kind}"] = {title: statistics.median(one.failed[kind] for one in each)
                                                 for title, each in found.items()}
    finally:
        world.close()
    section.picture("performance-requests.svg", "Requests that fail during one renewal, each way beside the others",
                    drawing.bars("Requests that fail during one renewal, of 100 a second on each kind of connection",
                                 failed, "failed requests", 0))
    return section


def _sizes(options: Options) -> list[tuple[int, int]]:
    return [(1, options.rounds)] + ([(20, 1)] if options.thorough else [])


def _table(label: str, found: dict[str, list[Got]]) -> Table:
    table = Table(f"Requests during one renewal, {label}", _COLUMNS)
    for title, each in found.items():
        table.rows.append((title, *(_of(each, kind) for kind in (load.KEPT, load.FRESH)),
                           *(_times(each, kind) for kind in (load.DOWNLOAD, load.WEBSOCKET)),
                           f"{sum(sum(one.late.values()) for one in each):,}",
                           middle([max(one.slowest.values()) for one in each], digits=2), str(len(each))))
        for reason, count in sorted(each[-1].why.items(), key=lambda item: -item[1])[:3]:
            say(f"    {title}: {count} times {reason}")
    return table


def _verdict(label: str, each: list[Got]) -> Verdict:
    failed, asked = (sum(sum(kinds.values()) for kinds in all_of)
                     for all_of in ([one.failed for one in each], [one.asked for one in each]))
    return Verdict(f"`mode = auto`: no request fails ({label})",
                   f"{failed:,} of {asked:,}, the download and the websocket among them", failed == 0)


def _of(each: list[Got], kind: str) -> str:
    """All rounds together. How many were asked depends on how long a renewal takes; what failed, on the outage."""
    failed, asked = sum(one.failed[kind] for one in each), sum(one.asked[kind] for one in each)
    return f"{failed:,} of {asked:,}" if failed else f"**0** of {asked:,}"


def _times(each: list[Got], kind: str) -> str:
    failed = sum(one.failed[kind] for one in each)
    return f"{failed} times" if failed else "**no**"
