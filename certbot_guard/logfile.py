"""A letsencrypt.log, read back into the events that :mod:`certbot_guard.capture` makes of a run as it happens.

Of any certbot from 0.27 (2018) to 5.8, as far as the words of its records allow; what is not understood is passed over.
Pure, but that it may ask for this machine's addresses. Used by ``certbot-guard explain``.
"""

from __future__ import annotations

import ast
import json
import os
import re
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, Optional

from certbot_guard import evidence, invocation, traceback_text
from certbot_guard.logrecords import Record, records, zone_of

_TEXT_LIMIT = 4000
_CONTEXT_LIMIT = 8
_EVENTS_LIMIT = 5000
_ARGUMENTS_LIMIT = 200_000

# certbot 1.12 to 5.8; 0.27 to 1.11
_FAILED = re.compile(r"Failed to renew certificate (?P<lineage>.{1,300}?) with error: (?P<error>.*)", re.DOTALL)
_FAILED_0 = re.compile(r"Attempting to renew cert \((?P<lineage>.{1,300}?)\) from .{1,600}? produced an unexpected "
                       r"error: (?P<error>.*?)(?:\. Skipping\.)?", re.DOTALL)
_BROKEN = re.compile(r"(?:Renewal configuration file|An error occurred while parsing) (?P<path>.+?\.conf)\b", re.DOTALL)
# "Hook 'pre-hook' reported", 1.12: "pre-hook command reported", before: 'Hook command "..." returned'
_HOOK_CODE = re.compile(r"(?P<name>.{1,200}?) (?:reported|returned) error code (?P<code>-?\d{1,5})\s*", re.DOTALL)
_HOOK_RUNS = re.compile(r"Running [\w-]{1,80} command: ")
_HOOK_SAID = re.compile(r"(?:.{1,200}? ran with (?:error )?output|(?:Error o|O)utput from .{1,200}?):\n(?P<output>.*)",
                        re.DOTALL)
_SENT = re.compile(r"Sending (GET|HEAD|POST) request to (\S+?)[.:]?(?:\s|$)")
_RECEIVED = re.compile(r"Received response:\nHTTP (\d{3})\n(.*?)(?:\n\n(.*))?", re.DOTALL)
_PROBLEM = re.compile(r"urn:(?:ietf:params:)?acme:error:\w+")
_PORT = re.compile(r"Could not bind TCP port (\d{1,5})\b|Problem binding to port (\d{1,5})\b")
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\b[0-9a-fA-F]{1,4}:[0-9a-fA-F:]*:[0-9a-fA-F:.]*")
_RESULT = re.compile(r"^[ \t]*(?P<path>\S.*?)(?: expires on [\d-]+)? \((?P<how>success|skipped)\)", re.MULTILINE)
_OF_THE_CA = ("acme.", "josepy.", "requests.", "urllib3.")
_END_OF_OUTPUT = ("Ask for help", "See the logfile", "Please see the logfile", "An unexpected error occurred:")


@dataclass
class Run:
    """One run of certbot in the log. Each event has besides its own fields ``line`` and ``logged``, the log's own time.

    :ivar began: the log's own time, which names no time zone
    :ivar facts: ``argv`` (masked), ``dry_run``, ``certbot`` (its version)
    :ivar renewed: the lineages that it says it has renewed
    :ivar renewal: it is one of ``certbot renew``, whose verb certbot does not log
    :ivar unfinished: it is a renewal of which the log does not tell the end
    """

    began: str
    ended: str
    facts: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    renewal: bool = False
    unfinished: bool = False


def runs(text: str, whole: bool = True, here: bool = False) -> list[Run]:
    """The runs that a log tells of, oldest first; none if it is no log of certbot's. Never raises.

    :param whole: ``text`` begins where the file does
    :param here: it is this machine's log, so that an address in it may be ours
    """
    found: list[list[Record]] = []
    for record in records(text, whole):
        # certbot begins a file for each run, unless max-log-backups is 0
        if not found or record.text.startswith("certbot version: "):
            found.append([])
        found[-1].append(record)
    return [_Reader(here).read(one) for one in found]


