"""The documentation builds without a warning."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def builder() -> list[str]:
    """Sphinx of this environment, or of script/docs' own."""
    if importlib.util.find_spec("sphinx") and importlib.util.find_spec("myst_parser"):
        return [sys.executable, "-m", "sphinx"]
    own = ROOT / ".venv-docs" / "bin" / "python"
    if not own.exists():
        pytest.skip("there is no Sphinx here: pip install certbot-guard[docs], or run script/docs once")
    return [str(own), "-m", "sphinx"]


def test_the_build_is_clean(tmp_path: Path) -> None:
    words = [*builder(), "-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "trees"), str(ROOT / "docs"),
             str(tmp_path / "html")]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=170, check=False)
    assert done.returncode == 0 and not done.stdout.strip(), done.stdout
    for name in ("index", "tutorial", "events", "state-files", "limits", "why", "flow", "howto/cron-line"):
        assert (tmp_path / "html" / f"{name}.html").stat().st_size > 3000
