"""docs/events.md: every kind of event that the log of a run may hold, with its fields and who writes it.

What an event means stands in script/events.txt, for people to write; kinds, fields and writers are read from the source
by ``ast``, so that the page cannot name one that is not there, nor lack one that is. Used by script/reference and
tests/unit/test_events.py.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "certbot_guard"
TABLE = Path(__file__).with_name("events.txt")

# What writes an event: its first argument is the kind.
_WRITERS = {"note", "record", "line_of", "_put", "_event"}
# Functions that are given a kind and pass it on, with the fields they add themselves.
_PASSED_ON = {"_not_reloaded": ("reason", "detail", "lineage")}
# Where a kind or fields come from that no constant names: looked at, and found to add no kind of their own.
_ONLY_PASS_ON = {
    ("capture", "flush_to"),  # what waited until there was a run
    ("eventlog", "note"), ("journal", "record_run"),  # lines that are made already, and whole runs
    ("plugin", "_put"),
    ("ownrun", "note"), ("ownrun", "to_tell_of"), ("run", "record"), ("run", "note"), ("capture", "_put"),
    ("logfile", "_put"), ("logfile", "_event"), ("deployment", "_not_reloaded"), ("watch.of_files", "note"),
    ("eventlog", "line_of"), ("watch.attempts", "look"),  # what the log of certbot's last run said (logfile)
}
# Keyword arguments that are no fields.
_NO_FIELDS = {"sync", "record"}
# The functions whose dict a call spreads into fields (``**x``), where the name of the variable does not say it.
_SPREAD = {"session": {"facts": "_lineage_facts"}, "watch.services": {"fields": "_judged"},
           "watch.of_services": {"one": "watch.services._judged"},
           "watch.of_runs": {"found[0]": "watch.attempts.no-timer"}}
# The modules that are handed such a dict on its way, and put more into it.
_ADDED_IN = {"session": ("session", "need", "proxied")}


@dataclass
class Kind:
    """One kind, as the source has it. ``places``: the modules that write it."""

    name: str
    fields: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    def add(self, fields: list[str], place: str) -> None:
        self.fields += [name for name in fields if name not in self.fields]
        self.places += [place] if place not in self.places else []


@dataclass(frozen=True)
class Table:
    """script/events.txt. ``parts``: heading -> [(kind, when)]; ``fields`` and ``writers``: what each is."""

    parts: dict[str, list[tuple[str, str]]]
    fields: dict[str, str]
    writers: dict[str, str]

    @property
    def kinds(self) -> list[str]:
        return [kind for rows in self.parts.values() for kind, _ in rows]


# -- the source ------------------------------------------------------------------------------------------------------


class UnknownKind(Exception):
    """A call writes an event, and nobody can say from the source which."""


def found(source: Path = SOURCE) -> dict[str, Kind]:
    """Every kind that some line of the source writes, by name.

    :raises UnknownKind: a call's kind or fields are neither constant nor among those that were looked at
    """
    trees = {_module(path, source): ast.parse(path.read_text("utf-8")) for path in sorted(source.rglob("*.py"))}
    kinds: dict[str, Kind] = {}
    for module, tree in trees.items():
        for function, call in _calls(tree):
            for name, fields in _events(call, module, function, trees):
                kinds.setdefault(name, Kind(name)).add(fields, module)
    return kinds


def _module(path: Path, source: Path) -> str:
    return ".".join(path.relative_to(source).with_suffix("").parts)


def _calls(tree: ast.AST, function: str = "") -> Iterator[tuple[str, ast.Call]]:
    """Every call, with the name of the function around it."""
    for node in ast.iter_child_nodes(tree):
        inside = node.name if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else function
        if isinstance(node, ast.Call):
            yield function, node
        yield from _calls(node, inside)


def _events(call: ast.Call, module: str, function: str, trees: dict[str, ast.Module]) -> list[tuple[str, list[str]]]:
    called = _called(call)
    if called in _PASSED_ON and call.args:
        return [(name, list(_PASSED_ON[called])) for name in _constants(call.args[0])]
    if called not in _WRITERS:
        return []
    names = _constants(call.args[0]) if call.args else []
    if names:
        return [(name, _fields(call, module, trees)) for name in names]
    if (module, function) in _ONLY_PASS_ON:
        return []
    raise UnknownKind(f"{module}, line {call.lineno}: which kind does {ast.unparse(call)} write? If it only passes one "
                      f"on, add {(module, function)} to _ONLY_PASS_ON in script/events.py")


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _constants(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return _constants(node.body) + _constants(node.orelse)
    return []


def _fields(call: ast.Call, module: str, trees: dict[str, ast.Module]) -> list[str]:
    names: list[str] = []
    for keyword in call.keywords:
        if keyword.arg is None:
            names += _spread(keyword.value, module, trees)
        elif keyword.arg not in _NO_FIELDS:
            names.append(keyword.arg)
    return names


def _spread(value: ast.expr, module: str, trees: dict[str, ast.Module]) -> list[str]:
    """The keys of what ``**value`` brings in: of a dict, or of the dict that the function of that name returns."""
    if isinstance(value, ast.Dict):
        return _keys(value)
    text = ast.unparse(value)
    origin = _SPREAD.get(module, {}).get(text) or (_called(value) if isinstance(value, ast.Call) else "")
    if origin.endswith(".no-timer"):
        return ["off"]
    where, _, name = origin.rpartition(".")
    for one in [where] if where else [module, *trees]:
        dicts = _returned(trees[one], name) if name and one in trees else []
        if dicts:
            later = [key for place in _ADDED_IN.get(module, ()) for key in _put_into(trees[place], text)]
            return [*dict.fromkeys([key for found_dict in dicts for key in _keys(found_dict)] + later)]
    if module == "logfile" and text == "fields":  # of the line above it: what _failure() returned
        return _spread(ast.parse("self._failure()", mode="eval").body, module, trees)
    raise UnknownKind(f"{module}, line {value.lineno}: which fields are in **{text}? Name the function that makes them "
                      "in _SPREAD in script/events.py")


def _put_into(tree: ast.Module, name: str) -> Iterator[str]:
    """The keys of ``name["key"] = ...``."""
    targets = [target for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets]
    for target in targets:
        if isinstance(target, ast.Subscript) and ast.unparse(target.value) == name:
            yield from _constants(target.slice)


def _returned(tree: ast.Module, name: str) -> list[ast.Dict]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return [inner for returned in ast.walk(node) if isinstance(returned, ast.Return)
                    for inner in _dicts(returned.value)]
    return []


def _dicts(value: Optional[ast.expr]) -> list[ast.Dict]:
    if isinstance(value, ast.Dict):
        return [value]
    return _dicts(value.elt) if isinstance(value, ast.ListComp) else []


def _keys(found_dict: ast.Dict) -> list[str]:
    return [key.value for key in found_dict.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]


# -- the table, and the page -----------------------------------------------------------------------------------------


def table(text: Optional[str] = None) -> Table:
    """script/events.txt: ``## heading`` begins a part; a line is ``word: meaning``."""
    parts: dict[str, list[tuple[str, str]]] = {}
    heading = ""
    for line in (TABLE.read_text("utf-8") if text is None else text).splitlines():
        if line.startswith("## "):
            heading = line[3:].strip()
            parts[heading] = []
        elif heading and line.strip():
            word, _, meaning = line.partition(": ")
            parts[heading].append((word.strip(), meaning.strip()))
    fields, writers = dict(parts.pop("Fields")), dict(parts.pop("Who writes"))
    return Table(parts, fields, writers)


