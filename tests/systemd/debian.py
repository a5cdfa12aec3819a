"""Debian's own Apache for what runs inside a box: its configuration as the package installs it, on a test's ports.

Modules that are enabled beside Debian's own: ssl, proxy and proxy_http, as where Apache stands before an application.
A test's virtual hosts stand in sites-enabled, beside Debian's default one. What a test changes in /etc/apache2 is
undone before the next one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

from certbot_guard.proxying import placement
from tests.support import processes
from tests.support.certbot import program
from tests.support.context import Context, World, wait_for
from tests.support.site import Site
from tests.support.visitors import BODY, Visitors
from tests.systemd.inside import UNIT, systemctl, unit_of

ETC = Path("/etc/apache2")
PRISTINE = Path("/srv/etc-apache2")
CERTBOT = "certbot.service"
ONE, TWO, THREE = "a-one.guard.test", "b-two.guard.test", "c-three.guard.test"
FILE = ETC / "sites-enabled" / placement.NAME


class DebianSite(Site):
    """The distribution's Apache in the distribution's layout, started by apache2ctl."""

    def __init__(self, root: Path, **ports: Any) -> None:
        super().__init__(root, **ports)
        _restore()
        self.configuration, self.vhosts = ETC / "apache2.conf", ETC / "sites-enabled"
        self.docroot = Path("/var/www/html")
        self.logs, self.pid_file = Path("/var/log/apache2"), Path("/run/apache2/apache2.pid")
        self.error_log = self.logs / "error.log"
        self.error_log.unlink(missing_ok=True)
        shutil.copy(self.root / "docroot" / "slow.bin", self.docroot)
        (self.docroot / "index.html").write_bytes(BODY)
        (ETC / "ports.conf").write_text(
            f"Listen {self.http_port}\n<IfModule ssl_module>\n\tListen {self.https_port}\n</IfModule>\n")
        default = ETC / "sites-available" / "000-default.conf"
        default.write_text(default.read_text().replace("*:80>", f"*:{self.http_port}>"))
        self.enable("ssl", "proxy", "proxy_http")
        self.add_vhost("default-tls", port=self.https_port, certificate=self.certificate, key=self.key)

    def enable(self, *modules: str) -> None:
        subprocess.run(["a2enmod", "--quiet", *modules], stdout=subprocess.DEVNULL, check=True, timeout=30)

    def disable(self, *modules: str) -> None:
        subprocess.run(["a2dismod", "--quiet", "--force", *modules], stdout=subprocess.DEVNULL, check=True, timeout=30)

    def modules(self) -> set[str]:
        """What the configuration as it is loads."""
        said = subprocess.run(["apache2ctl", "-M"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=True, timeout=30).stdout
        return {line.split()[0] for line in said.splitlines() if line.startswith(" ")}

    def start(self) -> DebianSite:
        subprocess.run(["apache2ctl", "start"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
                       timeout=60)
        self.wait_serving()
        return self

    def processes(self) -> list[int]:
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and _is_apache(int(entry))]

    def close(self) -> None:
        self.stop()  # with its pid file, which would name another process by the next test


class DebianUnit(DebianSite):
    """The same, under the distribution's apache2.service. ``drop_in`` adds to its [Service] section."""

    DROP_IN = Path("/etc/systemd/system/apache2.service.d/test.conf")

    def drop_in(self, lines: str) -> None:
        self.DROP_IN.parent.mkdir(parents=True, exist_ok=True)
        self.DROP_IN.write_text(f"[Service]\n{lines}\n")
        systemctl("daemon-reload")

    def start(self) -> DebianUnit:
        systemctl("reset-failed", check=False)
        systemctl("start", UNIT)
        self.wait_serving()
        return self

    def which(self) -> tuple[str, ...]:
        """The start of it that runs now: another one after each restart."""
        return tuple(systemctl("show", "-P", name, UNIT) for name in ("InvocationID", "MainPID", "ActiveState"))

    def close(self) -> None:
        systemctl("kill", "-s", "KILL", UNIT, check=False)
        systemctl("stop", UNIT, check=False)
        shutil.rmtree(self.DROP_IN.parent, ignore_errors=True)
        systemctl("daemon-reload", check=False)
        systemctl("reset-failed", check=False)


