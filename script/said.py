"""The sentences that the product says when something is wrong, found in its source by ``ast``. Imports nothing of it.

Used by :mod:`script.words`, which holds them against the table.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from script.templates import Templates, name_of

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "certbot_guard"

# Functions of ours that take a sentence and say it, or make an error of it: which argument, and what becomes of it.
_SAYERS = {"_cannot": (0, "exit 2"), "_translated": (0, "exit 1"), "_say": (0, "on stderr"), "_refusal": (0, "exit 1"),
           "foreign": (0, "exit 1"), "_not_reloaded": (1, "told"), "_note_failure": (2, "told"),
           "_unusable": (1, "settings"), "_refuse": (1, "certbot's error"), "Problem": (1, "settings"),
           "Delivery": (3, "told"), "NoTLSError": (0, "told"), "warn": (0, "on stderr")}
_INI = {"problem": 2, "wrong": 1}  # methods of an IniFile
_LOGS = {"warning", "error", "critical", "exception"}
_CLICK = {"UsageError", "BadParameter", "BadOptionUsage", "BadArgumentUsage", "ClickException", "FileError"}
_CERTBOT = {"Error", "PluginError", "MisconfigurationError", "NoInstallationError", "NotSupportedError"}
# The end of "... is not usable; write ...": a ValueError there is half a sentence for a person, and so is an error of
# a question in setup, whose first argument says which answer is meant.
_HALF_SENTENCES = {"options", "endpoints", "services"}
# What their functions return is the sentence, or an empty one.
_RETURNED = {"heartbeat", "pinger", "unprivileged", "deliverer", "launch", "urls", "metrics", "stale", "alsoreload", "reasons", "config",
             "cli.ending", "keeper", "opening", "need", "sentinel", "setup.channels", "setup.machine", "adoption",
             "adoption_hooks", "overview.certificates"}
# Lists of what people are told.
_LISTS = {"problems": "on stderr", "self.problems": "on stderr", "remarks": "shown by adopt and release",
          "work.tally.failed": "setup's summary"}
_LISTS_HERE = {("urls", "found"), ("adoption_hooks", "said")}
# Examples of what is said elsewhere; the diagnoses have a page of their own, docs/diagnoses.md.
_NOT_SAID = {"samples.py", "diagnosis"}
_NAMES = {"the web server", "/usr/bin/python3", "certbot_guard.{module}"}  # no sentences
# Modules whose sentences are not errors: what setup and status show of a healthy host, too.
_NO_SAYERS = {"setup", "overview"}
_LOOKS = {"overview.webserver"}  # but there it is why something was not looked at


@dataclass(frozen=True)
class Said:
    """One sentence in the source. ``{name}`` stands for what is filled in, ``{a|b}`` for one or the other."""

    template: str
    module: str
    function: str
    line: int
    code: str

    @property
    def place(self) -> str:
        return f"{self.module}: {self.function}" if self.function else self.module


def said(package: Path = PACKAGE) -> list[Said]:
    """Every sentence, in the order of modules and lines."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(package.rglob("*.py"))}
    errors = _our_errors(trees.values())
    return [one for path, tree in trees.items() if path.relative_to(package).parts[0] not in _NOT_SAID
            for one in _Module(path.relative_to(package), tree, errors).found()]


def _our_errors(trees: Iterable[ast.Module]) -> set[str]:
    """The names of all classes below GuardError (and those that stand for a sentence, such as UnreadableError)."""
    bases = {node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
             for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}
    known = {"GuardError", "UnreadableError"}
    while True:
        more = {name for name, above in bases.items() if above & known} - known
        if not more:
            return known
        known |= more


