"""certbot in a container, Apache on the host: what the guard sees from in there, and what it leaves alone.

No container engine is needed: the container is a process in a pid and mount namespace of its own, in another file
system without Apache's programs, with the host's network, and with the directories of certbot as volumes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Iterator

import pytest

from certbot_guard.servers.processes import is_outside_our_container, shares_our_world
from tests.support import processes
from tests.support.certbot import Certbot, program
from tests.support.context import Context, wait_for

ONE = "one.guard.test"
CANNOT_RUN = 77
# As docs/howto/docker.md has it, for this test's ports and without systemd to ask.
COMMANDS = "control = command\nmode = reload\nstart_command = false\nstop_command = false\nlisten = {http} {https}\n"

CONTAINER = r"""
set -eu
[ "$(id -u)" = 0 ] || { echo "a container needs root" >&2; exit 77; }
volumes=$1; numbers=$2; shift 2
exec unshare --mount $numbers --fork --kill-child --ipc --uts bash -ec '
  volumes=$1; shift
  mount --make-rprivate /
  D=$(mktemp -d); mount -t tmpfs -o mode=755 tmpfs "$D"; mkdir "$D/up" "$D/work" "$D/root"; R=$D/root
  mount -t overlay overlay -o "lowerdir=/,upperdir=$D/up,workdir=$D/work" "$R" || exit 77
  rm -rf "$R/etc/apache2" "$R"/usr/sbin/apache2* "$R"/usr/sbin/apachectl
  mount --rbind /proc "$R/proc"; mount --rbind /dev "$R/dev"
  for d in run tmp; do mount -t tmpfs -o mode=755 tmpfs "$R/$d"; done; chmod 1777 "$R/tmp"
  for v in $volumes; do mkdir -p "$R$v"; mount --bind "$v" "$R$v"; done
  exec chroot "$R" "$@"
