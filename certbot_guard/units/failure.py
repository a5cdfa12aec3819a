"""What a systemd unit died of: systemd's own words about it, and the end of what it printed. Changes nothing."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from signal import Signals
from typing import Any, Callable, Optional

from certbot_guard import invocation, logtail
from certbot_guard.errors import ServerError
from certbot_guard.servers import execute
from certbot_guard.servers import units as systemd

OUTPUT_LIMIT = 4000
_LINES = 60
_JOURNAL_SECONDS = 20.0
_PROPERTIES = ("Id", "LoadState", "ActiveState", "Result", "ExecMainStatus", "ExecMainCode",
               "ExecMainStartTimestampMonotonic", "ExecMainExitTimestampMonotonic", "InactiveExitTimestampMonotonic",
               "ExecStart", "InvocationID", "NRestarts")
# systemd.exec(5), "Process Exit Codes": systemd's own, from CHDIR to BPF, of a process that never became the program
_COULD_NOT_BE_STARTED = range(200, 246)
_BY_RESULT = {"timeout": "timeout", "watchdog": "timeout", "oom-kill": "memory", "signal": "signal",
              "core-dump": "signal", "resources": "start", "start-limit-hit": "start"}
_ONE_COMMAND = re.compile(r"\{ path=(?P<path>.*?) ; argv\[\]=(?P<words>.*?) ; ignore_errors=\w+ ;.*?"
                          r"code=(?P<code>\S+) ; status=(?P<status>\S+) \}", re.DOTALL)
_INVOCATION = re.compile(r"[0-9a-f]{32}")

Journal = Callable[[str], str]


@dataclass(frozen=True)
class Failure:
    """:ivar command: as it was run, secrets included
    :ivar since: when it began
    :ivar invocation: systemd's name for this one time that the unit ran
    :ivar still: the unit is failed now
    """

    unit: str
    command: tuple[str, ...]
    reason: str
    code: Optional[int]
    signal: Optional[str]
    output: str
    since: datetime
    seconds: float
    attempts: int
    invocation: str
    still: bool

    def event(self) -> dict[str, Any]:
        """The fields of the event ``command-failed``; the command is masked."""
        return {"command": invocation.masked(list(self.command)), "code": self.code, "signal": self.signal,
                "reason": self.reason, "output": self.output, "unit": self.unit, "seconds": round(self.seconds, 1),
                "attempts": self.attempts}


def of(unit: str, environment: Mapping[str, str]) -> Failure:
    """What systemd knows of the last failure of ``unit``.

    :param environment: our own. A unit that OnFailure= starts finds in it what its trigger died of (systemd 251), which
        is right even if the trigger runs again by now.
    :raises ServerError: no unit can have that name, systemd does not know it or does not answer.
    """
    name = systemd.full_name(unit)
    known = systemd.show([name], _PROPERTIES)[0]
    if known.get("LoadState") == "not-found":
        raise ServerError(f"systemd knows no unit {name}")
    monotonic, now = time.monotonic(), datetime.now(timezone.utc)
    began = _moment(known, "InactiveExitTimestampMonotonic") or monotonic
    since = now - timedelta(seconds=max(0.0, monotonic - began) + 1)
    return read(name, known, environment, lambda found: journal(found, name, since), monotonic, now)


def read(name: str, known: Mapping[str, str], environment: Mapping[str, str], said: Journal, monotonic: float,
         now: datetime) -> Failure:
    """:func:`of`, from what systemd shows of the unit and from what ``said(invocation)`` finds in the journal."""
    trigger = environment if environment.get("MONITOR_UNIT") == name else {}
    invocation_id = trigger.get("MONITOR_INVOCATION_ID") or known.get("InvocationID", "")
    over = invocation_id == known.get("InvocationID", "")  # what is shown is of that invocation, not of a later one
    result = trigger.get("MONITOR_SERVICE_RESULT") or known.get("Result", "")
    how, status = _end(trigger, known if over else {})
    reason = _BY_RESULT.get(result, "signal" if how == "signal" else "exit")
    if how == "exit" and reason == "exit" and status.isdigit() and int(status) in _COULD_NOT_BE_STARTED:
        reason = "start"
    began = (_moment(known, "ExecMainStartTimestampMonotonic") or _moment(known, "InactiveExitTimestampMonotonic")
             or monotonic)
    ended = _moment(known, "ExecMainExitTimestampMonotonic") or monotonic
    return Failure(
        name, _command(known.get("ExecStart", "")), reason,
        int(status) if how == "exit" and status.isdigit() and reason != "start" else None,
        status if how == "signal" and status else None,
        logtail.end_of(said(invocation_id), OUTPUT_LIMIT) if _INVOCATION.fullmatch(invocation_id) else "",
        # A second earlier: what is compared with it has been written by other clocks' rounding.
        now - timedelta(seconds=max(0.0, monotonic - began) + 1), max(0.0, ended - began) if over else 0.0,
        1 + int(known.get("NRestarts") or 0) if (known.get("NRestarts") or "0").isdigit() else 1,
        invocation_id, known.get("ActiveState") == "failed")


def journal(invocation_id: str, unit: str, since: datetime) -> str:
    """The last lines that one invocation of a unit printed; systemd's own about it if it printed none.

    :param since: when that invocation began
    """
    program = shutil.which("journalctl", path=execute.search_path({}))
    if program is None:
        return ""
    environment = {"PATH": execute.search_path({}), "LANG": "C.UTF-8"}
    try:
        # What was printed a moment ago may still be on its way into the file.
        execute.run([program, "--sync"], environment, _JOURNAL_SECONDS)
        # systemd.journal-fields(7): processes carry the first, what systemd says of a unit carries the second.
        # A process that ended at once may be gone before the journal could look up its invocation (measured, 252);
        # its unit's name came with its output.
        for wanted in ([f"_SYSTEMD_INVOCATION_ID={invocation_id}"],
                       [f"--since=@{since.timestamp():.0f}", f"_SYSTEMD_UNIT={unit}"], [f"INVOCATION_ID={invocation_id}"]):
            result = execute.run([program, "--no-pager", "--quiet", "--output=cat", f"--lines={_LINES}", *wanted],
                                 environment, _JOURNAL_SECONDS)
            if result.code == 0 and result.output:
                return result.output
    except ServerError:
        pass
    return ""


def _end(trigger: Mapping[str, str], known: Mapping[str, str]) -> tuple[str, str]:
    """``("exit", "1")``, ``("signal", "SIGKILL")``, or two empty strings where no process ended."""
    how, status = trigger.get("MONITOR_EXIT_CODE", ""), trigger.get("MONITOR_EXIT_STATUS", "")
    if not how:
        # waitid(2): CLD_EXITED, CLD_KILLED, CLD_DUMPED
        how = {"1": "exited", "2": "killed", "3": "dumped"}.get(known.get("ExecMainCode", ""), "")
        status = known.get("ExecMainStatus", "")
    if how == "exited":
        return "exit", status
    if how in ("killed", "dumped"):
        return "signal", _signal_name(status)
    return "", ""


def _signal_name(status: str) -> str:
    if not status.isdigit():  # "KILL", in the environment of a unit
        return f"SIG{status}" if status else ""
    try:
        return Signals(int(status)).name
    except ValueError:
        return f"signal {status}"


def _command(shown: str) -> tuple[str, ...]:
    """The command that failed, of those of a service; systemd shows its words with blanks between them, unquoted."""
    commands = list(_ONE_COMMAND.finditer(shown))
    failed = [one for one in commands if one["status"] not in ("0", "0/0", "0/SUCCESS") and one["code"] != "(null)"]
    chosen = (failed or commands)[:1]
    return tuple(chosen[0]["words"].split()) if chosen else ()


def _moment(known: Mapping[str, str], name: str) -> float:
    value = known.get(name) or "0"
    return int(value) / 1e6 if value.isdigit() else 0.0
