"""Which controller guard.ini means, and what it says when there is none."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from zope.interface import implementer
from zope.interface.verify import verifyObject

from certbot_guard import servers
from certbot_guard.config import ServerConfig
from certbot_guard.errors import ServerError
from certbot_guard.interfaces import IWebServer
from certbot_guard.servers import execute, units
from certbot_guard.servers.apache import ApacheServer
from certbot_guard.servers.command import CommandServer
from certbot_guard.servers.systemd import SystemdServer

COMMAND = ServerConfig(control="command", start_command="start it", stop_command="stop it", listen=(80, 443))


@pytest.fixture(autouse=True)
def no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "under_systemd", lambda: False)


@pytest.fixture
def apachectl(tmp_path: Path) -> Path:
    program = tmp_path / "apachectl"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def only(directory: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(execute, "SBIN", ())
    return {"PATH": str(directory)}


def test_auto_finds_a_control_program(apachectl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = servers.find(ServerConfig(), only(apachectl.parent, monkeypatch))
    assert isinstance(server, ApacheServer) and verifyObject(IWebServer, server)
    assert server.name == str(apachectl) and server.identity == f"apache:{apachectl.resolve()}"


def test_auto_finds_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerError, match="guard.ini"):
        servers.find(ServerConfig(), only(tmp_path, monkeypatch))


def test_the_current_directory_is_not_searched(apachectl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(apachectl.parent)
    monkeypatch.setattr(execute, "SBIN", ())
    with pytest.raises(ServerError):
        servers.find(ServerConfig(), {"PATH": ":.:"})


def test_a_path_and_a_name(apachectl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = only(apachectl.parent, monkeypatch)
    assert servers.find(ServerConfig(control=str(apachectl)), {}).name == str(apachectl)
    assert servers.find(ServerConfig(control="apachectl"), environment).name == str(apachectl)
    with pytest.raises(ServerError, match="nosuch"):
        servers.find(ServerConfig(control="nosuch"), environment)


def test_two_ways_to_one_private_instance_have_one_identity(apachectl: Path, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "conf")
    one, other = (
        servers.find(ServerConfig(control=str(apachectl)), {"APACHE_CONFDIR": str(tmp_path / name)})
        for name in ("conf", "link")
    )
    assert one.identity == other.identity


def test_a_server_does_not_inherit_certbots_proxies(apachectl: Path) -> None:
    environment = {
        "HTTP_PROXY": "http://user:secret@x",
        "PATH": "/usr/bin",
        "APACHE_CONFDIR": "/x",
        "LC_ALL": "C",
    }
    server = servers.find(ServerConfig(control=str(apachectl)), environment)
    assert server.instance.environment == {"PATH": "/usr/bin", "APACHE_CONFDIR": "/x", "LC_ALL": "C"}


def test_command() -> None:
    server = servers.find(COMMAND, {})
    assert isinstance(server, CommandServer) and verifyObject(IWebServer, server)
    assert "80 and 443" in server.name


@pytest.mark.parametrize("missing", ["start_command", "stop_command", "listen"])
def test_command_without_what_it_needs(missing: str) -> None:
    facts = {**COMMAND.to_json(), missing: () if missing == "listen" else None}
    with pytest.raises(ServerError, match=missing):
        servers.find(ServerConfig.from_json(facts), {})


def test_a_command_that_cannot_be_split() -> None:
    with pytest.raises(ServerError, match="test_command"):
        servers.find(ServerConfig.from_json({**COMMAND.to_json(), "test_command": "it's"}), {})


def test_a_unit_without_systemd() -> None:
    with pytest.raises(ServerError, match="systemd does not run"):
        servers.find(ServerConfig(control="systemd:apache2"), {})


@pytest.mark.parametrize("name", ["-x.service", "a b.service", "../x.service", "", "a;b.service"])
def test_a_unit_that_cannot_be(name: str) -> None:
    with pytest.raises(ServerError):
        units.full_name(name)


def test_a_systemd_server_fulfils_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        units,
        "show",
        lambda *_: [
            {
                "Id": "apache2@two.service",
                "LoadState": "loaded",
                "ControlGroup": "",
                "ExecStart": "{ path=/usr/sbin/apachectl ; argv[]=/usr/sbin/apachectl start ; }",
                "Environment": "APACHE_CONFDIR=/etc/apache2-two APACHE_STARTED_BY_SYSTEMD=true",
            }
        ],
    )
    server = SystemdServer("apache2@two", {"PATH": os.defpath, "APACHE_ENVVARS": "/certbots/own"})
    assert verifyObject(IWebServer, server) and server.identity == "apache:/etc/apache2-two"
    assert server.instance is not None and "APACHE_ENVVARS" not in server.instance.environment


# -- third parties -------------------------------------------------------------------------------------------


@implementer(IWebServer)
class Fulfils:
    name = identity = "third"

    def __init__(self, config: ServerConfig, environment: dict) -> None:
        self.given = config, environment

    def check(self): ...
    def look(self): ...
    def claims(self, port, address): ...
    def stop(self, snapshot, ports): ...
    def start(self, snapshot, drain_seconds): ...
    def serving(self, snapshot): ...
    def reload(self): ...


@implementer(IWebServer)
class Lacks:
    name = identity = "third"

    def __init__(self, *_: Any) -> None: ...


def breaks(*_: Any) -> None:
    raise RuntimeError("of its own")


def entry_point(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    entry = metadata.EntryPoint("third", f"{__name__}:{value}", servers.ENTRY_POINT_GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda: {servers.ENTRY_POINT_GROUP: [entry]})


def test_a_third_partys_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    entry_point(monkeypatch, "Fulfils")
    config = ServerConfig(control="third")
    assert servers.find(config, {"PATH": "/x"}).given == (config, {"PATH": "/x"})


@pytest.mark.parametrize("value", ["Lacks", "breaks", "nosuch"])
def test_a_third_partys_controller_that_is_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    entry_point(monkeypatch, value)
    with pytest.raises(ServerError, match="control = third") as caught:
        servers.find(ServerConfig(control="third"), {})
    assert value in str(caught.value)
