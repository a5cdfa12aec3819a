"""What is left out of a line of shell around certbot, and whether the others are run as before without it. Pure.

Used by :mod:`certbot_guard.doctor.commandrepair`.
"""

from __future__ import annotations

import re
from typing import Optional, Sequence

from certbot_guard.doctor import lines
from certbot_guard.shellgroups import Group, Node
from certbot_guard.shellreader import Simple

STOPS_OR_STARTS = frozenset({"stop", "graceful-stop", "start", "restart"})
_LEFT_OUT_WITH = frozenset({"sleep", "true", ":"})
OF_BEFORE = re.compile(r"\$(?:[?!_]|\{[?!_])")
_RUNS_MORE = re.compile(r"\$[({]|`")


def is_nothing(step: lines.Step) -> bool:
    one = step.simple
    return (bool(one.words) and not step.starts and one.words[0] in _LEFT_OUT_WITH and not one.redirects
            and not one.settings and not any(_RUNS_MORE.search(word) for word in one.words))


def dropped_of(steps: Sequence[lines.Step]) -> set[int]:
    """What is left out: what stops and starts the server around certbot, and what does nothing between."""
    where = lines.around(steps)
    if where is None:
        return set()
    stop, certbot, start = where
    last = start if start is not None else certbot
    found = {number for number in range(stop, last + 1)
             if steps[number].server == steps[stop].server and steps[number].verb in STOPS_OR_STARTS}
    for number, step in enumerate(steps):
        before, behind = step.simple.joined, step.simple.then
        if not is_nothing(step):
            continue
        if before == "||":  # `stop || true`
            nothing = number - 1 in found and steps[number - 1].simple.joined not in ("&&", "||", "|")
        else:
            nothing = stop < number < last and before != "|" and behind not in ("||", "|")
        found |= {number} if nothing else set()
    return found


def _ends_the_same(steps: Sequence[lines.Step]) -> bool:
    """Whether a list of commands ends as it did, without what is left out."""
    dropped = dropped_of(steps)
    for number in range(len(steps) - 1, -1, -1):
        if number not in dropped:
            return True
        if steps[number].simple.joined not in ("&&", "||"):
            return False
    return False


def ends_otherwise(command: str) -> bool:
    """Whether a line ends otherwise than it did where what is left out of it is gone, or may do so."""
    steps = lines.steps(command)
    return steps is None or lines.inner(steps) is not None or not _ends_the_same(steps)


def end_counts(nodes: Sequence[Node], around: Sequence[tuple[Group, int]], command: str) -> bool:
    """Whether anything depends on how the innermost of these groups ends, or may do so."""
    if OF_BEFORE.search(command):
        return True
    inside, follows = nodes, False
    for group, part in around:
        number = next((number for number, node in enumerate(inside) if node is group), len(inside))
        behind = inside[number + 1:]
        while behind and behind[0].joined == "|":
            behind = behind[1:]
        last = inside[len(inside) - len(behind) - 1]
        if behind and last.then == "||" and isinstance(behind[0], Simple) and behind[0].words in (("true",), (":",)):
            behind = behind[1:]
        elif behind and last.then in ("&&", "||"):
            return True
        follows = follows or bool(behind)
        conditions = {"if": part % 2 == 0 and part < len(group.parts) - 1, "while": part == 0, "until": part == 0}
        if group.kind == "function" or conditions.get(group.kind):
            return True
        inside = group.parts[part]
    return follows and re.search(r"\b(?:set|trap|errexit|pipefail)\b", command) is not None


def without(step: lines.Step, before: tuple[str, str], behind: tuple[str, str], more: bool,
             pointless: bool, errors_count: bool) -> Optional[tuple[str, str]]:
    """What is between the commands around one that is left out, and that is taken to succeed; None: more hangs on it.

    :param more: something comes behind it
    :param pointless: that does nothing, and is left out, too
    :param errors_count: the shell may end at a failure
    """
    stops = step.verb in ("stop", "graceful-stop")
    if "|" in (before[1], behind[1]) or before[1] == "||" or any(_RUNS_MORE.search(one) for one in (
            *step.simple.words, *step.simple.settings)):
        return None
    if before[1] == "&&" and behind[1] not in ("&&", "||"):
        # `set -e` passes over a failure before `&&`, and ends at the same failure without it
        return None if errors_count else behind
    if before[1] == "&&":
        return None if stops and behind[1] == "||" else behind
    if behind[1] == "||":
        return before if pointless else None
    if more:
        return before
    rest = re.sub(r"^\s*[;&|]+", "", behind[0])
    rest = " " + rest if rest.startswith("#") else rest
    return None if before[1] == "&" else (rest, "")
