"""Crontabs: what a line says, and when it runs next. Pure; reads no file, asks no clock.

The rules are those of Vixie's cron as Debian and cronie have it. A line that they would not take is not guessed at:
it is kept, with the reason, for whoever looks for mistakes. Used by :mod:`certbot_guard.crontables`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Optional

# Debian cron 3.0pl1 entry.c
_NICKNAMES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *"}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# (what it is, lowest, highest, names, the number of the first name)
_FIELDS = (("minute", 0, 59, (), 0), ("hour", 0, 23, (), 0), ("day of the month", 1, 31, (), 0),
           ("month", 1, 12, _MONTHS, 1), ("day of the week", 0, 7, _WEEKDAYS, 0))
_PART = re.compile(r"(?:(?P<all>\*)|(?P<first>[a-z0-9]+)(?:-(?P<last>[a-z0-9]+))?)(?:/(?P<step>[0-9]+))?", re.ASCII)
_SETTING = re.compile(r"""\s*("[^"]*"|'[^']*'|[^\s="']+)\s*=\s*(.*)""", re.DOTALL)
_SHORT_LIMIT = 1000  # MAX_COMMAND in cron.h; a longer field is nothing that cron would take
_RENEWS_LIMIT = 8192
_TOKEN = re.compile(r"""(?P<quoted>"[^"]*"|'[^']*')|(?P<end>[;&|()\n])|(?P<word>(?:\\.|[^\s;&|()<>"'\\])+)|.""", re.DOTALL)
_CERTBOT = re.compile(r"(?:argv\[\]=)?(?:\S*/)?certbot(?::[\w.-]+)?")
_GUARD = re.compile(r"(?:argv\[\]=)?(?:\S*/)?certbot-guard")
# The 29th of February on one weekday comes every 28 years, and every 40 across 2100.
_YEARS_AHEAD = 45


class UnreadableError(ValueError):
    """cron would not take this line; ``str()`` says why."""


