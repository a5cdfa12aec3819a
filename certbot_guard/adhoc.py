"""The installer verbs under which a person sits in front of certbot: install, run, enhance. No run, no sentinel.

What goes wrong here is said to that person, as certbot's own plugin errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from certbot import errors
from certbot.display import util as display

from certbot_guard import config as configuration
from certbot_guard import launch, servers
from certbot_guard.errors import ServerError
from certbot_guard.interfaces import IWebServer


def _server(config: Any) -> IWebServer:
    named = getattr(config, "guard_config", None)
    path = Path(named) if named else configuration.default_path(Path(config.config_dir))
    settings = configuration.load(path)
    if not settings.server_usable:
        raise errors.PluginError("; ".join(problem.text for problem in settings.problems) or f"{path} cannot be used")
    try:
        return servers.find(settings.server, launch.surroundings())
    except ServerError as error:
        raise errors.PluginError(str(error)) from error


def reload(config: Any) -> None:
    """:raises certbot.errors.PluginError: the server was not, or could not be, reloaded safely."""
    try:
        _server(config).reload()
    except ServerError as error:
        raise errors.PluginError(_with_detail(error)) from error


def config_test(config: Any) -> None:
    """:raises certbot.errors.MisconfigurationError: the server would not start with the files on disk."""
    try:
        _server(config).check()
    except ServerError as error:
        raise errors.MisconfigurationError(_with_detail(error)) from error


def advise(config: Any, domain: str, key_path: str, fullchain_path: str) -> None:
    """Say which virtual host already serves this certificate, or which two lines to add, and where."""
    lines = f"SSLCertificateFile {fullchain_path}\nSSLCertificateKeyFile {key_path}"
    try:
        certificates = getattr(_server(config), "certificates", None)
        found = certificates() if certificates else []
    except (errors.PluginError, ServerError) as error:
        display.notify(f"certbot-guard could not read the web server's configuration ({error}). "
                       f"The virtual host of {domain} needs these lines:\n{lines}")
        return
    live = Path(fullchain_path).parent
    serving = [pair for pair in found if Path(pair.certificate).parent == live]
    if serving:
        display.notify(f"{domain}: the certificate is already configured in "
                       + ", ".join(f"{pair.file} line {pair.line}" for pair in serving))
        return
    display.notify(f"{domain}: no virtual host uses {live} yet. certbot-guard does not edit the web server's "
                   f"configuration; add these lines to the virtual host of {domain}, and reload:\n{lines}")


def _with_detail(error: ServerError) -> str:
    return f"{error}\n{error.detail}" if error.detail else str(error)
