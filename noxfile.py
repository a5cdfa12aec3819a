"""The tests, on every certbot in use: one session for each, all of them by ``nox`` or ``script/test --all``.

A session uses the environment that script/bootstrap makes for it, which finds Pythons nox does not look for and knows
what an old certbot needs. Arguments after ``--`` are pytest's: ``nox -s certbot-2.9 -- -k proxy``. What a session ran
is written under build/tests (script/records.py).
"""

import datetime
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).resolve().parent))
from script import records
from script.sessions import CORE, SESSIONS, Session, scope_of

nox.options.default_venv_backend = "none"
JOBS = os.environ.get("GUARD_TEST_JOBS", "5")
TRIES = int(os.environ.get("GUARD_TEST_TRIES", "2"))
# Where more than these fail, they do not fail for want of a fast machine.
FEW = 5
NO_PYTHON = 3  # script/bootstrap


def _environment(session: nox.Session, one: Session, scope: str) -> dict:
    """The versions in it, once it is there."""
    command = ["script/bootstrap", "--test", *(["--certbot", one.environment] if one.environment else [])]
    reason = ""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as made:
        for line in made.stderr:
            sys.stderr.write(line)
            reason = line.strip().replace("bootstrap: ", "")
    if made.returncode == NO_PYTHON:
        records.write(one, scope, state=f"not run: {reason}")
        session.skip(reason)
    if made.returncode:
        records.write(one, scope, state="its environment could not be made")
        session.error("script/bootstrap failed")
    versions = json.loads(subprocess.check_output([one.venv / "bin/python", "-I", "-c", records.VERSIONS], text=True))
    debs = one.venv / "debian.txt"
    if debs.exists():
        versions["packages"] = dict(line.split() for line in debs.read_text("utf-8").splitlines())
    return versions


def _pytest(session: nox.Session, one: Session, *arguments: str) -> dict:
    report = records.RECORDS / f"{one.name}.xml"
    report.unlink(missing_ok=True)
    # 1: some failed. 5: none was selected.
    session.run(str(one.venv / "bin/python"), "-m", "pytest", f"--junitxml={report}", *arguments,
                external=True, success_codes=[0, 1, 5])
    return records.counts(report)


def _run(session: nox.Session, one: Session) -> None:
    arguments = [*(() if one.everything else CORE), *session.posargs]
    scope = scope_of(one, list(session.posargs))
    versions = _environment(session, one, scope)
    session.log(f"certbot {versions['certbot']}, Python {versions['python']}")
    records.write(one, scope, state="did not end", versions=versions)
    began, again = time.monotonic(), 0
    found = _pytest(session, one, "-n", JOBS, "--dist", "worksteal", "--cache-clear", *arguments)
    if 0 < found["failed"] <= FEW and not found["errors"] and TRIES > 1:
        session.log(f"the {found['failed']} that failed, once more, alone")
        second = _pytest(session, one, "-n", "0", "--last-failed", "--last-failed-no-failures", "none", *arguments)
        if second["passed"] == found["failed"]:
            again = found["failed"]
            found.update(passed=found["passed"] + again, failed=0)
    records.write(one, scope, state="ended", versions=versions, again=again, seconds=round(time.monotonic() - began, 1),
                  day=datetime.date.today().isoformat(), system=_system(), **found)
    if found["failed"] or found["errors"]:
        session.error(f"{found['failed']} failed, {found['errors']} errors")


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (AttributeError, OSError, KeyError):  # Python 3.9; no such file
        return platform.system()


def _define(one: Session) -> None:
    def session(session: nox.Session) -> None:
        _run(session, one)

    session.__doc__ = f"certbot {one.certbot or ''}".rstrip() + f", {one.title}: {one.scope}."
    nox.session(name=one.name)(session)


for _one in SESSIONS:
    _define(_one)
