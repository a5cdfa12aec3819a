"""The text of a sentence in the source, with ``{name}`` for what is filled in. Used by :mod:`script.said`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator


class Templates:
    """Those of one module, whose constants are known."""

    def __init__(self, constants: dict[str, ast.expr]) -> None:
        self._constants = constants

    def variants(self, node: ast.expr, logged: list[ast.expr]) -> Iterator[str]:
        """A sentence that is one of two as a whole is two sentences."""
        if isinstance(node, ast.IfExp):
            yield from self.variants(node.body, logged)
            yield from self.variants(node.orelse, logged)
        elif isinstance(node, ast.BoolOp):
            for one in node.values:
                yield from self.variants(one, logged)
        else:
            template = self._text(node)
            for argument in logged:
                before, _, behind = re.sub(r"%[rd]", "%s", template).partition("%s")
                template = f"{before}{_slot(argument)}{behind}"
            yield " ".join(template.split())

    def _text(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value) if isinstance(node.value, str) else "{...}"
        if isinstance(node, ast.JoinedStr):
            return "".join(self._text(part) for part in node.values)
        if isinstance(node, ast.FormattedValue):
            named = isinstance(node.value, ast.Name) and self._is_text(node.value.id)
            whole = named or isinstance(node.value, (ast.Constant, ast.IfExp))
            return self._text(node.value) if whole else _slot(node.value)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._text(node.left) + self._text(node.right)
        if isinstance(node, ast.IfExp):
            first, second = self._text(node.body), self._text(node.orelse)
            return "{" + re.sub(r"[{}]", "", f"{first}|{second}") + "}" if first != second else first
        if isinstance(node, ast.Name) and self._is_text(node.id):
            return self._text(self._constants[node.id])
        return _slot(node)

    def _is_text(self, name: str) -> bool:
        """Whether it is a constant of this module that holds text."""
        value = self._constants.get(name)
        return isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Constant) and isinstance(value.value, str))


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2] if isinstance(call.func, (ast.Attribute, ast.Name)) else ""


def _slot(node: ast.expr) -> str:
    """``{path}`` for ``shown(path)``: the noun that is filled in."""
    if isinstance(node, ast.Name):
        return "{" + node.id.lstrip("_").lower() + "}"
    if isinstance(node, ast.Attribute) and node.attr == "__name__":
        return "{kind}"
    if isinstance(node, ast.Attribute):
        return "{" + node.attr.lstrip("_") + "}"
    if isinstance(node, ast.Call):
        name = name_of(node)
        if name == "get" and node.args and isinstance(node.args[0], ast.Constant):
            return "{" + str(node.args[0].value) + "}"
        if node.args and name != "getattr":
            return _slot(node.args[-1 if name == "map" else 0])
        return "{" + name.lstrip("_") + "}"
    if isinstance(node, ast.BoolOp):
        return _slot(node.values[-1])
    if isinstance(node, (ast.Subscript, ast.Starred)):
        return _slot(node.value)
    if isinstance(node, ast.IfExp):
        return _slot(node.body)
    if isinstance(node, ast.JoinedStr):
        return next((_slot(part.value) for part in node.values if isinstance(part, ast.FormattedValue)), "{...}")
    if isinstance(node, ast.BinOp):
        return _slot(node.left)
    return "{...}"
