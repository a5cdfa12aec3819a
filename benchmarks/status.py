"""What ``certbot-guard status`` and ``doctor`` take: many lineages on the disk, many virtual hosts of a real Apache."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from benchmarks import watching


class Machine(watching.Machine):
    """certbot's files of so many lineages, and an Apache that serves the first of them."""

    def seconds(self, command: str, *options: str, codes: tuple[int, ...] = (0,)) -> float:
        """Of one look. ``codes``: how it may end; a doctor finds what is wrong with this machine, too."""
        words = [sys.executable, "-m", "certbot_guard.cli", "--config", str(self._settings), command, *options]
        began = time.perf_counter()
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
                              env={**os.environ, **self._apache.environment},
                              cwd=Path(__file__).resolve().parent.parent)
        seconds = time.perf_counter() - began
        assert done.returncode in codes, done.stdout[-2000:] + done.stderr
        return seconds


def machine(lineages: int, hosts: int) -> closing[Machine]:
    return closing(Machine(lineages, hosts))
