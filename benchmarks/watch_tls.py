"""What looking at 500 virtual hosts over TLS takes, with a dead one among them, and beside one after the other."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Sequence

from benchmarks import drawing
from benchmarks.figures import PAIR, Options, Section, Table, in_turn, pair, say
from certbot_guard.servers.apache import ApacheServer, find_program
from certbot_guard.watch import sites
from certbot_guard.watch.tls import Place, look
from tests.support.apache import PrivateApache
from tests.support.authority import Authority
from tests.support.listener import BadListener
from tests.support.ports import free_port

_DEADLINE_SECONDS = 120.0
# VmHWM is the peak of a program alone: see benchmarks/telling.py.
_LOOK = """
import re, sys
from pathlib import Path
from certbot_guard.watch.tls import Place, look
port, count = int(sys.argv[1]), int(sys.argv[2])
assert all(one.chain for one in look([Place("127.0.0.1", port, f"n{n}.guard.test") for n in range(count)], 120.0))
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""


class Farm:
    """One Apache with so many virtual hosts, each with a certificate of its own, and a port that accepts in silence."""

    def __init__(self, hosts: int) -> None:
        self._apache = PrivateApache()
        authority, key = Authority(), Authority().issue(["key"])[1]
        key_file = self._apache.key.with_name("farm.key")
        key_file.write_bytes(key)
        for number in range(hosts):
            certificate = self._apache.root / "tls" / f"n{number}.pem"
            certificate.write_bytes(authority.issue([f"n{number}.guard.test"], key=key)[0] + authority.certificate)
            self._apache.add_vhost(f"n{number}.guard.test", certificate=certificate, key=key_file)
        self._apache.start()
        program = find_program(self._apache.environment)
        assert program is not None
        self._server = ApacheServer(program, self._apache.environment)
        self.places = list(sites.of_server(self._server, []).places)
        self._dead_port = free_port()
        self._dead = BadListener(self._dead_port)

    def found(self) -> float:
        """Seconds until Apache has said which places there are."""
        began = time.perf_counter()
        assert sites.of_server(self._server, []).places
        return time.perf_counter() - began

    def looked(self, places: Sequence[Place], parallel: int = 32) -> float:
        began = time.perf_counter()
        shown = look(places, _DEADLINE_SECONDS, parallel)
        assert all(one.chain for one in shown if one.place.port != self._dead_port)
        return time.perf_counter() - began

    def with_a_dead_one(self) -> list[Place]:
        middle = len(self.places) // 2
        return [*self.places[:middle], Place("127.0.0.1", self._dead_port, "dead.guard.test"), *self.places[middle:]]

    def peak(self, count: int) -> float:
        """Megabytes of a process that looks at so many."""
        words = [sys.executable, "-c", _LOOK, str(self.places[0].port), str(count)]
        return float(subprocess.run(words, capture_output=True, text=True, check=True,
                                    cwd=Path(__file__).resolve().parent.parent).stdout)

    def close(self) -> None:
        self._dead.close()
        self._apache.close()


def farm(hosts: int) -> closing[Farm]:
    return closing(Farm(hosts))


def measure(options: Options) -> Section:
    hosts = 20 if options.quick else 500
    table, many = Table("A look from outside", PAIR), f"watch looks at {hosts} virtual hosts over TLS"
    say("tls")
    with farm(hosts) as made:
        with_dead = made.with_a_dead_one()
        found = in_turn({"at once": partial(made.looked, made.places), "in turn": partial(made.looked, made.places, 1),
                         "with a dead one": partial(made.looked, with_dead), "found": made.found,
                         "peak": partial(made.peak, hosts), "peak of one": partial(made.peak, 1)},
                        options.rounds, not options.quick)
    pair(table, f"{many} (beside: one after the other)", found["at once"], found["in turn"])
    pair(table, f"{many}, and at one that accepts and is silent for its 5 s (beside: without it)",
         found["with a dead one"], found["at once"])
    pair(table, f"peak memory of that process, {many} (beside: 1)", found["peak"], found["peak of one"], "MB")
    pair(table, f"Apache says where its {hosts} virtual hosts are (beside: looking at them)", found["found"],
         found["at once"])
    section = Section([table])
    section.picture("performance-tls.svg", "A look from outside at many virtual hosts", drawing.bars(
        f"A look at {hosts} virtual hosts over TLS", {"": {
            "guard": statistics.median(found["at once"]),
            "guard, one more that is silent for 5 s": statistics.median(found["with a dead one"]),
            "one after the other": statistics.median(found["in turn"])}}))
    return section
