"""The web servers certbot-guard can control. :func:`find` picks the one that guard.ini means.

Knows nothing of certbot, of runs or of messages. Third parties add a server by an entry point.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional, cast

from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from certbot_guard import entrypoints
from certbot_guard.errors import ServerError
from certbot_guard.interfaces import IWebServer
from certbot_guard.servers import execute, processes, units
from certbot_guard.servers.apache import ApacheServer, find_program
from certbot_guard.servers.command import CommandServer
from certbot_guard.servers.instance import is_apache
from certbot_guard.servers.systemd import SystemdServer

if TYPE_CHECKING:
    from certbot_guard.config import ServerConfig

ENTRY_POINT_GROUP = "certbot_guard.servers"
_SYSTEMD = "systemd:"
# Not for people to write: an Apache that is started by its program, whatever units there are by now.
_PROGRAM = "program:"
_INHERITED = ("PATH", "LANG", "TZ", "HOME", "USER", "LOGNAME", "TMPDIR")
# Debian, Ubuntu, openSUSE; RHEL, Fedora, Arch
_UNITS = ("apache2.service", "httpd.service")


def find(config: ServerConfig, environment: dict[str, str]) -> IWebServer:
    """The controller for ``control`` of ``config``. Stops and starts nothing.

    ``environment`` is certbot's, or the part of it that matters: PATH, APACHE_CONFDIR, APACHE_ENVVARS.

    :raises ServerError: there is no such server; one sentence.
    """
    return cast(IWebServer, _find(config, environment))


def _find(config: ServerConfig, environment: dict[str, str]) -> Any:
    control = config.control.strip()
    given, environment = environment, _for_servers(environment)
    if control == "auto":
        program = find_program(environment)
        if program is None:
            raise ServerError(
                "no apache2ctl, apachectl or httpd was found; name it in guard.ini, [server] control = "
            )
        return _apache(program, environment)
    if control == "command":
        return CommandServer(
            config.start_command,
            config.stop_command,
            config.reload_command,
            config.test_command,
            config.listen,
            environment,
        )
    if control.startswith(_PROGRAM):
        return ApacheServer(control[len(_PROGRAM) :], environment)
    if control.startswith(_SYSTEMD):
        if not execute.under_systemd():
            raise ServerError(f"control = {control}, but systemd does not run here")
        return SystemdServer(control[len(_SYSTEMD) :], environment, config.test_command)
    other = _third_party(control, config, given)
    if other is not None:
        return other
    program = find_program(environment, control)
    if program is None:
        raise ServerError(f"control = {control}: there is no such program, and no plugin of that name")
    return _apache(program, environment)


def pinned(config: ServerConfig, server: Any) -> ServerConfig:
    """The settings that find this very controller again, also when what it controls does not run any more."""
    if isinstance(server, SystemdServer):
        return replace(config, control=f"{_SYSTEMD}{server.unit}")
    if isinstance(server, ApacheServer):
        return replace(config, control=f"{_PROGRAM}{server.instance.program}")
    return config


def _for_servers(environment: dict[str, str]) -> dict[str, str]:
    """What a server may inherit. certbot's HTTP_PROXY is not meant for the programs behind Apache."""
    return {
        name: value
        for name, value in environment.items()
        if name in _INHERITED or name.startswith(("APACHE_", "LC_"))
    }


def _apache(program: str, environment: dict[str, str]) -> Any:
    """This Apache as the unit that it is, or by its program if it is none.

    Under systemd with a known unit nothing but systemctl may start it: it would be killed with certbot's own
    unit.
    """
    server = ApacheServer(program, environment)
    if not execute.under_systemd() or units.systemctl_program() is None:
        return server
    candidate = _unit_of(server.identity)
    if candidate and candidate["ActiveState"] not in ("inactive", "failed"):
        return SystemdServer(candidate["Id"], environment)
    if any(is_apache(pid) for pid in processes.pids()):
        server.instance.know_files()
        parent = server.instance.parent()
        if parent:
            unit = processes.unit(parent) or ""
            # It was started by hand inside somebody's unit (a shell, cron) unless systemd calls it the main
            # process.
            if unit.endswith(".service") and units.show([unit], ["MainPID"])[0].get("MainPID") == str(parent):
                return SystemdServer(unit, environment)
            return server
    return SystemdServer(candidate["Id"], environment) if candidate else server


def _unit_of(identity: str) -> Optional[dict[str, str]]:
    """The state of the distribution's unit for this Apache, an active one first; None if there is none."""
    names: tuple[str, ...] = ()
    if identity == "apache:default":
        names = _UNITS
    elif identity.startswith("apache:/etc/apache2-"):  # Debian's instances
        names = (f"apache2@{identity[len('apache:/etc/apache2-') :]}.service",)
    found = [
        unit
        for unit in units.show(names, ["Id", "LoadState", "ActiveState"])
        if unit.get("LoadState") in ("loaded", "masked")
    ]
    found.sort(key=lambda unit: unit.get("ActiveState") in ("inactive", "failed"))
    return found[0] if found else None


def _third_party(name: str, config: ServerConfig, environment: dict[str, str]) -> Any:
    """The server of the entry point ``name``, called with ``(config, environment)``; None if there is none.

    :raises ServerError: there is one, and it does not fulfil the contract.
    """
    for entry in entrypoints.of_group(ENTRY_POINT_GROUP):
        if entry.name == name:
            try:
                server = entry.load()(config, environment)
                verifyObject(IWebServer, server)
            except Invalid as error:
                raise ServerError(
                    f"control = {name}: {entry.value} is not a web server controller: {error}"
                ) from error
            except ServerError:
                raise
            except Exception as error:
                raise ServerError(f"control = {name}: {entry.value} cannot be loaded: {error}") from error
            return server
    return None
