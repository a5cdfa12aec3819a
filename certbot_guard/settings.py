"""What guard.ini says, frozen. Nothing that is printed of it holds a secret. Read by :mod:`certbot_guard.config`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Optional

from certbot_guard import options
from certbot_guard.endpoints import Endpoint
from certbot_guard.errors import GuardError
from certbot_guard.inifile import Problem


@dataclass(frozen=True)
class ServerConfig:
    """The ``[server]`` section. Holds no secret, so it may travel in the record of a run."""

    control: str = "auto"
    mode: str = "auto"
    max_outage_seconds: float = 300.0
    drain_seconds: float = 2.0
    start: str = "as-found"
    start_command: Optional[str] = None
    stop_command: Optional[str] = None
    reload_command: Optional[str] = None
    test_command: Optional[str] = None
    listen: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ServerConfig:
        known = {one.name for one in fields(cls)}
        kept = {name: value for name, value in data.items() if name in known}
        return cls(**{**kept, "listen": tuple(kept.get("listen") or ())})


@dataclass(frozen=True)
class MessagesConfig:
    """The ``[messages]`` section."""

    remind_every_seconds: float = 86400.0
    keep_undelivered_seconds: float = 604800.0
    log_lines: int = 0


@dataclass(frozen=True)
class WatchConfig:
    """The ``[watch]`` section."""

    stale_after_seconds: float = 259200.0
    endpoints: tuple[Endpoint, ...] = ()
    served: str = "yes"


@dataclass(frozen=True)
class DeployConfig:
    """The ``[deploy]`` section.

    :ivar also_reload: names of systemd units
    :ivar commands: by the service's name, the command that reloads it
    """

    also_reload: tuple[str, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Channel:
    """One way to reach people: a line of ``[notify]``."""

    name: str
    url: str = field(repr=False)
    events: frozenset[str] = frozenset(options.EVENTS) - {"success"}
    min_severity: str = "info"
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Config:
    """Everything guard.ini says. ``server_usable`` false: no server may be stopped."""

    path: Path
    missing: bool = False
    server: ServerConfig = ServerConfig()
    server_usable: bool = True
    channels: tuple[Channel, ...] = ()
    apprise_configs: tuple[Path, ...] = ()
    messages: MessagesConfig = MessagesConfig()
    watch: WatchConfig = WatchConfig()
    deploy: DeployConfig = DeployConfig()
    heartbeat_url: Optional[str] = field(default=None, repr=False)
    metrics_textfile: Optional[Path] = None
    state_dir: Optional[Path] = None
    certbot_config_dirs: tuple[Path, ...] = ()
    certbot_logs_dir: Optional[Path] = None
    problems: tuple[Problem, ...] = ()

    def with_overrides(self, mode: Optional[str] = None, max_outage: Optional[str] = None) -> Config:
        """The same, with what certbot's command line says. :raises GuardError: a value is not usable."""
        server = self.server
        try:
            if mode:
                server = replace(server, mode=options.of_section("server")["mode"].parse(mode))
        except ValueError as error:
            raise GuardError(f"--guard-mode {mode!r} is not usable: write {error}") from error
        try:
            if max_outage:
                server = replace(server, max_outage_seconds=options.positive_duration(max_outage))
        except ValueError as error:
            raise GuardError(f"--guard-max-outage {max_outage!r} is not usable: write {error}") from error
        return replace(self, server=server)
