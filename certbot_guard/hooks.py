"""What certbot's pre, deploy and post hooks run: requests to the sentinel, and the user's own hook in its place.

``python -I -m certbot_guard.hooks pre|deploy|post RUN [WINDOW]``. The exit code is that of the user's own hook, since
certbot reports it; ours is never the reason for one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn, Optional

from certbot_guard import control
from certbot_guard.errors import StateError
from certbot_guard.run import Run

# On top of what the sentinel may wait for by itself, another run's window: max_outage and a minute.
_OPEN_PATIENCE_SECONDS = 120.0
_CLOSE_PATIENCE_SECONDS = 120.0


def pre(run: Run, window: int) -> int:
    """Apache's port is free when this returns, or Apache runs on and the reason is recorded."""
    own = _users_hook(run, "pre_hook", window)
    if own is not None:
        control.ask(run, {"do": "look", "window": window}, _CLOSE_PATIENCE_SECONDS)
    code = _run_users_hook(own)
    if own is not None and not _is_open(run):
        _bring_back(run)  # settled without us: what his hook has stopped since, nobody else would start
    elif _planned(run, window).get("needs_stop") and _is_open(run):
        patience = float(run.facts["server"]["max_outage_seconds"]) + _OPEN_PATIENCE_SECONDS
        answer = control.ask(run, {"do": "open", "window": window}, patience)
        if answer is None:
            _bring_back(run)  # it may have died between the stop and its answer
            if not any(event["kind"] == "stopping" and event.get("window") == window for event in run.events()):
                run.note("left-running", window=window, lineage=_planned(run, window).get("lineage"), detail="",
                         reason="the sentinel is gone, so nobody could bring Apache back")
            answer = {"ok": False, "reason": "certbot-guard's sentinel is gone"}
        if not answer.get("ok"):
            print(f"certbot-guard leaves the web server running: {answer.get('reason')}", file=sys.stderr)
    return code


def deploy(run: Run, window: Optional[int]) -> int:
    """Apache serves again, before the user's own deploy hook asks something of it."""
    _close(run, "deploy hook")
    return _run_users_hook(_users_hook(run, "deploy_hook", window))


def post(run: Run, window: Optional[int]) -> int:
    """Apache serves again at the end of certbot's work, before the user's own post hook."""
    _close(run, "post hook")
    return _run_users_hook(_users_hook(run, "post_hook", window))


def _is_open(run: Run) -> bool:
    """A hook that outlived certbot, or was frozen until the run was settled, must not touch Apache."""
    return not run.has("closed") and run.certbot_lives()


def _close(run: Run, by: str) -> None:
    try:
        if control.ask(run, {"do": "close", "by": by}, _CLOSE_PATIENCE_SECONDS) is None:
            _bring_back(run)  # no sentinel: nobody but us is left to do it
    except Exception as error:  # certbot's exit settles; the user's own hook runs whatever is wrong with us
        run.note("guard-error", where=by, error=f"{type(error).__name__}: {error}")


def _bring_back(run: Run) -> None:
    from certbot_guard import launch, settle, windows

    with run.step():
        serves = windows.bring_back(run, settle.server_of(run))
    if serves is False:
        launch.start_sentinel(run)


def _planned(run: Run, window: Optional[int]) -> dict[str, Any]:
    found = [event for event in run.events() if event["kind"] == "lineage" and event.get("number") == window]
    return found[-1] if found else {}


def _users_hook(run: Run, name: str, window: Optional[int]) -> Optional[str]:
    return (_planned(run, window).get("own_hooks") or {}).get(name)


def _run_users_hook(own: Optional[str]) -> int:
    """Run it as certbot does: by the shell, in certbot's environment and directory."""
    if own is None:
        return 0
    sys.stdout.flush()
    # His own words, from his own renewal configuration, which is root's; certbot would have done the same.
    return subprocess.run(own, shell=True, check=False).returncode  # nosec B602


def main(arguments: list[str]) -> int:
    kind, directory = arguments[0], Path(arguments[1])
    window = int(arguments[2]) if len(arguments) > 2 else None
    try:
        run = Run.load(directory)
    except StateError as error:
        # A stale command, of a run that is long gone, does nothing.
        print(f"certbot-guard: {error}", file=sys.stderr)
        return 0
    return {"pre": pre, "deploy": deploy, "post": post}[kind](run, window)  # type: ignore[operator]


def _leave(code: int) -> NoReturn:
    """End now: Apache is down while Python would tidy up, and certbot waits for it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it
            pass
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    _leave(main(sys.argv[1:]))