class _Reader:
    """What :class:`~certbot_guard.capture.Capture` is for records as they come, for those of a log."""

    def __init__(self, here: bool) -> None:
        self._here = here
        self._exchange = evidence.Exchange()
        self._challenges: list[dict[str, str]] = []
        self._context: list[str] = []
        self._hook = ("", "")
        self._hook_failed = False
        self._last: Optional[dict[str, Any]] = None  # the event that a "Traceback was" belongs to
        self._fatal: Optional[dict[str, Any]] = None
        self._zone: Optional[tzinfo] = None
        self._run = Run("", "")
        self._is_renewal = self._ended = False

    def read(self, found: list[Record]) -> Run:
        self._run, self._zone = Run(found[0].at, found[-1].at), zone_of(found, self._here)
        for record in found:
            if len(self._run.events) < _EVENTS_LIMIT:
                self._hear(record)
        if self._fatal and not _is_count(self._fatal["error"]):
            self._run.events.append(self._fatal)
        self._run.renewal = self._is_renewal or any(record.logger.endswith("renewal") for record in found)
        self._run.unfinished = self._is_renewal and not self._ended
        return self._run

    def _hear(self, record: Record) -> None:
        text = record.text
        if record.logger.startswith("acme."):
            self._of_the_ca(text)
        elif text.startswith("Notifying user: ") or text.startswith("Reporting to user: "):
            self._shown(text.partition("user: ")[2], record)
        elif text.startswith("Exiting abnormally:"):
            self._exits(record)
        elif text.startswith("Traceback was:") and self._last is not None:
            self._add_traceback(self._last, text)
            self._last = None
        elif _HOOK_RUNS.match(text):
            kind, _, command = text[len("Running "):].partition(" command: ")
            self._hook, self._hook_failed = (kind, command), False
        elif record.is_trouble or _HOOK_SAID.match(text):
            self._trouble(record, text)
        else:
            self._of_the_run(text)

    def _of_the_run(self, text: str) -> None:
        facts = self._run.facts
        if text.startswith("certbot version: "):
            facts["certbot"] = text.split(": ", 1)[1][:40]
        elif text.startswith("Arguments: ["):
            try:
                said = ast.literal_eval(text[len("Arguments: "):][:_ARGUMENTS_LIMIT])
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                return
            facts["argv"] = invocation.masked([str(word) for word in said])
            facts["dry_run"] = "--dry-run" in facts["argv"]
        elif text.startswith("no renewal failures"):
            self._ended = True

    def _of_the_ca(self, text: str) -> None:
        sent, received = _SENT.match(text), _RECEIVED.fullmatch(text)
        if sent:
            self._exchange.hear("Sending POST request to %s:", (sent[2],))
        elif received:
            self._exchange.hear("Received response:\nHTTP %d\n%s\n\n%s", (received[1], received[2], received[3] or ""))

    def _shown(self, text: str, record: Record) -> None:
        problems = evidence.reported_problems(text)
        if text.startswith("Processing") and text.rstrip().endswith(".conf"):
            self._is_renewal = True
            self._forget()
        elif problems:
            self._challenges += problems
            self._add_context(text)
        elif _HOOK_SAID.match(text):
            self._trouble(record, text)
        for match in _RESULT.finditer(text):
            if match["how"] == "success" and match["path"].endswith("/fullchain.pem"):
                self._run.renewed.append(os.path.basename(os.path.dirname(match["path"])))

    def _trouble(self, record: Record, text: str) -> None:
        failed = _FAILED.fullmatch(text) or _FAILED_0.fullmatch(text)
        code, output = _HOOK_CODE.fullmatch(text), _HOOK_SAID.fullmatch(text)
        if failed and record.logger.endswith("renewal"):
            self._put("lineage-failed", record, lineage=failed["lineage"], **self._failure(failed["error"]))
            self._forget()
        elif code:
            self._hook_failed = True
            self._put("hook-failed", record, hook=self._hook[0] or code["name"][:80], code=int(code["code"]),
                      command=self._hook[1][:_TEXT_LIMIT])
        elif output:
            if self._hook_failed:
                self._put("hook-output", record, output=output["output"][:_TEXT_LIMIT])
        elif record.logger.endswith("renewal"):
            self._of_a_file(record, text)
        elif record.logger in ("certbot._internal.log", "certbot.log") and record.level != "WARNING":
            self._said_at_the_end(record, text)
        elif record.logger.startswith("certbot"):
            self._add_context(text)

    def _of_a_file(self, record: Record, text: str) -> None:
        """A renewal configuration that certbot cannot use."""
        broken = _BROKEN.match(text)
        last = self._run.events[-1] if self._run.events else {}
        if broken:
            self._put("lineage-broken", record, path="".join(broken["path"].split("\n")), error=text[:_TEXT_LIMIT])
        elif text.startswith("The error was: ") and last.get("kind") == "lineage-broken":
            last["error"] = re.sub(r"\nSkipping\.$", "", text[len("The error was: "):])[:_TEXT_LIMIT]

    def _exits(self, record: Record) -> None:
        self._ended = True
        found = traceback_text.evidence(record.text)
        error = found["texts"][0] if found else record.text.rsplit("\n", 1)[-1]
        fields = self._failure(error)
        self._fatal = self._event("fatal", record, **fields)
        self._add_traceback(self._fatal, record.text)

    def _said_at_the_end(self, record: Record, text: str) -> None:
        """The same error in the words that certbot shows."""
        if text.startswith(_END_OF_OUTPUT) or _is_count(text):
            return
        self._ended = True
        if self._fatal is None:
            self._fatal = self._event("fatal", record, **self._failure(text))
        elif not self._fatal.get("acme"):
            self._fatal["error"] = text[:_TEXT_LIMIT]

    def _failure(self, error: str) -> dict[str, Any]:
        acme = _problem(error, self._exchange)
        return {"error_type": "Error" if acme else "", "error": error[:100_000], "acme": acme,
                "context": self._context[-_CONTEXT_LIMIT:], "evidence": self._evidence(error)}

    def _evidence(self, error: str) -> dict[str, Any]:
        found: dict[str, Any] = traceback_text.said_in(error)
        exchange = self._exchange
        if exchange.url:
            found["url"] = exchange.url.partition("?")[0]
            found["server_date"] = exchange.header("Date")
            if exchange.status is not None and exchange.status >= 400:
                found["status"] = exchange.status
                found["retry_after"] = exchange.header("Retry-After")
                found["problem"] = _document(exchange.body)
        port = _PORT.search(error)
        if port:
            found["port"] = int(port[1] or port[2])
        if self._challenges:
            found["challenges"] = self._challenges[:100]
        details = " ".join([error[:_TEXT_LIMIT], *(one.get("detail", "") for one in self._challenges)])
        if self._here and _ADDRESS.search(details):
            found["addresses"] = evidence.own_addresses()
        return {key: value for key, value in found.items() if value not in (None, "", [])}

    def _add_traceback(self, event: dict[str, Any], text: str) -> None:
        found = traceback_text.evidence(text)
        if not found:
            return
        event["evidence"] = {**event.get("evidence", {}), **found}
        if self._exchange.status is not None and any(kind.startswith(_OF_THE_CA) for kind in found["types"]):
            event["evidence"].setdefault("status", self._exchange.status)
        event["error_type"] = found["types"][0].rpartition(".")[2]
        # A pasted log is wrapped anywhere; of a problem document the traceback repeats the words.
        if _PROBLEM.match(found["texts"][0]) and "acme" in event:
            event["acme"] = event["acme"] or _problem(found["texts"][0], self._exchange)
            event["error"] = found["texts"][0]

    def _put(self, kind: str, record: Record, **fields: Any) -> None:
        self._last = self._event(kind, record, **fields)
        self._run.events.append(self._last)

    def _event(self, kind: str, record: Record, **fields: Any) -> dict[str, Any]:
        local = record.local
        at = {"at": local.replace(tzinfo=self._zone).isoformat()} if local and self._zone else {}
        return {"kind": kind, "line": record.line, "logged": record.at, **at, **fields}

    def _add_context(self, text: str) -> None:
        self._context = [*self._context, text[:_TEXT_LIMIT]][-_CONTEXT_LIMIT:]

    def _forget(self) -> None:
        self._context, self._challenges, self._exchange = [], [], evidence.Exchange()


