"""What the documentation takes from the code is what the code says."""

from __future__ import annotations

from pathlib import Path

from certbot_guard import diagnosis

DOCS = Path(__file__).parents[2] / "docs"


def test_the_documentation_has_every_diagnosis() -> None:
    assert diagnosis.reference() in (DOCS / "diagnoses.md").read_text("utf-8"), (
        "write it again: python -c 'from certbot_guard import diagnosis; print(diagnosis.reference())'")
