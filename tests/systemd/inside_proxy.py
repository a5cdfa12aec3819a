"""What is tested inside the box: ``mode = auto`` and Debian's own apache2.service, whose challenges pass through it."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from tests.support.context import Context, World
from tests.systemd.debian import (
    CERTBOT,
    FILE,
    ONE,
    THREE,
    TWO,
    UNIT,
    DebianUnit,
    certbot_ended,
    certbots_unit,
    guarded,
    nobody_notices,
    start_certbot,
    systemctl,
    tree,
    with_apache,
)

MODULES = Path("/usr/lib/apache2/modules")
# What an administrator, or a distribution, adds to the unit of a web server.
HARDENED = {
    "full": "ProtectSystem=full",
    "strict": "ProtectSystem=strict\nReadWritePaths=/run /var/log/apache2",
    "read-only": "ReadOnlyPaths=/etc",
    "private": "PrivateTmp=yes\nProtectHome=yes\nPrivateDevices=yes\nProtectKernelTunables=yes\n"
               "ProtectKernelModules=yes\nProtectControlGroups=yes\nRestrictSUIDSGID=yes\nLockPersonality=yes",
    "capabilities": "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_KILL CAP_DAC_READ_SEARCH\n"
                    "NoNewPrivileges=yes",
    "calls": "SystemCallFilter=@system-service\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n"
             "RestrictNamespaces=yes\nMemoryDenyWriteExecute=yes",
    "home": "ProtectHome=tmpfs\nProcSubset=pid",
}
HARDENED["everything"] = "\n".join(HARDENED.values())


@pytest.fixture
def site(world: World) -> Iterator[Context]:
    context = with_apache(world, DebianUnit)
    yield context
    systemctl("kill", "-s", "KILL", CERTBOT, check=False)
    left = context.close()
    assert not left, left


def passed_through(context: Context, *names: str) -> None:
    """Each of these was renewed without a stop."""
    assert [context.home.version(name) for name in names] == [2] * len(names), context.home.log()[-4000:]
    assert [event["lineage"] for event in context.events("proxy-placed")] == list(names), context.events("not-proxied")
    assert not context.events("stopping") and not context.events("not-proxied")


def test_three_lineages_of_certbots_unit_pass_through(site: Context) -> None:
    guarded(site, ONE, TWO, THREE)
    certbots_unit(site)
    with nobody_notices(site):
        start_certbot()
        assert certbot_ended() == "success", site.home.log()[-4000:]
    passed_through(site, ONE, TWO, THREE)
    for name in (ONE, TWO, THREE):
        assert site.apache.served_certificate(name) == site.home.certificate(name)
    site.mailbox.stays_at(0, seconds=0.3)


@pytest.mark.parametrize("how", ["stop", "kill", "cgroup", "TimeoutStartSec", "RuntimeMaxSec"])
def test_certbots_unit_is_ended_in_the_challenge(site: Context, how: str) -> None:
    guarded(site)
    certbots_unit(site, kind="exec" if how == "RuntimeMaxSec" else "oneshot")
    with nobody_notices(site):
        with site.ca.hold("challenge", times=1) as held:
            start_certbot()
            held.wait()
            assert FILE.exists()
            end_certbot(site, how)
            result = certbot_ended()
            held.release(forward=False)
        assert result == {"stop": "signal", "kill": "signal", "cgroup": "signal"}.get(how, "timeout")
        site.mailbox.wait(1)
    assert not site.events("stopping") and site.home.version(ONE) == 1
    mail, = site.mailbox.stays_at(1, seconds=0.3)
    assert "Apache serves, certbot died" in mail.subject and "not stopped in this run" in mail.text


def end_certbot(context: Context, how: str) -> None:
    if how == "stop":
        systemctl("stop", CERTBOT)
    elif how == "kill":
        systemctl("kill", "-s", "KILL", CERTBOT)
    elif how == "cgroup":
        Path("/sys/fs/cgroup/system.slice", CERTBOT, "cgroup.kill").write_text("1")
    else:  # a limit that has passed by now: systemd acts on it when it reads it
        unit = Path("/etc/systemd/system", CERTBOT)
        unit.write_text(f"{unit.read_text()}{how}=1ms\n")
        systemctl("daemon-reload")


@pytest.mark.parametrize("verb", ["reload", "restart"])
def test_somebody_reloads_or_restarts_apache_in_the_challenge(site: Context, verb: str) -> None:
    guarded(site)
    certbots_unit(site)
    before, started = tree(), site.apache.which()
    with site.ca.hold("challenge", times=1) as held:
        start_certbot()
        held.wait()
        with site.apache.watch() as outage:
            systemctl(verb, UNIT)
            site.apache.wait_serving()
        assert verb == "restart" or not outage.intervals
        held.release()
    assert certbot_ended() == "success", site.home.log()[-4000:]
    site.wait_settled()
    passed_through(site, ONE)
    assert tree() == before and site.apache.served_certificate(ONE) == site.home.certificate(ONE)
    assert (site.apache.which() == started) == (verb == "reload") and systemctl("is-active", UNIT) == "active"
    site.mailbox.stays_at(0, seconds=0.3)


def test_somebody_stops_apache_in_the_challenge(site: Context) -> None:
    """It is his: it stays stopped, and nothing of ours is in its way when he starts it."""
    guarded(site)
    certbots_unit(site)
    before = tree()
    with site.ca.hold("challenge", times=1) as held:
        start_certbot()
        held.wait()
        systemctl("stop", UNIT)
        held.release()
    certbot_ended()
    site.wait_settled()
    assert tree() == before and systemctl("is-active", UNIT, check=False) == "inactive"
    assert "not renewed" in site.mailbox.stays_at(1, seconds=0.3)[0].subject
    site.apache.start()


@pytest.mark.parametrize("how", HARDENED)
def test_apaches_unit_is_hardened(site: Context, how: str) -> None:
    site.apache.drop_in(HARDENED[how])
    guarded(site)
    certbots_unit(site)
    with nobody_notices(site):
        start_certbot()
        assert certbot_ended() == "success", site.home.log()[-4000:]
    passed_through(site, ONE)


def test_an_apache_that_sees_no_process_of_others_is_stopped(site: Context) -> None:
    """Whether certbot lives is what the file asks for; the self-check finds that Apache cannot tell."""
    site.apache.drop_in("ProtectProc=invisible")
    guarded(site)
    certbots_unit(site)
    before = tree()
    start_certbot()
    assert certbot_ended() == "success", site.home.log()[-4000:]
    site.wait_settled()
    fell_back(site, "a token did not come through")
    assert tree() == before


def fell_back(context: Context, why: str) -> None:
    """The lineage was stopped for, and certbot's log says why."""
    assert context.home.version(ONE) == 2 and len(context.events("stopping")) == 1
    event, = context.events("not-proxied")
    assert why in event["reason"], event
    assert f"the challenge of {ONE} cannot pass through" in context.home.log() and why in context.home.log()
    assert context.apache.serving() and systemctl("is-active", UNIT) == "active"
    context.mailbox.stays_at(0, seconds=0.3)  # nobody has asked for it


