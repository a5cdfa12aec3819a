"""A line of shell around certbot, taken apart: what stops and starts a server, what throws output away. Pure.

Used by doctor's mistakes, which judge, and by :mod:`certbot_guard.doctor.repair`, which writes the line to put instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Mapping, Optional, Sequence

from certbot_guard import certbotlines, shellgroups, shellwords
from certbot_guard.certbotlines import Start
from certbot_guard.shellgroups import Group, Leaf, Node
from certbot_guard.shellreader import LINE_LIMIT
from certbot_guard.shellwords import Simple

# What may stand before and behind the commands of one line of a script that cannot be read as a whole
_OPENS = ("if", "then", "else", "elif", "do", "while", "until", "!", "{")
_CLOSES = ("then", "do", "{", "}", "fi", "done", ")", ";", "esac")
_FUNCTION = re.compile(r"^[ \t]*(?:function[ \t]+[\w.:-]+|[\w.:-]+[ \t]*\([ \t]*\))", re.MULTILINE)
_LINES_LIMIT = 2000
SCRIPT_LIMIT = 64 * 1024
# More than anybody writes into one line
_STEPS_LIMIT = 100
_SHELLS_LIMIT = 4
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
    :ivar leaf: where it stands among groups
    """

    simple: Simple
    verb: Optional[str]
    server: str
    starts: tuple[Start, ...]
    leaf: Optional[Leaf] = None

    @property
    def piped(self) -> bool:
        return self.leaf.piped if self.leaf else self.simple.then == "|"

    def excludes(self, later: Step) -> bool:
        """Whether only one of both is ever run."""
        return bool(self.leaf and later.leaf and self.leaf.excludes(later.leaf))


@dataclass(frozen=True)
class Reading:
    """What a line or a script says.

    :ivar nodes: its commands, and what stands around them
    :ivar steps: all of its commands, in the order in which they stand there; of :func:`shellgroups.leaves`
    :ivar unread: the pieces of it that cannot be told
    """

    nodes: tuple[Node, ...]
    steps: tuple[Step, ...]
    unread: tuple[str, ...] = ()


def steps(line: str) -> Optional[list[Step]]:
    """The commands of a line of shell; None where it is more than simple commands."""
    read_ = shellwords.commands(line, substitutions=True)
    return None if read_ is None or len(read_) > _STEPS_LIMIT else [_step(one) for one in read_]


def read(line: str) -> Reading:
    """A line of shell with its groups, conditions and loops, and with what ``sh -c`` in it runs."""
    return _read(line, LINE_LIMIT, _STEPS_LIMIT) or Reading((), (), (line,))


def read_script(body: str) -> Reading:
    """A script; where it cannot be read as a whole, its lines in their order, as far as each can be."""
    whole = _read(body, SCRIPT_LIMIT, shellgroups.COMMANDS_LIMIT)
    if whole is not None:
        return whole
    nodes: list[Node] = []
    unread = [body] if _FUNCTION.search(body) else []  # who calls what when is not known
    lines = body.split("\n")
    for line in lines[:_LINES_LIMIT]:
        # As it is; without what belongs to other lines; without the redirections of what ends on it
        closed = max(line.rfind(")"), line.rfind("}"), 0)
        for left in (line, _uncovered(line[:LINE_LIMIT]), _uncovered(line[:min(closed, LINE_LIMIT)])):
            found = _read(left, LINE_LIMIT, _STEPS_LIMIT) if left or not line.strip() else None
            if found is not None:
                break
        if found is None:
            unread.append(line)
        elif found.nodes:
            nodes += [replace(found.nodes[0], joined="\n"), *found.nodes[1:]]
            unread += found.unread
    return Reading(tuple(nodes), steps_in(nodes), (*unread, *lines[_LINES_LIMIT:]))


def steps_in(nodes: Sequence[Node]) -> tuple[Step, ...]:
    """Every command of what has been read."""
    return tuple(replace(_step(leaf.simple), leaf=leaf) for leaf in shellgroups.leaves(nodes))


def _read(text: str, limit: int, most: int) -> Optional[Reading]:
    parsed = shellgroups.parse(text, limit)
    nodes = None if parsed is None else shellgroups.expanded(parsed)
    if nodes is None:
        return None
    unread: list[str] = []
    functions = {node.name: text[node.start:node.end] for node in parsed or ()
                 if isinstance(node, Group) and node.kind == "function"}
    nodes = tuple(_opened(one, unread, 0, functions) for one in nodes)
    found = steps_in(nodes)
    return Reading(nodes, found, tuple(unread)) if len(found) <= most else None


