"""Every fault of a guarded renewal once more, where the challenge passes through the running Apache.

Apache serves throughout, nothing of ours stays in its configuration, and people are told once, in words that are true.
tests/faults/test_proxy.py has the first rows of this table, for one lineage.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.faults import test_state as disks
from tests.faults.test_recover import ready
from tests.support import processes
from tests.support.account import Account
from tests.support.ca import Pebble
from tests.support.certbot import Certbot, Home
from tests.support.context import Context, wait_for
from tests.support.faulty_ca import STORY_503, Answer, problem
from tests.support.passages import (
    ALONE,
    FIRST,
    MIXED,
    MOMENTS,
    THREE,
    VICTIM,
    Scene,
    waiting_hook,
)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL)


@pytest.fixture
def context(new_context: Callable[..., Context]) -> Context:
    """An Apache that includes a directory, as distributions do: ``mode = auto`` lets challenges through."""
    return new_context(open_directory=True)


# -- certbot gets a signal -------------------------------------------------------------------------------------------


def signals() -> list:
    """Each at each moment; the kind of site goes round. Beside SIGKILL one of the others, by turns; the rest is long."""
    return [pytest.param(moment, number, (ALONE, THREE, MIXED, ALONE)[(row + column) % 4],
                         id=f"{number.name} {moment}",
                         marks=pytest.mark.long if column not in (row % 3, SIGNALS.index(signal.SIGKILL)) else ())
            for row, moment in enumerate(MOMENTS) for column, number in enumerate(SIGNALS)]


@pytest.mark.parametrize("moment, number, shape", signals())
def test_a_signal_at_any_moment(context: Context, moment: str, number: signal.Signals, shape: str) -> None:
    hook = {"renew_hook": waiting_hook(context)} if moment == "in the deploy hook" else {}
    scene = Scene(context, shape, **hook)
    with scene.nobody_notices():
        with scene.at(moment) as run:
            run.send(number)
            processes.wait_gone(lambda: [run.pid] if run.running else [], 1.0)
        run.wait()
    scene.shows_what_was_renewed()
    if number == signal.SIGKILL:
        assert run.returncode == -signal.SIGKILL
    if run.returncode == 0:  # certbot heard it and went on
        assert scene.renewed() == scene.names
        return scene.told_nothing()
    said = scene.told("no such page" if moment == "while settle runs" else "")
    if run.returncode == -number and moment != "while settle runs":
        assert "certbot died" in said or number == signal.SIGINT, said
        assert all(name in said for name in scene.behind if name not in scene.renewed()), said


# -- the CA ----------------------------------------------------------------------------------------------------------

# What certbot asks for on behalf of a lineage, in this order; the directory comes before them.
STEPS = ("new-order", "authz", "challenge", "finalize", "cert")
GARBAGE = Answer(200, b"<html>Maintenance</html>", (("Content-Type", "text/html"),))
ANSWERS = {
    "503": (STORY_503, "down for maintenance"),
    "429": (problem(429, "rateLimited", "too many of them", "3600"), "too many of them"),
    "500": (problem(500, "serverInternal", "it broke"), "it broke"),
    "garbage": (GARBAGE, ""),
    "the connection breaks": (None, ""),
}


@pytest.mark.parametrize("kind", [
    pytest.param(kind, marks=() if kind in ("503", "the connection breaks") else pytest.mark.long) for kind in ANSWERS])
def test_the_ca_fails_at_each_step_of_five_lineages(context: Context, kind: str) -> None:
    names = [f"{letter}-{step}.guard.test" for letter, step in zip("abcde", STEPS)]
    scene = Scene(context, names=names)
    answer, words = ANSWERS[kind]
    for name, step in zip(names, STEPS):
        if answer is None:
            context.ca.drop(step, name=name)
        else:
            context.ca.answer(step, answer, name=name)
    with scene.nobody_notices():
        run = context.renew()
    assert run.returncode == 1 and scene.renewed() == []
    said = scene.told(words)
    assert all(name in said for name in names), said
    assert not context.events("stopping") and len(context.events("proxy-placed")) == len(names)


def test_the_directory_fails_in_each_way_for_one_lineage_after_the_other(context: Context) -> None:
    names = [f"{letter}.guard.test" for letter in "abcdef"]
    scene = Scene(context, names=names)
    for number, (answer, _) in enumerate(ANSWERS.values()):
        if answer is None:
            context.ca.drop("directory", times=1, after=number)
        else:
            context.ca.answer("directory", answer, times=1, after=number)
    with scene.nobody_notices():
        assert context.renew().returncode == 1
    assert scene.renewed() == names[-1:]
    scene.told("down for maintenance", "too many of them", "it broke", *names)
    assert [event["by"] for event in context.events("proxy-removed")] == ["failure"] * 5 + ["restart"]


@pytest.mark.parametrize("shape", [ALONE, MIXED])
def test_connections_are_refused_from_the_victims_challenge_on(context: Context, shape: str) -> None:
    scene = Scene(context, shape)
    with scene.nobody_notices(), context.ca.hold("challenge", name=VICTIM, times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        context.ca.refuse()
        held.release(forward=False)
        assert run.wait().returncode == 1
    assert VICTIM not in scene.renewed() and not set(scene.behind) & set(scene.renewed())
    scene.told(VICTIM, *scene.behind, *(["Connection refused"] if scene.behind else []))


def test_a_ca_that_hangs_at_each_step_holds_nobody_up_though_max_outage_is_short(context: Context) -> None:
    scene = Scene(context, THREE, server="max_outage = 4s")
    held = {step: context.ca.hold(step, name=VICTIM, times=1) for step in STEPS}
    held["directory"] = context.ca.hold("directory", times=1, after=1)
    with scene.nobody_notices():
        run = context.renew(wait=False)
        for step in ("directory", *STEPS):
            held[step].wait()
            placed = scene.events_of(VICTIM, "proxy-placed")[0]
            if step == "challenge":  # longer than Apache would be stopped for
                wait_for(lambda: time.monotonic() > placed["mono"] + 5.0)
            assert context.apache.serving() and scene.file.exists() and run.running
            held[step].release()
        assert run.wait().returncode == 0, run.output
    assert scene.renewed() == scene.names and not context.events("overdue")
    scene.shows_what_was_renewed()
    scene.told_nothing()


def refused_challenge(scene: Scene) -> Certbot:
    url = f"http://{VICTIM}/.well-known/acme-challenge/x"
    scene.context.ca.invalid_challenge(VICTIM, f"192.0.2.7: Invalid response from {url}: 404")
    return scene.context.renew()


def refused_nonces(scene: Scene) -> Certbot:
    scene.context.ca.bad_nonce("new-order", VICTIM)
    return scene.context.renew()


@pytest.mark.parametrize("fault, words, shape", [
    (refused_challenge, "404", MIXED), (refused_nonces, "anti-replay nonce", THREE)])
def test_one_that_is_refused_does_not_harm_the_others(
        context: Context, fault: Callable[[Scene], Certbot], words: str, shape: str) -> None:
    scene = Scene(context, shape)
    with scene.nobody_notices():
        assert fault(scene).returncode == 1
    assert scene.renewed() == [name for name in scene.names if name != VICTIM]
    scene.shows_what_was_renewed()
    scene.told(f"{VICTIM} not renewed", words)


def test_a_nonce_that_is_refused_once_is_no_failure(context: Context) -> None:
    scene = Scene(context)
    for step in STEPS:
        context.ca.answer(step, problem(400, "badNonce", "JWS has an invalid anti-replay nonce"), times=1)
    with scene.nobody_notices():
        assert context.renew().returncode == 0
    assert scene.renewed() == [VICTIM]
    scene.told_nothing()


def test_a_ca_that_asks_for_no_challenge(context: Context) -> None:
    """A second renewal soon after the first: what was proved then still counts."""
    with Pebble(http_port=context.world.http_port, authority=context.authority,
                authorization_reuse_percent=100) as pebble:
        account = Account.register(pebble.directory_url, pebble.ca_bundle)
        context.home = Home(context.directory / "reusing", pebble.directory_url, context.world.http_port,
                            context.authority)
        context.home.take_form(context.world.home, "form.guard.test", account)
        context.ini = context.home.config / "guard.ini"
        scene = Scene(context)
        asked = "http-01 challenge for"
        with scene.nobody_notices():
            assert context.renew().returncode == 0 and asked in context.home.log()
            assert context.renew().returncode == 0 and asked not in context.home.log()
    assert context.home.version(VICTIM) == 3 and len(context.events("proxy-placed")) == 2
    assert not context.events("stopping")
    assert context.apache.served_certificate(VICTIM) == context.home.certificate(VICTIM)
    scene.told_nothing()


# -- the sentinel and settle -----------------------------------------------------------------------------------------


def kill_sentinels(context: Context) -> None:
    for pid in context.sentinels():
        os.kill(pid, signal.SIGKILL)
    assert not processes.wait_gone(context.sentinels, 5.0)


@pytest.mark.parametrize("shape, moment", [
    (ALONE, "between the placing and the challenge"), (THREE, "in the challenge"), (MIXED, "in finalize")])
def test_the_sentinel_alone_is_killed(context: Context, shape: str, moment: str) -> None:
    scene = Scene(context, shape)
    with scene.nobody_notices():
        with scene.at(moment) as run:
            kill_sentinels(context)
        assert run.wait().returncode == 0, run.output
    assert scene.renewed() == scene.names
    scene.told_nothing()


def left_behind(scene: Scene, moment: str = "in the challenge") -> Path:
    """certbot and the sentinel were killed at once, and the file is there. Returns the run's directory."""
    with scene.at(moment) as run:
        for pid in (*scene.context.sentinels(), run.pid):
            os.kill(pid, signal.SIGKILL)
        run.wait()
    scene.context.wait_settled()
    assert scene.file.exists() and not scene.context.events("died")
    return scene.context.run_directory()


