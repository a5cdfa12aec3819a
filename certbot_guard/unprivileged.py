"""The process that talks to strangers: how it is started, and how it stops being root for good.

What a service answers is parsed by large libraries, so whoever hears it has a process of its own, with nothing in its
memory but what it sends. Started by :mod:`certbot_guard.notify` and :mod:`certbot_guard.heartbeat`; the processes
themselves (:mod:`certbot_guard.deliverer`, :mod:`certbot_guard.pinger`) call :func:`give_up`.
"""

from __future__ import annotations

import os
import pwd
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import IO, Any, Union

from certbot_guard import start

try:
    import ctypes
except Exception:  # a Python that was built without it, or a system that forbids what its import does
    ctypes = None  # type: ignore[assignment]

_NOBODY = 65534
# linux/prctl.h; the same numbers on every architecture
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
# Only what a connection needs. No HOME of anybody's: requests would read ~/.netrc and send what it finds there.
_PASSED_ON = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY",
              "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "TZ")
_KILL_PATIENCE_SECONDS = 2.0


# -- who starts it -----------------------------------------------------------------------------------------------


def run(module: str, given: bytes, stdout: Union[int, IO[bytes]], seconds: float, words: Sequence[str] = (),
        descriptors: Sequence[int] = ()) -> str:
    """Run this module in a process of its own, to its end or its deadline; what is left of it then is killed.

    :param given: what it reads on its standard input; no secret is an argument
    :param descriptors: what it inherits besides
    :returns: what went wrong with the process itself, or ''
    :raises OSError: it could not be started
    """
    command = start.command(module, *words)
    child = subprocess.Popen(command, cwd="/", env=environment(), stdin=subprocess.PIPE, stdout=stdout,
                             stderr=subprocess.DEVNULL, start_new_session=True, close_fds=True, pass_fds=descriptors)
    try:
        child.communicate(given, timeout=seconds)
        return f"ended with code {child.returncode}" if child.returncode else ""
    except subprocess.TimeoutExpired:
        return f"no answer within {seconds:g} s"
    finally:
        if child.stdin is not None:
            child.stdin.close()
        _end(child)


def ask(module: str, given: bytes, seconds: float, words: Sequence[str] = ()) -> tuple[str, bytes]:
    """As :func:`run`; and what it said, of which no more than a pipe holds is ever taken."""
    reading, writing = os.pipe()
    try:
        problem = run(module, given, writing, seconds, words)
        os.set_blocking(reading, False)
        return problem, os.read(reading, 65536)
    except BlockingIOError:
        return problem, b""
    finally:
        os.close(reading)
        os.close(writing)


def environment() -> dict[str, str]:
    """Of ours what a connection needs, and nothing else."""
    kept = {name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)}
    return {**kept, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}


def _end(child: subprocess.Popen) -> None:
    """Nothing of it runs any more. With exit code 0 it has waited for its own; otherwise they are in its group."""
    if child.returncode == 0:
        return
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    try:
        child.wait(_KILL_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:  # in an uninterruptible sleep: it goes when the kernel lets it
        pass


# -- the process itself ------------------------------------------------------------------------------------------


def give_up() -> str:
    """Be nobody from now on, with no way back, if we are root. Returns why we still are who we were, or ''.

    Where it cannot be done we stay root, since people have to hear of every failure; ``certbot-guard doctor`` says so.
    In any case no program that we start gets more rights than we have, and no core file is left, which would hold URLs.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reason = ""
    if os.geteuid() == 0:
        reason = _be_nobody() or _way_back()
        # The kernel does this at the change of user, unless fs.suid_dumpable says otherwise. Without it any other
        # process of nobody's could attach to this one and read the URL. The caller reads that later, so at no time.
        _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    return reason


def nobody() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam("nobody")
        return entry.pw_uid, entry.pw_gid
    except KeyError:
        return _NOBODY, _NOBODY


def _be_nobody() -> str:
    """An interpreter below /root, or a CA bundle that only root may read, would let every delivery fail: we stay."""
    user, group = nobody()
    groups, needed = os.getgroups(), [path for path in _still_needed() if os.path.exists(path)]
    reason = ""
    try:
        os.setgroups([])
        os.setegid(group)
        os.seteuid(user)
        unreadable = [path for path in needed if not _readable(path)]
        os.seteuid(0)
        os.setegid(0)
        if not unreadable:
            os.setresgid(group, group, group)
            os.setresuid(user, user, user)
            return ""
        reason = f"{unreadable[0]} cannot be read by the user nobody"
    except OSError as error:  # a container without the capability: as whoever we are, then
        reason = f"changing to the user nobody is refused: {error.strerror}"
    _be_root(groups)
    return reason


def _be_root(groups: list[int]) -> None:
    for back, value in ((os.seteuid, 0), (os.setegid, 0), (os.setgroups, groups)):
        try:
            back(value)  # type: ignore[operator]
        except OSError:
            pass


def _way_back() -> str:
    """Asks the kernel, not our memory of what was done: a security bit of the unit may keep capabilities."""
    user, group = nobody()
    if (os.getresuid(), os.getresgid(), os.getgroups()) != ((user,) * 3, (group,) * 3, []):
        return "changing to the user nobody has had no effect"
    try:
        os.seteuid(0)
    except PermissionError:
        return ""
    os.seteuid(user)
    return "the user nobody may become root again here"


def _still_needed() -> list[str]:
    """What is imported or opened late: the standard library, Apprise's folder, the CA bundle."""
    needed = [os.__file__, __file__]
    for name in ("apprise", "certifi", "requests"):
        module = sys.modules.get(name)
        if module is not None and module.__file__:
            needed.append(module.__file__)
    certifi: Any = sys.modules.get("certifi")
    if certifi is not None:
        needed.append(certifi.where())
    if not (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
        import ssl

        places = ssl.get_default_verify_paths()
        needed += [path for path in (places.cafile, places.capath) if path]
    needed += [os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
               if os.environ.get(name)]
    return needed


def _readable(path: str) -> bool:
    return os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0), effective_ids=True)


def _prctl(option: int, value: int) -> bool:
    """Says whether it was done. If not, the kernel or Python lacks it, which is no reason to leave people untold."""
    try:
        one = ctypes.c_ulong
        return bool(ctypes.CDLL(None).prctl(option, one(value), one(0), one(0), one(0)) == 0)
    except Exception:
        return False
