"""The documentation builds without a warning."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def builder() -> list[str]:
    """Sphinx of this environment, of .tools/python (script/bootstrap --all), or of script/docs' own."""
    if importlib.util.find_spec("sphinx") and importlib.util.find_spec("myst_parser"):
        return [sys.executable, "-m", "sphinx"]
    for own in (ROOT / ".tools" / "python", ROOT / ".venv-docs"):
        if (own / "bin" / "sphinx-build").exists():
            return [str(own / "bin" / "python"), "-m", "sphinx"]
    pytest.skip("there is no Sphinx here: pip install certbot-guard[docs], or run script/docs once")


def test_the_build_is_clean(tmp_path: Path) -> None:
    words = [*builder(), "-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "trees"), str(ROOT / "docs"),
             str(tmp_path / "html")]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=170, check=False)
    assert done.returncode == 0 and not done.stdout.strip(), done.stdout
    for name in ("index", "tutorial", "events", "state-files", "limits", "why", "flow", "howto/cron-line"):
        assert (tmp_path / "html" / f"{name}.html").stat().st_size > 3000
