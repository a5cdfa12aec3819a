"""systemd is told of our unit files, and asked how it stands with them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from certbot_guard.errors import GuardError, ServerError
from certbot_guard.servers import units as systemd
from certbot_guard.text import line
from certbot_guard.units.planning import FAILED, RECOVER, TIMER, WATCH, Places

_SECONDS = 90.0
_OURS = (TIMER, WATCH, RECOVER)


def not_enabled() -> list[str]:
    """What is left to do once the files are there: sentences, each of a unit that would not be started by itself.

    :raises GuardError: systemd does not answer.
    """
    found = systemd.show([TIMER, RECOVER], ["UnitFileState", "ActiveState"])
    enabled = [one.get("UnitFileState") == "enabled" for one in found]
    todo = []
    if not enabled[0] or found[0].get("ActiveState") != "active":
        todo.append(f"enable and start {TIMER}")
    if not enabled[1]:
        todo.append(f"enable {RECOVER}, for the next boot")
    return todo


def reload_and_enable() -> None:
    """systemd knows the files, the timer waits, and the boot unit will run at the next boot.

    :raises GuardError: systemd refused one of these; the others that come first were done.
    """
    _do("daemon-reload")
    _do("enable", "--now", TIMER)
    _do("enable", RECOVER)


def disable(places: Places) -> None:
    """None of our units runs, waits or is enabled. Their files may go; :func:`forget` comes after that.

    :raises GuardError: systemd refused it.
    """
    there = [name for name in _OURS if os.path.lexists(places.systemd / name)]
    enabled = [name for name in there if name in (TIMER, RECOVER)]
    if enabled:
        _do("disable", "--now", *enabled)
    # A service that is just telling people is not cut off: it ends by itself, from files that it has read.
    if WATCH in there:
        _do("stop", WATCH)


def forget(places: Places) -> None:
    """After the files have gone: systemd does not know the units any more, nor when the timer ran last.

    :raises GuardError: systemd does not answer.
    """
    _do("daemon-reload")
    # Of units that did not fail systemd says that they are not loaded, which is what is wanted.
    systemd.systemctl(["reset-failed", *_OURS, FAILED.replace("@.", "@*.")])
    try:
        os.unlink(places.stamps / f"stamp-{TIMER}")
    except OSError:
        pass


def _do(*words: str) -> None:
    result = systemd.systemctl(words, _SECONDS)
    if result.code != 0:
        said = line(result.output, 300) or "it did not end in time"
        raise ServerError(f"systemctl {' '.join(words)} failed: {said}")


def refuse_unless_root(verb: str, where: Iterable[Path]) -> None:
    """:raises GuardError: only root may change what is in those directories, and we are not."""
    if os.geteuid() != 0:
        raise GuardError(f"units {verb} changes {' and '.join(map(str, where))}: run it as root")
