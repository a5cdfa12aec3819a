"""A certbot that knows us by CERTBOT_PLUGIN_PATH alone, as certbot's snap knows the plugins that are snaps."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tests.support import packages

ROOT = Path(__file__).parents[2]
_OURS = ("certbot_guard", "certbot-guard", "__editable__", "apprise")


@dataclass(frozen=True)
class Apart:
    """``certbot`` and ``python`` are of an environment without us and without Apprise; ``plugins`` has both."""

    certbot: Path
    python: Path
    plugins: Path

    def command(self, module: str) -> list[str]:
        """How a module of ours is started there by hand."""
        return [str(self.python), "-I", str(self.plugins / "certbot_guard" / "start.py"), module]


def make(directory: Path) -> Apart:
    home, plugins = directory / "python", directory / "plugins"
    folder = home / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    folder.mkdir(parents=True)
    plugins.mkdir()
    (home / "bin").mkdir()
    python, certbot = home / "bin" / "python3", home / "bin" / "certbot"
    python.symlink_to(Path(sys.executable).resolve())
    (home / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n"
                                     "include-system-site-packages = false\n")
    certbot.write_text(f"#!{python} -s\nimport sys\nfrom certbot.main import main\nsys.exit(main())\n")
    certbot.chmod(0o755)
    for one in reversed([one for found in packages.directories() for one in found.iterdir()]):
        place = plugins if one.name.startswith("apprise") else folder
        if one.suffix in (".pth", ".egg-link") or one.name.startswith(_OURS[:3]) or (place / one.name).is_symlink():
            continue
        (place / one.name).symlink_to(one)
    shutil.copytree(ROOT / "certbot_guard", plugins / "certbot_guard", ignore=shutil.ignore_patterns("__pycache__"))
    ours = metadata.distribution("certbot-guard")
    about = plugins / f"certbot_guard-{ours.version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: certbot-guard\nVersion: {ours.version}\n")
    (about / "entry_points.txt").write_text(ours.read_text("entry_points.txt") or "")
    return Apart(certbot, python, plugins)