def problems(kinds: dict[str, Kind], known: Table) -> list[str]:
    """What the table lacks, and what in it is not in the source."""
    fields = {name for kind in kinds.values() for name in kind.fields}
    places = {name for kind in kinds.values() for name in kind.places}
    wrong: list[str] = []
    for what, source, said in (("kind", set(kinds), known.kinds), ("field", fields, list(known.fields)),
                               ("writer", places, list(known.writers))):
        wrong += [f"{what} {name}: nothing is said of it in script/events.txt" for name in sorted(source - set(said))]
        wrong += [f"{what} {name}: nothing in the source is called that" for name in sorted(set(said) - source)]
        wrong += [f"{what} {name}: is there twice" for name in sorted({one for one in said if said.count(one) > 1})]
    wrong += [f"{name}: has no meaning" for name, meaning in _everything(known) if not meaning]
    return wrong


def _everything(known: Table) -> list[tuple[str, str]]:
    return [*(row for rows in known.parts.values() for row in rows), *known.fields.items(), *known.writers.items()]


def page(kinds: dict[str, Kind], known: Table) -> str:
    """The generated half of docs/events.md."""
    lines: list[str] = []
    for heading, rows in known.parts.items():
        lines += [f"## {heading}", "", "| kind | when | fields | written by |", "|---|---|---|---|"]
        for name, when in rows:
            one = kinds[name]
            who = ", ".join(dict.fromkeys(known.writers[place] for place in one.places))
            fields = ", ".join(f"`{key}`" for key in one.fields) or "none"
            lines.append(f"| `{name}` | {when} | {fields} | {who} |")
        lines.append("")
    lines += ["## Fields", "", "| field | what it says |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in sorted(known.fields.items())]
    return "\n".join(lines) + "\n"


def written(text: str) -> str:
    """docs/events.md, with the generated half anew behind what people wrote."""
    return text.partition("## ")[0] + page(found(), table())


