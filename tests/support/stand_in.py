"""A process in certbot's place, for the parts that look after a certbot from outside: it holds what certbot holds."""

from __future__ import annotations

import subprocess
import sys

from certbot_guard import launch
from certbot_guard.run import Run, boot_id
from certbot_guard.servers.apache import ApacheServer
from certbot_guard.servers.processes import start_time
from tests.support.context import Context

# Does one thing for each line, and says so.
_CERTBOT = """
import socket, sys
from pathlib import Path
from certbot_guard import serverlock
from certbot_guard.run import CERTBOT_LOCK, Run
alive = Run.load(Path(sys.stdin.readline().strip())).hold(CERTBOT_LOCK)
print("alive", flush=True)
for line in sys.stdin:
    verb, _, rest = line.strip().partition(" ")
    if verb == "lock":
        print("asks", flush=True)
        lock = serverlock.take(rest, 600.0)
    elif verb == "listen":
        listener = socket.create_server(("", int(rest)))
    elif verb == "leave":
        listener.close()
    print("done", flush=True)
"""


def server_of(context: Context) -> ApacheServer:
    return ApacheServer(context.apache.program, {**launch.surroundings(), **context.apache.environment})


class InCertbotsPlace:
    """A process that stands in for certbot, and the run that it has opened."""

    def __init__(self, context: Context, server: ApacheServer, max_outage_seconds: float = 60.0) -> None:
        self._process = subprocess.Popen([sys.executable, "-I", "-c", _CERTBOT], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, env=context.environment, cwd="/", text=True)
        self.pid = self._process.pid
        self.server = server
        self.run = Run.create([context.state], {
            "id": "20260101T000000Z-00000001", "pid": self.pid, "pid_start_time": start_time(self.pid),
            "boot_id": boot_id(), "server": {"max_outage_seconds": max_outage_seconds, "drain_seconds": 2.0}})
        assert self._says(str(self.run.directory)) == "alive"

    def _says(self, told: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{told}\n")
        self._process.stdin.flush()
        return self._heard()

    def _heard(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def asks_for_the_lock(self) -> None:
        assert self._says(f"lock {self.server.identity}") == "asks"

    def has_the_lock(self) -> None:
        self.asks_for_the_lock()
        assert self._heard() == "done"

    def listens(self, port: int) -> None:
        assert self._says(f"listen {port}") == "done"

    def leaves_the_port(self) -> None:
        assert self._says("leave") == "done"

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()
