"""What one check found: plain data, the same for the terminal, ``--json`` and tests. Made by every check of doctor."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, PROBLEM, SKIPPED = "ok", "warning", "problem", "skipped"
STATUSES = (OK, WARNING, PROBLEM, SKIPPED)


@dataclass(frozen=True)
class Result:
    """One finding. No field holds a secret. ``line`` and ``instead`` are as in a file, control characters too.

    :ivar id: the check's or the mistake's stable identifier: ``plugin-visible``, ``cron-stop-and-start``
    :ivar status: ``ok``, ``warning``, ``problem`` or ``skipped``
    :ivar says: what was found, one sentence
    :ivar where: file and line, unit, address
    :ivar line: the line as it stands there (crontab, unit, hook)
    :ivar why: why it will hurt
    :ivar remedy: what to do: a sentence or a command
    :ivar instead: the line to put instead, verbatim
    """

    id: str
    status: str
    says: str
    where: str = ""
    line: str = ""
    why: str = ""
    remedy: str = ""
    instead: str = ""
