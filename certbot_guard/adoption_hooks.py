"""Which hooks of the user's only stop and start the web server, so that the guard has taken their work over.

In a renewal configuration they can be retired; in ``cli.ini`` and ``renewal-hooks/`` they are named, and never touched.
Reads, never writes; what a hook says is judged by :mod:`certbot_guard.shellwords`. Used by
:mod:`certbot_guard.adoption`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from certbot_guard import shellgroups, shellwords
from certbot_guard.errors import GuardError
from certbot_guard.text import line
from certbot_guard.trust import read_trusted, shown

KEYS = ("pre_hook", "post_hook", "renew_hook")
_STOPS = ("stop", "graceful-stop")
_STARTS = ("start", "restart", "reload")
_LINE = re.compile(r"\s*(?:--)?(pre|post|deploy|renew)[-_]hook\s*[=:\s]\s*(.*)")
_AROUND = ", and what stands around it where nothing else is left in there"
# Lines of a script that do nothing by themselves.
_IDLE = re.compile(r"\s*(?:#.*|set\s+[-+].*|exit(?:\s+0)?|)\s*")


def judge(parameters: Mapping[str, Any], others_stop: bool) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """The hooks that can be retired, as (key, value), and for each that cannot be, though it stops or starts, why not.

    A stop goes only together with what starts again, and a start only together with its stop.

    :param others_stop: a hook elsewhere may stop the web server, so whatever starts it is needed
    """
    hooks = {key: value for key, value in parameters.items()
             if key in KEYS and isinstance(value, str) and value not in ("", "None")}
    verbs = {key: shellwords.hook_verb(value) for key, value in hooks.items()}
    starts = [key for key in ("post_hook", "renew_hook") if verbs.get(key) in _STARTS]
    stopped = verbs.get("pre_hook") in _STOPS
    if stopped and (not starts or ("post_hook" in hooks and "post_hook" not in starts)):
        other = "post_hook" if "post_hook" in hooks else ""
        why = f"{other} does not just start it again" if other else "no hook beside it starts it again"
        return (), [f"pre_hook ({line(hooks['pre_hook'], 120)}) only stops the web server, but {why}: these hooks are "
                    "left. Take out by hand what stops it and what starts it"]
    if stopped:
        return tuple((key, hooks[key]) for key in hooks if key in ("pre_hook", *starts)), []
    others_stop = others_stop or "pre_hook" in hooks
    alone = [key for key in starts if not others_stop and verbs[key] != "start"]
    why = "another hook may stop the web server" if others_stop else "what stops the web server is somewhere else"
    return tuple((key, hooks[key]) for key in hooks if key in alone), [
        f"{key} ({line(hooks[key], 120)}) is left: {why}" for key in starts if key not in alone]


def elsewhere(config_dir: Path) -> tuple[list[str], bool]:
    """What to do about hooks outside the renewal configurations, as sentences; and whether one may stop the server."""
    said, stops = [], False
    for where, number, kind, hook, inside in [*_of_cli_ini(config_dir), *_of_directories(config_dir)]:
        verb = shellwords.hook_verb(hook)
        stops = stops or kind == "pre"
        if verb is not None:
            doing = "stops" if verb in _STOPS else "starts" if verb == "start" else f"{verb}s"
            said.append(f"{shown(where)}, line {number}: this hook {doing} the web server ({line(hook, 120)}) "
                        "for every lineage. certbot-guard does that by itself, and only where it is needed: take that "
                        "line out" + (_AROUND if inside else ""))
    return said, stops


def _of_cli_ini(config_dir: Path) -> list[tuple[Path, int, str, str, bool]]:
    from certbot_guard.doctor import hookfiles  # not for a completion, which wants names alone

    found = []
    # The usual directory's counts with every --config-dir; the one beside the certificates where --config names it.
    for path in dict.fromkeys([config_dir / "cli.ini", *hookfiles.cli_inis()]):
        for number, text in enumerate(_text(path).splitlines(), 1):
            match = _LINE.fullmatch(text)
            if match:
                found.append((path, number, match.group(1), match.group(2).strip().strip("\"'"), False))
    return found


def _of_directories(config_dir: Path) -> list[tuple[Path, int, str, str, bool]]:
    found = []
    for kind in ("pre", "deploy", "post"):
        directory = config_dir / "renewal-hooks" / kind
        try:
            paths = sorted(path for path in directory.iterdir() if not path.name.endswith("~"))
        except OSError:
            continue
        for path in paths:
            if not os.access(path, os.X_OK) or not path.is_file():
                continue  # certbot does not run it
            said = _text(path)
            inside = _within_brackets(said)
            lines = [(number, text) for number, text in enumerate(said.split("\n"), 1) if not _IDLE.fullmatch(text)]
            found += [(path, number, kind, text.strip(), number in inside) for number, text in lines] or [
                (path, 1, kind, ":", False)]
    return found


def _within_brackets(script: str) -> set[int]:
    """The lines with a command of a group, a condition or a loop that begins on another line: without it nothing may be
    left there, which a shell does not take. Every line, where the script cannot be read."""
    from certbot_guard.doctor.lines import SCRIPT_LIMIT  # not for a completion, which wants names alone

    nodes = shellgroups.parse(script, SCRIPT_LIMIT)
    if nodes is None:
        return set(range(1, script.count("\n") + 2))
    found, at, number = set(), 0, 1
    for leaf in shellgroups.leaves(nodes):
        number += script.count("\n", at, leaf.simple.start)
        at = leaf.simple.start
        if any("\n" in script[group.start:at] for group, _ in leaf.within):
            found.add(number)
    return found


def _text(path: Path) -> str:
    try:
        return read_trusted(path)[0].decode("utf-8", "replace")
    except (OSError, GuardError):
        return ""  # a program, or nobody's to read: what it does is not known
