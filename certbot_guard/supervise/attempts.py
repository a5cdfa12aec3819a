"""A command supervised from its first attempt to its last, and people told once, when it is over, whichever way."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Callable, Optional, Protocol, Union

from certbot_guard import business, findings, invocation, launch, logtail, said, settle, statedir
from certbot_guard.config import Config
from certbot_guard.diagnosis.case import quoted
from certbot_guard.errors import StateError
from certbot_guard.journal import FILE, Journal
from certbot_guard.passing import Pass
from certbot_guard.run import Run, open_windows, runs_below, utc_now
from certbot_guard.supervise import retry
from certbot_guard.supervise.beats import Beats
from certbot_guard.supervise.command import Ended
from certbot_guard.supervise.holding import Hold
from certbot_guard.text import line

_OUTPUT_LIMIT = 4000
# sysexits.h: a temporary failure, the user is invited to try again later
_TRY_AGAIN_LATER = 75


class Clock(Protocol):
    """The time between two attempts."""

    def monotonic(self) -> float: ...

    def wait(self, seconds: float) -> bool:
        """Let the time pass. False: somebody wants it to be over now."""


class Supervisor:
    """:param attempt: runs the command once, in this environment besides its own
    :param jitter: from 0 to 1, another one each time
    """

    def __init__(self, words: Sequence[str], config: Config, asked: invocation.Invocation, clock: Clock,
                 attempt: Callable[[dict[str, str]], Ended], jitter: Callable[[], float] = random.random) -> None:
        self._words = list(words)
        self._config = config
        self._asked = asked
        self._clock = clock
        self._attempt = attempt
        self._jitter = jitter
        self._bases = statedir.every_directory(config.state_dir)
        self._beats = Beats(config, asked)
        self._attempts = 0
        self._served = False  # the web server did, before the first attempt
        self._began = utc_now()  # of the newest attempt
        self._news: Optional[Union[Run, Pass]] = None  # what only we know of the newest attempt

    def start(self) -> None:
        """The dead man's switch knows that it begins, and we whether the web server serves."""
        self._beats.start()
        try:
            server = self._server(self._pass())
            self._served = server is not None and bool(server.look()["serving"])
        except Exception:  # nosec B110 # the command is run all the same
            pass

    def _server(self, news: Union[Run, Pass]) -> Any:
        return settle.server_of(news) if self._config.server_usable else None

    def end(self, ended: Ended) -> None:
        """It knows how it ended."""
        self._beats.end(ended, said.runs_since(self._bases, self._began, self._asked.config_dir))

    # -- once ------------------------------------------------------------------------------------------------

    def once(self) -> Ended:
        """Run it; :meth:`tell` comes next."""
        self._attempts += 1
        self._began, self._news = utc_now(), None
        return self._attempt(self._beats.environment)

    def tell(self, ended: Ended) -> None:
        """People know of a failure that the plugin has not told them of, or that what they were told of is over."""
        if not ended.failed:
            self._tell_success()
        elif not said.by_the_plugin(self._bases, self._began, self._asked.config_dir):
            news = self._pass()
            news.note("command-failed", **self._failure(ended))
            self._tell_of(news)

    def _tell_of(self, news: Pass) -> None:
        """With a look at the web server, if it served: the command may have stopped it, and not started it again."""
        news.tell(self._server(news) if self._served else None)
        _complain(news)

    def _tell_success(self) -> None:
        """What was told of this certbot is over; where nothing was, nothing is looked at or written."""
        if self._asked.dry_run:
            return  # that it ended well says nothing of renewals
        mark = business.mark(str(self._config.path))
        if any(os.path.lexists(base / mark) for base in self._bases) and self._says_something():
            news = Pass("run", self._config, self._asked.config_dir)
            news.note("exit")
            news.tell(rest=True)

    def _says_something(self) -> bool:
        """Of ``certbot renew``, or of the same command as the one that failed: of another one it shows nothing."""
        if self._asked.verb == "renew":
            return True
        shown = quoted(logtail.masked(" ".join(invocation.masked(self._words))), 120)
        if shown.endswith('…"'):
            return False  # too long to be known whole
        for base in self._bases:
            try:
                if (base / FILE).exists():
                    with closing(Journal.open(base, str(self._config.path))) as book:
                        row = book.memory().standing.get(findings.subject_of_certbot(
                            {"config_dir": str(self._asked.config_dir)}))
                    if row is not None and row.key.startswith("command-") and shown in row.words:
                        return True
            except StateError:
                continue
        return False

    def _pass(self) -> Pass:
        return Pass("run", self._config, self._asked.config_dir, recorded=True, log_file=self._log_file())

    def _log_file(self) -> str:
        return str(self._asked.logs_dir / "letsencrypt.log")

    def _failure(self, ended: Ended) -> dict[str, Any]:
        return {"command": invocation.masked(self._words), "code": ended.code, "signal": ended.signal or None,
                "reason": ended.reason, "output": logtail.end_of(ended.output.decode("utf-8", "replace"), _OUTPUT_LIMIT), "unit": "",
                "seconds": round(ended.seconds, 1), "attempts": self._attempts}

    # -- again and again -------------------------------------------------------------------------------------

    def again_and_again(self, retry_for_seconds: float) -> Ended:
        """Run it until it succeeds, fails for good, or the time is up. People have been told when this returns."""
        began = self._clock.monotonic()
        hold = Hold(self._bases)
        last: list[str] = []
        try:
            while True:
                known = {run.id for run in self._held(hold)}
                self._attempts += 1
                self._began, self._news = utc_now(), None
                ended = self._attempt({**hold.environment, **self._beats.environment})
                wait = self._look(ended, hold)
                last = [run.id for run in self._held(hold) if run.id not in known]
                if wait is None or self._clock.monotonic() + wait > began + retry_for_seconds:
                    break
                if not self._clock.wait(wait):
                    break
            runs = self._held(hold)
            newest = [run for run in runs if run.id in last]
            if not ended.failed or newest:  # what this attempt came to is known, and takes the place of the earlier ones
                earlier = [run for run in runs if run.id not in last]
                for run in newest:
                    _take_over(run, earlier)
                for run in earlier:
                    _forget(run)
        finally:
            runs = self._held(hold)
            hold.release()  # whoever comes now tells what we do not come to tell
        self._finish(ended, runs, last, self._clock.monotonic() - began)
        return ended

    def _look(self, ended: Ended, hold: Hold) -> Optional[float]:
        """What is known of this attempt is on a disk; returns how long to wait for the next, None if there is none."""
        if not ended.failed:
            return None
        failures = [(event, run.facts) for run in said.runs_since(self._bases, self._began, self._asked.config_dir)
                    for event in run.failures]
        if not said.by_the_plugin(self._bases, self._began, self._asked.config_dir):
            self._news = self._record(ended, hold)
            failures = self._failures_outside(ended)
        if ended.reason != "exit" or ended.asked:
            return None  # killed, hung or never started: another attempt would not change that
        found = retry.verdict(failures, utc_now())
        if found.again and found.lasting:
            self._tell_now(hold)
        again = found.again or ended.code == _TRY_AGAIN_LATER
        return retry.wait_seconds(self._attempts, found.named_seconds, self._jitter) if again else None

    def _failures_outside(self, ended: Ended) -> list[retry.Failure]:
        """Without the plugin: what certbot's log says, or its output."""
        event = {"kind": "command-failed", **self._failure(ended)}
        return retry.in_the_log(self._asked.logs_dir, self._began) or [(event, {})]

    def _record(self, ended: Ended, hold: Hold) -> Union[Run, Pass]:
        """On a disk where that is possible: if we are killed while we wait, others tell it."""
        news = self._pass()
        found: Union[Run, Pass] = news
        if hold.path is not None:
            server = self._config.server.to_json() if self._config.server_usable else None
            facts = {**news.facts, **hold.facts, "server": server, "report_only": True,
                     "environment": launch.surroundings()}
            try:
                found = Run.create(self._bases, facts, alive=True)  # else it would be found dead before it is whole
            except StateError:
                pass
        found.note("command-failed", **self._failure(ended))
        found.note("exit")
        if isinstance(found, Run) and found.lock is not None:
            os.close(found.lock)
            found.lock = None
        return found

    def _held(self, hold: Hold) -> list[Run]:
        return [run for run in runs_below(self._bases)
                if hold.path is not None and run.facts.get("supervisor") == str(hold.path)]

    def _tell_now(self, hold: Hold) -> None:
        """Somebody has to mend something: that does not wait for what passes by itself."""
        for run in self._held(hold):
            if not run.has("settled"):
                run.note("not-held")
                _settle(run)

    def _finish(self, ended: Ended, runs: list[Run], last: list[str], seconds: float) -> None:
        newest = [run for run in runs if run.id in last]
        earlier = [run for run in runs if run.id not in last]
        for run in newest:
            if self._attempts > 1 and ended.failed:
                run.note("retried", attempts=self._attempts, seconds=round(seconds, 1))
            _take_over(run, earlier)
            _settle(run)
            _complain(run)
        for run in earlier:  # the last attempt's news is theirs, and on a disk by now
            _forget(run)
        if isinstance(self._news, Pass):
            self._tell_of(self._news)
        if not ended.failed:
            self._tell_success()


