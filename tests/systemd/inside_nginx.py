"""What is tested inside the box with Debian's own nginx.service, named as docs/howto/nginx.md names it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.integration.test_nginx import ONE, Nginx
from tests.support.context import Context, wait_for
from tests.systemd.inside import systemctl

UNIT = "nginx.service"
CONFIGURATION = Path("/etc/nginx/nginx.conf")


class NginxUnit(Nginx):
    """The distribution's nginx, as its unit runs it, with the test's own configuration in the place of its own."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.conf = CONFIGURATION

    @property
    def settings(self) -> str:
        return f"control = systemd:{UNIT}\ntest_command = /usr/sbin/nginx -q -t"

    def host(self, live: Path, more: str = "") -> None:
        super().host(live, more)
        # The unit says "daemon on" itself, and looks for the pid there.
        text = self.conf.read_text().replace(f"daemon on; pid {self.root}/nginx.pid;", "pid /run/nginx.pid;")
        assert "/run/nginx.pid" in text
        self.conf.write_text(text)

    def start(self) -> None:
        systemctl("reset-failed", check=False)
        systemctl("start", UNIT)
        wait_for(self.serving)

    def close(self) -> None:
        systemctl("stop", UNIT, check=False)


@pytest.fixture
def nginx(context: Context) -> NginxUnit:
    """Serving, with ONE's certificate; ONE is due and guarded."""
    found = NginxUnit(context)
    context.cleanup(found.close)
    found.host(context.obtain(ONE, vhost=""))
    context.guard_ini(server=found.settings)
    found.start()
    return found


def healthy(nginx: NginxUnit) -> None:
    """nginx serves, in its own unit and nowhere else."""
    wait_for(nginx.serving, 20, "nginx")
    wait_for(lambda: systemctl("is-active", UNIT, check=False) == "active", 20.0, f"{UNIT} to be active")
    pids = {int(word) for word in Path(f"/sys/fs/cgroup/system.slice/{UNIT}/cgroup.procs").read_text().split()}
    assert set(nginx.processes()) and set(nginx.processes()) <= pids


def test_a_renewal_stops_the_unit_for_the_challenge_and_shows_the_new_certificate(
        context: Context, nginx: NginxUnit) -> None:
    said = context.guard("check", check=True).stdout
    assert f"web server {UNIT}: its configuration and certificates are fine" in said
    old = nginx.certificate()
    with nginx.was_down() as seen:
        context.renew(check=True)
    context.wait_settled()
    healthy(nginx)
    assert seen.failed and seen.answered and context.events("stopped")
    wait_for(lambda: nginx.certificate() == context.home.certificate(ONE) != old)
    assert not context.mailbox.messages


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_certbot_is_killed_in_the_challenge(context: Context, nginx: NginxUnit, number: int) -> None:
    with nginx.was_down() as seen:
        assert context.kill_at("challenge", number=number).returncode
        context.wait_settled()
        healthy(nginx)
    assert seen.failed
    assert ONE in context.mailbox.wait(1)[0].text


def test_the_unit_is_not_stopped_where_it_could_not_start_again(context: Context, nginx: NginxUnit) -> None:
    nginx.host(context.home.config / "live" / ONE, "no_such_directive;")
    with nginx.was_down() as seen:
        assert context.renew().returncode
    context.wait_settled()
    healthy(nginx)
    assert not seen.failed and not context.events("stopping")
    assert "no_such_directive" in context.mailbox.wait(1)[0].text
