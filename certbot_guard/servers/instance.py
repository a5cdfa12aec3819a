"""One Apache on this machine: its control program, its files, and which processes are its own.

Two Apaches may run the same program. What tells them apart, in this order: the pid file, the ServerRoot on
the command line, the pid file in the environment that Debian's envvars export, and the error log they write
to.
"""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass
from typing import Any, Iterable, Optional

from certbot_guard.errors import ConfigtestError, ServerError
from certbot_guard.servers import certificates, configuration, envvars, execute, processes, sockets
from certbot_guard.servers.configuration import Configuration, Dump

_NAMES = re.compile(r"(apache2|apache|httpd)([.-].*)?$")
_VERSION = re.compile(r"Apache/(\d{1,4})\.(\d{1,4})\.(\d{1,4})")
_VERSION_SECONDS = 20.0
_CONFIGTEST_SECONDS = 120.0
_DUMP_LIMIT_BYTES = 16 * 1024 * 1024
_LOG_TAIL_BYTES = 4000
# Without root nothing but age tells an orphan from a parent that has no workers yet.
_ORPHAN_AGE_SECONDS = 2.0
_POLL_SECONDS = 0.002


@dataclass(frozen=True)
class Host:
    """A virtual host. ``place`` is the file and line where it begins; ``certificates`` are paths."""

    place: str
    names: tuple[str, ...]
    tls: bool
    certificates: tuple[str, ...]


def is_apache(pid: int) -> bool:
    """Does ``pid`` run Apache's program? One that was replaced by an upgrade still is."""
    return bool(_NAMES.match(os.path.basename(processes.executable(pid))))


