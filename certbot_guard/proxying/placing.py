"""The file's coming and going: written, tested, loaded by a graceful reload, taken away again.

Called by what prepares a lineage, by whoever settles a run, and by ``certbot-guard recover``; the caller holds the
machine-wide lock of this web server. A file is only taken away if it is ours, as :mod:`certbot_guard.proxying.ourfile`
knows it.

Before it goes it is emptied, and Apache reloaded. Measured (2.4.68): Apache lists a directory first and opens what it
saw a moment later, and a file that is gone by then is an error where it was included by ``Include``: it would end an
Apache that somebody else reloads just then, as ``systemctl reload`` in a deploy hook does, which comes back too early.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterable, Optional

from certbot_guard import text
from certbot_guard.errors import RefusedError, ServerError
from certbot_guard.proxying import loopback, modules, ourfile, placement, room, snippet
from certbot_guard.servers.configuration import Configuration
from certbot_guard.servers.instance import Instance

# Apache's documentation of mod_proxy: the environment variable no-proxy is looked at from this version on.
_SINCE = (2, 4, 26)


def place(server: Any, port: int, pid: int, names: Iterable[str],
          announce: Callable[[Path], Any] = lambda path: None) -> Path:
    """The running ``server`` hands challenges for ``names`` to ``port`` of the loopback, while ``pid`` lives.

    Returns the file to :func:`remove`. What stood there of ours is replaced.

    :param announce: called with the path before anything is written there; what it raises ends this
    :raises ConfigtestError: Apache does not accept its configuration as it is, without us. Nothing was written.
    :raises ServerError: it cannot be done with this server, or was tried and failed. Then nothing of ours is left in
        its configuration; the sentence says if that, too, went wrong.
    """
    instance = _instance(server)
    configuration = instance.configtest()
    refuse_old(instance)
    path = placement.path(configuration)
    if os.path.lexists(path):
        configuration = _without_what_was_left(instance, path)
    content = snippet.text(port, pid, names, loopback.ADDRESS, modules.missing(instance.dump, configuration))
    _rehearse(instance, content)
    room.wait(instance)
    announce(path)
    try:
        ourfile.write(path, content.encode("ascii"))
    except OSError as error:
        raise ServerError(f"{text.line(path)} cannot be written: {error.strerror or error}") from error
    try:
        server.reload()
    except ServerError as error:
        left = remove(server, path)
        raise ServerError(f"Apache did not load {text.line(path)}: {error}" + (f"; {left}" if left else ""),
                          error.detail) from error
    except BaseException:
        remove(server, path)
        raise
    return path


def remove(server: Any, path: Path) -> str:
    """``path`` is gone, and a running ``server`` has forgotten it. Safe to repeat and to race, and after a crash.

    Returns an empty string, or a sentence that says what could not be done. Never raises for a server that cannot be
    reloaded: what it has in memory does nothing once the process it names has ended. Nothing is changed, or reloaded,
    where somebody else could exchange what is in the directory, or the way to it.
    """
    try:
        if not os.path.lexists(path):
            return ""
        if not ourfile.claims_to_be_ours(path):
            return f"{text.line(path)} is not certbot-guard's, so it is left as it is"
        ourfile.check_kept(path)
        return _forgotten(server, path)
    except OSError as error:
        return (f"{text.line(path)} cannot be taken away: {error.strerror or error}. It does nothing once certbot has "
                "ended; delete it by hand")


def _forgotten(server: Any, path: Path) -> str:
    ourfile.disarm_any(path)
    try:
        return forget(server, path)
    finally:
        ourfile.unlink(path)


def forget(server: Any, path: Path) -> str:
    """The running ``server`` has forgotten a file that says nothing any more; else a sentence.

    Never raises for the server.
    """
    try:
        server.reload()
    except RefusedError as error:
        if not _runs(server):
            return ""
        return f"{text.line(path)} is taken away, and Apache was not reloaded: {error}"
    except ServerError as error:
        return f"{text.line(path)} is taken away, and the reload after it failed: {error}"
    return ""


def leftovers(server: Any) -> list[Path]:
    """Every file of ours that Apache would read. Beside it, what a killed write has left is gone.

    A directory that is somebody else's to change is not looked through, and nothing in it is touched. A file of ours
    may stand there from a time when it was not: it is known by its name and by what it says, and :func:`remove` says
    why it stays.

    :raises ServerError: Apache cannot be asked where it reads from.
    """
    found = placement.candidates(_instance(server).configuration())
    for path in found:
        ourfile.clear_unfinished(path)
    return [path for path in found if ourfile.claims_to_be_ours(path)]


def take_away(path: Path, port: int, pid: int, server: Optional[Any] = None) -> Optional[str]:
    """This file of ours is gone, where it is that of ``port`` and ``pid``; None if there is none.

    Else what :func:`remove` returns. Without a ``server`` none is told.

    :raises OSError: it is still there.
    """
    if not ourfile.is_for(path, port, pid):
        return None
    if server is not None:
        return _forgotten(server, path)
    ourfile.unlink(path)
    return ""


def _instance(server: Any) -> Instance:
    instance: Optional[Instance] = getattr(server, "instance", None)
    if instance is None:
        raise ServerError(f"{server.name} is not known to be Apache")
    return instance


def refuse_old(instance: Instance) -> None:
    """:raises ServerError: this Apache does not know ``no-proxy``, and would hand everybody's tokens over."""
    said = instance.version()
    if said < _SINCE:
        known = ".".join(map(str, said)) or "unknown"
        raise ServerError(f"the version of Apache is {known}, and a challenge passes through from 2.4.26 on")


def _without_what_was_left(instance: Instance, path: Path) -> Configuration:
    """The configuration as it is without the file of ours that is there: it may load modules, and is replaced.

    :raises ServerError: it is not ours, or cannot be changed.
    """
    if not ourfile.is_ours(path):
        raise ServerError(f"{text.line(path)} is there already, and certbot-guard did not write it")
    try:
        ourfile.disarm_any(path)
    except OSError as error:
        raise ServerError(f"{text.line(path)} cannot be written: {error.strerror or error}") from error
    return instance.configtest()


def _rehearse(instance: Instance, content: str) -> None:
    """:raises ServerError: Apache would not accept its configuration with this file."""
    # Elsewhere: whoever reloads Apache in this moment must not meet a file that nobody has tested.
    with tempfile.TemporaryDirectory(prefix="certbot-guard-") as directory:
        file = Path(directory) / placement.NAME
        file.write_text(content, "ascii")
        before = instance.dump
        try:
            instance.read_dump(also=f'Include "{file}"')
        except ServerError as error:
            sentence = "Apache does not accept the file that would hand the challenge over"
            raise ServerError(sentence, error.detail) from error
        finally:
            instance.dump = before


def _runs(server: Any) -> bool:
    try:
        return bool(server.look()["serving"])
    except ServerError:
        return True