def test_modules_that_are_not_enabled_are_loaded_for_as_long_as_it_takes(site: Context) -> None:
    site.apache.disable("proxy_http", "proxy", "status")
    loaded_by_us(site)


def test_debian_as_it_is_installed(site: Context) -> None:
    site.apache.disable("proxy_http", "proxy")
    loaded_by_us(site)


def loaded_by_us(context: Context) -> None:
    assert "proxy_module" not in context.apache.modules()
    guarded(context)
    with nobody_notices(context):
        with context.ca.hold("challenge", times=1) as held:
            run = context.renew(wait=False)
            held.wait()
            assert {"proxy_module", "proxy_http_module"} <= context.apache.modules()
            held.release()
        assert run.wait().returncode == 0, run.output
    passed_through(context, ONE)
    assert "proxy_module" not in context.apache.modules()


@pytest.mark.parametrize("enabled", [False, True])
def test_modules_whose_files_are_missing(site: Context, enabled: bool) -> None:
    """proxy_http is gone, with mod_proxy enabled or not: Apache is stopped, as without a passage."""
    site.apache.disable("proxy_http", *([] if enabled else ["proxy", "status"]))
    file, away = MODULES / "mod_proxy_http.so", MODULES / "away"
    file.rename(away)
    try:
        guarded(site)
        before = tree()
        site.renew(check=True)
        site.wait_settled()
        fell_back(site, "there is no mod_proxy_http.so beside its other modules")
        assert tree() == before
    finally:
        away.rename(file)
