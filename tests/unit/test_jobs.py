"""What starts certbot by itself: crontabs in a directory of the test's own, and a systemd that is played."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

import pytest

from certbot_guard import certbotlines, crondaemon, jobs, serviceunits
from certbot_guard.schedule import Places

STORY = "00 04 01,15 * * apachectl graceful-stop && certbot renew --force-renewal && apachectl start"
DEBIAN = ("SHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin\n\n0 */12 * * * root "
          "test -x /usr/bin/env -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))' && certbot -q "
          "renew\n")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("cron.d", "spool", "cron.daily", "cron.weekly", "bin", "etc", "lib"):
        (tmp_path / name).mkdir()
    return Places(crontab=tmp_path / "crontab", cron_d=tmp_path / "cron.d", users=[tmp_path / "spool/root"],
                  periodic=[tmp_path / "cron.daily", tmp_path / "cron.weekly"], anacrontab=tmp_path / "anacrontab",
                  plain_names=True)


def program(path: Path, said: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(said)
    path.chmod(0o755)
    return path


def find(places: Places, ask: Any = None) -> list[jobs.Job]:
    return jobs.find(places, ask, systemd=ask is not None)


def test_the_line_of_the_story(places: Places) -> None:
    places.users[0].write_text(f"SHELL=/bin/bash\nPATH=/sbin:/bin\n\n{STORY}\n0 5 * * * true\n")
    (found,) = find(places)
    assert (found.source, found.line_number, found.text) == (f"{places.users[0]}, line 4", 4, STORY)
    assert found.path == places.users[0] and found.command == STORY[16:] and found.shell and found.under == "cron"
    assert found.settings == {"SHELL": "/bin/bash", "PATH": "/sbin:/bin"} and found.user == "" and found.active is None
    assert found.runs_per_month == pytest.approx(2, abs=0.1) and found.fields == ("00", "04", "01,15", "*", "*")
    assert [start.words for start in found.starts()] == [("renew", "--force-renewal")]


def test_debians_line_is_a_job_only_where_systemd_is_not(places: Places) -> None:
    (places.cron_d / "certbot").write_text(DEBIAN)
    (found,) = find(places)
    assert found.user == "root" and found.runs_per_month == 60
    assert find(places, ask=lambda _command, _seconds: "") == []


@pytest.mark.parametrize("wanted", ["test -x {} -a \\! -d /run/systemd/system &&", "test -x {} &&", "[ -x {} ] &&"])
def test_a_line_for_a_certbot_that_was_removed_is_no_job(places: Places, wanted: str) -> None:
    line = f"0 */12 * * * root {wanted} certbot -q renew\n"
    (places.cron_d / "certbot").write_text(line.format(places.crontab.parent / "bin" / "certbot"))
    assert find(places) == []
    (places.crontab.parent / "bin" / "certbot").touch(mode=0o755)
    assert len(find(places)) == 1
    (places.cron_d / "certbot").write_text("0 0 * * * root test -x /nonexistent || certbot renew\n")
    assert len(find(places)) == 1


@pytest.mark.parametrize(("line", "often"), [
    ("0 0,12 * * *", 60), ("0 3 * * *", 30), ("0 3 * * 1", 30 / 7), ("@weekly", 30 / 7), ("@monthly", 1), ("@reboot",
    None),
    ("* */12 * * *", 3600), ("0 0 1 4 *", 30 / 365),
])
def test_how_often_a_line_runs(places: Places, line: str, often: Optional[float]) -> None:
    places.users[0].write_text(f"{line} certbot renew\n")
    assert find(places)[0].runs_per_month == (often if often is None else pytest.approx(often, rel=0.02))


@pytest.mark.parametrize(("line", "said"), [
    ("certbot renew", "certbot renew"), ("sudo -n /opt/c/certbot -q renew", "/opt/c/certbot renew"),
    ("/opt/certbot/bin/python -c 'import time' && sudo certbot renew -q", "certbot renew"),
    ("certbot-guard run --retry-for 6h -- /x/certbot renew", "/x/certbot renew guarded"),
    ("sh -c 'certbot-guard run certbot renew'", "certbot renew guarded"),
    ("/s/bin/python3 -I /g/certbot_guard/start.py certbot_guard.cli run -- /x/certbot renew", "/x/certbot renew guarded"),
    ("python3 -I -m certbot_guard.cli run -- certbot renew", "certbot renew guarded"),
    ("snap run certbot.renew", "/snap/bin/certbot.renew renew"), ("su root -c 'certbot renew'", "certbot renew"),
    ("python3 -m certbot renew", " renew"), ("docker run certbot/certbot renew", " renew"),
    ("docker compose exec web certbot renew", " renew"), ("if a; then certbot renew; fi", "certbot renew"),
    ("(sleep 1; certbot renew)", "certbot renew"), ("{ sleep 1; certbot renew -n; } >/dev/null", "certbot renew"),
    ("! ( certbot renew --pre-hook '( a; b )' )", "certbot renew"), ("( echo certbot renew )", ""),
    ("( certbot renew", "certbot renew"),
    ("certbot --apache -n -d example.com", "certbot "),
    ("letsencrypt renew", "letsencrypt renew"), ("/opt/certbot-auto renew", "/opt/certbot-auto renew"),
    ("a; certbot certonly -d x; certbot renew", "certbot certonly, certbot renew"),
    ("run-one certbot renew", "certbot renew"),
    # these start none that may get a certificate
    ("certbot certificates", ""), ("echo certbot renew", ""), ("grep certbot /x renew", ""),
    ("true # certbot renew", ""),
    ("certbot renew --dry-run", ""), ("/opt/acme.sh/acme.sh --cron", ""), ("ls /etc/letsencrypt/renewal", ""),
    ("certbot", ""), ("certbot-guard watch", ""), ("tar cf x certbot renew", ""),
])
def test_which_certbot_a_line_starts(line: str, said: str) -> None:
    assert ", ".join(f"{start.program} {start.verb}{' guarded' * start.guarded}"
                     for start in certbotlines.starts(line)) == said


def test_options_are_read_in_each_spelling() -> None:
    (start,) = certbotlines.starts("certbot renew --installer=guard -inginx --pre-hook 'a b' --post-hook=c -w")
    assert start.value("--installer") == "guard" and start.value("-i") == "nginx" and start.value("--pre-hook") == "a b"
    assert start.value("--post-hook") == "c" and start.value("-w") == "" and start.value("--cert-name") is None


def test_scripts_that_cron_runs(places: Places, tmp_path: Path) -> None:
    script = program(tmp_path / "bin/renew",
    "#!/bin/bash -e\n# certbot renew\nPATH=/opt/certbot/bin:$PATH\nif true; then\n  certbot renew\nfi\n")
    program(tmp_path / "bin/other", "#!/bin/sh\necho certbot\n")
    program(tmp_path / "bin/python", "#!/usr/bin/python3\ncertbot renew\n")
    plain = tmp_path / "bin/plain.sh"
    plain.write_text("certbot renew --force-renewal\n")
    places.crontab.write_text(f"0 3 * * 0 root cd / && {script} >/dev/null\n0 4 * * * root sh {plain}\n0 5 * * * root "
                              f"{tmp_path}/bin/other\n0 6 * * * root {tmp_path}/bin/python\n")
    first, second = find(places)
    assert (first.source, first.text, first.under) == (f"{script}, line 5", "  certbot renew", "script")
    assert first.caller is not None and first.caller.source == f"{places.crontab}, line 1"
    assert first.runs_per_month == first.caller.runs_per_month and first.user == "root"
    assert first.settings["PATH"] == "/opt/certbot/bin:/usr/bin:/bin" and "# certbot" not in first.body
    assert second.source == f"{plain}, line 1" and second.starts()[0].forces


def test_options_are_read_inside_of_brackets() -> None:
    (start,) = certbotlines.starts("( certbot renew --pre-hook '( a; b )' --post-hook=c; )")
    assert start.read and start.value("--pre-hook") == "( a; b )" and start.value("--post-hook") == "c"


@pytest.mark.parametrize(("line", "options"), [
    ('if ! out=$(certbot renew -q 2>&1); then echo "$out" | mail root; fi', ["-q"]),
    ("( apachectl stop; out=$(certbot renew --force-renewal 2>&1); apachectl start ) | logger", ["--force-renewal"]),
    ("{ out=`certbot renew -q`; }", ["-q"]), ('out="$(certbot renew -q)"; echo "$out"', ["-q"]),
    ("if true; then certbot renew -q --deploy-hook \"$(cat /etc/letsencrypt/hook)\"; fi", ["-q"]),
    ("if x=$(pgrep certbot); then echo $x renew; fi", None), ("{ x=$(date); echo certbot renew; }", None),
    ("if command -v certbot; then x=$(date); echo certbot renew; fi", None),
])
def test_certbot_in_a_substitution_is_started_too(places: Places, line: str, options: Optional[list[str]]) -> None:
    (places.cron_d / "le").write_text(f"17 4,16 * * * root {line}\n")
    starts = [start for job in find(places) for start in job.starts()]
    assert [start.verb for start in starts] == ([] if options is None else ["renew"])
    assert all(start.has(*(options or ())) for start in starts)


def test_scripts_that_a_crontab_line_runs_in_brackets(places: Places, tmp_path: Path) -> None:
    script = program(tmp_path / "bin/renew", "#!/bin/sh\n{\n  certbot renew\n} >/dev/null\n")
    places.crontab.write_text(f"0 3 * * 0 root ( cd / && {{ {script}; }} ) >/dev/null 2>&1 || true\n")
    (found,) = find(places)
    assert (found.source, found.under) == (f"{script}, line 3", "script")


def test_scripts_of_run_parts(places: Places) -> None:
    program(places.periodic[0] / "certbot", "#!/bin/sh\ncertbot renew\n")
    program(places.periodic[1] / "le", "#!/bin/sh\nletsencrypt \\\n  renew\n")
    program(places.periodic[0] / "renew.sh", "#!/bin/sh\ncertbot renew\n")  # run-parts leaves out names with a dot
    program(places.periodic[0] / "off", "#!/bin/sh\ncertbot renew\n").chmod(0o644)
    found = find(places)
    (passed,) = jobs.refused(places)
    assert (passed.source, passed.refused) == (f"{places.periodic[0]}/renew.sh, line 2",
                                               f"{jobs.NOT_ITS_NAME} (renew.sh)")
    assert [(job.source, job.runs_per_month) for job in found] == [
        (f"{places.periodic[0]}/certbot, line 2", 30.0), (f"{places.periodic[1]}/le", pytest.approx(30 / 7))]


def test_lines_that_cron_refuses_are_no_jobs(places: Places) -> None:
    (places.cron_d / "certbot").write_text("0 3 * * * certbot renew\n0 3 * * * /usr/bin/certbot renew\n99 * * * * "
                                           "root certbot renew\n0 3 * * * root certbot renew\n99 * * * * root "
                                           "true\n0 3 * * * /bin/true x\n")
    assert [job.line_number for job in find(places)] == [4]
    assert sorted((job.line_number, job.refused) for job in jobs.refused(places)) == [
        (1, "there is no user's name before the command"), (2, "there is no user's name before the command"),
        (3, "the minute 99 is not between 0 and 59")]
    assert jobs.refused(Places(crontab=places.crontab, cron_d=places.crontab, users=(), periodic=())) == []


def test_a_percent_ends_the_command(places: Places) -> None:
    places.users[0].write_text("0 3 * * * sleep $((RANDOM % 60)) && certbot renew\n0 3 * * * certbot renew "
                               ">/l-$(date +\\%F)\n")
    first, second = find(places)
    assert first.command == "sleep $((RANDOM " and first.cut == "% 60)) && certbot renew" and first.starts()
    assert second.command == "certbot renew >/l-$(date +%F)" and second.cut == ""


def test_the_programs_are_those_of_the_jobs_own_path(places: Places, tmp_path: Path) -> None:
    here = program(tmp_path / "bin/certbot")
    program(tmp_path / "venv/bin/python3")
    venv = program(tmp_path / "venv/bin/certbot")
    places.users[0].write_text(f"PATH={tmp_path}/none:{tmp_path}/bin\n0 3 * * * certbot renew; certbot renew\n0 4 * * "
                               f"* certbot-guard run -- {venv} renew\n0 5 * * * {tmp_path}/venv/bin/python3 -m "
                               "certbot renew\nPATH=/none\n0 6 * * * certbot renew\n0 7 * * * docker run certbot "
                               "renew; ./certbot renew\n")
    assert [jobs.programs(job) for job in find(places)] == [[here], [venv], [venv], [], []]


# -- systemd -----------------------------------------------------------------------------------------------------------

TIMER = """Unit={unit}
TimersCalendar={{ OnCalendar={calendar} ; next_elapse=Tue 2026-11-24 00:00:00 UTC }}
Id={timer}
LoadState=loaded
ActiveState={active}
"""


def ask(timers_: str, services: str, calendar: str = "") -> Callable[[Sequence[str], float], str]:
    def answer(command: Sequence[str], seconds: float) -> str:
        assert 0 < seconds <= jobs.SYSTEMD_SECONDS
        if command[0] == "systemd-analyze":
            return calendar
        return timers_ if command[-1].endswith(".timer") else services
    return answer


def timer(name: str = "certbot", active: str = "active", calendar: str = "*-*-* 00,12:00:00") -> str:
    return TIMER.format(unit=f"{name}.service", timer=f"{name}.timer", active=active, calendar=calendar) + "\n"


def service(path: Path, drop_ins: str = "", name: str = "certbot", said: str = "") -> str:
    return f"Id={name}.service\nLoadState=loaded\nFragmentPath={path}\nDropInPaths={drop_ins}\nExecStart={said}\n\n"


def test_debians_timer(places: Places, tmp_path: Path) -> None:
    unit = tmp_path / "lib/certbot.service"
    unit.write_text("[Unit]\nDescription=Certbot\n[Service]\nType=oneshot\nExecStart=/usr/bin/certbot -q "
                    "renew\nPrivateTmp=true\n")
    (found,) = find(places, ask(timer(), service(unit)))
    assert (found.source, found.text, found.line_number) == (f"certbot.service ({unit})",
    "ExecStart=/usr/bin/certbot -q renew", 5)
    assert (found.unit, found.timer, found.active, found.under) == ("certbot.service", "certbot.timer", True, "systemd")
    assert found.command == "/usr/bin/certbot -q renew" and not found.shell and found.runs_per_month == 60
    (off,) = find(places, ask(timer(active="inactive"), service(unit)))
    assert off.active is False


def test_drop_ins_take_back_and_add(places: Places, tmp_path: Path) -> None:
    unit, drop_in = tmp_path / "lib/certbot.service", tmp_path / "etc/override.conf"
    unit.write_text("[Service]\nExecStart=/usr/bin/certbot -q renew\n")
    drop_in.write_text("# mine\n[Service]\nExecStartPre=/bin/systemctl stop "
                       "apache2\nExecStart=\nExecStart=/opt/certbot \\\n   renew\nExecStartPost=/bin/systemctl start "
                       "apache2\nEnvironment=PATH=/opt/bin 'A=b c'\nUser=le\n")
    (found,) = find(places, ask(timer(), service(unit, str(drop_in))))
    assert found.command == "/opt/certbot  renew" and found.path == drop_in and found.line_number == 5
    assert found.before == ("/bin/systemctl stop apache2",) and found.after == ("/bin/systemctl start apache2",)
    assert found.settings == {"PATH": "/opt/bin", "A": "b c"} and found.user == "le"


def test_a_timer_of_his_own_and_what_it_runs(places: Places, tmp_path: Path) -> None:
    script = program(tmp_path / "bin/renew.sh", "#!/bin/sh\napachectl stop\ncertbot renew\napachectl start\n")
    unit = tmp_path / "etc/mine.service"
    unit.write_text(f"[Service]\nExecStart={script}\n")
    elapses = "\n".join(f"{'    Next elapse' if not n else f'       Iter. #{n + 1}'}: Tue 2026-{n + 1:02}-01 03:00:00 "
                        "UTC" for n in range(12))
    monthly = timer("mine", calendar="*-*-01 03:00:00")
    (found,) = find(places, ask(monthly, service(unit, name="mine"), elapses))
    assert found.source == f"{script}, line 3" and found.unit == "mine.service" and found.timer == "mine.timer"
    assert found.runs_per_month == pytest.approx(1, abs=0.02)
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    assert find(places, ask(monthly, service(unit, name="mine"))) == []
    assert find(places, ask(timer("mine", active="inactive"), service(unit, name="mine"))) == []


def test_a_unit_file_that_cannot_be_read_is_told_by_systemd(places: Places, tmp_path: Path) -> None:
    said = "{ path=/usr/bin/certbot ; argv[]=/usr/bin/certbot -q renew ; ignore_errors=no ; pid=0 }"
    (found,) = find(places, ask(timer(calendar="odd"), service(tmp_path / "none", said=said)))
    assert found.command == "/usr/bin/certbot -q renew" and found.path is None and found.runs_per_month is None


def test_spans_count_too() -> None:
    def asks(command: Sequence[str], _seconds: float) -> str:
        if command[-1].endswith(".timer"):
            return ("Id=certbot.timer\nUnit=certbot.service\nActiveState=active\nLoadState=loaded\nTimersMonotonic={ "
                    "OnUnitActiveUSec=12h ; next_elapse=1h }\n")
        return "Id=certbot.service\nLoadState=loaded\n"

    (found,) = serviceunits.started_by_timers(time.monotonic() + 3, asks)
    assert found.runs_per_month == 60


def test_a_systemd_that_does_not_answer_costs_its_own_jobs_only(places: Places) -> None:
    def broken(_command: Sequence[str], _seconds: float) -> str:
        raise TimeoutError("systemd takes too long")

    places.users[0].write_text(STORY + "\n")
    assert [job.line_number for job in find(places, broken)] == [1]


def test_hostile_files_are_no_trouble(places: Places, tmp_path: Path) -> None:
    places.users[0].write_bytes(b"0 3 * * * certbot renew \xff\x00'\n" + b"0 3 * * * " + b"certbot " * 20_000 + b"\n")
    program(places.periodic[0] / "certbot", "#!/bin/sh\n" + "certbot renew '\n" * 3000)
    (places.cron_d / "fifo").mkdir()
    unit = tmp_path / "etc/certbot.service"
    unit.write_bytes(b"[Service]\nExecStart=/usr/bin/certbot 'renew\nExecStart=\\\n\\\nExecStartPre=\x00\xff\n")
    began = time.monotonic()
    found = find(places, ask(timer(), service(unit)))
    assert [job.under for job in found] and time.monotonic() - began < 3


@pytest.mark.parametrize(("said", "lost"), [
    ("0 3 * * * root certbot renew\n0 4 * * * root true", [1]), ("0 3 * * * root certbot renew\nA=b", [1]),
    ("0 3 * * * root certbot renew\n# the end", []), ("0 3 * * * root certbot renew", [1])])
def test_debians_cron_ignores_a_file_without_a_newline_at_its_end(places: Places, said: str, lost: list[int]) -> None:
    (places.cron_d / "certbot").write_text(said)
    debian = replace(places, plain_names=True)
    assert [job.line_number for job in jobs.refused(debian)] == lost
    assert len(find(debian)) == 1 - len(lost)


def test_the_running_cron_says_which_path_its_commands_have() -> None:
    own = os.getpid()
    for words, path in ((["/usr/sbin/cron", "-f", "-P"], "/x/bin"), (["/usr/sbin/cron", "-f"], "")):
        found = crondaemon.find(lambda: [own], lambda _pid, said=words: said, lambda _pid: {"PATH": "/x/bin"}, ())
        assert found == crondaemon.Daemon(path)
    assert crondaemon.find(lambda: [own], lambda _pid: ["/usr/bin/cronolog"], lambda _pid: {}, ()) is None
