"""``certbot-guard setup``: its steps with a scripted person, and what the command line takes and refuses."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest
from click.testing import CliRunner

from certbot_guard import config, settingsfile
from certbot_guard.cli import commands
from certbot_guard.doctor.result import Result
from certbot_guard.errors import GuardError
from certbot_guard.setup import channels
from certbot_guard.setup.machine import Machine
from certbot_guard.setup.stopping import InputEndedError, SignalledError, Stopping
from tests.support.setting_up import ENTER, Answer, Nobody, Person, Stage

PASSWORD = "p%40 #1:/?&+@home"
HOSTILE = "json://user:p%2540%20%231%3A%C3%9C@127.0.0.1:9/%7Epath/?-key=a%2520b%C3%9C&+X-Token=%23s%25"
# The first question is about channels; what is asked after a channel is there, in this order.
MAIL: list[Answer] = ["email", ENTER, "127.0.0.1", "plain", "2525", "guard@example.com", PASSWORD, ENTER,
                      "ops@example.com"]
# no more, write, test, arrived, adopt, units, dry run
REST: list[Answer] = [ENTER, True, True, True, True, "yes", True]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def urls(stage: Stage) -> dict[str, str]:
    found = config.load(stage.ini)
    assert found.problems == ()
    return {one.name: one.url for one in found.channels}


# -- from nothing to guarded -----------------------------------------------------------------------------------------


def test_a_person_who_answers_everything_has_a_guarded_machine(stage: Stage) -> None:
    renewal = stage.certificate()
    seen = stage.run(Person([*MAIL, *REST]))
    assert stage.code == 0 and stage.asker.answers == []
    assert list(urls(stage)) == ["email"] and stage.ini.stat().st_mode & 0o777 == 0o600
    assert stage.host.sent == ["email"]
    assert "installer = guard" in renewal.read_text()
    assert (stage.host.directory / "cron.d" / "certbot-guard").exists()
    assert stage.host.ran == [["/opt/certbot/bin/certbot", "renew", "--dry-run", "--no-random-sleep-on-renew",
                               "--config-dir", str(stage.home)]]
    for words in ("wrote " + str(stage.ini), "test message to email arrived", "gave the guard to www.example.com",
                  "the dry run went well", "doctor", "status"):
        assert words in seen.partition("Summary")[2]
    assert "passes through it where that is possible" in seen and "It is needed for: www.example.com" in seen


def test_before_the_dry_run_it_is_said_what_is_stopped_where_a_stop_is_wanted(stage: Stage) -> None:
    stage.certificate()
    stage.ini.write_text(f"[server]\nmode = stop\n[certbot]\nconfig_dir = {stage.home}\n")
    stage.ini.chmod(0o600)
    seen = stage.run(Nobody(**{"dry-run": True}))
    assert "stopped for some seconds for each of: www.example.com" in seen and "that is possible" not in seen


def test_where_certbot_keeps_its_files_elsewhere_a_new_guard_ini_says_so(stage: Stage) -> None:
    stage.certificate()
    stage.run(Nobody(), channels={"hook": HOSTILE})
    assert config.load(stage.ini).certbot_config_dirs == (stage.home,)


def test_everything_can_be_skipped_and_then_nothing_is_changed(stage: Stage) -> None:
    stage.certificate()
    before = stage.state()
    seen = stage.run(Person([ENTER, False, "no", False]))
    assert stage.code == 0 and stage.state() == before
    assert "Nothing to change." in seen and "say who is to be told" in seen
    seen = stage.run(Person([*MAIL, ENTER, False, False, "no", False]))
    assert stage.code == 0 and stage.state() == before and stage.host.sent == []


def test_a_second_run_changes_nothing_and_says_so(stage: Stage) -> None:
    stage.certificate()
    seen = stage.run(Nobody(), channels={"hook": HOSTILE})
    assert stage.code == 0 and "Nothing to change." not in seen
    before, stamps = stage.state(), [path.stat().st_ino for path in stage.host.directory.rglob("*")]
    seen = stage.run(Nobody(), channels={"hook": HOSTILE})
    assert stage.code == 0 and "Nothing to change." in seen and stage.host.sent == ["hook"]
    assert (before, stamps) == (stage.state(), [path.stat().st_ino for path in stage.host.directory.rglob("*")])


def test_a_plan_changes_nothing_and_its_exit_code_says_whether_something_would_be(stage: Stage) -> None:
    stage.certificate()
    before = stage.state()
    seen = stage.run(Nobody(), plan=True, channels={"hook": HOSTILE})
    assert stage.code == 3 and stage.state() == before and stage.host.sent == stage.host.ran == []
    would = seen.partition("Would be done:")[2]
    assert "hook" in would and "www.example.com" in would and "cron.d" in would
    stage.run(Nobody(), channels={"hook": HOSTILE})
    seen = stage.run(Nobody(), plan=True, channels={"hook": HOSTILE})
    assert stage.code == 0 and "Nothing to change." in seen


# -- stopped ---------------------------------------------------------------------------------------------------------


STOPS = ((SignalledError(signal.SIGINT), 130), (SignalledError(signal.SIGTERM), 143), (InputEndedError("it ended"), 1))


def test_stopped_at_any_question_it_leaves_everything_whole_and_goes_on_the_next_time(tmp_path: Path) -> None:
    answers = [*MAIL, *REST]
    for number in range(len(answers)):
        stop, code = STOPS[number % len(STOPS)]
        (tmp_path / str(number)).mkdir()
        stage = Stage(tmp_path / str(number))
        renewal = stage.certificate()
        before = renewal.read_text()
        seen = stage.run(Person([*answers[:number], stop]))
        assert stage.code == code and PASSWORD not in seen
        said = seen.rpartition("Stopped. ")[2]
        for words, is_done in ((f"wrote {stage.ini}", stage.ini.exists()),
                               ("guard to www", before != renewal.read_text()),
                               ("cron.d", (stage.host.directory / "cron.d" / "certbot-guard").exists())):
            assert (words in said) == is_done, (number, said)
        if stage.ini.exists():
            assert list(urls(stage)) == ["email"]
        assert not [name for name in stage.state() if Path(name).name.startswith(".guard.ini")]
        stage.run(Nobody(), channels={} if stage.ini.exists() else {"email": HOSTILE})
        assert stage.code == 0 and list(urls(stage)) == ["email"] and "installer = guard" in renewal.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_a_write_counts_after_its_end(stage: Stage, number: int) -> None:
    first, second = stage.certificate("a.example.com"), stage.certificate("b.example.com")
    stage.host.meanwhile = lambda what: what == "adopt" and os.kill(os.getpid(), number)
    handler = signal.getsignal(number)
    seen = stage.run(Nobody())
    assert stage.code == 128 + number
    assert "installer = guard" in first.read_text() and "installer = guard" in second.read_text()
    assert "Done so far: gave the guard to a.example.com, b.example.com" in seen
    assert not (stage.host.directory / "cron.d" / "certbot-guard").exists()
    assert signal.getsignal(number) == handler


def test_a_signal_while_a_message_is_on_its_way_counts_at_once(stage: Stage) -> None:
    stage.host.meanwhile = lambda what: what == "test" and os.kill(os.getpid(), signal.SIGTERM)
    seen = stage.run(Nobody(), channels={"hook": HOSTILE})
    assert stage.code == 143 and stage.host.sent == [] and f"Done so far: wrote {stage.ini}" in seen


def test_a_write_that_fails_is_one_sentence_loses_no_answer_and_may_be_tried_again(
        stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from certbot_guard import settingsfile

    real, tries = settingsfile.write, []

    def full(*arguments: Any, **options: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise GuardError("guard.ini cannot be written: Read-only file system; it is as it was")
        return real(*arguments, **options)

    monkeypatch.setattr(settingsfile, "write", full)
    # write it, again (the disk is still full), again, test, arrived, units
    seen = stage.run(Person([*MAIL, ENTER, True, True, True, True, True, "no"]))
    assert stage.code == 0 and list(urls(stage)) == ["email"]
    assert seen.count("Read-only file system") == 2


def test_without_a_person_the_rest_is_done_and_the_exit_code_says_that_something_was_not(
        stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from certbot_guard import settingsfile

    def full(*_arguments: Any, **_options: Any) -> Any:
        raise GuardError("guard.ini cannot be written: Read-only file system; it is as it was")

    monkeypatch.setattr(settingsfile, "write", full)
    renewal = stage.certificate()
    seen = stage.run(Nobody(), channels={"hook": HOSTILE})
    assert stage.code == 1 and seen.count("That could not be done") == 1 and "Read-only" in seen.partition("Failed:")[2]
    assert "installer = guard" in renewal.read_text() and stage.host.sent == []


def test_a_signal_during_the_dry_run_ends_certbot_first_and_gently(tmp_path: Path) -> None:
    script = ("import os, pathlib, signal, sys, time; "
              "signal.signal(signal.SIGINT, lambda *_: (pathlib.Path(sys.argv[1]).write_text('ended'), os._exit(1))); "
              "os.kill(os.getppid(), signal.SIGTERM); time.sleep(20)")
    with pytest.raises(SignalledError) as caught, Stopping():
        Machine().run([sys.executable, "-S", "-c", script, str(tmp_path / "ended")])
    assert caught.value.code == 143 and (tmp_path / "ended").read_text() == "ended"


# -- channels --------------------------------------------------------------------------------------------------------


def test_what_is_secret_is_nowhere_but_in_guard_ini(stage: Stage) -> None:
    from apprise import Apprise

    stage.host.reasons = ["the server refused the login"]
    seen = stage.run(Person([*MAIL, "url", "hook", HOSTILE, ENTER, True, True, "keep", True, "no"]))
    assert urls(stage)["hook"] == HOSTILE
    assert Apprise.instantiate(urls(stage)["email"]).password == PASSWORD
    for secret in (PASSWORD, HOSTILE, "p%2540", "%2523s", "a%2520b", "%25C3"):
        assert secret not in seen, seen
    assert "hook = json://***" in seen and stage.code == 1


def test_a_wrong_answer_is_asked_again_and_says_what_to_write(stage: Stage) -> None:
    seen = stage.run(Person(["nothing of the kind", "url", "[x]", "mail=x", "apprise_config", "hook", "nosuch://secret1",
                             True, "no url secret2", True, HOSTILE, ENTER, False, "no"]))
    assert stage.code == 0 and "Apprise knows no service" in seen and "secret" not in seen.replace("secret or", "")
    assert seen.count("This name cannot be used") == 3


def test_a_channel_that_is_there_is_not_added_twice_and_may_be_replaced(stage: Stage) -> None:
    text = f"# mine\r\n[notify]\r\n  hook = {HOSTILE}\r\n[messages]\r\nlog_lines = 3\r\n"
    stage.ini.write_bytes(text.encode())
    stage.ini.chmod(0o600)
    seen = stage.run(Person(["url", "other", HOSTILE, ENTER, "no"]))
    assert "has this very channel, as 'hook'" in seen and stage.ini.read_bytes() == text.encode()
    seen = stage.run(Person(["url", "hook", False, "hook", True, "json://127.0.0.1:9/new", ENTER, True, False, "no"]))
    assert stage.ini.read_bytes() == text.replace(HOSTILE, "json://127.0.0.1:9/new").encode()
    kept = [path for path in stage.home.glob("guard.ini?*") if path.read_bytes() == text.encode()]
    assert len(kept) == 1 and kept[0].stat().st_mode & 0o777 == 0o600


def test_a_message_that_does_not_arrive_may_have_its_answers_changed(stage: Stage) -> None:
    stage.host.reasons = ["the mail server refused the login"]
    changed: list[Answer] = [ENTER, ENTER, ENTER, ENTER, "right", ENTER, ENTER]  # of all but the password: as it is
    seen = stage.run(Person([*MAIL, ENTER, True, True, "change", *changed, True, True, "no"]))
    assert stage.code == 0 and stage.host.sent == ["email", "email"]
    assert "refused the login" in seen and ":right@127.0.0.1:2525" in urls(stage)["email"]
    assert seen.partition("Summary")[2].count(str(stage.ini) + ":") == 1 and f"wrote {stage.ini}: email\n" in seen


def test_an_answer_that_need_not_be_given_can_be_taken_back(stage: Stage) -> None:
    stage.host.reasons = ["the mail server wants no login"]
    changed: list[Answer] = [ENTER, ENTER, ENTER, "-", "guard@example.com", ENTER]  # no user: no password is asked for
    seen = stage.run(Person([*MAIL, ENTER, True, True, "change", *changed, True, True, "no"]))
    assert stage.asker.answers == [] and "; - for none" in seen
    assert "guard%40example.com@127" not in urls(stage)["email"] and "://127.0.0.1:2525" in urls(stage)["email"]


def test_two_setups_at_once_do_not_overwrite_each_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    real, other = settingsfile.write, "[notify]\nother = json://127.0.0.1:9/other\n"

    def write(path: Path, text: str, seen: Any = None) -> Any:
        real(path, other)
        return real(path, text, seen)

    monkeypatch.setattr(settingsfile, "write", write)
    seen = stage.run(Nobody(), channels={"hook": HOSTILE})
    assert stage.code == 1 and stage.ini.read_text() == other and "changed meanwhile by somebody else" in seen


def test_a_url_in_a_comment_of_an_old_guard_ini_is_not_shown(stage: Stage) -> None:
    stage.ini.write_text("[notify]\n# old = jsons://u:secret1@h.example/x\n;json://secret2@h.example\n")
    stage.ini.chmod(0o600)
    for wishes in ({"plan": True}, {}):
        assert "secret" not in stage.run(Nobody(), channels={"hook": HOSTILE}, **wishes)
    assert "secret1" in stage.ini.read_text()


def test_a_guard_ini_that_certbot_does_not_read_is_said_with_the_line_that_makes_it(stage: Stage) -> None:
    seen = stage.run(Nobody())
    assert "guard-config" not in seen
    stage.ini.write_text(f"[certbot]\nconfig_dir = {stage.home}\n")
    stage.ini.chmod(0o600)
    (stage.home / "other place").mkdir()
    stage.ini = stage.ini.rename(stage.home / "other place" / "guard.ini")
    seen = stage.run(Nobody())
    assert f"\n    guard-config = {stage.ini}\n" in seen and "cli.ini" in seen.partition("Left for you to do")[2]


def test_a_message_that_was_taken_and_did_not_arrive_is_a_question_of_its_own(stage: Stage) -> None:
    seen = stage.run(Person(["url", "hook", HOSTILE, ENTER, True, True, False, "again", True, "no"]))
    assert stage.code == 0 and stage.host.sent == ["hook", "hook"] and "folder for spam" in seen


def test_a_channel_that_is_dropped_leaves_the_file_as_it_was(stage: Stage) -> None:
    text = "[notify]\nold = json://127.0.0.1:9/old\n\n[state]\n# here\n"
    stage.ini.write_text(text)
    stage.ini.chmod(0o600)
    stage.host.reasons = ["no route", "no route"]
    stage.run(Person(["url", "hook", HOSTILE, "url", "old", True, "json://127.0.0.1:9/worse", ENTER, True, True,
                      "drop", True, "drop", True, "no"]))
    assert stage.ini.read_text() == text and stage.code == 0


def test_where_the_only_channel_is_dropped_it_is_said_that_nobody_is_told(stage: Stage) -> None:
    stage.host.reasons = ["no route"]
    seen = stage.run(Person(["url", "hook", HOSTILE, ENTER, True, True, "drop", True, "no"]))
    assert urls(stage) == {} and f"wrote {stage.ini}, without a channel" in seen and "say who is to be told" in seen


@pytest.mark.parametrize("given, wanted", [
    (b"json://127.0.0.1:9/a%20b#c\n", "json://127.0.0.1:9/a%20b#c"), (b"\xef\xbb\xbf json://h.example/x \r\n\r\n", "json://h.example/x")])
def test_a_url_in_a_file_or_on_standard_input_is_taken_as_it_is(tmp_path: Path, given: bytes, wanted: str) -> None:
    (tmp_path / "url").write_bytes(given)
    (tmp_path / "url").chmod(0o600)
    warned: list[str] = []
    assert channels.from_options([f"a=@{tmp_path}/url"], str, warned.append) == {"a": wanted} and warned == []
    assert channels.from_options(["a=-"], lambda: given.decode("utf-8-sig"), warned.append) == {"a": wanted}


def test_a_file_that_others_can_read_is_warned_of_and_one_that_they_can_write_is_refused(tmp_path: Path) -> None:
    path, warned = tmp_path / "a url", []  # type: ignore[var-annotated]
    path.write_text(HOSTILE)
    path.chmod(0o644)
    assert channels.from_options([f"a=@{path}"], str, warned.append) == {"a": HOSTILE}
    assert warned == [f"{path} holds a secret and can be read by others; run: chmod 600 '{path}'"]
    path.chmod(0o666)
    with pytest.raises(ValueError, match="can be written by others"):
        channels.from_options([f"a=@{path}"], str, warned.append)


@pytest.mark.parametrize("words", [
    ["--channel", "mail=mailto://user:s3cret@h"], ["--channel", "mailto://user:s3cret@h?to=x"], ["--channel=s3cret"],
    ["mailto://user:s3cret@h"], ["--channel", "mail=@/nowhere", "mail=mailto://s3cret@h"], ["--adopt=x", "s3cret://s3cret"],
    ["--channel", "a=-", "--channel", "b=-"], ["--channel", "apprise_config=-"], ["--channel", "mail=@/nowhere/file"],
    ["--channel", "a=-"]])
def test_what_cannot_be_a_channel_is_a_usage_error_that_quotes_no_secret(stage: Stage, words: list[str]) -> None:
    before = stage.state()
    done = CliRunner().invoke(commands, ["--config", str(stage.ini), "setup", "--yes", "--no-units", *words],
                              input="s3cret line\nmailto://s3cret\n")
    assert done.exit_code == 2 and "--channel" in done.output and "s3cret" not in done.output
    assert "Traceback" not in done.output and stage.state() == before


def test_without_a_terminal_it_says_what_to_write(stage: Stage) -> None:
    done = CliRunner().invoke(commands, ["--config", str(stage.ini), "setup"])
    assert done.exit_code == 2 and "--yes" in done.output and "--channel" in done.output


@pytest.mark.skipif(os.geteuid() != 0, reason="gives away root")
def test_who_may_not_write_guard_ini_is_told_so_before_the_first_question() -> None:
    os.seteuid(65534)
    try:
        done = CliRunner().invoke(commands, ["--config", "/etc/no-guard.ini", "setup", "--yes", "--no-units"])
    finally:
        os.seteuid(0)
    assert isinstance(done.exception, GuardError) and "run it as root" in str(done.exception)


# -- the machine -----------------------------------------------------------------------------------------------------


def test_a_line_with_a_mistake_is_named_with_the_one_to_put_instead_and_left_alone(stage: Stage) -> None:
    stage.host.found = [SimpleNamespace(source="/etc/crontab, line 3", timer="", active=None)]
    stage.host.wrong = [Result("cron-stop-and-start", "problem", "the web server is stopped for the whole run",
                               "/etc/crontab, line 3", "0 4 * * * root apachectl stop && certbot renew",
                               "it stays down", instead="17 4,16 * * * root certbot-guard run -- certbot renew")]
    stage.host.wrong += [replace(stage.host.wrong[0], id="force-renewal", says="it orders what is not due")]
    seen = stage.run(Nobody())
    assert seen.count("17 4,16") == seen.count("apachectl stop") == 1 and "it orders what is not due" in seen
    for words in ("/etc/crontab, line 3", "apachectl stop && certbot", "it stays down",
                  "17 4,16 * * * root certbot-guard run -- certbot renew", "changes no crontab"):
        assert words in seen
    assert stage.code == 0


def test_what_a_later_step_has_mended_is_not_left_to_do(stage: Stage) -> None:
    stage.certificate()
    cron = Result("cron-too-rarely", "problem", "once a month", "/etc/crontab, line 3", "0 4 1 * * root certbot renew")
    hook = Result("hook-stop", "problem", "the web server may stay down", "/etc/le/renewal/a.conf, line 9", "pre_hook = x")
    other = replace(hook, where="/etc/le/renewal/b.conf, line 9")
    stage.host.wrong = [cron, hook, other]
    stage.host.meanwhile = lambda what: stage.host.wrong.remove(hook) if what == "adopt" else None
    seen = stage.run(Nobody()).rpartition("Left for you to do")[2]
    assert "mend /etc/crontab, line 3" in seen and "b.conf" in seen and "a.conf" not in seen


def test_where_nothing_starts_certbot_the_line_to_add_is_said(stage: Stage) -> None:
    assert " 4,16 * * * " in stage.run(Nobody())
    stage.host.found = [SimpleNamespace(source="certbot.service", timer="certbot.timer", active=True)]
    assert " 4,16 * * * " not in stage.run(Nobody())


def test_a_certbot_that_does_not_see_the_plugin_is_given_no_guard_that_it_would_drop(stage: Stage) -> None:
    renewal = stage.certificate()
    before = renewal.read_text()
    stage.host.sees = False
    seen = stage.run(Nobody())
    assert stage.code == 1 and renewal.read_text() == before and "/opt/certbot/bin/pip install certbot-guard" in seen
    seen = stage.run(Person([ENTER]))
    assert "everything else" in seen and not stage.ini.exists()
    stage.run(Person([True, ENTER, True, True, False]))
    assert "installer = guard" in renewal.read_text()


def test_hooks_that_only_stop_and_start_are_taken_out_where_that_is_wanted(stage: Stage) -> None:
    hooks = "pre_hook = systemctl stop apache2\npost_hook = systemctl start apache2\n"
    renewal = stage.certificate(more=hooks)
    seen = stage.run(Nobody())
    assert "pre_hook" in renewal.read_text() and "installer = guard" in renewal.read_text()
    assert "post_hook = systemctl start apache2\n" in seen and "setup --retire-hooks takes them out" in seen
    stage.run(Person([ENTER, False, False]))
    assert "pre_hook" in renewal.read_text()
    another = stage.certificate("c.example.com", hooks)
    assert "Take them out?" in stage.run(Person([ENTER, False, True, False]))
    assert "pre_hook" in another.read_text() and "installer = guard" in another.read_text()
    stage.run(Person([ENTER, True, True, False]))
    assert "post_hook =" not in renewal.read_text()
    other = stage.certificate("b.example.com", hooks)
    stage.run(Nobody(), retire_hooks=True)
    assert "post_hook =" not in other.read_text() and stage.code == 0


def test_another_installer_is_given_up_only_by_name_or_when_asked(stage: Stage) -> None:
    renewal = stage.certificate(more="installer = apache\n")
    seen = stage.run(Nobody())
    assert "installer = apache" in renewal.read_text() and (
        f"adopt --config-dir {stage.home} --cert-name www.example.com" in seen)
    assert stage.code == 0
    stage.run(Person([ENTER, ENTER, False]))
    assert "installer = apache" in renewal.read_text()
    stage.run(Nobody(), adopt=("www.example.com",))
    assert "installer = guard" in renewal.read_text()


@pytest.mark.parametrize("adopt, guarded", [((), []), (("a.example.com",), ["a.example.com"]),
                                            (None, ["a.example.com", "b.example.com"])])
def test_only_the_certificates_that_are_wanted_get_the_guard(stage: Stage, adopt: Any, guarded: list[str]) -> None:
    paths = [stage.certificate(name) for name in ("a.example.com", "b.example.com")]
    stage.run(Nobody(), adopt=adopt)
    assert [path.stem for path in paths if "installer = guard" in path.read_text()] == guarded and stage.code == 0


def test_a_name_that_no_certificate_has_and_a_file_that_cannot_be_read_are_failures(stage: Stage) -> None:
    fine = stage.certificate("fine.example.com")
    stage.run(Nobody(), adopt=("nosuch.example.com",))
    assert stage.code == 1
    stage.certificate("bad.example.com").write_text("[[[")
    seen = stage.run(Nobody())
    assert stage.code == 1 and "bad.example.com" in seen.partition("Failed:")[2]
    assert "installer = guard" in fine.read_text()


def test_a_dry_run_that_fails_is_a_failure_and_says_where_to_look(stage: Stage) -> None:
    stage.certificate()
    stage.host.code = 1
    seen = stage.run(Nobody(**{"dry-run": True}))
    assert stage.code == 1 and " explain" in seen.partition("Failed:")[2]


@pytest.mark.parametrize("break_it", [lambda ini: ini.mkdir(), lambda ini: os.mkfifo(ini),
                                      lambda ini: ini.symlink_to("/etc/hostname"),
                                      lambda ini: ini.write_bytes(b"\xff")])
def test_a_guard_ini_that_cannot_be_used_is_named_and_left_alone(
        stage: Stage, break_it: Callable[[Path], object]) -> None:
    break_it(stage.ini)
    before = os.lstat(stage.ini)
    seen = stage.run(Nobody(), channels={"hook": HOSTILE}, adopt=())
    assert stage.code == 1 and str(stage.ini) in seen.partition("Failed:")[2] and HOSTILE not in seen
    assert os.lstat(stage.ini)[:7] == before[:7]
