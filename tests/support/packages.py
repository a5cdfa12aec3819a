"""Where the packages lie that the tests run with: one directory, or Debian's own as well."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def directories() -> list[Path]:
    """Each directory of installed packages in the search path, in its order. A checkout is none."""
    return [path for path in map(Path, sys.path) if path.name in ("site-packages", "dist-packages") and path.is_dir()]


def everybody_may_enter(*places: Path) -> bool:
    """No directory on the way to one of them is root's alone, as /root is on Debian."""
    return all(parent.stat().st_mode & 0o001 for place in places for parent in Path(os.path.realpath(place)).parents)
