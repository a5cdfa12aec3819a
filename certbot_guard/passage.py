"""A passage: for one lineage of a run, challenges pass through the running web server to certbot. Opened, and ended.

Between :mod:`certbot_guard.proxying`, which knows Apache's configuration, and a run, which remembers what is to be
taken away. The server is reloaded, never stopped or started. Opened by :mod:`certbot_guard.session` in prepare(), ended
by it with the lineage; what it left is ended by :mod:`certbot_guard.settle`, and what no run remembers by
``certbot-guard recover``. While it is open its opener holds the machine-wide lock of the server.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Optional

from certbot_guard import serverlock, text
from certbot_guard.errors import ServerError, StateError
from certbot_guard.interfaces import IWebServer
from certbot_guard.proxying import loopback, ourfile, placing, selfcheck
from certbot_guard.proxying.asking import Ports
from certbot_guard.run import Run

_HTTPS = 443
# Whoever holds the lock meanwhile replaces the file, or stops the server and starts it without it.
_LOCK_PATIENCE_SECONDS = 10.0
_MISSED_NAMED = 5


def opened(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ``proxy-placing`` events whose file may still be there."""
    found: dict[Any, dict[str, Any]] = {}
    for event in events:
        if event["kind"] == "proxy-placing":
            found[event.get("number")] = event
        elif event["kind"] == "proxy-removed":
            found.pop(event.get("number"), None)
    return list(found.values())


def open_for(run: Run, server: IWebServer, number: int, facts: dict[str, Any]) -> socket.socket:
    """Challenges of this lineage reach the port that is returned, on the loopback: each name was asked for.

    It is kept for certbot until that is closed, which is to be when certbot has done with the lineage.

    :param facts: of the lineage: ``lineage``, ``names``, and ``ports``, where Apache is asked
    :raises GuardError: they do not, and the sentence says why. Nothing is left of the attempt.
    """
    kept = loopback.keep()
    try:
        _open(run, server, number, facts, loopback.port_of(kept))
        return kept
    except BaseException:
        kept.close()
        raise


def _open(run: Run, server: IWebServer, number: int, facts: dict[str, Any], port: int) -> None:
    began = time.monotonic()

    def announce(path: Path) -> None:
        run.record("proxy-placing", sync=True, number=number, lineage=facts["lineage"], names=facts["names"],
                   path=str(path), port=port, pid=os.getpid())

    with watched(run, server, number, facts["lineage"]):
        try:
            placing.place(server, port, os.getpid(), facts["names"], announce)
            _check(server, port, facts)
        except BaseException:
            end(run, server, "it did not work")
            raise
    run.note("proxy-placed", number=number, lineage=facts["lineage"], seconds=round(time.monotonic() - began, 3))


def _check(server: IWebServer, port: int, facts: dict[str, Any]) -> None:
    """:raises ServerError: a name does not get its token."""
    now, http = server.look(), facts["ports"][0]
    has_https = any(found["port"] == _HTTPS for found in now.get("sockets") or [])
    missed = selfcheck.check(facts["names"], selfcheck.places(now, http), port, Ports(http, _HTTPS if has_https else 0))
    if missed:
        more = f" (and {len(missed) - 1} more)" if len(missed) > 1 else ""
        raise ServerError(f"a token did not come through: {text.line(missed[0], 250)}{more}",
                          "\n".join(text.line(one, 250) for one in missed[:_MISSED_NAMED]))


@contextmanager
def watched(run: Run, server: Optional[IWebServer], number: int, lineage: str) -> Iterator[None]:
    """If a reload within ends the web server, a window is open then: there is something to bring back.

    Its configuration may pass every test and still end it at a reload (a log whose directory is gone, for one).
    """
    before = _look(server)
    try:
        yield
    finally:
        if before.get("serving") and not _look(server).get("serving", True):
            # No lineage's own window has this number.
            run.note("stopping", window=-number, lineage=lineage, before=before, by="reload")
            _say_once(run, f"the web server ended when it was reloaded for the challenge of {text.line(lineage)}; it "
                           "is started again. Its error log says why")


