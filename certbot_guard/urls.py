"""What Apprise itself says of the channels, for ``certbot-guard check``. Sends nothing; imports Apprise."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Iterator

from certbot_guard.errors import StateError
from certbot_guard.inifile import Problem
from certbot_guard.trust import read_trusted

if TYPE_CHECKING:
    from certbot_guard.config import Config

# Two that were silent at once would each undo what the other has set.
_ONE_AT_A_TIME = threading.RLock()


def check_urls(config: Config) -> tuple[Problem, ...]:
    """A problem for each channel, and each Apprise configuration file, that Apprise does not accept.

    No URL, and no part of one, is in a problem or reaches a log.
    """
    found = []
    with silent():
        for channel in config.channels:
            reason = _refusal(channel.url)
            if reason:
                found.append(f", line {channel.line}: the channel '{channel.name}' cannot be used: {reason}")
        for path in config.apprise_configs:
            if not _holds_services(path):
                found.append(f": apprise_config: there is no URL in {path} that Apprise accepts")
    return tuple(Problem("notify", f"{config.path}{text}" + ("" if text.endswith(("?", ".")) else "."))
                 for text in found)


def refusal(url: str) -> str:
    """Why Apprise does not accept this URL, without any part of it; empty if it does. Nothing reaches a log."""
    with silent():
        return _refusal(url)


def _refusal(url: str) -> str:
    from certbot_guard import deliverer

    try:
        return deliverer.refusal(url)
    except Exception as error:  # apprise 1.9.0: ValueError for json://[::1/ ; its text may quote the URL
        return f"Apprise does not accept this URL ({type(error).__name__})"


def _holds_services(path: Path) -> bool:
    import apprise

    settings, holder = apprise.AppriseConfig(), apprise.Apprise()
    try:
        # As the deliverer reads it. AppriseConfig.add(path) would say True even of a file that is not there.
        settings.add_config(read_trusted(path)[0].decode("utf-8"),
                            format="yaml" if path.suffix in (".yml", ".yaml") else None)
        holder.add(settings)
        # An Apprise counts a file's services under one name in all versions; AppriseConfig's changed in 2.x.
        return len(holder) > 0
    except (OSError, ValueError, StateError):
        return False


@contextmanager
def silent() -> Iterator[None]:
    """Nothing that Apprise says reaches a log."""
    with _ONE_AT_A_TIME:
        # apprise.LogCapture listens in but lets records pass on to the root logger: whole URLs at DEBUG, parts of
        # them in warnings (measured, 1.2.0 to 2.2.0).
        logger = logging.getLogger("apprise")
        before = logger.propagate
        handler = logging.NullHandler()  # else logging's last resort prints them
        logger.propagate = False
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = before