def _problem(error: str, exchange: evidence.Exchange) -> Optional[dict[str, Any]]:
    """The problem document behind an error's text; whole where the CA's last answer is that document."""
    kind = _PROBLEM.search("".join(error[:400].split("\n")))
    if not kind:
        return None
    document = _document(exchange.body, whole=True)
    if document and document["type"] == kind[0]:
        return document
    # acme messages.py: typ :: description :: detail; a type that it does not know has no description
    parts = error.partition(" :: ")[2].split(" :: ", 1)
    return {"type": kind[0], "detail": parts[-1].strip(), "subproblems": []}


def _document(body: str, whole: bool = False) -> Optional[dict[str, Any]]:
    """Type and detail of the problem document that the CA answered with; ``whole``: and its subproblems."""
    try:
        document = json.loads(body)
        found = {"type": str(document["type"]), "detail": str(document.get("detail") or "")}
        inner = [{"identifier": str((one.get("identifier") or {}).get("value", "")), "type": str(one.get("type", "")),
                  "detail": str(one.get("detail", ""))} for one in list(document.get("subproblems") or [])[:100]]
        return {**found, "subproblems": inner} if whole else found
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_count(text: str) -> bool:
    """certbot's last word after failures that it has told one by one."""
    return "renew failure(s)" in text or "parse failure(s)" in text
