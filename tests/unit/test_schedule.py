"""The next attempt, from crontabs in a directory of the test's own and a systemd that is played."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Optional, Sequence
from zoneinfo import ZoneInfo

import pytest

from certbot_guard import crontables, schedule, timers
from certbot_guard.schedule import Attempt

UTC = timezone.utc
NOW = datetime(2026, 11, 24, 4, 15, 30, tzinfo=UTC)
DEBIAN = """# /etc/cron.d/certbot: crontab entries for the certbot package
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

0 */12 * * * root test -x /usr/bin/env -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))' \
&& certbot -q renew
"""
# systemctl show, as systemd 252 prints it
TIMER = """Unit=certbot.service
TimersCalendar={{ OnCalendar=*-*-* 00,12:00:00 ; next_elapse=Tue 2026-11-24 00:00:00 UTC }}
TimersCalendar={{ OnCalendar=Sun *-*-* 03:00:00 ; next_elapse=Tue 2026-11-24 00:00:00 UTC }}
NextElapseUSecRealtime={realtime}
NextElapseUSecMonotonic={monotonic}
RandomizedDelayUSec=12h
Id={name}
ActiveState={active}
SubState={sub}
"""


@pytest.fixture
def places(tmp_path: Path) -> schedule.Places:
    for name in ("cron.d", "spool", "cron.hourly", "cron.daily"):
        (tmp_path / name).mkdir()
    return schedule.Places(
        crontab=tmp_path / "crontab", cron_d=tmp_path / "cron.d", users=[tmp_path / "spool/root"],
        periodic=[tmp_path / "cron.hourly", tmp_path / "cron.daily"], anacrontab=tmp_path / "anacrontab",
        plain_names=True)


def ask(timer: str = "", services: str = "", calendar: str = "") -> Callable[[Sequence[str], float], str]:
    def answer(command: Sequence[str], seconds: float) -> str:
        assert 0 < seconds <= 2
        if command[0] == "systemd-analyze":
            return calendar if command[-1] == "*-*-* 00,12:00:00" else ""
        return timer if "*.timer" in command else services
    return answer


def look(places: schedule.Places, systemd: Any = None, now: datetime = NOW, zone: Any = UTC) -> Optional[Attempt]:
    return schedule.next_attempt(now, places, ask=systemd, systemd=systemd is not None, zone=zone)


def words(attempt: Optional[Attempt]) -> str:
    return schedule.words(attempt, NOW)


# -- cron --------------------------------------------------------------------------------------------------------------


def test_where_nothing_runs_certbot_it_says_so(places: schedule.Places) -> None:
    places.crontab.write_text("0 4 * * * root apachectl graceful\n0 5 * * * root certbot-guard recover\n"
                              "# 0 4 * * * certbot renew\n"
                              "0 6 * * * root certbot certificates\n")
    assert look(places) is None
    assert words(None) == "no timer and no crontab line that runs certbot was found"


def test_the_line_of_the_story_in_roots_crontab(places: schedule.Places) -> None:
    places.users[0].write_text("SHELL=/bin/bash\n\n"
                               "00 04 01,15 * * apachectl graceful-stop && certbot renew --force-renewal "
                               "&& apachectl start\n")
    found = look(places, now=datetime(2018, 11, 30, 19, 0, 23, tzinfo=UTC), zone=ZoneInfo("Asia/Tokyo"))
    assert found == Attempt(datetime(2018, 12, 14, 19, 0, tzinfo=UTC), f"{places.users[0]}, line 3")


def test_the_earliest_of_several_lines_is_the_next(places: schedule.Places) -> None:
    places.crontab.write_text("0 9 * * * root certbot renew\n")
    (places.cron_d / "mine").write_text("30 7 * * * root certbot-guard run -- renew\n")
    (places.cron_d / "mine.bak").write_text("0 5 * * * root certbot renew\n")  # cron does not read it
    found = look(places)
    assert words(found) == f"2026-11-24 07:30 UTC, in 3 hours ({places.cron_d}/mine, line 1)"


def test_where_names_with_a_dot_are_read_they_count(places: schedule.Places) -> None:
    (places.cron_d / "le.cron").write_text("0 5 * * * root certbot renew\n")
    (places.cron_d / "le.rpmsave").write_text("0 4 * * * root certbot renew\n")
    found = look(schedule.Places(**{**vars(places), "plain_names": False}))
    assert found is not None and found.source.endswith("le.cron, line 1")


def test_debians_line_sleeps_at_random_and_does_nothing_where_systemd_runs(places: schedule.Places) -> None:
    (places.cron_d / "certbot").write_text(DEBIAN)
    assert words(look(places)) == (
        f"at 2026-11-24 12:00 UTC or up to 12 hours later ({places.cron_d}/certbot, line 5)")
    assert look(places, systemd=ask()) is None
    (places.cron_d / "certbot").write_text(DEBIAN.replace("/usr/bin/env", "/nonexistent/certbot"))
    assert look(places) is None


@pytest.mark.parametrize("sleep, seconds", [
    ("python -c 'import random; import time; time.sleep(random.random() * 3600)' && certbot renew", 3600),
    ("sleep $((RANDOM \\% 1800)); certbot renew", 1800), ("sleep 600 && certbot renew -q", 600),
    ("certbot renew", None)])
def test_how_long_a_line_sleeps_is_read_from_it(places: schedule.Places, sleep: str, seconds: Optional[float]) -> None:
    places.users[0].write_text(f"0 5 * * * {sleep}\n")
    found = look(places)
    assert found is not None and found.spread_seconds == seconds


def _daily(places: schedule.Places, name: str, text: str, mode: int = 0o755) -> Path:
    path = places.periodic[1] / name
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_script_in_cron_daily_runs_when_the_crontab_says(places: schedule.Places) -> None:
    script = _daily(places, "letsencrypt", "#!/bin/sh\n# certbot renew, by night\ncertbot \\\n  renew\n")
    places.crontab.write_text(f"25 6 * * * root test -x /nowhere/anacron || run-parts {places.periodic[1]}\n")
    assert words(look(places)) == f"2026-11-24 06:25 UTC, in 2 hours ({script})"


@pytest.mark.parametrize("name, text, mode", [
    ("le.sh", "certbot renew\n", 0o755), ("le", "# certbot renew\n", 0o755), ("le", "certbot renew\n", 0o644)])
def test_a_script_that_run_parts_passes_over_is_none(places: schedule.Places, name: str, text: str, mode: int) -> None:
    _daily(places, name, text, mode)
    places.crontab.write_text(f"25 6 * * * root run-parts {places.periodic[1]}\n")
    assert look(places) is None


def test_when_anacron_will_run_a_script_nobody_knows(places: schedule.Places, tmp_path: Path) -> None:
    script = _daily(places, "le", "certbot renew\n")
    anacron = tmp_path / "anacron"
    anacron.write_text("")
    anacron.chmod(0o755)
    places.crontab.write_text(f"25 6 * * * root test -x {anacron} || run-parts {places.periodic[1]}\n")
    assert words(look(places)) == f"at a time that is not known ({script}, run by anacron)"
    places.crontab.write_text("")
    places.anacrontab.write_text(f"1\t5\tcron.daily\t\tnice run-parts {places.periodic[1]}\n")
    assert words(look(places)) == f"at a time that is not known ({script}, run by anacron)"


def test_pipes_directories_and_rubbish_in_the_place_of_a_table_hold_nobody_up(places: schedule.Places) -> None:
    os.mkfifo(places.crontab)
    (places.cron_d / "directory").mkdir()
    (places.cron_d / "loop").symlink_to("loop")
    (places.cron_d / "zero").symlink_to("/dev/zero")
    (places.cron_d / "binary").write_bytes(bytes(range(256)) * 4000)
    (places.cron_d / "right").write_text("0 5 * * * root certbot renew\n")
    began = time.monotonic()
    found = look(places)
    assert crontables.read(Path("/dev/zero")) == ""
    assert found is not None and found.source.endswith("right, line 1") and time.monotonic() - began < 1


# -- systemd -----------------------------------------------------------------------------------------------------------


def timer(name: str = "certbot.timer", realtime: str = "Tue 2026-11-24 16:17:42 UTC", monotonic: str = "infinity",
          active: str = "active", sub: str = "waiting") -> str:
    return TIMER.format(name=name, realtime=realtime, monotonic=monotonic, active=active, sub=sub)


def test_a_timer_that_waits_says_when(places: schedule.Places) -> None:
    assert words(look(places, ask(timer()))) == "2026-11-24 16:17 UTC, in 12 hours (certbot.timer)"


CALENDAR = """  Normalized form: *-*-* 00,12:00:00
    Next elapse: Tue 2026-11-24 12:00:00 CET
       (in UTC): Tue 2026-11-24 11:00:00 UTC
       From now: 7h left
