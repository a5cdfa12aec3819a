"""Starting our own processes: always isolated (``python -I``, cwd ``/``), never inheriting a lock.

Hooks, settle and the sentinel are ``python -I -m certbot_guard.<module> <run directory>``. Under systemd the sentinel
is a transient unit, since a unit that ends, even in success, takes every process of its own with it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from typing import Optional

from certbot_guard import control, start
from certbot_guard.run import FACTS, Run

# What our processes need to know of certbot's surroundings; everything else stays behind.
_PASSED_ON = ("APACHE_CONFDIR", "APACHE_ENVVARS", "PATH", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy",
              "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
              "CURL_CA_BUNDLE", "TZ")
# settle reads from its standard input what could not be written to the run's directory.
HANDED_OVER = "--handed-over"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def surroundings(environ: Optional[dict] = None) -> dict[str, str]:
    """The part of certbot's environment that a process started later, from elsewhere, has to be given."""
    source = os.environ if environ is None else environ
    kept = {name: source[name] for name in _PASSED_ON if source.get(name)}
    # cron's PATH lacks the sbin directories. An empty or relative entry would be looked up in the current directory,
    # and the programs in certbot's snap are for itself alone (certbot.util.env_no_snap_for_external_calls).
    snap = source.get("SNAP") or None
    entries = [entry for entry in kept.get("PATH", "").split(":")
               if entry.startswith("/") and not (snap and snap in entry)]
    kept["PATH"] = ":".join(entries + [entry for entry in _SYSTEM_PATH.split(":") if entry not in entries])
    kept["LANG"] = "C.UTF-8"
    return kept


def command(module: str, *arguments: str) -> list[str]:
    return start.command(f"certbot_guard.{module}", *arguments)


def program() -> Optional[str]:
    """The program certbot-guard, beside this Python or on PATH; in certbot's snap, say, there is none beside it."""
    beside = os.path.join(os.path.dirname(start.python()), "certbot-guard")
    return beside if os.path.exists(beside) else shutil.which("certbot-guard")


def hook_command(kind: str, run: Run, window: Optional[int]) -> str:
    """A shell line for certbot. Holds no text from outside: no lineage name, no user's command."""
    words = command("hooks", kind, str(run.directory)) + ([str(window)] if window is not None else [])
    return shlex.join(words)


def under_systemd() -> bool:
    # The test that sd_booted(3) documents.
    return os.path.isdir("/run/systemd/system")


def start_settle(run: Run, *options: str) -> subprocess.Popen:
    """Settle this run in a process of its own; it outlives us if we die. What no disk took is handed over to it."""
    lost = run.unwritten
    hands_over = lost or not (run.directory / FACTS).is_file()
    words = command("settle", str(run.directory), *options, *([HANDED_OVER] if hands_over else []))
    child = subprocess.Popen(words, cwd="/", stdin=subprocess.PIPE if hands_over else subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                             env=run.facts.get("environment") or surroundings())
    if child.stdin is not None:
        try:
            with child.stdin as stream:
                stream.write(json.dumps({"facts": run.facts, "events": lost}).encode())
        except OSError:
            pass  # it has ended; whoever waits for it sees that
    return child


def start_sentinel(run: Run, patience_seconds: float = 20.0) -> Optional[str]:
    """The sentinel of this run is alive and has all it needs, or the sentence that says why not is returned."""
    if run.sentinel_lives():
        return None
    environment = run.facts.get("environment") or surroundings()
    reason = "it ended at once"
    started = False
    if under_systemd() and os.geteuid() == 0:
        started, reason = _as_unit(run, environment)
    child: Optional[subprocess.Popen] = None
    if not started:
        try:
            child = subprocess.Popen(command("sentinel", str(run.directory)), cwd="/", stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                                     env=environment)
        except OSError as error:
            return f"the sentinel cannot be started: {error}"
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        if run.sentinel_lives() and control.ask(run, {"do": "ping"}, 5.0):
            return None
        if child is not None and child.poll() is not None:
            break
        time.sleep(0.01)
    return f"the sentinel did not start: {reason}"


def adopt_surroundings(run: Run) -> None:
    """Make the environment that this run was opened in ours: a transient unit starts with systemd's own."""
    kept = run.facts.get("environment")
    if isinstance(kept, dict):
        os.environ.clear()
        os.environ.update({str(name): str(value) for name, value in kept.items()})


def _as_unit(run: Run, environment: dict[str, str]) -> tuple[bool, str]:
    # KillMode=process: an Apache without a unit of its own, started by the sentinel, must outlive it.
    words = ["systemd-run", "--quiet", "--collect", f"--unit=certbot-guard-{run.id}",
             "--description=certbot-guard: watches a certbot run until it has ended well",
             "--property=Restart=on-failure", "--property=RestartSec=200ms", "--property=KillMode=process",
             "--property=StartLimitIntervalSec=600", "--property=StartLimitBurst=100", "--working-directory=/", "--no-block"]
    words += command("sentinel", str(run.directory))
    try:
        done = subprocess.run(words, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return False, str(error)
    return done.returncode == 0, done.stderr.decode("utf-8", "replace").strip()[-300:] or "it ended at once"
