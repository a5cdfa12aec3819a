"""``certbot-guard watch``: one pass. It finishes what is unfinished, then looks, tells, and changes nothing else.

Every configuration directory of certbot's has a pass of its own; what services show, and the web server, are looked at in the
first one. What a pass could not look at is neither found wrong nor found well.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Optional

from certbot_guard import findings, invocation, serverlock, servers, settle, stakes, statedir, telling
from certbot_guard import journal as journals
from certbot_guard.config import Config
from certbot_guard.errors import GuardError, StateError
from certbot_guard.interfaces import IWebServer
from certbot_guard.outages import parsed
from certbot_guard.passing import Pass
from certbot_guard.run import open_windows, runs_below, utc_now
from certbot_guard.standing import Memory, Standing
from certbot_guard.watch import attempts, files

_HISTORY = 200
_LOCK = "watch.lock"
WATCHED, SERVING = "watched", "serving"  # what the metrics read of a pass
_SERVED = "served"
_SINCE = "watched-since"
_GUARDED = "guarded "
# A unit that a person has taken out of use is not missed.
_NOT_WANTED = frozenset({"disabled", "masked", "masked-runtime"})


@dataclass
class Outcome:
    """What a pass has come to.

    :ivar found: what is wrong, as the findings of all its parts
    :ivar standing: every trouble that stands now, those that runs of certbot have told of, too
    :ivar problems: what it could not do, each a sentence
    """

    found: list[findings.Finding] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    serving: Optional[bool] = None
    standing: list[Standing] = field(default_factory=list)

    @property
    def severity(self) -> str:
        return stakes.gravest([one.severity for one in [*self.found, *self.standing]])


@dataclass(frozen=True)
class Eyes:
    """What a pass looks with; a test that lives through thirty days passes its own clock and services."""

    now: Callable[[], datetime] = utc_now
    outside: telling.Outside = telling.Outside()
    find_server: Callable[[Config], Optional[IWebServer]] = lambda config: _find_server(config)
    look_at_services: Optional[Callable[..., None]] = None
    schedule: Callable[[datetime], Any] = attempts.schedule.next_attempt


class AtWorkError(GuardError):
    """Another watch with the same state directory looks now."""


@contextmanager
def alone(config: Config) -> Iterator[None]:
    """No other pass begins meanwhile: two that look at once would each tell half.

    :raises AtWorkError: there is one already.
    """
    with ExitStack() as held:
        for base in statedir.every_directory(config.state_dir):
            try:
                descriptor = statedir.open_lock(statedir.secure_directory(base) / _LOCK)
            except StateError:
                continue
            held.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise AtWorkError("another certbot-guard watch is at work") from error
            break
        yield


def watch(config: Config, eyes: Eyes = Eyes(), recover: bool = True) -> Outcome:
    """One pass over everything that these settings are about.

    :param recover: finish what is unfinished first, which may start a web server
    :raises AtWorkError: another one is at work.
    """
    with alone(config):
        return _watch(config, eyes, recover)


def _watch(config: Config, eyes: Eyes, recover: bool) -> Outcome:
    outcome, bases = Outcome(), statedir.every_directory(config.state_dir)
    if recover:
        for run, problem in settle.settle_stale(bases, config, deliver=False):
            outcome.unfinished.append(f"run {run.id}: {problem or 'settled'}")
        settle.forget_old(bases)
    server = eyes.find_server(config)
    with ExitStack() as held:
        book = _book(config, bases, held, outcome)
        noted, history = (book.noted(), book.history(_HISTORY)) if book is not None else ({}, [])
        changes: dict[str, Optional[str]] = {} if _SINCE in noted else {_SINCE: eyes.now().isoformat()}
        for number, config_dir in enumerate(config_dirs(config, history)):
            one = Pass("watch", config, config_dir, now=eyes.now())
            look = _Look(one, config, _memory(book), {**noted, **changes}, _of_directory(history, config, config_dir), eyes)
            look.at_files(changes)
            look.at_attempts()
            known = server if number == 0 and look.at_server(server, changes) else None
            one.facts["server_name"] = known.name if known is not None else ""
            if number == 0:
                look.at_services(server)
                outcome.serving = look.serving
            one.tell(known, rest=True, outside=eyes.outside)
            outcome.found += look.findings(known)
        if book is not None:
            changes[WATCHED] = eyes.now().isoformat()
            changes[SERVING] = None if outcome.serving is None else str(int(outcome.serving))
            _quietly(outcome, lambda: book.note(changes))
            outcome.standing = list(_memory(book).standing.values())
    telling.deliver_waiting(bases, eyes.outside, rest=True)
    return outcome


def config_dirs(config: Config, history: list[dict[str, Any]]) -> list[Path]:
    """certbot's configuration directories: those of guard.ini, or the usual one and those of guarded runs."""
    if config.certbot_config_dirs:
        return list(config.certbot_config_dirs)
    used = [str(run["facts"]["config_dir"]) for run in history
            if run["facts"].get("config_dir") and run["facts"].get("guard_config") == str(config.path)]
    return [Path(path) for path in dict.fromkeys([*used, "/etc/letsencrypt"])]


