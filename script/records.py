"""What the sessions of noxfile.py wrote of their runs: one JSON file each, under build/tests.

``last/SESSION.json`` is its last run, of whatever it was asked to run; ``everything/`` and ``core/`` keep the last run
of all of that, for docs/compatibility.md. ``state`` is ``ended``, or else the words that say why it did not.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any, Optional

from script.sessions import ROOT, Session

RECORDS = ROOT / "build" / "tests"
KEPT = ("everything", "core")
# Run by the environment's own Python.
VERSIONS = """
import importlib.metadata, json, platform
found = {"python": platform.python_version()}
for name in ("certbot", "acme", "apprise", "zope.interface", "cryptography", "certbot-apache", "certbot-nginx"):
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def counts(report: Path) -> dict[str, Any]:
    """Of pytest's JUnit report: how many passed, failed, had an error, were skipped, and why those were."""
    found: Counter[str] = Counter(passed=0, failed=0, errors=0, skipped=0)
    reasons: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag: child for child in case if child.tag in ("failure", "error", "skipped")}
        if "error" in kinds:
            found["errors"] += 1
        elif "failure" in kinds:
            found["failed"] += 1
        elif "skipped" in kinds:
            found["skipped"] += 1
            reasons[" ".join(kinds["skipped"].get("message", "").split())[:200]] += 1
        else:
            found["passed"] += 1
    return {**found, "why_skipped": dict(sorted(reasons.items()))}


def write(session: Session, scope: str, **fields: Any) -> None:
    """This is what is known of the session's last run."""
    record = {"session": session.name, "scope": scope, **fields}
    for folder in ["last"] + ([scope] if scope in KEPT and fields["state"] == "ended" else []):
        path = RECORDS / folder / f"{session.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", "utf-8")


def read(session: Session, folder: str) -> Optional[dict[str, Any]]:
    """None if there is no such record."""
    try:
        return json.loads((RECORDS / folder / f"{session.name}.json").read_text("utf-8"))
    except FileNotFoundError:
        return None


def widest(session: Session) -> Optional[dict[str, Any]]:
    """The record that the documentation shows: of everything, or else of the core."""
    return read(session, "everything") or read(session, "core")
