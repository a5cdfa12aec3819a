"""Where the time of a window goes, in which Apache is stopped, and how much of it is the challenge: ``--only window``.

From outside: who listens on the port, the visitor's outage, the ACME server's answers. From inside: the run's events,
certbot's log, and each call of apachectl, which goes through a script that leaves a file.
"""

from __future__ import annotations

import re
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

from benchmarks import drawing
from benchmarks.figures import Options, Section, Table, Verdict, in_turn, middle, ratios, say, spread
from benchmarks.listening import PortWatch
from benchmarks.ways import names
from tests.support.context import Context, World

# In this order; each is the time from the moment before it to its own.
PARTS = (
    ("the hook starts, the sentinel checks whether Apache would come back", "stopping"),
    ("Apache stops, the port is free", "free"),
    ("the hook ends; certbot makes a key, asks the CA for an order, and listens", "bound"),
    ("the CA asks for the token, the last time", "token"),
    ("the CA says that it is satisfied (certbot asks it a second later)", "satisfied"),
    ("certbot stops listening", "left"),
    ("the sentinel calls apachectl", "start"),
    ("Apache listens", "apache"),
    ("and answers", "served"),
)
_BEFORE = PARTS[0][1]  # Apache still serves in this one
# The longest outage of a renewal, in times of what the challenge itself takes.
PROMISED = 1.2
_SLOW_SECONDS = 3.0
# certbot asks for the first time a second after it has told the CA to look.
_FIRST_QUESTION_SECONDS = 1.0
_TOKEN = '"GET /.well-known/acme-challenge/'


@dataclass(frozen=True)
class Window:
    """Monotonic seconds of each moment, and the outage that a visitor saw around them."""

    moments: dict[str, float]
    outage: float

    def part(self, moment: str) -> float:
        order = ["hook", *(name for _, name in PARTS)]
        return self.moments[moment] - self.moments[order[order.index(moment) - 1]]

    @property
    def tokens_seconds(self) -> float:
        """From the first bind to the last token that the CA was given."""
        return self.moments["token"] - self.moments["bound"]

    @property
    def challenge_seconds(self) -> float:
        """From the first bind to the CA's word that it is satisfied."""
        return self.moments["satisfied"] - self.moments["bound"]

    @property
    def held_seconds(self) -> float:
        return self.moments["left"] - self.moments["bound"]


def windows(world: World, lineages: int, answers_late: float = 0.0, visited: bool = True, validation: float = 0.0,
            **options: Any) -> list[Window]:
    """Every window of one renewal in ``mode = stop``; with ``answers_late`` the CA takes so long for each answer.

    ``validation`` is how many seconds the CA takes until it says that it is satisfied: a second at the least.
    Without ``visited`` nobody but the CA comes, and an outage is the time in which Apache does not listen.
    """
    context = Context(world)
    try:
        for name in names(lineages):
            context.obtain(name, **options)
        context.guard_ini(server=f"mode = stop\ncontrol = {_leaving_traces(context)}\n")
        context.apache.start()
        if answers_late:
            context.ca.delay("*", answers_late)
        for name in names(lineages) if validation > _FIRST_QUESTION_SECONDS else ():
            # The first time certbot asks for an authorization is before the challenge, the second time after it.
            context.ca.delay("authz", validation - _FIRST_QUESTION_SECONDS, name=name, times=1, after=1)
        with PortWatch(context.apache.http_port) as port, ExitStack() as held:
            visitor = held.enter_context(context.apache.watch()) if visited else None
            context.renew(check=True, timeout=600)
            context.wait_settled()
            context.apache.wait_serving()
        seen = _Seen(context, port, visitor.intervals if visitor else None, _traces(context), _logged(context))
        return [_window(seen, event) for event in context.events("stopping")]
    finally:
        context.close()


@dataclass(frozen=True)
class _Seen:
    """All of one renewal."""

    context: Context
    port: PortWatch
    outages: Optional[Sequence[tuple[float, float]]]
    starts: Sequence[float]
    logged: Callable[[str], list[float]]


