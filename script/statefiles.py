"""docs/state-files.md: every file and directory that certbot-guard makes for itself.

tests/unit/test_state_files.py holds the page's table against the names in the source, and
tests/integration/test_state_files.py against what real runs leave, modes included.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from script.events import SOURCE

_NAME = re.compile(r"[\w.*-]+\.(lock|json|jsonl|db|damaged-\*)")
# Names of that form which are others': certbot's own, and a line of standard output.
_OTHERS = {".certbot.lock", "regr.json", "meta.json", "private_key.json"}


@dataclass(frozen=True)
class Row:
    """``path`` below a state directory, ``*`` for what varies; a directory ends in ``/``. ``mode`` is octal."""

    path: str
    mode: str
    what: str
    writes: str
    reads: str
    kept: str

    def fits(self, path: str) -> bool:
        return re.fullmatch(re.escape(self.path.rstrip("/")).replace(r"\*", "[^/]+"), path) is not None


def rows(page: str) -> list[Row]:
    """The table of docs/state-files.md."""
    lines = page.partition("## In the state directories")[2].partition("## ")[0].splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    return [Row(path.strip("`"), *others) for path, *others in cells]


PAGE = SOURCE.parent / "docs" / "state-files.md"
ROWS = rows(PAGE.read_text("utf-8"))


def row_of(path: str) -> Optional[Row]:
    """The row of a path below a state directory."""
    return next((row for row in ROWS if row.fits(path)), None)


def names(source: Path = SOURCE) -> Iterator[tuple[str, str]]:
    """Each (module, name) in the source that has the form of a state file's; ``*`` for what an f-string fills in."""
    for path in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            text = _text(node)
            if text is not None and _NAME.fullmatch(text) and text not in _OTHERS:
                yield path.stem, text


def _text(node: ast.AST) -> Optional[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "*" for part in node.values)
    return None
