"""``certbot-guard explain``: what certbot's log says went wrong, in words, also where nothing was ever guarded."""

from __future__ import annotations

import errno
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Optional

import click

from certbot_guard import invocation, logfile, logrecords, logtail, text
from certbot_guard.diagnosis import Diagnosis, diagnose

NAME = "letsencrypt.log"
# Whoever is paused has to open this link, with all of it (Let's Encrypt's own page)
_UNPAUSE = re.compile(r"(https://portal\.letsencrypt\.org/sfe/v1/unpause)\?([\w.=&%~-]{1,4000})", re.ASCII)
_NAMES_LIMIT = 20
_FAILURES = ("lineage-failed", "lineage-broken", "hook-failed", "fatal")
_WHOSE = {"ca": "the CA's", "network": "the network's", "dns": "DNS", "host": "this host's", "certbot": "certbot's",
          "configuration": "the configuration's", "web server": "the web server's"}
_PASSES = {True: "yes, it passes by itself", False: "no, somebody has to do something", None: "that cannot be known"}


@dataclass
class _Trouble:
    """Events with the same diagnosis; ``event`` and ``diagnosis`` are the first one's."""

    event: dict[str, Any]
    diagnosis: Diagnosis
    subjects: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # by the CA, of each name
    output: list[str] = field(default_factory=list)  # of a hook that failed


@click.command(short_help="Say in words what certbot's log says went wrong.")
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True, readable=False))
@click.option("--logs-dir", type=click.Path(path_type=Path, readable=False), help="Where certbot has its "
              "logs.  [default: as in certbot's cli.ini, else /var/log/letsencrypt]")
def explain(file: Optional[Path], logs_dir: Optional[Path]) -> None:
    """Explain the failures of certbot's newest run: what happened, whose problem it is, and what to do.

    FILE is another log of certbot's, such as letsencrypt.log.3, or - for standard input. Sends and changes nothing.
    Exit code 0: nothing failed; 1: a failure is explained; 2: the log cannot be used.
    """
    if file is not None and logs_dir is not None:
        raise click.UsageError("FILE and --logs-dir say two different things.")
    path = file or (logs_dir or invocation.read([]).logs_dir) / NAME
    if os.path.isdir(path):
        path = path / NAME
    from_stdin = str(path) == "-"
    shown = "standard input" if from_stdin else text.line(path, 300)
    try:
        said, whole = logrecords.load_stream(sys.stdin.buffer) if from_stdin else logrecords.load(path)
    except OSError as error:
        _unusable(shown, error)
    runs = logfile.runs(said, whole, here=file is None)
    if not runs:
        _cannot(f"{shown} has no line of certbot's log in it.")
    sys.exit(1 if _explain(runs[-1], shown) else 0)


def _explain(run: logfile.Run, shown: str) -> bool:
    """Print it. Returns whether anything failed."""
    troubles = _troubles(run)
    version = text.line(run.facts.get("certbot", ""), 40)
    began = f"certbot{version and ' '}{version} ran at {run.began} (the log's own time)"
    began += ", as a dry run" if run.facts.get("dry_run") else ""
    renewed = f" Renewed: {text.listed(run.renewed)}." if run.renewed else ""
    if run.unfinished:
        click.echo(f"{began}. The log ends in the middle of it, at {run.ended}: certbot still runs, or it was killed.")
    elif troubles:
        click.echo(f"{began}.{renewed}")
    else:
        click.echo(f"Nothing failed: {began}.{renewed}\nLog: {shown}")
    for trouble in troubles:
        click.echo()
        for line in _paragraph(trouble, shown):
            click.echo(line)
    return bool(troubles) or run.unfinished


def _troubles(run: logfile.Run) -> list[_Trouble]:
    """What failed, the same troubles together, in the order in which they began."""
    found: dict[str, _Trouble] = {}
    last: Optional[_Trouble] = None
    for event in run.events:
        if event["kind"] == "hook-output" and last is not None:
            last.output += text.lines(logtail.masked(str(event.get("output"))), 600, 6)
        if event["kind"] not in _FAILURES:
            continue
        diagnosis = diagnose(event, run.facts)
        # what nobody knows is the same only where the words are
        key = f"{event['kind']} {diagnosis.key}" + (f" {event.get('error')}" if diagnosis.cause == "unknown" else "")
        last = found.setdefault(key, _Trouble(event, diagnosis))
        last.said += [line for line in _of_names(event) if line not in last.said]
        subject = _subject(event)
        if subject not in last.subjects:
            last.subjects.append(subject)
    return list(found.values())