def _window(seen: _Seen, stopping: dict[str, Any]) -> Window:
    at, port = stopping["mono"], seen.port
    moments = {"hook": max(when for when in seen.logged("Running pre-hook command") if when <= at + 0.002),
               "stopping": at, "free": port.first(at, False)}
    moments["bound"] = port.first(moments["free"], True)
    moments["left"] = port.first(moments["bound"], False)
    held = (moments["bound"] - 0.005, moments["left"] + 0.005)
    moments["token"] = max(when for when in seen.logged(_TOKEN) if held[0] <= when <= held[1])
    moments["satisfied"] = max(one.ended for one in seen.context.ca.seen("authz")
                               if one.ended is not None and held[0] <= one.ended <= held[1])
    moments["apache"] = port.first(moments["left"], True)
    moments["start"] = max((when for when in seen.starts if at < when <= moments["apache"]), default=moments["apache"])
    outage = (moments["free"], moments["apache"])
    if seen.outages is not None:
        serving = next(event["mono"] for event in seen.context.events("serving")
                       if event["window"] == stopping["window"])
        outage = next((begin, end) for begin, end in seen.outages if end > at and begin < serving)
    moments["served"] = outage[1]
    return Window(moments, outage[1] - outage[0])


# -- traces from inside ----------------------------------------------------------------------------------------------


def _leaving_traces(context: Context) -> Path:
    """apachectl, but each ``start`` leaves a file whose time says when; the file's time is that of a clock tick."""
    script = context.directory / "apachectl"
    script.write_text(f"#!/bin/sh\n: > \"{context.directory}/call-$1.$$\"\nexec {context.apache.program} \"$@\"\n")
    script.chmod(0o755)
    return script


def _traces(context: Context) -> list[float]:
    return sorted(path.stat().st_mtime + _offset() for path in context.directory.glob("call-start.*"))


def _offset() -> float:
    """From the time of day to the monotonic clock."""
    return time.monotonic() - time.time()


def _logged(context: Context) -> Callable[[str], list[float]]:
    """When certbot wrote lines that contain something, monotonic seconds."""
    # certbot begins another file where one has a megabyte, which every visitor it answers fills.
    texts = [path.read_text("utf-8", "replace") for path in context.home.logs.glob("letsencrypt.log*")]
    lines, offset = [line for text in texts for line in text.splitlines()], _offset()

    def moments(words: str) -> list[float]:
        found = []
        for line in lines:
            stamp: Optional[re.Match[str]] = re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}):", line)
            if stamp and words in line:
                whole = datetime.strptime(stamp[1], "%Y-%m-%d %H:%M:%S").timestamp()
                found.append(whole + int(stamp[2]) / 1000 + offset)
        return found
    return moments


# -- results ---------------------------------------------------------------------------------------------------------


def _promised(quick: bool) -> dict[str, Callable[[World], list[Window]]]:
    """What the promise is about: one lineage or many, a CA that is quick or slow."""
    counts = (1, 3) if quick else (1, 5, 20)
    return {f"{count} lineage{'s' if count > 1 else ''}{words}": partial(windows, lineages=count, validation=seconds)
            for words, seconds in (("", 0.0), (f", the CA takes {_SLOW_SECONDS:.0f} s", _SLOW_SECONDS))
            for count in counts}