"""


@pytest.mark.parametrize("realtime", ["Tue 2026-11-24 04:15:00 UTC", "", "n/a"])
def test_a_timer_whose_service_runs_now_is_asked_for_its_calendar(places: schedule.Places, realtime: str) -> None:
    found = look(places, ask(timer(realtime=realtime, sub="running"), calendar=CALENDAR))
    assert words(found) == "at 2026-11-24 11:00 UTC or up to 12 hours later (certbot.timer)"


def test_a_timer_without_a_calendar_that_runs_now_comes_again_nobody_knows_when(places: schedule.Places) -> None:
    found = look(places, ask(timer(realtime="", sub="running")))
    assert words(found) == "at a time that is not known (certbot.timer)"


def test_systemd_219_shows_the_time_as_a_span_since_1970(places: schedule.Places) -> None:
    # 2026-11-24 16:17:42 UTC, as format_timespan() of that version cuts it
    seconds = int(datetime(2026, 11, 24, 16, 17, 42, tzinfo=UTC).timestamp())
    years, rest = divmod(seconds, 31557600)
    months, rest = divmod(rest, 2629800)
    found = look(places, ask(timer(realtime=f"{years}y {months}month {rest // 86400}d {rest % 86400}s")))
    assert found is not None and found.when == datetime(2026, 11, 24, 16, 17, 42, tzinfo=UTC)


def test_a_timer_of_another_name_counts_if_its_service_runs_certbot(places: schedule.Places) -> None:
    service = "ExecStart={{ path=/opt/x ; argv[]={} ; ignore_errors=no ; pid=0 }}\nId=certbot.service\n"
    uptime = time.monotonic() + 3600
    shown = timer("mine.timer", realtime="", monotonic=f"{int(uptime)}s")
    found = look(places, ask(shown, service.format("/opt/certbot renew")))
    assert found is not None and found.source == "mine.timer" and found.when is not None
    assert abs(found.when - NOW - timedelta(hours=1)) < timedelta(seconds=5)
    assert look(places, ask(shown, service.format("/usr/bin/certbot-guard recover --quiet"))) is None
    assert look(places, ask(shown, service.format("/usr/bin/apt-get update"))) is None


def test_a_timer_that_is_not_active_is_none(places: schedule.Places) -> None:
    assert look(places, ask(timer(active="inactive", sub="dead"))) is None


def test_the_earlier_of_timer_and_crontab_is_the_next(places: schedule.Places) -> None:
    places.users[0].write_text("0 5 * * * certbot renew\n")
    found = look(places, ask(timer()))
    assert found is not None and found.source.endswith("line 1")
    found = look(places, ask(timer(realtime="", sub="running")))  # whose time is not known
    assert found is not None and found.source.endswith("line 1")


def _fails(command: Sequence[str], seconds: float) -> str:
    raise OSError("no bus")


@pytest.mark.parametrize("systemd", [_fails, ask("\x00\n\n=\n===\nId=certbot.timer"),
                                     ask("Id=certbot.timer\nActiveState=active\n")])
def test_a_systemd_that_does_not_answer_hides_no_crontab(places: schedule.Places, systemd: Any) -> None:
    places.users[0].write_text("0 5 * * * certbot renew\n")
    found = look(places, systemd)
    assert found is not None and found.source.endswith("line 1")


def test_a_calendar_that_cannot_be_asked_for_hides_no_other_timer(places: schedule.Places) -> None:
    def answer(command: Sequence[str], seconds: float) -> str:
        if command[0] == "systemd-analyze":
            raise TimeoutError("systemd takes too long")
        return timer("certbot-renew.timer", realtime="") + "\n\n" + timer()
    assert words(look(places, answer)) == "2026-11-24 16:17 UTC, in 12 hours (certbot.timer)"


def test_it_is_back_within_two_seconds_when_systemctl_hangs(places: schedule.Places, tmp_path: Path) -> None:
    hanging = tmp_path / "hang"
    hanging.write_text("#!/bin/sh\nsleep 30\n")
    hanging.chmod(0o755)
    places.users[0].write_text("0 5 * * * certbot renew\n")
    began = time.monotonic()
    found = look(places, lambda command, seconds: timers.systemd([str(hanging)], seconds))
    assert time.monotonic() - began < 2.2
    assert found is not None and found.source.endswith("line 1")


def test_what_is_shown_is_one_harmless_line() -> None:
    shown = words(Attempt(NOW, "/etc/cron.d/<!channel>\n@everyone\x1b[31m", None))
    assert "\n" not in shown and "<" not in shown and "@" not in shown and "\x1b" not in shown


@pytest.mark.parametrize("seconds, shown", [(20, "less than a minute"), (60, "1 minute"), (600, "10 minutes"),
                                            (3600 * 1.6, "2 hours"), (3600 * 47, "47 hours"), (86400 * 20, "20 days")])
def test_a_length_is_told_as_people_do(seconds: float, shown: str) -> None:
    assert f", in {shown} (" in words(Attempt(NOW + timedelta(seconds=seconds), "x"))


def test_of_two_lines_that_run_a_directory_the_sooner_counts(places: schedule.Places) -> None:
    script = _daily(places, "le", "certbot renew\n")
    places.crontab.write_text(f"25 9 * * * root run-parts {places.periodic[1]}\n"
                              f"25 6 * * * root run-parts {places.periodic[1]}\n")
    assert words(look(places)) == f"2026-11-24 06:25 UTC, in 2 hours ({script})"


def test_a_timer_that_saves_certbots_files_is_no_attempt(places: schedule.Places) -> None:
    service = "ExecStart={ argv[]=/usr/bin/rsync -a /etc/letsencrypt /backup ; pid=0 }\nId=certbot.service\n"
    assert look(places, ask(timer("backup.timer"), service)) is None
