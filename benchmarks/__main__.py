"""``python -m benchmarks``: what the guard costs and what it saves, real programs side by side in one run.

Every figure is a ratio or a pair from this run; absolute seconds are those of this machine, at this moment.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Callable

from benchmarks import idle, killing, metrics, outages, report, telling, visiting, watch_tls, watching, window
from benchmarks.figures import Options, Section, say

PARTS: dict[str, Callable[[Options], Section]] = {
    "outages": outages.measure,
    "requests": visiting.measure,
    "window": window.measure,
    "kill": killing.measure,
    "idle": idle.measure,
    "settle": telling.measure_settle,
    "channels": telling.measure_channels,
    "watch": watching.measure,
    "status": watching.measure_status,
    "tls": watch_tls.measure,
    "metrics": metrics.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=tuple(PARTS), action="append", metavar="NAME",
                        help=f"a part, may be given more than once: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="one round of small sizes, to see that it works")
    parser.add_argument("--rounds", type=int, help="of each comparison; long ones have fewer (default: 5)")
    parser.add_argument("--acme-sh", type=Path, metavar="PATH", help="measure this acme.sh, too")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=None,
                        help="put the results into docs/performance.md (default: unless --quick)")
    given = parser.parse_args()
    rounds = given.rounds if given.rounds is not None else 1 if given.quick else 5
    if rounds < 1:
        parser.error("--rounds takes 1 or more")
    options = Options(given.quick, rounds, given.acme_sh.resolve() if given.acme_sh else None)
    writes = given.write if given.write is not None else not given.quick
    failed = []
    for name in given.only or PARTS:
        when = report.circumstances(options)
        try:
            section = PARTS[name](options)
        except Exception as error:  # one part that cannot be measured here must not cost the hours of the others
            say(f"{name}: {type(error).__name__}: {error}")
            failed.append(name)
            continue
        print(f"\n## {name}\n\n{report.text(section, when)}", flush=True)
        if writes:
            report.write(name, section, when)
    if failed:
        say(f"not measured: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
