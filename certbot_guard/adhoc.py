"""The installer verbs under which a person sits in front of certbot: install, run, enhance. No run, no sentinel.

What goes wrong here is said to that person, as certbot's own plugin errors.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Iterable

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


def advise(config: Any, domain: str, cert_path: str, key_path: str, fullchain_path: str) -> None:
    """Say which virtual host already uses this certificate, or which two lines to add, and where."""
    lines = f"SSLCertificateFile {_quoted(fullchain_path)}\nSSLCertificateKeyFile {_quoted(key_path)}"
    try:
        hosts = getattr(_server(config), "hosts", list)()  # Apache has them, other servers need not
    except (errors.PluginError, ServerError) as error:
        display.notify(f"certbot-guard could not read the web server's configuration ({error}). "
                       f"The virtual host of {domain} needs these lines:\n{lines}")
        return
    own = [host for host in hosts if any(fnmatchcase(domain.lower(), name) for name in host.names)]
    files = {os.path.realpath(path) for path in (cert_path, fullchain_path) if path}
    with_tls = [host for host in own if host.tls] or [host for host in hosts if host.tls and not host.names]
    lacking = [host for host in with_tls if not files & {os.path.realpath(path) for path in host.certificates}]
    if with_tls and not lacking:
        display.notify(f"{domain}: its virtual host ({_places(with_tls)}) already uses this certificate.")
        return
    if lacking:
        where = f"to its virtual host ({_places(lacking)}), in place of the certificate named there"
    elif own:
        where = f"and 'SSLEngine on' to a virtual host for port 443; there is one without TLS ({_places(own)})"
    else:
        where = "and 'SSLEngine on' to a virtual host for port 443; there is none of that name yet"
    display.notify(f"{domain}: certbot-guard does not edit the web server's configuration. Add these lines {where}, "
                   f"and reload the web server:\n{lines}")


def _places(hosts: Iterable[Any]) -> str:
    return ", ".join(host.place for host in hosts)


def _quoted(path: str) -> str:
    return f'"{path}"' if any(character.isspace() for character in path) else path


def _with_detail(error: ServerError) -> str:
    return f"{error}\n{error.detail}" if error.detail else str(error)
