"""One Apache on this machine: its control program, its files, and which processes are its own.

Two Apaches may run the same program. What tells them apart, in this order: the pid file, the ServerRoot on
the command line, the pid file in the environment that Debian's envvars export, and the error log they write
to. What keeps it from starting is cleared away by obstacles.py, and its log read by errorlog.py.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import Any, Iterable, Optional

from certbot_guard import plainfile
from certbot_guard.errors import ConfigtestError, ServerError
from certbot_guard.servers import certificates, configuration, envvars, execute, processes, sockets
from certbot_guard.servers.configuration import Configuration
from certbot_guard.servers.dump import DUMPS, Dump

_NAMES = re.compile(r"(apache2|apache|httpd)([.-].*)?$")
_VERSION = re.compile(r"Apache/(\d{1,4})\.(\d{1,4})\.(\d{1,4})")
_VERSION_SECONDS = 20.0
_CONFIGTEST_SECONDS = 120.0
_DUMP_LIMIT_BYTES = 16 * 1024 * 1024
# Without root nothing but age tells an orphan from a parent that has no workers yet.
_ORPHAN_AGE_SECONDS = 2.0


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
        for name in DUMPS:
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
            named = envvars.read(self.environment).get("APACHE_PID_FILE", "")
            self.dump = Dump(server_root=self.configuration_directory or "", pid_file=named)

    def _variables(self) -> dict[str, str]:
        """What ``${...}`` in the configuration stands for: the running parent's environment has it all."""
        parent = self.parent()
        theirs = processes.environment(parent) if parent else {}
        return {**self.environment, **envvars.read(self.environment), **theirs}

    # -- its processes ---------------------------------------------------------------------------------------

    def owns(self, pid: int) -> bool:
        """Is ``pid`` a process of this very Apache?"""
        return self._is_ours(pid, (self.read_pid_file() or (0, ""))[0])

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
        named = (self.read_pid_file() or (0, ""))[0]
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
        read = self.read_pid_file()
        return read[0] if read and self._is_ours(read[0], read[0]) else None

    def orphans(self, among: Optional[Iterable[int]] = None) -> list[int]:
        """Workers whose parent was killed. They serve for ever, and are in the way of a new parent.

        :param among: what :meth:`processes` has just found
        """
        above = {pid: processes.parent(pid) for pid in (self.processes() if among is None else among)}
        return [pid for pid in above if _is_orphan(pid, above)]

    def read_pid_file(self) -> Optional[tuple[int, str]]:
        """``(pid, text)``; the pid is 0 if the text is no number."""
        try:
            text = plainfile.read(self.dump.pid_file, 64).decode("ascii", "replace").strip()
        except OSError:
            return None
        return (int(text) if text.isdigit() and int(text) < 2**31 else 0), text


def _is_orphan(pid: int, above: dict[int, int]) -> bool:
    """``above`` has the parent of each process of this Apache."""
    if above[pid] in above or pid in above.values():
        return False
    if os.geteuid() == 0:
        return processes.user(pid) != 0  # workers have given up root, a parent has not
    started = processes.start_time(pid)
    return started is not None and _uptime() - started / os.sysconf("SC_CLK_TCK") > _ORPHAN_AGE_SECONDS


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