class _Module:
    def __init__(self, path: Path, tree: ast.Module, errors: set[str]) -> None:
        self._name = str(path.with_suffix("")).replace("/__init__", "").replace("/", ".")
        self._package = self._name.partition(".")[0]
        self._tree, self._errors = tree, errors
        self._constants = {target.id: node.value for node in tree.body if isinstance(node, ast.Assign)
                           for target in node.targets if isinstance(target, ast.Name)}
        self._templates = Templates(self._constants)

    def found(self) -> Iterator[Said]:
        """In the order of the lines."""
        if self._name == "reasons":
            for node in (*self._constants.values(), *(one.value for one in self._tree.body
                                                      if isinstance(one, ast.AnnAssign) and one.value)):
                yield from self._said_in_table(node)
        yield from self._below(self._tree, "")

    def _said_in_table(self, table: ast.AST) -> Iterator[Said]:
        rows = [one.elts[1] for one in ast.walk(table) if isinstance(one, ast.Tuple) and len(one.elts) == 2]
        rows += [one for found in ast.walk(table) if isinstance(found, ast.Dict) for one in found.values]
        rows += [table] if isinstance(table, ast.Constant) else []
        for row in rows:
            if isinstance(row, ast.Constant) and isinstance(row.value, str) and " " in row.value:
                yield from self._sentence(row, "", row.lineno, "told")

    def _below(self, node: ast.AST, function: str) -> Iterator[Said]:
        for child in ast.iter_child_nodes(node):
            inner = function
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                inner = f"{function}.{child.name}" if function else child.name
            if isinstance(child, ast.Call):
                yield from self._of_call(child, function)
            elif isinstance(child, ast.Dict):
                for key, value in zip(child.keys, child.values):
                    if isinstance(key, ast.Constant) and key.value == "reason":
                        yield from self._sentence(value, function, value.lineno, "told")
            elif self._name in _RETURNED and isinstance(child, (ast.Return, ast.Assign)) and child.value is not None:
                yield from self._returned(child, function)
            elif isinstance(child, ast.Yield) and self._name == "adoption_changes" and child.value is not None:
                yield from self._sentence(child.value, function, child.lineno, "on stderr")
            yield from self._below(child, inner)

    def _returned(self, node: Union[ast.Return, ast.Assign], function: str) -> Iterator[Said]:
        named = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else "reason"
        if named not in ("reason", "why", "problem", "sentence"):
            return
        code = "exit 1" if self._name == "cli.ending" else "part of a sentence"
        values = list(_each(node.value))
        for value in values:
            if isinstance(value, (ast.Constant, ast.JoinedStr, ast.IfExp, ast.BoolOp, ast.BinOp)):
                yield from (one for one in self._sentence(value, function, node.lineno, code)
                            if len(re.findall(r"[A-Za-z]+", re.sub(r"\{[^{}]*\}", "", one.template))) >= 2
                            and one.template not in _NAMES)

    def _of_call(self, call: ast.Call, function: str) -> Iterator[Said]:
        name = name_of(call)
        for keyword in call.keywords:
            if keyword.arg == "reason" and name in ("note", "_note", "record"):
                yield from self._sentence(keyword.value, function, call.lineno, "told")
            elif keyword.arg == "words" and self._name in _LOOKS:
                yield from self._sentence(keyword.value, function, call.lineno, "shown by status")
            elif keyword.arg == "remarks" and name == "Change":
                for value in _each(keyword.value):
                    yield from self._sentence(value, function, call.lineno, _LISTS["remarks"])
        found = self._kind(call)
        if found is None or len(call.args) <= found[0]:
            return
        logged = list(call.args[1:]) if name in _LOGS else []
        yield from self._sentence(call.args[found[0]], function, call.lineno, found[1], logged)

    def _sentence(self, node: ast.expr, function: str, line: int, code: str,
                  logged: Sequence[ast.expr] = ()) -> Iterator[Said]:
        for template in self._templates.variants(node, list(logged)):
            # what only passes on somebody else's sentence is that one's entry
            words = re.sub(r"\{[^{}]*\}|certbot-guard:|web server:|state directory:", "", template)
            if re.search(r"[A-Za-z]{2}", words):
                yield Said(template, self._name, function, line, code)

    def _kind(self, call: ast.Call) -> Optional[tuple[int, str]]:
        """Which argument is said to a person, if one is, and what follows from it."""
        name = name_of(call)
        owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
        if name == "print" and any("stderr" in ast.unparse(one.value) for one in call.keywords):
            return 0, "on stderr"
        if name == "echo" and any(one.arg == "err" for one in call.keywords):
            return 0, "on stderr"
        if name in _LOGS and owner.rpartition(".")[2].strip("_").lower() in ("logger", "log"):
            return 0, "certbot's log"
        if name in _CLICK:
            return 0, "exit 2"
        if name in _CERTBOT and "errors" in owner:
            return 0, "certbot's error"
        if name in _INI and (owner == "ini" or self._name == "inifile"):
            return _INI[name], "settings"
        if name == "_say" and self._name in _LOOKS:
            return 0, "shown by status"
        if name in _SAYERS and not (name == "_say" and self._package in _NO_SAYERS):
            return _SAYERS[name]
        if name in self._errors:
            half = self._package in _HALF_SENTENCES
            return (1 if half and len(call.args) > 1 else 0), "part of a sentence" if half else "exit 1"
        if name == "ValueError" and (self._package in _HALF_SENTENCES or self._name == "setup.channels"):
            return 0, "part of a sentence"
        if name == "append" and (owner in _LISTS or (self._name, owner) in _LISTS_HERE):
            return 0, _LISTS.get(owner, "on stderr")
        if name == "fail" and owner in ("self", "context", "ctx") and self._package == "cli":
            return 0, "exit 2"
        return None


def _each(node: ast.expr) -> Iterator[ast.expr]:
    """The node itself, or what is in it, if it is a tuple or a list."""
    if isinstance(node, (ast.Tuple, ast.List)):
        for one in node.elts:
            yield from _each(one)
    elif isinstance(node, (ast.ListComp, ast.GeneratorExp)):
        yield node.elt
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "tuple" and node.args:
        yield from _each(node.args[0])
    else:
        yield node
