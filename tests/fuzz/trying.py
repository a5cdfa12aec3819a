"""What the fuzz tests have in common: how many examples, how long one may take, and where something may be written.

In a plain run each test tries a fixed set of examples, the same every time. ``GUARD_FUZZ=50`` tries fifty times as many,
other ones each time.
"""

from __future__ import annotations

import os
import signal
import sys
import unicodedata
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TIMES = int(os.environ.get("GUARD_FUZZ", "1"))
# What is bounded takes a fraction of this on any machine; what is not takes minutes.
_SECONDS = 10
_WRITES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown",
           "os.truncate", "shutil.rmtree", "os.setxattr"}
_STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect"}

# What acts where it is shown: on a terminal, in a mail's header, in a chat; and what is no text for some encodings.
NASTY = ["\x1b[2J", "\x1b]0;owned\x07", "\r\nBcc: all@example.com", "\n\n", "\x00", "\x9b31m", "\u202eabc", "\u2028",
         "\ud800", "<!channel>", "@everyone", "$(touch /tmp/owned)", "`id`", "%(x)s", "{0.__class__}", "%n", "../../etc"]
words = st.one_of(st.text(max_size=30), st.sampled_from(NASTY), st.lists(st.sampled_from(NASTY), max_size=4).map("".join))
junk: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)), max_leaves=8)


def many(examples: int) -> Callable[[Any], Any]:
    """So many examples, or so many times :data:`TIMES`."""
    return settings(max_examples=examples * TIMES, deadline=None, derandomize=TIMES == 1, database=None,
                    suppress_health_check=list(HealthCheck), print_blob=False)


def text_of(lines: list[str], less: Optional[list[str]] = None) -> st.SearchStrategy[str]:
    """A file made of these lines, cut and mixed with others."""
    piece = st.one_of(st.sampled_from(lines), st.sampled_from(lines).flatmap(
        lambda line: st.integers(0, len(line)).map(lambda at: line[:at])), words)
    return st.lists(piece, max_size=25).flatmap(
        lambda found: st.sampled_from(["\n", "\r\n", "\n\n", "\n  "]).map(lambda end: end.join(found)))


def is_quiet(shown: str) -> bool:
    """Nothing in it acts on a terminal, and it is one line of a mail's header."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs", "Cf", "Zl", "Zp") for letter in shown)


@contextmanager
def bounded() -> Iterator[None]:
    """What is done inside ends; otherwise the test fails."""
    def too_long(*_arguments: Any) -> None:
        raise AssertionError(f"it was not done after {_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Witness:
    """Python's own audit of what this process does: writes outside of a directory, programs, connections."""

    def __init__(self) -> None:
        self._allowed: Optional[Path] = None
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    @contextmanager
    def watching(self, allowed: Path) -> Iterator[None]:
        self.seen, self._allowed = [], allowed.resolve()
        try:
            yield
        finally:
            self._allowed = None
        assert not self.seen, self.seen

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._allowed is None:
            return
        writes = event in _WRITES or event == "open" and self._writes(arguments)
        if event in _STARTS or writes and not self._is_inside(arguments[0]):
            self.seen.append(f"{event} {arguments[:2]!r}")

    @staticmethod
    def _writes(arguments: tuple[Any, ...]) -> bool:
        flags = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], int) else 0
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))

    def _is_inside(self, path: Any) -> bool:
        if isinstance(path, int):
            return True  # it was open already
        name = os.fsdecode(path)
        if not name.startswith("/"):  # below a directory that is open; a way out of it has a slash
            return "/" not in name and name != ".."
        if name.startswith(("/tmp/.", "/dev/null")) or str(self._allowed) == "/":
            return True
        return f"{os.path.realpath(name)}{os.sep}".startswith(f"{self._allowed}{os.sep}")


witness = Witness()
