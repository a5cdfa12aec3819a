"""What a whole ``certbot-guard watch`` takes: many lineages on the disk, many virtual hosts of a real Apache."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Sequence

from benchmarks import drawing
from benchmarks.figures import PAIR, Options, Section, Table, in_turn, pair, say
from tests.support.apache import PrivateApache
from tests.support.authority import Authority

# VmHWM is the peak of a program alone: see benchmarks/telling.py. What sends messages would be another process.
_WATCH = """
import re, sys
from pathlib import Path
from certbot_guard.cli import main
try:
    main(sys.argv[1:])
finally:
    print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""
_LIVE = ("cert", "privkey", "chain", "fullchain")


class Machine:
    """certbot's files of so many lineages, and an Apache that serves the first of them; all of it as it should be."""

    def __init__(self, lineages: int, hosts: int) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="guard-bench-")
        self._apache = PrivateApache()
        self._base = Path(self._directory.name) / "letsencrypt"
        (self._base / "renewal").mkdir(parents=True)
        authority = Authority()
        key = authority.issue(["key"])[1]
        for number in range(lineages):
            live = self._lineage(f"n{number}.guard.test", authority, key)
            if number < hosts:
                self._apache.add_vhost(live.name, certificate=live / "fullchain.pem", key=live / "privkey.pem")
        logs = Path(self._directory.name) / "logs"
        logs.mkdir()
        now = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        (logs / "letsencrypt.log").write_text(
            f"{now},100:DEBUG:certbot._internal.main:certbot version: 5.8.0\n"
            f"{now},101:DEBUG:certbot._internal.main:Arguments: ['--config-dir', '{self._base}']\n"
            f"{now},200:DEBUG:certbot._internal.renewal:no renewal failures\n")
        self._settings = self._base / "guard.ini"
        self._settings.write_text(
            f"[server]\ncontrol = {self._apache.program}\n[state]\ndir = {self._directory.name}/state\n"
            f"[certbot]\nconfig_dir = {self._base}\nlogs_dir = {logs}\n")
        self._settings.chmod(0o600)
        self._apache.start()

    def _lineage(self, name: str, authority: Authority, key: bytes) -> Path:
        """As certbot leaves one: live/ is links into archive/."""
        live, archive = self._base / "live" / name, self._base / "archive" / name
        live.mkdir(parents=True)
        archive.mkdir(parents=True)
        certificate, chain = authority.issue([name, f"www.{name}"], 80, key=key)[0], authority.certificate
        for kind, content in zip(_LIVE, (certificate, key, chain, certificate + chain)):
            (archive / f"{kind}1.pem").write_bytes(content)
            (live / f"{kind}.pem").symlink_to(f"../../archive/{name}/{kind}1.pem")
        (self._base / "renewal" / f"{name}.conf").write_text(
            "version = 5.8.0\n" + "".join(f"{kind} = {live}/{kind}.pem\n" for kind in _LIVE)
            + "[renewalparams]\nauthenticator = standalone\ninstaller = guard\n")
        return live

    def watched(self) -> tuple[float, float]:
        """Seconds and peak MB of one pass that finds nothing wrong."""
        words = [sys.executable, "-c", _WATCH, "--config", str(self._settings), "watch"]
        began = time.perf_counter()
        said = subprocess.run(words, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              env={**os.environ, **self._apache.environment},
                              cwd=Path(__file__).resolve().parent.parent).stdout.splitlines()
        seconds = time.perf_counter() - began
        assert said[0] == "Nothing is wrong.", said
        return seconds, float(said[-1])

    def close(self) -> None:
        self._apache.close()
        self._directory.cleanup()


def machine(lineages: int, hosts: int) -> closing[Machine]:
    return closing(Machine(lineages, hosts))


def measure_status(options: Options) -> Section:
    """What a person waits for: the same machines, with and without a look at what is shown to visitors."""
    from benchmarks import status  # which has this module's Machine

    lineages, hosts = (50, 20) if options.quick else (1000, 500)
    say("status")
    table, shown = Table("What a person waits for", PAIR), {}
    with status.machine(lineages, hosts) as many, status.machine(1, 1) as one:
        for words, codes in ((("status",), (0,)), (("status", "--no-served"), (0,)), (("doctor", "--offline"), (0, 1))):
            found = in_turn({"many": partial(many.seconds, *words, codes=codes),
                             "one": partial(one.seconds, *words, codes=codes)}, options.rounds, not options.quick)
            what = " ".join(["certbot-guard", *words])
            pair(table, f"`{what}`, {lineages:,} lineages, {hosts} virtual hosts (beside: one of each)", found["many"],
                 found["one"])
            shown[what] = _bars(lineages, found["many"], found["one"])
    section = Section([table], [
        "`status` looks at what each of the virtual hosts shows over TLS, in four seconds at the most; `--no-served` "
        "does not. `doctor --offline` asks nothing of other machines, and looks at this machine's own timers and "
        "crontabs, too. No message waits, and the history is empty."])
    section.picture("performance-status.svg", "What a person waits for: status and doctor", drawing.bars(
        f"status and doctor, with {lineages:,} lineages and {hosts} virtual hosts and with one of each", shown))
    return section


def _bars(lineages: int, many: Sequence[float], one: Sequence[float]) -> dict[str, float]:
    return {f"guard, {lineages:,} lineages": statistics.median(many), "guard, 1 lineage": statistics.median(one)}


def measure(options: Options) -> Section:
    lineages, hosts = (50, 20) if options.quick else (1000, 500)
    say("watch")
    with machine(lineages, hosts) as many, machine(1, 1) as one:
        found = in_turn({"many": many.watched, "one": one.watched}, options.rounds, not options.quick)
    table = Table("The hourly look", PAIR)
    seconds, peaks = ([[seen[part] for seen in found[which]] for which in ("many", "one")] for part in (0, 1))
    pair(table, f"`certbot-guard watch`, {lineages:,} lineages, {hosts} virtual hosts (beside: one of each)", *seconds)
    pair(table, "peak memory of that process (beside: one of each)", *peaks, "MB")
    section = Section([table])
    section.picture("performance-watch.svg", "The hourly look, with many lineages and with one", drawing.bars(
        f"The hourly look, with {lineages:,} lineages and {hosts} virtual hosts and with one of each",
        {"certbot-guard watch": _bars(lineages, *seconds)}))
    return section
