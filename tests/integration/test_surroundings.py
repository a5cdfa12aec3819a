"""Where a run is started from: a hostile directory, cron, somebody who is not root, odd masks, closed descriptors."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest

from tests.support import processes
from tests.support.certbot import Certbot, program
from tests.support.context import Context, wait_for

NAME = "one.guard.test"
NOBODY = 65534
# Where the ACME server's certificate and the private Apache are: a run against the machine's own needs none of it.
NEEDED = ("REQUESTS_CA_BUNDLE", "APACHE_CONFDIR", "APACHE_ENVVARS")
HOSTILE_MODULES = ("apprise", "sqlite3", "click", "socket", "json", "subprocess", "logging", "cryptography",
                   "configobj", "ssl", "email", "zope", "sitecustomize", "usercustomize")


def settled(context: Context, run: Certbot) -> None:
    context.wait_settled()
    assert context.apache.serving(), run.output
    assert "certbot_guard" not in run.output and run.returncode is not None


def renewed(context: Context, run: Certbot) -> bool:
    return run.returncode == 0 and context.apache.served_certificate(NAME) == context.home.certificate(NAME) and (
        context.home.version(NAME) == 2)


# -- a hostile current directory -------------------------------------------------------------------------------------


def hostile_directory(context: Context) -> tuple[Path, Path]:
    """A directory with modules that leave a mark when they are imported, and the mark."""
    directory, mark = context.directory / "hostile", context.directory / "imported"
    code = f"import os\nwith open({str(mark)!r}, 'a') as mark: mark.write(__name__ + '\\n')\n"
    for name in ("certbot_guard", "certbot"):
        (directory / name).mkdir(parents=True)
        for module in ("__init__", "hooks", "settle", "sentinel", "deliverer", "cli", "plugin", "__main__"):
            (directory / name / f"{module}.py").write_text(code)
    for name in HOSTILE_MODULES:
        (directory / f"{name}.py").write_text(code)
    for name in ("apache2ctl", "sh", "python3", "systemctl", "ps"):
        (directory / name).write_text(f"#!/bin/sh\necho {name} >> {mark}\n")
        (directory / name).chmod(0o755)
    return directory, mark


@pytest.mark.parametrize("path", [pytest.param(None, id="no PATH"), pytest.param("", id="an empty PATH"),
                                  pytest.param(":/usr/bin:/bin", id="an empty entry", marks=[pytest.mark.core]),
                                  pytest.param(".:/usr/bin:/bin", id="a dot")])
def test_nothing_is_imported_or_run_from_the_current_directory(context: Context, path: Optional[str]) -> None:
    directory, mark = hostile_directory(context)
    context.guarded_site(NAME)
    context.ca.invalid_challenge(NAME, "no such page")  # so that all of our programs have something to do
    run = context.renew(cwd=str(directory), env={"PATH": path})
    settled(context, run)
    assert run.returncode == 1 and len(context.mailbox.stays_at(1, seconds=0.3)) == 1
    assert context.events("stopping") and not mark.exists(), mark.read_text()


def test_a_module_in_the_current_directory_is_a_danger_to_programs_that_are_not_isolated(context: Context) -> None:
    """The trap of the tests above does catch."""
    directory, mark = hostile_directory(context)
    subprocess.run([sys.executable, "-m", "certbot_guard.hooks"], cwd=directory, check=False)
    assert "certbot_guard" in mark.read_text()


def test_the_command_imports_nothing_from_the_current_directory_either(context: Context) -> None:
    directory, mark = hostile_directory(context)
    context.guarded_site(NAME)
    with context.ca.hold("challenge", times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        for pid in context.sentinels():
            os.kill(pid, 9)
        run.send()
        run.wait()
        held.release(forward=False)
    assert not context.apache.serving()
    recovered = context.guard("recover", cwd=str(directory), env={"PATH": ""})
    context.apache.wait_serving()
    context.mailbox.wait(1)
    context.wait_settled()
    assert "Traceback" not in recovered.output and not mark.exists(), mark.read_text()


# -- cron ------------------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_a_run_from_crons_bare_environment(context: Context) -> None:
    context.guarded_site(NAME)
    run = context.renew("--quiet", env={
        **dict.fromkeys(context.environment), "HOME": "/", "LOGNAME": "root", "SHELL": "/bin/sh",
        "PATH": "/usr/bin:/bin", **{name: context.environment[name] for name in NEEDED}})
    settled(context, run)
    assert renewed(context, run) and run.output == ""  # cron mails whatever is printed
    context.mailbox.stays_at(0, seconds=0.3)


def test_a_run_without_any_variable_that_it_can_do_without(context: Context) -> None:
    context.guarded_site(NAME)
    run = context.renew(env={name: None for name in context.environment if name not in NEEDED})
    settled(context, run)
    assert renewed(context, run)


# -- masks and descriptors -------------------------------------------------------------------------------------------


RENEW = ("renew",)
CERTONLY = ("certonly", "--installer", "guard", "--cert-name", NAME, "-d", NAME, "--standalone")


def through_shell(context: Context, line: str, *arguments: str, wait: bool = True) -> Certbot:
    """certbot with a forced renewal, started by ``sh -c LINE`` that has certbot's command line as ``"$@"``."""
    run = Certbot(["/bin/sh", "-c", line, "sh", str(program()), *(arguments or RENEW), "--force-renewal",
                   *context.home.arguments], context.environment, "/", context.directory / "run-shell")
    context.runs.append(run)
    return run.wait() if wait else run


