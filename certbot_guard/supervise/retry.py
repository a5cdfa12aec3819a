"""Whether a failed attempt is worth another one, and when: what the diagnosis and the CA say of it. Pure but for a log.

The waits, without a word from the CA, and what has passed at the end of each::

    1 min, 2, 4, 8, 16, 32, 60, 60, ...   ->   1 min, 3, 7, 15, 31, 63, 123, 183, ...
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Optional

from certbot_guard import logfile, logrecords
from certbot_guard.diagnosis import diagnose

FIRST_WAIT_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 3600.0
# Where the CA names a time, that is the first wait; if it names it again and again, the waits grow from here.
_FIRST_WHERE_NAMED_SECONDS = 1.0
_JITTER_SHARE = 0.25  # a fleet that failed together must not come back together
_OF_A_LOG = ("lineage-failed", "lineage-broken", "hook-failed", "fatal")
_SECONDS = re.compile(r"(\d{1,9}) s")

Failure = tuple[dict[str, Any], dict[str, Any]]  # an event, and the facts of its run


@dataclass(frozen=True)
class Verdict:
    """:ivar again: something failed that passes by itself
    :ivar lasting: something failed that does not
    :ivar named_seconds: the CA wants to be left in peace for so long; None where it named no time
    """

    again: bool
    lasting: bool = False
    named_seconds: Optional[float] = None


def verdict(failures: Iterable[Failure], now: datetime) -> Verdict:
    """What these come to, together. The soonest of several times that were named is the one to come back at."""
    again, lasting, named = False, False, []
    for event, facts in failures:
        found = diagnose(event, facts)
        # "Connection refused" may be for ever, but to ask again costs nothing: nobody counts it against us.
        # A challenge that failed is counted (Let's Encrypt: five an hour), and each attempt may stop Apache.
        passes = found.transient or (found.transient is None and found.whose in ("network", "ca")
                                     and not found.cause.startswith("challenge"))
        again, lasting = again or bool(passes), lasting or not passes
        if passes:
            named.append(seconds_until(found.retry_after, now))
    known = [seconds for seconds in named if seconds is not None]
    return Verdict(again, lasting, min(known) if known and len(known) == len(named) else None)


def seconds_until(words: str, now: datetime) -> Optional[float]:
    """Of a diagnosis's ``retry_after``: ``2026-12-02 07:00 UTC`` or ``3600 s``."""
    plain = _SECONDS.fullmatch(words)
    if plain:
        return float(plain[1])
    try:
        when = datetime.strptime(words, "%Y-%m-%d %H:%M UTC").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return max(0.0, (when - now).total_seconds())


def wait_seconds(attempts: int, named_seconds: Optional[float], jitter: Callable[[], float]) -> float:
    """How long to wait after so many attempts; at least as long as the CA asked for.

    :param jitter: from 0 to 1, another one each time
    """
    first = FIRST_WAIT_SECONDS if named_seconds is None else _FIRST_WHERE_NAMED_SECONDS
    grown = min(first * 2.0 ** min(attempts - 1, 30), LONGEST_WAIT_SECONDS)
    wait = max(grown, named_seconds or 0.0)
    return wait + wait * _JITTER_SHARE * jitter()


def in_the_log(logs_dir: Path, since: datetime) -> list[Failure]:
    """The failures that certbot's log tells of, if it was written since; for a certbot without the plugin."""
    path = logs_dir / "letsencrypt.log"
    try:
        if os.stat(path).st_mtime < since.timestamp():
            return []
        found = logfile.runs(*logrecords.load(path), here=True)
    except OSError:
        return []
    return [(event, found[-1].facts) for event in found[-1].events if event["kind"] in _OF_A_LOG] if found else []
