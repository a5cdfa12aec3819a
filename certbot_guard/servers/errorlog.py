"""What Apache wrote to its error log since a moment: the reason why it did not start, for a message.

Called by the controllers of :mod:`certbot_guard.servers`, with the path that a dump has; None, where the log is no
file, is a log that says nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from certbot_guard import plainfile

_TAIL_BYTES = 4000


def mark(path: Optional[Path]) -> int:
    """Where the log ends now."""
    try:
        return path.stat().st_size if path else 0
    except OSError:
        return 0


def since(path: Optional[Path], marked: int) -> str:
    """What was appended since :func:`mark`, no more than its last few lines."""
    if path is None:
        return ""
    try:
        with plainfile.opened(path) as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(marked if marked <= size else 0, size - _TAIL_BYTES))
            return log.read(_TAIL_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return ""
