"""The files that ``certbot-guard units`` writes, the words in them, and what is read of a unit that failed."""

from __future__ import annotations

import os
import shlex
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner

from certbot_guard import cron
from certbot_guard.cli import commands
from certbot_guard.cli.unit_failed import config_dir
from certbot_guard.config import Config
from certbot_guard.errors import GuardError
from certbot_guard.units import failure, files, managing, planning, words

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


@pytest.fixture
def places(tmp_path: Path) -> planning.Places:
    found = planning.Places(systemd=tmp_path / "system", known=(tmp_path / "system", tmp_path / "lib"),
                            cron_d=tmp_path / "cron.d", stamps=tmp_path / "stamps")
    for path in (*found.known, found.cron_d, found.stamps):
        path.mkdir()
    return found


CONFIG = Config(Path("/etc/letsencrypt/guard.ini"))


# -- words -------------------------------------------------------------------------------------------------------------


def test_plain_words_stand_in_a_unit_as_they_are() -> None:
    assert words.for_systemd(["/usr/bin/py3", "-I", "--config=/etc/a.ini"]) == "/usr/bin/py3 -I --config=/etc/a.ini"


def test_what_systemd_gives_a_meaning_to_is_escaped() -> None:
    assert words.for_systemd(["/my env/py", '50% "\\']) == r'"/my env/py" "50%% \"\\"'


@pytest.mark.parametrize("sign", ["'", '"', "\\"])
def test_a_program_that_systemd_would_not_start_is_refused(sign: str) -> None:
    with pytest.raises(GuardError, match="quote or a backslash"):
        words.for_systemd([f"/a{sign}b/python", "-I"])


def test_a_dollar_switches_variables_off_and_is_not_doubled() -> None:
    assert words.for_systemd(["/opt/$x/python", "a"]) == ':"/opt/$x/python" a'


def test_a_crontab_line_says_the_same_words_to_the_shell() -> None:
    said = ["/my env/50%/$x/py'thon", "-I", ""]
    line = words.for_cron(said)
    assert shlex.split(line.replace("\\%", "%")) == said and line.count("%") == line.count("\\%") == 1