def _look(server: Optional[IWebServer]) -> dict[str, Any]:
    try:
        return server.look() if server is not None else {}
    except Exception:  # a controller's trouble is no sign of a death
        return {}


def withdraw(run: Run) -> None:
    """The files say nothing, and a reload that comes anyway makes the server forget them; :func:`end` is still due."""
    for one in opened(run.events()):
        try:
            ourfile.disarm(Path(one["path"]), one["port"], one["pid"])
        except OSError:
            pass  # said by end(), which tries again


def end(run: Run, server: Optional[IWebServer], by: str, reload: bool = True, forgotten: bool = False) -> None:
    """Nothing of this run is left in the server's configuration, or an event says what is. Never raises.

    :param reload: may the server be reloaded? If not, a file stays, and says nothing any more
    :param forgotten: it has been, since :func:`withdraw`
    """
    for one in opened(run.events()):
        try:
            problem = _end(run, server, one, reload, forgotten)
        except OSError as error:
            # Tried again by whoever settles; in itself it does nothing once certbot has ended.
            _say_once(run, f"{text.line(one['path'])} cannot be taken away: {error.strerror or error}. It does nothing "
                           "once certbot has ended; delete it, or run: certbot-guard recover")
            continue
        except Exception as error:  # a bug of a controller's must not keep the run from being settled
            problem = f"certbot-guard's own error: {type(error).__name__}: {text.line(error)}"
        run.note("proxy-removed", number=one["number"], lineage=one["lineage"], by=by, problem=problem)


def _end(run: Run, server: Optional[IWebServer], one: dict[str, Any], reload: bool, forgotten: bool) -> str:
    """:raises OSError: the file is still there, and says what it said."""
    path = Path(one["path"])
    ourfile.check_kept(path, one["port"], one["pid"])
    if server is not None and not reload:
        # Whoever has the lock may reload the server in this moment: one that listed a file and finds it gone may end.
        ourfile.disarm(path, one["port"], one["pid"])
        there = ourfile.is_for(path, one["port"], one["pid"])
        return f"{text.line(path)} says nothing any more, and is there until: certbot-guard recover" if there else ""
    ourfile.clear_unfinished(path)
    there = ourfile.is_for(path, one["port"], one["pid"])
    if not there and (server is None or forgotten or not _was_placed(run, one)):
        return ""  # it never came to be, or is gone, or is another run's by now
    if server is None or forgotten:
        placing.take_away(path, one["port"], one["pid"])
        return "" if forgotten else f"{text.line(path)} is taken away; the web server has not been reloaded since"
    with watched(run, server, one["number"], one["lineage"]):
        if not there:  # somebody else took it away, and the server may know it still
            return placing.forget(server, path)
        return placing.take_away(path, one["port"], one["pid"], server) or ""


def _was_placed(run: Run, one: dict[str, Any]) -> bool:
    return any(event["kind"] == "proxy-placed" and event.get("number") == one["number"] for event in run.events())


def end_left(run: Run, server: Optional[IWebServer], by: str) -> None:
    """As :func:`end`, by one who does not hold the server's lock."""
    if not opened(run.events()):
        return
    try:
        lock = serverlock.take(server.identity, _LOCK_PATIENCE_SECONDS) if server is not None else None
    except StateError:  # nobody can hold it, then
        return end(run, server, by)
    try:
        end(run, server, by, reload=lock is not None)
    finally:
        if lock is not None:
            os.close(lock)


def sweep(server: IWebServer) -> list[tuple[Path, str]]:
    """Files of ours that no run remembers are taken away: each with what is still wrong with it, or ``""``.

    One that a living run needs is left to it. Nothing is done where Apache cannot be asked what it reads.
    """
    with serverlock.unless_taken(server.identity) as free:
        if not free:
            return []
        try:
            return [(path, placing.remove(server, path)) for path in placing.leftovers(server)]
        except ServerError:
            return []


def _say_once(run: Run, sentence: str) -> None:
    if not any(event["kind"] == "guard-error" and event.get("error") == sentence for event in run.events()):
        run.note("guard-error", where="proxy", error=sentence)
