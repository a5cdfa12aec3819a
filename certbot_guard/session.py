"""The guard's part inside one certbot process: prepares lineages, reloads Apache, sees certbot out.

Loaded when a lineage is to be renewed, not before. Writes down what certbot did; whatever stops or starts Apache is
another process. No :class:`certbot.errors.PluginError` leaves this module: certbot would renew without the guard and
forget it was asked for (facts in docs/flow.md). Called by the plugin alone. Its parts: the run of this process
(:mod:`~certbot_guard.ownrun`), whether a lineage needs a stop (:mod:`~certbot_guard.need`), its window
(:mod:`~certbot_guard.stopped`) or its passage (:mod:`~certbot_guard.proxied`), and the reload for its certificate
(:mod:`~certbot_guard.deployment`).
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Optional

from certbot_guard import control, hookset, launch, lineages, passage
from certbot_guard.capture import Capture
from certbot_guard.deployment import Deployment
from certbot_guard.need import Need
from certbot_guard.ownrun import OwnRun
from certbot_guard.proxied import Proxied
from certbot_guard.stopped import Stopped

logger = logging.getLogger(__name__)

_DEPLOY_ENVIRONMENT = ("RENEWED_DOMAINS", "RENEWED_LINEAGE")


class Session:
    """One per certbot process. Every public method is safe to call whatever failed before it."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.lineage = ""
        self._own = OwnRun(capture)
        self._need = Need(self._own)
        self._stopped = Stopped(self._own)
        self._proxied = Proxied(self._own)
        self._deployment = Deployment(self._own)
        self._opened = False
        self._number = 0
        self._without_deploy_hook: Optional[dict[str, Optional[str]]] = None

    # -- prepare() -------------------------------------------------------------------------------------------

    def prepare(self, config: Any) -> None:
        """This lineage can be renewed, and our hooks are registered for it.

        :raises certbot.errors.Error: it is refused, and the sentence says why. Apache keeps running.
        """
        self._own.config_dir = Path(config.config_dir)
        if not self._opened:
            self._opened = True
            self._open(config)
        self._stopped.end("next lineage")
        self._proxied.end("next lineage")
        self._number += 1
        self._own.take_options(config)
        facts = self._lineage_facts(config)
        self.lineage = facts["lineage"]
        self._register(config, facts, self._is_to_be_stopped(config, facts))

    def _open(self, config: Any) -> None:
        self.capture.challenge_over = self._stopped.challenge_over
        self.capture.lineage_failed = self.lineage_failed
        self._own.open(config)
        if self._own.run is not None:
            self._stopped.listen_for_give_up()

    def _is_to_be_stopped(self, config: Any, facts: dict[str, Any]) -> bool:
        """Is the server to be stopped for this lineage? If not, its challenge may pass through the server from now on.

        :raises certbot.errors.Error: it would have to be, and may not.
        """
        if not self._need.of_a_stop(facts):
            return False
        why_not = self._proxied.begin(config, self._number, facts)
        if why_not == "":
            return False
        self._need.refuse_after_max_outage(facts)
        if why_not:
            self._need.refuse_what_is_down(facts)  # the reload for the passage may have ended it
        self._need.refuse_what_would_not_come_back(facts)
        if why_not:
            self._proxied.say_it_is_stopped(facts["lineage"], why_not)
        return True

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

    def _register(self, config: Any, facts: dict[str, Any], stop: bool) -> None:
        own = hookset.own_hooks(config)
        chained = dict(own)
        if own["pre_hook"] in self.capture.ran or hookset.in_directory(
                config, own["pre_hook"], config.renewal_pre_hooks_dir):
            chained["pre_hook"] = None
        if hookset.in_directory(config, own["deploy_hook"], config.renewal_deploy_hooks_dir):
            chained["deploy_hook"] = None
        self._deployment.keep_installer(config, facts["lineage"])
        self._without_deploy_hook = None
        self._own.note("lineage", number=self._number, window=self._number if stop else None, needs_stop=stop,
                       own_hooks=chained, **facts)
        run = self._own.run
        if run is None or not stop:
            return  # nothing is stopped for this lineage, so there is nothing for a hook to do
        # With allow_subset_of_names certbot tries again with the names that passed, in a second challenge.
        self._stopped.may_begin(self._number, facts["lineage"], bool(getattr(config, "allow_subset_of_names", False)))

        def hook(kind: str, name: str) -> str:
            ours = launch.hook_command(kind, run, self._number)
            return hookset.AndGuard(ours, chained[name]) if chained[name] else ours

        # One post hook for the whole run, unless the user has one: certbot runs each distinct command once.
        post = hook("post", "post_hook") if own["post_hook"] else launch.hook_command("post", run, None)
        if hookset.directory_hooks(config, "pre"):
            self._stopped.have_the_server_looked_at()
        if not own["deploy_hook"] and not hookset.directory_hooks(config, "deploy"):
            self._without_deploy_hook = {name: os.environ.get(name) for name in _DEPLOY_ENVIRONMENT}
        hookset.register(config, hook("pre", "pre_hook"), hook("deploy", "deploy_hook"), post)

    # -- while certbot works ---------------------------------------------------------------------------------

    def lineage_failed(self, lineage: str) -> None:
        """Apache serves as before when certbot looks at the next lineage, guarded or not."""
        self._stopped.end("failure")
        self._proxied.end("failure")

    # -- after a certificate ---------------------------------------------------------------------------------

    def deployed(self, lineage: str) -> None:
        """A new certificate of this lineage is on disk."""
        for name, value in (self._without_deploy_hook or {}).items():
            _restore(name, value)
        self.lineage = lineage
        expires = lineages.not_after(self._own.config_dir, lineage)
        self._own.note("deployed", lineage=lineage, not_after=expires.isoformat() if expires else None)

    @property
    def reloads_by_another(self) -> bool:
        """The lineage names another installer: what :meth:`restart` raises is that one's, and certbot's to report."""
        return self._deployment.is_by_another

    def restart(self) -> None:
        """Apache has loaded the new certificate, or people are told why not. Never raises for a reload.

        :raises Exception: what the lineage's own installer (apache, nginx) raises when it reloads its server.
        """
        run = self._own.run
        if run is None or not self._proxied.is_open:
            return self._deployment.load(self.lineage)
        passage.withdraw(run)  # so that the reload for the certificate is the one that ends the passage, too
        try:
            with passage.watched(run, self._own.server, self._number, self.lineage):
                self._deployment.load_unless_it_has_ended(self.lineage)
        finally:
            # Another installer's reload is not waited for, or is that of another server.
            forgotten = any(event["kind"] == "reloaded" and event.get("lineage") == self.lineage and not event.get("by")
                            for event in run.events())
            self._proxied.end("restart", forgotten)

    # -- the end ---------------------------------------------------------------------------------------------

    def ended(self) -> None:
        """certbot's exit: settle in a process of its own, and wait for it, since certbot's unit ends with us."""
        self._proxied.let_go()  # settle ends a passage that is still open
        run = self._own.to_tell_of()
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


def _wait_for(settling: subprocess.Popen, patience_seconds: float = 120.0) -> None:
    deadline = time.monotonic() + patience_seconds
    while settling.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def _restore(name: str, value: Optional[str]) -> None:
    """certbot leaves in its environment what it tells a deploy hook; none of it is to show in his later hooks."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _authenticator(config: Any) -> str:
    if config.authenticator:
        return str(config.authenticator)
    flags = ("standalone", "webroot", "manual", "apache", "nginx")
    return next((name for name in flags if getattr(config, name, False)), config.configurator or "")