@dataclass(frozen=True)
class Entry:
    """One line that runs a command.

    :ivar fields: the five fields as they stand in the file, or the one nickname (``@daily``)
    :ivar weekdays: 0 is Sunday; never 7
    :ivar either: a day matches by its number *or* its weekday, since both are restricted
    :ivar by_the_clock: minute or hour begins with ``*``: in a night when the clocks change it follows real time
    :ivar user: as the file says it, or an empty string where files have no such column
    :ivar command: the rest of the line, raw: ``%`` and a carriage return are still in it
    :ivar settings: the environment lines above it
    :ivar text: the whole line
    """

    fields: tuple[str, ...]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    by_the_clock: bool
    user: str
    command: str
    source_path: str = ""
    line_number: int = 0
    text: str = ""
    settings: dict[str, str] = field(default_factory=dict, compare=False)

    def next_after(self, now: datetime, zone: tzinfo) -> Optional[datetime]:
        """The first time after ``now`` (aware) that cron runs it, in UTC; None if never (``@reboot``, 30 February).

        :param zone: the machine's own, which the fields are in
        """
        if not self.minutes:
            return None
        # From the day before to the day after: clocks that go back across midnight show the end of a day twice.
        day = now.astimezone(zone).date() - timedelta(days=1)
        end = date(day.year + _YEARS_AHEAD, 1, 1)
        while day < end:
            if day.month not in self.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
                continue
            if self._has(day):
                near = (day, day + timedelta(days=1), day + timedelta(days=2))
                later = [when for one in near if self._has(one) for when in self._moments(one, zone) if when > now]
                if later:
                    return min(later)
            day += timedelta(days=1)
        return None

    def runs_in_30_days(self) -> Optional[float]:
        """How often it runs, on the average of a year; None for ``@reboot``."""
        if not self.minutes:
            return None
        first = date(2027, 1, 1)
        days = sum(self._has(first + timedelta(days=number)) for number in range(365))
        return len(self.hours) * len(self.minutes) * days / 365 * 30

    def _has(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_number, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_number or by_weekday if self.either else by_number and by_weekday

    def _moments(self, day: date, zone: tzinfo) -> list[datetime]:
        """Its times on that day, in UTC. Where clocks change, as cron(8) has it: a time of the clock that is left out
        counts as the first minute after, one that comes twice counts once; what follows real time does so."""
        found = []
        for hour in self.hours:
            for minute in self.minutes:
                local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                if self.by_the_clock:
                    both = {local.replace(fold=fold).astimezone(timezone.utc) for fold in (0, 1)}
                    found += [when for when in both if _exists(when, local)]
                else:
                    found.append(_after_the_gap(local))
        return found


@dataclass(frozen=True)
class Crontab:
    """A whole file: its lines that run something, and those that cron would not take as (number, text, reason)."""

    entries: tuple[Entry, ...]
    unreadable: tuple[tuple[int, str, str], ...]


def parse(text: str, source_path: str = "", user_column: bool = False) -> Crontab:
    """Read a crontab; ``user_column`` for /etc/crontab and /etc/cron.d. Never raises."""
    entries, unreadable, settings = [], [], {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        setting = _SETTING.fullmatch(line)
        if setting:
            settings[_unquoted(setting[1])] = _unquoted(setting[2].strip())
            continue
        try:
            entries.append(parse_line(line, source_path, number, user_column, dict(settings)))
        except UnreadableError as error:
            unreadable.append((number, line, str(error)))
    return Crontab(tuple(entries), tuple(unreadable))


def parse_line(line: str, source_path: str = "", line_number: int = 0, user_column: bool = False,
               settings: Optional[dict[str, str]] = None) -> Entry:
    """Read one line that runs a command.

    :raises UnreadableError: cron would not take it.
    """
    words = re.sub("^-", "", line.strip(" \t"))  # cronie: a minus in front keeps the run out of the system log
    nickname = words.startswith("@")
    count = 1 if nickname else 5
    parts = re.split("[ \t]+", words, maxsplit=count + user_column)
    if len(parts) <= count + user_column or not parts[-1].strip():
        raise UnreadableError("there is no command" if len(parts) >= count + user_column
                              else "there are fewer than five fields")
    fields = tuple(parts[:count])
    if nickname and fields[0] != "@reboot" and fields[0] not in _NICKNAMES:
        raise UnreadableError(f"{fields[0][:40]} is no name of a time")
    spelled = fields if not nickname else tuple(_NICKNAMES.get(fields[0], "* * * * *").split())
    sets = [_values(word, *rule) for word, rule in zip(spelled, _FIELDS)]
    weekdays = frozenset(number % 7 for number in sets[4])
    return Entry(
        fields=fields, minutes=frozenset() if fields[0] == "@reboot" else sets[0], hours=sets[1], days=sets[2],
        months=sets[3], weekdays=weekdays,
        # Debian cron 3.0pl1 entry.c: DOM_STAR and DOW_STAR are set by a leading star, whatever comes after it.
        either=not spelled[2].startswith("*") and not spelled[4].startswith("*"),
        by_the_clock=spelled[0].startswith("*") or spelled[1].startswith("*"),
        user=parts[count] if user_column else "", command=parts[-1], source_path=source_path, line_number=line_number,
        text=line, settings=settings or {})


def renews(command: str) -> bool:
    """Whether a line of shell, or systemd's ``ExecStart``, has certbot renew: ``certbot`` and then ``renew`` as words of
    one command, the snap's ``certbot.renew``, or ``certbot-guard run -- ... renew``. Only its first 8 kB are looked at."""
    certbot = guard = False
    for token in _TOKEN.finditer(command[:_RENEWS_LIMIT]):
        if token["end"]:
            certbot = guard = False
            continue
        if token["quoted"] and renews(token["quoted"][1:-1]):  # sh -c '...'; no deeper than two kinds of quotes
            return True
        word = token["quoted"][1:-1] if token["quoted"] else token["word"] or ""
        if word.startswith("#") and not token["quoted"]:
            return False
        if word == "certbot.renew" or (certbot and word == "renew"):
            return True
        guard = guard or bool(_GUARD.fullmatch(word))
        certbot = certbot or bool(_CERTBOT.fullmatch(word)) or (guard and word == "run")
    return False


def _values(word: str, what: str, low: int, high: int, names: tuple[str, ...], first_name: int) -> frozenset[int]:
    if len(word) > _SHORT_LIMIT:
        raise UnreadableError(f"the {what} is too long")
    found: set[int] = set()
    for part in word.lower().split(","):
        match = _PART.fullmatch(part)
        if not match:
            raise UnreadableError(f"the {what} {word[:40]} cannot be read")
        if match["all"]:
            first, last = low, high
        else:
            first = _number(match["first"], what, low, high, names, first_name)
            last = _number(match["last"], what, low, high, names, first_name) if match["last"] else first
            if match["step"] and not match["last"]:
                raise UnreadableError(f"the {what} {word[:40]} has a step without a range")
        step = int(match["step"][:9]) if match["step"] else 1
        if first > last or step == 0:
            raise UnreadableError(f"the {what} {word[:40]} is an empty range")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(word: str, what: str, low: int, high: int, names: tuple[str, ...], first_name: int) -> int:
    if word in names:
        return names.index(word) + first_name
    if not word.isdigit() or not low <= int(word[:9]) <= high:
        raise UnreadableError(f"the {what} {word[:40]} is not between {low} and {high}")
    return int(word[:9])


def _exists(when: datetime, local: datetime) -> bool:
    return when.astimezone(local.tzinfo).replace(tzinfo=None, fold=0) == local.replace(tzinfo=None, fold=0)


def _after_the_gap(local: datetime) -> datetime:
    # The longest one yet was a day: Samoa had no 30th of December in 2011.
    for _ in range(25 * 60):
        when = local.astimezone(timezone.utc)
        if _exists(when, local):
            return when
        local += timedelta(minutes=1)
    return local.astimezone(timezone.utc)


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
