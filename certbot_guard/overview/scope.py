"""Which of certbot's configuration directories are meant, and so which runs: a state directory may be shared. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from certbot_guard.config import Config
from certbot_guard.watch import passes


@dataclass(frozen=True)
class Scope:
    """:ivar settings: runs with these settings are meant, whatever directory they are of; or nothing"""

    directories: tuple[Path, ...]
    settings: str = ""

    def covers(self, facts: dict[str, Any]) -> bool:
        """Is this run one of them?"""
        return (Path(str(facts.get("config_dir") or "/")) in self.directories
                or bool(self.settings) and str(facts.get("guard_config")) == self.settings)


def of(config: Config, given: Optional[Sequence[Path]], facts: Iterable[dict[str, Any]]) -> Scope:
    """The directories that were asked for; without any, those that the watch looks at.

    :param facts: of the runs in the history: where guarded runs with these settings have been
    """
    if given:
        return Scope(tuple(dict.fromkeys(given)))
    return Scope(tuple(dict.fromkeys(passes.config_dirs(config, [{"facts": one} for one in facts]))), str(config.path))
