"""The user's own hooks: as often, in the order and in the surroundings that certbot alone would run them.

A scenario is run twice, by certbot alone in directories of its own and guarded, and what the hooks noted is compared.
Afterwards the renewal configuration holds what certbot alone would have left there, and no command of ours.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.support.certbot import Certbot, Home
from tests.support.context import Context, wait_for

ONE, TWO, THREE = "one.guard.test", "two.guard.test", "zed.guard.test"
ALL_THREE = {"pre_hook": "note pre", "renew_hook": "note deploy", "post_hook": "note post"}
# Its arguments, where it runs, and its environment, as one line. The guard must not be seen in any of it.
_NOTE = """\
#!/usr/bin/python3 -I
import json, os, sys
seen = {name: value for name, value in os.environ.items() if name not in ("_", "SHLVL", "NOTES")}
with open(os.environ["NOTES"], "a") as notes:
    notes.write(json.dumps([sys.argv[1:], os.getcwd(), seen], sort_keys=True) + "\\n")
"""
HANGING_SECONDS = 2


def script(context: Context, name: str, text: str) -> Path:
    path = context.directory / "bin" / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def control_script(context: Context) -> None:
    """``control stop``, ``control start``, ``control graceful``: what a hook for Apache looks like in real life."""
    script(context, "control", f'#!/bin/sh\nexec {context.apache.program} "$1"\n')


# -- the same with and without the guard -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """``directory``: executables in renewal-hooks/, by their place.

    ``switch`` is the lineage in whose finalize an Apache nobody guards is stopped (``starts``: or started), since
    webroot needs it and standalone needs its port.
    """

    lineages: dict[str, dict[str, Any]]
    arguments: tuple[str, ...] = ()
    directory: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    switch: str = ""
    starts: bool = False


def hooks(word: str) -> dict[str, str]:
    return {key: f"{value} {word}" for key, value in ALL_THREE.items()}


_AWKWARD = """note "a  b" 'c"d' $(echo e; echo f) `echo g` "$HOME" ; note second | cat && note '\\' "#;," """
_IN_ALL_STAGES = {"pre/10-a": "note pre a", "pre/20-b": "note pre b", "deploy/a": "note deploy a",
                  "post/a": "note post a", "post/b": "note post b"}
SCENARIOS = {
    "shared by two lineages": Scenario({ONE: ALL_THREE, TWO: ALL_THREE}),
    "some shared, some not, some without": Scenario({
        ONE: {"post_hook": "note post"}, TWO: {"pre_hook": "note pre", "renew_hook": "note deploy two"},
        THREE: ALL_THREE}),
    "each its own, and one lineage fails": Scenario({ONE: hooks("one"), TWO: hooks("two")}, refused=ONE),
    "words for the shell": Scenario({ONE: {"pre_hook": _AWKWARD, "renew_hook": _AWKWARD, "post_hook": _AWKWARD}}),
    "in renewal-hooks, and configured by their path or otherwise": Scenario(
        {ONE: {"pre_hook": "HOOKS/pre/10-a", "renew_hook": "HOOKS/deploy/a", "post_hook": "HOOKS/post/b"},
         TWO: ALL_THREE}, directory=_IN_ALL_STAGES),
    "on the command line, with renewal-hooks switched off": Scenario({ONE: {}, TWO: ALL_THREE}, (
        "--no-directory-hooks", "--pre-hook", "note pre said", "--deploy-hook", "note deploy said",
        "--post-hook", "note post said"), _IN_ALL_STAGES),
    "a dry run": Scenario({ONE: ALL_THREE}, ("--dry-run",), {"deploy/a": "note deploy a"}),
    "unguarded first": Scenario({
        ONE: {**ALL_THREE, "authenticator": "webroot", "guarded": False}, TWO: ALL_THREE}, switch=ONE),
    "webroot and unguarded last": Scenario({
        ONE: ALL_THREE, TWO: {**ALL_THREE, "authenticator": "webroot", "guarded": False},
        THREE: {**ALL_THREE, "authenticator": "webroot"}}, switch=ONE, starts=True),
}
CORE = ("shared by two lineages", "on the command line, with renewal-hooks switched off")


def lay_out(context: Context, scenario: Scenario, home: Home, guarded: bool) -> None:
    for place, command in scenario.directory.items():
        stage, _, name = place.partition("/")
        home.directory_hook(stage, name, f"#!/bin/sh\n{command}\n")
    for name, options in scenario.lineages.items():
        placed = {key: value.replace("HOOKS", str(home.config / "renewal-hooks")) if isinstance(value, str) else value
                  for key, value in options.items()}
        placed["guarded"] = guarded and options.get("guarded", True)
        context.obtain(name, home=home, vhost=name if guarded else "", **placed)
    if scenario.refused:
        context.ca.invalid_challenge(scenario.refused, "no such page")


def run_scenario(context: Context, scenario: Scenario, home: Home, guarded: bool) -> tuple[Certbot, list[str]]:
    """The run, and what its hooks noted, with the paths of this home made alike."""
    context.ca.clear()
    lay_out(context, scenario, home, guarded)
    notes = context.directory / f"notes-{guarded}"
    held = context.ca.hold("finalize", name=scenario.switch, times=1) if scenario.switch and not guarded else None
    run = context.renew(*scenario.arguments, home=home, env={"NOTES": str(notes)}, wait=False)
    if held is not None:
        held.wait()
        context.apache.start() if scenario.starts else context.apache.stop()
        held.release()
    run.wait()
    text = notes.read_text() if notes.exists() else ""
    return run, text.replace(str(home.directory), "HOME").splitlines()


def parameters(home: Home, name: str) -> dict[str, Any]:
    found = {key: value for key, value in home.conf(name)["renewalparams"].items() if key != "installer"}
    return {key: value.replace(str(home.directory), "HOME") if isinstance(value, str) else value
            for key, value in found.items()}


def assert_no_trace_of_ours(home: Home, name: str) -> None:
    text = home.conf_path(name).read_text()
    assert "certbot_guard" not in text and str(home.directory.parent / "state") not in text


@pytest.mark.parametrize("what", [
    pytest.param(what, marks=[pytest.mark.core] if what in CORE else []) for what in SCENARIOS])
def test_hooks_run_as_certbot_alone_runs_them_and_stay_in_the_file(context: Context, what: str) -> None:
    scenario = SCENARIOS[what]
    script(context, "note", _NOTE)
    alone_home = context.new_home("alone")
    if scenario.switch and not scenario.starts:
        context.apache.start()
    alone, expected = run_scenario(context, scenario, alone_home, guarded=False)
    assert expected

    context.apache.stop()
    context.guard_ini()
    context.apache.start()
    run, noted = run_scenario(context, scenario, context.home, guarded=True)
    context.wait_settled()
    assert noted == expected
    assert run.returncode == alone.returncode == (1 if scenario.refused else 0)
    assert context.apache.serving()
    context.mailbox.stays_at(1 if scenario.refused else 0, seconds=0.3)
    for name in scenario.lineages:
        assert parameters(context.home, name) == parameters(alone_home, name)
        assert context.home.version(name) == alone_home.version(name)
        assert_no_trace_of_ours(context.home, name)


# -- after a kill, and without us ------------------------------------------------------------------------------------


def uninstalled(context: Context) -> dict[str, Optional[str]]:
    """The environment of a Python without certbot-guard: a package of its name without an entry point comes first on the
    path, and cannot be imported."""
    packages = context.directory / "without-guard"
    information = packages / "certbot_guard-0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: certbot-guard\nVersion: 0\n")
    (packages / "certbot_guard.py").write_text("raise ImportError('certbot-guard is not installed')\n")
    return {"PYTHONPATH": str(packages)}


def noting_site(context: Context, **options: Any) -> Path:
    """A guarded site, and the file that its hooks write to."""
    script(context, "note", '#!/bin/sh\necho "$@" >> "$NOTES"\n')
    control_script(context)
    context.environment["NOTES"] = str(context.directory / "notes")
    context.guarded_site(ONE, **options)
    return context.directory / "notes"


@pytest.mark.core
@pytest.mark.parametrize("moment", ["saved", "hook:deploy"])
def test_killed_after_the_save_the_file_holds_the_users_hooks(context: Context, moment: str) -> None:
    notes = noting_site(context, **ALL_THREE)
    run = context.kill_at(moment)
    context.wait_settled()
    assert run.returncode == -signal.SIGKILL and context.apache.serving()
    assert {key: context.home.conf(ONE)["renewalparams"][key] for key in ALL_THREE} == ALL_THREE
    assert_no_trace_of_ours(context.home, ONE)
    context.mailbox.stays_at(1, seconds=0.3)
    notes.unlink()
    assert context.renew().returncode == 0
    assert notes.read_text().splitlines() == ["pre", "deploy", "post"]


def test_killed_after_the_save_the_file_holds_the_hooks_of_the_command_line(context: Context) -> None:
    noting_site(context, renew_hook="note old")
    context.kill_at("hook:deploy", "--pre-hook", "note 'new one'", "--deploy-hook", "note new",
                    "--post-hook", "note last")
    context.wait_settled()
    saved = context.home.conf(ONE)["renewalparams"]
    assert (saved["pre_hook"], saved["renew_hook"], saved["post_hook"]) == ("note 'new one'", "note new", "note last")
    assert saved["installer"] == "guard"
    assert_no_trace_of_ours(context.home, ONE)


def test_without_the_plugin_certbot_runs_the_users_hooks_from_the_same_file(context: Context) -> None:
    notes = noting_site(context, pre_hook="note pre && control stop && sleep 1", renew_hook="note deploy",
                        post_hook="control start && note post")
    assert context.renew().returncode == 0
    path = context.home.conf_path(ONE)
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("installer")))
    notes.unlink()
    run = context.renew(env=uninstalled(context))
    assert run.returncode == 0 and context.home.version(ONE) == 3, run.output
    assert notes.read_text().splitlines() == ["pre", "deploy", "post"]
    assert "guard" not in run.output.replace(ONE, "").replace(str(context.directory), "")
    assert context.apache.serving()
    # and it was not found by another way
    plugins = context.certbot("plugins", env={"PYTHONPATH": str(context.directory / "without-guard")})
    assert "standalone" in plugins.output and "guard" not in plugins.stdout.replace(str(context.directory), "")


# -- hooks that control Apache themselves ----------------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize("where", ["configured", "in renewal-hooks"])
def test_an_existing_setup_whose_hooks_stop_and_start_apache_goes_on_working(context: Context, where: str) -> None:
    own = {"pre_hook": "note pre; control stop", "renew_hook": "note deploy; control graceful",
           "post_hook": "note post; control start"}
    harmless = {"pre_hook": "note configured"}
    notes = noting_site(context, **(own if where == "configured" else harmless))
    if where != "configured":
        for stage, key in (("pre", "pre_hook"), ("deploy", "renew_hook"), ("post", "post_hook")):
            context.home.directory_hook(stage, "apache", f"#!/bin/sh\n{own[key]}\n")
    context.obtain(TWO, **(own if where == "configured" else harmless))
    with context.apache.watch() as outage, context.ca.hold("finalize", name=ONE, times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        context.apache.wait_serving()  # not only when certbot's post hook has come
        held.release()
        run.wait()
        context.wait_settled()
    assert run.returncode == 0 and not outage.down and len(outage.intervals) == 2
    configured = [] if where == "configured" else ["configured"]
    assert notes.read_text().splitlines() == ["pre", *configured, "deploy", "deploy", "post"]
    assert len(context.apache.parents()) == 1
    context.mailbox.stays_at(0, seconds=0.3)


@pytest.mark.parametrize("where", ["configured", "in renewal-hooks"])
@pytest.mark.parametrize("everything", [False, True], ids=["certbot", "certbot and its hooks"])
def test_apache_serves_again_when_certbot_is_killed_in_a_pre_hook_that_has_stopped_it(
        context: Context, where: str, everything: bool) -> None:
    own = f"control stop; sleep {HANGING_SECONDS}"
    noting_site(context, **({"pre_hook": own} if where == "configured" else {}))
    if where != "configured":
        context.home.directory_hook("pre", "apache", f"#!/bin/sh\n{own}\n")
    with context.apache.watch() as outage:
        run = context.renew(wait=False)
        context.wait_until(lambda: not context.apache.serving(), run)
        os.killpg(run.pid, signal.SIGKILL) if everything else run.send(signal.SIGKILL)
        run.wait()
        context.apache.wait_serving(HANGING_SECONDS + 6)
        context.wait_settled()
        assert not outage.down
    # One; and its end, where what the hook did to Apache showed only when certbot's death was being told.
    died, *over = context.mailbox.wait(1)
    assert "certbot died" in died.text and all("serves again" in mail.subject for mail in over) and len(over) < 2


@pytest.mark.parametrize("where", ["configured", "in renewal-hooks"])
def test_apache_serves_again_when_a_pre_hook_goes_on_after_certbot_was_killed_and_stops_it(
        context: Context, where: str) -> None:
    began = context.directory / "began"
    own = f"touch {began}; sleep 2; control stop"
    noting_site(context, **({"pre_hook": own} if where == "configured" else {}))
    if where != "configured":
        context.home.directory_hook("pre", "apache", f"#!/bin/sh\n{own}\n")
    run = context.renew(wait=False)
    context.wait_until(began.exists, run)
    run.send(signal.SIGKILL)
    run.wait()
    context.apache.wait_down()  # settled long ago, and serving then
    context.apache.wait_serving(15)
    wait_for(lambda: not context.sentinels(), 30, "the sentinel's end")
    assert context.apache.serving()
    assert "certbot died" in context.mailbox.wait(1)[0].text


def test_a_pre_hook_that_stops_apache_and_hangs_is_limited_by_max_outage(context: Context) -> None:
    noting_site(context, server="max_outage = 4s\n", pre_hook="control stop; sleep 9")
    with context.apache.watch() as outage:
        run = context.renew(wait=False)
        context.apache.wait_down()
        assert context.apache.wait_serving(15) < 8.0
        run.wait()
        context.wait_settled()
        assert not outage.down
    assert "max_outage" in context.mailbox.stays_at(1, seconds=0.3)[0].text


@pytest.mark.parametrize("stage, key", [("pre", "pre_hook"), ("deploy", "renew_hook"), ("post", "post_hook")])
def test_apache_serves_while_a_hook_of_the_users_takes_its_time(context: Context, stage: str, key: str) -> None:
    notes = noting_site(context, **{key: f"note begins; sleep {HANGING_SECONDS}; note ends"})
    with context.apache.watch() as outage:
        run = context.renew(wait=False)
        context.wait_until(lambda: notes.exists() and notes.read_text(), run)
        began = time.monotonic()
        while notes.read_text().split() == ["begins"]:
            assert time.monotonic() < began + 30 and run.running
            time.sleep(0.02)
        ended = time.monotonic()
        run.wait()
        context.wait_settled()
    assert run.returncode == 0 and ended - began > HANGING_SECONDS - 0.5
    assert not [(down, up) for down, up in outage.intervals if up > began and down < ended - 0.5]
    context.mailbox.stays_at(0, seconds=0.3)


# -- hooks that fail -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage, key, guarded", [
    ("pre", "pre_hook", True), ("deploy", "renew_hook", True), ("post", "post_hook", True),
    ("post", "post_hook", False)])
def test_a_hook_that_fails_is_told_with_what_it_said_and_the_renewal_goes_on(
        context: Context, stage: str, key: str, guarded: bool) -> None:
    script(context, "sorry", "#!/bin/sh\necho 'no such luck'\necho 'out of <luck>' >&2\nexit 3\n")
    options = {} if guarded else {"guarded": False, "authenticator": "webroot"}
    context.guarded_site(ONE, **{key: "sorry --quite"}, **options)
    run = context.renew()
    context.wait_settled()
    assert run.returncode == 0 and context.home.version(ONE) == 2 and context.apache.serving()
    assert f"Hook '{stage}-hook' reported error code 3" in run.output and "out of <luck>" in run.output
    mail = context.mailbox.stays_at(1, seconds=0.3)[0]
    assert f"{stage}-hook failed with exit code 3: sorry --quite" in mail.text
    assert "no such luck" in mail.text and "out of" in mail.text and "certbot_guard" not in mail.text
    assert "not renewed" not in mail.subject + mail.text.lower()


def test_output_of_a_hook_that_succeeds_is_told_to_nobody(context: Context) -> None:
    script(context, "chatty", "#!/bin/sh\necho done\necho 'a remark' >&2\n")
    context.guarded_site(ONE, pre_hook="chatty", renew_hook="chatty", post_hook="chatty")
    run = context.renew()
    context.wait_settled()
    assert run.returncode == 0 and run.output.count("a remark") == 3
    context.mailbox.stays_at(0, seconds=0.3)


# -- another installer in the file -----------------------------------------------------------------------------------

_ELSEWHERE = """\
import os, pathlib
from certbot import interfaces
from certbot.plugins import common