def _settle(run: Run) -> None:
    """It is told; where the web server is still down, whoever works at that tells it."""
    if not run.has("settled") and not run.certbot_lives() and not open_windows(run.events()):
        settle.settle(run, settle.server_of(run))


def _take_over(run: Run, earlier: list[Run]) -> None:
    """What an earlier attempt has renewed is part of what it came to, unless it went wrong since."""
    events = run.events()
    failed = {event.get("lineage") for event in events if event["kind"] in said.FAILURES}
    known = {event.get("lineage") for event in events if event["kind"] == "deployed"}
    for event in (event for one in earlier if not one.has("settled") for event in one.events()):
        if event["kind"] == "deployed" and event.get("lineage") not in failed | known:
            run.note("deployed", lineage=event.get("lineage"), not_after=event.get("not_after"), by="attempt")
            known.add(event.get("lineage"))


def _forget(run: Run) -> None:
    """Its news is not news any more: another attempt followed."""
    with run.telling():
        events = run.events()
        if run.certbot_lives() or open_windows(events) or any(event["kind"] == "settled" for event in events):
            return
        run.note("told", upto=max(event["n"] for event in events))
        run.note("settled")
    try:
        with closing(Journal.open(run.directory.parent.parent)) as book:
            book.record_run(run.facts, run.events())
    except StateError:
        pass  # a gap in the history


def _complain(news: Union[Run, Pass]) -> None:
    """The last that cron, or whoever looks at the command's output, hears of it."""
    for event in news.events():
        if event["kind"] == "nobody-told":
            reasons = "; ".join(str(one) for one in event.get("reasons") or ()) or "There is no system log either"
            print(f"certbot-guard: nobody could be told of this: {line(event.get('title'), 300)}. "
                  f"{line(reasons, 500)}. It is kept and tried again; see: certbot-guard outbox", file=sys.stderr)
