"""An Apache that dies a moment after its window has ended is brought back, unless another run has it stopped."""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, Iterator, Optional

import pytest

from certbot_guard import serverlock
from certbot_guard.keeper import SECOND_LOOK_SECONDS, Keeper
from certbot_guard.run import Run
from certbot_guard.servers.apache import ApacheServer
from tests.faults.test_proxy_strangers import immutable
from tests.support.context import Context, wait_for
from tests.support.passages import LAST, MIXED, Scene
from tests.support.stand_in import InCertbotsPlace, server_of

ONE, TWO = "one.guard.test", "two.guard.test"


@pytest.fixture
def certbot(context: Context) -> Iterator[InCertbotsPlace]:
    context.apache.start()
    stands_in = InCertbotsPlace(context, server_of(context))
    yield stands_in
    stands_in.end()


def keeper_after_a_window(context: Context, certbot: InCertbotsPlace) -> Keeper:
    """Apache was stopped for a challenge, and serves again."""
    certbot.run.note("lineage", number=1, window=1, lineage=ONE, ports=[context.apache.http_port], address="")
    keeper = Keeper(certbot.run, certbot.server)
    assert keeper.open(1) == {"ok": True} and not context.apache.serving()
    assert keeper.close("challenge", 1) == {"ok": True} and context.apache.serving()
    return keeper


def look_again(keeper: Keeper, run: Run) -> bool:
    """The second look is over. Was Apache brought back?"""
    patience = keeper.patience()
    assert patience is not None and patience < 60.0
    time.sleep(patience)
    keeper.do_what_is_due()
    return any(event["kind"] == "serving" and event.get("by") == "second look" for event in run.events())


def leave_a_file(run: Run) -> None:
    """A passage ended, and its file could not be taken away: no event says that it is gone."""
    run.note("proxy-placing", number=2, lineage=TWO, names=[TWO], path="/nowhere", port=785, pid=1)


@pytest.mark.parametrize("passes", [False, True], ids=["nobody has it", "its own certbot has it, for a passage"])
def test_an_apache_that_died_late_is_brought_back(context: Context, certbot: InCertbotsPlace, passes: bool) -> None:
    keeper = keeper_after_a_window(context, certbot)
    if passes:
        leave_a_file(certbot.run)
        certbot.has_the_lock()
    context.apache.kill()
    assert look_again(keeper, certbot.run) and context.apache.serving()


@pytest.mark.parametrize("what", ["nothing", "a file was left", "a file was left, and certbot waits", "certbot died"])
def test_one_that_another_run_has_stopped_is_left_to_it(
        context: Context, certbot: InCertbotsPlace, what: str) -> None:
    keeper = keeper_after_a_window(context, certbot)
    lock = serverlock.take(certbot.server.identity, 20.0)
    assert lock is not None
    try:
        context.apache.stop()
        if what != "nothing":
            leave_a_file(certbot.run)
        if what.endswith("waits"):
            certbot.asks_for_the_lock()
        if what.endswith("died"):
            certbot.end()
        assert not look_again(keeper, certbot.run) and not context.apache.processes()
    finally:
        os.close(lock)
    assert look_again(keeper, certbot.run) and context.apache.serving()  # it has not brought it back


def taken_by_another_run(context: Context, server: ApacheServer) -> int:
    """Its window begins as soon as the lock is free."""
    lock: Optional[int] = serverlock.take(server.identity, 60.0)
    assert lock is not None
    context.apache.kill()
    return lock


@pytest.mark.core
def test_a_renewal_whose_file_stays_leaves_anothers_window_alone(new_context: Callable[..., Context]) -> None:
    context = new_context(open_directory=True)
    scene = Scene(context, MIXED)
    server = server_of(context)
    with ExitStack() as keeping, context.ca.hold("challenge", name=LAST, times=1) as held:
        with scene.at("in the challenge") as run:
            keeping.enter_context(immutable(scene))
        held.wait()
        assert scene.file.exists() and not context.apache.serving()
        held.release()
        lock = taken_by_another_run(context, server)
        try:
            run.wait()
            wait_for(lambda: context.events("settled"), 60, "the end of the run")
            time.sleep(2 * SECOND_LOOK_SECONDS)
            assert not context.apache.processes() and len(context.events("stopping")) == 1
        finally:
            os.close(lock)
    context.apache.wait_serving(60)
    context.wait_settled(60)


def test_the_server_stays_ours_while_it_is_tried_again_though_a_later_lineage_is_refused(context: Context) -> None:
    context.guarded_site(ONE, TWO, server="mode = stop")
    server = server_of(context)
    with context.ca.hold("challenge", name=ONE, times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        with socket.create_server(("127.0.0.1", 0)) as other:  # configtest does not see it
            more: Path = context.apache.vhosts / "more.conf"
            more.write_text(f"Listen 127.0.0.1:{other.getsockname()[1]}\n")
            held.release()
            wait_for(lambda: context.events("left-running"), 60, "the refusal of the second window")
            assert serverlock.take(server.identity, 0.0) is None
            more.unlink()
    run.wait()
    context.apache.wait_serving(60)
    context.wait_settled(60)
    free = serverlock.take(server.identity, 20.0)
    assert free is not None
    os.close(free)