def measure(options: Options) -> Section:
    """The windows of each case, the longest of each round."""
    few = 2 if options.quick else 5
    promised = _promised(options.quick)
    cases = {**promised, f"{few}, nobody visits": partial(windows, lineages=few, visited=False)}
    if not options.quick:
        cases.update({"1, each answer of the CA 0.2 s late": partial(windows, lineages=1, answers_late=0.2),
                      "1, RSA key of 4096 bits": partial(windows, lineages=1, key_type="rsa", rsa_key_size=4096)})
    world = World()
    say("window")
    try:
        found = in_turn({label: partial(case, world) for label, case in cases.items()}, options.rounds,
                        options.thorough)
    finally:
        world.close()
    longest = {label: [max(each, key=lambda one: one.outage) for each in rounds] for label, rounds in found.items()}
    images = {"performance-window.svg": drawing.stacks("Where the time of an outage goes, seconds", {
        label: {words: max(0.0, statistics.median(one.part(moment) for one in each))
                for words, moment in PARTS if moment != _BEFORE}
        for label, each in longest.items()})}
    return Section([_beside_challenge(longest), _parts(longest), _ratios(longest)], [
        "The first part is before the outage: Apache serves while it is checked. The others are the outage.",
        "The CA may ask for a token more than once, from several places, and certbot alone is told when it has enough. "
        "So the challenge holds the port from the first bind until the CA has said so. certbot asks for the first time "
        "a second after it has told the CA to look, and then when the CA's Retry-After says.",
        "certbot's server looks twice a second whether it is to stop, and whenever somebody connects (socketserver, "
        "serve_forever): on a site that is visited all the time it stops at once. On a quiet one the sentinel is the "
        "visitor who makes it look, once certbot has said that the challenge is over.",
        "What comes before the bind is certbot's, and is in the outage: a key (an RSA key of 4096 bits takes seconds), "
        "and a few answers of the CA. Those are not in the time that the challenge holds the port."],
        images,
        {"performance-window.svg": "Where the time of an outage goes"},
        [_verdict({label: longest[label] for label in promised})])


def _beside_challenge(longest: dict[str, list[Window]]) -> Table:
    """The promise, a row for each case."""
    table = Table(f"The longest outage, in times of the challenge itself (at most {PROMISED:.1f} is promised)",
                  ("what", "longest outage", "the challenge holds the port", "outage, in times of that", "most",
                   "rounds"))
    for label, each in longest.items():
        times = _times(each)
        table.rows.append((label, middle([one.outage for one in each]), middle([one.challenge_seconds for one in each]),
                           spread(times), f"{max(times):.2f}", str(len(each))))
    return table


def _times(each: list[Window]) -> list[float]:
    return ratios([one.outage for one in each], [one.challenge_seconds for one in each])


def _verdict(longest: dict[str, list[Window]]) -> Verdict:
    times = {label: _times(each) for label, each in longest.items()}
    worst = max(times, key=lambda label: max(times[label]))
    most = max(times[worst])
    # None: every round of some case may be above, or only one that the machine was busy in.
    holds = True if most <= PROMISED else False if any(min(each) > PROMISED for each in times.values()) else None
    return Verdict("Where Apache has to be stopped, the longest outage is at most "
                   f"{PROMISED:.1f} times what the challenge itself takes, for one lineage as for many",
                   f"at most {most:.2f} times ({worst})", holds)


def _parts(longest: dict[str, list[Window]]) -> Table:
    table = Table("The longest window, part by part, milliseconds", ("part", *longest))
    for words, moment in PARTS:
        table.rows.append((words, *(f"{1000 * statistics.median(one.part(moment) for one in each):.0f}"
                                    for each in longest.values())))
    return table


def _ratios(longest: dict[str, list[Window]]) -> Table:
    table = Table("The longest outage, beside the time that the challenge holds the port",
                  ("what", *longest))

    def row(what: str, of: Callable[[Window], float]) -> None:
        table.rows.append((what, *(middle([of(one) for one in each], "", 2) for each in longest.values())))

    row("outage, s", lambda one: one.outage)
    row("first bind to the CA's word that it is satisfied, s", lambda one: one.challenge_seconds)
    row("**outage, in times of that**", lambda one: one.outage / one.challenge_seconds)
    row("first bind to the last token given, s", lambda one: one.tokens_seconds)
    row("outage, in times of that", lambda one: one.outage / one.tokens_seconds)
    row("outage without the time certbot listens, s", lambda one: one.outage - one.held_seconds)
    return table