@pytest.mark.parametrize("mask", ["000", "077", "777"])
def test_the_state_is_its_owners_alone_whatever_the_umask(context: Context, mask: str) -> None:
    context.guarded_site(NAME)
    if mask == "777":  # certbot itself needs files that it can open
        context.state.mkdir(mode=0o700)
    context.ca.invalid_challenge(NAME, "no such page")
    run = through_shell(context, f'umask {mask}; exec "$@"')
    settled(context, run)
    assert run.returncode == 1
    context.mailbox.stays_at(1, seconds=0.3)
    made = [context.state, *context.state.rglob("*")]
    assert len(made) > 3 and all(path.lstat().st_mode & 0o077 == 0 for path in made if not stat.S_ISSOCK(
        path.lstat().st_mode))
    # a visitor still gets pages, from workers that are not root
    assert context.apache.get(path="/index.html")


# "certbot renew" itself cannot do without stdin, certonly without stdout (5.8: isatty()), and no verb without stderr.
@pytest.mark.parametrize("arguments, closed", [(RENEW, ">&-"), (CERTONLY, "<&-")], ids=["stdout", "stdin"])
def test_closed_standard_descriptors_do_no_harm(context: Context, arguments: tuple[str, ...], closed: str) -> None:
    context.guarded_site(NAME)
    run = through_shell(context, f'exec "$@" {closed}', *arguments, "--quiet")
    settled(context, run)
    assert renewed(context, run)
    context.mailbox.stays_at(0, seconds=0.3)


def test_a_certbot_that_crashes_without_stdin_is_told(context: Context) -> None:
    context.guarded_site(NAME)
    with context.apache.watch() as outage:
        run = through_shell(context, 'exec "$@" <&-')
        settled(context, run)
    if run.returncode:  # not every version does
        assert outage.intervals == [] and "isatty" in context.mailbox.stays_at(1, seconds=0.3)[0].text


def test_apache_serves_when_nobody_reads_certbots_output_any_more(context: Context) -> None:
    """A terminal or a pipe that goes away in the middle: certbot's next line of output ends it."""
    context.guarded_site(NAME)
    gone = context.directory / "gone"
    with context.ca.hold("challenge", times=1) as held:
        run = through_shell(context, f'"$@" 2>&1 | sh -c "while [ ! -e {gone} ]; do sleep 0.05; done"', wait=False)
        held.wait()
        gone.touch()
        wait_for(lambda: not run.running or not [pid for pid in processes.children_of(run.pid)
                                                 if "while [" in " ".join(processes.arguments_of(pid))])
        held.release()
    run.wait()
    wait_for(lambda: not [pid for pid in processes.marked(str(context.directory))
                          if str(program()) in processes.arguments_of(pid)], 60, "the end of certbot")
    settled(context, run)
    lost = context.home.version(NAME) == 1
    assert len(context.mailbox.messages) == 1 or not lost


# -- not root --------------------------------------------------------------------------------------------------------

as_root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"),
                            reason="needs root and setpriv")