' container "$volumes" "$@"
"""
# Of unshare: with process numbers of its own, or, with none of these, the host's (docker's --pid host).
ITS_OWN = "--pid --mount-proc"


class Container:
    """``run`` starts certbot as a container's first process. Its volumes are what the guide names, and no more."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.asks = context.directory / "asks"  # a volume: where a reload is asked for
        self.asks.mkdir()
        context.state.mkdir(mode=0o700, exist_ok=True)
        self.volumes = [context.home.config, context.home.work, context.home.logs, context.state,
                        context.apache.docroot, self.asks, Path(context.environment["REQUESTS_CA_BUNDLE"]).parent]

    def run(self, *arguments: str, wait: bool = True, numbers: str = ITS_OWN) -> Certbot:
        words = ["bash", "-c", CONTAINER, "container", " ".join(map(str, self.volumes)), numbers, str(program()),
                 *arguments, *self.context.home.arguments]
        run = Certbot(words, {**self.context.environment, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, "/",
                      self.context.directory / f"container-{len(self.context.runs) + 1}")
        self.context.runs.append(run)
        if wait:
            run.wait()
            if run.returncode == CANNOT_RUN:
                pytest.skip(f"no container can be had here: {run.stderr.strip()}")
        return run

    def renew(self, wait: bool = True, numbers: str = ITS_OWN) -> Certbot:
        return self.run("renew", "--force-renewal", wait=wait, numbers=numbers)

    def settings(self, **options: str) -> str:
        world = self.context.world
        lines = dict(line.split(" = ", 1) for line in
                     COMMANDS.format(http=world.http_port, https=world.https_port).splitlines())
        return "\n".join(f"{name} = {value}" for name, value in {**lines, **options}.items())


class Host:
    """Reloads Apache when it is asked by a file, as a path unit does: it stands in for systemd on the host."""

    def __init__(self, context: Context, asks: Path) -> None:
        self._context, self.file, self.reloads = context, asks / "reload-apache", 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.is_set():
            if self.file.exists():
                self.file.unlink()
                subprocess.run([str(self._context.apache.program), "graceful"], env=self._context.apache.environment,
                               check=True, timeout=30, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                self.reloads += 1
            time.sleep(0.02)

    def close(self) -> None:
        self._over.set()
        self._thread.join(30)


@pytest.fixture
def container(context: Context) -> Iterator[Container]:
    if any(str(path).startswith(("/tmp/", "/run/")) for path in (Path(__file__), sys.prefix)):
        pytest.skip("the checkout or its environment is below /tmp or /run, which are empty in a container")
    found = Container(context)
    found.run("plugins")  # skips where there can be no container
    yield found


def test_who_is_outside_is_asked_from_within(container: Container) -> None:
    """A host may well stop a server in a container, and who is in one may stop what is beside it there."""
    asked = ("import os, sys; from certbot_guard.servers.processes import is_outside_our_container as is_outside; "
             "print(os.getpid(), *map(is_outside, (1, int(sys.argv[1]), os.getpid())), flush=True); input()")
    inside = subprocess.Popen(["bash", "-c", CONTAINER, "container", "", "", sys.executable, "-I", "-c", asked,
                               str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert inside.stdout is not None
        pid, *said = inside.stdout.readline().split()
        assert said == ["True", "True", "False"]
        assert not any(map(is_outside_our_container, (1, os.getpid(), int(pid))))
        assert not shares_our_world(int(pid))
    finally:
        inside.communicate("\n", 30)


@pytest.mark.parametrize("server, numbers, sentence", [
    ("control = auto", ITS_OWN, "no apache2ctl, apachectl or httpd was found"),
    ("control = auto", "", "no apache2ctl, apachectl or httpd was found"),
    ("", ITS_OWN, "belongs to a process that cannot be seen, not to"),
    ("", "", "outside of this container, not to")], ids=["auto", "auto-pid-host", "command", "command-pid-host"])
def test_an_apache_that_the_guard_cannot_bring_back_is_left_alone_and_people_are_told_why(
        context: Context, container: Container, server: str, numbers: str, sentence: str) -> None:
    context.obtain(ONE)
    context.guard_ini(server=server or container.settings(mode="auto", stop_command=f"touch {container.asks}/stop"))
    context.apache.start()
    with context.apache.watch() as outage:
        run = container.renew(numbers=numbers)
    context.wait_settled()
    assert run.returncode == 1 and context.home.version(ONE) == 1
    assert context.apache.serving() and not outage.intervals
    assert sentence in run.output and "Traceback" not in run.output
    assert sentence in context.mailbox.wait(1)[0].text
    assert not (container.asks / "stop").exists()


def test_webroot_on_a_volume_is_renewed_and_the_host_reloads_apache(context: Context, container: Container) -> None:
    context.obtain(ONE, authenticator="webroot")
    host = Host(context, container.asks)
    context.cleanup(host.close)
    context.guard_ini(server=container.settings(reload_command=f"touch {host.file}"))
    context.apache.start()
    with context.apache.watch() as outage:
        run = container.renew()
    assert run.returncode == 0, run.output
    wait_for(lambda: context.apache.served_certificate(ONE) == context.home.certificate(ONE), what="the reload")
    assert host.reloads == 1 and not outage.intervals
    assert context.events("reloaded") and not context.events("not-served") and not context.mailbox.messages


def test_a_container_that_is_killed_leaves_apache_serving_and_the_next_one_tells(
        context: Context, container: Container) -> None:
    context.obtain(ONE, authenticator="webroot")
    host = Host(context, container.asks)
    context.cleanup(host.close)
    context.guard_ini(server=container.settings(reload_command=f"touch {host.file}"))
    context.apache.start()
    with context.apache.watch() as outage, context.ca.hold("challenge", times=1) as held:
        run = container.renew(wait=False)
        held.wait(40)
        run.send(signal.SIGKILL)
        run.wait()
        wait_for(lambda: not [pid for pid in processes.marked(str(context.directory)) if "certbot" in " ".join(
            processes.arguments_of(pid))], what="the end of the container")
    assert not context.mailbox.messages
    again = container.renew()
    assert again.returncode == 0, again.output
    context.wait_settled()
    assert context.apache.serving() and not outage.intervals
    assert host.reloads == 1
    assert "certbot ended without a word: it was killed" in context.mailbox.wait(1)[0].text
