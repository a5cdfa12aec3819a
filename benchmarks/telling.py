"""What telling people costs: many lineages that fail in one run, and channels that hang beside channels that work."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Optional, Sequence

from benchmarks import drawing
from benchmarks.figures import (
    PAIR,
    Options,
    Section,
    Table,
    Verdict,
    in_turn,
    interval,
    middle,
    not_above,
    pair,
    ratio,
    ratios,
    say,
    spread,
)
from certbot_guard import journal, notify, samples
from certbot_guard.config import Channel, Config
from certbot_guard.run import Run
from tests.support.authority import Authority
from tests.support.webhook import Webhook

# Three causes, as the CA says them: settle groups by what they come to, not by their words.
_CAUSES = (("serverInternal", 503, "The service is down for maintenance or had an internal error"),
           ("rateLimited", 429, "too many certificates (50) already issued for \"{name}\" in the last 168h0m0s"),
           ("dns", 400, "DNS problem: NXDOMAIN looking up TXT for _acme-challenge.{name}"))
# In an interpreter of its own. VmHWM is the peak of this program alone; getrusage's ru_maxrss is no less than what the
# process that started it had (measured, Linux 6.18: 311 MB for a child that does nothing, of a parent with 300).
_TELL = """
import re, sys, time
from pathlib import Path
from typing import Optional, Sequence
from certbot_guard import telling
from certbot_guard.run import Run
run = Run.load(Path(sys.argv[1]))
began = time.perf_counter()
assert telling.tell(run, None, deliver=False)
seconds = time.perf_counter() - began
print(seconds, int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""
_DEADLINE_SECONDS = 60.0


def failing(directory: Path, lineages: int, channel: str = "json://127.0.0.1:9/") -> Path:
    """A run in which so many lineages failed, as certbot left it. Returns its directory."""
    directory.mkdir()
    now = datetime.now(timezone.utc)
    names = [f"n{number}.guard.test" for number in range(lineages)]
    certificate = Authority().issue(["guard.test"], 29)[0]
    for name in names:
        (directory / "live" / name).mkdir(parents=True)
        (directory / "live" / name / "cert.pem").write_bytes(certificate)
    settings = directory / "guard.ini"
    settings.write_text(f"[notify]\nmail = {channel}\n[state]\ndir = {directory}/state\n")
    settings.chmod(0o600)
    run = Run.create([directory / "state"], {
        "id": f"{now:%Y%m%dT%H%M%SZ}-bench", "host": "web1", "verb": "renew", "argv": ["renew"], "server": None,
        "config_dir": str(directory), "guard_config": str(settings), "started": now.isoformat()})
    for number, name in enumerate(names):
        kind, status, detail = _CAUSES[number % len(_CAUSES)]
        acme = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail.format(name=name)}
        run.note("lineage", lineage=name, names=[name, f"www.{name}"])
        run.note("lineage-failed", lineage=name, error_type="Error", error=acme["detail"], acme=acme,
                 evidence={"status": status, "url": "https://acme-v02.api.letsencrypt.org/acme/new-order"})
    if not names:
        run.note("lineage", lineage="one.guard.test", names=["one.guard.test"])
        run.note("deployed", lineage="one.guard.test")
    run.note("exit")
    return run.directory


def told(lineages: int) -> tuple[float, float]:
    """Seconds and peak MB of a process that makes the message and keeps it on the disk; nothing is sent."""
    with tempfile.TemporaryDirectory(prefix="guard-bench-") as base:
        directory = failing(Path(base) / "machine", lineages)
        said = subprocess.run([sys.executable, "-I", "-c", _TELL, str(directory)], check=True, capture_output=True,
                              text=True, cwd="/").stdout.split()
        return float(said[0]), float(said[1])


def settled(lineages: int) -> float:
    """Seconds of a whole settle in its own process, whose message goes to one channel; none failed: there is none."""
    with tempfile.TemporaryDirectory(prefix="guard-bench-") as base, closing(Webhook()) as hook:
        directory = failing(Path(base) / "machine", lineages, hook.apprise_url)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-m", "certbot_guard.settle", str(directory)], check=True, cwd="/",
                       stdin=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        assert len(hook.received) == (1 if lineages else 0), hook.received
        return seconds


