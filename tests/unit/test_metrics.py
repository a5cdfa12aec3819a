"""The numbers: what they are of, what a hostile name does to them, and how the file is written."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional

import pytest

from certbot_guard import config as configuration
from certbot_guard import journal as journals
from certbot_guard import metrics, textfile
from certbot_guard.config import Config
from certbot_guard.message import Message
from certbot_guard.standing import Standing
from certbot_guard.standing_rows import Changes
from tests.support.authority import Authority

parser = pytest.importorskip("prometheus_client.parser")

NOW = datetime.now(timezone.utc).replace(microsecond=0)


class Host:
    """A machine's certbot directory, guard.ini and state; certbot itself is played by the test."""

    def __init__(self, directory: Path) -> None:
        directory.chmod(0o700)
        self.directory, self.state = directory / "letsencrypt", directory / "state"
        (self.directory / "renewal").mkdir(parents=True)
        (directory / "logs").mkdir()
        (self.directory / "cli.ini").write_text(f"logs-dir = {directory}/logs\n")
        self.ini = self.directory / "guard.ini"
        self.settings("")
        self.authority = Authority()
        self.state.mkdir(mode=0o700)

    def settings(self, more: str) -> Config:
        self.ini.write_text(f"[notify]\nmail = json://127.0.0.1:9/\n[state]\ndir = {self.state}\n"
                            f"[certbot]\nconfig_dir = {self.directory}\n{more}")
        self.ini.chmod(0o600)
        self.config = configuration.load(self.ini)
        assert not self.config.problems
        return self.config

    def lineage(self, name: str, days_left: float = 60, days: float = 90, more: str = "installer = guard\n") -> None:
        live = self.directory / "live" / name
        live.mkdir(parents=True)
        (live / "cert.pem").write_bytes(self.authority.issue(["a.guard.test"], days_left, days)[0])
        (self.directory / "renewal" / f"{name}.conf").write_text(
            f"version = 5.8.0\n[renewalparams]\nauthenticator = standalone\n{more}")

    @property
    def journal(self) -> journals.Journal:
        return journals.Journal.open(self.state, str(self.ini))

    def run(self, identity: str, hours_ago: float, *kinds: tuple[str, dict[str, Any]], **facts: Any) -> None:
        started = (NOW - timedelta(hours=hours_ago)).isoformat()
        events = [{"kind": kind, "at": started, "mono": float(number), "n": number, **fields}
                  for number, (kind, fields) in enumerate(kinds)]
        book = self.journal
        book.record_run({"id": identity, "started": started, "verb": "renew", "config_dir": str(self.directory),
                         "guard_config": str(self.ini), **facts}, events)
        book.close()

    def numbers(self, serving: Optional[bool] = None) -> dict[tuple[str, ...], float]:
        return numbers(metrics.exposition(self.config, [self.state], None, serving, NOW))


def numbers(text: bytes) -> dict[tuple[str, ...], float]:
    """By a sample's name and its labels but the directory, in the order of their names."""
    found: dict[tuple[str, ...], float] = {}
    for family in parser.text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = [value for name, value in sorted(sample.labels.items()) if name != "config_dir"]
            key = (sample.name[len(metrics.PREFIX):], *labels)
            assert sample.name.startswith(metrics.PREFIX) and key not in found
            found[key] = sample.value
    return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


STOPPED = ("stopping", {"window": 1, "lineage": "a"})


def serving(seconds: float) -> tuple[str, dict[str, Any]]:
    return ("serving", {"window": 1, "outage_seconds": seconds})


def test_a_certificate_is_told_by_when_it_expires_and_how_long_it_lives(host: Host) -> None:
    host.lineage("a", days_left=20, days=90)
    host.lineage("b", more="installer = apache\n")
    found = host.numbers()
    assert abs(found["certificate_not_after_timestamp_seconds", "a"] - (NOW + timedelta(days=20)).timestamp()) < 7200
    assert found["certificate_lifetime_seconds", "a"] == 90 * 86400
    assert (found["certificate_not_after_timestamp_seconds", "a"]
            - found["certificate_not_before_timestamp_seconds", "a"] == 90 * 86400)
    assert (found["lineage_guarded", "a"], found["lineage_guarded", "b"]) == (1, 0)
    assert found["lineage_readable", "a"] == 1


def test_what_cannot_be_read_is_no_zero(host: Host) -> None:
    (host.directory / "renewal" / "broken.conf").write_text("[renewalparams\nx")
    host.lineage("gone")
    (host.directory / "live" / "gone" / "cert.pem").unlink()
    found = host.numbers()
    assert found["lineage_readable", "broken"] == found["lineage_readable", "gone"] == 0
    assert found["lineage_guarded", "gone"] == 1
    assert ("lineage_guarded", "broken") not in found
    assert ("certificate_not_after_timestamp_seconds", "gone") not in found
    assert ("last_run_timestamp_seconds",) not in found and ("web_server_serving",) not in found


