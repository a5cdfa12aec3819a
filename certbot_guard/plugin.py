"""The certbot installer ``guard``. Imported by every certbot command: imports almost nothing, and cannot fail.

What it does for a lineage is in :mod:`certbot_guard.session`, which is loaded when a lineage is to be renewed.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Callable, Iterable, List, Optional, Union

from certbot import errors, interfaces, util
from certbot.plugins import common

from certbot_guard import __version__
from certbot_guard.capture import Capture

logger = logging.getLogger(__name__)

# The verbs under which certbot asks a CA for a certificate; under the others there is nothing to guard.
_RENEWING = ("renew", "certonly", "run", "reconfigure")


class _Process:
    """What lives as long as this certbot process: certbot makes a new instance of the plugin for each lineage."""

    capture: Optional[Capture] = None
    session: Any = None


def _listen() -> None:
    """Hear certbot's log and its exit, once. Anything wrong here must not be certbot's problem."""
    if _Process.capture is not None:
        return
    try:
        _Process.capture = Capture()
        for name in ("certbot", "acme"):
            logging.getLogger(name).addHandler(_Process.capture)
        util.atexit_register(_at_exit)
    except Exception:
        logger.debug("certbot-guard cannot listen to certbot", exc_info=True)


def _at_exit() -> None:
    try:
        if _Process.session is not None or (_Process.capture is not None and _Process.capture.pending):
            _session().ended()
        elif _Process.capture is not None and _Process.capture.processing and _business_is_left():
            _session().ended()
    except Exception:
        logger.debug("certbot-guard at certbot's exit", exc_info=True)


def _business_is_left() -> bool:
    """Something that was told still stands, or waits to be told: a run with nothing due may show that it is over."""
    from certbot_guard import business

    return business.is_left(sys.argv[1:])


def _session() -> Any:
    if _Process.session is None:
        from certbot_guard.session import Session

        _listen()
        _Process.session = Session(_Process.capture or Capture())
    return _Process.session


class Installer(common.Plugin, interfaces.Installer, interfaces.RenewDeployer):
    """Lets challenges through Apache or stops it for them, brings it back whatever happens, tells of failures."""

    description = ("Lets challenges pass through Apache, or stops and starts it for them, and tells people of every "
                   "failure")

    @classmethod
    def add_parser_arguments(cls, add: Callable[..., None]) -> None:
        add("config", default=None, metavar="PATH",
            help="The notification and server settings. (default: guard.ini in certbot's configuration directory)")
        add("mode", default=None, metavar="MODE",
            help="auto (a challenge that needs Apache's port passes through it, and Apache is stopped only where that "
                 "does not work), proxy (the same, and people are told where it does not), stop (Apache is stopped for "
                 "every challenge) or reload (never). Overrides the settings file.")
        add("max-outage", default=None, metavar="TIME",
            help="The longest time Apache may be stopped, such as 5m or 90s. Overrides the settings file.")
        _listen()

    def more_info(self) -> str:
        return (f"certbot-guard {__version__}. Its settings are in guard.ini in certbot's configuration directory; "
                "'certbot-guard recover' brings back an Apache that a killed run left stopped.")

    def prepare(self) -> None:
        """The lineage may be renewed, with our hooks registered for it.

        :raises certbot.errors.NoInstallationError: the guard was not asked for by name, it only was a candidate.
        :raises certbot.errors.Error: the lineage is refused, since Apache could not be started again.
        """
        if "guard" not in (self.config.installer, self.config.configurator):
            raise errors.NoInstallationError("certbot-guard is used by name only: --installer guard")
        if self.config.verb not in _RENEWING:
            return
        try:
            _session().prepare(self.config)
        except errors.PluginError as error:  # certbot would renew without us and forget that we were asked for
            raise errors.Error(str(error)) from error
        except errors.Error:
            raise
        except Exception as error:
            # A bug of ours is not the reason for a renewal to fail. Nothing is stopped; people hear of it.
            logger.debug("certbot-guard in prepare()", exc_info=True)
            logger.warning("certbot-guard's own error, this lineage is not guarded: %s: %s", type(error).__name__, error)
            _put("guard-error", where="prepare", error=f"{type(error).__name__}: {error}")

    def renew_deploy(self, lineage: interfaces.RenewableCert, *args: Any, **kwargs: Any) -> None:
        try:
            _session().deployed(lineage.lineagename)
        except Exception:
            logger.debug("certbot-guard in renew_deploy()", exc_info=True)

    def restart(self) -> None:
        """Apache has loaded what is on disk, or people are told why not.

        :raises certbot.errors.PluginError: under install and the like, where a person is there to read it.
        """
        if self.config.verb in ("renew", "certonly"):
            self._restart_and_tell()
        else:
            self._restart_or_raise()

    def _restart_and_tell(self) -> None:
        session = _session()
        others_own = session.reloads_by_another
        try:
            session.restart()
        except Exception as error:
            if others_own:
                raise  # what certbot without us would have said
            logger.debug("certbot-guard in restart()", exc_info=True)
            _put("guard-error", where="restart", error=f"{type(error).__name__}: {error}")

    def _restart_or_raise(self) -> None:
        from certbot_guard import adhoc

        adhoc.reload(self.config)

    def deploy_cert(self, domain: str, cert_path: str, key_path: str, chain_path: str, fullchain_path: str) -> None:
        """Says which virtual host serves this certificate already, or which lines to add where. Edits nothing."""
        from certbot_guard import adhoc

        adhoc.advise(self.config, domain, cert_path, key_path, fullchain_path)

    def get_all_names(self) -> Iterable[str]:
        return []

    def enhance(self, domain: str, enhancement: str, options: Optional[Union[List[str], str]] = None) -> None:
        raise errors.PluginError(f"certbot-guard does not change Apache's configuration, so it cannot add {enhancement}")

    def supported_enhancements(self) -> List[str]:
        return []

    def save(self, title: Optional[str] = None, temporary: bool = False) -> None:
        """There is nothing to save: Apache's configuration is not ours to edit."""

    def rollback_checkpoints(self, rollback: int = 1) -> None:
        """There are no checkpoints."""

    def recovery_routine(self) -> None:
        """There is nothing to revert."""

    def config_test(self) -> None:
        """:raises certbot.errors.MisconfigurationError: Apache would not start with the files on disk."""
        from certbot_guard import adhoc

        adhoc.config_test(self.config)


def _put(kind: str, **fields: Any) -> None:
    if _Process.capture is not None:
        _Process.capture._put(kind, **fields)


def _declare() -> None:
    """certbot before 2.0 asks zope.interface, later ones the abstract classes: declare both where there are both.

    IInstaller is absent in 2.0 and an empty shim later (facts measured on 1.12 to 5.8).
    """
    try:
        contract = getattr(interfaces, "IInstaller", None)
        factory = getattr(interfaces, "IPluginFactory", None)
        if contract is None or not hasattr(contract, "implementedBy"):
            return
        from zope.interface import classImplements, directlyProvides

        classImplements(Installer, contract)
        if factory is not None:
            directlyProvides(Installer, factory)
    except Exception:
        logger.debug("certbot-guard: zope.interface declaration", exc_info=True)


_declare()
