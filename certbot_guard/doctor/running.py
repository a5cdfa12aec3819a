"""Runs checks, all at once, each for a bounded time; one that breaks is a result that says so, never an exception."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, Queue

from certbot_guard import text
from certbot_guard.doctor.check import Check
from certbot_guard.doctor.host import Host
from certbot_guard.doctor.result import WARNING, Result
from certbot_guard.errors import GuardError

SECONDS = 90.0


@dataclass(frozen=True)
class _Done:
    number: int
    found: list[Result]


def run(host: Host, checks: Sequence[Check], seconds: float = SECONDS,
        waiting_for: Callable[[list[str]], None] = lambda titles: None) -> list[Result]:
    """What each check found, in their order; after ``seconds`` those that have not ended are results, too.

    :param waiting_for: called now and then with the identifiers of those that have not ended
    """
    done: Queue[_Done] = Queue()
    for number, check in enumerate(checks):
        # A thread that hangs, in a system call on a dead network disk perhaps, keeps nobody from ending.
        threading.Thread(target=_look, args=(number, check, host, done), daemon=True).start()
    found: dict[int, list[Result]] = {}
    ends = time.monotonic() + seconds
    while len(found) < len(checks) and time.monotonic() < ends:
        try:
            one = done.get(timeout=min(0.2, max(0.0, ends - time.monotonic())))
            found[one.number] = one.found
        except Empty:
            waiting_for([check.id for number, check in enumerate(checks) if number not in found])
    return [result for number, check in enumerate(checks)
            for result in found.get(number, [_not_known(check, f"it took longer than {seconds:.0f} s")])]


def _look(number: int, check: Check, host: Host, done: Queue[_Done]) -> None:
    try:
        found = list(check.look(host))
    except GuardError as error:
        found = [_not_known(check, text.line(error, 300))]
    except OSError as error:
        found = [_not_known(check, text.line(error, 300))]
    except Exception as error:  # a bug of ours; its text could quote a secret
        found = [_not_known(check, f"certbot-guard's own {type(error).__name__}")]
    done.put(_Done(number, found))


def _not_known(check: Check, why: str) -> Result:
    return Result(check.id, WARNING, f"could not be checked: {why}")
