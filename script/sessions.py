"""The sessions of noxfile.py: which certbot each one has, and how much of the tests it runs by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parent.parent
CORE = ("-m", "core")


@dataclass(frozen=True)
class Session:
    """``environment`` is what script/bootstrap calls it, None for the one it makes without ``--certbot``."""

    name: str
    environment: Optional[str]
    title: str
    everything: bool = False

    @property
    def venv(self) -> Path:
        return ROOT / (f".venv-{self.environment}" if self.environment else ".venv")

    @property
    def pins(self) -> Optional[Path]:
        return ROOT / "script" / f"certbot-{self.environment}.txt" if self.environment else None

    @property
    def scope(self) -> str:
        return "everything" if self.everything else "core"

    @property
    def certbot(self) -> str:
        """The version it is bound to; empty where it is the newest, or what the distribution has."""
        found = re.search(r"^certbot==(\S+)", self.pins.read_text("utf-8"), re.MULTILINE) if self.pins else None
        return found.group(1) if found else ""


SESSIONS = (
    Session("newest", None, "the newest, from PyPI", everything=True),
    Session("debian", "debian", "Debian 12's own packages", everything=True),
    Session("certbot-1.21", "1.21", "as in Ubuntu 22.04"),
    Session("certbot-2.1", "2.1", "as in Debian 12, from PyPI"),
    Session("certbot-2.9", "2.9", "as in Ubuntu 24.04"),
    Session("certbot-3.3", "3.3", "the last 3"),
    Session("certbot-4.0", "4.0", "as in Debian 13"),
    Session("beside", "beside", "the newest, with certbot-apache and certbot-nginx beside it"),
)


def named(name: str) -> Session:
    """:raises KeyError: there is none of that name."""
    return {session.name: session for session in SESSIONS}[name]


def scope_of(session: Session, arguments: list[str]) -> str:
    """``everything`` or ``core`` where that is what pytest runs with these arguments besides; ``some`` otherwise."""
    if not arguments:
        return session.scope
    return "core" if arguments == list(CORE) else "some"
