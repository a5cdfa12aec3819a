"""Running other programs: a server's control program, systemctl, the user's commands.

What is started here may be a server, which keeps what it inherits for as long as it lives. So it gets no
descriptor of ours but an anonymous file for its output, and nobody waits for that file's end: Apache keeps
stdout open (measured, 2.4.71).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Optional, Sequence

from certbot_guard.errors import ServerError

OUTPUT_LIMIT_BYTES = 16 * 1024
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


# What runs, by the thread that waits for it; and the threads for which nobody waits any more.
_running: dict[threading.Thread, subprocess.Popen[bytes]] = {}
_abandoned: set[threading.Thread] = set()
_lock = threading.Lock()


@dataclass(frozen=True)
class Result:
    """``code`` is None if the program was killed, out of time. ``output`` has the end of both streams."""

    code: Optional[int]
    output: str


def run(
    command: Sequence[str],
    environment: dict[str, str],
    seconds: float,
    in_scope: bool = False,
    limit_bytes: int = OUTPUT_LIMIT_BYTES,
) -> Result:
    """Run ``command`` to its end, or for ``seconds``. Of its output the last ``limit_bytes`` are kept.

    With ``in_scope``, under systemd, it runs in a scope of its own: what it leaves running is not killed when
    the unit that we are part of ends (measured: a oneshot unit takes everything with it, even in success).

    :raises ServerError: it cannot be started at all.
    """
    words = list(command)
    if in_scope and under_systemd():
        wrapped = _in_scope(words, environment)
        if wrapped:
            result = _run(wrapped, environment, seconds, limit_bytes)
            # systemd-run itself failed: there is no bus to ask, or it may not ask. The command never ran.
            if not (result.code == 1 and result.output.startswith("Failed to ")):
                return result
    return _run(words, environment, seconds, limit_bytes)


def abandon(thread: threading.Thread) -> None:
    """What this thread runs is killed as if its time were over, and it starts nothing more. For threads that only look.
    """
    with _lock:
        _abandoned.add(thread)
        if thread in _running:
            _kill(_running[thread])


def under_systemd() -> bool:
    # The test that sd_booted(3) documents.
    return os.path.isdir("/run/systemd/system")


def search_path(environment: dict[str, str]) -> str:
    """The absolute entries of PATH in ``environment``, then the sbin directories that cron's PATH lacks."""
    entries = [entry for entry in environment.get("PATH", "").split(":") if entry.startswith("/")]
    return ":".join(entries + [entry for entry in SBIN if entry not in entries])


def _in_scope(words: list[str], environment: dict[str, str]) -> Optional[list[str]]:
    for directory in search_path(environment).split(":"):
        program = os.path.join(directory, "systemd-run")
        if os.access(program, os.X_OK):
            return [program, "--scope", "--quiet", "--collect", "--", *words]
    return None


def _run(words: list[str], environment: dict[str, str], seconds: float, limit_bytes: int) -> Result:
    complete = {**environment, "PATH": search_path(environment)}
    if threading.current_thread() in _abandoned:
        raise ServerError(f"{words[0]} was not run: the time was over")
    with _output_file() as output:
        # A server started with signals blocked could not be told to stop. The mask is inherited from this
        # thread.
        blocked = signal.pthread_sigmask(signal.SIG_SETMASK, ())
        try:
            process = subprocess.Popen(
                words,
                env=complete,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                close_fds=True,
                restore_signals=True,
            )
        except (OSError, ValueError) as error:
            raise ServerError(f"{words[0]} cannot be run: {error}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        with _known(process):
            ended = _ended(process, seconds)
        if not ended:
            _kill(process)
        code = process.wait()
        return Result(code if ended else None, _tail(output, limit_bytes))


@contextmanager
def _known(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """:func:`abandon` finds it."""
    thread = threading.current_thread()
    if thread is threading.main_thread():  # nobody abandons it, and a signal handler may come to run something, too
        yield
        return
    with _lock:
        _running[thread] = process
        if thread in _abandoned:
            _kill(process)
    try:
        yield
    finally:
        with _lock:
            del _running[thread]


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is not None:
        return  # its number may be another's by now
    try:
        os.killpg(process.pid, signal.SIGKILL)  # its session; a server that detached is in another
    except OSError:
        pass


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for its end. Popen.wait(timeout) looks every 50 ms only, and each of them would be outage."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except (OSError, AttributeError):  # before Linux 5.3
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True
    try:
        waiter = select.poll()
        waiter.register(descriptor, select.POLLIN)
        return bool(waiter.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def _output_file() -> IO[bytes]:
    """A file that needs no disk: a full one must not keep a server from being started."""
    try:
        return os.fdopen(os.memfd_create("output"), "w+b")
    except (OSError, AttributeError):
        return tempfile.TemporaryFile()


def _tail(output: IO[bytes], limit_bytes: int) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - limit_bytes))
    return output.read(limit_bytes).decode("utf-8", "replace").strip()
