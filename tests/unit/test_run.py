"""The record of a run: what survives a crash, a full disk, a torn line; and who holds which lock."""

import json
import os
import subprocess
import sys

import pytest

from certbot_guard import eventlog
from certbot_guard import run as runs
from certbot_guard.errors import StateError
from certbot_guard.run import Run


def facts(**more):
    return {"id": "20260101T000000Z-00000001", "pid": os.getpid(), **more}


@pytest.fixture
def run(tmp_path):
    return Run.create([tmp_path / "state", tmp_path / "volatile"], facts())


def test_events_come_back_in_order_with_growing_numbers(run):
    run.record("stopping", window=1)
    run.record("serving", window=1)
    events = run.events()
    assert [event["kind"] for event in events] == ["opened", "stopping", "serving"]
    assert [event["n"] for event in events] == sorted(event["n"] for event in events)


def test_a_loaded_run_sees_what_another_process_wrote(run):
    run.record("stopping", window=1)
    assert Run.load(run.directory).events() == run.events()


def test_a_torn_line_costs_that_line_alone(run):
    with open(run.directory / runs.EVENTS, "ab") as stream:
        stream.write(b'{"kind": "stopp')
    run.record("serving", window=1)
    assert [event["kind"] for event in run.events()] == ["opened", "serving"]


def test_events_go_elsewhere_when_the_disk_of_the_run_is_full(run, monkeypatch):
    os.unlink(run.directory / runs.EVENTS)
    os.symlink("/dev/full", run.directory / runs.EVENTS)  # refused: a link; the effect is that of a full disk
    run.record("serving", window=1)
    assert [event["kind"] for event in run.events()] == ["serving"]


def test_nothing_can_be_written_anywhere_is_an_error(run, tmp_path):
    os.unlink(run.directory / runs.EVENTS)
    os.symlink("/dev/full", run.directory / runs.EVENTS)
    (tmp_path / "volatile").write_text("in the way")
    with pytest.raises(StateError):
        run.record("serving", window=1)
    assert run.note("serving", window=1) is False


def test_a_run_is_recorded_in_the_second_place_if_the_first_cannot_be_written(tmp_path):
    (tmp_path / "state").write_text("not a directory")
    run = Run.create([tmp_path / "state", tmp_path / "volatile"], facts())
    assert run.directory.parent == tmp_path / "volatile" / "runs"


def test_no_place_at_all_is_one_sentence(tmp_path):
    (tmp_path / "state").write_text("not a directory")
    with pytest.raises(StateError, match="no run can be recorded"):
        Run.create([tmp_path / "state"], facts())