@pytest.mark.parametrize("bad", ["/a\nExecStart=/bin/evil", "/a\x1b[1m", "/a\udcff", "/a\u2028b"])
@pytest.mark.parametrize("spell", [words.for_systemd, words.for_cron])
def test_a_path_that_would_be_a_line_of_its_own_is_refused(spell, bad: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(GuardError, match="control characters") as caught:
        spell(["/bin/true", bad])
    assert str(caught.value).isprintable()


# -- what there should be ----------------------------------------------------------------------------------------------


def test_only_services_that_are_there_get_a_drop_in(places: planning.Places) -> None:
    (places.known[1] / "certbot.service").write_text("[Service]\n")
    (places.systemd / "snap.certbot.renew.service").symlink_to("/dev/null")  # masked
    assert [file.path.parent.name for file in planning.for_systemd(CONFIG, places)[4:]] == ["certbot.service.d"]


def test_what_the_settings_want_written_can_be_written(places: planning.Places) -> None:
    settings = Config(CONFIG.path, state_dir=Path("/etc/my state"), metrics_textfile=Path("/etc/metrics/guard.prom"))
    by_name = {file.path.name: file.content for file in planning.for_systemd(settings, places)}
    for name in (planning.WATCH, planning.FAILED):
        assert 'ReadWritePaths="-/etc/my state" -/etc/metrics\n' in by_name[name]
    assert "Protect" not in by_name[planning.RECOVER]  # an Apache that it starts would inherit that


def test_cron_reads_the_file_and_the_watch_comes_every_hour(places: planning.Places) -> None:
    file, = planning.for_cron(CONFIG, places, 17)
    assert "." not in file.path.name and file.content.endswith("\n")
    parsed = cron.parse(file.content, "test", True)
    watch = next(entry for entry in parsed.entries if "watch" in entry.command)
    assert watch.next_after(NOW, timezone.utc) == NOW.replace(minute=17)
    assert "@reboot root " in file.content
    assert not any(cron.renews(entry.command) for entry in parsed.entries)  # ours is no renewal


def test_the_minute_is_kept(places: planning.Places) -> None:
    files.write(planning.for_cron(CONFIG, places, 17))
    assert planning.for_cron(CONFIG, places, 44)[0].is_there


def test_without_systemd_and_cron_d_the_lines_are_said(places: planning.Places) -> None:
    places.cron_d.rmdir()
    with pytest.raises(GuardError, match=r"crontab -e.*\n5 \* \* \* \* .* watch --quiet\n@reboot .* recover"):
        planning.for_cron(CONFIG, places, 5)


# -- files -------------------------------------------------------------------------------------------------------------


def tree(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() if path.is_file() else b"" for path in top.rglob("*")}


def test_written_twice_is_written_once_and_removed_without_a_trace(places: planning.Places, tmp_path: Path) -> None:
    for name in planning.CERTBOTS:
        (places.known[1] / name).write_text("[Service]\n")
    (places.systemd / "certbot.service.d").mkdir()
    (places.systemd / "certbot.service.d" / "mine.conf").write_text("[Unit]\n")
    before = tree(tmp_path)
    wanted = planning.for_systemd(CONFIG, places)
    umask = os.umask(0o077)
    try:
        files.write(wanted)
    finally:
        os.umask(umask)
    stamps = [(file.path.stat().st_ino, file.path.stat().st_mode & 0o777) for file in wanted]
    assert {mode for _, mode in stamps} == {0o644} and len(tree(tmp_path)) == len(before) + len(wanted) + 2
    assert all(file.path.parent.stat().st_mode & 0o777 == 0o755 for file in wanted)
    files.write(planning.for_systemd(CONFIG, places))
    assert stamps == [(file.path.stat().st_ino, file.path.stat().st_mode & 0o777) for file in wanted]
    files.remove(planning.there(places))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_what_is_not_ours_is_named_and_nothing_is_written(places: planning.Places, kind: str) -> None:
    theirs = places.systemd / planning.FAILED
    {"file": lambda: theirs.write_text("[Service]\n"), "link": lambda: theirs.symlink_to("/dev/null"),
     "directory": theirs.mkdir}[kind]()
    with pytest.raises(GuardError, match="certbot-guard-failed@.service"):
        files.write(planning.for_systemd(CONFIG, places))
    with pytest.raises(GuardError, match="certbot-guard-failed@.service"):
        files.remove(planning.there(places))
    assert [path.name for path in places.systemd.iterdir()] == [planning.FAILED]


def test_a_mode_that_was_changed_is_set_right(places: planning.Places) -> None:
    file, = planning.for_cron(CONFIG, places, 17)
    files.write([file])
    file.path.chmod(0o666)  # cron would not read it
    assert not file.is_there
    files.write([file])
    assert file.is_there


def test_a_change_is_shown_as_lines_that_go_and_come(places: planning.Places) -> None:
    file, = planning.for_cron(CONFIG, places, 17)
    assert files.difference(file.path, file.content)[0].startswith("new file")
    files.write([file])
    assert files.difference(file.path, file.content) == []
    shown = files.difference(file.path, file.content.replace("@reboot", "@daily\x1b"))
    assert any(line.strip().startswith("-@reboot") for line in shown)
    assert all(line.isprintable() for line in shown)


def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(GuardError, match="cannot be"):
        files.write([files.File(tmp_path / "plain" / "x", files.MARK)])


@pytest.mark.skipif(os.geteuid() != 0, reason="gives away root")
def test_who_is_not_root_is_told_so() -> None:
    os.seteuid(65534)
    try:
        with pytest.raises(GuardError, match="run it as root"):
            managing.refuse_unless_root("install", [Path("/etc/cron.d")])
    finally:
        os.seteuid(0)


def test_the_commands_are_there_and_the_inner_one_is_hidden() -> None:
    shown = CliRunner().invoke(commands, ["--help"]).output
    assert "units" in shown and "unit-failed" not in shown


# -- what a unit failed of ---------------------------------------------------------------------------------------------

EXEC = ("{ path=/usr/bin/certbot ; argv[]=/usr/bin/certbot -q renew --eab-hmac-key SECRET ; ignore_errors=no ; "
        "start_time=[n/a] ; stop_time=[n/a] ; pid=7 ; code=exited ; status=1 }")
SHOWN = {"Id": "certbot.service", "LoadState": "loaded", "Result": "exit-code", "InvocationID": "a" * 32,
         "ExecMainStatus": "1", "ExecMainCode": "1",
         "ExecMainStartTimestampMonotonic": "90000000", "ExecMainExitTimestampMonotonic": "96500000",
         "ExecStart": EXEC, "NRestarts": "0"}


def read(environment: dict[str, str] = {}, **shown: str) -> failure.Failure:  # noqa: B006
    return failure.read("certbot.service", {**SHOWN, **shown}, environment, lambda invocation: f"of {invocation[0]}",
                        100.0, NOW)


def test_an_exit_code() -> None:
    found = read()
    assert (found.reason, found.code, found.signal, found.seconds, found.output) == ("exit", 1, None, 6.5, "of a")
    assert found.since == NOW - timedelta(seconds=11)
    assert found.event()["command"] == ["/usr/bin/certbot", "-q", "renew", "--eab-hmac-key", "***"]


@pytest.mark.parametrize("shown, expected", [
    ({"Result": "signal", "ExecMainCode": "2", "ExecMainStatus": "9"}, ("signal", None, "SIGKILL")),
    ({"Result": "core-dump", "ExecMainCode": "3", "ExecMainStatus": "11"}, ("signal", None, "SIGSEGV")),
    ({"Result": "oom-kill", "ExecMainCode": "2", "ExecMainStatus": "9"}, ("memory", None, "SIGKILL")),
    ({"Result": "timeout", "ExecMainCode": "2", "ExecMainStatus": "15"}, ("timeout", None, "SIGTERM")),
    ({"Result": "exit-code", "ExecMainStatus": "203"}, ("start", None, None)),
    ({"Result": "resources", "ExecMainCode": "0", "ExecMainStatus": "0"}, ("start", None, None)),
    ({"Result": "signal", "ExecMainCode": "2", "ExecMainStatus": "44"}, ("signal", None, "signal 44")),
    ({"Result": "exit-code", "ExecMainCode": "0", "ExecMainStatus": ""}, ("exit", None, None))])
def test_each_way_to_fail(shown: dict[str, str], expected: tuple[str, object, object]) -> None:
    found = read(**shown)
    assert (found.reason, found.code, found.signal) == expected


def test_a_unit_that_runs_again_by_now_is_not_taken_for_the_one_that_failed() -> None:
    trigger = {"MONITOR_UNIT": "certbot.service", "MONITOR_INVOCATION_ID": "b" * 32, "MONITOR_SERVICE_RESULT": "signal",
               "MONITOR_EXIT_CODE": "killed", "MONITOR_EXIT_STATUS": "KILL"}
    found = read(trigger)
    assert (found.reason, found.signal, found.output) == ("signal", "SIGKILL", "of b")
    assert read({**trigger, "MONITOR_UNIT": "other.service"}).reason == "exit"


def test_nothing_but_an_invocation_is_asked_of_the_journal() -> None:
    assert read(InvocationID="--output=export").output == ""


def test_the_command_that_failed_is_chosen_of_several() -> None:
    several = EXEC.replace("status=1", "status=0").replace("certbot -q", "first") + "\n" + EXEC
    assert read(ExecStart=several).command[1] == "-q"
    assert read(ExecStart="").command == ()


def test_certbots_directory_is_the_command_s_or_the_settings() -> None:
    settings = Config(CONFIG.path, certbot_config_dirs=(Path("/srv/le"),))
    assert config_dir(("certbot", "renew", "--config-dir=/opt/le"), settings) == Path("/opt/le")
    assert config_dir(("certbot", "renew"), settings) == Path("/srv/le")
    assert config_dir(("certbot", "renew"), CONFIG) == Path("/etc/letsencrypt")


def test_a_name_that_no_unit_has_is_one_sentence() -> None:
    with pytest.raises(GuardError, match="not the name of a systemd unit"):
        failure.of("--version", {})
