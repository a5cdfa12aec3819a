"""Ctrl-C, SIGTERM and a terminal that goes away: at a question at once, in a write after it. For setup alone."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedError(BaseException):
    """It ends here. No ``Exception``: nothing that goes on after an error may go on after this.

    :ivar code: the exit code
    """

    code = 1


class InputEndedError(StoppedError):
    """Ctrl-D, or a terminal that has gone: nobody answers any more."""


class SignalledError(StoppedError):
    """One of the signals came. The exit code is the one that a shell would show."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


class Stopping:
    """As a context: the signals raise :class:`SignalledError` in it; before and after they do what they did before."""

    def __init__(self) -> None:
        self._held = False
        self._came: Optional[int] = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopping:
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is done in here is done to its end; a signal that comes meanwhile counts after it."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            came, self._came = self._came, None
            if came is not None:
                raise SignalledError(came)

    def _on_signal(self, number: int, _frame: object) -> None:
        if self._held:
            self._came = number
        else:
            raise SignalledError(number)
