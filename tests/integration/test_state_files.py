"""docs/state-files.md and docs/events.md against what real runs leave on the disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from certbot_guard import serverlock
from script import events, statefiles
from tests.support.context import Context
from tests.support.faulty_ca import STORY_503

NAME = "one.guard.test"
COMMON = {"kind", "at", "mono"}


def mode_of(path: Path) -> str:
    return f"{stat.S_IMODE(path.lstat().st_mode):04o}"


def test_what_real_runs_leave_is_what_the_pages_say(context: Context) -> None:
    context.guarded_site(NAME, server="mode = stop")
    context.renew(check=True)  # a window
    context.wait_settled()
    context.guard_ini(channels={"mail": context.mailbox.apprise_url, "nobody": "json://127.0.0.1:1/"})
    with context.ca.answer("directory", STORY_503):
        assert context.renew().returncode == 1
    context.wait_settled()
    context.guard("watch")
    context.guard("run", "--retry-for", "1s", "--", "false")
    context.kill_at("challenge")
    context.mailbox.wait(2)
    context.wait_settled()

    wrong, seen = [], set()
    for path in [context.state, *sorted(context.state.rglob("*"))]:
        inside = str(path.relative_to(context.state)).removeprefix("run/") if path != context.state / "run" else "."
        row = statefiles.row_of(inside)
        if row is None or mode_of(path) != row.mode or path.is_dir() != row.path.endswith("/"):
            wrong.append(f"{inside}, mode {mode_of(path)}: {row}")
        else:
            seen.add(row.path)
    assert not wrong, "mend docs/state-files.md:\n" + "\n".join(wrong)
    # What one scenario cannot leave: a damaged journal or record, a full disk, what lasts for a moment only.
    elsewhere = {"journal.db-journal", "journal.db.damaged-*", "repair.lock", "outcomes-*.jsonl", "overflow/",
                 "overflow/*.jsonl", "servers/", "servers/*.lock", "supervisors/*.lock", "runs/*/others.lock",
                 "runs/*/run.json.damaged-*"}
    assert seen >= {row.path for row in statefiles.ROWS} - elsewhere
    locks = serverlock.lock_directory()
    # Other tests' locks are there, too, and what they do with them.
    assert mode_of(locks) == "0700" and "0600" in {mode_of(locks / name) for name in os.listdir(locks)}

    known = events.found()
    found = context.events()
    kinds = {one["kind"] for one in found}
    assert {"opened", "lineage", "stopping", "serving", "lineage-failed", "command-failed", "died"} <= kinds
    assert [one for one in found if set(one) - COMMON - set(known[one["kind"]].fields)] == []
