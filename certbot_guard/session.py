"""The guard's part inside one certbot process: opens the run, prepares lineages, reloads Apache, sees certbot out.

Loaded when a lineage is to be renewed, not before. Writes down what certbot did; whatever stops or starts Apache is
another process. No :class:`certbot.errors.PluginError` leaves this module: certbot would renew without the guard and
forget it was asked for (facts in docs/flow.md).
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn, Optional

from certbot import errors as certbot_errors

from certbot_guard import (
    __version__,
    control,
    deployment,
    hookset,
    invocation,
    launch,
    lineages,
    passage,
    proxied,
    serverlock,
    servers,
    statedir,
)
from certbot_guard import config as configuration
from certbot_guard.capture import Capture
from certbot_guard.errors import GuardError, ServerError, StateError
from certbot_guard.interfaces import IWebServer
from certbot_guard.run import Run, boot_id, new_id, open_windows, unfinished, unreadable, utc_now
from certbot_guard.servers import processes, sockets
from certbot_guard.supervise import holding

logger = logging.getLogger(__name__)

_CLOSE_PATIENCE_SECONDS = 120.0
# Authenticators that answer through the running web server, or need none: stopping it would not help them.
_NEED_APACHE_UP = ("webroot", "apache", "nginx")
GIVE_UP_SIGNAL = signal.SIGUSR2
_DEPLOY_ENVIRONMENT = ("RENEWED_DOMAINS", "RENEWED_LINEAGE")
_HAS_ENDED = "it has ended since the challenge began, not by certbot-guard; it loads the certificate when it starts"


class Session:
    """One per certbot process. Every public method is safe to call whatever failed before it."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.run: Optional[Run] = None
        self.config: Optional[configuration.Config] = None
        self.server: Optional[IWebServer] = None
        self.server_problem = ""
        self.run_problem = ""
        self._opened = False
        self._number = 0
        self._window: Optional[int] = None  # the lineage's window that may be open now
        self._window_lineage = ""
        self._proxied = proxied.Proxied(self._note)
        self.lineage = ""
        self._own_installer: Optional[Any] = None
        self._in_file: Optional[configuration.Config] = None  # before a lineage's options override it
        self._option_problem = ""
        self._several_challenges = False
        self._without_deploy_hook: Optional[dict[str, Optional[str]]] = None
        self._certbot_config_dir = Path("/etc/letsencrypt")

    # -- prepare() -------------------------------------------------------------------------------------------

    def prepare(self, config: Any) -> None:
        """This lineage can be renewed, and our hooks are registered for it.

        :raises certbot.errors.Error: it is refused, and the sentence says why. Apache keeps running.
        """
        self._certbot_config_dir = Path(config.config_dir)
        if not self._opened:
            self._opened = True
            self._open(config)
        self._close_window("next lineage")
        self._window = None
        self._proxied.end(self.run, self.server, "next lineage")
        self._number += 1
        # certbot then tries again with the names that passed, in a second challenge
        self._several_challenges = bool(getattr(config, "allow_subset_of_names", False))
        self._apply_options(config)
        facts = self._lineage_facts(config)
        self.lineage = facts["lineage"]
        stop = self._decide(config, facts)
        why_not = self._let_through(config, facts) if stop else None
        if why_not == "":
            stop = False
        if stop and self.run is not None and self.run.has("overdue"):
            self._note("not-attempted", lineages=[self.lineage], reason="max_outage had passed in this run")
            raise certbot_errors.Error(
                f"certbot-guard does not stop {self._server_name()} again for {self.lineage}: an earlier lineage of "
                "this run kept it stopped until max_outage. It is tried again with the next run.")
        if why_not:
            self._refuse_what_is_down(facts)  # the reload for the passage may have ended it
        if stop:
            self._refuse_what_would_not_come_back(facts)
        if why_not:
            self._proxied.say_it_is_stopped(facts["lineage"], why_not, asked_for=self.config.server.mode == "proxy")
        self._register(config, facts, stop)

    def _open(self, config: Any) -> None:
        """The run is recorded and watched, or :attr:`run_problem` says why nothing may be stopped."""
        said = invocation.read(sys.argv[1:])
        guard_config = _option(config, "guard_config")
        path = Path(guard_config) if guard_config else configuration.default_path(Path(config.config_dir))
        self.config = configuration.load(path)
        self._in_file = self.config
        self._apply_options(config)
        self._find_server()
        bases = statedir.every_directory(self.config.state_dir)
        self._settle_stale(bases)
        facts = _facts(config.verb, said, Path(config.config_dir), Path(config.logs_dir), path, bool(config.dry_run))
        facts.update(server=servers.pinned(self.config.server, self.server).to_json() if self.server else None,
                     server_name=self._server_name(), report_only=False)
        try:
            self.run = Run.create(bases, facts, alive=True)
        except StateError as error:
            self.run_problem = str(error)
            logger.warning("certbot-guard: %s; no web server is stopped in this run.", error)
            self._note("guard-error", where="state", error=str(error))
            return
        self.capture.flush_to(self._note)
        self.capture.challenge_over = self.challenge_over
        self.capture.lineage_failed = self.lineage_failed
        for problem in self.config.problems:
            logger.warning("certbot-guard: %s", problem.text)
            self._note("config-problem", text=problem.text)
        if not self.config.channels and not self.config.apprise_configs:
            logger.warning("certbot-guard: nobody is told of failures but the system log. Add a line such as 'email = "
                           "mailtos://user:password@smtp.example.com?to=you@example.com' to [notify] in %s%s.", path,
                           ", which does not exist" if self.config.missing else "")
        if self.server is not None:
            problem = launch.start_sentinel(self.run)
            if problem:
                self.run_problem = problem
                self._note("guard-error", where="sentinel", error=problem)
        self._listen_for_give_up()

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

    def _apply_options(self, config: Any) -> None:
        mode, limit = _option(config, "guard_mode"), _option(config, "guard_max_outage")
        self._option_problem = ""
        try:
            self.config = self._in_file.with_overrides(mode=mode, max_outage=limit)
        except GuardError as error:
            self.config, self._option_problem = self._in_file, str(error)

    def _find_server(self) -> None:
        if not self.config.server_usable:
            problems = [problem.text for problem in self.config.problems]
            self.server_problem = "; ".join(problems) or f"{self.config.path} cannot be used"
            return
        try:
            self.server = servers.find(self.config.server, launch.surroundings())
        except ServerError as error:
            self.server_problem = str(error)

    def _server_name(self) -> str:
        return self.server.name if self.server is not None else "the web server"

    def _lineage_facts(self, config: Any) -> dict[str, Any]:
        config_dir = Path(config.config_dir)
        shown = self.capture.processing if config.verb == "renew" else None
        name = config.certname or (lineages.resolve(config_dir, shown) if shown else None)
        names = [str(domain) for domain in (config.domains or [])]
        port, address = hookset.own_listener(config)
        name = name or (names[0] if names else "a new certificate")
        expires = lineages.not_after(config_dir, name)
        return {"lineage": name, "names": names, "authenticator": _authenticator(config),
                "ports": [port], "address": address,
                "not_after": expires.isoformat() if expires else None}

    def _decide(self, config: Any, facts: dict[str, Any]) -> bool:
        """Does this lineage need the web server stopped?

        :raises certbot.errors.Error: the port it needs belongs to somebody who is not ours to stop.
        """
        mode = self.config.server.mode
        if mode == "reload" or facts["authenticator"] in _NEED_APACHE_UP:
            return False
        if mode == "stop":
            facts["always"] = True
            return True
        if facts["authenticator"] != "standalone":
            return False
        self._refuse_what_is_down(facts)
        if self.server is None or self._option_problem:
            if self._port_is_free(facts):
                return False
            self._refuse(facts, self._option_problem or self.server_problem or "the web server is not known", "")
        # Another certbot may have its own challenge on that port now, with our server stopped: wait for its window.
        try:
            lock = serverlock.take(self.server.identity, self.config.server.max_outage_seconds + 60.0)
        except StateError as error:
            if self._port_is_free(facts):
                return False  # no lock can be had, and none is needed
            self._refuse(facts, str(error), "")
        if lock is None:
            self._refuse(facts, "another certbot run has it stopped, or has its own challenge pass through it, "
                         "and did not end in time", "")
        try:
            return any([self.server.claims(port, facts["address"]) for port in facts["ports"]])
        except ServerError as error:
            self._refuse(facts, str(error), error.detail)
        finally:
            os.close(lock)
        return False

    def _let_through(self, config: Any, facts: dict[str, Any]) -> Optional[str]:
        """``""``: the challenge passes through the running server. A sentence: why it does not; None: nobody tried."""
        limit = self.config.server.max_outage_seconds
        if self.config.server.mode == "stop" or self.server is None or self._option_problem:
            return None
        if self.run is None or self.run_problem:
            return None
        try_anyway = bool(config.dry_run)  # how a person finds out whether it works by now
        return self._proxied.begin(self.run, self.server, config, self._number, facts, limit + 60.0, try_anyway)

    def _refuse_what_is_down(self, facts: dict[str, Any]) -> None:
        if self._is_stopped():
            self._refuse(facts, "it went down earlier in this run and does not start; that is tried again and again "
                         "until it does", "")

    @staticmethod
    def _port_is_free(facts: dict[str, Any]) -> bool:
        return not any(sockets.listening_pids(port) or sockets.is_listening(port) for port in facts["ports"])

    def _refuse_what_would_not_come_back(self, facts: dict[str, Any]) -> None:
        """Promise 2: what cannot be started is not stopped."""
        if self.run is None or self.run_problem:
            self._refuse(facts, self.run_problem or "the run could not be recorded", "")
        if self.server is None or self._option_problem:
            self._refuse(facts, self._option_problem or self.server_problem or "the web server is not known", "")
        try:
            self.server.check()
        except ServerError as error:
            self._refuse(facts, str(error), error.detail)
        if not self.run.sentinel_lives() and launch.start_sentinel(self.run):
            self._refuse(facts, "the sentinel is gone, so nobody could bring the web server back", "")

    def _refuse(self, facts: dict[str, Any], reason: str, detail: str) -> NoReturn:
        self._note("refused", lineage=facts["lineage"], names=facts["names"], reason=reason, detail=detail)
        sentence = f"certbot-guard leaves {self._server_name()} running and does not renew {facts['lineage']}: {reason}"
        raise certbot_errors.Error(sentence + (f"\n{detail}" if detail else ""))

    def _register(self, config: Any, facts: dict[str, Any], stop: bool) -> None:
        own = hookset.own_hooks(config)
        chained = dict(own)
        if own["pre_hook"] in self.capture.ran or hookset.in_directory(
                config, own["pre_hook"], config.renewal_pre_hooks_dir):
            chained["pre_hook"] = None
        if hookset.in_directory(config, own["deploy_hook"], config.renewal_deploy_hooks_dir):
            chained["deploy_hook"] = None
        self._keep_installer(config, facts["lineage"])
        self._without_deploy_hook = None
        self._note("lineage", number=self._number, window=self._number if stop else None, needs_stop=stop,
                   own_hooks=chained, **facts)
        self._window, self._window_lineage = (self._number if stop else None), facts["lineage"]
        if self.run is None or not stop:
            return  # nothing is stopped for this lineage, so there is nothing for a hook to do

        def hook(kind: str, name: str) -> str:
            ours = launch.hook_command(kind, self.run, self._number)
            return hookset.AndGuard(ours, chained[name]) if chained[name] else ours

        # One post hook for the whole run, unless the user has one: certbot runs each distinct command once.
        post = hook("post", "post_hook") if own["post_hook"] else launch.hook_command("post", self.run, None)
        if hookset.directory_hooks(config, "pre"):
            # They run before our hook does, and may themselves stop the web server.
            control.ask(self.run, {"do": "look", "window": self._number}, _CLOSE_PATIENCE_SECONDS)
        if not own["deploy_hook"] and not hookset.directory_hooks(config, "deploy"):
            self._without_deploy_hook = {name: os.environ.get(name) for name in _DEPLOY_ENVIRONMENT}
        hookset.register(config, hook("pre", "pre_hook"), hook("deploy", "deploy_hook"), post)

    def _keep_installer(self, config: Any, lineage: str) -> None:
        path = Path(config.config_dir) / "renewal" / f"{lineage}.conf"
        named = lineages.value(path, "installer")
        self._own_installer = None
        if named and named not in ("guard", "None"):
            hookset.keep_installer(config, named)
            self._own_installer = (named, config)

    # -- while certbot works ---------------------------------------------------------------------------------

    def challenge_over(self) -> None:
        """certbot's challenge server closes in a moment: Apache may start. Called from its log, so it never waits."""
        if self.run is not None and self._window is not None and not self._several_challenges:
            control.tell(self.run, {"do": "close", "by": "challenge", "window": self._window})

    def lineage_failed(self, lineage: str) -> None:
        """Apache serves as before when certbot looks at the next lineage, guarded or not."""
        self._close_window("failure")
        self._proxied.end(self.run, self.server, "failure")

    def _close_window(self, by: str) -> None:
        if self.run is None or self._window is None:
            return
        window, self._window = self._window, None
        if control.ask(self.run, {"do": "close", "by": by, "window": window}, _CLOSE_PATIENCE_SECONDS) is None:
            self._bring_back()

    def _bring_back(self) -> None:
        """No sentinel any more: a process of its own does what it would have done."""
        try:
            launch.start_settle(self.run, "--bring-back").wait(_CLOSE_PATIENCE_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            self._note("guard-error", where="bring back", error=str(error))

    def _listen_for_give_up(self) -> None:
        """max_outage: the sentinel's signal ends the lineage that holds the port, by an error certbot understands."""
        def give_up(_number: int, _frame: Any) -> None:
            if self._window is not None:
                raise certbot_errors.Error(
                    f"certbot-guard gave {self._window_lineage} up: its challenge kept {self._server_name()} stopped "
                    "for nearly max_outage")

        try:
            signal.signal(GIVE_UP_SIGNAL, give_up)
        except ValueError:  # not in the main thread: the sentinel's next step is SIGINT
            pass

    # -- after a certificate ---------------------------------------------------------------------------------

    def deployed(self, lineage: str) -> None:
        """A new certificate of this lineage is on disk."""
        for name, value in (self._without_deploy_hook or {}).items():
            _restore(name, value)
        self.lineage = lineage
        expires = lineages.not_after(self._config_dir(), lineage)
        self._note("deployed", lineage=lineage, not_after=expires.isoformat() if expires else None)

    def restart(self) -> None:
        """Apache has loaded the new certificate, or people are told why not. Never raises for a reload.

        :raises Exception: what the lineage's own installer (apache, nginx) raises when it reloads its server.
        """
        if not self._proxied.is_open:
            return self._load()
        passage.withdraw(self.run)  # so that the reload for the certificate is the one that ends the passage, too
        try:
            with passage.watched(self.run, self.server, self._number, self.lineage):
                self._load_unless_it_has_ended()
        finally:
            # Another installer's reload is not waited for, or is that of another server.
            forgotten = any(event["kind"] == "reloaded" and event.get("lineage") == self.lineage and not event.get("by")
                            for event in self.run.events())
            self._proxied.end(self.run, self.server, "restart", forgotten)

    def _load_unless_it_has_ended(self) -> None:
        """Its end is somebody else's doing: it is left so, and people hear of it, since it served when this began."""
        if self._own_installer is None and self._has_ended():
            deployment.not_reloaded("reload-failed", _HAS_ENDED, "", self._server_name(), self.lineage, self._note)
        else:
            self._load()

    def _has_ended(self) -> bool:
        try:
            return self.server is not None and not self._is_stopped() and not self.server.look()["serving"]
        except Exception:  # a controller's trouble is no sign of an end
            return False

    def _load(self) -> None:
        if self._own_installer is not None:
            name, config = self._own_installer
            deployment.by_installer(name, config, self._server_name(), self.lineage, self._note)
            return
        if self.server is None:
            deployment.not_reloaded("reload-refused", self.server_problem or "no web server was found", "",
                                   self._server_name(), self.lineage, self._note)
            return
        deployment.load_new_certificate(self.server, self._server_name(), self._config_dir(), self.lineage, self._note,
                                       is_stopped=self._is_stopped)

    def _is_stopped(self) -> bool:
        return bool(self.run and open_windows(self.run.events()))

    def _config_dir(self) -> Path:
        return self._certbot_config_dir

    # -- the end ---------------------------------------------------------------------------------------------

    def ended(self) -> None:
        """certbot's exit: settle in a process of its own, and wait for it, since certbot's unit ends with us."""
        self._proxied.let_go()  # settle ends a passage that is still open
        run = self.run or self._report()
        if run is None:
            return
        if not run.note("exit"):
            control.tell(run, {"do": "exit"})
        _wait_for(launch.start_settle(run, *([] if run.directory.is_dir() else ["--tell"])))
        for event in run.events():
            if event["kind"] == "nobody-told":  # the last that cron, or whoever looks at certbot's output, hears of it
                logger.error("certbot-guard: nobody could be told of this: %s. %s. It is kept and tried again; see: "
                             "certbot-guard outbox", event.get("title"), "; ".join(event.get("reasons") or ())
                             or "There is no system log either")

    def _report(self) -> Optional[Run]:
        """certbot failed and no lineage was ours, or none was reached: a run that only tells people.

        So is one with nothing due, where what was told earlier still stands, or still waits.
        """
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
        self.capture.flush_to(lambda kind, fields: run.note(kind, **fields))
        return run

    def _note(self, kind: str, fields: Optional[dict] = None, **more: Any) -> None:
        if self.run is not None:
            self.run.note(kind, **{**(fields or {}), **more})
        else:
            self.capture.pending.append((kind, {**(fields or {}), **more}))


def _wait_for(settling: subprocess.Popen, patience_seconds: float = 120.0) -> None:
    deadline = time.monotonic() + patience_seconds
    while settling.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


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


def _restore(name: str, value: Optional[str]) -> None:
    """certbot leaves in its environment what it tells a deploy hook; ours must not show later, in a hook of the user's."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _option(config: Any, name: str) -> Optional[str]:
    return getattr(config, name, None) or None


def _authenticator(config: Any) -> str:
    if config.authenticator:
        return str(config.authenticator)
    flags = ("standalone", "webroot", "manual", "apache", "nginx")
    return next((name for name in flags if getattr(config, name, False)), config.configurator or "")
