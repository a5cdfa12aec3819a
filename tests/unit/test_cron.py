"""When a crontab line runs next, against a clock that is walked minute by minute as cron(8) describes it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Optional
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certbot_guard import cron

UTC = timezone.utc
BERLIN, HAVANA, SAMOA, LORD_HOWE, ST_JOHNS = map(
    ZoneInfo, ("Europe/Berlin", "America/Havana", "Pacific/Apia", "Australia/Lord_Howe", "America/St_Johns"))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def next_time(line: str, now: datetime, zone: ZoneInfo = BERLIN) -> Optional[datetime]:
    return cron.parse_line(line).next_after(now, zone)


def walked(entry: cron.Entry, now: datetime, zone: ZoneInfo, days: int) -> Optional[datetime]:
    """What a cron would do that looks at the clock on the wall each minute; it began two days ago."""
    def due(wall: datetime) -> bool:
        by_number, by_weekday = wall.day in entry.days, (wall.weekday() + 1) % 7 in entry.weekdays
        return (wall.minute in entry.minutes and wall.hour in entry.hours and wall.month in entry.months
                and (by_number or by_weekday if entry.either else by_number and by_weekday))

    when = now.replace(second=0, microsecond=0) - timedelta(days=2)
    latest = when.astimezone(zone).replace(tzinfo=None)
    for _ in range((days + 2) * 24 * 60):
        when += timedelta(minutes=1)
        wall = when.astimezone(zone).replace(tzinfo=None)
        if entry.by_the_clock:
            runs = due(wall)
        else:
            runs = False
            while latest < wall:
                latest += timedelta(minutes=1)
                runs = runs or due(latest)
        if runs and when > now:
            return when
    return None


# -- what a line says --------------------------------------------------------------------------------------------------


def test_the_line_of_the_story_runs_on_the_first_and_the_fifteenth_at_four() -> None:
    line = "00 04 01,15 * * apachectl graceful-stop && certbot renew --force-renewal && apachectl start"
    assert next_time(line, utc(2018, 11, 30, 19, 0, 23), ZoneInfo("Asia/Tokyo")) == utc(2018, 12, 14, 19, 0)
    assert cron.parse_line(line).command.startswith("apachectl graceful-stop && certbot renew")


@pytest.mark.parametrize("line, expected", [
    ("@hourly x", (2026, 11, 24, 4, 0)), ("@daily x", (2026, 11, 24, 23, 0)), ("@midnight x", (2026, 11, 24, 23, 0)),
    ("@weekly x", (2026, 11, 28, 23, 0)), ("@monthly x", (2026, 11, 30, 23, 0)),
    ("@yearly x", (2026, 12, 31, 23, 0)), ("@annually x", (2026, 12, 31, 23, 0)),
    ("*/20 * * * * x", (2026, 11, 24, 3, 20)), ("5-59/20 4 * * * x", (2026, 11, 24, 3, 5)),
    ("0 4 * * sun x", (2026, 11, 29, 3, 0)), ("0 4 * * 7 x", (2026, 11, 29, 3, 0)),
    ("0 4 * * Fri-7 x", (2026, 11, 27, 3, 0)), ("0 4 * FEB,mar * x", (2027, 2, 1, 3, 0)),
    ("0 4 1 * thu x", (2026, 11, 26, 3, 0)),      # both restricted: either
    ("0 4 */2 * thu x", (2026, 12, 3, 3, 0)),     # a leading star: both
    ("0 4 29 2 * x", (2028, 2, 29, 3, 0)),
    ("-0 4 * * * x", (2026, 11, 25, 3, 0)),
])
def test_a_line_runs_when_it_says(line: str, expected: tuple[int, ...]) -> None:
    assert next_time(line, utc(2026, 11, 24, 3, 0)) == utc(*expected)


@pytest.mark.parametrize("line", ["@reboot x", "0 0 30 2 * x", "0 0 31 2,4,6,9,11 * x"])
def test_what_never_comes_has_no_next_time(line: str) -> None:
    assert next_time(line, utc(2026, 11, 24)) is None


def test_the_user_column_is_no_part_of_the_command_and_the_command_is_kept_raw() -> None:
    entry = cron.parse_line("17 *\t* * *  root\tcd / &&  date +\\%F%input\r", "/etc/crontab", 9, user_column=True)
    assert (entry.user, entry.command) == ("root", "cd / &&  date +\\%F%input\r")
    assert (entry.source_path, entry.line_number, entry.fields) == ("/etc/crontab", 9, ("17", "*", "*", "*", "*"))
    assert cron.parse_line("@daily root x y", user_column=True).command == "x y"


def test_settings_count_for_the_lines_below_them() -> None:
    table = cron.parse('# m h\nMAILTO=""\n0 4 * * * a=1 first\n "SHELL" = /bin/bash\n0 5 * * * second\n')
    first, second = table.entries
    assert first.settings == {"MAILTO": ""} and first.command == "a=1 first" and first.line_number == 3
    assert second.settings == {"MAILTO": "", "SHELL": "/bin/bash"}


@pytest.mark.parametrize("line, reason", [
    ("60 4 * * * x", "minute"), ("0 24 * * * x", "hour"), ("0 4 0 * * x", "day of the month"),
    ("0 4 * 13 * x", "month"),
    ("0 4 * * 8 x", "day of the week"), ("0 4 * * sat-sun x", "empty range"), ("*/0 4 * * * x", "empty range"),
    ("0/5 4 * * * x", "step without a range"), ("0 4 * * *", "no command"), ("@daily", "no command"),
    ("@fortnightly x", "@fortnightly"),
    ("certbot renew", "fewer than five"), ("0 4 * foo * x", "month"), ("1,,2 4 * * * x", "minute"),
    ("١ 4 * * * x", "minute"),
])
def test_what_cron_would_not_take_is_kept_with_the_reason(line: str, reason: str) -> None:
    table = cron.parse(f"0 1 * * * fine\n{line}\n")
    (number, text, why), = table.unreadable
    assert (number, text) == (2, line) and reason in why and len(table.entries) == 1


@given(st.text(max_size=200) | st.from_regex(r"\A[-0-9*/,a-z@ ]{1,40}\Z"), st.booleans())
def test_no_line_makes_it_fail(text: str, user_column: bool) -> None:
    for entry in cron.parse(text, user_column=user_column).entries:
        entry.next_after(utc(2026, 11, 24), BERLIN)


# -- nights in which the clocks change ---------------------------------------------------------------------------------


def test_a_time_that_is_left_out_counts_as_the_first_minute_after() -> None:
    assert next_time("30 2 * * * x", utc(2026, 3, 29, 0, 0)) == utc(2026, 3, 29, 1, 0)  # 03:00 in summer
    assert next_time("30 0 * * * x", utc(2026, 3, 8, 4, 30), HAVANA) == utc(2026, 3, 8, 5, 0)  # at midnight, there
    assert next_time("0 4 30 12 * x", utc(2011, 12, 20), SAMOA) == utc(2011, 12, 30, 10, 0)  # a day that never was


def test_a_time_that_comes_twice_counts_once_unless_it_follows_the_clock() -> None:
    assert next_time("30 2 * * * x", utc(2026, 10, 25, 0, 0)) == utc(2026, 10, 25, 0, 30)
    assert next_time("30 2 * * * x", utc(2026, 10, 25, 0, 30)) == utc(2026, 10, 26, 1, 30)
    assert next_time("30 * * * * x", utc(2026, 10, 25, 0, 30)) == utc(2026, 10, 25, 1, 30)


def test_a_day_may_begin_twice() -> None:
    # St. John's, until 2011: at one minute past midnight it was one minute past eleven again
    assert next_time("*/30 * * * * x", utc(2010, 11, 7, 2, 29, 30), ST_JOHNS) == utc(2010, 11, 7, 2, 30)
    assert next_time("*/30 * * * * x", utc(2010, 11, 7, 2, 30), ST_JOHNS) == utc(2010, 11, 7, 3, 0)
    assert next_time("0 0 * * * x", utc(2010, 11, 7, 2, 30), ST_JOHNS) == utc(2010, 11, 8, 3, 30)


def _field(low: int, high: int, *more: str) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    part = number.map(str) | span | st.tuples(span | st.just("*"), st.integers(1, 20)).map("{0[0]}/{0[1]}".format)
    return st.just("*") | st.lists(part | st.sampled_from(more) if more else part, min_size=1, max_size=3).map(",".join)


LINES = st.tuples(_field(0, 59), _field(0, 23), st.just("*") | _field(1, 31), st.just("*"),
                  st.just("*") | _field(0, 7, "sun", "Mon")).map(lambda fields: " ".join(fields) + " x")
CHANGES = {BERLIN: [utc(2026, 3, 29, 1), utc(2026, 10, 25, 1)], HAVANA: [utc(2026, 3, 8, 5), utc(2026, 11, 1, 5)],
           LORD_HOWE: [utc(2026, 4, 4, 15), utc(2026, 10, 3, 15, 30)], SAMOA: [utc(2011, 12, 30, 10)],
           ST_JOHNS: [utc(2010, 11, 7, 2, 31)]}
NEAR_A_CHANGE = st.sampled_from([(zone, moment) for zone, moments in CHANGES.items() for moment in moments])


@settings(max_examples=60, deadline=None)
@given(LINES, NEAR_A_CHANGE, st.integers(-30 * 3600, 6 * 3600))
def test_it_is_the_time_at_which_a_watched_clock_would_run_it(line: str, change: tuple[ZoneInfo, datetime],
                                                              seconds: int) -> None:
    zone, moment = change
    now = moment + timedelta(seconds=seconds)
    entry = cron.parse_line(line)
    expected, found = walked(entry, now, zone, days=3), entry.next_after(now, zone)
    if expected is None:
        assert found is None or found > now + timedelta(days=2, hours=23)
    else:
        assert found == expected


@pytest.mark.parametrize("command, expected", [
    ("certbot -q renew", True), ("{ path=/usr/bin/certbot ; argv[]=/usr/bin/certbot -q renew ; pid=0 }", True),
    ("{ argv[]=/usr/bin/snap run --timer=00:00~24:00/2 certbot.renew ; pid=0 }", True), ("sh -c 'certbot renew'", True),
    ('certbot --pre-hook "a; b" renew', True), ("certbot-guard run -- /usr/bin/certbot -q renew", True),
    ("certbot certificates | mail -s renewals", False), ("certbot certificates; x renew", False),
    ("rsync -a /etc/letsencrypt /backup", False), ("certbot-guard recover; x renew", False),
    ("certbot-tools renew", False), ("certbot --force-renewal certonly", False), ("certbot certificates # renew", False)])
def test_a_command_renews_if_certbot_is_told_to(command: str, expected: bool) -> None:
    assert cron.renews(command) is expected


@pytest.mark.parametrize("unit", ["certbot ", "certbot-guard run ", "'\"", "\\\\", "'", "certbot/"])
def test_the_time_to_see_that_is_bounded(unit: str) -> None:
    began = time.process_time()
    cron.renews(unit * 8192)
    assert time.process_time() - began < 0.5
