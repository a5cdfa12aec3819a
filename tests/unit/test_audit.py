"""bandit finds nothing in the code that is not answered where it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / ".tools/python/bin/bandit").exists(),
                                reason="there is no bandit here: script/bootstrap --all installs it")


def _audit(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(ROOT / "script/audit"), *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=170, check=False)


def test_no_finding_is_without_an_answer() -> None:
    done = _audit("bandit")
    assert done.returncode == 0, done.stdout
    assert "bandit: 0 findings in " in done.stdout


def test_every_answer_names_what_it_answers() -> None:
    """A bare one would answer whatever comes to stand there."""
    bare = [f"{path.relative_to(ROOT)}:{number}" for path in sorted((ROOT / "certbot_guard").rglob("*.py"))
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
            if "nosec" in line and "# nosec B" not in line]
    assert not bare


def test_an_unknown_argument_is_refused() -> None:
    done = _audit("everything")
    assert (done.returncode, done.stdout) == (2, "audit: unknown argument everything: see the head of script/audit\n")
