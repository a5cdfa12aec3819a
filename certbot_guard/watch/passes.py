"""``certbot-guard watch``: one pass. It finishes what is unfinished, then looks, tells, and changes nothing else.

Every configuration directory of certbot's has a pass of its own; what services show, and the web server, are looked at in the
first one. What a pass could not look at is neither found wrong nor found well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Optional

from certbot_guard import findings, flock, stakes, stale, statedir, telling
from certbot_guard import journal as journals
from certbot_guard.config import Config
from certbot_guard.errors import GuardError, StateError
from certbot_guard.interfaces import IWebServer
from certbot_guard.passing import Pass
from certbot_guard.standing import Memory, Standing
from certbot_guard.watch import of_files, of_runs, of_services
from certbot_guard.watch.looking import SINCE, Eyes, Look

_HISTORY = 200
_LOCK = "watch.lock"
WATCHED, SERVING = "watched", "serving"  # what the metrics read of a pass


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
    def is_trouble(self) -> bool:
        """Something is wrong of which people are told, now or before."""
        return bool(self.found or self.standing or any(not line.endswith(": settled") for line in self.unfinished))

    @property
    def renewals_fail(self) -> bool:
        """A run of certbot's has failed, and none has ended well since."""
        return any((one.subject.startswith("/") and one.subject.endswith(".conf")) or one.subject.startswith("certbot ")
                   for one in self.standing)

    @property
    def severity(self) -> str:
        return stakes.gravest([one.severity for one in [*self.found, *self.standing]])


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
            if not flock.taken(descriptor):
                raise AtWorkError("another certbot-guard watch is at work")
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
        for run, problem in stale.settle_stale(bases, config, deliver=False):
            outcome.unfinished.append(f"run {run.id}: {problem or 'settled'}")
        stale.forget_old(bases)
    server = _guarded(outcome, lambda: eyes.find_server(config))
    with ExitStack() as held:
        book = _book(config, bases, held, outcome)
        noted, history = (book.noted(), book.history(_HISTORY)) if book is not None else ({}, [])
        changes: dict[str, Optional[str]] = {} if SINCE in noted else {SINCE: eyes.now().isoformat()}
        memory, directories = _memory(book), config_dirs(config, history)
        for number, config_dir in enumerate(directories):
            one = Pass("watch", config, config_dir, now=eyes.now())
            look = Look(one, config, memory, {**noted, **changes}, _of_directory(history, config_dir), eyes, changes)
            of_files.at_files(look)
            of_runs.at_attempts(look)
            known = server if number == 0 and of_services.at_server(look, server) else None
            one.facts["server_name"] = known.name if known is not None else ""
            if number == 0:
                of_services.at_services(look, server, directories)
                outcome.serving = look.serving
            look.conclude()
            one.tell(known, rest=True, outside=eyes.outside)
            outcome.found += telling.found_by(one, known, eyes.now())
            outcome.problems += look.problems
            gone = tuple(look.forgotten & set(memory.standing))
            if book is not None and gone:
                _quietly(outcome, partial(book.forget, gone))
        if book is not None:
            changes[WATCHED] = eyes.now().isoformat()
            changes[SERVING] = None if outcome.serving is None else str(int(outcome.serving))
            _quietly(outcome, partial(book.note, changes))
            outcome.standing = [one for one in _memory(book).standing.values() if is_of(one, directories)]
    telling.deliver_waiting(bases, eyes.outside, rest=True)
    return outcome


def config_dirs(config: Config, history: list[dict[str, Any]]) -> list[Path]:
    """certbot's configuration directories: those of guard.ini, or the usual one and those of guarded runs."""
    if config.certbot_config_dirs:
        return list(config.certbot_config_dirs)
    used = [str(run["facts"]["config_dir"]) for run in history
            if run["facts"].get("config_dir") and run["facts"].get("guard_config") == str(config.path)]
    # The first one is the one that tells of the web server, and has to be the same each time.
    return [Path(path) for path in dict.fromkeys(["/etc/letsencrypt", *sorted(used)])]


def _guarded(outcome: Outcome, find: Callable[[], Optional[IWebServer]]) -> Optional[IWebServer]:
    try:
        return find()
    except Exception as error:  # the certificates are looked at all the same
        outcome.problems.append(f"the web server cannot be looked at: {type(error).__name__}: {error}")
        return None


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


def is_of(standing: Standing, directories: list[Path]) -> bool:
    """Not of a configuration directory that is not looked at any more."""
    named = re.search(r"(?:^|^(?:deployed|hook|certbot|stale|no-timer|not-renewed|revoked|lost-guard|plugin-missing|key-mismatch) )"
                      r"(/.*)", standing.subject)
    return named is None or any(f"{named[1]}/".startswith(f"{path}/") or named[1].startswith(f"{path} ") for path in directories)


def _of_directory(history: list[dict[str, Any]], config_dir: Path) -> list[dict[str, Any]]:
    return [run["facts"] for run in history if run["facts"].get("config_dir") == str(config_dir)]


def _quietly(outcome: Outcome, action: Callable[[], None]) -> None:
    try:
        action()
    except StateError as error:
        outcome.problems.append(str(error))
