"""The Python that a script runs in, by its first line, and whether starting it is safe. Starts nothing itself.

Used by :mod:`certbot_guard.installations`.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Optional

from certbot_guard import plainfile, text, trust
from certbot_guard.errors import GuardError
from certbot_guard.servers import execute

_HEAD_BYTES = 4096


def not_ours_alone(program: Path) -> str:
    """Nothing, if nobody else could have put it there; else why it is not started."""
    try:
        directory = trust.open_directory(program.parent, make=False)
        try:
            trust.check_directory(directory, program.parent)
            status = os.stat(program.name, dir_fd=directory)
        finally:
            os.close(directory)
    except (GuardError, OSError, ValueError) as error:
        return f"it was not asked: {text.line(error, 300)}"
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        return f"it was not asked: {text.line(program, 200)} can be changed by others than root"
    return ""


def of_script(program: Path) -> Optional[Path]:
    """The interpreter that the program's first line names; as pip writes it where that would be too long, too."""
    head = plainfile.read(program, _HEAD_BYTES)
    if not head.startswith(b"#!"):
        return None
    first, _, rest = head.decode("utf-8", "replace").partition("\n")
    words = first[2:].split()
    if words and words[0] == "/bin/sh":  # distlib: '''exec' "/a long/path/python" "$0" "$@"
        match = re.match(r"'''exec' (?:\"([^\"\n]+)\"|(\S+)) \"\$0\"", rest)
        words = [match[1] or match[2]] if match else []
    if words and os.path.basename(words[0]) == "env":
        words = [_on_path(words[-1])] if len(words) > 1 else []
    if not words or not re.match(r"(?:python|pypy)[\d.]*$", os.path.basename(words[0])) or not os.path.isabs(words[0]):
        return None
    return Path(words[0])


def _on_path(name: str) -> str:
    for directory in execute.search_path(dict(os.environ)).split(":"):
        if os.access(os.path.join(directory, name), os.X_OK):
            return os.path.join(directory, name)
    return ""


def is_this(python: Path) -> bool:
    """A virtual environment is the directory its python is in, not what that leads to."""
    own = Path(sys.executable or "/nonexistent")
    if os.path.realpath(python.parent) != os.path.realpath(own.parent):
        return False
    return os.path.realpath(python) == os.path.realpath(own)
