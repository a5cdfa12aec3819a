"""A program on a terminal of its own, typed to as a person would, and everything that has stood on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time
from typing import Sequence


class Terminal:
    """Started at once. ``expect`` waits for words, ``type`` writes a line; ``seen`` is all that came."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self._terminal, self._keep = pty.openpty()  # the second stays open here: its settings outlive the program
        self._program = subprocess.Popen(arguments, env=environment, stdin=self._keep, stdout=self._keep,
                                         stderr=self._keep, start_new_session=True,
                                         preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.pid = self._program.pid
        self._looked = 0
        self.seen = ""

    def expect(self, pattern: str, timeout: float = 30.0) -> str:
        """Return what came since the last expectation, up to the end of the first match of ``pattern`` in it."""
        deadline = time.monotonic() + timeout
        while True:
            match = re.compile(pattern, re.DOTALL).search(self.seen, self._looked)
            if match:
                before, self._looked = self._looked, match.end()
                return self.seen[before:match.end()]
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"no {pattern!r} on the terminal:\n{self.seen}")

    def type(self, line: str) -> None:
        """The line and the Enter key."""
        os.write(self._terminal, line.encode() + b"\r")

    def press(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def answer(self, *dialogue: tuple[str, str]) -> None:
        """(the end of a question, the answer), one after the other. An answer is typed when nobody else reads it."""
        for question, line in dialogue:
            self.expect(question)
            self.type(line)

    def wait_silent(self, timeout: float = 10.0) -> None:
        """Return when the program has switched the echo off."""
        deadline = time.monotonic() + timeout
        while self.echoes:
            assert time.monotonic() < deadline, f"what is typed is shown:\n{self.seen}"
            time.sleep(0.005)

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self._keep)[3] & termios.ECHO)

    def wait(self, timeout: float = 60.0) -> int:
        """Its exit code as a shell shows it."""
        deadline = time.monotonic() + timeout
        while self._program.poll() is None:
            self._read(0.02)
            if time.monotonic() > deadline:
                raise AssertionError(f"it goes on:\n{self.seen}")
        while self._read(0.02):
            pass
        code = self._program.returncode
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        self._program.kill()
        self._program.wait()
        os.close(self._keep)
        os.close(self._terminal)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._terminal], [], [], max(0.0, seconds))[0]:
            return False
        try:
            came = os.read(self._terminal, 65536)
        except OSError:  # EIO: nobody has it open any more
            return False
        self.seen += came.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(came)
