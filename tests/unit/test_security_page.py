"""docs/security.md against the source: each place that touches a file, runs a command or sends a signal has its row.

A site is a function, written `module.function` (a class between the two where there is one). A new one without a row
fails, and so does a row whose site is gone. A connection over the network is no file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "certbot_guard"
PAGE = ROOT / "docs" / "security.md"

FILES, COMMANDS, SIGNALS = "The files we open", "The commands we run", "The signals we send"

_OS_FILES = frozenset((
    "open", "remove", "unlink", "removedirs", "rmdir", "mkdir", "makedirs", "mkfifo", "mknod", "rename", "renames",
    "replace", "link", "symlink", "chmod", "fchmod", "lchmod", "chown", "fchown", "lchown", "truncate", "ftruncate",
    "utime"))
# What is a call on a path whatever stands before it.
_PATH_FILES = frozenset((
    "read_text", "read_bytes", "write_text", "write_bytes", "touch", "unlink", "rmdir", "mkdir", "rename", "symlink_to",
    "hardlink_to", "link_to", "chmod", "lchmod"))
# Whoever calls one of them reads a file that the page has to say something of.
_OUR_READERS = frozenset(("plainfile.opened", "plainfile.read", "plainfile.whole", "plainfile.check", "read_trusted",
                          "trust.read_trusted"))
_BY_OPENSSL = frozenset(("load_cert_chain", "load_verify_locations"))
# A socket's address is a file where it is one word; of the network it is a pair, or a name for one.
_SOCKET_FILES = frozenset({"bind", "connect"})
_OF_THE_NETWORK = re.compile(r"\(.*\)|address")
_OS_SIGNALS = frozenset({"os.kill", "os.killpg", "signal.pidfd_send_signal"})
_PROCESS_SIGNALS = frozenset({"kill", "terminate", "send_signal"})
_MODE = re.compile(r"[rwaxbt+]{1,3}")


def kind_of(call: ast.Call) -> Optional[str]:
    """Under which heading of the page this call belongs, None where it is none of them."""
    name = ast.unparse(call.func)
    before, _, last = name.rpartition(".")
    if before == "subprocess" or name == "shutil.which":
        return COMMANDS
    if before == "os" and (last.startswith(("exec", "posix_spawn", "spawn", "fork", "popen")) or last == "system"):
        return COMMANDS
    if name in _OS_SIGNALS:
        return SIGNALS
    if before in ("os", "shutil", "tempfile"):
        is_file = last in _OS_FILES if before == "os" else last != "get_terminal_size"
        return FILES if is_file else None
    if name in ("open", "io.open", "sqlite3.connect") or name in _OUR_READERS or last in _BY_OPENSSL:
        return FILES
    if before and last in _PROCESS_SIGNALS:
        return SIGNALS
    return FILES if before and _is_of_a_path(last, call) else None


def _is_of_a_path(method: str, call: ast.Call) -> bool:
    if method == "open":  # Path.open has a mode first, or nothing: a journal's, an opener's and a window's have not
        first = call.args[0] if call.args else None
        return first is None or (
            isinstance(first, ast.Constant) and isinstance(first.value, str) and bool(_MODE.fullmatch(first.value))
        )
    if method == "replace":  # Path.replace has one argument, a text's has two, a date's only named ones
        return len(call.args) == 1 and not call.keywords
    if method in ("unlink", "rmdir", "mkdir", "rename", "chmod"):
        return not _is_one_of_our_modules(call)
    if method in _SOCKET_FILES:
        return len(call.args) == 1 and not _OF_THE_NETWORK.fullmatch(ast.unparse(call.args[0]))
    return method in _PATH_FILES


def _is_one_of_our_modules(call: ast.Call) -> bool:
    before = ast.unparse(call.func).rpartition(".")[0]
    return before.isidentifier() and next(SOURCE.rglob(f"{before}.py"), None) is not None


def sites_of(source: str, module: str) -> Iterator[tuple[str, str]]:
    """(heading, `module.function`) for each call in ``source`` that the page must name."""

    def within(node: ast.AST, place: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call):
                kind = kind_of(child)
                if kind is not None:
                    yield kind, ".".join((module, *place))
            named = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            yield from within(child, (*place, child.name) if named else place)

    return within(ast.parse(source), ())


def module_name(path: Path) -> str:
    words = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words) or "certbot_guard"


def all_sites() -> set[tuple[str, str]]:
    return {
        found
        for path in sorted(SOURCE.rglob("*.py"))
        for found in sites_of(path.read_text("utf-8"), module_name(path))
    }


def table(page: str, heading: str) -> str:
    """The rows below this heading of the page."""
    _, found, below = re.sub(r"^###? ", "## ", page, flags=re.MULTILINE).partition(f"\n## {heading}\n")
    assert found, f"docs/security.md has no heading '### {heading}'"
    return "\n".join(re.findall(r"^\|.*$", re.split(r"^#", below, maxsplit=1, flags=re.MULTILINE)[0], re.MULTILINE)[2:])


def named(page: str, heading: str) -> list[str]:
    """Each `module.function` in the first column there."""
    return [name for row in table(page, heading).splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def wrong(sites: set[str], rows: list[str], heading: str) -> list[str]:
    """A sentence for each site without a row, each row without a site, and each that is there twice."""
    twice = sorted({name for name in rows if rows.count(name) > 1})
    return ([f"certbot_guard.{name} has no row below '{heading}': give it one" for name in sorted(sites - set(rows))]
            + [f"'{heading}' has a row for certbot_guard.{name}, which does none of that any more: take it out"
               for name in sorted(set(rows) - sites)]
            + [f"'{heading}' names certbot_guard.{name} more than once" for name in twice])


@pytest.mark.parametrize("heading", [FILES, COMMANDS, SIGNALS])
def test_the_page_has_a_row_for_each_place_and_for_nothing_else(heading: str) -> None:
    sites = {name for kind, name in all_sites() if kind == heading}
    assert sites, "nothing was found in the source"
    found = wrong(sites, named(PAGE.read_text("utf-8"), heading), heading)
    assert not found, "docs/security.md: " + "; ".join(found)


def test_each_test_that_the_page_names_is_there() -> None:
    paths = re.findall(r"tests/[\w./-]+", PAGE.read_text("utf-8"))
    assert len(paths) > 10
    assert not [path for path in paths if not (ROOT / path.rstrip(".")).exists()]


def test_each_threat_names_a_test() -> None:
    rows = [row.split("|") for row in table(PAGE.read_text("utf-8"), "Threats").splitlines()]
    assert rows
    assert not [row[1].strip() for row in rows if "tests/" not in row[3]]


@pytest.mark.parametrize("call, heading", [
    ("open('x')", FILES), ("os.open('x', 0)", FILES), ("path.read_bytes()", FILES), ("path.open()", FILES),
    ("path.open('rb')", FILES), ("path.replace(other)", FILES), ("os.fchmod(1, 2)", FILES), ("path.unlink()", FILES),
    ("shutil.rmtree(x)", FILES), ("tempfile.mkstemp()", FILES), ("server.bind(path)", FILES),
    ("sqlite3.connect(x)", FILES), ("plainfile.read(path, 9)", FILES), ("plainfile.whole(path, 9)", FILES),
    ("plainfile.check(path, 9)", FILES), ("read_trusted(path)", FILES),
    ("context.load_cert_chain(path)", FILES), ("subprocess.run(words)", COMMANDS), ("os.system('x')", COMMANDS),
    ("os.execv(a, b)", COMMANDS), ("shutil.which('x')", COMMANDS), ("os.fork()", COMMANDS),
    ("os.kill(pid, 9)", SIGNALS), ("child.terminate()", SIGNALS), ("os.killpg(pid, 9)", SIGNALS),
    ("server.bind((host, port))", None), ("connection.connect(address)", None), ("text.replace('a', 'b')", None),
    ("day.replace(day=1)", None), ("journals.Journal.open(base)", None), ("renewaldir.remove(path)", None),
    ("ourfile.unlink(path)", None)])
def test_what_counts_as_a_place(call: str, heading: Optional[str]) -> None:
    assert [kind for kind, _ in sites_of(f"def one():\n    {call}", "some")] == ([heading] if heading else [])


def test_a_place_is_named_by_its_class_and_function() -> None:
    source = "class Book:\n    def read(self):\n        return open(self.path)\n"
    assert list(sites_of(source, "some.module")) == [(FILES, "some.module.Book.read")]


def test_a_missing_a_stale_and_a_repeated_row_are_named() -> None:
    assert [sentence.partition(" ")[0] for sentence in wrong({"a.new"}, [], FILES)] == ["certbot_guard.a.new"]
    assert "a.gone, which does none of that any more" in wrong(set(), ["a.gone"], FILES)[0]
    assert "more than once" in wrong({"a.one"}, ["a.one", "a.one"], FILES)[0]