@pytest.mark.parametrize("name", ["a\n# TYPE x gauge\nx 1", 'a"} 1\nx{y="', "a\\", "a\\n", "a%0Ab", "é", "\x1b[2J"])
def test_a_hostile_name_is_one_label_and_nothing_else(host: Host, name: str) -> None:
    host.lineage("a%0Ab")
    if name != "a%0Ab":
        host.lineage(name)
    text = metrics.exposition(host.config, [host.state], None, None, NOW)
    assert all(line.startswith((b"certbot_guard_", b"# HELP certbot_guard_", b"# TYPE certbot_guard_"))
               for line in text.splitlines())
    found = [key for key in numbers(text) if key[0] == "lineage_guarded"]
    assert ("lineage_guarded", metrics.label(name)) in found and b"\x1b" not in text


def test_a_name_that_is_no_text_is_a_label_all_the_same(host: Host) -> None:
    renewal = os.fsencode(host.directory / "renewal")
    with open(renewal + b"/\xff\xfe.conf", "wb") as file:
        file.write(b"[renewalparams]\ninstaller = guard\n")
    assert host.numbers()["lineage_guarded", "%FF%FE"] == 1


def test_two_names_never_become_one() -> None:
    names = ["a\nb", "a%0Ab", "a%250Ab", "a\udc0ab", "a\ud800b", "a\udcffb", "a�b"]
    assert len({metrics.label(name) for name in names}) == len(names)
    assert metrics.label("www.example.com") == "www.example.com"
    assert metrics.label("a\nb") == "a%0Ab"
    for name in names:
        metrics.label(name).encode()


def test_the_last_run_and_the_last_success_are_two_moments(host: Host) -> None:
    host.run("1", 50, ("deployed", {"lineage": "a"}), ("exit", {}))
    host.run("2", 26, ("lineage-failed", {"lineage": "a", "error": "x"}), ("exit", {}))
    found = host.numbers()
    assert found["last_run_timestamp_seconds",] == (NOW - timedelta(hours=26)).timestamp()
    assert found["last_run_success",] == 0
    assert found["last_success_timestamp_seconds",] == (NOW - timedelta(hours=50)).timestamp()
    assert found["history_runs",] == 2


def test_a_dry_run_and_another_verb_are_no_run(host: Host) -> None:
    host.run("1", 50, ("deployed", {"lineage": "a"}), ("exit", {}))
    host.run("2", 5, ("exit", {}), dry_run=True)
    host.run("3", 4, ("exit", {}), verb="certonly")
    host.run("4", 3, ("exit", {}), verb="watch")
    host.run("5", 2, verb="run")
    found = host.numbers()
    assert found["last_run_timestamp_seconds",] == (NOW - timedelta(hours=50)).timestamp()
    assert (found["last_run_success",], found["history_runs",]) == (1, 1)


def test_a_command_that_failed_is_a_run_that_failed(host: Host) -> None:
    host.run("1", 50, ("exit", {}))
    host.run("2", 2, ("command-failed", {"command": ["certbot", "renew"], "code": 1, "reason": "exit", "output": ""}),
             verb="run")
    found = host.numbers()
    assert found["last_run_success",] == 0
    assert found["last_success_timestamp_seconds",] == (NOW - timedelta(hours=50)).timestamp()


def test_the_outages_of_the_history_are_counted_and_added(host: Host) -> None:
    host.run("1", 50, STOPPED, serving(4.0), ("exit", {}))
    host.run("2", 26, STOPPED, serving(1.5), ("exit", {}))
    host.run("3", 2, ("exit", {}))
    found = host.numbers()
    assert found["history_outages",] == 2
    assert found["history_outage_seconds",] == 5.5
    assert found["history_longest_outage_seconds",] == 4.0
    assert found["last_run_longest_outage_seconds",] == 0


def test_a_challenge_that_was_let_through_is_no_outage_and_is_counted_beside_those_that_were_not(host: Host) -> None:
    host.run("1", 50, ("not-proxied", {"lineage": "a"}), STOPPED, serving(4.0), ("exit", {}))
    host.run("2", 26, ("proxy-placed", {"lineage": "a"}), ("deployed", {"lineage": "a"}), ("exit", {}))
    host.run("3", 2, ("proxy-placed", {"lineage": "a"}), ("proxy-placed", {"lineage": "b"}), ("exit", {}))
    found = host.numbers()
    assert found["history_outages",] == 1 and found["history_longest_outage_seconds",] == 4.0
    assert found["last_run_longest_outage_seconds",] == 0
    assert (found["history_challenges_let_through",], found["history_challenges_not_let_through",]) == (3, 1)