def _is_apache(pid: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/exe").startswith("/usr/sbin/apache2") and processes.is_alive(pid)
    except OSError:
        return False


def _restore() -> None:
    if not PRISTINE.exists():
        shutil.copytree(ETC, PRISTINE, symlinks=True)
        return
    shutil.rmtree(ETC)
    shutil.copytree(PRISTINE, ETC, symlinks=True)


def with_apache(world: World, kind: type[DebianSite]) -> Context:
    """A context whose Apache is the distribution's, which the guard finds by itself."""
    context = Context(world)
    shutil.rmtree(context.apache.root)
    # The unit has a /tmp of its own, and must read the certificates.
    context.apache = kind(Path("/srv") / context.directory.name, http_port=world.http_port, https_port=world.https_port)
    for name in ("APACHE_CONFDIR", "APACHE_ENVVARS"):
        context.environment.pop(name)
    return context


def guarded(context: Context, *names: str, server: str = "control = auto") -> Context:
    """``mode`` is not in guard.ini unless ``server`` says so: it is auto."""
    for name in names or (ONE,):
        context.obtain(name)
    context.guard_ini(server=server)
    context.apache.start()
    return context


def tree() -> dict[str, str]:
    """All of /etc/apache2: names, modes, links, contents."""
    found = {}
    for path in sorted(ETC.rglob("*")):
        found[str(path)] = f"{path.lstat().st_mode:o} " + (
            os.readlink(path) if path.is_symlink() else path.read_text("utf-8", "replace") if path.is_file() else "")
    return found


@contextmanager
def nobody_notices(context: Context) -> Iterator[None]:
    """Within it no visitor's request fails. Afterwards /etc/apache2 is as it was, and Apache has not been restarted."""
    before, started = tree(), context.apache.which() if isinstance(context.apache, DebianUnit) else ()
    with Visitors(context.apache.address, context.apache.http_port) as visitors:
        yield
        context.wait_settled()
        wait_for(lambda: visitors.answered > 50, what="fifty visitors")
    assert visitors.failed == [], (visitors.failed[:2], context.events("not-proxied"))
    assert tree() == before and context.apache.serving()
    if isinstance(context.apache, DebianUnit):
        assert context.apache.which() == started


def certbots_unit(context: Context, more: str = "", kind: str = "oneshot") -> None:
    """certbot.service as Debian has it, with this test's certbot."""
    environment = "\n".join(f'Environment="{name}={value}"' for name, value in context.environment.items())
    words = [str(program()), "-q", "renew", "--force-renewal", *context.home.arguments]
    Path("/etc/systemd/system", CERTBOT).write_text(
        f"[Unit]\nDescription=Certbot\n[Service]\nType={kind}\n{environment}\nExecStart={' '.join(words)}\n"
        f"PrivateTmp=true\n{more}\n")
    systemctl("daemon-reload")
    systemctl("reset-failed", check=False)


def start_certbot() -> None:
    systemctl("start", "--no-block", CERTBOT)


def certbot_ended() -> str:
    """What systemd says of certbot.service's end, once there is no job for it and none of its processes is left."""
    def over() -> bool:
        state, job = (systemctl("show", "-P", name, CERTBOT) for name in ("ActiveState", "Job"))
        return job in ("", "0") and state in ("inactive", "failed")

    wait_for(over, 90, f"the end of {CERTBOT}")
    return systemctl("show", "-P", "Result", CERTBOT)


__all__ = ["CERTBOT", "ETC", "FILE", "ONE", "THREE", "TWO", "UNIT", "DebianSite", "DebianUnit", "certbot_ended",
           "certbots_unit", "guarded", "nobody_notices", "start_certbot", "systemctl", "tree", "unit_of", "with_apache"]