@pytest.mark.parametrize("shape, comes", [(THREE, "recover"), (MIXED, "the next run")])
def test_the_sentinel_is_killed_with_certbot(context: Context, shape: str, comes: str) -> None:
    scene = Scene(context, shape)
    with scene.nobody_notices():
        left_behind(scene)
        if comes == "recover":
            assert context.guard("recover").returncode == 0
        else:
            assert context.renew().returncode == 0
    scene.told("certbot died", VICTIM, later=True)
    assert context.guard("recover").stdout == "Nothing was unfinished.\n"
    context.mailbox.stays_at(1, seconds=0.3)


@contextmanager
def before_the_file_goes(scene: Scene, run: Path) -> Iterator[Callable[[], object]]:
    descriptor = os.open(run / "step.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield lambda: scene.context.guard_processes()
    finally:
        os.close(descriptor)


@contextmanager
def while_the_file_is_emptied(scene: Scene, run: Path) -> Iterator[Callable[[], object]]:
    """Apache takes its time to test its configuration: the file says nothing by then, and is there."""
    slow = scene.context.directory / "bin" / "slow"
    with scene.context.apache.control_runs_first(
            f"if grep -q '^# <Location' {scene.file}; then touch {slow}; sleep 1; fi"):
        yield slow.exists


@contextmanager
def before_the_message(scene: Scene, run: Path) -> Iterator[Callable[[], object]]:
    with scene.nothing_is_told():
        yield lambda: scene.context.events("proxy-removed")


@pytest.mark.parametrize("step, comes", [
    (before_the_file_goes, "recover"), (while_the_file_is_emptied, "recover"), (before_the_message, "recover"),
    (while_the_file_is_emptied, "the next run")])
def test_settle_is_killed_and_whoever_comes_next_finishes(context: Context, step: Any, comes: str) -> None:
    scene = Scene(context)
    with scene.nobody_notices():
        run = left_behind(scene)
        with step(scene, run) as reached:
            settling = subprocess.Popen([sys.executable, "-I", "-m", "certbot_guard.settle", str(run)], cwd="/",
                                        env=context.environment, stdin=subprocess.DEVNULL, start_new_session=True)
            wait_for(reached, what="the step")
            settling.kill()
            settling.wait()
        context.wait_settled()
        context.mailbox.stays_at(0, seconds=0.1)
        done = context.guard("recover") if comes == "recover" else context.renew()
        assert done.returncode == 0, done.output
    assert "possible repeat" not in scene.told("certbot died", VICTIM, later=True)
    assert context.guard("recover").stdout == "Nothing was unfinished.\n"
    context.mailbox.stays_at(1, seconds=0.3)


def test_settlers_and_a_recover_at_once_take_the_file_away_once(context: Context) -> None:
    scene = Scene(context)
    with scene.nobody_notices():
        run = left_behind(scene)
        with before_the_file_goes(scene, run):
            settling = [subprocess.Popen([sys.executable, "-I", "-m", "certbot_guard.settle", str(run)], cwd="/",
                                         env=context.environment, stdin=subprocess.DEVNULL) for _ in range(2)]
            recovering = context.guard("recover", wait=False)
            wait_for(lambda: ready(context) == 3, 40)
        assert [one.wait(60) for one in settling] == [0, 0] and recovering.wait().returncode == 0
    assert len(context.events("proxy-removed")) == len(context.events("died")) == 1
    scene.told("certbot died")


def test_recover_delivers_before_it_asks_apache_for_leftovers(context: Context) -> None:
    scene, asked, go_on = Scene(context), context.directory / "asked", context.directory / "go-on"
    context.mailbox.refuse()
    context.ca.invalid_challenge(VICTIM, "no such page")
    assert context.renew().returncode == 1
    context.wait_settled()
    context.mailbox.heal()
    with context.apache.control_runs_first(
            f"touch {asked}; while [ -d {context.directory} ] && [ ! -e {go_on} ]; do sleep 0.05; done"):
        recovering = context.guard("recover", wait=False)
        context.mailbox.wait(1)
        wait_for(asked.exists, what="the question to Apache")
        go_on.touch()
        assert recovering.wait().returncode == 0
    scene.told("no such page")


# -- disks -----------------------------------------------------------------------------------------------------------


def read_only_from_the_beginning(scene: Scene) -> Certbot:
    disks._read_only(scene.context)
    scene.context.ca.invalid_challenge(VICTIM, "no such page")
    return disks.renew(scene.context)


def full_from_the_beginning(scene: Scene) -> Certbot:
    disks._full(scene.context)
    scene.context.ca.invalid_challenge(VICTIM, "no such page")
    return disks.renew(scene.context)


def full_from_the_challenge_on(scene: Scene) -> Certbot:
    disks.mount(scene.context, scene.context.state)
    scene.swept = True  # that the file is gone may be the event for which there is no room
    scene.context.ca.invalid_challenge(VICTIM, "no such page")
    with scene.context.ca.hold("challenge", name=VICTIM, times=1) as held:
        run = disks.renew(scene.context, wait=False)
        held.wait()
        disks.fill(scene.context.state)
        held.release()
        return run.wait()


@pytest.mark.parametrize("fault, shape", [(read_only_from_the_beginning, ALONE), (full_from_the_beginning, MIXED),
                                          (full_from_the_challenge_on, THREE)])
def test_the_disk_of_the_state(context: Context, fault: Callable[[Scene], Certbot], shape: str) -> None:
    scene = Scene(context, shape)
    with scene.nobody_notices():
        assert fault(scene).returncode == 1
    assert scene.renewed() == [name for name in scene.names if name != VICTIM]
    scene.told("no such page", f"{VICTIM} not renewed")


@pytest.mark.parametrize("shape", [ALONE, MIXED])
def test_where_no_run_can_be_recorded_nothing_is_placed(context: Context, shape: str) -> None:
    scene = Scene(context, shape)
    with scene.nobody_notices():
        disks._nowhere(context)
        run = disks.renew(context)
        assert run.returncode == 1 and "Traceback" not in run.output
    assert scene.renewed() == [name for name in scene.names if shape == MIXED and name == FIRST]
    assert not context.ca.seen("challenge") or shape == MIXED
    # It is refused, for want of a lock: that is what "could not be stopped safely, so it was not" says.
    scene.told("no run can be recorded", VICTIM, allowed="could not be stopped")


def test_a_directory_without_room_for_the_file_is_stopped_for(context: Context) -> None:
    scene = Scene(context, before=lambda: disks.fill(on_a_small_disk(context)))
    run = context.renew()
    context.wait_settled()
    assert run.returncode == 0 and scene.renewed() == [VICTIM] and len(context.events("stopping")) == 1
    assert "No space left" in context.events("not-proxied")[0]["reason"]
    scene.nothing_stays()
    scene.told_nothing()


def test_a_directory_that_fills_up_in_the_challenge(context: Context) -> None:
    """To empty the file takes room; it goes at once then."""
    scene = Scene(context, before=lambda: on_a_small_disk(context))
    context.ca.invalid_challenge(VICTIM, "no such page")
    with scene.nobody_notices():
        with scene.at("in the challenge") as run:
            disks.fill(context.apache.vhosts)
        assert run.wait().returncode == 1
    scene.told("no such page")


def on_a_small_disk(context: Context) -> Path:
    """Apache's directory of virtual hosts, with what is in it."""
    vhosts = context.apache.vhosts
    files = {path.name: path.read_bytes() for path in vhosts.iterdir()}
    disks.mount(context, vhosts, "64k")
    vhosts.chmod(0o755)
    for name, content in files.items():
        (vhosts / name).write_bytes(content)
    return vhosts
