"""certbot's own log records, as events: why a lineage failed, and when no challenge is to come any more.

A handler on the loggers ``certbot`` and ``acme``, installed while certbot builds its parser, so that it hears parse
failures and lock errors too. It keeps a bounded number of records in memory, costs nothing while nothing happens, and
never raises: an exception here would be certbot's. The records' words are the same from certbot 1.12 to 5.8 (a test
notices a change).
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Callable, Optional

from certbot_guard import evidence
from certbot_guard.finalizing import Finalizing

_RENEWAL = "certbot._internal.renewal"
_EXIT = "certbot._internal.log"
_HEADING = "An unexpected error occurred:"
_PENDING_LIMIT = 500
_CONTEXT_LIMIT = 8
_TEXT_LIMIT = 4000


class Capture(logging.Handler):
    """Turns records into ``(kind, fields)`` events for :attr:`sink`; keeps them until there is one.

    :ivar challenge_over: called, in certbot's thread, when the challenge server is about to close; and when an order is
        finalized, since a CA that counts an earlier validation as good asks for no challenge.
    :ivar lineage_failed: called with the lineage's name when certbot gave it up.
    :ivar processing: the renewal configuration certbot looks at now, as it showed it, or None.
    :ivar ran: the pre hooks that certbot has run so far in this process.
    """

    def __init__(self) -> None:
        super().__init__(level=logging.DEBUG)
        self.sink: Optional[Callable[[str, dict], Any]] = None
        self.challenge_over: Optional[Callable[[], Any]] = None
        self.lineage_failed: Optional[Callable[[str], Any]] = None
        self.processing: Optional[str] = None
        self.ran: set[str] = set()
        self.pending: list[tuple[str, dict]] = []
        self._context: deque[str] = deque(maxlen=_CONTEXT_LIMIT)
        self._hook: tuple[str, str] = ("", "")
        self._ran_early: list[tuple[str, dict[str, Any]]] = []
        self._failed_hook = ""  # what certbot calls a hook that has just failed: its output comes next
        self._broken: Optional[str] = None
        self._exchange = evidence.Exchange()
        self._finalizing = Finalizing()
        self._challenges: list[dict[str, str]] = []  # those that failed, as certbot showed them
        self._exit_error: Optional[BaseException] = None  # certbot logs the exception first, then its text for people

    def flush_to(self, sink: Callable[[str, dict], Any]) -> None:
        """From now on events go to ``sink``, those that are waiting first."""
        self.sink = sink
        waiting, self.pending, self._ran_early = self._ran_early + self.pending, [], []
        for kind, fields in waiting:
            sink(kind, fields)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._hear(record)
        except Exception:  # nosec B110 # certbot must not fail because we listen to it
            pass

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing is printed about a record we could not read."""

    def _hear(self, record: logging.LogRecord) -> None:
        message = record.msg
        if not isinstance(message, str):
            return
        if record.name.startswith("acme"):
            self._exchange.hear(message, record.args)
            if self._finalizing.hear(message, record.args) and self.challenge_over:
                self.challenge_over()
        elif message == "Notifying user: %s":
            self._shown(str(record.args[0]) if record.args else "")
        elif message == "Cleaning up challenges":
            if self.challenge_over:
                self.challenge_over()
        elif message == "Running %s command: %s":
            self._hook_runs(str(record.args[0]), record.args[1])  # type: ignore[index]
        elif record.levelno >= logging.WARNING:
            self._trouble(record, message)
        elif message == "Exiting abnormally:" and record.exc_info:
            self._exit_error = record.exc_info[1]

    def _shown(self, text: str) -> None:
        if self._failed_hook and text.startswith(f"{self._failed_hook} ran with output:\n"):
            self._put("hook-output", output=text.partition("\n")[2][:_TEXT_LIMIT])
        if text.startswith("Processing") and text.rstrip().endswith(".conf"):
            self.processing = text[len("Processing"):].strip()
            self._begin_anew()
        elif "reported these problems" in text or "problem" in text[:200].lower():
            self._context.append(text[:_TEXT_LIMIT])
            self._challenges = evidence.reported_problems(text) or self._challenges

    def _begin_anew(self) -> None:
        """What was said of one lineage explains nothing of the next."""
        self._context.clear()
        self._challenges = []
        self._exchange = evidence.Exchange()

    def _trouble(self, record: logging.LogRecord, message: str) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        if message.startswith("Failed to renew certificate %s with error"):
            self._failed(str(arguments[0]), arguments[1])
        elif message.endswith("reported error code %d"):
            self._hook_failed(str(arguments[0]), int(arguments[1]))  # type: ignore[call-overload]
        elif self._failed_hook and message.endswith(" ran with error output:\n%s"):
            self._put("hook-output", output=str(arguments[1])[:_TEXT_LIMIT])
        elif record.name == _RENEWAL and record.levelno >= logging.ERROR:
            self._renewal_error(record, message, arguments)
        elif record.name == _EXIT and record.levelno >= logging.ERROR:
            self._ended(record)
        else:
            self._context.append(record.getMessage()[:_TEXT_LIMIT])

    def _failed(self, lineage: str, error: Any) -> None:
        self._put("lineage-failed", lineage=lineage, error_type=type(error).__name__,
                  error=evidence.text_of(error)[:100_000], acme=acme_problem(error),
                  context=list(self._context), evidence=self._evidence(error))
        self._begin_anew()
        if self.lineage_failed:
            self.lineage_failed(lineage)

    def _evidence(self, error: Any, text: str = "") -> dict[str, Any]:
        known = error if isinstance(error, BaseException) else None
        return evidence.gather(known, self._exchange, self._challenges, text)

    def _hook_runs(self, kind: str, command: Any) -> None:
        self._hook, self._failed_hook = (kind, command), ""
        if kind.startswith("pre"):
            self.ran.add(command)
        own = getattr(command, "own", str(command))
        if "certbot_guard.hooks" in own:
            return
        if self.sink is not None:
            self._put("hook-ran", hook=kind, command=own)
        elif len(self._ran_early) < _PENDING_LIMIT:  # not pending: a hook that ran is no reason to tell anybody
            self._ran_early.append(("hook-ran", {"hook": kind, "command": own}))

    def _hook_failed(self, name: str, code: int) -> None:
        kind, command = self._hook
        self._failed_hook = name
        # what certbot shows is "Hook 'pre-hook'" (1.12: "pre-hook command")
        self._put("hook-failed", hook=kind or name, code=code, command=getattr(command, "own", str(command)))

    def _renewal_error(self, record: logging.LogRecord, message: str, arguments: tuple) -> None:
        text = record.getMessage()
        if "is broken." in message:
            self._broken = str(arguments[0])
        elif message.startswith("The error was:"):
            path, self._broken = self._broken, None
            self._put("lineage-broken", path=path, error=str(arguments[0]) if arguments else text)
        elif "Skipping" in message:
            self._put("lineage-broken", path=str(arguments[0]) if arguments else None, error=text)

    def _ended(self, record: logging.LogRecord) -> None:
        text, error = record.getMessage(), self._exit_error
        if record.exc_info and record.exc_info[1] is not None:  # with --debug certbot logs the exception itself
            error = record.exc_info[1]
            text = f"{type(error).__name__}: {evidence.text_of(error)}"
        # The count of failures says nothing that the failures themselves did not.
        if "renew failure(s)" in text:
            return
        # What a person reads as the end of certbot's output, and the heading of the error that comes next.
        if text.startswith(("Ask for help", "See the logfile", "Please see the logfile")) or text == _HEADING:
            return
        self._put("fatal", error=text[:_TEXT_LIMIT], context=list(self._context), acme=acme_problem(error),
                  evidence=self._evidence(error, text))

    def _put(self, kind: str, **fields: Any) -> None:
        if self.sink is not None:
            self.sink(kind, fields)
        elif len(self.pending) < _PENDING_LIMIT:
            self.pending.append((kind, fields))


def acme_problem(error: Any) -> Optional[dict[str, Any]]:
    """The problem document behind an ``acme.messages.Error``, by its public attributes; None for anything else.

    ``acme.errors.IssuanceError``, an order that failed after finalize, carries one along as ``error``.
    """
    if not isinstance(getattr(error, "typ", None), str):
        error = getattr(error, "error", None)
    kind, detail = getattr(error, "typ", None), getattr(error, "detail", None)
    if not isinstance(kind, str):
        return None
    problems = []
    for inner in list(getattr(error, "subproblems", None) or [])[:100]:
        identifier = getattr(inner, "identifier", None)
        problems.append({"identifier": str(getattr(identifier, "value", identifier or "")),
                         "type": str(getattr(inner, "typ", "")), "detail": str(getattr(inner, "detail", ""))})
    return {"type": kind, "detail": str(detail or ""), "subproblems": problems}
