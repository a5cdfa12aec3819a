"""certbot as its snap starts it: snapd says which plugin is connected, /snap/certbot-guard/current has it.

The snap itself is not here, nor snapd: what snapd would say comes from a socket of the test's own. All else is
certbot's own code for snaps, in a mount namespace whose root has a /snap.
"""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer
from typing import Any, Callable

import pytest

from certbot_guard.run import Run
from tests.support import plugin_path
from tests.support.certbot import Certbot
from tests.support.context import Context

NAME = "one.guard.test"
_SNAP = "/snap/certbot/7"
# Everything of the machine's own is the same file there as here, so that Apache is the same program.
_SCRIPT = """
root=$1 apart=$2 run=$3
mount --make-rprivate / && mount -t tmpfs -o mode=755 tmpfs "$root" || exit 99
for one in /*; do
    if [ -L "$one" ]; then cp -P "$one" "$root"; continue; fi
    [ -d "$one" ] || continue
    case $one in /snap) continue ;; /run) from=$run ;; *) from=$one ;; esac
    mkdir "$root$one" && mount --rbind "$from" "$root$one" || exit 99
done
for python in python3.8 python3.12; do
    mkdir -p "$root/snap/certbot-guard/current/lib/$python/site-packages" "$root/snap/certbot/7"
    mount --bind "$apart/plugins" "$root/snap/certbot-guard/current/lib/$python/site-packages" || exit 99
done
mount --bind "$apart/python" "$root/snap/certbot/7"
exec /usr/sbin/chroot "$root" sh -c "echo ready; exec sleep 600"
"""


class _Snapd(BaseHTTPRequestHandler):
    """What snapd answers where a plugin that names no Python is connected to certbot's snap."""

    def do_GET(self) -> None:
        established = [{"slot": {"snap": "certbot-guard"}, "plug": {"plug": "plugin"},
                        "plug-attrs": {"content": "certbot-1"}, "slot-attrs": {}}]
        body = json.dumps({"result": {"established": established}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


class Snap:
    """certbot's snap, with certbot-guard's connected to it, at ``context``'s directories."""

    def __init__(self, context: Context) -> None:
        self.context = context
        made = plugin_path.make(context.directory / "apart")
        run, root = context.directory / "run", context.directory / "root"
        run.mkdir()
        root.mkdir()
        server = ThreadingUnixStreamServer(str(run / "snapd.socket"), _Snapd)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context.cleanup(server.server_close)
        context.cleanup(server.shutdown)
        there = subprocess.Popen(["unshare", "-m", "sh", "-c", _SCRIPT, "sh", str(root), str(made.certbot.parents[2]),
                                  str(run)], stdout=subprocess.PIPE, start_new_session=True)
        context.cleanup(there.wait)
        context.cleanup(there.kill)
        assert there.stdout is not None
        if there.stdout.readline() != b"ready\n":
            pytest.skip("no mount namespaces here")
        self._inside = ["nsenter", f"--mount=/proc/{there.pid}/ns/mnt", f"--root=/proc/{there.pid}/root",
                        "/usr/bin/env", "--chdir=/"]
        context.apache.started_by = self._inside

    def renew(self, wait: bool = True) -> Certbot:
        context = self.context
        words = [*self._inside, f"{_SNAP}/bin/python3", "-s", f"{_SNAP}/bin/certbot", "renew", "--force-renewal",
                 *context.home.arguments]
        return context._run(words, False, {
            "SNAP": _SNAP, "SNAP_ARCH": "amd64", "CERTBOT_SNAPPED": "True",
            "PATH": f"{_SNAP}/bin:{_SNAP}/usr/bin:{context.environment['PATH']}"}, "/", wait, 90.0)


@pytest.fixture
def snap(new_context: Callable[..., Context]) -> Snap:
    return Snap(new_context(open_directory=True))


@pytest.mark.parametrize("mode", ["stop", "auto"])
def test_a_renewal_is_guarded(snap: Snap, mode: str) -> None:
    context = snap.context.guarded_site(NAME, server=f"mode = {mode}")
    with context.apache.watch() as outage:
        done = snap.renew()
    assert done.returncode == 0 and context.home.version(NAME) == 2, done.output
    assert len(outage.intervals) == (mode == "stop")
    context.wait_settled()
    assert context.apache.served_certificate(NAME) == context.home.certificate(NAME)
    assert [one["outage_seconds"] > 0 for one in context.events("serving")] == [True] * (mode == "stop")
    (run,) = context.state.glob("runs/*")
    assert "/snap" not in Run.load(run).facts["environment"]["PATH"]


def test_killed_in_the_challenge_apache_serves_and_people_are_told(snap: Snap) -> None:
    context = snap.context.guarded_site(NAME, server="mode = stop")
    with context.ca.hold("challenge", times=1) as held:
        run = snap.renew(wait=False)
        held.wait()
        assert not context.apache.serving()
        run.send(signal.SIGKILL)
        context.apache.wait_serving()
    run.wait()
    context.wait_settled()
    (mail,) = context.mailbox.stays_at(1, seconds=0.3)
    assert NAME in mail.subject + mail.text and "Apache serves" in mail.text
