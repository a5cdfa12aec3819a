"""Directories of runs, whatever has become of them: shown, settled and told by who comes next, and kept."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbot_guard import config as configuration
from certbot_guard import launch, schedule, servers, stale, statedir, telling
from certbot_guard import run as runs
from certbot_guard.account import NextAttempt
from certbot_guard.config import Config
from certbot_guard.overview import drawing, past
from certbot_guard.overview.gathering import gather
from certbot_guard.run import Run
from certbot_guard.watch import attempts, passes
from certbot_guard.watch.looking import Eyes
from tests.fuzz import damage
from tests.fuzz.trying import bounded, is_quiet, many, witness
from tests.support.overview import MadeUp

OUTSIDE = telling.Outside(next_attempt=lambda now: NextAttempt(), deliver=lambda *arguments, **more: [])
EYES = Eyes(outside=OUTSIDE, find_server=lambda config: None, schedule=lambda now: None,
            look_at_services=lambda *arguments, **more: [])
NAMES = (runs.FACTS, runs.EVENTS, runs.CERTBOT_LOCK, runs.SENTINEL_LOCK, runs.STEP_LOCK, runs.TELL_LOCK, runs.SOCKET)
FACTS = ("id", "host", "verb", "argv", "dry_run", "config_dir", "logs_dir", "guard_config", "server", "server_name",
         "environment", "started", "boot_id", "overflow", "supervisor", "supervised", "report_only", "log_file", "monotonic")
KINDS = ("opened", "lineage", "stopping", "looked", "serving", "left-running", "left-down", "start-failed", "lineage-failed",
         "lineage-broken", "refused", "deployed", "reloaded", "reload-failed", "not-attempted", "overdue", "hook-failed",
         "hook-output", "hook-ran", "fatal", "died", "exit", "closed", "told", "settled", "held", "guard-error", "config-problem",
         "proxy-placed", "proxy-removed", "not-proxied", "not-served", "also-reloaded", "also-reload-failed", "seen-well", "of-the-future")
FIELDS = ("kind", "at", "mono", "window", "lineage", "lineages", "names", "before", "reason", "detail", "error", "error_type",
          "acme", "context", "evidence", "not_after", "outage_seconds", "max_outage_seconds", "action", "hook", "command", "code", "output",
          "path", "where", "by", "again", "upto", "text", "subject", "how", "n", "number", "service", "challenge", "place")
FACTS_CHANGED = st.dictionaries(st.sampled_from(FACTS), damage.values, min_size=1, max_size=3)
EVENTS = st.lists(st.fixed_dictionaries(
    {"kind": st.sampled_from(KINDS), "at": st.just("2026-11-24T04:17:00+00:00"), "mono": st.just(5.0)},
    optional={name: damage.values for name in FIELDS[3:]}), min_size=1, max_size=3)


class Machine:
    """A host with a run that was left with the web server stopped, one that was left later, and one that was settled."""

    def __init__(self, directory: Path) -> None:
        self.made = MadeUp(directory)
        self.made.lineage("one.example.com")
        self.made.run(3, renewed=["one.example.com"])
        self.left = self.made.left_run("one.example.com")
        self.other = self._run(("lineage", {"lineage": "one.example.com", "names": ["one.example.com"]}),
                               ("lineage-failed", {"lineage": "one.example.com", "error": "x", "error_type": "Error",
                                                   "acme": {"type": "urn:ietf:params:acme:error:dns", "detail": "y"}}))
        self.over = self._run(("exit", {}), ("told", {"upto": 1}), ("settled", {}))
        self.state, self.template = self.made.state, directory / "template"
        shutil.copytree(self.state, self.template)
        self.config: Config = configuration.load(self.made.settings)

    def _run(self, *events: tuple[str, dict[str, Any]]) -> Run:
        run = Run.create([self.made.state], self.made.facts(0.02, boot_id=""))
        for kind, fields in events:
            run.record(kind, **fields)
        return run

    def fresh(self) -> None:
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.copytree(self.template, self.state)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    base = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patched:
        # A record may have lost its settings file: then what is used is what has no name here.
        patched.setattr(statedir, "DURABLE", base / "durable")
        patched.setattr(statedir, "VOLATILE", base / "volatile")
        patched.setattr(servers, "find", lambda *arguments: None)  # a made-up start command would be run
        patched.setattr(launch, "start_sentinel", lambda run: "no process is started here")
        patched.setattr(telling, "_next_attempt", OUTSIDE.next_attempt)
        patched.setattr(telling, "_deliver", lambda *arguments: [])
        patched.setattr(schedule, "next_attempt", lambda *arguments: None)
        patched.setattr(attempts, "look_at_schedule", lambda *arguments: True)  # asks systemd
        yield Machine(base)


def is_sound(machine: Machine) -> None:
    """Everything that reads runs does its work, in time, and shows nothing that acts on a terminal."""
    with bounded(), witness.watching(machine.made.state.parent):
        found = gather(machine.config, None, 0.0, served=False, eyes=EYES)
        shown = [json.dumps(found.as_json()), drawing.listing(drawing.below(found), None), *found.wrong]
        history = past.runs(machine.config, 20)
        json.dumps(history.as_json())
        shown += [line for one in history.runs for line in past.lines(one, None)]
        assert all(is_quiet(line) for text in shown for line in text.split("\n")), shown
        bases = statedir.every_directory(machine.config.state_dir)
        runs.unfinished(bases)
        runs.unreadable(bases)


def is_settled(machine: Machine) -> dict[str, str]:
    with bounded(), witness.watching(machine.made.state.parent):
        bases = statedir.every_directory(machine.config.state_dir)
        said = {run.directory.name: problem for run, problem in stale.settle_stale(bases, machine.config, deliver=False)}
        stale.forget_old(bases)
        passes.watch(machine.config, EYES, recover=True)
    assert not any("cannot be settled" in problem for problem in said.values()), said
    return said


def is_kept(machine: Machine, before: dict[str, bytes], names: set[str]) -> None:
    """No directory of a run has gone, and no byte of what was recorded or is not ours."""
    after = damage.contents(machine.state / "runs")
    assert set(os.listdir(machine.state / "runs")) >= names
    for name, data in before.items():
        if name.endswith((runs.EVENTS, runs.FACTS)):
            found = [content for other, content in after.items() if other.startswith(name)]
            assert any(content.startswith(data) for content in found), name
        else:
            assert after[name] == data, name


def tried(machine: Machine) -> dict[str, str]:
    before, names = damage.contents(machine.state / "runs"), set(os.listdir(machine.state / "runs"))
    is_sound(machine)
    said = is_settled(machine)
    is_sound(machine)
    is_kept(machine, before, names)
    return said


@given(st.lists(st.tuples(st.sampled_from(["left", "other", "over"]), st.sampled_from(NAMES), damage.of_a_file),
                min_size=1, max_size=3), damage.stranger_names, damage.stranger_names)
@many(30)
def test_a_damaged_run_is_shown_settled_and_kept(machine: Machine, damaged: list[tuple[str, str, damage.Damage]],
                                                  among: list[str], within: list[str]) -> None:
    machine.fresh()
    for which, name, change in damaged:
        change(getattr(machine, which).directory / name)
    damage.strangers(machine.state / "runs", among)
    damage.strangers(machine.left.directory, within)
    tried(machine)


@given(FACTS_CHANGED, st.sampled_from(["left", "other", "over"]), st.sets(st.sampled_from(FACTS), max_size=2))
@many(30)
def test_facts_of_any_type_are_shown_settled_and_kept(machine: Machine, changed: dict[str, Any], which: str, gone: set[str]) -> None:
    machine.fresh()
    path = getattr(machine, which).directory / runs.FACTS
    facts = {**json.loads(path.read_text()), **changed}
    path.write_text(json.dumps({name: value for name, value in facts.items() if name not in gone}))
    tried(machine)


@given(EVENTS, st.sampled_from(["left", "other", "over"]), st.sets(st.sampled_from(FIELDS[3:]), max_size=2))
@many(30)
def test_events_of_any_type_are_shown_settled_and_kept(machine: Machine, events: list[dict[str, Any]], which: str,
                                                        gone: set[str]) -> None:
    machine.fresh()
    path = getattr(machine, which).directory / runs.EVENTS
    lines = [json.loads(line) for line in path.read_text().split("\n") if line]
    lines = [{name: value for name, value in line.items() if name not in gone} for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *events]))
    tried(machine)
