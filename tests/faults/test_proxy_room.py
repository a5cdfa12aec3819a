"""Visitors who stay keep the processes of before a reload: if they fill all its places, Apache serves nobody."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Callable

import pytest

from certbot_guard.errors import ServerError
from certbot_guard.proxying import placing, room
from certbot_guard.servers.apache import ApacheServer
from tests.faults.test_proxy import ONE, THREE, TWO, assert_nothing_stays
from tests.support.apache import PrivateApache
from tests.support.context import Context, wait_for
from tests.support.site import Site
from tests.support.visitors import Visitors

NewContext = Callable[..., Context]


def staying(apache: PrivateApache) -> int:
    return room._workers(apache.parent_pid())[1]


def crowd(apache: PrivateApache, stack: ExitStack, reloads: int) -> None:
    """Of each generation of workers before this one, one has a visitor who does not leave before ``stack`` does."""
    before = staying(apache)
    for number in range(reloads):
        stack.enter_context(apache.slow_visitor())
        assert apache.ctl("graceful").returncode == 0
        wait_for(lambda: staying(apache) > before + number and room._workers(apache.parent_pid())[0],
                 what="a process that stays, and one that serves")


def test_a_lineage_is_stopped_for_where_a_reload_might_leave_nobody_who_serves(new_context: NewContext) -> None:
    context = new_context(open_directory=True)
    context.apache.append("ServerLimit 6")
    context.guarded_site(ONE, TWO, THREE)
    with ExitStack() as stack, Visitors(context.apache.address, context.apache.http_port, ONE) as visitors:
        crowd(context.apache, stack, 4)
        run = context.renew()
        context.wait_settled()
    assert run.returncode == 0, run.output
    refused, = context.events("not-proxied")
    assert refused["lineage"] == ONE and "(ServerLimit)" in refused["reason"]
    assert [event["lineage"] for event in context.events("stopping")] == [ONE]
    assert [event["lineage"] for event in context.events("proxy-placed")] == [TWO, THREE]
    assert [context.home.version(name) for name in (ONE, TWO, THREE)] == [2] * 3
    assert_nothing_stays(context)
    began, ended = context.events("stopping")[0]["mono"], context.events("serving")[0]["mono"]
    for failure in visitors.load.failures:
        assert failure.began < ended and failure.ended > began, f"not while it was stopped: {failure}"
    context.mailbox.stays_at(0, seconds=0.3)


def test_a_file_is_placed_as_soon_as_they_have_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with Site(open_directory=True) as site, ExitStack() as stack:
        site.append("ServerLimit 4\n<IfModule mpm_prefork_module>\nServerLimit 100\n</IfModule>")
        site.add_vhost("plain")
        # A child that is none of its workers is not counted.
        site.append("LoadModule cgid_module /usr/lib/apache2/modules/mod_cgid.so")
        site.start()
        server = ApacheServer(site.program, site.environment)
        crowd(site, stack, 1)
        assert staying(site) == 1
        assert placing.remove(server, placing.place(server, 700, 1, ["plain"])) == ""
        crowd(site, stack, 2)
        monkeypatch.setattr(room, "PATIENCE_SECONDS", 0.3)
        with pytest.raises(ServerError, match="of 4 that it may have .* might serve nobody"):
            placing.place(server, 700, 1, ["plain"])
        monkeypatch.undo()
        stack.close()
        assert placing.remove(server, placing.place(server, 700, 1, ["plain"])) == ""
