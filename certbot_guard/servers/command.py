"""Any other server: controlled by the commands that guard.ini names, known by its ports."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from typing import Any, Optional

from zope.interface import implementer

from certbot_guard.errors import ConfigtestError, RefusedError, ServerError
from certbot_guard.interfaces import IWebServer
from certbot_guard.servers import execute, processes, serving, sockets
from certbot_guard.servers.sockets import Listener

_COMMAND_SECONDS = 60.0
_STOP_SECONDS = 10.0
_QUICK_LOOK_SECONDS = 0.5
# What these run says more than what they are: two servers in one language are two servers.
_INTERPRETER = re.compile(r"(python|pypy|perl|ruby|node|java|php|bash|sh|dash)[\d.]*$")

Program = tuple[str, tuple[str, ...]]


@implementer(IWebServer)
class CommandServer:
    """:class:`~certbot_guard.interfaces.IWebServer` by commands. They are words, not shell lines.

    The server is whoever listens on the ports of ``listen``; a snapshot remembers its program, so that a
    challenge server that answers there later is not taken for it.

    :raises ServerError: a command that cannot be done without is missing, or cannot be split into words.
    """

    def __init__(
        self,
        start: Optional[str],
        stop: Optional[str],
        reload: Optional[str],
        test: Optional[str],
        listen: tuple[int, ...],
        environment: dict[str, str],
    ) -> None:
        self._start = _words("start_command", start)
        self._stop = _words("stop_command", stop)
        self._reload = _words("reload_command", reload)
        self._test = _words("test_command", test)
        if not self._start or not self._stop or not listen:
            raise ServerError("control = command needs start_command, stop_command and listen")
        self._ports = tuple(listen)
        self._environment = environment
        self.name = f"the server on port {' and '.join(str(port) for port in self._ports)}"
        digest = hashlib.sha256(
            "\0".join([*self._start, *map(str, sorted(self._ports))]).encode()
        ).hexdigest()
        self.identity = f"command:{digest[:16]}"

    def check(self) -> None:
        if self._test:
            result = execute.run(self._test, self._environment, _COMMAND_SECONDS)
            if result.code != 0:
                raise ConfigtestError(
                    "test_command fails, so the server might not start again", result.output
                )

    def look(self) -> dict[str, Any]:
        owners = sockets.owners(sockets.listeners(self._ports))
        pids = sorted({pid for held in owners.values() for pid in held})
        return {
            "serving": bool(owners),
            "sockets": serving.look_at(list(owners)),
            "pids": [[pid, processes.start_time(pid)] for pid in pids],
            "programs": [
                [program, list(arguments)] for program, arguments in sorted(set(map(_program, pids)))
            ],
        }

    def claims(self, port: int, address: str) -> bool:
        if port not in self._ports:
            return serving.claims(port, address, lambda pid: False, self.name)
        # guard.ini says whose port it is; what cannot be seen, or is systemd itself, is still not ours to
        # stop.
        return serving.claims(port, address, _may_be_stopped, self.name)

    def serving(self, snapshot: dict[str, Any]) -> bool:
        held, before = self._held(snapshot), serving.wanted(snapshot)
        return serving.serves(before, held) if before else bool(held)

    def stop(self, snapshot: dict[str, Any], ports: list[int]) -> None:
        inodes = {listener.inode for listener in self._held(snapshot) if listener.port in ports}
        result = execute.run(self._stop, self._environment, _COMMAND_SECONDS)
        if result.code != 0:
            raise ServerError(f"stop_command failed ({_how(result)})", result.output)
        if not serving.wait_until_free(inodes, _STOP_SECONDS):
            raise ServerError(
                f"{self.name} still listens {_STOP_SECONDS:.0f} s after stop_command", result.output
            )

    def start(self, snapshot: dict[str, Any], drain_seconds: float) -> None:
        before = serving.wanted(snapshot)
        patience = serving.patience_seconds(0)
        held = self._held(snapshot)
        if held and (not before or serving.answers(before, held, _QUICK_LOOK_SECONDS)):
            return
        if held and serving.wait(before, lambda: self._held(snapshot), lambda: False, patience):
            return
        serving.refuse_strangers(before, lambda pid: False, self.name)
        result = execute.run(self._start, self._environment, _COMMAND_SECONDS, in_scope=True)
        if result.code != 0:
            raise ServerError(f"start_command failed ({_how(result)})", result.output)
        # Whether it may still come nobody can tell: its processes are not known before they listen.
        try:
            serving.wait(before, lambda: self._held(snapshot), lambda: True, patience)
        except ServerError as error:
            raise ServerError(
                f"{self.name} does not serve {patience:.0f} s after start_command", result.output
            ) from error

    def reload(self) -> None:
        if not self._reload:
            raise RefusedError("guard.ini names no reload_command, so the server is not reloaded")
        self.check()
        snapshot = self.look()
        if not snapshot["serving"]:
            raise RefusedError(f"{self.name} does not run, so it is not reloaded")
        result = execute.run(self._reload, self._environment, _COMMAND_SECONDS, in_scope=True)
        if result.code != 0:
            raise ServerError(f"reload_command failed ({_how(result)})", result.output)
        before = serving.wanted(snapshot)
        try:
            came = serving.wait(
                before, lambda: self._held(snapshot), lambda: True, serving.patience_seconds(0)
            )
        except ServerError as error:
            raise ServerError(f"{self.name} does not serve since reload_command", result.output) from error
        assert came

    def _held(self, snapshot: dict[str, Any]) -> list[Listener]:
        """What the server itself listens on: the ports of ``listen``, held by a program of the snapshot."""
        known = [(program, tuple(arguments)) for program, arguments in snapshot.get("programs") or []]
        owners = sockets.owners(sockets.listeners(self._ports))
        return [
            listener
            for listener, pids in owners.items()
            if not known or any(_is_same(_program(pid), known) for pid in pids)
        ]


def _may_be_stopped(pid: int) -> bool:
    # All of our processes end with their container (measured, docker 20.10 with --pid host): nobody would be
    # left to start what goes on outside of it.
    return pid != 1 and not processes.is_outside_our_container(pid)


def _program(pid: int) -> Program:
    return processes.executable(pid), tuple(processes.arguments(pid))


def _is_same(one: Program, known: list[Program]) -> bool:
    if one in known:
        return True
    return (
        bool(one[0])
        and not _INTERPRETER.match(os.path.basename(one[0]))
        and one[0] in [path for path, _ in known]
    )


def _words(name: str, command: Optional[str]) -> list[str]:
    try:
        return shlex.split(command or "")
    except ValueError as error:
        raise ServerError(f"{name} cannot be split into words: {error}") from error


def _how(result: execute.Result) -> str:
    return "it did not end" if result.code is None else f"exit code {result.code}"
