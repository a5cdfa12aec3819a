"""Whether the plugin has said it: of runs on a disk and of the history."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from certbot_guard import said
from certbot_guard.journal import Journal
from certbot_guard.run import Run, boot_id

SINCE = datetime(2026, 11, 24, 4, 17, 0, 250_900, tzinfo=timezone.utc)
HERE = Path("/etc/letsencrypt")


def facts(began: datetime = SINCE, config_dir: Path = HERE, verb: str = "renew") -> dict[str, Any]:
    return {"id": f"{began:%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}", "verb": verb, "config_dir": str(config_dir),
            "started": began.isoformat(timespec="milliseconds"), "boot_id": boot_id()}


def run_of(base: Path, *kinds: str, **more: Any) -> Run:
    made = Run.create([base], facts(**more))
    for kind in kinds:
        made.note(kind)
    return made


@pytest.fixture
def base(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "state"


def test_where_there_is_no_state_nothing_was_said(base: Path) -> None:
    assert not said.by_the_plugin([base, base / "run"], SINCE) and not base.exists()


@pytest.mark.parametrize("kinds, answer", [
    (("lineage-failed", "exit", "settled"), True),
    (("fatal", "exit", "held"), True),
    (("lineage", "deployed", "told", "settled"), False),
    (("lineage", "deployed", "held"), False),
    (("config-problem", "guard-error", "told", "settled"), False),
    (("lineage",), True),  # certbot is gone, and whoever settles the run tells it
    (("command-failed", "exit"), False),
])
def test_what_a_run_recorded_counts_and_what_is_still_to_be_settled(
        base: Path, kinds: tuple[str, ...], answer: bool) -> None:
    run_of(base, *kinds)
    assert said.by_the_plugin([base], SINCE) is answer


def test_a_run_whose_certbot_lives_has_said_nothing_yet(base: Path) -> None:
    run = Run.create([base], facts(), alive=True)
    assert not said.by_the_plugin([base], SINCE)
    assert run.lock is not None
    os.close(run.lock)
    assert said.by_the_plugin([base], SINCE)


def test_only_runs_that_began_since_count_to_the_millisecond(base: Path) -> None:
    run_of(base, "lineage-failed", "settled")
    assert said.by_the_plugin([base], SINCE)  # its record has no microseconds
    assert not said.by_the_plugin([base], SINCE + timedelta(milliseconds=1))


def test_another_certbots_run_does_not_count(base: Path) -> None:
    run_of(base, "lineage-failed", "settled", config_dir=Path("/srv/other"))
    assert said.by_the_plugin([base], SINCE) and not said.by_the_plugin([base], SINCE, HERE)


def test_a_run_that_only_the_history_has_counts(base: Path) -> None:
    base.mkdir(mode=0o700)
    book = Journal.open(base)
    book.record_run(facts(), [{"kind": "lineage-failed", "n": 1}])
    book.close()
    assert said.by_the_plugin([base.parent / "none", base], SINCE, HERE)
    assert not said.by_the_plugin([base], SINCE + timedelta(seconds=1), HERE)


def test_a_history_that_is_damaged_is_passed_over(base: Path) -> None:
    run_of(base, "lineage-failed", "settled")
    (base / "journal.db").write_bytes(b"not a database" * 100)
    assert said.by_the_plugin([base], SINCE)


def test_what_a_supervisor_recorded_is_told_apart(base: Path) -> None:
    run_of(base, "command-failed", "exit", "settled", verb="run")
    assert said.by_a_supervisor([base], SINCE) and not said.by_the_plugin([base], SINCE)
    assert not said.by_a_supervisor([base], SINCE + timedelta(seconds=1))
