"""The check that the sentinel, which brings the web server back when certbot no longer can, could be started.

Starts a Python that imports it and ends, in the same two ways as :mod:`certbot_guard.launch` starts the real one.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

from certbot_guard import start, text
from certbot_guard.doctor.check import Check, Group, ok, problem, warning
from certbot_guard.doctor.host import Host
from certbot_guard.doctor.result import Result

_SECONDS = 20.0
_MODULE = "certbot_guard.startable"


def _can_start(host: Host) -> Iterator[Result]:
    words = start.command(_MODULE)
    plain = _failure(words, host)
    if plain:
        yield problem("sentinel-can-start", f"it cannot be started: {plain}", where=text.line(start.python(), 300),
                      why="Without it no web server is stopped, so lineages that need the port of the challenge are "
                      "not renewed.", remedy="install certbot-guard anew into that Python")
        return
    if not host.under_systemd or os.geteuid() != 0:
        yield ok("sentinel-can-start", "a process of ours can be started, and has what it needs")
        return
    began = time.monotonic()
    unit = _failure(["systemd-run", "--quiet", "--collect", "--wait", f"--unit=certbot-guard-doctor-{os.getpid()}",
                     "--property=KillMode=process", "--working-directory=/", *words], host)
    if unit:
        yield warning("sentinel-can-start", f"systemd-run does not start it as a unit: {unit}", why="It is then a "
                      "process of certbot's own unit, and is killed with it when that unit ends early.",
                      remedy="see what systemd-run /bin/true says")
    else:
        yield ok("sentinel-can-start", f"systemd starts it as a unit of its own, in {time.monotonic() - began:.1f} s")


def _failure(words: list[str], host: Host) -> str:
    try:
        done = subprocess.run(words, env=host.environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, start_new_session=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"it did not end in {_SECONDS:.0f} s"
    except OSError as error:
        return text.line(error, 300)
    said = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
    return "" if done.returncode == 0 else text.line(said, 300) or f"exit code {done.returncode}"


GROUP = Group("Sentinel", (
    Check("sentinel-can-start", "the sentinel can be started", "It brings the web server back when certbot is killed. "
          "A small process that imports it is started in the same way, under systemd as a transient unit, and ends at "
          "once.",
          _can_start),
))