def _subject(event: dict[str, Any]) -> str:
    if event["kind"] == "lineage-failed":
        return str(event.get("lineage"))
    if event["kind"] == "lineage-broken":
        return os.path.basename(str(event.get("path")))
    return str(event.get("hook")) if event["kind"] == "hook-failed" else "certbot"


def _paragraph(trouble: _Trouble, shown: str) -> list[str]:
    event, diagnosis = trouble.event, trouble.diagnosis
    heading = {"lineage-failed": "Not renewed", "lineage-broken": "Not looked at", "hook-failed": "A hook failed"}
    count = f" ({len(trouble.subjects)}, same cause)" if len(trouble.subjects) > 1 else ""
    lines = [f"{heading.get(event['kind'], 'Gave up')}: {text.listed(trouble.subjects)}{count}",
             f"What happened: {diagnosis.happened}",
             f"Whose problem: {_WHOSE.get(diagnosis.whose, 'not known')}",
             f"Does it pass: {_PASSES[diagnosis.transient]}",
             f"What to do: {diagnosis.advice}"]
    if diagnosis.link:
        lines.append(f"More: {diagnosis.link}")
    if diagnosis.retry_after:
        lines.append(f"The CA says: try again after {diagnosis.retry_after}")
    error = event.get("error") or (f"exit code {event.get('code')}" if event["kind"] == "hook-failed" else "")
    kind = f"{event['error_type']}: " if event.get("error_type") not in (None, "", "Error") else ""
    lines.append(f"The error: {_masked(kind + str(error), 1000)}")
    lines += [f"  {line}" for line in trouble.said[:_NAMES_LIMIT]]
    if len(trouble.said) > _NAMES_LIMIT:
        lines.append(f"  and {len(trouble.said) - _NAMES_LIMIT} more names")
    lines += [f"  | {line}" for line in trouble.output[:8]]
    line = f", line {event['line']}" if event.get("line") else ""
    return [*lines, f"In the log: {shown}{line} ({event['logged']})"]


def _of_names(event: dict[str, Any]) -> list[str]:
    """What the CA said of each name whose challenge failed."""
    evidence = event.get("evidence")
    found = evidence.get("challenges") if isinstance(evidence, dict) else None
    return [f"{text.line(one.get('domain'), 120)}: {text.line(one.get('type'), 120).rpartition(':')[2]}: "
            f"{_masked(str(one.get('detail') or ''), 500)}" for one in found or () if isinstance(one, dict)]


def _masked(said: str, limit: int) -> str:
    """One harmless line without secrets; the link that lifts a pause is kept whole, also where the rest is cut."""
    queries: list[str] = []

    def put_away(link: re.Match[str]) -> str:
        queries.append(link[2])
        return f"{link[1]}?{len(queries) - 1}"

    shown = text.line(logtail.masked(_UNPAUSE.sub(put_away, said)), limit)
    return _UNPAUSE.sub(lambda link: f"{link[1]}?{queries[int(link[2].rstrip('.'))]}"
                        if re.fullmatch(r"\d{1,5}\.?", link[2]) and int(link[2].rstrip(".")) < len(queries) else link[1],
                        shown)


def _unusable(shown: str, error: OSError) -> NoReturn:
    if error.errno in (errno.EACCES, errno.EPERM):
        _cannot(f"{shown} may not be read by you: certbot's logs are root's. Run this as root, or give it a copy.")
    if error.errno == errno.ENOENT:
        _cannot(f"There is no {shown}: certbot has not run here, or has its logs elsewhere (--logs-dir).")
    _cannot(f"{shown} cannot be read: {text.line(error.strerror or error, 200)}.")


def _cannot(sentence: str) -> NoReturn:
    click.echo(f"certbot-guard: {sentence}", err=True)
    sys.exit(2)
