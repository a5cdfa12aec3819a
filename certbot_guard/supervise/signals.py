"""The signals that this process gets while it supervises, read one by one, with who sent each.

A handler of Python's does not learn whether a SIGINT came from the terminal, which sends it to the supervised command
as well, or from somebody who means that command and knows only us. signalfd(2) says so.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Optional

# Those that mean the command. SIGTSTP, SIGCONT and SIGWINCH are left alone: the terminal sends them to both of us.
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
# sigaction(2): si_code of a signal that the kernel sent, such as that of a key
_SI_KERNEL = 0x80
# signalfd(2): struct signalfd_siginfo has 128 bytes; number, errno and code come first
_INFO_BYTES = 128
_LOOK_SECONDS = 0.5
_SET_BYTES = 128


@dataclass(frozen=True)
class Arrived:
    """:ivar to_all: the terminal's, which every process in the foreground gets by itself"""

    number: int
    to_all: bool


class Signals:
    """While this is entered, signals are kept to be read instead of ending this process. Of the main thread only.

    What was ignored when we began stays so (nohup), for the command as well. Those that come while they are not
    :meth:`blocked` are kept, too, but not who sent them; children started then can be ended as any other.
    """

    def __init__(self) -> None:
        self.descriptor = -1
        self._handlers: dict[int, Any] = {}
        self._mask: set[Any] = set()
        self._early: list[Arrived] = []

    def __enter__(self) -> Signals:
        taken = [number for number in PASSED_ON if signal.getsignal(number) != signal.SIG_IGN] + [signal.SIGCHLD]
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        self.descriptor = _signalfd(taken)
        self._handlers = {number: signal.signal(number, self._keep) for number in taken}
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        os.close(self.descriptor)

    def _keep(self, number: int, _frame: Any) -> None:
        self._early.append(Arrived(number, False))

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """They can be waited for by :attr:`descriptor`, and what is read has its sender."""
        signal.pthread_sigmask(signal.SIG_BLOCK, list(self._handlers))
        try:
            yield
        finally:
            self.unblock()

    def unblock(self) -> None:
        """As it was before; also for a child, between fork and exec."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def read(self) -> list[Arrived]:
        """What has arrived since, SIGCHLD too; does not wait."""
        found, self._early = self._early, []
        while True:
            try:
                data = os.read(self.descriptor, _INFO_BYTES)
            except BlockingIOError:
                return found
            number, _, code = struct.unpack_from("=Iii", data)
            found.append(Arrived(number, code == _SI_KERNEL and number in (signal.SIGINT, signal.SIGQUIT)))

    def wait(self, seconds: float) -> bool:
        """Let the time pass. False: a signal that ends a program has come, and it is over at once."""
        deadline = time.monotonic() + seconds
        with self.blocked():
            while True:
                if any(one.number in ENDING for one in self.read()):
                    return False
                left = deadline - time.monotonic()
                if left <= 0:
                    return True
                # A thread that has not blocked them, such as a library's, may be given the signal: then only what
                # Python's handler keeps tells of it.
                select.select([self.descriptor], [], [], min(left, _LOOK_SECONDS))


def _signalfd(numbers: list[Any]) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = ctypes.create_string_buffer(_SET_BYTES)  # sigset_t: 128 bytes in glibc and musl
    libc.sigemptyset(wanted)
    for number in numbers:
        libc.sigaddset(wanted, int(number))
    descriptor = libc.signalfd(-1, wanted, os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "signalfd")
    return int(descriptor)