def reached(channels: int, hanging: bool) -> tuple[float, float]:
    """Seconds until the first and until the last but one of so many channels has a message.

    The last one hangs, or works and is not looked at; a single channel works, and is.
    """
    with ExitStack() as held, tempfile.TemporaryDirectory(prefix="guard-bench-") as base:
        hooks = [held.enter_context(closing(Webhook())) for _ in range(channels)]
        odd, working = (hooks[0], hooks[1:]) if channels > 1 else (None, hooks)
        if hanging and odd is not None:
            odd.hang()
        # It comes first: whoever waits for it in turn shows it.
        named = {f"c{number}": hook.apprise_url for number, hook in enumerate(hooks)}
        settings = Config(Path("/nowhere"), channels=tuple(Channel(name, url) for name, url in named.items()))
        book = held.enter_context(closing(journal.Journal.open(Path(base))))
        now = datetime.now(timezone.utc)
        book.add(samples.every_kind(now)[0].message, list(named), 0)
        # The one that hangs does so until the others have it: what comes then is not what is measured.
        over = threading.Thread(target=_let_go, args=(odd if hanging else None, working))
        began = time.monotonic()
        over.start()
        results = notify.deliver_outbox([book], settings, _DEADLINE_SECONDS)
        over.join()
        assert sum(one.ok for one in results) == channels - (hanging and odd is not None), results
        at = sorted(hook.received[0].at - began for hook in working)
        return at[0], at[-1]


def _let_go(hanging: Optional[Webhook], working: Sequence[Webhook]) -> None:
    """Whoever waits for the one that hangs is let go when all that work have a message."""
    for hook in working:
        hook.wait(1, _DEADLINE_SECONDS)
    if hanging is not None:
        hanging.refuse()


def measure_settle(options: Options) -> Section:
    many = 100 if options.quick else 1000
    counts = (0, 1, many)
    say("settle")
    whole = in_turn({str(count): partial(settled, count) for count in counts}, options.rounds, not options.quick)
    made = in_turn({str(count): partial(told, count) for count in (1, many)}, options.rounds, not options.quick)
    table = Table("The end of a run", PAIR)
    for count in counts[1:]:
        pair(table, f"settle, {_failed(count)}, and one channel told (beside: nothing to tell)", whole[str(count)],
             whole["0"])
    seconds, peaks = ([[one[part] for one in made[str(count)]] for count in (many, 1)] for part in (0, 1))
    pair(table, f"the message is made, {_failed(many)}, three causes (beside: 1 failed)", *seconds)
    pair(table, f"peak memory of that process, {_failed(many)} (beside: 1 failed)", *peaks, "MB")
    section = Section([table], ["`settle` is a process of its own, from its start to its end; Python's start is in it. "
                                f"With nothing to tell it takes {middle(whole['0'])}."])
    section.picture("performance-settle.svg", "The end of a run: nothing to tell, one failure, many", drawing.bars(
        "The end of a run, and one channel told", {"settle": {
            f"guard, {_failed(count) if count else 'nothing to tell'}": statistics.median(whole[str(count)])
            for count in counts}}))
    return section


def measure_channels(options: Options) -> Section:
    table = Table("Until a message has arrived", (
        "channels", "the first", "the first, all work", "ratio (interval)", "the last that works",
        "the same ones, all work", "ratio (interval)", "rounds"))
    say("channels")
    cases = {f"{channels}, {state}": partial(reached, channels, state == "one hangs")
             for channels in (1, 3, 10) for state in ("all work", "one hangs") if channels > 1 or state == "all work"}
    found = in_turn(cases, options.rounds, not options.quick)
    marks: dict[str, dict[str, tuple[float, float, float]]] = {"the first": {}, "the last that works": {}}
    for label, times in found.items():
        beside = found[label.replace("one hangs", "all work")]
        row = [label]
        for part, mark in enumerate(marks.values()):
            these, those = [one[part] for one in times], [one[part] for one in beside]
            row += [middle(these), middle(those), "" if times is beside else ratio(these, those)]
            if times is not beside:
                least, most = interval(ratios(these, those))
                mark[f"{label.partition(',')[0]} channels"] = (least, statistics.median(ratios(these, those)), most)
        table.rows.append((*row, str(len(times))))
    section = Section([table], ["The one that hangs accepts a connection and says nothing until the others have it. "
                                "Where it works, it is not looked at: the other channels are the same in both."])
    last = ratios(*([one[1] for one in found[f"10, {state}"]] for state in ("one hangs", "all work")))
    section.verdicts.append(Verdict(
        "Ten channels, one hangs: the other nine are delayed by nothing measurable",
        f"the last of the nine has it after {spread(last)} of the time when all work (rounds: {len(last)})",
        not_above(last, 1.0)))
    section.picture("performance-channels.svg", "A channel that hangs, and the others beside it", drawing.ranges(
        "Until a message has arrived at the channels that work, when one hangs", marks,
        "in times of the same when all work (median and its interval)", 1.0, "no delay"))
    return section


def _failed(count: int) -> str:
    return f"{count:,} lineage{'s' if count > 1 else ''} failed"
