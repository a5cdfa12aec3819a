"""A line of shell around certbot, taken apart: what stops and starts a server, what throws output away. Pure.

Used by doctor's mistakes, which judge, and by :mod:`certbot_guard.doctor.repair`, which writes the line to put instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional, Sequence

from certbot_guard import certbotlines, shellwords
from certbot_guard.certbotlines import Start
from certbot_guard.shellreader import LINE_LIMIT
from certbot_guard.shellwords import Simple

_CONTROL_WORDS = re.compile(r"^\s*(?:(?:if|then|else|elif|do|while|until|!)\s+)*")
_CONTROL_ENDS = re.compile(r"\s*;\s*(?:then|do)\s*$")
_LINES_LIMIT = 2000
# More than anybody writes into one line
_STEPS_LIMIT = 100
_SERVICE_VERBS = {"stop": "stop", "start": "start", "restart": "start"}
_INIT_SCRIPT = re.compile(r"/etc/(?:rc\.d/)?init\.d/([\w.@-]+)")
_REDIRECT = re.compile(r"([0-9]*)(&>>|&>|>&|>>|>\||>)(.*)", re.DOTALL)
_TELLS = frozenset({"mail", "mailx", "sendmail", "msmtp", "curl", "wget", "logger", "apprise", "ntfy", "telegram-send",
                    "notify-send", "systemd-cat", "slack", "mutt", "ts", "tee", "chronic", "cronic"})


@dataclass(frozen=True)
class Step:
    """One command of a line: what it has a server do, or how it starts certbot, or neither.

    :ivar server: ``apache``, or the name of another service
    :ivar verb: ``stop``, ``graceful-stop``, ``start``, ``restart``, ``reload``; None: something else
    """

    simple: Simple
    verb: Optional[str]
    server: str
    starts: tuple[Start, ...]


def steps(line: str) -> Optional[list[Step]]:
    """The commands of a line of shell; None where it is more than simple commands."""
    read = shellwords.commands(line, substitutions=True)
    return None if read is None or len(read) > _STEPS_LIMIT else [_step(one) for one in read]


def steps_of_script(body: str) -> list[Step]:
    """The commands of a script in their order, as far as they are simple; what is behind an ``if`` counts."""
    whole = steps(body)
    if whole is not None:
        return whole
    found: list[Step] = []
    for line in body.split("\n")[:_LINES_LIMIT]:
        left = _CONTROL_ENDS.sub("", _CONTROL_WORDS.sub("", line[:LINE_LIMIT]))
        for number, step in enumerate(steps(left) or []):
            simple = step.simple
            if not number:
                simple = Simple(simple.words, "\n", simple.redirects, simple.settings, simple.then)
            found.append(Step(simple, step.verb, step.server, step.starts))
    return found


def inner(step_list: Sequence[Step]) -> Optional[str]:
    """The line inside, where the whole is one ``sh -c LINE``."""
    return shellwords.inner_shell(step_list[0].simple.words) if len(step_list) == 1 else None


def around(step_list: Sequence[Step]) -> Optional[tuple[int, int, Optional[int]]]:
    """Where a server is stopped before certbot: (the stop, certbot, the start after it or None); None: nowhere."""
    for number, step in enumerate(step_list):
        if not step.starts:
            continue
        for before in range(number - 1, -1, -1):
            if step_list[before].verb in ("start", "restart", "reload"):
                break
            if step_list[before].verb in ("stop", "graceful-stop"):
                server = step_list[before].server
                after = [later for later in range(number + 1, len(step_list))
                         if step_list[later].server == server and step_list[later].verb in ("start", "restart")]
                return before, number, after[0] if after else None
    return None


def needs_success(step_list: Sequence[Step], certbot: int, start: int) -> bool:
    """Whether the start after certbot depends on how certbot ended."""
    return any(step.simple.joined in ("&&", "||") for step in step_list[certbot + 1:start + 1])


def is_direct(words: Sequence[str]) -> bool:
    """Whether a command speaks to Apache itself (apachectl, httpd -k), not to what looks after it (systemctl, "
      "service)."""
    left = shellwords.bare(words)
    return bool(left) and left[0].rsplit("/", 1)[-1] in ("apachectl", "apache2ctl", "httpd", "apache2", "httpd2") and \
        not left[0].startswith("/etc/")


def thrown_away(redirects: Sequence[str]) -> bool:
    """Whether what a command writes to standard error is lost."""
    where = {"1": "out", "2": "err"}
    for redirect in redirects:
        match = _REDIRECT.fullmatch(redirect)
        if not match:
            continue
        number, operator, target = match[1], match[2], match[3]
        if operator in ("&>", "&>>") or (operator == ">&" and not target.rstrip("-").isdigit()):
            where["1"] = where["2"] = target
        elif operator == ">&":
            where[number or "1"] = where.get(target, "/dev/null" if target == "-" else "?")
        else:
            where[number or "1"] = target
    return where["2"] == "/dev/null"


def tells(step_list: Sequence[Step], certbot: int) -> bool:
    """Whether something behind certbot in the line depends on its end and tells somebody, or may do so."""
    for step in step_list[certbot + 1:]:
        left = shellwords.bare(step.simple.words)
        name = left[0].rsplit("/", 1)[-1] if left else ""
        if step.simple.joined == "||" and name not in ("true", ":", "exit", "echo"):
            return True
        if step.simple.joined in ("&&", "|") and name in _TELLS:
            return True
    return False


def _step(one: Simple) -> Step:
    starts = tuple(start for start in certbotlines.of_words(one.words) if start.obtains)
    if starts:
        return Step(one, None, "", starts)
    verb = shellwords.server_verb(one.words)
    if verb is not None:
        return Step(one, verb, "apache", ())
    server, verb = _other_server(one.words)
    return Step(one, verb, server, ())


def _other_server(words: Sequence[str]) -> tuple[str, Optional[str]]:
    """``("nginx", "stop")``: what is done to a service that is not Apache."""
    left = shellwords.bare(words)
    if len(left) < 2:
        return "", None
    name, plain = left[0].rsplit("/", 1)[-1], [word for word in left[1:] if not word.startswith("-")]
    script = _INIT_SCRIPT.fullmatch(left[0])
    if script and plain:
        return script[1], _SERVICE_VERBS.get(plain[0])
    if name == "systemctl" and len(plain) == 2 and not {"--user", "-H", "-M"} & set(left):
        return re.sub(r"\.service$", "", plain[1]), _SERVICE_VERBS.get(plain[0])
    if name in ("service", "rc-service", "invoke-rc.d") and len(plain) >= 2:
        return plain[0], _SERVICE_VERBS.get(plain[1])
    return "", None
