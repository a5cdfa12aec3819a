"""What is to be changed in renewal configurations, what else was found, and how it is carried out, file by file.

Knows nothing of what a change is about. Used by :mod:`certbot_guard.adoption`, which makes the changes.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from certbot_guard import renewaldir
from certbot_guard.errors import GuardError
from certbot_guard.text import line, listed
from certbot_guard.trust import shown


@dataclass(frozen=True)
class Change:
    """What adopt or release would do to one renewal configuration.

    :ivar installer_before: the installer it names now; "" where it names none
    :ivar hooks: (key, value) of hooks that only stop and start the web server, and can be retired
    :ivar retired: the keys of those that this change takes out
    :ivar remarks: what a person should know of it; sentences, harmless to show
    :ivar before: the whole file, now
    :ivar after: the whole file, then
    """

    lineage: str
    path: Path
    installer_before: str
    hooks: tuple[tuple[str, str], ...] = ()
    retired: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    before: bytes = field(default=b"", repr=False)
    after: bytes = field(default=b"", repr=False)

    def difference(self) -> list[str]:
        """The lines that go and the lines that come, and no other: those beside them may hold passwords."""
        before, after = (text.decode("utf-8").splitlines() for text in (self.before, self.after))
        lines = list(difflib.unified_diff(before, after, lineterm="", n=0))[2:]
        return ["".join(letter if letter.isprintable() else "?" for letter in one)
                for one in lines if not one.startswith("@@")]


@dataclass(frozen=True)
class Survey:
    """What was found.

    :ivar changes: what would change
    :ivar others: what would change, too, but names another installer and was not asked for by name
    :ivar as_wanted: lineages that need no change
    :ivar problems: files that are left alone, each with why
    :ivar remarks: what a person should know besides
    """

    changes: tuple[Change, ...] = ()
    others: tuple[Change, ...] = ()
    as_wanted: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Done:
    """How it went with one lineage. ``problem`` is empty, or says why its file is as it was."""

    lineage: str
    path: Path
    problem: str = ""


def carried_out(config_dir: Path, changes: Sequence[Change], one: Callable[[Change], None]) -> list[Done]:
    """``one`` for each change, while no certbot runs, if its file still is what was looked at.

    :raises BusyError: another certbot is at work; nothing was changed.
    :raises GuardError: certbot's lock cannot be taken; nothing was changed.
    """
    if not changes:
        return []
    done = []
    with renewaldir.locked(config_dir):
        renewaldir.sweep(config_dir)
        for change in changes:
            try:
                if change.before and read(change.path) != change.before:
                    raise GuardError("it was changed since it was looked at; nothing was done with it. Do this again")
                one(change)
                done.append(Done(change.lineage, change.path))
            except GuardError as error:
                done.append(Done(change.lineage, change.path, problem(config_dir, change.lineage, error)))
    return done


def asked(config_dir: Path, names: Optional[Sequence[str]]) -> list[str]:
    """The lineages of these names that are there, or all; a name is never made into a path before it was found."""
    return [name for name in renewaldir.names(config_dir) if names is None or name in names]


def unknown(config_dir: Path, names: Optional[Sequence[str]], more: Collection[str] = ()) -> Iterator[str]:
    """A sentence for each name that no certificate has, and that is not one of ``more``."""
    there = renewaldir.names(config_dir)
    for name in dict.fromkeys(names or ()):
        if name not in there and name not in more:
            yield (f"there is no certificate named {line(name, 120)} in {shown(config_dir)}; "
                   + (f"there are: {listed(there)}" if there else "there is none at all"))


def read(path: Path) -> bytes:
    """:raises GuardError: there is nothing there that can be believed."""
    try:
        return renewaldir.read(path)
    except FileNotFoundError as error:
        raise GuardError("it is gone") from error


def problem(config_dir: Path, lineage: str, error: GuardError) -> str:
    """The sentence, with the file that it is about."""
    said = str(error)
    return said if shown(config_dir) in said else f"{shown(renewaldir.path_of(config_dir, lineage))}: {said}"
