"""A Python with this one's packages that every user may read, as it has to be for a sender to stop being root."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Optional

from tests.support import packages

ROOT = Path(__file__).parents[2]
_SYSTEMS = Path("/usr/bin/python3")


def make(directory: Path) -> Optional[Path]:
    """In a directory that everybody may read; None if there is none: packages can be shared within 3.11, say, alone."""
    shared = [ROOT, *packages.directories()]
    system = Path(sys.executable).resolve()
    if not _readable(system) or not _readable(Path(subprocess.__file__)):
        system = _SYSTEMS
    if not (all(map(_readable, shared)) and system.exists() and _version(system) == sys.version_info[:2]):
        return None
    home = directory / "python"
    folder = home / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    folder.mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin" / "python").symlink_to(system)
    (home / "pyvenv.cfg").write_text(f"home = {system.parent}\ninclude-system-site-packages = false\n")
    (folder / "shared.pth").write_text("".join(f"{path}\n" for path in shared))
    return home / "bin" / "python"


def _readable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o004) and all(one.stat().st_mode & 0o001 for one in path.resolve().parents)


def _version(python: Path) -> tuple[int, ...]:
    said = subprocess.run([python, "-I", "-c", "import sys; print(*sys.version_info[:2])"], stdout=subprocess.PIPE,
                          check=True).stdout
    return tuple(int(word) for word in said.split())
