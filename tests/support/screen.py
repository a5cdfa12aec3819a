"""A terminal that is typed into as a person would, in tmux, and what stands on it."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Optional

PROMPT = "root@www:~# "


class Screen:
    """A shell in a tmux of its own. ``type`` waits for the prompt first, ``answer`` for a question."""

    def __init__(self, directory: Path, environment: dict[str, str], width: int = 110, height: int = 45) -> None:
        self._tmux = ["tmux", "-S", str(directory / "tmux"), "-f", "/dev/null"]
        self._began = time.monotonic()
        self.times: list[tuple[str, float]] = []  # what was typed, and for how long it ran
        shell = ["env", "-i", *(f"{name}={value}" for name, value in environment.items()), "TERM=screen-256color",
                 f"PS1={PROMPT}", "HISTFILE=", "bash", "--norc", "--noprofile", "-i"]
        self._do("new-session", "-d", "-x", str(width), "-y", str(height), "-s", "screen", *shell)
        self._do("set-option", "-t", "screen", "history-limit", "50000")
        self._do("resize-window", "-t", "screen", "-x", str(width), "-y", str(height))
        self.wait(re.escape(PROMPT.rstrip()) + r"\s*$", 20)

    def _do(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=20, check=False)
        if done.returncode:
            raise RuntimeError(f"tmux {' '.join(words[:3])}: {done.stdout}")
        return done.stdout

    def text(self) -> str:
        """Everything that has been on it, lines that the terminal wrapped joined again, without trailing spaces."""
        said = self._do("capture-pane", "-p", "-J", "-S", "-", "-t", "screen")
        return "\n".join(line.rstrip() for line in said.splitlines()).rstrip() + "\n"

    def wait(self, pattern: str, seconds: float = 120.0) -> None:
        """Return when what stands at the end matches, and nothing new has come for a moment.

        :raises AssertionError: it does not; the screen is in it.
        """
        deadline = time.monotonic() + seconds
        wanted = re.compile(pattern)
        while time.monotonic() < deadline:
            said = self.text().rstrip()
            if wanted.search(said[-1500:]):
                return
            time.sleep(0.1)
        raise AssertionError(f"{pattern!r} did not come within {seconds} s:\n{self.text()[-6000:]}")

    def run(self, command: str, answers: Optional[list[tuple[str, str]]] = None, seconds: float = 90.0) -> str:
        """Type the command, answer each question as it comes, wait for the prompt. Returns what this put on the screen.

        :param answers: (the end of the question, what is typed); in this order
        """
        before = len(self.text())
        began = time.monotonic()
        self._do("send-keys", "-t", "screen", "-l", command)
        self._do("send-keys", "-t", "screen", "Enter")
        for question, typed in answers or []:
            self.wait(question + r"\s*$", seconds)
            time.sleep(0.2)  # a person is slower; a program that has just asked for silence must have it by then
            if typed:
                self._do("send-keys", "-t", "screen", "-l", typed)
            self._do("send-keys", "-t", "screen", "Enter")
            self.wait_gone(question)
        self.wait(r"\n" + re.escape(PROMPT.rstrip()) + r"\s*$", seconds)
        self.times.append((command, time.monotonic() - began))
        return self.text()[before:]

    def wait_gone(self, question: str, seconds: float = 60.0) -> None:
        """The answer has been taken: the question is no longer the last thing there."""
        deadline = time.monotonic() + seconds
        while re.search(question + r"\s*$", self.text().rstrip()[-1500:]) and time.monotonic() < deadline:
            time.sleep(0.05)

    def interrupt(self) -> None:
        self._do("send-keys", "-t", "screen", "C-c")

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
                       timeout=20)
