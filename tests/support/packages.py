"""Where the packages lie that the tests run with: one directory, or Debian's own as well."""

from __future__ import annotations

import sys
from pathlib import Path


def directories() -> list[Path]:
    """Each directory of installed packages in the search path, in its order. A checkout is none."""
    return [path for path in map(Path, sys.path) if path.name in ("site-packages", "dist-packages") and path.is_dir()]
