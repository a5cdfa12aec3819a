"""The web server as it is now: which one, whether it serves, and what it shows visitors; all of it in a bounded time.

Looks, and starts or stops nothing. It is asked in a thread that is left alone when the time is over, and the program
that it runs then, such as a configuration test, is killed: what has not been found out by then is not known.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

from certbot_guard import text
from certbot_guard.config import Config
from certbot_guard.errors import GuardError
from certbot_guard.overview.shown import Key, Served, compare
from certbot_guard.servers import execute

# For all of it, where nobody asked for more: then some places may not be looked at.
A_LOOK_SECONDS = 4.0
_AGAIN_SECONDS = 1.5
_EACH_SECONDS = 5.0
_SPARE_SECONDS = 0.2


@dataclass(frozen=True)
class Server:
    """:ivar name: nothing where none was found
    :ivar serving: None where that is not known
    :ivar unit_file_state: systemd's word, where it is a unit
    :ivar words: why something is not known, one sentence
    """

    name: str = ""
    serving: Optional[bool] = None
    unit_file_state: str = ""
    words: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"name": text.line(self.name, 200) or None, "serving": self.serving, "words": self.words or None}


@dataclass
class Look:
    """What was found until the time was over.

    :ivar served: by lineage; one that is not in it is shown nowhere, if ``complete``
    :ivar complete: every place that there is was looked at
    :ivar words: why not
    """

    server: Server = Server(words="it did not answer in time")
    served: dict[Key, Served] = field(default_factory=dict)
    complete: bool = False
    words: str = ""


class Looking:
    """A look under way."""

    def __init__(self, config: Config, config_dirs: Sequence[Path], now: datetime, seconds: float, served: bool,
                 find: Optional[Callable[..., Any]] = None) -> None:
        self._config, self._dirs, self._now, self._served, self._find = config, config_dirs, now, served, find
        self._ends = time.monotonic() + seconds
        self._snapshot: dict[str, Any] = {}
        self._found = Look(words=f"there was no time left to look ({seconds:.0f} s)")
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        atexit.register(execute.abandon, self._thread)  # also where somebody pressed Ctrl-C

    def result(self) -> Look:
        """What is known by the end of the time; at once where all of it is."""
        self._thread.join(max(0.0, self._ends - time.monotonic()))
        found = self._found  # replaced as a whole at each step, never changed
        execute.abandon(self._thread)
        return found

    def _look(self) -> None:
        try:
            self._look_carefully()
        except Exception as error:  # a look that fails says so, and the others are shown
            self._say(f"it could not be looked at: {text.line(error, 200)}")

    def _say(self, words: str) -> None:
        self._found = Look(Server(self._found.server.name, self._found.server.serving,
                                  self._found.server.unit_file_state, words), words=words)

    def _look_carefully(self) -> None:
        controller: Any = None
        if self._config.watch.served == "no":
            self._say("not looked at: guard.ini says [watch] served = no")
        elif not self._config.server_usable:
            self._say("guard.ini does not say which one: see certbot-guard check")
        else:
            controller = self._look_at_server()
        if not self._served:
            self._found = Look(self._found.server, words="not asked for")
        elif controller is not None or self._config.watch.endpoints:
            self._found = self._ask(controller if self._found.server.serving else None)

    def _look_at_server(self) -> Any:
        from certbot_guard import servers

        try:
            controller = (self._find or servers.find)(self._config.server, dict(os.environ))
        except GuardError as error:
            self._say(f"none was found: {text.line(error, 200)}")
            return None
        seen = controller.look()
        if not seen["serving"] and time.monotonic() + _AGAIN_SECONDS * 2 < self._ends:
            time.sleep(_AGAIN_SECONDS)  # a restart is no outage
            seen = controller.look()
        self._snapshot = seen
        server = Server(str(controller.name), bool(seen["serving"]), str(seen.get("unit_file_state") or ""))
        self._found = Look(server, words=self._found.words if server.serving else "the web server does not serve")
        return controller

    def _ask(self, controller: Any) -> Look:
        from certbot_guard.watch import sites, tls
        from certbot_guard.watch.ondisk import Disk, on_disk

        disk = Disk([lineage for config_dir in self._dirs for lineage in on_disk(config_dir)])
        hosts = sites.of_server(controller, disk, self._snapshot) if controller is not None else sites.Sites()
        named = [tls.Place(one.host, one.port, one.asked, one.starttls, "[watch] endpoints")
                 for one in self._config.watch.endpoints]
        places = [*hosts.places, *named]
        left = max(0.0, self._ends - time.monotonic() - _SPARE_SECONDS - len(places) / 1000)
        shown = tls.look(places, left, each_seconds=min(_EACH_SECONDS, left))
        served = compare([(one, number < len(hosts.places)) for number, one in enumerate(shown)], disk, self._now)
        missed = sum(not one.asked for one in shown) + hosts.left_out
        words = hosts.problem or ("" if controller is not None else self._found.words)
        if missed and not words:
            words = f"{missed} of {len(places) + hosts.left_out} places were not looked at: the time was over"
        return Look(self._found.server, served, controller is not None and not words, text.line(words, 300))
