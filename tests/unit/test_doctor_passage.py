"""doctor says of each standalone lineage whether its challenge will pass through the running Apache, and why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from certbot_guard.doctor import webroots
from certbot_guard.eventlog import EventLog
from certbot_guard.job import Job
from certbot_guard.run import Run, utc_now
from certbot_guard.servers.dump import Dump
from certbot_guard.watch.files import Lineage
from tests.unit import test_proxying_placing
from tests.unit.test_doctor import MAIL, NOW, Server, VirtualHost, host, lineage, only  # noqa: F401 - host is a fixture

NAME = "one.guard.test"


class Apache(Server):
    """One that includes a directory, and has every module."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        directory.mkdir(exist_ok=True)
        self.instance = test_proxying_placing.Instance(directory)

    def reload(self) -> None:
        raise AssertionError("doctor reloads nothing")


@pytest.fixture
def apache(tmp_path: Path) -> Apache:
    return Apache(tmp_path / "conf.d")


def mine(tmp_path: Path, name: str = NAME, **more: Any) -> Lineage:
    one = lineage(name, **more)
    return Lineage(tmp_path / "renewal" / f"{name}.conf", name, installer=one.installer, validity=one.validity,
                   authenticator=one.authenticator, names=one.names, parameters=one.parameters)


def test_a_lineage_that_nothing_keeps_from_it_is_fine_and_named(host: Any, apache: Apache, tmp_path: Path) -> None:
    found = only(host(server=apache, lineages=[mine(tmp_path)]), "passage")
    assert found.status == "ok" and f"keeps serving while {NAME} is renewed" in found.says
    assert list((tmp_path / "conf.d").iterdir()) == []


def test_what_is_not_concerned_is_passed_over(host: Any, apache: Apache, tmp_path: Path) -> None:
    for others in ([mine(tmp_path, authenticator="webroot")], [mine(tmp_path, installer="")], []):
        assert only(host(server=apache, lineages=others), "passage").status == "skipped"
    assert only(host(server=Server(claims=False), lineages=[mine(tmp_path)]), "passage").status == "skipped"


@pytest.mark.parametrize("ini, parameters", [("[server]\nmode = stop\n", {}), ("", {"guard_mode": "stop"})])
def test_a_stop_that_is_wanted_is_said_and_no_warning(host: Any, apache: Apache, tmp_path: Path, ini: str,
                                                      parameters: dict[str, str]) -> None:
    found = only(host(MAIL + ini, server=apache, lineages=[mine(tmp_path, parameters=parameters)]), "passage")
    assert found.status == "ok" and "is stopped for the challenge of" in found.says and "mode = stop" in found.says


def test_no_apache_is_no_warning(host: Any, tmp_path: Path) -> None:
    found = only(host(server=Server(), lineages=[mine(tmp_path)]), "passage")
    assert found.status == "ok" and found.says.endswith("only an Apache can let it pass")


def test_with_mode_reload_nothing_makes_way(host: Any, apache: Apache, tmp_path: Path) -> None:
    ini = f"{MAIL}[server]\nmode = reload\n"
    assert only(host(ini, server=apache, lineages=[mine(tmp_path)]), "passage").status == "problem"
    hooked = mine(tmp_path, parameters={"pre_hook": "systemctl stop apache2"})
    assert only(host(ini, server=apache, lineages=[hooked]), "passage").status == "ok"


def test_a_pre_hook_is_found_wherever_it_is(host: Any, apache: Apache, tmp_path: Path) -> None:
    def why(**parts: Any) -> str:
        found = only(host(server=apache, **{"lineages": [mine(tmp_path)], **parts}), "passage")
        assert found.status == "warning" and "set mode = stop" in found.remedy
        return found.says

    assert "in its renewal configuration" in why(lineages=[mine(tmp_path, parameters={"pre_hook": "true"})])
    said = "certbot renew --pre-hook true"
    assert "/etc/crontab, line 3" in why(jobs=[Job("/etc/crontab, line 3", Path("/etc/crontab"), 3, said, said, True,
                                                   "cron")])
    (tmp_path / "cli.ini").write_text("# pre-hook = no\n")
    assert only(host(server=apache, lineages=[mine(tmp_path)]), "passage").status == "ok"
    (tmp_path / "cli.ini").write_text("email = a@b.example\npre-hook = true\n")
    assert "cli.ini" in why()
    (tmp_path / "cli.ini").unlink()
    (tmp_path / "renewal-hooks" / "pre").mkdir(parents=True)
    assert only(host(server=apache, lineages=[mine(tmp_path)]), "passage").status == "ok"
    (tmp_path / "renewal-hooks" / "pre" / "stop").touch()
    assert "renewal-hooks/pre" in why()


