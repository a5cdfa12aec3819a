"""A word in a terminal while something takes more than a second; nothing is drawn where it is not one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

AFTER_SECONDS = 1.0


@contextmanager
def progress(words: str, after_seconds: float = AFTER_SECONDS) -> Iterator[None]:
    """Say ``words`` on standard error from ``after_seconds`` on, and take them away at the end."""
    if not is_terminal(sys.stderr):
        yield
        return
    from rich.console import Console

    status = Console(stderr=True, markup=False).status(words)
    timer = threading.Timer(after_seconds, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join(after_seconds)  # one that was just about to begin has begun, and can be ended
        status.stop()


def is_terminal(stream: object) -> bool:
    """Whether somebody looks at it. A closed or missing stream is no terminal."""
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]
    except (AttributeError, ValueError, OSError):
        return False
