"""``python -m benchmarks``: what the guard costs and what it saves, real programs side by side in one run.

Every figure is a ratio or a pair from this run; absolute seconds are those of this machine, at this moment.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Sequence

from benchmarks import idle, killing, metrics, outages, report, telling, visiting, watch_tls, watching, window
from benchmarks.figures import Options, Section, say


@dataclass(frozen=True)
class Part:
    """``rounds`` and ``minutes`` are (quick, by default, thorough); the minutes of two quiet cores."""

    measure: Callable[[Options], Section]
    rounds: tuple[int, int, int]
    minutes: tuple[float, float, float]


PARTS: dict[str, Part] = {
    "outages": Part(outages.measure, (1, 3, 5), (1.0, 9.4, 33.0)),
    "requests": Part(visiting.measure, (1, 2, 6), (0.6, 1.2, 8.0)),
    "window": Part(window.measure, (1, 1, 4), (1.2, 4.0, 20.0)),
    "kill": Part(killing.measure, (1, 6, 15), (0.3, 1.0, 2.5)),
    "idle": Part(idle.measure, (1, 10, 40), (0.3, 5.3, 21.0)),
    "settle": Part(telling.measure_settle, (1, 6, 15), (0.1, 0.6, 1.5)),
    "channels": Part(telling.measure_channels, (1, 25, 80), (0.2, 1.5, 5.0)),
    "watch": Part(watching.measure, (1, 6, 15), (0.1, 0.8, 2.0)),
    "status": Part(watching.measure_status, (1, 6, 15), (0.2, 1.0, 2.2)),
    "tls": Part(watch_tls.measure, (1, 2, 8), (0.3, 0.8, 2.2)),
    "metrics": Part(metrics.measure, (1, 6, 15), (0.1, 0.4, 0.8)),
}


def main(arguments: Optional[Sequence[str]] = None) -> int:
    given = _given(arguments)
    names, column = given.only or list(PARTS), 0 if given.quick else 2 if given.thorough else 1
    writes = given.write if given.write is not None else not given.quick
    failed, began = [], time.monotonic()
    say(f"{len(names)} part{'s' if len(names) > 1 else ''}, about {_minutes(names, column)} on two quiet cores"
        + (" with the default rounds" if given.rounds else "") + ("" if writes else "; the page is left alone"))
    for number, name in enumerate(names, 1):
        say(f"[{number} of {len(names)}] {name}; about {_minutes(names[number - 1:], column)} left")
        options = _options(given, PARTS[name].rounds[column])
        when = report.circumstances(options)
        try:
            section = PARTS[name].measure(options)
            print(f"\n## {name}\n\n{report.text(section, when)}\n\n{report.rows(name, section)}", flush=True)
            if writes:
                report.write(name, section, when)
        except Exception as error:  # one part that cannot be measured here must not cost the hours of the others
            say(f"{name}: {type(error).__name__}: {error}")
            failed.append(name)
        say(f"[{number} of {len(names)}] {name}: {(time.monotonic() - began) / 60:.1f} min since the start")
    if failed:
        say(f"not measured: {', '.join(failed)}")
    return 1 if failed else 0


def _given(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=tuple(PARTS), action="append", metavar="NAME",
                        help=f"a part, may be given more than once: {', '.join(PARTS)} (default: all)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true",
                      help=f"one round of small sizes, to see that it works: {_minutes(list(PARTS), 0)}")
    size.add_argument("--thorough", action="store_true",
                      help=f"more rounds: {_minutes(list(PARTS), 2)} (default: {_minutes(list(PARTS), 1)})")
    parser.add_argument("--rounds", type=int, help="of each comparison; long ones have fewer, short ones more "
                                                   "(default: as many as suit the part)")
    parser.add_argument("--acme-sh", type=Path, metavar="PATH", help="measure this acme.sh, too")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=None,
                        help="put the results into docs/performance.md (default: unless --quick)")
    given = parser.parse_args(arguments)
    if given.rounds is not None and given.rounds < 1:
        parser.error("--rounds takes 1 or more")
    if given.acme_sh and not given.acme_sh.is_file():
        parser.error(f"--acme-sh: there is no file {given.acme_sh}")
    return given


def _options(given: argparse.Namespace, rounds: int) -> Options:
    return Options(given.quick, given.rounds or rounds, given.acme_sh.resolve() if given.acme_sh else None,
                   given.thorough)


def _minutes(names: Sequence[str], column: int) -> str:
    return f"{max(1, round(sum(PARTS[name].minutes[column] for name in names)))} min"


if __name__ == "__main__":
    sys.exit(main())
