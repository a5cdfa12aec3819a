"""Which commands of a line are run when certbot fails, and which when it succeeds. Pure.

That certbot is run is taken for granted, and with it what leads there. What any other command comes to is not known,
but for a few; so each is run for certain, or not at all, or perhaps. Used by :mod:`certbot_guard.doctor.stopping`.
"""

from __future__ import annotations

from typing import Optional, Sequence

from certbot_guard import shellwords
from certbot_guard.shellgroups import Group, Node, leaves
from certbot_guard.shellreader import Simple

_SUCCEED = frozenset({"true", ":", "echo", "printf", "sleep", "set", "logger", "tee", "cat", "mail"})
# Yes, no, perhaps
Maybe = Optional[bool]


def reached(nodes: Sequence[Node], certbot: int, succeeds: bool) -> list[Maybe]:
    """Whether each command is run, in the order of :func:`certbot_guard.shellgroups.leaves`.

    :param certbot: the number of the command that starts it
    :param succeeds: how that ends
    """
    within = leaves(nodes)[certbot].within
    walk = _Walk(certbot, succeeds, {id(group): part for group, part in within})
    walk.through(nodes, True)
    return walk.runs


class _Walk:
    """:ivar way: the groups that certbot is in, by their identity, and in which of their parts
    :ivar alive: the shell has not come to an ``exit``; ``going``: the loop, or the function, not to its end
    """

    def __init__(self, certbot: int, succeeds: bool, way: dict[int, int]) -> None:
        self.certbot, self.succeeds, self.way = certbot, succeeds, way
        self.runs: list[Maybe] = []
        self.alive: Maybe = True
        self.going: Maybe = True
        self.ends_at_errors: Maybe = False
        self.pipes_count: Maybe = False

    def through(self, nodes: Sequence[Node], here: Maybe, asked: bool = False) -> Maybe:
        """How a list of commands ends.

        :param here: whether it is run
        :param asked: something looks at how it ends, so that ``set -e`` does not count in it
        """
        ended: Maybe = True
        wanted, its = here, ended
        for number, node in enumerate(nodes):
            before, previous = wanted, its
            wanted = _both(here, _both(self.alive, self.going))
            if node.joined == "|":
                wanted = before
            elif node.joined == "&&":
                wanted = _both(wanted, ended)
            elif node.joined == "||":
                wanted = _both(wanted, _not(ended))
            if id(node) in self.way or (isinstance(node, Simple) and len(self.runs) == self.certbot):
                wanted = True
            following = nodes[number + 1].joined if number + 1 < len(nodes) else ""
            looked_at = asked or following in ("&&", "||")
            alone = node.joined == "|" or node.then in ("|", "&")
            alive, going, errors = self.alive, self.going, self.ends_at_errors
            its = self._one(node, wanted, looked_at or node.then == "|")
            if node.joined == "|" and self.pipes_count is not False and previous is not True:
                its = False if self.pipes_count and previous is False else None
            if alone:
                self.alive, self.going, self.ends_at_errors = alive, going, errors
            if node.then == "&":
                its = True
            turned = isinstance(node, Group) and node.kind == "!"
            if not looked_at and node.then != "|" and not turned:
                ends = _both(self.ends_at_errors, _both(wanted, _not(its)))
                self.alive = _both(self.alive, _not(ends))
            if wanted is not False:
                ended = its if wanted or its == ended else None
        return ended

    def _one(self, node: Node, here: Maybe, asked: bool) -> Maybe:
        if isinstance(node, Simple):
            return self._simple(node, here)
        if node.kind == "!":
            return _not(self.through(node.parts[0], here, True))
        way = self.way.get(id(node))
        if node.kind == "if":
            return self._condition(node.parts, here, asked, way)
        if node.kind == "case":
            taken: list[Maybe] = [None if way is None else part == way for part in range(len(node.parts))]
            ends = [self.through(part, _both(here, its), asked) for part, its in zip(node.parts, taken)]
            return True if all(ends) else None
        going, errors = self.going, self.ends_at_errors
        alive = self.alive
        if node.kind in ("for", "while", "until"):
            holds: Maybe = None
            if node.kind != "for":
                holds = self.through(node.parts[0], here, True)
                holds = True if way == 1 else holds if node.kind == "while" else _not(holds)
                here = _both(here, holds)
            self.through(node.parts[-1], here, asked)
            if holds and way != 1:  # without a break it goes on for ever
                self.alive = _both(self.alive, _not(_both(here, self.going)))
            self.going = going
            return None
        ended = self.through(node.parts[0], here, asked)
        if node.kind == "(":
            ended = ended if self.alive else None if self.alive is None else False
            self.alive, self.ends_at_errors = alive, errors
        if node.kind == "(" or node.name:
            self.going = going
        return ended

    def _condition(self, parts: Sequence[Sequence[Node]], here: Maybe, asked: bool,
                   way: Optional[int]) -> Maybe:
        ends: set[Maybe] = set()
        for number in range(0, len(parts), 2):
            holds: Maybe = True
            body = parts[number]
            if number + 1 < len(parts):
                holds, body = self.through(body, here, True), parts[number + 1]
                holds = holds if way is None or number >= way else way == number + 1
            ended = self.through(body, _both(here, holds), asked)
            ends |= set() if _both(here, holds) is False else {ended}
            here = _both(here, _not(holds))
        ends |= set() if here is False else {True}
        return ends.pop() if len(ends) == 1 else None

    def _simple(self, one: Simple, here: Maybe) -> Maybe:
        number = len(self.runs)
        self.runs.append(here)
        if number == self.certbot:
            self.alive = self.going = True
            return self.succeeds
        words = shellwords.bare(one.words)
        name = words[0] if words else ":"
        if name in ("exit", "exec") and (name == "exit" or len(words) > 1):
            self.alive = _both(self.alive, _not(here))
        elif name in ("return", "break", "continue"):
            self.going = _both(self.going, _not(here))
        elif name == "set" and here is not False:
            self._options(words[1:], here)
        return True if name in _SUCCEED else False if name == "false" else None

    def _options(self, words: Sequence[str], here: Maybe) -> None:
        on = any(word.startswith("-") for word in words)
        if "errexit" in words or any(word[:1] in ("-", "+") and "e" in word and word[:2] != "--" for word in words):
            self.ends_at_errors = on if here or self.ends_at_errors is on else None
        if "pipefail" in words:
            self.pipes_count = on if here or self.pipes_count is on else None


def _both(one: Maybe, other: Maybe) -> Maybe:
    return False if one is False or other is False else None if one is None or other is None else True


def _not(one: Maybe) -> Maybe:
    return None if one is None else not one
