"""How a command ends: every exception becomes one sentence on stderr and an exit code, and standard streams are usable.

The only place that decides this, for every command. It never shows a traceback unless asked (``--debug``, or
CERTBOT_GUARD_DEBUG=1), and then on stderr. Called by ``certbot_guard.cli.main``.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import click
import click.utils

from certbot_guard import text
from certbot_guard.errors import GuardError

DEBUG = "CERTBOT_GUARD_DEBUG"
INTERRUPTED = 130  # 128 + SIGINT, as a shell says it
READER_GONE = 141  # 128 + SIGPIPE
_HINT = f"{DEBUG}=1 in front of the command shows where"


class ReaderGoneError(Exception):
    """Whoever read our output wants no more of it; nothing is wrong."""


class Details:
    """Whether a traceback is wanted; the option sets it, since no context is left when an error ends the command."""

    wanted = False

    @classmethod
    def ask(cls, context: click.Context, parameter: click.Parameter, value: bool) -> None:
        cls.wanted = value or os.environ.get(DEBUG, "") not in ("", "0")


class Commands(click.Group):
    """A group that knows a reader who has gone from other troubles: click would end with 1, which says "trouble"."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        with _watched_output():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: click.Context) -> Any:
        with _watched_output():
            return super().invoke(ctx)


def run(commands: click.Group, arguments: Optional[list[str]]) -> int:
    """Run one command and return its exit code. What went wrong has been said in one sentence."""
    _have_standard_streams()
    Details.wanted = os.environ.get(DEBUG, "") not in ("", "0")
    try:
        try:
            result = commands.main(args=arguments, prog_name="certbot-guard", standalone_mode=False)
            code: Any = result if isinstance(result, int) else 0
        except SystemExit as error:
            code = error.code
        sys.stdout.flush()
        return code if isinstance(code, int) else 1 if code else 0
    except Exception as error:
        code, said = _ended(error)
        if isinstance(error, click.Abort):
            _say("", None, "\n")  # the question's line is not ended yet
        _say(said, error if Details.wanted and code != READER_GONE else None)
        return code
    except KeyboardInterrupt:
        _say("interrupted", None)
        return INTERRUPTED
    finally:
        _let_go_of_output()


def _ended(error: Exception) -> tuple[int, str]:
    """The exit code, and the sentence; an empty one where nothing is to be said."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code, ""
    if isinstance(error, ReaderGoneError) or (isinstance(error, BrokenPipeError) and _reader_gone()):
        return READER_GONE, ""
    if isinstance(error, click.Abort):
        cause = error.__cause__ or error.__context__
        if isinstance(cause, KeyboardInterrupt):
            return INTERRUPTED, "interrupted"
        return 1, "no answer came, so it was not done" if isinstance(cause, EOFError) else "not done, as you answered"
    if isinstance(error, GuardError):
        detail = text.lines(getattr(error, "detail", ""), 2000, 20)
        return 1, "\n  ".join([str(error), *detail])
    if isinstance(error, OSError):
        return 1, _of_the_system(error)
    if type(error).__module__ == "sqlite3":
        return 1, f"the state database cannot be used: {text.line(error, 200)}; {_HINT}"
    if isinstance(error, UnicodeError):
        return 1, f"something that was read is not text in UTF-8, at {_place(error)}; {_HINT}"
    if isinstance(error, ImportError):
        return 1, (f"a part of this Python is missing or may not be read by you: {text.line(error.name or error, 120)}"
                   ". Install certbot-guard again, or run this as the user that certbot runs as, usually root")
    # Its text is left out: it may hold what was being worked on, an Apprise URL included.
    return 1, (f"an error of certbot-guard's own: {type(error).__name__} at {_place(error)}. Please report it; "
               f"{_HINT}, and may show secrets")


def _of_the_system(error: OSError) -> str:
    said = text.line(error.strerror or error, 200)
    if error.filename not in (None, ""):
        path = text.line(os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename, 300)
        if isinstance(error, PermissionError):
            return f"{path} may not be used by you: {said}. Run this as the user that certbot runs as, usually root"
        return f"{path} cannot be used: {said}"
    if error.errno == errno.ENOENT and not _there_is_a_current_directory():
        return "the current directory does not exist any more: change to another one"
    if _while_printing(error):
        return f"the output cannot be written: {said}"
    return f"the system does not do what was asked: {said}; {_HINT}"


def _while_printing(error: BaseException) -> bool:
    import traceback

    return any(frame.f_code.co_name in ("echo", "run") and frame.f_code.co_filename in (click.utils.__file__, __file__)
               for frame, _ in list(traceback.walk_tb(error.__traceback__))[-1:])


def _place(error: BaseException) -> str:
    """The innermost line of ours, such as ``watch/files.py, line 12``."""
    package = Path(__file__).resolve().parent.parent
    found, trace = "an unknown place", error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if package in file.parents:
            found = f"{file.relative_to(package)}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _say(sentence: str, shown: Optional[BaseException], first: str = "") -> None:
    try:
        click.echo(first, err=True, nl=False)
        if shown is not None:
            import traceback

            click.echo("".join(traceback.format_exception(type(shown), shown, shown.__traceback__)), err=True, nl=False)
        if sentence:
            click.echo(f"certbot-guard: {sentence}", err=True)
    except OSError:
        pass  # nobody reads it; the exit code says it


# -- standard streams ------------------------------------------------------------------------------------------------


def have_standard_descriptors() -> None:
    """Whoever started us with one of them closed must not get something of ours in its place."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return


def _have_standard_streams() -> None:
    """They are there, and take every character: a host's locale may know neither a bar nor a name in UTF-8."""
    have_standard_descriptors()
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def _watched_output() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        if _reader_gone():
            raise ReaderGoneError from error
        # click would end with 1 and without a word
        raise GuardError("what was being written to has gone: Broken pipe. Try again") from error


def _reader_gone() -> bool:
    """Whether standard output or standard error is a pipe that nobody reads any more."""
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)
    return any(happened & select.POLLERR for _, happened in poll.poll(0))


def _there_is_a_current_directory() -> bool:
    try:
        return bool(os.getcwd())
    except OSError:
        return False


def _let_go_of_output() -> None:
    """What nobody takes is given up: Python would try once more at its end, and complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            try:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
            except (OSError, ValueError):
                pass
