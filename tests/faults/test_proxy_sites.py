"""Whole renewals of every kind of site, its challenge passing through the running Apache: no visitor is failed.

Visitors with kept and with new connections, over HTTP and HTTPS, a long download and websockets are there all the time;
each says what a right answer is. The first challenge is held until each of them has had its answer meanwhile.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any, Callable, Optional

import pytest

from tests.faults.test_proxy import DENIED, assert_nothing_stays
from tests.support.apache import MODULES_DIRECTORY
from tests.support.certbot import Certbot
from tests.support.context import Context, wait_for
from tests.support.sites import KEPT, KINDS, Kind, Sites
from tests.support.visitors import Ask, Load, Visitors

NAME = "one.guard.test"
MANY = 20
CORE = ("proxied", "htaccess-there", "deep-in-one")
NewContext = Callable[..., Context]
Record = Callable[[str, object], None]


def visitors_of(sites: Sites, address: Optional[str] = None, staying: bool = True) -> Visitors:
    """:param staying: with the download and the websockets, which do not survive a stop"""
    apache = sites.apache
    return Visitors(address or apache.address, apache.http_port, "localhost", apache.https_port or 0, sites.asks,
                    sites.downloads[0] if sites.downloads and staying else None, sites.websockets if staying else ())


def everybody_again(visitors: Visitors) -> None:
    """Each request of theirs gets one more right answer, and the websockets ten more."""
    load = visitors.load
    before, echoes, failed = Counter(load.right), load.echoes, len(load.failures)
    wait_for(lambda: load.failed[failed:] or (all(load.right[ask] > before[ask] for ask in visitors.asks) and (
        load.echoes >= echoes + 10 or not visitors.websockets)), 90, "an answer to everybody")
    assert load.failed[failed:] == []


def renew_under(context: Context, *all_visitors: Visitors) -> Certbot:
    """``certbot renew``; each visitor was answered before it, while a challenge was under way, and after it."""
    for visitors in all_visitors:
        everybody_again(visitors)
    with context.ca.hold("challenge", times=1) as held:
        run = context.renew(wait=False)
        held.wait(90)
        for visitors in all_visitors:
            everybody_again(visitors)
        held.release()
        run.wait(300)
    context.wait_settled(60)
    for visitors in all_visitors:
        everybody_again(visitors)
    return run


def assert_passed(context: Context, run: Certbot, names: list[str]) -> None:
    """All are renewed and shown, each through the running Apache, and nothing of it is left."""
    assert run.returncode == 0, run.output
    assert not context.events("stopping") and not context.events("not-proxied")
    assert sorted(event["lineage"] for event in context.events("proxy-placed")) == sorted(names)
    assert_shown(context, names)
    assert_nothing_stays(context)
    context.mailbox.stays_at(0, seconds=0.3)


def assert_shown(context: Context, names: list[str]) -> None:
    for name in names:
        assert context.home.version(name) == 2, name
        assert context.apache.served_certificate(name) == context.home.certificate(name), name


def renew_unnoticed(context: Context, sites: Sites, names: list[str], record: Record) -> None:
    context.guard_ini()
    context.apache.start()
    with visitors_of(sites) as visitors:
        run = renew_under(context, visitors)
    assert visitors.failed == []
    assert_passed(context, run, names)
    record_latency(record, visitors.load)


def record_latency(record: Record, load: Load) -> None:
    """For who asks pytest for ``--junitxml``; nothing is asserted of it."""
    times = sorted(load.seconds)
    milliseconds = [round(1000 * times[int(part * (len(times) - 1))], 1) for part in (0.5, 0.99, 1.0)]
    record("p50, p99, longest in ms", f"{milliseconds} of {len(times)}; {load.closed_idle} found closed when idle")


@pytest.mark.parametrize("kind", [
    pytest.param(kind, marks=pytest.mark.core if kind in CORE else pytest.mark.long) for kind in KINDS])
def test_no_visitor_notices_that_a_site_is_renewed(new_context: NewContext, record_property: Record, kind: str) -> None:
    context = new_context(open_directory=True)
    # A plain one has no module that the challenge needs.
    sites = Sites(context, modules=kind != "plain")
    sites.add(kind, NAME)
    renew_unnoticed(context, sites, [NAME], record_property)


MPMS = [mpm for mpm in ("prefork", "worker") if (MODULES_DIRECTORY / f"mod_mpm_{mpm}.so").exists()]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["plain", "proxied"])
@pytest.mark.parametrize("mpm", MPMS)
def test_nor_under_another_mpm(new_context: NewContext, record_property: Record, mpm: str, kind: str) -> None:
    context = new_context(open_directory=True)
    text = context.apache.configuration.read_text().replace("mpm_event", f"mpm_{mpm}")
    if mpm == "prefork":  # a process for each of them
        text = text.replace("ThreadsPerChild 8\nMaxRequestWorkers 16\nMinSpareThreads 4\nMaxSpareThreads 16",
                            "MaxRequestWorkers 48\nMinSpareServers 4\nMaxSpareServers 16")
    context.apache.configuration.write_text(text)
    sites = Sites(context, modules=kind != "plain")
    sites.add(kind, NAME)
    renew_unnoticed(context, sites, [NAME], record_property)
    assert f"[mpm_{mpm}:notice]" in context.apache.log_tail(100_000)


# -- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("only", [True, False], ids=["only", "too"])
def test_nor_over_ipv6(new_context: NewContext, record_property: Record, world: Any, only: bool) -> None:
    hosts = ["[::1]"] if only else ["127.0.0.1", "[::1]"]
    context = new_context(open_directory=True, address="::1", listen=[
        f"{host}:{port}" for host in hosts for port in (world.http_port, f"{world.https_port} https")])
    world.pebble.resolve(NAME, "::1")
    context.cleanup(lambda: world.pebble.resolve(NAME))
    sites = Sites(context)
    asked = context.apache.logs / "asked.log"
    context.apache.append(f'CustomLog "{asked}" "%A %U %{{User-Agent}}i"')
    sites.add("plain", NAME)
    renew_unnoticed(context, sites, [NAME], record_property)
    looked = {line.split()[0] for line in asked.read_text().splitlines()
              if "acme-challenge" in line and "(will a challenge be answered?)" in line}
    assert looked == {host.strip("[]") for host in hosts}
    assert any(line.startswith("::1 ") and "acme-challenge" in line and "certbot-guard" not in line
               and KEPT not in line for line in asked.read_text().splitlines())


def test_nor_where_a_redirect_wins_and_the_virtual_host_for_https_is_asked(
        new_context: NewContext, record_property: Record, world: Any) -> None:
    # A CA follows redirects to the ports 80 and 443 alone, so this Apache has an address of its own.
    pid = os.getpid()
    address = f"127.{1 + pid % 199}.{pid // 199 % 256}.{1 + pid // 50944 % 250}"
    context = new_context(open_directory=True, address=address, https_port=443)
    world.pebble.resolve(NAME, address)
    context.cleanup(lambda: world.pebble.resolve(NAME))
    sites = Sites(context)
    made = Kind(f'<If "true">\nRedirect permanent / https://{NAME}/\n</If>',
                [Ask(NAME, "/a", status=301, says=None, location=f"https://{NAME}/a"), Ask(NAME, tls=True)],
                https="", download=Ask(NAME, "/slow.bin", tls=True))
    live = context.obtain(NAME, vhost="")
    sites.host(NAME, made)
    context.apache.add_vhost(f"{NAME}-https", server_name=NAME, certificate=live / "fullchain.pem",
                             key=live / "privkey.pem")
    asked = context.apache.logs / "asked.log"
    context.apache.append(f'CustomLog "{asked}" "%{{local}}p %s %U"')
    renew_unnoticed(context, sites, [NAME], record_property)
    statuses = {" ".join(line.split()[:2]) for line in asked.read_text().splitlines() if "acme-challenge" in line}
    assert statuses == {f"{world.http_port} 301", "443 200"}


# -- many lineages ---------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.timeout(400)
def test_twenty_plain_sites_are_renewed_unnoticed(new_context: NewContext, record_property: Record) -> None:
    context = new_context(open_directory=True)
    sites = Sites(context, modules=False)
    names = [f"{number:02}.guard.test" for number in range(MANY)]
    for name in names:
        sites.add("plain", name)
    renew_unnoticed(context, sites, names, record_property)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_of_twenty_of_all_kinds_only_the_one_that_cannot_pass_is_stopped_for(
        new_context: NewContext, record_property: Record, world: Any) -> None:
    context = new_context(open_directory=True, listen=[
        f"{host}:{port}" for host in ("127.0.0.1", "[::1]") for port in (world.http_port, f"{world.https_port} https")])
    sites = Sites(context)
    names = [f"{number:02}.guard.test" for number in range(MANY)]
    for name, kind in zip(names, KINDS):
        sites.add(kind, name)
    for name in names[len(KINDS):]:
        sites.add("plain", name, authenticator="webroot")
    denied = names.pop(len(KINDS) // 2)
    sites.asks = [ask for ask in sites.asks if not ask.host.endswith(denied)]
    context.apache.add_vhost(f"{denied}-http", server_name=denied, extra=DENIED)
    world.pebble.resolve(names[0], "::1")
    context.cleanup(lambda: world.pebble.resolve(names[0]))
    context.guard_ini()
    context.apache.start()
    # The stop ends a download and a websocket.
    with context.apache.watch() as outage, visitors_of(sites, staying=False) as visitors, visitors_of(
            sites, "::1", staying=False) as over_ipv6:
        run = renew_under(context, visitors, over_ipv6)
    assert run.returncode == 0, run.output
    assert_shown(context, [*names, denied])
    assert_nothing_stays(context)
    passing = [name for name in names if name not in names[len(KINDS) - 1:]]
    assert [event["lineage"] for event in context.events("proxy-placed")] == passing
    stopping, = context.events("stopping")
    assert stopping["lineage"] == denied and len(outage.intervals) == 1
    began, ended = stopping["mono"], context.events("serving")[-1]["mono"]
    for failure in (*visitors.load.failures, *over_ipv6.load.failures):
        assert failure.began < ended and failure.ended > began, f"not in the window: {failure}"
    record_latency(record_property, visitors.load)