def test_messages_that_wait_are_counted_by_channel_and_a_channel_without_any_is_zero(host: Host) -> None:
    host.settings("[channel mail]\nevents = failure\n")
    assert host.numbers()["undelivered_messages", "mail"] == 0
    book = host.journal
    book.add(Message("m1", "r1", "failure", "critical", "t", "b"), ["mail", "old"], 1)
    book.close()
    found = host.numbers()
    assert found["undelivered_messages", "mail"] == found["undelivered_messages", "old"] == 1


def test_standing_troubles_are_counted_by_severity(host: Host) -> None:
    book = host.journal
    book.publish([], "r1", 1, Changes(stands=(Standing("s", "n", "k", "critical", "w", NOW, NOW),)), NOW)
    book.close()
    found = host.numbers()
    assert found["standing_troubles", "critical"] == 1
    assert found["standing_troubles", "info"] == found["standing_troubles", "warning"] == 0


def test_who_looks_now_knows_better_than_the_last_watch(host: Host) -> None:
    book = host.journal
    book.note({"watched": NOW.isoformat(), "serving": "0"})
    book.close()
    assert host.numbers()["web_server_serving",] == 0
    assert host.numbers(serving=True)["web_server_serving",] == 1
    assert host.numbers()["last_watch_timestamp_seconds",] == NOW.timestamp()


def test_a_damaged_state_is_said_and_left_for_those_whose_business_it_is(host: Host) -> None:
    host.lineage("a")
    assert host.numbers()["state_readable",] == 1
    (host.state / journals.FILE).write_bytes(b"this is no database" * 100)
    found = host.numbers()
    assert found["state_readable",] == 0
    assert found["lineage_guarded", "a"] == 1
    assert [path.name for path in host.state.iterdir()] == [journals.FILE]


def test_nothing_is_changed_by_counting(host: Host) -> None:
    host.run("1", 1, ("exit", {}))
    before = {path: path.stat().st_mtime_ns for path in host.state.rglob("*")}
    host.numbers()
    assert {path: path.stat().st_mtime_ns for path in host.state.rglob("*")} == before


def test_without_prometheus_client_one_sentence_says_what_to_install(
        host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(metrics.MetricsError, match=r"certbot-guard\[metrics\]"):
        metrics.exposition(host.config, [host.state])


# -- the file ----------------------------------------------------------------------------------------------------


def written(path: Path) -> str:
    with pytest.raises(textfile.TextfileError) as caught:
        textfile.write(path, b"new\n")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_file_is_whole_and_everybody_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "guard.prom"
    before = os.umask(0o077)
    try:
        textfile.write(path, b"old\n")
        textfile.write(path, b"new\n")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new\n" and stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [one.name for one in tmp_path.iterdir()] == ["guard.prom"]


def test_a_reader_of_the_old_file_still_has_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "guard.prom"
    textfile.write(path, b"old\n")
    with open(path, "rb") as reader:
        textfile.write(path, b"new\n")
        assert reader.read() == b"old\n"


def test_a_directory_that_is_not_there_is_said_and_not_made(tmp_path: Path) -> None:
    assert "does not exist" in written(tmp_path / "none" / "guard.prom")
    assert not (tmp_path / "none").exists()


def test_a_name_that_another_program_may_act_on_is_refused(tmp_path: Path) -> None:
    for name in ("crontab", ".prom", "guard.prom.conf"):
        assert "names that end with .prom" in written(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "guard.prom").symlink_to(tmp_path / "victim")
    assert "no plain file" in written(tmp_path / "guard.prom")
    assert (tmp_path / "victim").read_text() == "mine"
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert "symbolic link" in written(tmp_path / "link" / "guard.prom")
    assert list((tmp_path / "real").iterdir()) == []


def test_a_pipe_or_a_directory_in_its_place_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.prom")
    (tmp_path / "b.prom").mkdir()
    assert "no plain file" in written(tmp_path / "a.prom")
    assert "no plain file" in written(tmp_path / "b.prom")


def test_a_directory_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert "everybody" in written(tmp_path / "guard.prom")
    tmp_path.chmod(0o1777)
    textfile.write(tmp_path / "guard.prom", b"new\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_user_s_file_in_a_directory_for_everybody_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    path = tmp_path / "guard.prom"
    path.write_text("theirs")
    os.chown(path, 65534, 65534)
    assert "65534" in written(path)
    assert path.read_text() == "theirs"


def test_what_could_not_be_written_is_a_sentence_for_who_ends_a_run(host: Host, tmp_path: Path) -> None:
    assert metrics.written_if_configured(host.config, [host.state]) is None
    away = replace(host.config, metrics_textfile=tmp_path / "none" / "guard.prom")
    assert "does not exist" in str(metrics.written_if_configured(away, [host.state]))
    there = replace(host.config, metrics_textfile=tmp_path / "guard.prom")
    assert metrics.written_if_configured(there, [host.state], serving=True) is None
    assert numbers((tmp_path / "guard.prom").read_bytes())["web_server_serving",] == 1
    assert "TypeError" in str(metrics.written_if_configured(there, None))  # type: ignore[arg-type]
