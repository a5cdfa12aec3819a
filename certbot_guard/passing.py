"""What a command of ours found outside a run of certbot, told in the same way as a run's news.

A :class:`Pass` has what :func:`certbot_guard.telling.tell` needs of a run, in memory: what was told of which trouble is
remembered by the journal, and whoever looks again finds the trouble again.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Iterator, Optional

from certbot_guard import __version__, flock, invocation, statedir
from certbot_guard.config import Config
from certbot_guard.errors import StateError
from certbot_guard.interfaces import IWebServer
from certbot_guard.run import boot_id, new_id, utc_now

_LOCK = "pass.lock"


class Pass:
    """The news of one command, in memory.

    :ivar recorded: it goes into the history of runs, too
    """

    def __init__(self, verb: str, config: Config, config_dir: Path, recorded: bool = False,
                 now: Optional[datetime] = None, **facts: Any) -> None:
        began = now or utc_now()
        self.recorded = recorded
        self.config = config
        self.facts: dict[str, Any] = {
            "id": new_id(began), "host": os.uname().nodename, "verb": verb, "dry_run": False,
            "argv": ["certbot-guard", *invocation.masked(sys.argv[1:])], "config_dir": str(config_dir),
            "guard_config": str(config.path), "server": config.server.to_json(), "server_name": "",
            "started": began.isoformat(timespec="milliseconds"), "boot_id": boot_id(), "monotonic": time.monotonic(),
            "guard_version": __version__, **facts}
        self.directory = Path("/nonexistent") / self.facts["id"]
        self._events: list[dict[str, Any]] = []
        self._now = now

    @property
    def id(self) -> str:
        return str(self.facts["id"])

    def note(self, kind: str, **fields: Any) -> bool:
        """Append an event, with a number of its own; True."""
        at = (self._now or utc_now()).isoformat(timespec="milliseconds")
        self._events.append({"kind": kind, "at": at, "mono": round(time.monotonic(), 4), **fields, "n": len(self._events)})
        return True

    def events(self) -> list[dict[str, Any]]:
        return list(self._events)

    def has(self, kind: str) -> bool:
        return any(event["kind"] == kind for event in self._events)

    @contextmanager
    def telling(self, patience_seconds: float = 20.0) -> Iterator[bool]:
        """Nobody else's pass is told meanwhile: two that see the same would tell it twice."""
        descriptor: Optional[int] = None
        try:
            descriptor = self._lock(patience_seconds)
            yield descriptor is not None
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _lock(self, patience_seconds: float) -> Optional[int]:
        for base in statedir.state_directories(self.config.state_dir):
            try:
                descriptor = statedir.open_lock(statedir.secure_directory(base) / _LOCK)
            except (OSError, StateError):
                continue
            if flock.taken(descriptor, patience_seconds):
                return descriptor
            os.close(descriptor)
            return None
        return None

    def tell(self, server: Optional[IWebServer] = None, rest: bool = False, outside: Any = None) -> bool:
        """What is news is on a disk as messages, and each channel was tried once; see :func:`telling.tell`."""
        from certbot_guard import telling

        return telling.tell(self, server, rest=rest, outside=outside or telling.Outside())
