"""What ``certbot-guard status`` takes: many lineages on the disk and many virtual hosts of a real Apache."""

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

    def seconds(self, *options: str) -> float:
        """Of one look that finds nothing wrong."""
        words = [sys.executable, "-m", "certbot_guard.cli", "--config", str(self._settings), "status", *options]
        began = time.perf_counter()
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
                              env={**os.environ, **self._apache.environment},
                              cwd=Path(__file__).resolve().parent.parent)
        seconds = time.perf_counter() - began
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        return seconds


def machine(lineages: int, hosts: int) -> closing[Machine]:
    return closing(Machine(lineages, hosts))
