"""Every check, in the order in which they are shown, and the table of them for docs/doctor.md."""

from __future__ import annotations

from collections.abc import Iterator

from certbot_guard.doctor import (
    mistakes,
    of_certbots,
    of_clock,
    of_disk,
    of_jobs,
    of_lineages,
    of_network,
    of_schedule,
    of_sentinel,
    of_server,
    of_settings,
)
from certbot_guard.doctor.check import Check, Group

GROUPS: tuple[Group, ...] = (
    of_certbots.GROUP, of_settings.GROUP, of_lineages.GROUP, of_server.GROUP, of_sentinel.GROUP, of_schedule.GROUP,
    of_jobs.GROUP, of_disk.GROUP, of_network.GROUP, of_clock.GROUP)


def checks() -> Iterator[Check]:
    for group in GROUPS:
        yield from group.checks


def identifiers() -> list[str]:
    """Of every check and of every mistake, as ``--only`` and ``--skip`` take them."""
    return [one.id for one in checks()] + [one.id for one in mistakes.MISTAKES]


def group_of(id: str) -> str:
    """The title of the group in which a result of this identifier is shown."""
    for group in GROUPS:
        if any(one.id == id for one in group.checks):
            return group.title
    return of_jobs.GROUP.title


def reference() -> str:
    """The tables of docs/doctor.md, written by script/reference."""
    parts = []
    for group in GROUPS:
        rows = [(one.id, one.title, one.explanation) for one in group.checks]
        if group is of_jobs.GROUP:
            rows += [(one.id, one.title, one.explanation) for one in mistakes.MISTAKES]
        lines = [f"| `{id}` | {_cell(title)} | {_cell(explanation)} |" for id, title, explanation in rows]
        parts.append(f"### {group.title}\n\n| check | what is right, or wrong | what is looked at, and why "
                     "|\n|---|---|---|\n"
                     + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("\n", " ")
