"""A web server that is a systemd unit: only systemctl stops, starts and reloads it.

Measured: anything else is killed when certbot's own unit ends, or leaves Apache down, since a draining parent
keeps the unit active and a ``start`` then does nothing.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from typing import Any, Optional

from zope.interface import implementer

from certbot_guard.errors import ConfigtestError, LeftDownError, RefusedError, ServerError
from certbot_guard.interfaces import IWebServer
from certbot_guard.servers import apache, errorlog, execute, obstacles, processes, reloading, serving, sockets, units
from certbot_guard.servers.instance import Host, Instance
from certbot_guard.servers.probe import Place
from certbot_guard.servers.sockets import Listener

_STATE = ("Id", "LoadState", "ActiveState", "UnitFileState", "MainPID", "ControlGroup")
_STOP_SECONDS = 30.0
_START_SECONDS = 60.0
_RELOAD_SECONDS = 60.0
_TEST_SECONDS = 120.0
_QUICK_LOOK_SECONDS = 0.5
_APACHE = re.compile(r"(apache2|apache2ctl|apachectl|httpd)$")


@implementer(IWebServer)
class SystemdServer:
    """:class:`~certbot_guard.interfaces.IWebServer` for the unit ``unit``.

    A unit that runs Apache is tested as Apache is; another one by ``test_command``, and without one not at
    all.

    :raises ServerError: systemd does not know the unit.
    """

    def __init__(self, unit: str, environment: dict[str, str], test_command: Optional[str] = None) -> None:
        self.unit = units.full_name(unit)
        self._test_command = shlex.split(test_command or "")
        known = units.show([self.unit], ["Id", "LoadState", "ExecStart", "Environment", "ControlGroup"])[0]
        if known.get("LoadState") == "not-found":
            raise ServerError(f"systemd knows no unit {self.unit}")
        self.unit = known.get("Id") or self.unit
        self.name = self.unit
        self._control_group = known.get("ControlGroup", "")
        self._environment = environment
        # This controller has made it serve, and has not stopped it since.
        self._served_for: Optional[dict[str, Any]] = None
        self.instance = self._apache_of(known, environment)
        self.identity = f"unit:{self.unit}"
        if self.instance is not None:
            self.identity = apache.identity(self.instance.program, self.instance.environment)

    def _apache_of(self, known: units.Properties, environment: dict[str, str]) -> Optional[Instance]:
        program = re.search(r"path=(\S+)", known.get("ExecStart", ""))
        named = program.group(1) if program else None
        if named is None or not _APACHE.match(os.path.basename(named)):
            # masked units show no ExecStart
            named = apache.find_program(environment) if re.match(r"(apache2|httpd)[.@]", self.unit) else None
        if named is None:
            return None
        # The unit's environment decides which Apache it is, not certbot's.
        complete = {key: value for key, value in environment.items() if not key.startswith("APACHE_")}
        assignments = shlex.split(known.get("Environment", ""))
        complete.update(word.partition("=")[::2] for word in assignments if word.startswith("APACHE_"))
        return Instance(named, complete)

    # -- looking ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        if self.instance is not None:
            self.instance.configtest()
        elif self._test_command:
            result = execute.run(self._test_command, self._environment, _TEST_SECONDS)
            if result.code != 0:
                raise ConfigtestError(f"the test_command of {self.unit} fails", result.output)

    def hosts(self) -> list[Host]:
        return self.instance.hosts() if self.instance is not None else []

    def look(self) -> dict[str, Any]:
        state = self._state()
        held = self._held()
        pid = int(state.get("MainPID") or 0) or None
        found: dict[str, Any] = {
            "serving": bool(held),
            "sockets": serving.look_at(held),
            "unit": self.unit,
            "unit_file_state": state.get("UnitFileState", ""),
            "active_state": state.get("ActiveState", ""),
            "pid": pid,
            "start_time": processes.start_time(pid) if pid else None,
            "dependents": units.dependents(self.unit),
        }
        if self.instance is not None:
            self.instance.know_files()
            dump = self.instance.dump
            found.update(
                pid_file=dump.pid_file,
                server_root=dump.server_root,
                error_log=dump.error_log,
                vhosts=dump.count_vhosts(),
            )
        return found

    def claims(self, port: int, address: str) -> bool:
        return serving.claims(port, address, self._owns, self.name)

    def serving(self, snapshot: dict[str, Any]) -> bool:
        before, held = serving.wanted(snapshot), self._held()
        return serving.serves(before, held) if before else bool(held)

    def _state(self) -> units.Properties:
        state = units.show([self.unit], _STATE)[0]
        self._control_group = state.get("ControlGroup") or self._control_group
        return state

    def _members(self) -> list[int]:
        return units.members(self.unit, self._control_group)

    def _held(self) -> list[Listener]:
        return sockets.of_processes(self._members())

    def _owns(self, pid: int) -> bool:
        # A socket unit's sockets are systemd's as well (pid 1): stopping the service would not free the port.
        return pid != 1 and processes.unit(pid) == self.unit

    # -- stopping --------------------------------------------------------------------------------------------

    def stop(self, snapshot: dict[str, Any], ports: list[int]) -> None:
        self._served_for = None
        inodes = {listener.inode for listener in self._held() if listener.port in ports}
        # Not to the end of the stop: with a slow download that takes 10 s, the port is free after 40 ms
        # (measured).
        result = units.systemctl(["stop", "--no-block", "--", self.unit])
        if result.code != 0:
            raise ServerError(f"systemctl stop {self.unit} failed", result.output)
        if not serving.wait_until_free(inodes, _STOP_SECONDS):
            raise ServerError(f"{self.unit} still listens {_STOP_SECONDS:.0f} s after it was told to stop")

    # -- starting --------------------------------------------------------------------------------------------

    def start(self, snapshot: dict[str, Any], drain_seconds: float) -> None:
        before = serving.wanted(snapshot)
        patience = serving.patience_seconds(int(snapshot.get("vhosts") or 0))
        if self._serves_already(before, patience):
            units.start_again(snapshot.get("dependents") or [])
            return
        state = self._state()
        if snapshot == self._served_for:
            state = self._decided(state)
            if state.get("ActiveState") == "active" and self._serves_already(before, patience):
                return  # somebody restarted it
        self._respect(state, snapshot)
        # One that somebody else is starting is not drained: our start joins his.
        if state.get("ActiveState") not in ("inactive", "failed", "activating"):
            state = self._let_drain(state, drain_seconds)
        mark = 0
        if self.instance is not None:
            self.instance.learn(snapshot)
            self.instance.know_files()
            obstacles.clear_pid_file(self.instance, drain_seconds)
            obstacles.clear_orphans(self.instance)
            mark = errorlog.mark(self.instance.dump.log_path())
        serving.refuse_strangers(before, self._owns, self.name)
        # Several windows in a row must not meet the start limit (5 in 10 s by default); a unit that is not
        # loaded has nothing to reset, and says so with an error.
        units.systemctl(["reset-failed", "--", self.unit])
        # Active and not listening: whatever is in there is not a server any more, and "start" would do
        # nothing.
        verb = "restart" if state.get("ActiveState") in ("active", "reloading") else "start"
        result = units.systemctl([verb, "--", self.unit], _START_SECONDS + patience)
        self._await(before, result, patience, mark)
        self._served_for = snapshot
        units.start_again(snapshot.get("dependents") or [])

    def _serves_already(self, before: dict[Place, str], patience: float) -> bool:
        held = self._held()
        if not held or self._state().get("ActiveState") == "deactivating":
            return False  # what was told to stop and takes its time serves no longer than that
        if serving.answers(before, held, _QUICK_LOOK_SECONDS):
            return True
        # It listens, so it is left alone: it is just starting, or busy, or is being stopped by someone else.
        return serving.wait(before, self._held, lambda: False, patience)

    def _decided(self, state: units.Properties) -> units.Properties:
        """Wait while it is being stopped: only then it shows whether somebody meant a stop, or a restart."""
        deadline = time.monotonic() + _STOP_SECONDS
        while state.get("ActiveState") in ("deactivating", "activating") and time.monotonic() < deadline:
            time.sleep(0.05)
            state = self._state()
        return state

    def _respect(self, state: units.Properties, snapshot: dict[str, Any]) -> None:
        """:raises LeftDownError: a person decided against this unit since the snapshot.

        A stop while it was down anyway leaves no trace. One after it served again does: the unit is inactive
        then, and not failed as after a death of its own.
        """
        now, then = state.get("UnitFileState", ""), snapshot.get("unit_file_state", "")
        if state.get("LoadState") == "masked" or now.startswith("masked"):
            raise LeftDownError(f"{self.unit} was masked while it was stopped, so it is left down")
        if now == "disabled" and then.startswith("enabled"):
            raise LeftDownError(f"{self.unit} was disabled while it was stopped, so it is left down")
        if snapshot == self._served_for and state.get("ActiveState") == "inactive":
            raise LeftDownError(
                f"{self.unit} was stopped by somebody after it served again, so it is left down"
            )

    def _let_drain(self, state: units.Properties, drain_seconds: float) -> units.Properties:
        """Nothing of the unit is left: what listens no more had ``drain_seconds`` for its requests."""
        deadline = time.monotonic() + drain_seconds
        while any(processes.executable(pid) for pid in self._members()) and time.monotonic() < deadline:
            if self._held():  # someone else started it
                return state
            time.sleep(0.005)
        if self._members() and not self._held():
            units.systemctl(["kill", "--signal=KILL", "--", self.unit])
        return self._state()

    def _await(self, before: dict[Place, str], result: execute.Result, patience: float, mark: int) -> None:
        """:raises ServerError: the unit does not serve."""
        try:
            if result.code == 0 and serving.wait(before, self._held, lambda: bool(self._members()), patience):
                return
        except ServerError as error:
            raise ServerError(f"{self.unit}: {error}", self._detail(result.output, mark)) from error
        if result.code is None:
            reason = "systemctl did not come back"
        elif result.code:
            reason = f"exit code {result.code} of systemctl"
        else:
            reason = "it ended right after its start"
        raise ServerError(f"{self.unit} did not start: {reason}", self._detail(result.output, mark))

    def _detail(self, output: str, mark: int) -> str:
        """The error log's new lines; where there are none, what the configuration test says now."""
        texts = [output]
        if self.instance is not None:
            logged = errorlog.since(self.instance.dump.log_path(), mark)
            if not logged:
                try:
                    self.instance.read_dump()
                except ServerError as error:
                    logged = error.detail
            texts.append(logged)
        return "\n".join(text for text in texts if text)

    # -- reloading -------------------------------------------------------------------------------------------

    def reload(self) -> None:
        self.check()
        state, held = self._state(), self._held()
        if state.get("ActiveState") != "active" or not held:
            raise RefusedError(f"{self.unit} does not run, so it is not reloaded")
        main = int(state.get("MainPID") or 0)
        if self.instance is not None and main and processes.children(main):
            reloading.reload_parent(main, lambda _: self._reload(), self.instance, self.name)
            return
        before = {(found["address"], found["port"]): found["gave"] for found in serving.look_at(held)}
        self._reload()
        time.sleep(_QUICK_LOOK_SECONDS)
        if not serving.serves(before, self._held()):
            raise ServerError(f"{self.unit} does not serve as before since it was reloaded")

    def _reload(self) -> None:
        result = units.systemctl(["reload", "--", self.unit], _RELOAD_SECONDS)
        if result.code != 0:
            raise ServerError(f"systemctl reload {self.unit} failed", result.output)
