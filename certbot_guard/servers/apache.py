"""An Apache without a systemd unit: started by its control program, stopped by a signal to its parent."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from typing import Any, Optional

from zope.interface import implementer

from certbot_guard.errors import ForeignOwnerError, LeftDownError, RefusedError, ServerError
from certbot_guard.interfaces import IWebServer
from certbot_guard.servers import errorlog, execute, obstacles, processes, reloading, serving, sockets
from certbot_guard.servers.instance import Host, Instance
from certbot_guard.servers.probe import Place
from certbot_guard.servers.sockets import Listener

PROGRAMS = ("apache2ctl", "apachectl", "httpd")
# Takes "-k start" where the others take "start".
_BARE_PROGRAMS = ("httpd", "apache2")
# AH00491 and its like in the other MPMs: a parent that dies of anything else does not say so
_SHUT_DOWN = re.compile(r"caught SIG(TERM|WINCH), shutting down")
_STOP_SECONDS = 10.0
# After SIGTERM a parent with a slow visitor listens on, silently, for 10.4 s (measured, 2.4.71).
_STOPPING_SECONDS = 5.0
_START_PROGRAM_SECONDS = 60.0
_RESCAN_SECONDS = 0.05
_QUICK_LOOK_SECONDS = 0.5


def find_program(environment: dict[str, str], name: Optional[str] = None) -> Optional[str]:
    """The absolute path of ``name``, or of the first apachectl-like program there is."""
    path = execute.search_path(environment)
    for candidate in [name] if name else PROGRAMS:
        found = shutil.which(candidate, path=path)
        if found and os.path.isabs(found):
            return found
    return None


def identity(program: str, environment: dict[str, str]) -> str:
    """The same for every way to control one Apache: ``apache:default``, or its configuration directory."""
    directory = environment.get("APACHE_CONFDIR")
    if directory and os.path.realpath(directory) != "/etc/apache2":
        return f"apache:{os.path.realpath(directory)}"
    if os.path.dirname(os.path.realpath(program)) in execute.SBIN:
        return "apache:default"
    return f"apache:{os.path.realpath(program)}"


@implementer(IWebServer)
class ApacheServer:
    """:class:`~certbot_guard.interfaces.IWebServer` for an Apache that no unit keeps."""

    def __init__(self, program: str, environment: dict[str, str]) -> None:
        self.instance = Instance(program, environment)
        directory = self.instance.configuration_directory
        self.name = f"{program} ({directory})" if directory else program
        self.identity = identity(program, environment)
        self._dead_since: Optional[float] = None
        # Where the error log ended when this controller had made Apache serve again; None before, and after a
        # stop.
        self._served_mark: Optional[int] = None
        self._served_for: Optional[dict[str, Any]] = None

    # -- looking ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        self.instance.configtest()

    def hosts(self) -> list[Host]:
        return self.instance.hosts()

    def look(self) -> dict[str, Any]:
        self.instance.know_files()
        parent = self.instance.parent()
        orphans = [] if parent else self.instance.orphans()
        held = sockets.of_processes([parent] if parent else orphans)
        dump = self.instance.dump
        return {
            "serving": bool(held),
            "sockets": serving.look_at(held),
            "pid": parent,
            "start_time": processes.start_time(parent) if parent else None,
            "orphans": [[pid, processes.start_time(pid)] for pid in orphans],
            "pid_file": dump.pid_file,
            "server_root": dump.server_root,
            "error_log": dump.error_log,
            "vhosts": dump.count_vhosts(),
        }

    def claims(self, port: int, address: str) -> bool:
        self.instance.know_files()
        claimed = serving.claims(port, address, self.instance.owns, self.name)
        parent = self.instance.parent()
        if claimed and parent:
            _refuse_supervised(parent, port)
        return claimed

    def serving(self, snapshot: dict[str, Any]) -> bool:
        before = serving.wanted(snapshot)
        if not before:
            return bool(self.look()["serving"])
        self.instance.learn(snapshot)
        parent = self.instance.parent()
        held = sockets.of_processes([parent] if parent else self.instance.orphans())
        return serving.serves(before, held)

    # -- stopping --------------------------------------------------------------------------------------------

    def stop(self, snapshot: dict[str, Any], ports: list[int]) -> None:
        self._served_mark = None
        self.instance.learn(snapshot)
        targets = (
            [(snapshot["pid"], snapshot["start_time"])]
            if snapshot.get("pid")
            else snapshot.get("orphans") or []
        )
        alive = [(pid, started) for pid, started in targets if processes.alive(pid, started)]
        inodes = {
            listener.inode
            for listener in sockets.of_processes([pid for pid, _ in alive])
            if listener.port in ports
        }
        # SIGWINCH is graceful-stop, and works with a broken configuration, which "-k graceful-stop" does not
        # (measured, 2.4.71). Orphans have nobody who would tell them to end.
        number = signal.SIGWINCH if snapshot.get("pid") else signal.SIGKILL
        for pid, started in alive:
            processes.signal_process(pid, started, number)
        if not serving.wait_until_free(inodes, _STOP_SECONDS):
            raise ServerError(f"{self.name} still listens {_STOP_SECONDS:.0f} s after it was told to stop")
        left = [pid for port in ports for pid in sockets.listening_pids(port) if self.instance.owns(pid)]
        if left:
            raise ServerError(
                f"{processes.describe(left[0])} listens, which is not the process that was to be stopped"
            )

    # -- starting --------------------------------------------------------------------------------------------

    def start(self, snapshot: dict[str, Any], drain_seconds: float) -> None:
        self.instance.learn(snapshot)
        self.instance.know_files()
        before = serving.wanted(snapshot)
        patience = serving.patience_seconds(snapshot.get("vhosts") or self.instance.dump.count_vhosts())
        parent = self.instance.parent()
        if parent and (held := sockets.of_processes([parent])):
            if serving.answers(before, held, _QUICK_LOOK_SECONDS):
                return
            # It listens, so it is left alone: it is just starting, or busy, or was told to stop by someone
            # else.
            if serving.wait(
                before, self._held, lambda: processes.alive(parent), patience + _STOPPING_SECONDS
            ):
                return
        self._respect(snapshot)
        obstacles.clear_pid_file(self.instance, drain_seconds)
        old = obstacles.clear_orphans(self.instance)
        serving.refuse_strangers(before, lambda pid: False, self.name)
        mark = errorlog.mark(self.instance.dump.log_path())
        self._start_once(before, patience, mark, old)
        self._served_for = snapshot

    def _start_once(self, before: dict[Place, str], patience: float, mark: int, old: set[int]) -> None:
        bare = os.path.basename(self.instance.program) in _BARE_PROGRAMS
        words = [self.instance.program, *(["-k", "start"] if bare else ["start"])]
        # Debian's apache2ctl hands "start" to systemctl, and so to another Apache, unless it is told that
        # systemd calls it. Whoever has a unit is not started here.
        environment = {**self.instance.environment, "APACHE_STARTED_BY_SYSTEMD": "true"}
        result = execute.run(words, environment, _START_PROGRAM_SECONDS + patience, in_scope=True)
        self._dead_since = None
        try:
            # A start that fails may have been overtaken: somebody else's start, a moment ago, holds the ports then.
            hopeful = result.code == 0 or bool(result.code and set(self.instance.processes()) - old)
            came = hopeful and serving.wait(before, self._held, lambda: self._comes(old), patience)
        except ServerError as error:
            raise ServerError(f"{self.name}: {error}", self._detail(result.output, mark)) from error
        if came:
            self._served_mark = errorlog.mark(self.instance.dump.log_path())
            return
        detail = self._detail(result.output, mark)
        self._name_the_stranger(detail)
        how = {0: "it ended right after its start", None: "the start did not end"}.get(
            result.code, f"exit code {result.code}"
        )
        raise ServerError(f"{self.name} did not start: {how}", detail)

    def _respect(self, snapshot: dict[str, Any]) -> None:
        """:raises LeftDownError: it served again after our stop, and then somebody told it to stop."""
        if snapshot != self._served_for:
            return  # of another window, which somebody else's stop may have begun
        if self._served_mark is None:
            return
        if _SHUT_DOWN.search(errorlog.since(self.instance.dump.log_path(), self._served_mark)):
            raise LeftDownError(
                f"{self.name} was stopped by somebody after it served again, so it is left down"
            )

    def _held(self) -> list[Listener]:
        parent = self.instance.named_by_pid_file() if self.instance.dump.pid_file else self.instance.parent()
        return sockets.of_processes([parent]) if parent else []

    def _comes(self, old: set[int]) -> bool:
        """Is a process of this Apache alive that was not there before? Looks rarely; dead is dead twice."""
        now = time.monotonic()
        if self._dead_since is not None and now - self._dead_since < _RESCAN_SECONDS:
            return True
        if set(self.instance.processes()) - old:
            self._dead_since = None
            return True
        first, self._dead_since = self._dead_since is None, now
        return first

    def _detail(self, output: str, mark: int) -> str:
        return "\n".join(text for text in (output, errorlog.since(self.instance.dump.log_path(), mark)) if text)

    def _name_the_stranger(self, detail: str) -> None:
        """:raises ForeignOwnerError: Apache said that a port is taken, and somebody listens there."""
        for port in {int(found) for found in re.findall(r"could not bind to address \S*:(\d+)", detail)}:
            for pid in sockets.listening_pids(port):
                if not self.instance.owns(pid):
                    error = serving.foreign(port, pid, self.name)
                    error.detail = detail
                    raise error

    # -- reloading -------------------------------------------------------------------------------------------

    def reload(self) -> None:
        self.check()
        parent = self.instance.parent()
        held = sockets.of_processes([parent]) if parent else []
        if parent is None or not held:
            raise RefusedError(f"{self.name} does not run, so it is not reloaded")
        reloading.reload_parent(parent, self._graceful, self.instance, self.name)

    @staticmethod
    def _graceful(parent: int) -> None:
        # Not "-k graceful": that starts an Apache that does not run (measured, 2.4.71).
        processes.signal_process(parent, processes.start_time(parent), signal.SIGUSR1)


def _refuse_supervised(parent: int, port: int) -> None:
    """:raises ForeignOwnerError: somebody else keeps this Apache running and would start it again at once."""
    above = processes.parent(parent)
    words = processes.arguments(parent)
    in_foreground = any(
        word in ("-DFOREGROUND", "-DNO_DETACH", "FOREGROUND", "NO_DETACH", "-X") for word in words
    )
    # In the foreground under pid 1 it may be all that a container is there for: the container would end with
    # it.
    if parent == 1 or in_foreground:
        owner = processes.describe(1 if parent == 1 else above)
        raise ForeignOwnerError(
            f"Apache (pid {parent}) is kept running by {owner}, which has to stop it", port, owner
        )