def test_a_held_lock_is_seen_from_another_process_and_free_after_its_death(run):
    holder = subprocess.Popen([sys.executable, "-c", (
        "import sys, time; from pathlib import Path; from certbot_guard.run import Run, CERTBOT_LOCK\n"
        f"held = Run.load(Path({str(run.directory)!r})).hold(CERTBOT_LOCK)\n"
        "print(held is not None, flush=True); time.sleep(60)")], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline().strip() == "True"
    assert run.certbot_lives()
    assert run.hold(runs.CERTBOT_LOCK) is None
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert not run.certbot_lives()


def test_a_question_about_a_lock_does_not_take_it(run):
    assert not run.held(runs.SENTINEL_LOCK)
    asked = run._flock(runs.SENTINEL_LOCK, 1)  # LOCK_SH, as held() has it for a moment
    assert not run.held(runs.SENTINEL_LOCK)
    os.close(asked)


def test_a_window_is_open_until_apache_serves(run):
    run.record("stopping", window=1)
    run.record("stopping", window=2)
    run.record("serving", window=1)
    assert [event["window"] for event in runs.open_windows(run.events())] == [2]


def test_a_huge_text_is_cut_and_the_rest_kept(run):
    run.record("lineage-failed", lineage="a", error="x" * 1_000_000)
    event = run.events()[-1]
    assert event["lineage"] == "a" and len(event["error"]) < 10_000


def test_the_files_are_ours_alone(run):
    for path in [run.directory, *run.directory.iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert json.loads((run.directory / runs.FACTS).read_text())["id"] == run.id


def test_once_events_go_on_elsewhere_they_stay_there(run, tmp_path):
    run.record("stopping", window=1)
    overflow = tmp_path / "volatile" / "overflow" / f"{run.id}.jsonl"
    overflow.parent.mkdir(parents=True)
    overflow.write_bytes(eventlog.line_of("start-failed", {"window": 1}))  # the disk was full for a while
    run.record("serving", window=1)
    assert [event["kind"] for event in run.events()][1:] == ["stopping", "start-failed", "serving"]
    assert not runs.open_windows(run.events())


def test_a_run_that_is_alive_is_so_before_anybody_can_find_it(tmp_path, monkeypatch):
    from certbot_guard import statedir

    def write(path, data):
        assert Run(path.parent, facts()).certbot_lives()
        path.write_bytes(data)

    monkeypatch.setattr(statedir, "atomic_write", write)
    run = Run.create([tmp_path / "state"], facts(), alive=True)
    assert run.certbot_lives()
    os.close(run.lock)


def test_a_window_that_was_opened_again_makes_a_settled_run_unfinished(run, tmp_path):
    run.record("settled")
    assert runs.unfinished([tmp_path / "state"]) == []
    run.record("stopping", window=1)
    assert [found.id for found in runs.unfinished([tmp_path / "state"])] == [run.id]


@pytest.mark.parametrize("record", [
    "[" * 50_000, "{\"id\":" * 50_000, "[]", "{}", "5", "{\"id\": 5}", "{\"id\": \"\"}", "{\"id\": \"a/b\"}", "{\"id\": \"\\ud800\"}",
    "{\"id\": NaN}", "{\"id\": " + "9" * 5000 + "}", "{\"id\": \"a\", \"id\": null}", "{\"id\": \"a\", \"server\": [1]}",
    "{\"id\": \"a\", \"overflow\": \"x\"}", "{\"id\": \"a\", \"overflow\": \"/x\\u0000\"}", "{\"id\": \"a\", \"guard_config\": 5}",
    "{\"id\": \"a\", \"argv\": \"renew\"}", "{\"id\": \"a\", \"argv\": [1]}", "{\"id\": \"a\", \"environment\": \"PATH\"}",
    "{\"id\": \"a\", \"config_dir\": \"\\ud800\"}", "\udcff"])
def test_a_record_of_another_shape_is_not_readable(run, record):
    (run.directory / runs.FACTS).write_bytes(record.encode("utf-8", "surrogateescape"))
    with pytest.raises(StateError, match="cannot be read"):
        Run.load(run.directory)


@pytest.mark.parametrize("record", [
    "{\"id\": \"a\"}", "{\"id\": null, \"id\": \"a\"}", "{\"id\": \"a\", \"of the future\": NaN}",
    "{\"id\": \"a\", \"pid\": " + "9" * 400 + "}",
    "{\"id\": \"a\", \"host\": \"\\ud800\", \"server\": null}"])
def test_what_a_record_has_besides_may_be_anything(run, record):
    (run.directory / runs.FACTS).write_text(record)
    assert Run.load(run.directory).id == "a"


@pytest.mark.parametrize("name,value,read", [
    ("window", [], None), ("window", 1.5, None), ("window", 2, 2), ("lineage", {}, ""), ("lineage", None, ""),
    ("lineage", "a", "a"),
    ("before", "x", {}), ("before", None, {})])
def test_a_stop_counts_whatever_else_its_line_says(run, name, value, read):
    run.record("stopping", **{"window": 1, "lineage": "a", "before": {}, name: value})
    event, = runs.open_windows(Run.load(run.directory).events())
    assert event[name] == read


def test_a_stop_that_says_nothing_else_counts_too(run):
    run.record("stopping")
    event, = runs.open_windows(Run.load(run.directory).events())
    assert (event["window"], event["lineage"], event["before"]) == (None, "", {})


@pytest.mark.parametrize("mono", ["NaN", "Infinity", "1e999"])
def test_a_time_that_is_none_costs_that_line_alone(run, mono):
    with open(run.directory / runs.EVENTS, "ab") as stream:
        stream.write(b'{"kind": "x", "at": "y", "mono": ' + mono.encode() + b"}\n")
    run.record("serving", window=1)
    assert [event["kind"] for event in Run.load(run.directory).events()] == ["opened", "serving"]


@pytest.mark.parametrize("name", [runs.FACTS, runs.EVENTS])
def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(run, name):
    os.unlink(run.directory / name)
    os.mkfifo(run.directory / name, 0o600)
    runs.unreadable([run.directory.parent.parent])
    assert Run(run.directory, facts()).events() == [] or name == runs.FACTS
    assert Run(run.directory, facts()).note("serving") is (name == runs.FACTS)
