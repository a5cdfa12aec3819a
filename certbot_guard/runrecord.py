"""The shape of a run's record, ``run.json``: what may be rested on once it was read. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_TEXTS = ("config_dir", "guard_config", "logs_dir", "log_file", "overflow", "supervisor", "started", "boot_id", "verb")


def is_record(facts: Any) -> bool:
    """What others rest on is there in the shape that they expect; what they merely show may be anything."""
    if not isinstance(facts, dict) or not facts.get("id") or not _is_text(facts["id"]) or "/" in facts["id"]:
        return False
    known = {name: value for name, value in facts.items() if value is not None}
    argv = known.get("argv", [])
    return (all(_is_text(known.get(name, "")) for name in _TEXTS) and Path(known.get("overflow", "/")).is_absolute()
            and isinstance(argv, list) and all(isinstance(word, str) for word in argv)
            and all(isinstance(known.get(name, {}), dict) for name in ("server", "environment")))


def _is_text(value: Any) -> bool:
    """A text that a path can be made of, and that a database takes."""
    try:
        return isinstance(value, str) and b"\0" not in value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
