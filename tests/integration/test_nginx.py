"""A real nginx under ``[server] control = command``: stopped for a challenge, reloaded, brought back."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Iterator, Optional

import pytest
from cryptography import x509

from tests.support import processes
from tests.support.context import Context, wait_for

ONE, TWO = "one.guard.test", "two.guard.test"
_PATH = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
PROGRAM = shutil.which("nginx", path=_PATH)
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed")


class Nginx:
    """The distribution's nginx with a configuration of the test's own, on the ports of the test's (silent) Apache."""

    def __init__(self, context: Context) -> None:
        self.root = context.directory / "nginx"
        self.http_port, self.https_port = context.world.http_port, context.world.https_port
        self.docroot, self.conf = self.root / "docroot", self.root / "nginx.conf"
        self.docroot.mkdir(parents=True)
        (self.docroot / "index.html").write_text("it works\n")
        for directory in (self.root, self.docroot):
            directory.chmod(0o755)

    def command(self, *words: str) -> str:
        return " ".join([str(PROGRAM), "-c", str(self.conf), *words])

    @property
    def settings(self) -> str:
        """Lines of [server], as docs/howto/nginx.md has them, for this nginx."""
        return (f"control = command\nstart_command = {self.command()}\nstop_command = {self.command('-s', 'stop')}\n"
                f"reload_command = {self.command('-s', 'reload')}\ntest_command = {self.command('-q', '-t')}\n"
                f"listen = {self.http_port} {self.https_port}")

    def host(self, live: Path, more: str = "") -> None:
        self.conf.write_text(f"""
            {'user www-data;' if os.geteuid() == 0 else ''}
            worker_processes 1; daemon on; pid {self.root}/nginx.pid; error_log {self.root}/error.log;
            events {{ worker_connections 64; }}
            http {{
              access_log off; client_body_temp_path {self.root}/body; proxy_temp_path {self.root}/proxy;
              fastcgi_temp_path {self.root}/fastcgi; uwsgi_temp_path {self.root}/uwsgi; scgi_temp_path {self.root}/scgi;
              server {{ listen 127.0.0.1:{self.http_port}; root {self.docroot}; {more} }}
              server {{ listen 127.0.0.1:{self.https_port} ssl; root {self.docroot};
                        ssl_certificate {live}/fullchain.pem; ssl_certificate_key {live}/privkey.pem; }}
            }}""")

    def start(self) -> None:
        subprocess.run(self.command().split(), check=True, timeout=20, cwd="/", stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        wait_for(self.serving)

    def close(self) -> None:
        processes.kill(self.processes)

    def processes(self) -> list[int]:
        """Its master and workers. They overwrite their environment, and are known by the log they have open."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        try:
            opened = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
            return os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("nginx") and \
                f"{self.root}/error.log" in opened and processes.is_alive(pid)
        except OSError:
            return False

    def serving(self) -> bool:
        return self.answers() and self.certificate() is not None

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.http_port), timeout=2) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return b"Server: nginx" in connection.recv(4096)
        except OSError:
            return False

    def certificate(self) -> Optional[x509.Certificate]:
        """What a visitor is shown."""
        insecure = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection(("127.0.0.1", self.https_port), timeout=2) as plain, \
                    insecure.wrap_socket(plain) as secure:
                return x509.load_der_x509_certificate(secure.getpeercert(True) or b"")
        except OSError:
            return None

    def was_down(self) -> _Looks:
        return _Looks(self)


class _Looks:
    """``with nginx.was_down() as seen``: how often it answered, and how often it did not."""

    def __init__(self, nginx: Nginx) -> None:
        self._nginx, self._over = nginx, threading.Event()
        self.answered = self.failed = 0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.is_set():
            if self._nginx.answers():
                self.answered += 1
            else:
                self.failed += 1
            time.sleep(0.005)

    def __enter__(self) -> _Looks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)


@pytest.fixture
def nginx(context: Context) -> Iterator[Nginx]:
    """Serving, with ONE's certificate; ONE is due and guarded."""
    found = Nginx(context)
    context.cleanup(found.close)  # before the context looks for what was left behind
    yield found


def guarded(context: Context, nginx: Nginx, more: str = "", **options: object) -> Nginx:
    live = context.obtain(ONE, vhost="", **options)  # type: ignore[arg-type]
    nginx.host(live)
    context.guard_ini(server=f"{nginx.settings}\n{more}")
    nginx.start()
    return nginx


def test_check_finds_it_and_tests_its_configuration(context: Context, nginx: Nginx) -> None:
    guarded(context, nginx)
    said = context.guard("check", check=True)
    assert f"port {nginx.http_port}" in said.stdout and "are fine" in said.stdout
    nginx.host(context.home.config / "live" / ONE, "no_such_directive;")
    said = context.guard("check")
    assert said.returncode == 2 and "no_such_directive" in said.stderr and "Traceback" not in said.output


def test_a_standalone_renewal_stops_nginx_for_the_challenge_and_shows_the_new_certificate(
        context: Context, nginx: Nginx) -> None:
    guarded(context, nginx)
    old = nginx.certificate()
    with nginx.was_down() as seen:
        context.renew(check=True)
    context.wait_settled()
    assert nginx.serving() and seen.failed and seen.answered
    assert context.events("stopped") or context.events("stopping")
    assert nginx.certificate() == context.home.certificate(ONE) != old


def test_a_webroot_renewal_reloads_nginx_and_nobody_notices(context: Context, nginx: Nginx) -> None:
    guarded(context, nginx, authenticator="webroot", webroot=nginx.docroot)
    with nginx.was_down() as seen:
        context.renew(check=True)
    context.wait_settled()
    wait_for(lambda: nginx.certificate() == context.home.certificate(ONE))
    assert not seen.failed and seen.answered and not context.events("stopping")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nginx_serves_again_when_certbot_is_killed_in_the_challenge(
        context: Context, nginx: Nginx, number: int) -> None:
    guarded(context, nginx)
    with nginx.was_down() as seen:
        run = context.kill_at("challenge", number=number)
        assert run.returncode
        wait_for(nginx.serving, 10, "nginx")
    assert seen.failed
    context.wait_settled()
    assert nginx.serving()
    assert "one.guard.test" in context.mailbox.wait(1)[0].text


def test_nginx_is_not_stopped_where_it_could_not_start_again(context: Context, nginx: Nginx) -> None:
    guarded(context, nginx)
    nginx.host(context.home.config / "live" / ONE, "no_such_directive;")
    with nginx.was_down() as seen:
        assert context.renew().returncode
    context.wait_settled()
    assert nginx.serving() and not seen.failed and not context.events("stopping")
    assert "no_such_directive" in context.mailbox.wait(1)[0].text


def test_nginx_whose_configuration_breaks_while_it_is_stopped_is_told_and_serves_once_it_is_mended(
        context: Context, nginx: Nginx) -> None:
    guarded(context, nginx)
    live = context.home.config / "live" / ONE
    with context.ca.hold("challenge", times=1) as held:
        run = context.renew(wait=False)
        held.wait(30)
        nginx.host(live, "no_such_directive;")
    run.wait()
    wait_for(lambda: any("DOWN" in mail.subject for mail in context.mailbox.messages), 40, "the mail")
    assert not nginx.answers()
    nginx.host(live)
    wait_for(nginx.serving, 60, "nginx")
    context.wait_settled(60)
