"""This machine as the checks see it: each thing is read once, when the first check asks, and shared by all.

Changes nothing. A part that cannot be read raises the same error for every check that asks for it. Tests give it parts
of their own: whatever is set on a :class:`Host` is not looked for.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Optional, TypeVar

from certbot_guard import crondaemon, installations, launch, schedule, servers, timers
from certbot_guard.config import Config
from certbot_guard.errors import ServerError
from certbot_guard.installations import Installation
from certbot_guard.interfaces import IWebServer
from certbot_guard.run import utc_now
from certbot_guard.servers import sockets
from certbot_guard.units import planning
from certbot_guard.watch import files

if TYPE_CHECKING:
    from certbot_guard.doctor.passages import Way
    from certbot_guard.doctor.result import Result
    from certbot_guard.job import Job
    from certbot_guard.run import Run
    from certbot_guard.sender import Sender

T = TypeVar("T")
USUAL = Path("/etc/letsencrypt")
LOGS = Path("/var/log/letsencrypt")
WORK = Path("/var/lib/letsencrypt")


class Once(Generic[T]):
    """An attribute that is made when it is first read, by one thread, and then stays; a failure stays, too."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, host: Any, owner: Optional[type] = None) -> T:
        with host.lock_of(self._name):
            if self._name not in host.__dict__:
                if self._name not in host.failures:
                    try:
                        host.__dict__[self._name] = self._make(host)
                    except Exception as error:
                        host.failures[self._name] = error
                if self._name in host.failures:
                    raise host.failures[self._name]
            return host.__dict__[self._name]  # type: ignore[no-any-return]


