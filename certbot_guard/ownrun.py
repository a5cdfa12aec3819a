"""The run of this certbot process, and what it rests on: the settings, the web server, or why there is none of it.

Opened by :mod:`certbot_guard.session` with the first lineage that is to be renewed, or at certbot's exit, where there
is something to tell and nothing was opened. Every other part of the session has it, and writes its events through it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Optional

from certbot_guard import __version__, invocation, launch, servers, statedir
from certbot_guard import config as configuration
from certbot_guard.capture import Capture
from certbot_guard.errors import GuardError, ServerError, StateError
from certbot_guard.interfaces import IWebServer
from certbot_guard.run import Run, boot_id, new_id, open_windows, unfinished, unreadable, utc_now
from certbot_guard.servers import processes
from certbot_guard.supervise import holding

logger = logging.getLogger(__name__)

_BRING_BACK_SECONDS = 120.0


class OwnRun:
    """One per session.

    :ivar run: None before it is opened, and where it could not be recorded
    :ivar run_problem: why nothing may be stopped in this run, or empty
    :ivar config: guard.ini, with what the lineage's own options say instead
    :ivar option_problem: what is wrong with those, or empty
    :ivar server: None where there is none, and :attr:`server_problem` may say why
    :ivar config_dir: certbot's
    """

    def __init__(self, capture: Capture) -> None:
        self.run: Optional[Run] = None
        self.run_problem = ""
        self.config: Optional[configuration.Config] = None
        self.option_problem = ""
        self.server: Optional[IWebServer] = None
        self.server_problem = ""
        self.config_dir = Path("/etc/letsencrypt")
        self._capture = capture
        self._in_file: Optional[configuration.Config] = None  # before a lineage's options override it

    # -- what it knows ---------------------------------------------------------------------------------------

    @property
    def server_name(self) -> str:
        return self.server.name if self.server is not None else "the web server"

    @property
    def is_stopped(self) -> bool:
        """The server may be down because of this run."""
        return bool(self.run and open_windows(self.run.events()))

    def note(self, kind: str, fields: Optional[dict] = None, **more: Any) -> None:
        """Append an event; where there is no run, it waits for one."""
        if self.run is not None:
            self.run.note(kind, **{**(fields or {}), **more})
        else:
            self._capture.pending.append((kind, {**(fields or {}), **more}))

    # -- opening ---------------------------------------------------------------------------------------------

    def open(self, config: Any) -> None:
        """The run is recorded and watched, or :attr:`run_problem` says why nothing may be stopped.

        :param config: certbot's own, of the first lineage
        """
        said = invocation.read(sys.argv[1:])
        guard_config = _option(config, "guard_config")
        path = Path(guard_config) if guard_config else configuration.default_path(Path(config.config_dir))
        self.config = configuration.load(path)
        self._in_file = self.config
        self.take_options(config)
        self._find_server()
        bases = statedir.every_directory(self.config.state_dir)
        self._settle_stale(bases)
        facts = _facts(config.verb, said, Path(config.config_dir), Path(config.logs_dir), path, bool(config.dry_run))
        facts.update(server=servers.pinned(self.config.server, self.server).to_json() if self.server else None,
                     server_name=self.server_name, report_only=False)
        try:
            self.run = Run.create(bases, facts, alive=True)
        except StateError as error:
            self.run_problem = str(error)
            logger.warning("certbot-guard: %s; no web server is stopped in this run.", error)
            self.note("guard-error", where="state", error=str(error))
            return
        self._capture.flush_to(self.note)
        self._say_what_is_wrong_with_the_settings(path)
        self._have_it_watched()

    def _settle_stale(self, bases: list[Path]) -> None:
        """An Apache that a run before us left down serves before we look at it."""
        if not unfinished(bases) and not unreadable(bases):
            return
        try:
            subprocess.run(launch.command("cli", "--config", str(self.config.path), "recover", "--quiet",
                                          "--no-deliver"),
                           cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           timeout=90, check=False, env=launch.surroundings())
        except (OSError, subprocess.SubprocessError) as error:
            logger.debug("certbot-guard: recovering earlier runs: %s", error)

    def take_options(self, config: Any) -> None:
        """What this lineage's own options say counts, or :attr:`option_problem` says why it cannot."""
        mode, limit = _option(config, "guard_mode"), _option(config, "guard_max_outage")
        self.option_problem = ""
        try:
            self.config = self._in_file.with_overrides(mode=mode, max_outage=limit)
        except GuardError as error:
            self.config, self.option_problem = self._in_file, str(error)

    def _find_server(self) -> None:
        if not self.config.server_usable:
            problems = [problem.text for problem in self.config.problems]
            self.server_problem = "; ".join(problems) or f"{self.config.path} cannot be used"
            return
        try:
            self.server = servers.find(self.config.server, launch.surroundings())
        except ServerError as error:
            self.server_problem = str(error)

    def _say_what_is_wrong_with_the_settings(self, path: Path) -> None:
        for problem in self.config.problems:
            logger.warning("certbot-guard: %s", problem.text)
            self.note("config-problem", text=problem.text)
        if not self.config.channels and not self.config.apprise_configs:
            logger.warning("certbot-guard: nobody is told of failures but the system log. Add a line such as 'email = "
                           "mailtos://user:password@smtp.example.com?to=you@example.com' to [notify] in %s%s.", path,
                           ", which does not exist" if self.config.missing else "")

    def _have_it_watched(self) -> None:
        if self.server is not None:
            problem = launch.start_sentinel(self.run)
            if problem:
                self.run_problem = problem
                self.note("guard-error", where="sentinel", error=problem)

    # -- without a lineage -----------------------------------------------------------------------------------

    def to_tell_of(self) -> Optional[Run]:
        """The run. Where no lineage was ours or none was reached, one that only tells people is opened: of a failure,
        or that what was told earlier still stands or waits. None: it is no ``renew``, or there is no guard.ini."""
        if self.run is not None:
            return self.run
        said = invocation.read(sys.argv[1:])
        if said.verb != "renew":
            return None
        path = self.config.path if self.config else said.guard_config
        config = self.config or configuration.load(path)
        if config.missing:
            return None
        facts = _facts("renew", said, said.config_dir, said.logs_dir, path, said.dry_run)
        facts.update(server=config.server.to_json() if config.server_usable else None, server_name="",
                     report_only=True)
        try:
            run = Run.create(statedir.every_directory(config.state_dir), facts, alive=True)
        except (OSError, StateError) as error:
            logger.warning("certbot-guard: %s; people are told of this run's failures once, if they can be reached "
                           "now.", error)
            run = Run.nowhere(facts)
        self._capture.flush_to(lambda kind, fields: run.note(kind, **fields))
        return run

    # -- where the sentinel cannot ---------------------------------------------------------------------------

    def bring_back(self) -> None:
        """A process of its own has tried to start what this run has down; if that one cannot, whoever settles does."""
        try:
            launch.start_settle(self.run, "--bring-back").wait(_BRING_BACK_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            self.note("guard-error", where="bring back", error=str(error))


def _facts(verb: str, said: invocation.Invocation, config_dir: Path, logs_dir: Path, guard_config: Path,
           dry_run: bool) -> dict[str, Any]:
    import certbot

    now = utc_now()
    return {"id": new_id(now), "host": os.uname().nodename, "verb": verb, "argv": invocation.masked(sys.argv[1:]),
            "dry_run": dry_run, "config_dir": str(config_dir), "logs_dir": str(logs_dir),
            "log_file": str(logs_dir / "letsencrypt.log"), "certbot_version": certbot.__version__,
            "guard_version": __version__, "pid": os.getpid(), "pid_start_time": processes.start_time(os.getpid()),
            "started": now.isoformat(timespec="milliseconds"), "boot_id": boot_id(), "monotonic": time.monotonic(),
            "guard_config": os.path.abspath(guard_config), "environment": launch.surroundings(),
            **holding.from_environment()}


def _option(config: Any, name: str) -> Optional[str]:
    return getattr(config, name, None) or None