class Installer(common.Plugin, interfaces.Installer):
    description = "reloads a server of its own"
    @classmethod
    def add_parser_arguments(cls, add): add("word", default="", help="any")
    def prepare(self): self._note("prepare")
    def restart(self):
        self._note("restart " + self.conf("word"))
        if {fails!r}:
            from certbot import errors
            raise errors.PluginError("elsewhere does not reload")
    def _note(self, word):
        with open(os.environ["NOTES"], "a") as notes:
            notes.write("elsewhere: " + word + "\\n")
    def more_info(self): return ""
    def get_all_names(self): return []
    def deploy_cert(self, *args): pass
    def enhance(self, *args): pass
    def supported_enhancements(self): return []
    def save(self, *args): pass
    def rollback_checkpoints(self, *args): pass
    def recovery_routine(self): pass
    def config_test(self): pass
"""


def elsewhere(context: Context, fails: bool = False) -> dict[str, Optional[str]]:
    """The environment in which a package with the installer ``elsewhere`` is installed."""
    packages = context.directory / "packages"
    information = packages / "elsewhere-1.0.dist-info"
    information.mkdir(parents=True)
    (packages / "elsewhere_installer.py").write_text(_ELSEWHERE.format(fails=fails))
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[certbot.plugins]\nelsewhere = elsewhere_installer:Installer\n")
    return {"PYTHONPATH": str(packages)}


@pytest.mark.core
def test_a_lineage_of_another_installer_keeps_it_and_that_one_reloads_its_server(context: Context) -> None:
    notes = noting_site(context, installer="elsewhere", elsewhere_word="hello")
    with context.apache.watch() as outage:
        run = context.renew("--installer", "guard", env=elsewhere(context))
        context.wait_settled()
    assert run.returncode == 0 and context.home.version(ONE) == 2, run.output
    assert len(outage.intervals) == 1 and not outage.down  # the guard's part was done all the same
    assert notes.read_text().splitlines() == ["elsewhere: prepare", "elsewhere: restart hello"]
    saved = context.home.conf(ONE)["renewalparams"]
    assert saved["installer"] == "elsewhere" and saved["elsewhere_word"] == "hello"
    context.mailbox.stays_at(0, seconds=0.3)


def test_another_installer_that_fails_to_reload_is_told_as_certbot_alone_says_it(context: Context) -> None:
    notes = noting_site(context, installer="elsewhere")
    run = context.renew("--installer", "guard", env=elsewhere(context, fails=True))
    context.wait_settled()
    assert run.returncode == 1 and context.apache.serving()
    assert notes.read_text().splitlines() == ["elsewhere: prepare", "elsewhere: restart "]
    assert context.home.conf(ONE)["renewalparams"]["installer"] == "elsewhere"
    assert "elsewhere does not reload" in run.output
    assert "elsewhere does not reload" in context.mailbox.stays_at(1, seconds=0.3)[0].text


def test_an_installer_that_is_gone_is_told_and_its_name_stays_in_the_file(context: Context) -> None:
    noting_site(context, installer="nginx")
    run = context.renew("--installer", "guard")
    context.wait_settled()
    assert context.home.version(ONE) == 2 and context.apache.serving(), run.output
    assert context.home.conf(ONE)["renewalparams"]["installer"] == "nginx"
    assert "nginx" in context.mailbox.stays_at(1, seconds=0.3)[0].text