class Host:
    """:ivar offline: nothing is asked of other machines
    :ivar given_config_dir: certbot's configuration directory, where the command names one
    """

    def __init__(self, config: Config, offline: bool = False, config_dir: Optional[Path] = None,
                 logs_dir: Optional[Path] = None) -> None:
        self.config, self.offline, self.given_config_dir = config, offline, config_dir
        self.logs_dir = logs_dir or config.certbot_logs_dir or LOGS
        self.now: Callable[[], datetime] = utc_now
        self.under_systemd = launch.under_systemd()
        self.units, self.cron = planning.Places(), schedule.Places()
        self.ask: timers.Ask = timers.systemd
        self.environment = launch.surroundings()
        self.failures: dict[str, Exception] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._lock = threading.Lock()

    def lock_of(self, name: str) -> threading.RLock:
        with self._lock:
            return self._locks.setdefault(name, threading.RLock())

    # -- certbot -----------------------------------------------------------------------------------------------------

    @Once
    def config_dirs(self) -> list[Path]:
        """certbot's: the one given, those that guard.ini names, or the one guard.ini is in and the usual one."""
        if self.given_config_dir is not None:
            return [self.given_config_dir]
        if self.config.certbot_config_dirs:
            return list(self.config.certbot_config_dirs)
        candidates = dict.fromkeys([self.config.path.parent, USUAL])
        return [path for path in candidates if os.path.isdir(path / "renewal")] or [USUAL]

    @Once
    def lineages(self) -> list[files.Lineage]:
        """Every renewal configuration, read once."""
        return [lineage for directory in self.config_dirs for lineage in files.read(directory)]

    @Once
    def noted(self) -> list[tuple[str, dict[str, Any]]]:
        """What the watch would say is wrong with each lineage: the kinds and fields of its events."""
        found: list[tuple[str, dict[str, Any]]] = []
        # Which plugins there are is known of the Python we run in alone.
        ours = self.used and all(one.ours for one in self.used)
        plugins = files.installed_plugins() if ours else frozenset()
        patience = timedelta(seconds=self.config.watch.stale_after_seconds)
        for lineage in self.lineages:
            def note(kind: str, one: files.Lineage = lineage, **fields: Any) -> None:
                found.append((kind, {**fields, "file": str(one.path), "name": one.name}))

            files.look(lineage, note, self.now(), patience, plugins)
        return found

    @Once
    def installations(self) -> list[Installation]:
        """The certbots of this machine, ours first."""
        return installations.find()

    @Once
    def jobs(self) -> list[Job]:
        """What starts certbot by itself."""
        from certbot_guard import jobs

        return jobs.find(self.cron, self.ask, self.under_systemd, self.now())

    @Once
    def cron_daemon(self) -> Optional[crondaemon.Daemon]:
        """The cron that runs; None: none is to be seen."""
        return crondaemon.find()

    @Once
    def started(self) -> list[tuple[Job, Installation]]:
        """Each job with each certbot that it starts. One whose program is not known is not here."""
        from certbot_guard import jobs

        known = {os.path.realpath(one.program): one for one in self.installations}
        found = []
        for job in self.jobs:
            for program in jobs.programs(job):
                real = os.path.realpath(program)
                if real not in known:
                    known[real] = installations.of_program(program)
                found.append((job, known[real]))
        return found

    @Once
    def used(self) -> list[Installation]:
        """The certbots that renew here: those that jobs start; without any, the first that a person would start."""
        return list(dict.fromkeys(one for _, one in self.started)) or self.installations[:1]

    @Once
    def mistakes(self) -> list[Result]:
        """What is wrong with the lines that start certbot, and with hooks."""
        from certbot_guard.doctor import of_jobs

        return of_jobs.find(self)

    # -- the web server ----------------------------------------------------------------------------------------------

    @Once
    def server(self) -> IWebServer:
        """:raises ServerError: there is none that could be controlled."""
        if not self.config.server_usable:
            raise ServerError("guard.ini has a mistake that leaves open which web server is meant")
        return servers.find(self.config.server, self.environment)

    @Once
    def server_check(self) -> Optional[ServerError]:
        """What keeps the server from being started again, by its own test and ours; None: nothing."""
        try:
            self.server.check()
        except ServerError as error:
            return error
        return None

    @Once
    def snapshot(self) -> dict[str, Any]:
        """What the server says of itself now; after its check, since both ask it where its files are."""
        _ = self.server_check
        return self.server.look()

    @Once
    def listening(self) -> dict[int, set[int]]:
        """Who listens on the ports that challenges need: process ids by port."""
        return {port: sockets.listening_pids(port) for port in sorted({http_port(one) for one in self.standalone})}

    @Once
    def passage_of_server(self) -> Way:
        """What keeps every challenge from passing through the server. :raises ServerError: it cannot be asked now."""
        from certbot_guard.doctor import passages

        return passages.of_server(self)

    @Once
    def runs(self) -> list[Run]:
        """The runs that are kept, oldest first."""
        from certbot_guard.doctor import passages

        return passages.runs(self)

    # -- others ------------------------------------------------------------------------------------------------------

    @Once
    def file_systems(self) -> list[tuple[str, os.statvfs_result]]:
        """Each file system that a renewal writes to, with the first path that leads there."""
        from certbot_guard.doctor import of_disk

        return of_disk.file_systems(self)

    @Once
    def directories(self) -> list[tuple[str, str, Optional[datetime]]]:
        """Each CA's directory, asked once: URL, what is wrong, and the time there."""
        from certbot_guard.doctor import of_network

        return of_network.ask_directories(self)

    @Once
    def sender(self) -> Sender:
        """As whom messages are sent and pings are made. :raises OSError: it cannot be found out."""
        from certbot_guard import sender

        return sender.find()

    @property
    def standalone(self) -> Sequence[files.Lineage]:
        return [one for one in self.lineages if not one.error and one.authenticator == "standalone"]


def http_port(lineage: files.Lineage) -> int:
    """The port on which certbot's own challenge server listens for this lineage."""
    said = str(lineage.parameters.get("http01_port", "80"))
    return int(said) if said.isascii() and said.isdigit() and 0 < int(said) < 65536 else 80
