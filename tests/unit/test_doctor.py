"""Each check of doctor fails for a real reason, and is silent where there is none."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import pytest
from click.testing import CliRunner

from certbot_guard import config as configuration
from certbot_guard import journal, schedule
from certbot_guard.cli import commands
from certbot_guard.crondaemon import Daemon
from certbot_guard.doctor import (
    catalogue,
    mistakes,
    of_disk,
    of_network,
    of_sentinel,
    reaching,
    running,
    showing,
    spelling,
    webroots,
)
from certbot_guard.doctor import host as hosts
from certbot_guard.doctor.check import Check, ok, problem
from certbot_guard.doctor.host import Host
from certbot_guard.doctor.reaching import PLAIN, STARTTLS, TLS, Target
from certbot_guard.doctor.result import Result
from certbot_guard.errors import ConfigtestError, ForeignOwnerError, PairError, ServerError
from certbot_guard.installations import Installation
from certbot_guard.job import Job
from certbot_guard.sender import Sender
from certbot_guard.stakes import Validity
from certbot_guard.units import planning
from certbot_guard.watch.files import Lineage
from tests.support.authority import Authority

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
OURS = Installation(Path("/opt/certbot/bin/certbot"), "pip", Path("/opt/certbot/bin/python"), "5.8.0", True, True)
DEBIAN = Installation(Path("/usr/bin/certbot"), "debian", Path("/usr/bin/python3"), "2.1.0", False, False)
MAIL = "[notify]\nmail = json://127.0.0.1:9/secret-path\n"


@pytest.fixture
def host(tmp_path: Path) -> Callable[..., Host]:
    """A machine on which nothing is wrong, but for what a test says."""
    def make(ini: Optional[str] = MAIL, **parts: Any) -> Host:
        path = tmp_path / "guard.ini"
        if ini is not None:
            path.write_text(f"{ini}\n[state]\ndir = {tmp_path / 'state'}\n")
            path.chmod(0o600)
        one = Host(configuration.load(path), offline=True, config_dir=tmp_path)
        one.now, one.under_systemd = (lambda: NOW), False
        nowhere = tmp_path / "nowhere"
        one.cron = schedule.Places(nowhere, nowhere, [nowhere], [nowhere], nowhere)
        (tmp_path / "cron.d").mkdir(exist_ok=True)
        system = tmp_path / "system"
        one.units = planning.Places(system, [system], tmp_path / "cron.d", tmp_path / "stamps")
        given = {"installations": [OURS], "jobs": [], "started": [], "lineages": [],
                 "cron_daemon": Daemon(), **parts}
        for name, value in given.items():
            setattr(one, name, value)
        return one

    return make


def look(host: Host, id: str) -> list[Result]:
    return list(next(one for one in catalogue.checks() if one.id == id).look(host))


def only(host: Host, id: str) -> Result:
    found = look(host, id)
    assert len(found) == 1 and found[0].id == id, found
    return found[0]


def lineage(name: str = "one.guard.test", **more: Any) -> Lineage:
    known = {"installer": "guard", "authenticator": "standalone", "names": (name,),
             "validity": Validity(NOW + timedelta(days=60), NOW - timedelta(days=30)), **more}
    return Lineage(Path(f"/etc/letsencrypt/renewal/{name}.conf"), name, **known)


def job(command: str = "/opt/certbot/bin/certbot renew --quiet", **more: Any) -> Job:
    known = {"runs_per_month": 60.0, **more}
    line = f"17 4,16 * * * root {command}"
    return Job("/etc/crontab, line 3", Path("/etc/crontab"), 3, line, command, True, "cron", **known)


class Server:
    """A web server that is as a test says."""

    name, identity = "apache2.service", "apache:default"

    def __init__(self, checks: Optional[ServerError] = None, serving: bool = True, claims: Any = True) -> None:
        self._checks, self._serving, self._claims = checks, serving, claims

    def check(self) -> None:
        if self._checks is not None:
            raise self._checks

    def look(self) -> dict[str, Any]:
        return {"serving": self._serving, "sockets": [{"address": "0.0.0.0", "port": 80, "gave": "http"}]}

    def claims(self, port: int, address: str) -> bool:
        if isinstance(self._claims, Exception):
            raise self._claims
        return bool(self._claims)


# -- certbot -----------------------------------------------------------------------------------------------------------


def test_a_machine_without_certbot_is_told_how_to_get_one(host: Any) -> None:
    found = only(host(installations=[]), "certbot-found")
    assert found.status == "problem" and "python3 -m venv /opt/certbot" in found.remedy


@pytest.mark.parametrize("version, status", [
    ("0.27.0", "problem"), ("1.20.0", "problem"), ("1.21.0", "ok"), ("2.1.0", "ok"), ("5.8.0", "ok"),
    ("6.0.0", "warning"), ("", "warning")])
def test_versions_that_were_not_tried_are_named(host: Any, version: str, status: str) -> None:
    assert only(host(installations=[replace(OURS, version=version)]), "certbot-version").status == status


def test_the_certbot_that_the_timer_starts_is_asked_for_the_plugin_not_the_one_beside_us(
        host: Any, tmp_path: Path) -> None:
    there = tmp_path / "certbot"
    there.touch()
    blind = replace(DEBIAN, program=there)
    found = only(host(installations=[OURS], started=[(job(), blind)]), "plugin-visible")
    assert found.status == "problem" and str(there) in found.says and "/etc/crontab, line 3" in found.says
    assert "exits with 0" in found.why and "/opt/certbot/bin/pip install certbot certbot-guard" in found.remedy
    assert only(host(started=[(job(), OURS)]), "plugin-visible").status == "ok"


def test_a_line_whose_certbot_is_not_there_is_named(host: Any) -> None:
    found = look(host(jobs=[job("/opt/gone/bin/certbot renew")]), "plugin-visible")
    assert [one.status for one in found] == ["ok", "warning"] and "/opt/gone/bin/certbot" in found[1].line


def test_a_second_certbot_without_the_plugin_is_a_warning(host: Any) -> None:
    assert only(host(installations=[OURS, DEBIAN]), "one-certbot").status == "warning"
    assert only(host(installations=[OURS, replace(DEBIAN, sees_guard=True)]), "one-certbot").status == "ok"


# -- settings ----------------------------------------------------------------------------------------------------------


def test_without_settings_nobody_is_told(host: Any) -> None:
    found = only(host(ini=None), "settings")
    assert found.status == "problem" and found.remedy == "certbot-guard setup"


def test_an_unknown_key_and_a_mode_that_lets_others_read_are_problems(host: Any, tmp_path: Path) -> None:
    one = host("[server]\nmoed = stop\n" + MAIL)
    assert "moed" in only(one, "settings").says
    one.config.path.chmod(0o644)
    one.config = configuration.load(one.config.path)
    assert any("chmod 600" in found.says for found in look(one, "settings"))
    assert only(host(), "settings").status == "ok"


def test_no_channel_is_a_problem_and_so_is_one_that_apprise_refuses(host: Any) -> None:
    assert only(host(""), "channels").status == "problem"
    found = only(host("[notify]\nmail = mailtoo://user:topsecret@example.com\n"), "channels")
    assert found.status == "problem" and "mailto" in found.says and "topsecret" not in repr(found)
    assert only(host(), "channels").status == "ok"


def test_a_service_to_reload_that_cannot_be_is_a_problem(host: Any) -> None:
    found = look(host("[deploy]\nalso_reload = dovecot\npostfix_command = /opt/gone/postfix reload\n"), "also-reload")
    assert ["dovecot" in one.says or "postfix" in one.says for one in found] == [True, True]
    assert only(host("[deploy]\npostfix_command = /bin/true\n"), "also-reload").status == "ok"


def test_a_textfile_whose_directory_is_not_there_is_a_problem(host: Any, tmp_path: Path) -> None:
    assert only(host(f"[metrics]\ntextfile = {tmp_path}/gone/guard.prom\n"), "metrics-textfile").status == "problem"
    assert only(host(f"[metrics]\ntextfile = {tmp_path}/guard.prom\n"), "metrics-textfile").status == "ok"
    assert not (tmp_path / "guard.prom").exists()


# -- lineages ----------------------------------------------------------------------------------------------------------


def test_a_renewal_configuration_that_certbot_cannot_use_is_a_problem(host: Any) -> None:
    found = look(host(lineages=[lineage(), Lineage(Path("/r/bad.conf"), "bad", error="no authenticator")]), "lineages")
    assert [one.status for one in found] == ["problem"] and "no authenticator" in found[0].says


def test_of_many_faults_ten_are_shown_and_the_rest_is_counted(host: Any) -> None:
    broken = [Lineage(Path(f"/r/{number}.conf"), str(number), error="bad") for number in range(25)]
    found = look(host(lineages=broken), "lineages")
    assert len(found) == 11 and "15 more" in found[-1].says


def test_a_lineage_without_the_guard_is_a_warning_and_one_of_certbot_s_installers_is_not(host: Any) -> None:
    found = only(host(lineages=[lineage(), lineage("two.guard.test", installer="")]), "lineages-guarded")
    assert found.status == "warning" and found.remedy == "certbot-guard adopt --cert-name two.guard.test"
    assert only(host(lineages=[lineage(installer="apache")]), "lineages-guarded").status == "ok"


def made(directory: Path, name: str, certificate: bytes, key: bytes, **more: Any) -> Lineage:
    files = directory / f"{name}.pem", directory / f"{name}.key"
    for path, data in zip(files, (certificate, key)):
        path.write_bytes(data)
    return lineage(name, certificate=files[0], key=files[1], **more)


def test_a_certificate_that_does_not_fit_its_key_is_a_problem(host: Any, tmp_path: Path) -> None:
    authority = Authority()
    (first, key), (second, _) = authority.issue(["a.guard.test"]), authority.issue(["b.guard.test"])
    found = only(host(lineages=[made(tmp_path, "a", first, key), made(tmp_path, "b", second, key)]), "lineage-keys")
    assert found.status == "problem" and "of b does not fit" in found.says
    assert only(host(lineages=[made(tmp_path, "a", first, key)]), "lineage-keys").status == "ok"


def test_a_plugin_that_a_guarded_lineage_needs_and_is_not_there_is_a_problem(host: Any) -> None:
    found = only(host(lineages=[lineage(authenticator="dns-gone")]), "lineage-plugins")
    assert found.status == "problem" and "dns-gone" in found.says


def test_an_expired_certificate_and_one_that_cannot_be_read_are_problems(host: Any) -> None:
    late = lineage("late.guard.test", validity=Validity(NOW - timedelta(days=1), NOW - timedelta(days=91)))
    found = look(host(lineages=[late, lineage("gone.guard.test", validity=None)]), "lineage-expiry")
    assert [one.status for one in found] == ["problem", "problem"]
    assert "has expired" in found[0].says and "cannot be read" in found[1].says
    assert "in 60 days" in only(host(lineages=[lineage()]), "lineage-expiry").says


# -- the web server ----------------------------------------------------------------------------------------------------


def test_a_web_server_that_is_named_and_not_there_is_a_problem(host: Any) -> None:
    assert only(host("[server]\ncontrol = /opt/gone/apachectl\n"), "server-control").status == "problem"


def test_a_host_without_a_web_server_says_so_and_is_left_in_peace(host: Any) -> None:
    one = host("[watch]\nserved = no\n")
    one.environment, one.failures["server"] = {}, ServerError("no apache2ctl, apachectl or httpd was found")
    assert only(one, "server-control").status == "skipped"
    assert only(one, "server-configuration").status == only(one, "server-serving").status == "skipped"
    one.config = replace(one.config, watch=replace(one.config.watch, served="yes"))
    assert only(one, "server-control").status == "warning"


def test_a_configuration_that_fails_and_a_pair_that_does_not_fit_are_told_apart(host: Any) -> None:
    one = host(server=Server(ConfigtestError("Apache's configuration test fails", "AH00526: Syntax error")))
    assert only(one, "server-configuration").status == "problem"
    assert "AH00526" in only(one, "server-configuration").why and only(one, "server-certificates").status == "skipped"
    one = host(server=Server(PairError("/a.pem does not fit its key /b.pem (/etc/apache2/x.conf:3)")))
    assert only(one, "server-configuration").status == "ok" and "x.conf:3" in only(one, "server-certificates").says
    assert only(host(server=Server()), "server-certificates").status == "ok"


def test_a_server_that_does_not_serve_is_a_problem(host: Any) -> None:
    assert only(host(server=Server(serving=False)), "server-serving").status == "problem"
    assert only(host(server=Server()), "server-serving").status == "ok"


def test_a_stranger_on_the_challenge_s_port_is_a_problem(host: Any) -> None:
    stranger = ForeignOwnerError("port 80 belongs to haproxy (pid 812), not to apache2.service", 80, "haproxy")
    assert "haproxy" in only(host(server=Server(claims=stranger), lineages=[lineage()]), "challenge-port").says
    found = only(host(server=Server(), lineages=[lineage(installer="")]), "challenge-port")
    assert found.status == "problem" and found.remedy == "certbot-guard adopt --cert-name one.guard.test"
    assert only(host(server=Server(), lineages=[lineage()]), "challenge-port").status == "ok"
    assert only(host(server=Server(claims=False), lineages=[lineage()]), "challenge-port").status == "ok"
    of_webroot = [lineage(authenticator="webroot")]
    assert only(host(server=Server(), lineages=of_webroot), "challenge-port").status == "skipped"


class VirtualHost:
    def __init__(self, where: str, *names: str, port: int = 80, address: str = "*") -> None:
        self.where, self.names, self.port, self.address = where, names, port, address


def root_of(tmp_path: Path, body: str, secure: str = "", **more: Any) -> dict[str, str]:
    """The web root of one.guard.test where the virtual host on port 80 says ``body``, and that on 443 ``secure``."""
    path = tmp_path / "a.conf"
    path.write_text(f"# first\n<VirtualHost *:80>\n{body}\n</VirtualHost>\n"
                    f"<VirtualHost *:443>\n{secure}\n</VirtualHost>\n")
    second = 4 + body.count("\n") + 1
    hosts = [VirtualHost(f"{path}:2", "one.guard.test", **more),
             VirtualHost(f"{path}:{second}", "one.guard.test", port=443)]
    return dict(webroots.Webroots(hosts).of_lineage(lineage(), 80))


@pytest.mark.parametrize("body", [
    'ServerName one.guard.test\nDocumentRoot "{www}"\nErrorLog /var/log/x.log',
    "DocumentRoot {www}\n<Directory {www}>\nRequire all granted\nAllowOverride None\n</Directory>"])
def test_a_plain_document_root_is_a_web_root(tmp_path: Path, body: str) -> None:
    (tmp_path / "www").mkdir()
    assert root_of(tmp_path, body.format(www=tmp_path / "www")) == {"one.guard.test": str(tmp_path / "www")}


@pytest.mark.parametrize("redirect", [
    "Redirect permanent / https://one.guard.test/", 'Redirect / "https://one.guard.test/"',
    "RewriteEngine on\nRewriteCond %{SERVER_NAME} =one.guard.test\n"
    "RewriteRule ^ https://%{SERVER_NAME}%{REQUEST_URI} [END,NE,R=permanent]"])
def test_a_host_that_leads_to_https_has_the_root_of_that_one(tmp_path: Path, redirect: str) -> None:
    (tmp_path / "www").mkdir()
    root = f"DocumentRoot {tmp_path / 'www'}\nSSLEngine on"
    assert root_of(tmp_path, redirect, root) == {"one.guard.test": str(tmp_path / "www")}


@pytest.mark.parametrize("doubt", [
    "ProxyPass / http://127.0.0.1:3000/", "RewriteRule ^ /index.php [L]", "Alias /.well-known /srv/other",
    "Include other.conf",
    "Use Macro", "<Location />\nRequire all granted\n</Location>", "<If \"true\">\n</If>", "Require valid-user",
    "Redirect permanent / https://other.guard.test/", "DocumentRoot ${ROOT}", "DocumentRoot /nonexistent/www",
    "<Directory /srv>\nRequire ip 10.0.0.0/8\n</Directory>", "ErrorDocument 404 /x \\\n more"])
def test_where_there_is_a_doubt_nothing_is_said(tmp_path: Path, doubt: str) -> None:
    (tmp_path / "www").mkdir()
    assert root_of(tmp_path, f"DocumentRoot {tmp_path / 'www'}\n{doubt}") == {}


def test_a_host_that_leads_to_another_name_has_no_root_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    redirect = "Redirect permanent / https://other.guard.test/"
    assert root_of(tmp_path, redirect, f"DocumentRoot {tmp_path / 'www'}") == {}


def test_a_name_that_no_host_has_is_answered_by_the_first_one_of_the_port(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    logs = "ErrorLog ${APACHE_LOG_DIR}/error.log\nCustomLog ${APACHE_LOG_DIR}/access.log combined"
    debians = f"DocumentRoot {tmp_path / 'www'}\n{logs}"
    (tmp_path / "a.conf").write_text(f"<VirtualHost *:80>\n{debians}\n</VirtualHost>\n")
    first = VirtualHost(f"{tmp_path}/a.conf:1", "www.localhost")

    def of(*others: Any) -> dict[str, str]:
        return dict(webroots.Webroots([first, *others]).of_lineage(lineage(), 80))

    assert of() == {"one.guard.test": str(tmp_path / "www")}
    assert of(VirtualHost("/nonexistent:1", "two.guard.test"), VirtualHost("/nonexistent:1", "b", port=443)) == of()
    assert of(VirtualHost("/nonexistent:1", "two.guard.test", "*.guard.test")) == {}
    assert dict(webroots.Webroots([VirtualHost("/nonexistent:1", "x"), first]).of_lineage(lineage(), 80)) == {}


def test_hosts_by_address_and_wildcards_are_a_doubt_too(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    body = f"DocumentRoot {tmp_path / 'www'}"
    assert root_of(tmp_path, body, address="192.0.2.1") == {}
    assert dict(webroots.Webroots([]).of_lineage(lineage(names=("*.guard.test",)), 80)) == {}


def test_the_command_is_one_that_the_certbot_there_knows() -> None:
    roots, two = {"one.guard.test": "/srv/a b"}, {"one.guard.test": "/a", "www.guard.test": "/b"}
    one = lineage(names=("one.guard.test",))
    assert webroots.command(one, roots, ("/bin/certbot", "5.8.0")) == (
        "/bin/certbot reconfigure --cert-name one.guard.test --webroot -w '/srv/a b'")
    assert webroots.command(one, roots, ("/bin/certbot", "2.1.0")) == (
        "/bin/certbot certonly --cert-name one.guard.test --webroot -w '/srv/a b' -d one.guard.test --installer guard "
        "--force-renewal")
    assert "certonly" in webroots.command(one, two, ("/bin/certbot", "5.8.0"))
    assert "-w /a -d one.guard.test -w /b -d www.guard.test" in webroots.command(one, two, ("/bin/certbot", "5.8.0"))


def test_a_standalone_lineage_that_could_do_without_is_a_warning_with_the_command(
        host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.conf").write_text(f"<VirtualHost *:80>\nDocumentRoot {tmp_path}\n</VirtualHost>\n")
    hosts = webroots.Webroots([VirtualHost(f"{tmp_path}/a.conf:1", "one.guard.test")])
    monkeypatch.setattr(webroots.Webroots, "of_server", classmethod(lambda cls, server: hosts))
    found = only(host(server=Server(), lineages=[lineage()]), "standalone-avoidable")
    assert found.status == "warning"
    assert found.instead.startswith("/opt/certbot/bin/certbot reconfigure --cert-name one.guard.test --webroot -w ")
    hosts = webroots.Webroots([])
    assert only(host(server=Server(), lineages=[lineage("x.guard.test")]), "standalone-avoidable").status == "ok"


# -- what starts certbot, and us ---------------------------------------------------------------------------------------


def test_a_machine_on_which_nothing_starts_certbot_gets_a_line_that_is_fine(host: Any) -> None:
    found = only(host(), "renewal-scheduled")
    assert found.status == "problem" and found.instead == (
        "17 4,16 * * * root /opt/certbot/bin/certbot-guard run --retry-for 6h -- "
        "/opt/certbot/bin/certbot renew --quiet")
    assert only(host(jobs=[job()]), "renewal-scheduled").status == "ok"


def test_a_timer_that_is_off_is_a_problem_with_the_command(host: Any) -> None:
    def ask(command: Any, seconds: float) -> str:
        return "Id=certbot.timer\nActiveState=inactive\nLoadState=loaded\n"

    one = host(ask=ask, under_systemd=True, jobs=[job(timer="certbot.timer", active=False)])
    assert only(one, "renewal-scheduled").remedy == "systemctl enable --now certbot.timer"


@pytest.mark.parametrize("rate, status", [
    (60.0, "ok"), (730.0, "ok"), (30.0, "warning"), (1.0, "problem"), (None, "ok")])
def test_twice_a_day_is_well_and_once_a_month_is_not(host: Any, rate: Optional[float], status: str) -> None:
    one = host(jobs=[job(runs_per_month=rate)], mistakes=[])
    assert only(one, "renewal-often").status == status


def test_what_is_said_of_a_line_is_not_said_twice(host: Any) -> None:
    one = host(jobs=[job(runs_per_month=1.0)], mistakes=[Result("runs-too-rarely", "problem", "once a month")])
    assert only(one, "renewal-often").status == "skipped"


def test_without_our_cron_file_watch_and_boot_are_missing_and_with_another_they_are_out_of_date(host: Any) -> None:
    one = host()
    assert [only(one, id).status for id in ("watch-timer", "boot-unit")] == ["warning", "warning"]
    assert only(one, "watch-timer").remedy == "certbot-guard units install"
    for file in planning.for_cron(one.config, one.units, 7):
        file.path.write_text(file.content)
        file.path.chmod(0o644)
    assert [only(one, id).status for id in ("watch-timer", "boot-unit")] == ["ok", "ok"]
    path = one.units.cron_d / planning.CRON_FILE
    path.write_text(path.read_text().replace("-I", "-E"))
    assert "not what certbot-guard would write" in only(one, "boot-unit").says


def test_under_systemd_a_timer_that_is_not_enabled_is_a_warning(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from certbot_guard.servers import units as systemd

    one = host(under_systemd=True)
    for file in planning.for_systemd(one.config, one.units):
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_text(file.content)
        file.path.chmod(0o644)
    state = {"UnitFileState": "disabled", "ActiveState": "inactive", "OnFailure": "", "LoadState": "loaded"}
    monkeypatch.setattr(systemd, "show", lambda names, properties: [state for _ in names])
    assert "not enabled" in only(one, "watch-timer").says and "not enabled" in only(one, "boot-unit").says
    (one.units.systemd / "certbot.service").touch()
    assert "nobody is told when certbot.service fails" in only(one, "unit-failure-told").says
    state.update(UnitFileState="enabled", ActiveState="active", OnFailure="certbot-guard-failed@certbot.service")
    assert [only(one, id).status for id in ("watch-timer", "boot-unit", "unit-failure-told")] == ["ok", "ok", "ok"]
    (one.units.systemd / planning.WATCH).write_text(planning.MARK + "\nold\n")
    assert [found.status for found in look(one, "watch-timer")] == ["ok", "warning"]


def test_a_sentinel_that_cannot_be_imported_is_a_problem(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(host(), "sentinel-can-start").status == "ok"
    monkeypatch.setattr(of_sentinel, "_MODULE", "certbot_guard_that_is_gone")
    found = only(host(), "sentinel-can-start")
    assert found.status == "problem" and "certbot_guard_that_is_gone" in found.says


def test_the_mistake_of_a_line_is_a_result_of_its_own(host: Any) -> None:
    line = "apachectl graceful-stop && certbot renew --force-renewal && apachectl start"
    found = look(host(jobs=[job(line, runs_per_month=1.0)]), "mistakes")
    assert {"cron-stop-and-start", "force-renewal"} <= {one.id for one in found}
    assert only(host(jobs=[job("/opt/certbot/bin/certbot-guard run -- /opt/certbot/bin/certbot renew --quiet")],
                     lineages=[lineage()]), "mistakes").status == "ok"


# -- disk --------------------------------------------------------------------------------------------------------------


def test_a_state_directory_that_others_can_write_to_is_a_problem(host: Any, tmp_path: Path) -> None:
    one = host()
    assert {found.status for found in look(one, "state-directory")} == {"ok"} and not (tmp_path / "state").exists()
    tmp_path.chmod(0o777)
    assert look(one, "state-directory")[0].status == "problem"


def test_a_damaged_state_database_is_a_problem_and_none_is_made(host: Any, tmp_path: Path) -> None:
    one = host()
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    before = sorted(tmp_path.rglob("*"))
    ours = [found for found in look(one, "state-database") if str(tmp_path) in found.says]
    assert ours == [] and sorted(tmp_path.rglob("*")) == before
    journal.Journal.open(state).close()
    assert str(state) in "".join(found.says for found in look(one, "state-database") if found.status == "ok")
    with sqlite3.connect(state / journal.FILE) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    assert any("newer certbot-guard" in found.says for found in look(one, "state-database"))
    (state / journal.FILE).write_bytes(b"not a database at all, and long enough" * 50)
    assert any(found.status == "problem" for found in look(one, "state-database"))


def _statvfs(free: int, inodes: int, flag: int = 0) -> Any:
    #                            bsize frsize blocks bfree bavail files ffree favail flag namemax
    return os.statvfs_result((4096, 1, 10**12, free, free, 10**6, inodes, inodes, flag, 255))


def test_a_disk_without_room_and_one_that_is_read_only_are_problems(host: Any) -> None:
    one = host(file_systems=[("/etc/letsencrypt", _statvfs(5 * 1024**2, 10**5)), ("/var/log", _statvfs(10**12, 5)),
                             ("/run", _statvfs(50 * 1024**2, 10**5)), ("/srv", _statvfs(10**12, 10**5, os.ST_RDONLY))])
    assert [found.status for found in look(one, "disk-space")] == ["problem", "problem", "warning", "ok"]
    assert "/srv" in only(one, "file-systems").says
    assert only(host(), "file-systems").status == "ok" and of_disk.file_systems(host())


# -- network -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Callable[[bytes], int]]:
    """Servers that say something to whoever connects, and end: their ports."""
    sockets: list[socket.socket] = []

    def serve(says: bytes) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def answer() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(says)
                    connection.settimeout(2)
                    try:
                        while b"\r\n" in connection.recv(4096) and says.startswith(b"220"):
                            connection.sendall(b"250-here\r\n250 8BITMIME\r\n")
                    except OSError:
                        pass

        threading.Thread(target=answer, daemon=True).start()
        return int(listening.getsockname()[1])

    yield serve
    for one in sockets:
        one.shutdown(socket.SHUT_RDWR)
        one.close()


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def test_a_closed_port_a_host_without_tls_and_mail_without_starttls_are_not_reached(server: Any) -> None:
    assert "refused" in reaching.why_not(Target("127.0.0.1", _closed_port(), PLAIN), {})
    assert reaching.why_not(Target("127.0.0.1", server(b""), PLAIN), {}) == ""
    assert "TLS fails" in reaching.why_not(Target("127.0.0.1", server(b"HTTP/1.0 400 no\r\n" * 9), TLS), {})
    greeting = b"220 mail.guard.test ESMTP\r\n"
    assert reaching.why_not(Target("127.0.0.1", server(greeting), PLAIN, mail=True), {}) == ""
    assert "STARTTLS" in reaching.why_not(Target("127.0.0.1", server(greeting), STARTTLS, mail=True), {})
    assert "mail server" in reaching.why_not(Target("127.0.0.1", server(b"hello\r\n"), PLAIN, mail=True), {})


def test_a_proxy_is_what_has_to_be_reached_where_there_is_one(server: Callable[[bytes], int]) -> None:
    environment = {"https_proxy": f"http://user:topsecret@127.0.0.1:{server(b'')}"}
    assert reaching.why_not(Target("api.guard.test", 443), environment) == ""
    environment = {"https_proxy": f"http://user:topsecret@127.0.0.1:{_closed_port()}"}
    reason = reaching.why_not(Target("api.guard.test", 443), environment)
    assert "refused" in reason and "topsecret" not in reason
    assert reaching.why_not(Target("127.0.0.1", server(b""), PLAIN), {**environment, "no_proxy": "127.0.0.1"}) == ""


def test_a_channel_that_cannot_be_reached_is_named_without_its_secret(host: Any) -> None:
    one = host(f"[notify]\nhook = json://user:topsecret@127.0.0.1:{_closed_port()}/topsecret\n")
    assert only(one, "channels-reachable").status == "skipped"  # --offline
    one.offline = False
    found = only(one, "channels-reachable")
    assert found.status == "problem" and "'hook'" in found.says and "topsecret" not in repr(found)


def test_a_dead_man_s_switch_that_cannot_be_reached_is_named_without_its_path(host: Any, server: Any) -> None:
    one = host(f"[heartbeat]\nurl = http://127.0.0.1:{_closed_port()}/topsecret\n")
    one.offline = False
    found = only(one, "heartbeat-reachable")
    assert found.status == "problem" and "topsecret" not in repr(found)
    one = host(f"[heartbeat]\nurl = http://127.0.0.1:{server(b'')}/topsecret\n")
    one.offline = False
    assert only(one, "heartbeat-reachable").status == "ok"


@pytest.mark.parametrize("answer, reason", [
    (b"HTTP/1.0 200 OK\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\n\r\n{\"newOrder\": \"https://x\"}", ""),
    (b"HTTP/1.0 200 OK\r\n\r\n<html>", "no ACME directory"), (b"HTTP/1.0 200 OK\r\n\r\n[]", "no ACME directory"),
    (b"HTTP/1.0 503 no\r\n\r\n", "503"), (b"nonsense\r\n", "BadStatusLine")])
def test_what_a_ca_answers_is_judged(host: Any, server: Any, answer: bytes, reason: str) -> None:
    url = f"http://127.0.0.1:{server(answer)}/dir"
    one = host(lineages=[lineage(server=url), lineage("two.guard.test", server=url)])
    one.offline, one.environment = False, {}
    found = only(one, "acme-directory")
    assert found.status == ("problem" if reason else "ok") and reason in found.says
    if not reason:
        assert of_network.ask_directories(one)[0][2] == NOW


def test_a_clock_that_differs_from_the_ca_s_is_a_problem(host: Any) -> None:
    one = host(directories=[("https://ca.guard.test/", "", NOW + timedelta(hours=3))])
    one.offline = False
    assert "3 hours behind" in only(one, "clock").says
    one = host(directories=[("https://ca.guard.test/", "", NOW + timedelta(minutes=4))])
    one.offline = False
    assert only(one, "clock").status == "ok"


def test_a_clock_before_the_newest_certificate_and_one_that_nothing_keeps_are_named(host: Any) -> None:
    young = lineage(validity=Validity(NOW + timedelta(days=100), NOW + timedelta(days=10)))
    assert only(host(lineages=[young]), "clock").status == "problem"
    for said, status in (("NTPSynchronized=no", "warning"), ("NTPSynchronized=yes", "ok"), ("", "skipped")):
        one = host(under_systemd=True, ask=lambda command, seconds, said=said: said)
        assert only(one, "clock").status == status


# -- running and showing -----------------------------------------------------------------------------------------------


def test_a_check_that_breaks_or_hangs_is_a_result_and_the_others_are_made(host: Any) -> None:
    ends = threading.Event()

    def breaks(_: Host) -> Any:
        raise RuntimeError("with topsecret in it")

    def hangs(_: Host) -> Any:
        ends.wait(20)
        return []

    checks = [Check("a", "", "", breaks), Check("b", "", "", hangs), Check("c", "", "", lambda _: [ok("c", "well")])]
    began = time.monotonic()
    found = running.run(host(), checks, seconds=0.3)
    ends.set()
    assert time.monotonic() - began < 5
    assert [(one.id, one.status) for one in found] == [("a", "warning"), ("b", "warning"), ("c", "ok")]
    assert "could not be checked: certbot-guard's own RuntimeError" in found[0].says and "topsecret" not in repr(found)
    assert "could not be checked: it took longer" in found[1].says


def test_a_part_of_the_host_is_made_once_and_its_failure_is_remembered() -> None:
    made: list[int] = []

    class Broken(Host):
        @hosts.Once
        def part(self) -> Any:
            made.append(1)
            raise OSError("gone")

    one = Broken(configuration.load(Path("/nonexistent/guard.ini")))
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            print(one.part)
    assert made == [1]


WRONG = Result("cron-stop-and-start", "problem", "stops the server first", "/etc/crontab, line 3",
               "* * * * * root a && b\x1b[2J", "a long reason " * 20, "put this instead",
               "17 4,16 * * * root " + "x" * 150)


def test_what_is_to_be_copied_is_never_wrapped_and_the_rest_is() -> None:
    shown = list(showing.lines([ok("lineages", "two"), WRONG], 60, colour=False))
    assert WRONG.instead in shown
    assert all(len(line) <= 60 for line in shown if "x" * 150 not in line and "* * *" not in line)
    assert "\x1b" not in "".join(shown) and shown[-1] == "1 problem; 1 ok, 0 skipped."


def test_of_several_faults_of_one_line_the_line_and_what_to_put_instead_are_shown_once() -> None:
    other = replace(WRONG, id="force-renewal", says="orders at every run")
    shown = list(showing.lines([WRONG, other], 60, colour=False))
    assert shown.count(WRONG.instead) == 1 and sum("root a" in line for line in shown) == 1
    assert shown.index(WRONG.instead) > shown.index("    where: the same line")
    shown = list(showing.lines([WRONG, replace(other, instead="something else")], 60, colour=False))
    assert WRONG.instead in shown and "something else" in shown


def test_colour_is_there_only_where_it_is_wanted() -> None:
    assert "\x1b[31m" in "".join(showing.lines([WRONG], 80, colour=True))
    assert "\x1b" not in "".join(showing.lines([WRONG], 80, colour=False))


def test_json_has_every_field_and_nothing_a_terminal_acts_on() -> None:
    said = showing.as_json([WRONG], False)
    assert "\x1b" not in said
    found = json.loads(said)
    assert found["version"] == 1 and found["ok"] is False
    assert Result(**found["results"][0]) == WRONG


def test_identifiers_are_there_once_and_are_plain_words() -> None:
    ids = catalogue.identifiers()
    assert len(set(ids)) == len(ids) and all(one.replace("-", "").isalpha() and one.islower() for one in ids)


# -- the command -------------------------------------------------------------------------------------------------------


def run(tmp_path: Path, *arguments: str) -> Any:
    return CliRunner().invoke(commands, ["--config", str(tmp_path / "guard.ini"), "doctor", "--offline", *arguments])


def test_a_problem_is_exit_code_1_and_a_warning_is_with_strict_alone(tmp_path: Path) -> None:
    assert run(tmp_path, "--only", "settings").exit_code == 1
    tmp_path.joinpath("guard.ini").write_text(MAIL)
    tmp_path.joinpath("guard.ini").chmod(0o600)
    assert run(tmp_path, "--only", "settings").exit_code == 0
    (tmp_path / "renewal").mkdir()
    authority = Authority()
    certificate, key = authority.issue(["a.guard.test"])
    (tmp_path / "a.pem").write_bytes(certificate)
    (tmp_path / "a.key").write_bytes(key)
    names = "".join(f"{kind} = {tmp_path}/a.{'key' if kind == 'privkey' else 'pem'}\n"
                    for kind in ("cert", "privkey", "chain", "fullchain"))
    (tmp_path / "renewal/a.conf").write_text(f"{names}[renewalparams]\nauthenticator = standalone\n")
    unguarded = run(tmp_path, "--only", "lineages-guarded", "--config-dir", str(tmp_path))
    assert unguarded.exit_code == 0 and f"--config {tmp_path}/guard.ini adopt --cert-name a" in unguarded.output
    assert run(tmp_path, "--only", "lineages-guarded", "--config-dir", str(tmp_path), "--strict").exit_code == 1


def test_checks_are_chosen_by_identifier_and_an_unknown_one_is_a_usage_error(tmp_path: Path) -> None:
    said = json.loads(run(tmp_path, "--json", "--only", "settings", "--only", "clock", "--skip", "clock").output)
    assert [one["id"] for one in said["results"]] == ["settings"]
    assert run(tmp_path, "--only", "nonsense").exit_code == 2
    assert run(tmp_path, "--only", "certbot-auto").exit_code == 0


def test_list_names_every_check_and_looks_at_nothing(tmp_path: Path) -> None:
    found = run(tmp_path, "--list")
    assert found.exit_code == 0
    for one in [*catalogue.checks(), *mistakes.MISTAKES]:
        assert f"  {one.id}: " in found.output


def test_doctor_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "guard.ini").write_text(f"{MAIL}[state]\ndir = {tmp_path}/state\n")
    (tmp_path / "guard.ini").chmod(0o600)
    (tmp_path / "renewal").mkdir()
    before = {path: (path.lstat().st_mtime_ns, path.lstat().st_mode) for path in tmp_path.rglob("*")}
    run(tmp_path)
    assert {path: (path.lstat().st_mtime_ns, path.lstat().st_mode) for path in tmp_path.rglob("*")} == before


def test_remedies_name_programs_that_a_shell_finds(tmp_path: Path) -> None:
    certbot = tmp_path / "certbot"
    certbot.write_text("")
    found = [problem("boot-unit", "x", remedy="certbot-guard units install"), problem("y", "x", remedy="see: certbot "
                                                                                      "renew -v")]
    said = [one.remedy for one in spelling.spelled(found, Path("/etc/letsencrypt/guard.ini"), certbot, lambda _: None)]
    assert said == [f"{Path(sys.executable).with_name('certbot-guard')} units install", f"see: {certbot} renew -v"]


def test_crontabs_without_a_cron_are_a_warning(host: Callable[..., Host]) -> None:
    found = only(host(jobs=[job()], cron_daemon=None), "renewal-scheduled")
    assert found.status == "warning" and "no cron" in found.says


def test_an_identifier_that_is_not_there_is_met_with_the_nearest(tmp_path: Path) -> None:
    said = run(tmp_path, "--only", "plugin-visble")
    assert said.exit_code == 2 and "did you mean plugin-visible?" in said.output


@pytest.mark.parametrize("sender, status, said", [
    (Sender("nobody", False), "ok", "messages are sent as nobody"),
    (Sender("root", True, "/root/ca.pem cannot be read by the user nobody"), "warning",
     "messages are sent as root: /root/ca.pem cannot be read by the user nobody"),
    (Sender("nobody", False, "the user nobody may become root again here"), "warning",
     "messages are sent as nobody: the user nobody may become root again here")])
def test_as_whom_messages_are_sent(host: Any, sender: Sender, status: str, said: str) -> None:
    found = only(host(sender=sender), "sent-unprivileged")
    assert (found.status, found.says) == (status, said) and bool(found.remedy) == (status == "warning")
    assert only(host(ini=""), "sent-unprivileged").status == "skipped"
