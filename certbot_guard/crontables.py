"""cron's tables and scripts as they are on this machine: which files there are and what they say. Reads, never raises.

What the lines mean is in :mod:`certbot_guard.cron`. Used by :mod:`certbot_guard.schedule` and
:mod:`certbot_guard.jobs`.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

from certbot_guard import cron, plainfile

READ_LIMIT_BYTES = 256 * 1024
FILES_LIMIT = 200
# Debian's /etc/cron.d/certbot (certbot 0.10 to 4.0) leaves the work to certbot.timer where systemd runs.
_ONLY_WITHOUT_SYSTEMD = re.compile(r"!\s*-d\s+/run/systemd/system")
# It begins with a look for certbot, and stays behind as a conffile where the package is removed.
_ONLY_WITH = re.compile(r"\s*(?:test|\[)\s+-x\s+(/[\w./+-]+)(?:\s+\])?\s*(?:\s-a\s|&&)")
# run-parts(8): without a rule of one's own these are the names it runs, and Debian's cron those it reads in cron.d
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
# A name that was given to a file of its own, not to what an editor, dpkg or somebody who switched it off left
_MEANT = re.compile(r"[A-Za-z0-9_.-]+\.(?:sh|bash|cron|crontab|conf|txt|py|pl|com|org|net)", re.ASCII)
NO_NEWLINE = "the file does not end with a newline"
_RPM_LEFTOVER = re.compile(r"~$|,$|\.(?:rpmsave|rpmorig|rpmnew|swp|cfsaved)$|^\.")


@dataclass(frozen=True)
class Places:
    """Where cron has its tables. ``plain_names``: as on Debian, files with a dot in their name are not looked at."""

    crontab: Path = Path("/etc/crontab")
    cron_d: Path = Path("/etc/cron.d")
    users: Sequence[Path] = (Path("/var/spool/cron/crontabs/root"), Path("/var/spool/cron/root"))
    periodic: Sequence[Path] = tuple(Path(f"/etc/cron.{name}") for name in ("hourly", "daily", "weekly", "monthly"))
    anacrontab: Path = Path("/etc/anacrontab")
    plain_names: bool = os.path.exists("/etc/debian_version")


def tables(places: Places, deadline: float) -> Iterator[tuple[Path, bool, cron.Crontab]]:
    """Each crontab that cron looks at, with whether it has a column for the user.

    :param deadline: on the monotonic clock; what has not been read by then is left out
    """
    named = [(places.crontab, True)]
    named += [(path, True) for path in files(places.cron_d) if is_looked_at(path.name, places)]
    named += [(path, False) for path in places.users]
    for path, user_column in named:
        if time.monotonic() < deadline:
            said = read(path)
            table = cron.parse(said, str(path), user_column)
            yield path, user_column, _unfinished(table, places) if _is_unfinished(said, table, places) else table


def _is_unfinished(said: str, table: cron.Crontab, places: Places) -> bool:
    """Whether a file's last line is no comment and has no newline behind it: measured, Debian 12's cron 3.0pl1-162."""
    whole, last = len(said.encode("utf-8", "replace")) < READ_LIMIT_BYTES, said.rpartition("\n")[2]
    is_command = bool(table.entries) and last == table.entries[-1].text
    return whole and (is_command or (places.plain_names and bool(last.strip()) and not last.lstrip().startswith("#")))


def _unfinished(table: cron.Crontab, places: Places) -> cron.Crontab:
    """What is left of it."""
    # Debian's cron 3.0pl1, user.c: "Missing newline before EOF, this crontab file will be ignored"; cronie's entry.c
    # takes the end of the file in a command for a mistake of that line.
    lost = table.entries if places.plain_names else table.entries[-1:]
    return cron.Crontab(tuple(one for one in table.entries if one not in lost), table.unreadable + tuple(
        (one.line_number, one.text, NO_NEWLINE) for one in lost))


def passed_over(places: Places, deadline: float) -> Iterator[tuple[Path, str]]:
    """The files of cron.d, and the scripts of cron.daily and its like, that cron passes over for their names."""
    for directory in (places.cron_d, *places.periodic) if places.plain_names else ():
        for path in files(directory):
            if time.monotonic() < deadline and _MEANT.fullmatch(path.name):
                yield path, read(path)


def scripts(directory: Path, places: Places, deadline: float) -> Iterator[tuple[Path, str]]:
    """The scripts in a directory such as /etc/cron.daily that run-parts runs there, with what they say."""
    for path in files(directory):
        if time.monotonic() > deadline:
            break
        if is_looked_at(path.name, places) and os.access(path, os.X_OK):
            yield path, read(path)


def without_comments(script: str) -> str:
    """A script's lines that do something, those that are continued in one."""
    said = script.replace("\\\n", " ").split("\n")
    return "\n".join(line for line in said if not line.lstrip().startswith("#"))


def does_nothing(command: str, systemd: bool) -> bool:
    """A line or a script that leaves it to certbot.timer on this machine, or that is for a program that is not there."""
    if systemd and _ONLY_WITHOUT_SYSTEMD.search(command):
        return True
    wanted = _ONLY_WITH.match(command)
    return wanted is not None and not os.access(wanted[1], os.X_OK)


def is_looked_at(name: str, places: Places) -> bool:
    return bool(_PLAIN_NAME.fullmatch(name)) if places.plain_names else not _RPM_LEFTOVER.search(name)


def files(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())[:FILES_LIMIT]
    except OSError:
        return []


def read(path: Path) -> str:
    """What a file says, up to a limit; nothing if it cannot be read, or is no file but a pipe or a device."""
    try:
        return plainfile.read(path, READ_LIMIT_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