def closed_directory() -> Optional[Path]:
    """The uppermost directory on the way to our Python that only its owner can enter."""
    above = [*reversed(Path(sys.executable).resolve().parents)]
    return next((directory for directory in above if not directory.stat().st_mode & 0o001), None)


def as_nobody(context: Context, *command: str) -> Certbot:
    """Run this as user nobody; where nobody cannot get to our Python, with a way to it that no other process sees."""
    line, closed, needed = "", closed_directory(), sys.base_prefix
    if closed is not None:
        stash = context.directory / "python"
        stash.mkdir(exist_ok=True)
        line = (f"mount --bind {needed} {stash} && mount -t tmpfs -o mode=755 none {closed} && mkdir -p {needed} && "
                f"mount --bind {stash} {needed} && ")
    line += f'exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups "$@"'
    run = Certbot(["unshare", "--mount", "sh", "-ec", line, "sh", *command], context.environment, "/",
                  context.directory / f"nobody-{len(context.runs)}")
    context.runs.append(run)
    return run.wait()


def give_to_nobody(tree: Path) -> None:
    for path in [tree, *tree.rglob("*")]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@pytest.fixture
def nobody_can_run_python(context: Context) -> None:
    run = as_nobody(context, sys.executable, "-c", "import certbot_guard")
    if run.returncode:
        pytest.skip(f"user nobody cannot run the programs of this checkout: {run.output.strip()[-300:]}")


@as_root
@pytest.mark.usefixtures("nobody_can_run_python")
def test_certbot_as_somebody_who_may_not_control_apache_is_refused_in_one_sentence(context: Context) -> None:
    context.guarded_site(NAME)
    context.ini.chmod(0o600)
    give_to_nobody(context.home.directory)
    with context.apache.watch() as outage:
        run = as_nobody(context, str(program()), "renew", "--force-renewal", *context.home.arguments)
        context.wait_settled()
    assert run.returncode == 1 and outage.intervals == [] and context.home.version(NAME) == 1
    assert "Traceback" not in run.output
    said = [line for line in run.output.splitlines() if NAME in line and "certbot-guard" in line]
    assert len(said) == 1 and "certbot-guard leaves" in said[0]
    mail = context.mailbox.stays_at(1, seconds=0.3)[0]
    assert NAME in mail.text and "DOWN" not in mail.subject  # it serves, though nobody cannot see that


@as_root
@pytest.mark.usefixtures("nobody_can_run_python")
@pytest.mark.parametrize("command", [["recover"], ["check"]], ids=" ".join)
def test_the_command_as_somebody_who_may_not_read_the_settings_says_one_sentence(
        context: Context, command: list[str]) -> None:
    context.guarded_site(NAME)
    context.state.mkdir(mode=0o700)
    run = as_nobody(context, str(program("certbot-guard")), "--config", str(context.ini), *command)
    assert run.returncode != 0 and "Traceback" not in run.output
    assert str(context.ini) in run.output.splitlines()[0] and "Permission denied" in run.output.splitlines()[0]
    assert command == ["check"] or len(run.output.splitlines()) == 1  # check tells of all there is


# -- what an import costs --------------------------------------------------------------------------------------------

_NOT_FOR_EVERY_CERTBOT_COMMAND = ("apprise", "sqlite3", "click", "rich", "subprocess", "certbot_guard.session",
                                  "certbot_guard.config", "certbot_guard.journal", "certbot_guard.servers")


def _imports(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-I", "-c", f"{code}\nimport sys; print(' '.join(sys.modules))"],
                          capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.core
def test_the_plugin_adds_next_to_nothing_to_what_certbot_imports_anyway() -> None:
    certbots = "import certbot.plugins.common, certbot.main, certbot.util, zope.interface"
    added = _imports(f"{certbots}\nimport certbot_guard.plugin") - _imports(certbots)
    assert not added & set(_NOT_FOR_EVERY_CERTBOT_COMMAND)
    assert added <= {"certbot_guard", "certbot_guard.plugin", "certbot_guard.capture", "certbot_guard.evidence",
                     "certbot_guard.finalizing"}


def test_the_trap_of_the_import_test_catches() -> None:
    assert set(_NOT_FOR_EVERY_CERTBOT_COMMAND) & (_imports("import certbot_guard.session") - _imports(""))
