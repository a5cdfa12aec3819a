"""The file's coming and going: written, tested, loaded by a graceful reload, taken away again.

Called by what prepares a lineage, by whoever settles a run, and by ``certbot-guard recover``; the caller holds the
machine-wide lock of this web server. A file is only taken away if its first line says that it is ours.

Before it goes it is emptied, and Apache reloaded. Measured (2.4.68): Apache lists a directory first and opens what it
saw a moment later, and a file that is gone by then is an error where it was included by ``Include``: it would end an
Apache that somebody else reloads just then, as ``systemctl reload`` in a deploy hook does, which comes back too early.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterable, Optional

from certbot_guard import text
from certbot_guard.errors import RefusedError, ServerError
from certbot_guard.proxying import loopback, modules, placement, room, snippet
from certbot_guard.servers.configuration import Configuration
from certbot_guard.servers.instance import Instance

_MODE = 0o644
# Apache's documentation of mod_proxy: the environment variable no-proxy is looked at from this version on.
_SINCE = (2, 4, 26)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LOOK_BYTES = 4 * 1024 * 1024
_TEMPORARY_END = re.compile(r"\.[0-9a-f]{12}")


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
    if _exists(path):
        configuration = _without_what_was_left(instance, path)
    content = snippet.text(port, pid, names, loopback.ADDRESS, modules.missing(instance.dump, configuration))
    _rehearse(instance, content)
    room.wait(instance)
    announce(path)
    try:
        _write(path, content.encode("ascii"))
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
    reloaded: what it has in memory does nothing once the process it names has ended.
    """
    try:
        if not _exists(path):
            return ""
        if not is_ours(path):
            return f"{text.line(path)} is not certbot-guard's, so it is left as it is"
        return _forgotten(server, path)
    except OSError as error:
        return f"{text.line(path)} cannot be taken away: {error.strerror or error}"


def _forgotten(server: Any, path: Path) -> str:
    _disarm(path)
    try:
        return forget(server, path)
    finally:
        _unlink(path)


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

    :raises ServerError: Apache cannot be asked where it reads from.
    """
    found = placement.candidates(_instance(server).configuration())
    for path in found:
        clear_unfinished(path)
    return [path for path in found if is_ours(path)]


def clear_unfinished(path: Path) -> None:
    """What a killed write of ``path`` has left beside it is gone: an include of the whole directory would meet it.

    Never raises. A write that is at it just now fails, as on a full disk.
    """
    try:
        beside = [one for one in path.parent.iterdir() if one.name.startswith(f".{path.name}.")
                  and _TEMPORARY_END.fullmatch(one.name[len(path.name) + 1:])]
        for one in beside:
            status = os.lstat(one)
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                _unlink(one)
    except OSError:
        pass


def is_ours(path: Path) -> bool:
    """Is this a plain file that we wrote?"""
    return snippet.is_ours(_content(path))


def is_for(path: Path, port: int, pid: int) -> bool:
    """Is this a file of ours that hands over to this ``port``, for the process ``pid``?"""
    content = _content(path)
    return snippet.is_ours(content) and snippet.is_for(content, port, pid)


def disarm(path: Path, port: int, pid: int) -> None:
    """This file of ours says nothing any more, where it is that of ``port`` and ``pid``; the server has not been told.

    :raises OSError: it does.
    """
    if is_for(path, port, pid):
        _disarm(path)


def take_away(path: Path, port: int, pid: int, server: Optional[Any] = None) -> Optional[str]:
    """This file of ours is gone, where it is that of ``port`` and ``pid``; None if there is none.

    Else what :func:`remove` returns. Without a ``server`` none is told.

    :raises OSError: it is still there.
    """
    if not is_for(path, port, pid):
        return None
    if server is not None:
        return _forgotten(server, path)
    _unlink(path)
    return ""


def _disarm(path: Path) -> None:
    try:
        _write(path, snippet.disarmed(_content(path)))
    except OSError:  # a full disk takes no new file; without it is better than with it
        _unlink(path)


def _content(path: Path) -> bytes:
    """Of a plain file that belongs to us; else nothing."""
    try:
        descriptor = os.open(path, _LOOK)
    except OSError:
        return b""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            return b""
        return os.read(descriptor, _LOOK_BYTES)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


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
    if not is_ours(path):
        raise ServerError(f"{text.line(path)} is there already, and certbot-guard did not write it")
    try:
        _disarm(path)
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


def _write(path: Path, data: bytes) -> None:
    """The file is there, whole, or not at all. Its name until then is none that a wildcard of Apache's meets."""
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    descriptor = os.open(temporary, _NEW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), _MODE)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        _unlink(temporary)
        raise


def _unlink(path: Path) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _exists(path: Path) -> bool:
    return os.path.lexists(path)


def _runs(server: Any) -> bool:
    try:
        return bool(server.look()["serving"])
    except ServerError:
        return True