def _opened(node: Node, unread: list[str], depth: int, functions: Mapping[str, str]) -> Node:
    """The same, with each ``sh -c LINE`` as a subshell.

    :param functions: the text of each, by its name
    """
    if isinstance(node, Group):
        return replace(node, parts=tuple(tuple(_opened(one, unread, depth, functions) for one in part)
                                         for part in node.parts))
    line = shellwords.inner_shell(node.words)
    if node.words[:1] == ("trap",):  # when it runs is not known
        unread += [functions.get(word, word) for word in node.words[1:]]
    unread += map(_substituted, node.settings if line is not None else (*node.words, *node.settings))
    if line is None:
        return node
    parsed = shellgroups.parse(line) if depth < _SHELLS_LIMIT else None
    inside = None if parsed is None else shellgroups.expanded(parsed)
    if inside is None:
        unread.append(line)
    if not inside:
        return node
    return Group("(", (tuple(_opened(one, unread, depth + 1, {}) for one in inside),), node.joined, node.redirects,
                 node.then, node.start, node.end, node.end)


def _substituted(word: str) -> str:
    """What the substitutions in a word run, which is not looked at; an empty string where there are none."""
    match = re.search(r"\$\(|`", word)
    return word[match.start():max(word.rfind(")"), word.rfind("`"))] if match else ""


def _uncovered(line: str) -> str:
    """A line of a script without the words and brackets that belong to lines before or after it."""
    left = line.strip()
    before = None
    while left != before:
        before = left
        for word in _OPENS:
            if left.startswith(word) and left[len(word):len(word) + 1] in (" ", "\t", ""):
                left = left[len(word):].lstrip()
        left = left[1:].lstrip() if left.startswith("(") else left
        for word in _CLOSES:
            if left.endswith(word) and (not word.isalpha() or left[:-len(word)].endswith((" ", "\t", ";")) or
                                        left == word):
                left = left[:-len(word)].rstrip()
    return left


def inner(step_list: Sequence[Step]) -> Optional[str]:
    """The line inside, where the whole is one ``sh -c LINE``."""
    return shellwords.inner_shell(step_list[0].simple.words) if len(step_list) == 1 else None


def around(step_list: Sequence[Step]) -> Optional[tuple[int, int, Optional[int]]]:
    """Where a server is stopped before certbot: (the stop, certbot, the start after it or None); None: nowhere."""
    for number, step in enumerate(step_list):
        if not step.starts:
            continue
        for before in range(number - 1, -1, -1):
            if step_list[before].verb is None or step_list[before].excludes(step):
                continue
            if step_list[before].verb in ("start", "restart", "reload"):
                break
            if step_list[before].verb in ("stop", "graceful-stop"):
                after = starts_after(step_list, before, number)
                return before, number, after[0] if after else None
    return None


def starts_after(step_list: Sequence[Step], stop: int, certbot: int) -> list[int]:
    """What starts the server again behind certbot."""
    return [later for later in range(certbot + 1, len(step_list))
            if step_list[later].server == step_list[stop].server and step_list[later].verb in ("start", "restart")
            and not step_list[certbot].excludes(step_list[later])]


def is_direct(words: Sequence[str]) -> bool:
    """Whether a command speaks to Apache itself (apachectl, httpd -k), not to what looks after it (systemctl)."""
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
    for number, step in enumerate(step_list[certbot + 1:], certbot + 1):
        left = shellwords.bare(step.simple.words)
        name = left[0].rsplit("/", 1)[-1] if left else ""
        on_failure = step.simple.joined == "||" or _asked(step_list, certbot, number)
        if on_failure and name not in ("true", ":", "exit", "echo"):
            return True
        if step.simple.joined in ("&&", "|") and name in _TELLS:
            return True
    return False


def _asked(step_list: Sequence[Step], certbot: int, number: int) -> bool:
    """Whether a command is run by how certbot ended, where that may have been badly: ``$?``, ``if ! certbot``."""
    one, step = step_list[certbot], step_list[number]
    if step.simple.joined == "&&" and any("$?" in word for word in step_list[number - 1].simple.words):
        return True
    for group, part in step.leaf.within if step.leaf else ():
        if group.kind == "if" and part % 2:
            turned = False
            for other, its in reversed(one.leaf.within if one.leaf else ()):
                turned = turned or other.kind == "!"
                if other is group and its == part - 1 and turned:
                    return True
            if any("$?" in word for leaf in shellgroups.leaves(group.parts[part - 1]) for word in leaf.simple.words):
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