class Instance:
    """:ivar program: the absolute path of an apachectl-like program
    :ivar environment: what it is run with; APACHE_CONFDIR and APACHE_ENVVARS select a private instance
    """

    def __init__(self, program: str, environment: dict[str, str]) -> None:
        self.program = program
        self.environment = environment
        self.dump = Dump()

    @property
    def configuration_directory(self) -> Optional[str]:
        directory = self.environment.get("APACHE_CONFDIR")
        return os.path.realpath(directory) if directory else None

    # -- what Apache says of itself --------------------------------------------------------------------------

    def configtest(self) -> Configuration:
        """What the files say, if Apache would accept them and their certificates; :attr:`dump` is fresh then.

        :raises ConfigtestError: it would not; ``detail`` has Apache's words.
        :raises ServerError: it could not be asked.
        """
        found = self.configuration()
        certificates.check(found)
        return found

    def hosts(self) -> list[Host]:
        """The virtual hosts of the configuration on disk.

        :raises ServerError: Apache cannot be asked, or does not accept it.
        """
        found = self.configuration()
        with_tls = [id(host) for host in certificates.hosts_with_tls(found)]
        return [
            Host(
                str(host.place),
                tuple(host.names),
                id(host) in with_tls,
                tuple(named.path for named in certificates.of_host(found, host)),
            )
            for host in found.vhosts
        ]

    def configuration(self) -> Configuration:
        """What the files on disk say; :attr:`dump` is fresh then.

        :raises ServerError: Apache cannot be asked, or does not accept it.
        """
        self.read_dump()
        return configuration.read(self.dump, self._variables())

    def read_dump(self, also: str = "") -> None:
        """Ask Apache where its files are. It tests its configuration by the way, as ``configtest`` would.

        :param also: a directive that is read after the rest, for this test alone
        """
        words = [self.program, "-t"]
        for name in configuration.DUMPS:
            words += ["-D", name]
        if also:
            words += ["-c", also]
        # A line for each file: thousands of virtual hosts are not too many.
        result = execute.run(words, self.environment, _CONFIGTEST_SECONDS, limit_bytes=_DUMP_LIMIT_BYTES)
        detail = result.output[-execute.OUTPUT_LIMIT_BYTES :]
        if result.code is None:
            raise ServerError(f"{self.program} -t did not end within {_CONFIGTEST_SECONDS:.0f} s", detail)
        if result.code != 0:
            raise ConfigtestError("Apache's configuration test fails, so it would not start again", detail)
        self.dump = Dump.parse(result.output)

    def version(self) -> tuple[int, ...]:
        """Of the program, as in ``(2, 4, 68)``; empty where it does not say.

        :raises ServerError: it cannot be started.
        """
        said = _VERSION.search(execute.run([self.program, "-v"], self.environment, _VERSION_SECONDS).output)
        return tuple(map(int, said.groups())) if said else ()

    def learn(self, snapshot: dict[str, Any]) -> None:
        """Know the files of a snapshot: Apache, its configuration broken, may not be there to ask."""
        if not self.dump.pid_file:
            self.dump = Dump(
                server_root=snapshot.get("server_root", ""),
                pid_file=snapshot.get("pid_file", ""),
                error_log=snapshot.get("error_log", ""),
            )

    def know_files(self) -> None:
        """Make sure that the pid file is known, as well as it can be."""
        if self.dump.pid_file:
            return
        try:
            self.read_dump()
        except ServerError:
            # broken just now; the processes can still be recognised
            self.dump = Dump(
                server_root=self.configuration_directory or "", pid_file=envvars.read(self.environment).get("APACHE_PID_FILE", "")
            )

    def _variables(self) -> dict[str, str]:
        """What ``${...}`` in the configuration stands for: the running parent's environment has it all."""
        parent = self.parent()
        return {**self.environment, **envvars.read(self.environment), **(processes.environment(parent) if parent else {})}

    # -- its processes ---------------------------------------------------------------------------------------

    def owns(self, pid: int) -> bool:
        """Is ``pid`` a process of this very Apache?"""
        return self._is_ours(pid, (self._read_pid_file() or (0, ""))[0])

    def _is_ours(self, pid: int, named: int) -> bool:
        if not is_apache(pid) or not processes.alive(pid) or not processes.shares_our_world(pid):
            return False
        words = processes.arguments(pid)
        root = _option(words, "-d")
        if root is not None and self.dump.server_root and not _same(root, self.dump.server_root):
            return False
        pid_file = processes.environment(pid).get("APACHE_PID_FILE")
        if pid_file and self.dump.pid_file and not _same(pid_file, self.dump.pid_file):
            return False
        if named and (pid == named or processes.parent(pid) == named):
            return True
        if (root is not None and self.dump.server_root) or (pid_file and self.dump.pid_file):
            return True
        try:
            return _same(os.readlink(f"/proc/{pid}/fd/2"), self.dump.error_log)
        except OSError:
            return False

    def processes(self) -> list[int]:
        """Every live process of it: parents, drained or not, workers, orphans."""
        named = (self._read_pid_file() or (0, ""))[0]
        return [pid for pid in processes.pids() if self._is_ours(pid, named)]

    def parent(self) -> Optional[int]:
        """The parent of the Apache that serves, or that is about to; None if there is none."""
        named = self.named_by_pid_file()
        if named is not None:
            return named
        # the pid file was removed by hand, or is not to be believed: a parent is known by its workers
        above = {pid: processes.parent(pid) for pid in self.processes()}
        for pid in above:
            if above[pid] not in above and not _is_orphan(pid, above) and sockets.of_processes([pid]):
                return pid
        return None

    def named_by_pid_file(self) -> Optional[int]:
        """The live parent that the pid file names, if it is this Apache's."""
        read = self._read_pid_file()
        return read[0] if read and self._is_ours(read[0], read[0]) else None

    def orphans(self) -> list[int]:
        """Workers whose parent was killed. They serve for ever, and are in the way of a new parent."""
        above = {pid: processes.parent(pid) for pid in self.processes()}
        return [pid for pid in above if _is_orphan(pid, above)]

    def _read_pid_file(self) -> Optional[tuple[int, str]]:
        """``(pid, text)``; the pid is 0 if the text is no number."""
        try:
            with open(self.dump.pid_file, "rb") as file:
                text = file.read(64).decode("ascii", "replace").strip()
        except OSError:
            return None
        return (int(text) if text.isdigit() and int(text) < 2**31 else 0), text

    # -- what keeps it from starting -------------------------------------------------------------------------

    def clear_pid_file(self, drain_seconds: float) -> None:
        """The pid file names nobody, or no file is there: what it named is gone, or never was this Apache.

        Measured, Apache 2.4.71: an empty or garbled one fails the start; one that names any live process
        makes ``start`` say "already running" with exit code 0, and a later ``stop`` kill that process. A
        parent of ours that does not listen any more but still has its pid file was told to stop, and takes
        its time: it has ``drain_seconds``. The parent that listens is left alone, here as everywhere.
        """
        read = self._read_pid_file()
        if read is None:
            return
        pid = read[0]
        if pid and self.owns(pid):
            if sockets.of_processes([pid]):
                return
            self.end([pid], drain_seconds)
        read = self._read_pid_file()
        if read is not None and not self._harmless(read[0]):
            try:
                os.replace(self.dump.pid_file, f"{self.dump.pid_file}.set-aside-by-certbot-guard")
            except OSError as error:
                raise ServerError(
                    f"{self.dump.pid_file} is in the way and cannot be set aside: {error}"
                ) from error

    @staticmethod
    def _harmless(pid: int) -> bool:
        """Does Apache itself take that pid for stale? It asks by kill(pid, 0), which a zombie answers."""
        return bool(pid) and not os.path.exists(f"/proc/{pid}")

    def clear_orphans(self) -> set[int]:
        """No orphaned worker is left; the processes that are left are returned.

        Nothing but SIGKILL ends an orphan (measured, 2.4.71).
        """
        above = {pid: processes.parent(pid) for pid in self.processes()}
        orphans = {pid for pid in above if _is_orphan(pid, above)}
        self.kill(orphans)
        return above.keys() - orphans

    def end(self, parents: Iterable[int], drain_seconds: float) -> None:
        """These parents and their workers are gone: by themselves in ``drain_seconds``, or by force."""
        family = [pid for parent in parents for pid in [parent, *processes.children(parent)]]
        started = {pid: processes.start_time(pid) for pid in family}
        if _gone(started, drain_seconds):
            return
        for pid in parents:
            processes.signal_process(pid, started.get(pid), signal.SIGTERM)
        if not _gone(started, min(drain_seconds, 1.0)):
            self.kill(family)

    @staticmethod
    def kill(pids: Iterable[int]) -> None:
        """SIGKILL each, and return when they are dead."""
        started = {pid: processes.start_time(pid) for pid in pids}
        for pid, when in started.items():
            processes.signal_process(pid, when, signal.SIGKILL)
        _gone(started, 2.0)

    # -- its log ---------------------------------------------------------------------------------------------

    def log_mark(self) -> int:
        """Where the error log ends now."""
        path = self.dump.log_path()
        try:
            return path.stat().st_size if path else 0
        except OSError:
            return 0

    def log_since(self, mark: int) -> str:
        """What was appended to the error log since :meth:`log_mark`, no more than its last few lines."""
        path = self.dump.log_path()
        try:
            with open(path or os.devnull, "rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(mark if mark <= size else 0, size - _LOG_TAIL_BYTES))
                return log.read(_LOG_TAIL_BYTES).decode("utf-8", "replace").strip()
        except OSError:
            return ""


def _is_orphan(pid: int, above: dict[int, int]) -> bool:
    """``above`` has the parent of each process of this Apache."""
    if above[pid] in above or pid in above.values():
        return False
    if os.geteuid() == 0:
        return processes.user(pid) != 0  # workers have given up root, a parent has not
    started = processes.start_time(pid)
    return started is not None and _uptime() - started / os.sysconf("SC_CLK_TCK") > _ORPHAN_AGE_SECONDS


def _gone(started: dict[int, Optional[int]], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(when is not None and processes.alive(pid, when) for pid, when in started.items()):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _option(words: list[str], option: str) -> Optional[str]:
    for index, word in enumerate(words[1:], 1):
        if word == option and index + 1 < len(words):
            return words[index + 1]
        if word.startswith(option) and len(word) > len(option) and not word.startswith("-D"):
            return word[len(option) :]
    return None


def _same(one: str, other: str) -> bool:
    return bool(one) and bool(other) and os.path.realpath(one) == os.path.realpath(other)


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
