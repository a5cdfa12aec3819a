"""What is tested on a machine without systemd: Debian's layout, apache2ctl, and a challenge that passes through."""

from __future__ import annotations

from typing import Iterator

import pytest

from tests.support.context import Context, World
from tests.systemd.debian import FILE, ONE, TWO, DebianSite, guarded, nobody_notices, with_apache


@pytest.fixture
def site(world: World) -> Iterator[Context]:
    context = with_apache(world, DebianSite)
    yield context
    left = context.close()
    assert not left, left


def test_a_renewal_passes_through(site: Context) -> None:
    guarded(site, ONE, TWO)
    parent = site.apache.parent_pid()
    with nobody_notices(site):
        site.renew(check=True)
    assert [site.home.version(name) for name in (ONE, TWO)] == [2, 2]
    assert len(site.events("proxy-placed")) == 2 and not site.events("stopping")
    assert site.apache.parent_pid() == parent is not None
    assert site.apache.served_certificate(TWO) == site.home.certificate(TWO)


def test_certbot_is_killed_in_the_challenge(site: Context) -> None:
    guarded(site)
    with nobody_notices(site):
        site.kill_at("challenge")
        site.mailbox.wait(1)
    assert site.events("proxy-removed") and not site.events("stopping") and not FILE.exists()
    mail, = site.mailbox.stays_at(1, seconds=0.3)
    assert "certbot died" in mail.subject
