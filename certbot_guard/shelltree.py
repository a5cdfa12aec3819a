"""What has been read of shell, as a tree: commands, and the groups, conditions, loops and functions they are in.

Pure. Read by :mod:`certbot_guard.shellgroups`, from where all of this can be had.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Iterator, Optional, Sequence, Union

from certbot_guard.shellreader import NotSimple, Simple

# Nobody writes as many brackets within each other, or commands, around certbot
DEPTH_LIMIT, COMMANDS_LIMIT = 20, 2000


@dataclass(frozen=True)
class Group:
    """What stands around commands.

    :ivar kind: ``{``, ``(``, ``!``, ``if``, ``for``, ``while``, ``until``, ``case``, ``function``
    :ivar parts: its lists of commands: of ``if`` condition, body, condition, body, what is behind ``else``; of
        ``while`` and ``until`` condition and body; of ``case`` each arm
    :ivar joined: the operator before it; ``then``: the one behind it
    :ivar redirects: those of the whole group
    :ivar start: where it begins in the text
    :ivar close: where it ends without its redirections
    :ivar end: and where it ends
    :ivar name: of a function; of a ``{`` that stands for a call of one
    """

    kind: str
    parts: tuple[tuple[Node, ...], ...]
    joined: str = ""
    redirects: tuple[str, ...] = ()
    then: str = field(default="", compare=False)
    start: int = field(default=0, compare=False)
    close: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)
    name: str = ""


Node = Union[Simple, Group]


@dataclass(frozen=True)
class Leaf:
    """One command, with what comes to it from the groups around it.

    :ivar simple: its redirections begin with those of the groups; where it is first or last, its operators are theirs
    :ivar piped: what it writes goes to another command
    :ivar within: each group it is in, outermost first, and in which of its parts
    """

    simple: Simple
    piped: bool
    within: tuple[tuple[Group, int], ...]

    def excludes(self, later: Leaf) -> bool:
        """Whether only one of both is ever run: they are in different branches of one condition."""
        for (one, mine), (other, its) in zip(self.within, later.within):
            if one is not other:
                return False
            if mine != its:
                return one.kind == "case" or (one.kind == "if" and mine % 2 == 1)
        return False


def expanded(nodes: Sequence[Node]) -> Optional[tuple[Node, ...]]:
    """The same with each function where it is called, and not where it is defined; None where that cannot be told."""
    try:
        return _Expansion().nodes(nodes, 0)
    except NotSimple:
        return None


def shared(paths: Sequence[tuple[tuple[Group, int], ...]]) -> tuple[tuple[Group, int], ...]:
    """The groups, and the parts of them, that all of these are in; of :attr:`Leaf.within`."""
    shared = paths[0]
    for path in paths[1:]:
        same = [one is other and part == its for (one, part), (other, its) in zip(shared, path)]
        shared = shared[:same.index(False) if False in same else len(same)]
    return shared


def leaves(nodes: Sequence[Node]) -> list[Leaf]:
    """Every command, in the order in which they stand there."""
    return list(_leaves(nodes, "", (), "", False, ()))


def _leaves(nodes: Sequence[Node], joined: str, redirects: tuple[str, ...], then: str, piped: bool,
            within: tuple[tuple[Group, int], ...]) -> Iterator[Leaf]:
    for number, node in enumerate(nodes):
        before = node.joined if number else joined
        behind = node.then if number < len(nodes) - 1 or node.then == "&" else then or node.then
        goes = piped or node.then == "|"
        if isinstance(node, Simple):
            made = replace(node, joined=before, redirects=redirects + node.redirects, then=behind)
            yield Leaf(made, goes, within)
            continue
        for part, inside in enumerate(node.parts):
            first = before if not part else ";"
            if part and node.kind in ("if", "while", "until"):
                first = "&&" if part % 2 else "||"
            yield from _leaves(inside, first, redirects + node.redirects, behind, goes, (*within, (node, part)))


class _Expansion:
    """Puts functions where they are called."""

    def __init__(self) -> None:
        self.functions: dict[str, Group] = {}
        self.count = 0

    def nodes(self, nodes: Sequence[Node], depth: int) -> tuple[Node, ...]:
        if depth > 2 * DEPTH_LIMIT:
            raise NotSimple
        return tuple(made for node in nodes for made in self._node(node, depth))

    def _node(self, node: Node, depth: int) -> Iterator[Node]:
        self.count += 1
        if self.count > COMMANDS_LIMIT:
            raise NotSimple
        if isinstance(node, Simple):
            called = self.functions.get(node.words[0]) if node.words else None
            if called is not None:
                yield Group("{", tuple(self.nodes(part, depth + 1) for part in called.parts), node.joined,
                            node.redirects, node.then, node.start, node.end, node.end, called.name)
            else:
                yield node
        elif node.kind == "function":
            if depth or node.joined in ("&&", "||", "|") or node.then == "|" or node.name in self.functions:
                raise NotSimple  # which of them it is, and whether it is one, is not known
            self.functions[node.name] = node
            # It succeeds, and holds the place of its operators.
            yield Simple((":",), node.joined, then=node.then, start=node.start, end=node.end)
        else:
            yield replace(node, parts=tuple(self.nodes(part, depth + 1) for part in node.parts))
