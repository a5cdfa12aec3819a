"""What others do while a challenge passes through the running Apache: to its configuration, to our file, to Apache.

More rows of the table of tests/faults/test_proxy_table.py: Apache serves throughout unless somebody stops it, nothing
of ours stays in its configuration, and people are told once, in words that are true.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import Any, Callable, Iterator, Optional

import certbot
import pytest

from certbot_guard import launch, serverlock
from certbot_guard.servers.apache import ApacheServer
from tests.faults import test_state as disks
from tests.faults.test_proxy_table import left_behind, on_a_small_disk
from tests.support.apache import MODULES_DIRECTORY, make_certificate
from tests.support.certbot import Certbot
from tests.support.context import Context, wait_for
from tests.support.passages import ALONE, FIRST, LAST, MIXED, THREE, VICTIM, Scene, waiting_hook

CERTBOT = tuple(int(part) for part in certbot.__version__.split(".")[:2])


@pytest.fixture
def context(new_context: Callable[..., Context]) -> Context:
    """An Apache that includes a directory, as distributions do: ``mode = auto`` lets challenges through."""
    return new_context(open_directory=True)


# -- Apache's configuration, and our file in it ----------------------------------------------------------------------


def broken(context: Context) -> None:
    context.apache.break_configuration()


def mismatch(context: Context) -> None:
    """A certificate and a key that do not fit: configtest passes, and a reload would end Apache."""
    context.apache.certificate.write_bytes(make_certificate()[0])


@pytest.mark.parametrize("shape, moment, spoil, words", [
    pytest.param(ALONE, "before", broken, "ThisDirectiveDoesNotExist", marks=pytest.mark.long),
    (ALONE, "before", mismatch, "does not fit its key"),
    (THREE, "in the challenge", mismatch, "does not fit its key"),
    pytest.param(MIXED, "in the deploy hook", broken, "ThisDirectiveDoesNotExist", marks=pytest.mark.long)])
def test_the_configuration_cannot_be_loaded_any_more(
        context: Context, shape: str, moment: str, spoil: Callable[[Context], object], words: str) -> None:
    hook = {"renew_hook": waiting_hook(context)} if moment == "in the deploy hook" else {}
    scene = Scene(context, shape, **hook)
    with scene.nobody_notices():
        if moment == "before":
            spoil(context)
            run = context.renew()
        else:
            with scene.at(moment) as run:
                spoil(context)
        assert run.wait().returncode == 1
    said = scene.told(words)
    assert not context.events("stopping")
    if moment == "before":
        assert not context.events("proxy-placing") and f"{VICTIM} not renewed" in said
        return
    # It is on disk and not loaded, and the next one is left alone.
    assert scene.renewed() == [FIRST, VICTIM] and LAST in said
    assert context.apache.served_certificate(VICTIM) != context.home.certificate(VICTIM)


def removed(scene: Scene) -> None:
    scene.file.unlink()


def replaced(scene: Scene) -> None:
    scene.file.unlink()
    scene.file.write_text("# a stranger's\n")


@pytest.mark.parametrize("change", [removed, replaced])
@pytest.mark.parametrize("shape, fails", [
    pytest.param(ALONE, True, id="and it fails"), pytest.param(THREE, False, id="of three", marks=pytest.mark.long)])
def test_somebody_has_his_hands_on_our_file(
        context: Context, change: Callable[[Scene], None], shape: str, fails: bool) -> None:
    scene = Scene(context, shape)
    if fails:
        context.ca.invalid_challenge(VICTIM, "no such page")
    stopped = change is replaced and shape == THREE  # there is no place for the last one's file then
    scene.shape = MIXED if stopped else shape
    with scene.nobody_notices(ours=change is removed):
        with scene.at("in the challenge") as run:
            change(scene)
        assert run.wait().returncode == int(fails)
    assert scene.renewed() == ([] if fails else scene.names)
    assert bool(context.events("stopping")) == stopped
    if fails:  # it hands over no longer, though nothing on disk had to change for that
        assert context.apache.error_log.read_bytes().count(b"Doing graceful restart") == 2
    if change is replaced:
        assert scene.file.read_text() == "# a stranger's\n"
    scene.told("no such page") if fails else scene.told_nothing()


@contextmanager
def immutable(scene: Scene) -> Iterator[None]:
    def attribute(sign: str) -> int:
        return subprocess.run(["chattr", f"{sign}i", str(scene.file)], check=False, capture_output=True).returncode

    if attribute("+"):
        pytest.skip("no file can be made immutable here")
    scene.context.cleanup(lambda: attribute("-") and None)
    yield
    assert not attribute("-")


@contextmanager
def in_a_read_only_directory(scene: Scene) -> Iterator[None]:
    disks.remount(scene.context.apache.vhosts, "ro")
    yield
    disks.remount(scene.context.apache.vhosts, "rw")


@pytest.mark.parametrize("shape, kept, killed", [
    (ALONE, immutable, False), pytest.param(THREE, immutable, True, marks=pytest.mark.long),
    (ALONE, in_a_read_only_directory, True)])
def test_our_file_cannot_be_taken_away_until_recover_may(
        context: Context, kept: Any, shape: str, killed: bool) -> None:
    scene = Scene(context, shape, before=lambda: on_a_small_disk(context) if kept is not immutable else None)
    with scene.nobody_notices():
        with ExitStack() as keeping:
            with scene.at("in the challenge") as run:
                keeping.enter_context(kept(scene))
                if killed:
                    run.send(signal.SIGKILL)
                    run.wait()
            run.wait()
            context.wait_settled()
            assert scene.file.exists() and context.apache.serving()
            scene.told("cannot be taken away", "certbot-guard recover", *(["certbot died"] if killed else []))
        done = context.guard("recover")
        assert done.returncode == 0 and f"{scene.file} was left" in done.output, done.output
        scene.swept = True
    scene.told("cannot be taken away")


def test_while_another_run_has_apache_the_file_is_emptied_and_not_unlinked(context: Context) -> None:
    """An Apache that is reloaded in the moment in which a file goes ends, where it is included by ``Include``."""
    scene = Scene(context)
    server = ApacheServer(context.apache.program, {**launch.surroundings(), **context.apache.environment})
    with scene.nobody_notices():
        left_behind(scene)
        lock = serverlock.take(server.identity, 5.0)
        assert lock is not None
        try:
            assert context.guard("recover").returncode == 0
        finally:
            os.close(lock)
        assert all(line.startswith("#") for line in scene.file.read_text().splitlines())
        assert "says nothing any more" in context.events("proxy-removed")[0]["problem"]
        assert f"{scene.file} was left" in context.guard("recover").output
    scene.told("certbot died")


# -- Apache itself, and its modules ----------------------------------------------------------------------------------


def graceful(context: Context) -> None:
    assert context.apache.ctl("graceful").returncode == 0


def restart(context: Context) -> None:
    assert context.apache.ctl("restart").returncode == 0


@pytest.mark.parametrize("shape, act", [pytest.param(MIXED, graceful, marks=pytest.mark.long), (ALONE, restart)])
def test_somebody_reloads_apache_in_the_challenge(context: Context, shape: str, act: Callable[[Context], None]) -> None:
    scene = Scene(context, shape)
    with scene.nobody_notices(all_of_them=act is graceful):
        with scene.at("in the challenge") as run:
            act(context)
            context.apache.wait_serving()
        assert run.wait().returncode == 0, run.output
    assert scene.renewed() == scene.names
    scene.shows_what_was_renewed()
    scene.told_nothing()


def stop(context: Context) -> None:
    assert context.apache.ctl("stop").returncode == 0
    wait_for(lambda: not context.apache.processes())


def crash(context: Context) -> None:
    context.apache.kill()


@pytest.mark.parametrize("act", [stop, crash])
@pytest.mark.parametrize("moment", ["in the challenge", "in finalize"])
def test_an_apache_that_somebody_else_stops_is_left_so_and_people_are_told(
        context: Context, act: Callable[[Context], None], moment: str) -> None:
    scene = Scene(context)
    with scene.at(moment) as run:
        act(context)
    run.wait()
    context.wait_settled()
    assert not context.apache.processes() and not scene.file.exists() and not context.events("stopping")
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    said = f"{mail.subject}\n{' '.join(mail.text.split())}"
    assert "Apache is DOWN" in said and "Apache serves" not in said and "started again" not in said, said
    assert scene.renewed() == ([VICTIM] if moment == "in finalize" else [])
    if scene.renewed():
        assert "not by certbot-guard" in said and "not loaded" in mail.subject and "Visitors see" not in said, said


@pytest.mark.parametrize("module", [
    pytest.param(None, id="is not there"), pytest.param(b"no module", id="is none", marks=pytest.mark.long)])
def test_a_module_that_cannot_be_loaded_is_stopped_for(context: Context, module: Optional[bytes]) -> None:
    modules = context.directory / "modules"
    modules.mkdir()
    for path in MODULES_DIRECTORY.glob("*.so"):
        if path.name != "mod_proxy_http.so":
            (modules / path.name).symlink_to(path)
    if module is not None:
        (modules / "mod_proxy_http.so").write_bytes(module)
    configuration = context.apache.configuration
    configuration.write_text(configuration.read_text().replace(str(MODULES_DIRECTORY), str(modules)))
    scene = Scene(context)
    run = context.renew()
    context.wait_settled()
    assert run.returncode == 0 and scene.renewed() == [VICTIM] and len(context.events("stopping")) == 1
    assert not context.events("proxy-placing") and context.events("not-proxied")
    scene.nothing_stays()
    scene.told_nothing()


# -- another certbot -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["the one that passes", "the one that stops"])
def test_beside_a_certbot_that_needs_a_stop(context: Context, first: str) -> None:
    scene = Scene(context)
    context.apache.stop()
    home = context.new_home("second")
    context.obtain(LAST, home=home)
    (home.config / "guard.ini").write_text(context.ini.read_text().replace("[server]", "[server]\nmode = stop"))
    (home.config / "guard.ini").chmod(0o600)
    context.apache.start()
    homes = {VICTIM: context.home, LAST: home}
    one, other = (VICTIM, LAST) if first == "the one that passes" else (LAST, VICTIM)
    scene.shape = MIXED
    with scene.nobody_notices(), context.ca.hold("challenge", name=one, times=1) as held:
        runs = [context.renew(wait=False, home=homes[one])]
        held.wait()
        runs.append(context.renew(wait=False, home=homes[other]))
        wait_for(lambda: len(context.sentinels()) == 2, what="the second run's sentinel")
        with pytest.raises(AssertionError):  # it waits
            wait_for(lambda: [seen for seen in context.ca.seen("challenge") if other in seen.names], timeout=1.0)
        assert context.apache.serving() == (one == VICTIM)
        held.release()
        assert [run.wait().returncode for run in runs] == [0, 0], [run.output for run in runs]
    assert homes[VICTIM].version(VICTIM) == homes[LAST].version(LAST) == 2
    assert len(context.events("stopping")) == len(context.events("proxy-placed")) == 1
    scene.told_nothing()


# -- verbs, options, hooks, channels ---------------------------------------------------------------------------------


def test_a_dry_run_that_fails_at_the_second_of_three(context: Context) -> None:
    scene = Scene(context, THREE)
    context.ca.invalid_challenge(VICTIM, "no such page")
    with scene.nobody_notices():
        assert context.renew("--dry-run", force=False).returncode == 1
    assert scene.renewed() == [] and len(context.events("proxy-placed")) == 3
    scene.told("dry run", "no such page")


def certonly(context: Context) -> Certbot:
    return context.certbot("certonly", "--standalone", "--installer", "guard", "-d", VICTIM, "--force-renewal")


def reconfigure(context: Context) -> Certbot:
    return context.certbot("reconfigure", "--cert-name", VICTIM, "--installer", "guard", "--guard-max-outage", "2m")


@pytest.mark.parametrize("verb", [certonly, pytest.param(reconfigure, marks=pytest.mark.skipif(
    CERTBOT < (2, 3), reason="certbot reconfigure came with 2.3"))])
@pytest.mark.parametrize("fails", [
    pytest.param(True, id="fails"), pytest.param(False, id="works", marks=pytest.mark.long)])
def test_another_verb(context: Context, verb: Callable[[Context], Certbot], fails: bool) -> None:
    scene = Scene(context)
    before = context.home.conf_path(VICTIM).read_bytes()
    if fails:
        context.ca.invalid_challenge(VICTIM, "no such page")
    with scene.nobody_notices():
        assert verb(context).returncode == int(fails)
    assert len(context.events("proxy-placed")) == 1 and not context.events("stopping")
    assert not fails or context.home.conf_path(VICTIM).read_bytes() == before
    scene.told(f"{VICTIM} not renewed", "Some challenges have failed") if fails else scene.told_nothing()


def test_a_subset_of_names_is_renewed(context: Context) -> None:
    scene = Scene(context, domains=[VICTIM, "dead.guard.test"], allow_subset_of_names="True")
    context.world.pebble.resolve("dead.guard.test", "0.0.0.1")
    with scene.nobody_notices():
        run = context.renew("--dry-run", "--allow-subset-of-names", force=False)
        assert run.returncode == 0, run.output
    assert len(context.ca.seen("challenge")) >= len(scene.names) + 2 and not context.events("stopping")
    scene.told_nothing()


@pytest.mark.parametrize("verb, shape", [
    ("graceful", ALONE), pytest.param("restart", MIXED, marks=pytest.mark.long)])
def test_a_deploy_hook_that_reloads_apache_itself(context: Context, verb: str, shape: str) -> None:
    control = context.directory / "bin" / "control"
    control.write_text(f'#!/bin/sh\nexec {context.apache.program} "$1"\n')
    control.chmod(0o755)
    scene = Scene(context, shape, renew_hook=f"control {verb}")
    with scene.nobody_notices(all_of_them=verb == "graceful"):
        run = context.renew()
        assert run.returncode == 0, run.output
    assert scene.renewed() == scene.names
    scene.shows_what_was_renewed()
    scene.told_nothing()


def test_a_deploy_hook_that_hangs_longer_than_max_outage(context: Context) -> None:
    scene = Scene(context, server="max_outage = 4s", renew_hook=waiting_hook(context))
    with scene.nobody_notices():
        with scene.at("in the deploy hook") as run:
            began = time.monotonic()
            wait_for(lambda: time.monotonic() > began + 5.0)
            assert run.running and context.apache.serving()
        assert run.wait().returncode == 0
    assert scene.renewed() == [VICTIM] and not context.events("overdue")
    scene.shows_what_was_renewed()
    scene.told_nothing()


def test_a_channel_that_hangs_holds_nothing_up(context: Context) -> None:
    scene = Scene(context)
    context.ca.invalid_challenge(VICTIM, "no such page")
    context.mailbox.hang()
    with scene.nobody_notices():
        run = context.renew(wait=False)
        wait_for(lambda: context.mailbox.connections, 60)
        scene.nothing_stays()
        context.mailbox.heal()
        assert run.wait().returncode == 1
    context.guard("recover")
    context.mailbox.wait(1)
    scene.told("no such page")


@pytest.mark.parametrize("shape", [ALONE, pytest.param(MIXED, marks=pytest.mark.long)])
def test_somebody_takes_the_port_that_apache_hands_over_to(context: Context, shape: str) -> None:
    scene = Scene(context, shape)
    with scene.nobody_notices(), ExitStack() as listening:
        with scene.at("between the placing and the challenge") as run:
            port = scene.events_of(VICTIM, "proxy-placing")[0]["port"]
            listening.enter_context(socket.create_server(("127.0.0.1", port)))
        assert run.wait().returncode == 1
    assert scene.renewed() == [name for name in scene.names if name != VICTIM]
    scene.told(f"{VICTIM} not renewed", str(port))


@pytest.mark.parametrize("shape", [ALONE, pytest.param(MIXED, marks=pytest.mark.long)])
def test_somebody_takes_any_low_port_that_is_free(context: Context, shape: str) -> None:
    scene = Scene(context, shape)
    with scene.nobody_notices(), ExitStack() as open_for_now:
        with scene.at("between the placing and the challenge") as run:
            port = scene.events_of(VICTIM, "proxy-placing")[0]["port"]
            taker = open_for_now.enter_context(socket.socket())
            with pytest.raises(OSError, match="in use"):
                taker.bind(("", port))
        assert run.wait().returncode == 0
    assert scene.renewed() == scene.names
