"""Has the plugin said it already? What certbot's own runs have recorded since a moment, on disk and in the history.

Asked by whoever watches a certbot from outside: ``certbot-guard run``, and what is started by a unit's failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

from certbot_guard import journal as journals
from certbot_guard import sightings
from certbot_guard.account import NOTEWORTHY
from certbot_guard.errors import StateError
from certbot_guard.outages import parsed
from certbot_guard.run import runs_below

# What certbot's end explains. A trouble of our own, or of the settings, and what became well again do not.
FAILURES = NOTEWORTHY - sightings.KINDS - {"config-problem", "guard-error", "serving"}
_HISTORY = 200
_ID = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-")


@dataclass(frozen=True)
class Recorded:
    """One run of certbot. ``abandoned``: certbot is gone, and what it came to is still to be told, by others."""

    facts: dict[str, Any]
    events: list[dict[str, Any]]
    abandoned: bool = False

    @property
    def failures(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("kind") in FAILURES]


def by_the_plugin(bases: list[Path], since: datetime, config_dir: Optional[Path] = None) -> bool:
    """Did a run that began then or later record a failure, which people are told of, or is it still to be settled?

    :param bases: state directories, those that are there or not
    :param config_dir: of certbot: runs with another one do not count
    """
    return any(run.failures or run.abandoned for run in runs_since(bases, since, config_dir))


def by_a_supervisor(bases: list[Path], since: datetime, config_dir: Optional[Path] = None) -> bool:
    """Did ``certbot-guard run`` record since then that its command failed? For who watches the unit that it runs in."""
    return any(run.facts.get("verb") == "run" and any(event.get("kind") == "command-failed" for event in run.events)
               and _began(run.facts, since) and _is_of(run.facts, config_dir)
               for run in (*_in_history(bases), *_on_disk(bases, since)))


def runs_since(bases: list[Path], since: datetime, config_dir: Optional[Path] = None) -> list[Recorded]:
    """The runs of certbot that began then or later."""
    found: dict[str, Recorded] = {}
    for run in (*_in_history(bases), *_on_disk(bases, since)):
        if _is_of_certbot(run) and _began(run.facts, since) and _is_of(run.facts, config_dir):
            found[str(run.facts.get("id"))] = run
    return list(found.values())


def _on_disk(bases: list[Path], since: datetime) -> Iterator[Recorded]:
    for run in runs_below(bases):
        if _began(run.facts, since):
            events = run.events()
            # One that is held back has been settled but for telling people, so what it came to is known.
            known = any(event["kind"] in ("settled", "held") for event in events)
            yield Recorded(run.facts, events, not known and not run.certbot_lives())


def _in_history(bases: list[Path]) -> Iterator[Recorded]:
    for base in bases:
        try:
            if not (base / journals.FILE).exists():
                continue
            book = journals.Journal.open(base)
        except (OSError, StateError):
            continue
        try:
            for one in book.history(_HISTORY):
                yield Recorded(one["facts"], one["events"])
        except StateError:
            continue
        finally:
            book.close()


def _is_of_certbot(run: Recorded) -> bool:
    """Our own commands have their findings in the history, too."""
    return not any(event.get("kind") in sightings.KINDS for event in run.events)


def _began(facts: dict[str, Any], since: datetime) -> bool:
    # Where a record was too long to be kept, its id begins with its moment.
    began = parsed(facts.get("started")) or _moment_of(str(facts.get("id")))
    return began is not None and began >= since.replace(microsecond=since.microsecond // 1000 * 1000)


def _moment_of(identity: str) -> Optional[datetime]:
    found = _ID.match(identity)
    return parsed("{}-{}-{}T{}:{}:{}+00:00".format(*found.groups())) if found else None


def _is_of(facts: dict[str, Any], config_dir: Optional[Path]) -> bool:
    return config_dir is None or "config_dir" not in facts or facts["config_dir"] == str(config_dir)
