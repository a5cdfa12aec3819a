"""docs/compatibility.md shows the sessions of noxfile.py, and what is counted of a run is what pytest said of it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from script import records, sessions
from script.sessions import SESSIONS, Session

ROOT = Path(__file__).parents[2]
REPORT = """<testsuites><testsuite>
<testcase name="a"/><testcase name="b"/>
<testcase name="c"><failure message="x"/></testcase>
<testcase name="d"><skipped message="needs
 root"/></testcase>
<testcase name="e"><failure message="x"/><error message="and in teardown"/></testcase>
</testsuite></testsuites>"""


def rows() -> dict[str, list[str]]:
    text = (ROOT / "docs/compatibility.md").read_text("utf-8")
    lines = [re.split(r" *\| *", line.strip("| ")) for line in text.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells for cells in lines}


def test_the_page_has_each_session_of_the_noxfile_with_its_version() -> None:
    found = rows()
    assert list(found) == [session.name for session in SESSIONS], "write it again: script/compatibility"
    for session in SESSIONS:
        certbot = found[session.name][1]
        assert re.match(r"\d+\.\d+", certbot) or not session.certbot, certbot
        assert certbot.startswith(session.certbot) and session.title in certbot, "write it again: script/compatibility"


def test_the_noxfile_has_a_session_for_each_of_the_table() -> None:
    pytest.importorskip("nox")
    import nox.registry

    runpy.run_path(str(ROOT / "noxfile.py"))
    assert set(nox.registry.get()) == {session.name for session in SESSIONS}


def test_each_environment_of_script_bootstrap_has_a_session_and_each_session_one() -> None:
    pins = {path.stem[len("certbot-"):] for path in (ROOT / "script").glob("certbot-*.txt")}
    assert pins == {session.environment for session in SESSIONS if session.environment}


def test_the_oldest_certbot_that_is_tried_is_the_oldest_that_setup_py_allows_and_doctor_knows() -> None:
    from certbot_guard.doctor import of_certbots

    tried = min(tuple(map(int, session.certbot.split(".")[:2])) for session in SESSIONS if session.certbot)
    allowed = re.search(r'"certbot>=([\d.]+)"', (ROOT / "setup.py").read_text("utf-8"))
    assert allowed and tuple(map(int, allowed.group(1).split("."))) == tried == of_certbots.OLDEST


def test_what_is_counted(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    assert records.counts(tmp_path / "report.xml") == {
        "passed": 2, "failed": 1, "errors": 1, "skipped": 1, "why_skipped": {"needs root": 1}}


@pytest.mark.parametrize("arguments, scope", [
    ([], "everything"), (["-m", "core"], "core"), (["-m", "not long"], "some"), (["-k", "proxy"], "some")])
def test_only_whole_runs_are_kept_for_the_page(arguments: list[str], scope: str, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RECORDS", tmp_path)
    one = sessions.named("newest")
    records.write(one, sessions.scope_of(one, arguments), state="ended")
    assert records.read(one, "last") and (records.widest(one) is not None) == (scope != "some")


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setattr(records, "RECORDS", tmp_path)
    return runpy.run_path(str(ROOT / "script/compatibility"))


def test_a_session_that_did_not_run_is_named_and_its_last_whole_run_is_kept(page: Any) -> None:
    one: Session = sessions.named("certbot-2.9")
    known = {"versions": {"certbot": "2.9.0", "python": "3.10.1", "apprise": "1.9", "zope.interface": "7"}, "again": 1,
             "seconds": 90.0, "day": "2026-01-02", "system": "Debian", "passed": 3, "failed": 0, "errors": 0,
             "skipped": 0, "why_skipped": {}}
    records.write(one, "core", state="ended", **known)
    assert "3 passed, 1 of them only when run again alone in 90s" in page["summary"]([one])
    records.write(one, "core", state="not run: no Python")
    assert page["summary"]([one]).splitlines() == [
        "certbot-2.9: not run: no Python", "===== no tests ran in 0.00s ====="]
    assert "| 2.9.0 (as in Ubuntu 24.04) | 3.10.1 |" in page["table"]()


def test_a_session_that_broke_off_is_an_error(page: Any) -> None:
    one = sessions.named("certbot-2.9")
    records.write(one, "core", state="did not end")
    assert page["summary"]([one]).splitlines() == ["certbot-2.9: did not end", "===== 1 errors in 0.00s ====="]
