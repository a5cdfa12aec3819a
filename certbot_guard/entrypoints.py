"""What installed packages offer under a name: the same on every Python."""

from __future__ import annotations

from typing import Any

CERTBOT_PLUGINS = "certbot.plugins"


def of_group(group: str) -> list[Any]:
    """The entry points of this group in this environment."""
    from importlib import metadata  # 10 ms, and of few

    everything: Any = metadata.entry_points()
    # Python 3.9 gives a dict of groups.
    return list(everything.select(group=group) if hasattr(everything, "select") else everything.get(group, ()))