def test_what_the_server_lacks_is_said_once_for_all(host: Any, apache: Apache, tmp_path: Path) -> None:
    two = [mine(tmp_path), mine(tmp_path, "two.guard.test")]
    apache.instance.read.includes.clear()
    found = only(host(server=apache, lineages=two), "passage")
    assert found.status == "warning" and f"{NAME}, two.guard.test" in found.says
    assert "includes no directory" in found.says


def test_a_directory_that_others_write_to_and_a_module_that_is_nowhere_are_named(host: Any, apache: Apache,
                                                                                 tmp_path: Path) -> None:
    apache.instance.dump = Dump(modules=frozenset(("proxy", "setenvif")))
    assert "mod_proxy_http" in only(host(server=apache, lineages=[mine(tmp_path)]), "passage").says
    (tmp_path / "conf.d").chmod(0o777)
    assert "no file is put where" in only(host(server=apache, lineages=[mine(tmp_path)]), "passage").says


def test_a_server_whose_configuration_is_broken_is_another_check_s(host: Any, apache: Apache, tmp_path: Path) -> None:
    apache.instance.broken.append("files")
    assert only(host(server=apache, lineages=[mine(tmp_path)]), "passage").status == "skipped"


def test_how_it_went_last_time_counts(host: Any, apache: Apache, tmp_path: Path) -> None:
    one = host(server=apache, lineages=[mine(tmp_path)])
    base = one.config.state_dir

    def ran(*events: tuple[str, dict[str, Any]]) -> None:
        now = utc_now()
        base.mkdir(mode=0o700, exist_ok=True)
        number = len(list(base.glob("runs/*")))
        run = Run.create([base], {"id": f"{number:04}", "config_dir": str(tmp_path), "started": NOW.isoformat(),
                                  "created": now.isoformat()})
        for kind, fields in events:
            run.record(kind, lineage=NAME, **fields)

    def found() -> Any:
        return only(host(server=apache, lineages=[mine(tmp_path)]), "passage")

    ran(("not-proxied", {"reason": "it has a pre hook, which may stop the web server"}))
    assert found().status == "ok"  # it has none any more
    ran(("not-proxied", {"reason": f"a token did not come through: {NAME} at 192.0.2.7: 403"}))
    assert found().status == "warning" and "192.0.2.7: 403" in found().says
    ran(("proxy-placed", {}), ("deployed", {}))
    assert found().status == "ok"
    ran(("proxy-placed", {}), ("lineage-failed", {"error_type": "certbot.errors.AuthorizationError"}))
    assert found().status == "warning" and "though this machine got every answer" in found().says


def test_a_thousand_lineages_cost_one_look_at_the_port_and_one_at_each_run(
        host: Any, apache: Apache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = host(server=apache, lineages=[mine(tmp_path, f"n{number}.guard.test") for number in range(1000)])
    one.config.state_dir.mkdir(mode=0o700, exist_ok=True)
    for number in range(3):
        run = Run.create([one.config.state_dir], {"id": f"{number:04}", "config_dir": str(tmp_path),
                                                  "started": NOW.isoformat()})
        run.record("proxy-placed", lineage=NAME)
    looks: list[str] = []
    read, claims = EventLog.read, apache.claims
    monkeypatch.setattr(EventLog, "read", lambda log, same_boot: looks.append("run") or read(log, same_boot))
    monkeypatch.setattr(apache, "claims", lambda *place: looks.append("port") or claims(*place))
    found = only(one, "passage")
    assert found.status == "ok" and "keeps serving" in found.says
    assert sorted(looks) == ["port", "run", "run", "run"]


def test_webroot_is_advised_only_where_the_server_would_be_stopped(
        host: Any, apache: Apache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.conf").write_text(f"<VirtualHost *:80>\nDocumentRoot {tmp_path}\n</VirtualHost>\n")
    hosts = webroots.Webroots([VirtualHost(f"{tmp_path}/a.conf:1", NAME)])
    monkeypatch.setattr(webroots.Webroots, "of_server", classmethod(lambda cls, server: hosts))
    assert only(host(server=apache, lineages=[mine(tmp_path)]), "standalone-avoidable").status == "ok"
    # Not guarded yet: adopt comes first, and takes such a hook out.
    hooked = mine(tmp_path, installer="", parameters={"pre_hook": "systemctl stop apache2"})
    assert only(host(server=apache, lineages=[hooked]), "standalone-avoidable").status == "ok"
    hooked = mine(tmp_path, parameters={"pre_hook": "/usr/local/sbin/close-shop"})
    assert only(host(server=apache, lineages=[hooked]), "standalone-avoidable").status == "warning"
    stops = f"{MAIL}[server]\nmode = stop\n"
    assert only(host(stops, server=apache, lineages=[mine(tmp_path)]), "standalone-avoidable").status == "warning"
