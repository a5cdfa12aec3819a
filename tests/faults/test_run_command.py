"""``certbot-guard run``: the command is what it would be without us, and none of its failures is silent."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, Sequence

import pytest

from certbot_guard.supervise.holding import VARIABLE
from tests.support import apart, processes
from tests.support.certbot import Certbot, program
from tests.support.context import Context, wait_for
from tests.support.faulty_ca import STORY_BODY, Answer
from tests.support.healthchecks import Healthchecks
from tests.support.mailbox import Mail
from tests.support.packages import directories

ONE = "a-one.guard.test"
DOWN = Answer(503, STORY_BODY, (("Content-Type", "application/problem+json"), ("Retry-After", "1")))


def supervise(context: Context, *words: str, options: Sequence[str] = (), **more: Any) -> Certbot:
    return context.guard("run", *options, "--", *words, **more)


def renew(context: Context, *more: str) -> list[str]:
    return [str(program()), "renew", "--force-renewal", *more, *context.home.arguments]


def popen(context: Context, *words: str, options: Sequence[str] = (), **more: Any) -> subprocess.Popen[bytes]:
    arguments = [str(program("certbot-guard")), "--config", str(context.ini), "run", *options, "--", *words]
    return subprocess.Popen(arguments, env={**context.environment, **more.pop("env", {})}, cwd="/", **more)


def told_once(context: Context) -> Mail:
    context.wait_settled()
    mail, = context.mailbox.stays_at(1, seconds=0.5)
    return mail


def told_nothing(context: Context) -> None:
    context.wait_settled()
    context.mailbox.stays_at(0, seconds=0.5)


def said(mail: Mail) -> str:
    return f"{mail.subject}\n{' '.join(mail.text.split())}"


def python(script: str) -> list[str]:
    return [sys.executable, "-I", "-c", script]


# -- as if nobody stood between --------------------------------------------------------------------------------------


def test_input_and_output_pass_byte_for_byte_and_in_order(context: Context) -> None:
    context.guard_ini()
    given = bytes(range(256)) * 3000 + b"no line break at the end"
    copying = python("import os, sys\nwhile data := os.read(0, 9000):\n os.write(1, data)\nos.write(1, b'\\xff\\0')")
    done = popen(context, *copying, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.communicate(given, 60) == (given + b"\xff\0", b"") and done.returncode == 0
    mixed = python("import os\nfor number in range(2000):\n os.write(1 + number % 2, b'%d\\n' % number)")
    done = popen(context, *mixed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.communicate(timeout=60)[0] == b"".join(b"%d\n" % number for number in range(2000))
    told_nothing(context)


def test_a_terminal_stays_one_for_the_command_and_what_is_none_does_not_become_one(context: Context) -> None:
    context.guard_ini()
    ours, theirs = pty.openpty()
    asking = python("import os; print([os.isatty(number) for number in (0, 1, 2)])")
    done = popen(context, *asking, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    assert done.wait(60) == 0
    assert os.read(ours, 100).strip() == b"[True, True, False]"
    os.close(ours)


def test_a_reader_that_goes_away_ends_the_command_as_it_would_without_us(context: Context) -> None:
    context.guard_ini()
    done = popen(context, "yes", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert done.stdout is not None
    done.stdout.read(10)
    done.stdout.close()
    assert done.wait(60) == 128 + signal.SIGPIPE


@pytest.mark.parametrize("number", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"])
def test_a_signal_reaches_the_command_once(context: Context, number: str) -> None:
    context.guard_ini()
    script = (f"import signal, sys, time; seen = []; signal.signal(signal.SIG{number}, lambda *_: seen.append(1)); "
              "print('ready', flush=True)\nwhile not seen: time.sleep(0.01)\ntime.sleep(0.3); sys.exit(40 + len(seen))")
    run = supervise(context, *python(script), wait=False)
    wait_for(lambda: "ready" in run.stdout, 30)
    run.send(getattr(signal, f"SIG{number}"))
    assert run.wait().returncode == 41
    told_once(context)


def test_an_interrupt_from_the_terminal_reaches_the_command_once(context: Context) -> None:
    context.guard_ini()
    script = ("import signal, sys, time; seen = []; signal.signal(signal.SIGINT, lambda *_: seen.append(1)); "
              "print('ready', flush=True)\nwhile not seen: time.sleep(0.01)\ntime.sleep(0.3); sys.exit(40 + len(seen))")
    arguments = [str(program("certbot-guard")), "--config", str(context.ini), "run", "--", *python(script)]
    pid, terminal = pty.fork()
    if not pid:
        os.execve(arguments[0], arguments, context.environment)
    shown = b""
    while b"ready" not in shown:
        shown += os.read(terminal, 100)
    os.write(terminal, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 41
    os.close(terminal)
    context.wait_settled()


@pytest.mark.parametrize("script, code", [("exit 0", 0), ("exit 75", 75), ("kill -KILL $$", 137),
                                          ("kill -TERM $$", 143)])
def test_the_exit_code_is_the_commands(context: Context, script: str, code: int) -> None:
    context.guard_ini()
    assert supervise(context, "sh", "-c", script).returncode == code
    context.wait_settled()


def test_what_cannot_be_started_is_told_with_the_code_that_a_shell_gives(context: Context) -> None:
    context.guard_ini()
    run = supervise(context, "/nowhere/certbot", "renew")
    assert run.returncode == 127 and "/nowhere/certbot" in run.stderr and "Traceback" not in run.stderr
    assert "/nowhere/certbot" in said(told_once(context))
    assert supervise(context, "/etc/passwd").returncode == 126


def test_usage_errors_and_bad_durations_run_nothing(context: Context) -> None:
    context.guard_ini()
    ran = context.directory / "ran"
    for options in (["--retry-for", "soon"], ["--timeout", "0"], ["--nonsense"]):
        assert supervise(context, "touch", str(ran), options=options).returncode == 2
    assert context.guard("run").returncode == 2
    assert not ran.exists()


def test_a_process_that_stays_behind_with_our_output_holds_up_nobody(context: Context) -> None:
    context.guard_ini()
    run = supervise(context, "sh", "-c", "echo before; sleep 300 & echo $!; exit 3", wait=False)
    left = int(wait_for(lambda: run.stdout.split()[1:2], 30)[0])  # type: ignore[index]
    try:
        assert run.wait(30).returncode == 3
        assert processes.is_alive(left)
    finally:
        processes.send(left, signal.SIGKILL)
    assert "before" in said(told_once(context))


def test_settings_that_cannot_be_used_do_not_keep_the_command_from_running(context: Context) -> None:
    context.ini.write_bytes(b"\xff\xfe nonsense")
    run = apart.run(context, str(program("certbot-guard")), "--config", str(context.ini), "run", "--",
                    "sh", "-c", "echo ran; exit 0")
    assert (run.returncode, run.stdout) == (0, "ran\n")


# -- nothing is silent -----------------------------------------------------------------------------------------------


def test_a_failure_is_told_with_the_end_of_the_output_and_without_its_secrets(context: Context) -> None:
    context.guard_ini()
    script = "seq 1 20000; echo the last words; echo '<!channel> and a reason' >&2; exit 9"
    assert supervise(context, "sh", "-c", script, "--api-token=hunter2hunter2").returncode == 9
    mail = told_once(context)
    assert "the last words" in said(mail) and "and a reason" in said(mail) and "exit code 9" in said(mail)
    assert "<!channel>" not in mail.text and "hunter2" not in mail.text


@pytest.mark.core
def test_the_cron_line_of_the_story_leaves_apache_down_and_people_are_told_that_it_is(context: Context) -> None:
    context.guarded_site(ONE)
    line = f"{context.apache.program} graceful-stop && /nowhere/certbot renew && {context.apache.program} start"
    assert supervise(context, "sh", "-c", line).returncode == 127
    mail = told_once(context)
    assert "DOWN" in mail.subject and mail.subject.startswith("CRITICAL")


def test_success_says_nothing_and_leaves_nothing(context: Context) -> None:
    context.guard_ini()
    run = supervise(context, "true")
    assert run.returncode == 0 and run.output == "" and not context.state.exists()
    told_nothing(context)


def test_the_same_failure_each_day_is_one_message_and_its_end_another(context: Context) -> None:
    context.guard_ini()
    context.apache.start()
    flag = context.directory / "well"
    words = ["sh", "-c", f"echo the same; test -e {flag}"]
    for _ in range(3):
        assert supervise(context, *words).returncode == 1
    told_once(context)
    assert supervise(context, "true").returncode == 0  # which says nothing of the other one
    told_once(context)
    flag.touch()
    assert supervise(context, *words).returncode == 0
    context.wait_settled()
    mails = context.mailbox.stays_at(2, seconds=0.5)
    assert mails[1].subject.startswith("OK")


def test_no_secret_of_the_command_is_told(context: Context) -> None:
    context.guard_ini()
    secrets = ["env", "API_TOKEN=hunter11", "sh", "-c", "echo mailtos://me:hunter22@smtp.example; exit 3", "slack://hunter33/x",
               "https://u:hunter44@x.example/"]
    assert supervise(context, *secrets).returncode == 3
    assert "hunter" not in said(told_once(context))


def test_a_closed_output_is_the_commands_own_and_its_code_is_passed_on(context: Context) -> None:
    context.guard_ini()
    words = [str(program("certbot-guard")), "--config", str(context.ini), "run", "--", "sh", "-c", "exit 5"]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *words], env=context.environment, cwd="/", timeout=60,
                          stderr=subprocess.PIPE, check=False)
    assert done.returncode == 5 and b"own error" not in done.stderr
    told_once(context)


def test_a_reader_that_hangs_does_not_outlast_the_timeout(context: Context) -> None:
    context.guard_ini()
    reading, writing = os.pipe()
    try:
        process = popen(context, "sh", "-c", "head -c 300000 /dev/zero; sleep 100", options=["--timeout", "1s"], stdout=writing)
        assert process.wait(60) == 124
    finally:
        os.close(reading)
        os.close(writing)
    told_once(context)


def test_what_the_plugin_has_told_is_not_told_again(context: Context) -> None:
    context.guarded_site(ONE)
    context.ca.answer("directory", DOWN)
    with context.apache.watch() as outage:
        assert supervise(context, *renew(context)).returncode == 1
    assert "The service is down for maintenance" in said(told_once(context))
    assert outage.intervals == []


def test_a_killed_certbot_is_told_once_and_apache_serves(context: Context) -> None:
    context.guarded_site(ONE)
    with context.ca.hold("challenge", times=1) as held:
        run = supervise(context, *renew(context), wait=False)
        held.wait()
        processes.send(certbot_of(run), signal.SIGKILL)
        assert run.wait().returncode == 137
    told_once(context)
    assert context.apache.serving()


def test_a_certbot_killed_before_the_plugin_had_a_word_is_told(context: Context) -> None:
    context.obtain(ONE, guarded=False)
    context.guard_ini()
    with context.ca.hold("directory", times=1) as held:
        run = supervise(context, *renew(context), wait=False)
        held.wait()
        processes.send(certbot_of(run), signal.SIGKILL)
        assert run.wait().returncode == 137
    assert "SIGKILL" in said(told_once(context))


def certbot_of(run: Certbot) -> int:
    child, = processes.children_of(run.pid)
    return child


def test_an_import_error_is_told(context: Context) -> None:
    context.guarded_site(ONE)
    broken = context.directory / "broken"
    broken.mkdir()
    (broken / "josepy.py").write_text("import a_module_that_an_upgrade_removed\n")
    assert supervise(context, "env", f"PYTHONPATH={broken}", *renew(context)).returncode == 1
    assert "a_module_that_an_upgrade_removed" in said(told_once(context))


@pytest.mark.parametrize("verb, words", [
    (("renew", "--force-renewal"), "said nothing through certbot-guard"),  # Apache has the port, and nobody stops it
    (("install", "--installer", "guard", "--cert-name", ONE), "the plugin 'guard', which is not installed"),
], ids=["renew", "install"])
def test_a_certbot_without_the_plugin_is_told_of(context: Context, verb: tuple[str, ...], words: str) -> None:
    context.guarded_site(ONE)
    run = supervise(context, *without_plugin(context), *verb, *context.home.arguments)
    assert run.returncode == 1 and context.apache.serving()
    assert words in said(told_once(context))


def without_plugin(context: Context) -> list[str]:
    """certbot and all it needs, by links, without certbot-guard: as an upgrade leaves it."""
    packages = context.directory / "packages"
    packages.mkdir()
    for directory in directories():
        for path in directory.iterdir():
            link = packages / path.name
            if "certbot_guard" not in path.name and "certbot-guard" not in path.name and not os.path.lexists(link):
                link.symlink_to(path)
    script = f"import sys; sys.path.insert(0, {str(packages)!r}); from certbot.main import main; sys.exit(main())"
    return [sys.executable, "-S", "-c", script]


def test_a_second_certbot_is_told_of_and_the_first_goes_on(context: Context) -> None:
    context.guarded_site(ONE)
    with context.ca.hold("directory", times=1) as held:
        first = context.renew(wait=False)
        held.wait()
        assert supervise(context, *renew(context)).returncode == 1
        assert "Another certbot was running" in said(context.mailbox.stays_at(1, seconds=0.5)[0])
        held.release()
        assert first.wait().returncode == 0
    context.wait_settled()


def test_a_command_that_hangs_is_ended_with_its_children_and_told(context: Context) -> None:
    context.guard_ini()
    run = supervise(context, "sh", "-c", "echo working; sleep 300; true", options=["--timeout", "1s"], wait=False)
    sleeping, = wait_for(lambda: processes.children_of(certbot_of(run)) if processes.children_of(run.pid) else [], 30)
    assert run.wait().returncode == 124
    assert not processes.is_alive(sleeping)
    mail = told_once(context)
    assert "working" in said(mail)


def test_a_certbot_that_hangs_with_apache_stopped_is_ended_and_apache_serves(context: Context) -> None:
    context.guarded_site(ONE)
    with context.ca.hold("challenge", times=1):
        run = supervise(context, *renew(context), options=["--timeout", "5s"])
    assert run.returncode == 124
    told_once(context)
    assert context.apache.serving()


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """A cgroup with 120 MB of memory; either version."""
    root, limit = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"
    if not root.is_dir():
        root, limit = Path("/sys/fs/cgroup"), "memory.max"
    made = root / f"guard-test-{os.getpid()}"
    try:
        made.mkdir()
        (made / limit).write_text(str(120 * 1024 * 1024))
    except OSError as error:
        if made.is_dir():
            made.rmdir()
        pytest.skip(f"no cgroup with a limit can be made here: {error}")
    yield made
    wait_for(lambda: not (made / "cgroup.procs").read_text(), 10)
    made.rmdir()


def test_out_of_memory_is_told_as_that(context: Context, small_cgroup: Path) -> None:
    context.guard_ini()
    eating = python("print('eating', flush=True); kept = []\nwhile True: kept.append(bytearray(b'x') * 2**22)")
    into = f'echo $$ > {small_cgroup}/cgroup.procs; exec "$@"'
    words = ["sh", "-c", into, "sh", str(program("certbot-guard")), "--config", str(context.ini), "run", "--", *eating]
    done = subprocess.run(words, env=context.environment, cwd="/", stdout=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 137 and done.stdout == b"eating\n"
    assert "memory" in said(told_once(context)).lower()


# -- again and again -------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_a_ca_that_is_down_for_three_attempts_is_nobodys_trouble(context: Context) -> None:
    context.guarded_site(ONE)
    context.ca.answer("directory", DOWN, times=3)
    with context.apache.watch() as outage:
        run = supervise(context, *renew(context), options=["--retry-for", "10m"], timeout=120)
        assert run.returncode == 0
        told_nothing(context)
    assert len(context.ca.seen("directory")) == 4 and context.home.version(ONE) == 2
    assert len(outage.intervals) == 1  # the challenge of the fourth attempt
    assert unsettled(context) == []


def test_a_ca_that_stays_down_is_one_message_when_the_time_is_up(context: Context) -> None:
    context.guarded_site(ONE)
    context.ca.answer("directory", DOWN)
    with context.apache.watch() as outage:
        run = supervise(context, *renew(context), options=["--retry-for", "6s"], timeout=120)
    assert run.returncode == 1 and outage.intervals == []
    mail = told_once(context)
    assert "The service is down for maintenance" in said(mail)
    attempts = len(context.ca.seen("directory"))
    assert attempts >= 2
    retried, = context.events("retried")
    assert retried["attempts"] == attempts and unsettled(context) == []


def unsettled(context: Context) -> list[Path]:
    return [path for path in context.state.glob("runs/*/events.jsonl") if '"settled"' not in path.read_text()]


def test_what_does_not_pass_by_itself_is_not_tried_again(context: Context) -> None:
    context.guarded_site(ONE)
    context.ca.invalid_challenge(ONE, "192.0.2.7: Invalid response from http://x/: 404")
    run = supervise(context, *renew(context), options=["--retry-for", "10m"])
    assert run.returncode == 1 and len(context.ca.seen("new-order")) == 1
    told_once(context)


def test_without_the_plugin_the_log_says_that_it_passes(context: Context) -> None:
    context.obtain(ONE, guarded=False)
    context.guard_ini()
    context.ca.answer("directory", DOWN, times=2)
    run = supervise(context, *without_plugin(context), "renew", "--force-renewal", *context.home.arguments,
                    options=["--retry-for", "10m"])
    assert run.returncode == 0 and context.home.version(ONE) == 2
    told_nothing(context)


def test_a_ca_that_is_down_is_held_back_while_the_supervisor_lives_and_told_by_recover_when_it_was_killed(
        context: Context) -> None:
    context.guarded_site(ONE)
    context.ca.answer("directory", Answer(503, STORY_BODY, (*DOWN.headers[:1], ("Retry-After", "3000"))))
    run = supervise(context, *renew(context), options=["--retry-for", "6h"], wait=False)
    context.wait_event("held", timeout=60)
    wait_for(lambda: not processes.children_of(run.pid), 30)
    assert context.guard("recover").stdout == "Nothing was unfinished.\n"
    context.mailbox.stays_at(0, seconds=0.5)
    run.send(signal.SIGKILL)
    run.wait()
    context.guard("recover")
    assert "The service is down for maintenance" in said(told_once(context))
    assert unsettled(context) == []


def test_a_failure_without_the_plugin_is_told_by_recover_when_the_supervisor_was_killed_in_its_wait(
        context: Context) -> None:
    context.guard_ini()
    run = supervise(context, "sh", "-c", "echo later please; exit 75", options=["--retry-for", "6h"], wait=False)
    context.wait_event("exit")
    context.mailbox.stays_at(0, seconds=0.5)
    run.send(signal.SIGKILL)
    run.wait()
    context.guard("recover")
    assert "later please" in said(told_once(context)) and "ended without a word" not in said(told_once(context))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whoever_ends_the_wait_gets_the_message_and_the_last_attempts_code(
        context: Context, number: signal.Signals) -> None:
    context.guard_ini()
    run = supervise(context, "sh", "-c", "exit 75", options=["--retry-for", "6h"], wait=False)
    context.wait_event("exit")
    time.sleep(0.2)
    run.send(number)
    assert run.wait(30).returncode == 75
    told_once(context)


def test_a_signal_that_ends_the_command_ends_the_attempts(context: Context) -> None:
    context.guard_ini()
    script = ("import signal, sys, time; signal.signal(15, lambda *_: sys.exit(75)); print('ready', flush=True); "
              "time.sleep(99)")
    run = supervise(context, *python(script), options=["--retry-for", "6h"], wait=False)
    wait_for(lambda: "ready" in run.stdout, 30)
    run.send(signal.SIGTERM)
    assert run.wait(30).returncode == 75
    told_once(context)


def test_an_apache_that_does_not_start_is_told_at_once_though_there_will_be_another_attempt(context: Context) -> None:
    context.guarded_site(ONE)
    patient = Answer(503, STORY_BODY, (*DOWN.headers[:1], ("Retry-After", "3000")))
    with context.ca.hold("challenge", times=1) as held:
        run = supervise(context, *renew(context), options=["--retry-for", "6h"], wait=False)
        held.wait()
        context.apache.break_configuration()
        context.ca.answer("finalize", patient)
    context.wait_event("start-failed", timeout=60)
    context.mailbox.wait(1)
    assert run.running
    context.apache.mend_configuration()
    wait_for(context.apache.serving, 60)
    wait_for(lambda: not processes.children_of(run.pid), 60)
    run.send(signal.SIGTERM)
    assert run.wait(60).returncode == 1


def test_a_lock_that_nobody_holds_holds_nothing_back(context: Context) -> None:
    context.guarded_site(ONE)
    context.ca.answer("directory", DOWN)
    context.renew(env={VARIABLE: str(context.state / "supervisors" / "gone.lock")})
    told_once(context)


# -- the dead man's switch -------------------------------------------------------------------------------------------


def with_heartbeat(context: Context) -> Healthchecks:
    made = Healthchecks()
    context.cleanup(made.close)
    context.guard_ini(more=f"[heartbeat]\nurl = {made.url}")
    return made


@pytest.mark.parametrize("script, signals", [("exit 0", ["start", "0"]), ("echo why; exit 3", ["start", "3"])])
def test_the_dead_mans_switch_hears_of_start_and_end(context: Context, script: str, signals: list[str]) -> None:
    switch = with_heartbeat(context)
    supervise(context, "sh", "-c", script)
    assert switch.signals == signals
    context.wait_settled()


def test_a_renewal_that_is_tried_again_is_one_start_and_one_end_for_the_dead_mans_switch(context: Context) -> None:
    context.guarded_site(ONE)
    switch = with_heartbeat(context)
    context.ca.answer("directory", DOWN, times=1)
    assert supervise(context, *renew(context), options=["--retry-for", "10m"]).returncode == 0
    context.wait_settled()
    assert switch.signals == ["start", "0"]


def test_a_certificate_that_apache_does_not_load_is_a_failure_though_certbot_exits_with_0(context: Context) -> None:
    context.guarded_site(ONE, authenticator="webroot")
    switch = with_heartbeat(context)
    context.apache.break_configuration()
    assert supervise(context, *renew(context)).returncode == 0
    context.wait_settled()
    assert switch.signals == ["start", "fail"]
    context.apache.mend_configuration()