class _Look:
    """One pass over one configuration directory; what it finds are events of its :class:`Pass`."""

    def __init__(self, one: Pass, config: Config, memory: Memory, noted: dict[str, str], history: list[dict[str, Any]],
                 eyes: Eyes) -> None:
        self._pass, self._config, self._memory, self._noted, self._history, self._eyes = (
            one, config, memory, noted, history, eyes)
        self._now = eyes.now()
        self._directory = Path(one.facts["config_dir"])
        self._stale_after = timedelta(seconds=config.watch.stale_after_seconds)
        self._lineages: list[files.Lineage] = []
        self.serving: Optional[bool] = None

    # -- certbot's files -------------------------------------------------------------------------------------

    def at_files(self, changes: dict[str, Optional[str]]) -> None:
        """Every renewal configuration; ``changes`` gets what is to be remembered of their guards."""
        plugins = files.installed_plugins()
        self._lineages = list(files.read(self._directory))
        for lineage in self._lineages:
            files.look(lineage, self._note_of_a_lineage, self._now, self._stale_after, plugins)
            self._look_at_guard(lineage, changes)
        there = {str(lineage.path) for lineage in self._lineages}
        for name in self._noted:
            path = name[len(_GUARDED):]
            if name.startswith(_GUARDED) and Path(path).parent.parent == self._directory and path not in there:
                changes[name] = None  # the whole lineage is gone, on purpose
        self._looked("readable", "not-renewed", "lost-guard", "plugin-missing", "key-mismatch")

    def _look_at_guard(self, lineage: files.Lineage, changes: dict[str, Optional[str]]) -> None:
        name = f"{_GUARDED}{lineage.path}"
        if lineage.guarded:
            if name not in self._noted:
                changes[name] = self._now.isoformat()
        elif name in self._noted and lineage.installer:
            changes[name] = None  # certbot never writes another installer there by itself: somebody chose it
        elif name in self._noted and not lineage.error:
            self._pass.note("lost-guard", lineage=lineage.name, names=list(lineage.names), installer="none")

    def _note_of_a_lineage(self, kind: str, **fields: Any) -> None:
        """Not what certbot's own runs tell of the same lineage, and remind of, anyway."""
        name = fields.get("lineage") or Path(str(fields.get("path") or "")).stem
        told = self._memory.standing.get(findings.subject_of_lineage(self._pass.facts, name))
        if kind in ("not-renewed", "lineage-broken") and told is not None and self._is_fresh(told):
            validity = next((one.validity for one in self._lineages if one.name == name), None)
            if stakes.rank(told.severity) >= stakes.rank(stakes.severity(validity, self._now)) or kind == "lineage-broken":
                self._pass.note("still-so", subject=told.subject)
                return
        self._pass.note(kind, **fields)

    def _is_fresh(self, told: Standing) -> bool:
        return self._now - told.seen <= self._stale_after

    # -- its runs --------------------------------------------------------------------------------------------

    def at_attempts(self) -> None:
        """When certbot last ran, and whether anything will start it again."""
        if not any(lineage.autorenew for lineage in self._lineages):
            self._looked("stale", "no-timer")
            return
        last = attempts.last_run(self._logs_dir(), self._directory)
        limit = max(self._stale_after, 2 * attempts.period(self._now, self._eyes.schedule))
        since = parsed(self._noted.get(_SINCE)) or self._now
        attempts.look(last, self._history, self._pass.note, self._now, limit, since, limit)
        attempts.look_at_schedule(self._pass.note, self._now, last, self._stale_after, self._eyes.schedule)
        self._looked("stale", "no-timer")

    def _logs_dir(self) -> Path:
        if self._config.certbot_logs_dir is not None:
            return self._config.certbot_logs_dir
        known = next((str(facts["logs_dir"]) for facts in self._history if facts.get("logs_dir")), "")
        return Path(known) if known else invocation.read(["--config-dir", str(self._directory)]).logs_dir

    # -- the web server, and what is shown -------------------------------------------------------------------

    def at_server(self, server: Optional[IWebServer], changes: dict[str, Optional[str]]) -> bool:
        """Whether it is one that should serve, and so is spoken of. A window of a run's is no trouble."""
        if server is None or self._config.watch.served == "no":
            return False
        with serverlock.unless_taken(server.identity) as free:
            if not free or any(open_windows(run.events()) for run in runs_below(
                    statedir.every_directory(self._config.state_dir))):
                return False
            try:
                seen = server.look()
            except Exception as error:  # what cannot be looked at is not down
                self._pass.facts["not_looked"] = f"{server.name}: {type(error).__name__}: {error}"[:300]
                return False
        self.serving = bool(seen["serving"])
        if self.serving:
            changes[_SERVED] = self._now.isoformat()
            return True
        if _SERVED not in self._noted or seen.get("unit_file_state") in _NOT_WANTED or os.geteuid() != 0:
            self.serving = None
            return False
        self._pass.note("server-down", reason=f"it was seen serving last at {self._noted[_SERVED][:16].replace('T', ' ')} UTC")
        return True

    def at_services(self, server: Optional[IWebServer]) -> None:
        """What the web server, and the endpoints of guard.ini, show."""
        look = self._eyes.look_at_services
        if look is None:
            from certbot_guard.watch import services

            look = services.look
        seen = look(self._config, self._directory, server if self.serving else None, self._pass.note, self._now)
        # Of a server that is down, or stopped for a challenge, nothing was seen.
        if seen and (server is None or self.serving or self._config.watch.served == "no"):
            self._looked("shown")

    def _looked(self, *kinds: str) -> None:
        self._pass.note("looked-at", kinds=list(kinds))

    def findings(self, server: Optional[IWebServer]) -> list[findings.Finding]:
        """What the pass came to, told or known before."""
        return telling.found_by(self._pass, server, self._now)


def _find_server(config: Config) -> Optional[IWebServer]:
    if not config.server_usable:
        return None
    try:
        return servers.find(config.server, dict(os.environ))
    except GuardError:
        return None  # there is none here: a host that has only certificates on its disk


def _book(config: Config, bases: list[Path], held: ExitStack, outcome: Outcome) -> Optional[journals.Journal]:
    for base in bases:
        try:
            return held.enter_context(closing(journals.Journal.open(statedir.secure_directory(base), str(config.path))))
        except StateError as error:
            outcome.problems.append(str(error))
    return None


def _memory(book: Optional[journals.Journal]) -> Memory:
    try:
        return book.memory() if book is not None else Memory()
    except StateError:
        return Memory()


def _of_directory(history: list[dict[str, Any]], config: Config, config_dir: Path) -> list[dict[str, Any]]:
    return [run["facts"] for run in history if run["facts"].get("config_dir") == str(config_dir)]


def _quietly(outcome: Outcome, action: Callable[[], None]) -> None:
    try:
        action()
    except StateError as error:
        outcome.problems.append(str(error))
