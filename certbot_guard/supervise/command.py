"""One command, run once: as if nobody stood between it and who started us; and what it said and how it ended is known.

Its standard input, and an output that is a terminal, are simply its own: whoever sits there has read it. Any other
output goes through a pipe of ours to where it would have gone, byte for byte; where both streams lead to the same place
they share the pipe, so that their order is kept. The command stays in our process group: ^C, ^Z and fg are between the
terminal and both of us.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from certbot_guard.servers import processes
from certbot_guard.supervise import memory
from certbot_guard.supervise.signals import ENDING, Signals
from certbot_guard.text import line

KEEP_BYTES = 64 * 1024
# A command that was asked to end is killed after this.
KILL_AFTER_SECONDS = 10.0
# What a process that the command leaves behind still prints is passed on for so long.
_GRACE_SECONDS = 0.5
# Codes that shells and timeout(1) give
_CANNOT_RUN, _NOT_FOUND, _TIMED_OUT, _BY_SIGNAL = 126, 127, 124, 128
# pipe(7): a write of PIPE_BUF bytes to a pipe that poll() calls writable does not block
_WRITE_BYTES = 4096
_READ_BYTES = 65536


@dataclass(frozen=True)
class Ended:
    """How the command ended.

    :ivar code: its exit code; None where it has none
    :ivar signal: the name of what killed it, or an empty string
    :ivar reason: ``exit`` (also where that is 0), ``signal``, ``timeout``, ``memory``, or ``start``: it never ran
    :ivar output: the last of what it printed; why it could not be started
    :ivar asked: somebody sent us a signal that ends a program, and it was passed on
    """

    code: Optional[int]
    signal: str
    reason: str
    output: bytes
    seconds: float
    asked: bool = False

    @property
    def failed(self) -> bool:
        return self.code != 0 or self.reason != "exit"

    @property
    def passed_on(self) -> int:
        """The exit code that says the same, as a shell and timeout(1) have it."""
        if self.reason == "timeout":
            return _TIMED_OUT
        return self.code if self.code is not None else _BY_SIGNAL + int(signal.Signals[self.signal])


class _Stream:
    """One pipe from the command, and where it leads."""

    def __init__(self, source: int, target: int) -> None:
        self.source, self.target = source, target
        self.pending = b""
        self.ended = False
        self.owed = 0  # bytes that the command itself has left in the pipe

    def close(self) -> None:
        if not self.ended:
            self.ended = True
            os.close(self.source)


class Command:
    """:param timeout_seconds: then it is asked to end (SIGTERM), and killed if it does not"""

    def __init__(self, words: Sequence[str], signals: Signals, timeout_seconds: Optional[float] = None,
                 environment: Optional[dict[str, str]] = None) -> None:
        self._words = list(words)
        self._signals = signals
        self._timeout = timeout_seconds
        self._environment = environment
        self._tail = bytearray()
        self._streams: list[_Stream] = []
        self._asked = self._timed_out = False
        self._left: list[tuple[int, Optional[int]]] = []  # to be killed once the time is up

    def run(self) -> Ended:
        """Run it to its end. Afterwards there is no zombie of it, and no pipe to it."""
        with self._signals.blocked():
            return self._run(time.monotonic(), memory.killed_so_far())

    def _run(self, began: float, killed_before: int) -> Ended:
        try:
            child = self._start()
        except OSError as error:
            words = f"{line(self._words[0], 200)} cannot be started: {error.strerror or error}"
            print(f"certbot-guard: {words}", file=sys.stderr)
            code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _CANNOT_RUN
            return Ended(code, "", "start", words.encode(), time.monotonic() - began)
        try:
            self._attend(child, began)
        finally:
            for stream in self._streams:
                stream.close()
        code = child.returncode
        name = signal.Signals(-code).name if code < 0 else ""
        reason = "timeout" if self._timed_out else "signal" if name else "exit"
        # A shell around the killed program gives 137.
        if code in (-signal.SIGKILL, _BY_SIGNAL + signal.SIGKILL) and memory.killed_so_far() > killed_before:
            reason = "memory"
        return Ended(None if name else code, name, reason, bytes(self._tail), time.monotonic() - began, self._asked)

    # -- beginning -------------------------------------------------------------------------------------------

    def _start(self) -> subprocess.Popen[bytes]:
        given: dict[int, int] = {}
        ours: list[int] = []
        try:
            for targets in _targets():
                read, write = os.pipe()
                ours.append(write)
                self._streams.append(_Stream(read, targets[0]))
                given.update({number: write for number in targets})
            # What we have inherited is the command's as well; what we have opened is not inherited.
            return subprocess.Popen(self._words, stdout=given.get(1), stderr=given.get(2), env=self._environment,
                                    close_fds=False,
                                    preexec_fn=self._signals.unblock)  # no thread of ours is there to deadlock it
        except BaseException:
            for stream in self._streams:
                stream.close()
            raise
        finally:
            for descriptor in ours:
                os.close(descriptor)

    # -- while it runs ---------------------------------------------------------------------------------------

    def _attend(self, child: subprocess.Popen[bytes], began: float) -> None:
        act_at = began + self._timeout if self._timeout is not None else None
        ended_at: Optional[float] = None
        while True:
            if ended_at is None and child.poll() is not None:
                ended_at = time.monotonic()
                self._kill_what_is_left()
                for stream in self._streams:
                    stream.owed = 0 if stream.ended else _readable_bytes(stream.source)
            if ended_at is not None:
                self._drop_what_is_not_its_own(ended_at)
                if all(stream.ended for stream in self._streams):
                    return
            elif act_at is not None and time.monotonic() >= act_at:
                act_at = self._end(child)
            until = act_at
            if ended_at is not None:  # after the grace only what the command itself has printed keeps us
                until = ended_at + _GRACE_SECONDS if time.monotonic() < ended_at + _GRACE_SECONDS else None
            self._move(until)
            self._pass_on(child)

    def _move(self, until: Optional[float]) -> None:
        """Wait until something can be moved, and move it; until a signal has come, or that time."""
        with selectors.PollSelector() as ready:  # a regular file can be polled; epoll refuses it
            ready.register(self._signals.descriptor, selectors.EVENT_READ)
            for stream in self._streams:
                if stream.pending:
                    ready.register(stream.target, selectors.EVENT_WRITE, stream)
                elif not stream.ended:
                    ready.register(stream.source, selectors.EVENT_READ, stream)
            found = ready.select(None if until is None else max(0.0, until - time.monotonic()))
        for key, _ in found:
            if isinstance(key.data, _Stream):
                self._write(key.data) if key.data.pending else self._read(key.data)

    def _read(self, stream: _Stream) -> None:
        data = os.read(stream.source, _READ_BYTES)
        if not data:
            stream.close()
            return
        stream.owed -= len(data)
        stream.pending = data
        self._tail += data
        del self._tail[:-KEEP_BYTES]

    def _write(self, stream: _Stream) -> None:
        try:
            stream.pending = stream.pending[os.write(stream.target, stream.pending[:_WRITE_BYTES]):]
        except BrokenPipeError:  # its reader is gone: the command gets SIGPIPE, as it would without us
            stream.pending = b""
            stream.close()
        except BlockingIOError:  # somebody made the descriptor that way
            time.sleep(0.01)
        except OSError:  # a full disk: what is lost is lost, and the command goes on
            stream.pending = b""

    def _drop_what_is_not_its_own(self, ended_at: float) -> None:
        """What the command has left behind may hold the pipe open for ever, and a reader of ours may hang."""
        over = time.monotonic() >= ended_at + _GRACE_SECONDS
        for stream in self._streams:
            if over and (self._asked or self._timed_out or (stream.owed <= 0 and not stream.pending)):
                stream.close()

    # -- signals ---------------------------------------------------------------------------------------------

    def _pass_on(self, child: subprocess.Popen[bytes]) -> None:
        for arrived in self._signals.read():
            if arrived.number == signal.SIGCHLD:
                continue
            self._asked = self._asked or arrived.number in ENDING
            if not arrived.to_all:
                child.send_signal(arrived.number)

    def _end(self, child: subprocess.Popen[bytes]) -> Optional[float]:
        """Ask it to end; the second time, kill it. Returns when the next step is due."""
        if not self._timed_out:
            self._timed_out = True
            self._left = [(pid, processes.start_time(pid)) for pid in _descendants(child.pid)]
            child.terminate()
            return time.monotonic() + KILL_AFTER_SECONDS
        child.kill()
        return None

    def _kill_what_is_left(self) -> None:
        """A hook that hung outlives the certbot that waited for it."""
        for pid, started in self._left:
            if started is not None and processes.start_time(pid) == started:
                processes.signal_process(pid, started, signal.SIGKILL)


def _targets() -> list[list[int]]:
    """Our outputs that are no terminals, those that lead to the same place together."""
    found: dict[tuple[int, int], list[int]] = {}
    for number in (1, 2):
        try:
            status = os.fstat(number)
        except OSError:  # it is closed, and stays so
            continue
        if not os.isatty(number):
            found.setdefault((status.st_dev, status.st_ino), []).append(number)
    return list(found.values())


def _readable_bytes(descriptor: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))[0])


def _descendants(pid: int) -> list[int]:
    """Of our own session: what has left it (a sentinel, a web server) is not part of the command."""
    found = []
    for child in processes.children(pid):
        try:
            same = os.getsid(child) == os.getsid(0)
        except OSError:
            continue
        found += ([child] if same else []) + _descendants(child)
    return found
