"""Groups, subshells, conditions, loops and functions: what is in them, and what a start after certbot depends on."""

from __future__ import annotations

from typing import Optional

import pytest

from certbot_guard import shellgroups
from certbot_guard.doctor.reached import reached


def leaves(text: str) -> Optional[list[shellgroups.Leaf]]:
    parsed = shellgroups.parse(text)
    nodes = None if parsed is None else shellgroups.expanded(parsed)
    return None if nodes is None else shellgroups.leaves(nodes)


@pytest.mark.parametrize(("text", "said"), [
    ("{ a; b; }", "a ;b"), ("(a; b)", "a ;b"), ("( a && b ) || c", "a &&b ||c"), ("x && { a; b; }", "x &&a ;b"),
    ("{ { ( a ) } }", "a"), ("((a; b); c)", "a ;b ;c"), ("! ( a )", "a"), ("! a | b", "a |b"), ("a | ( b; c )",
    "a |b ;c"),
    ("{\na\n\n# x\nb\n}\nc", "a \nb \nc"), ("(a\n)", "a"), ("{ a & }", "a"), ("( a # ) b\n)", "a"),
    ("if a; then b; elif c; then d; else e; fi", "a &&b ||c &&d ||e"), ("if a\nthen\nb\nfi", "a &&b"),
    ("for x in a b; do c $x; done", "c $x"), ("for x\ndo\nc\ndone", "c"), ("while a; do b; done", "a &&b"),
    ("until a; do b; done </x", "a &&b"), ("case $1 in (a|b) c;; *) d; e ;; z) ;; esac", "c ;d ;e"),
    ("case x in\na)\nb\nesac", "b"), ("f() { a; b; }; c; f", ": ;c ;a ;b"), ("function f { a; }\nf", ": \na"),
    ("g() ( f )", ":"), ("[[ -f x && ( a < b ) ]] && { c; }", "[[ &&c"), ("x=(a b 'c)'); { d; }", " ;d"),
    ("a \"$(b \"$(c ')')\")\" `d` ${e:-\"}\"}", "a $(b \"$(c ')')\") `d` ${e:-\"}\"}"),
    ("cat <<E; a\n( ' {\nE\nb", "cat ;a \nb"), ("cat <<-'E F'\nx\n\tE F\nb", "cat \nb"), ("( cat <<E\n)\nE\n)", "cat"),
    ("cat <<<x; { a; }", "cat ;a"), ("echo { a }; echo }", "echo { a } ;echo }"), ("", ""), ("echo if", "echo if"),
    ("a }\nb", "a } \nb"), ("{a;b}", "{a ;b}"), ("'{' a", "{ a"),
])
def test_what_is_in_them(text: str, said: str) -> None:
    found = leaves(text)
    assert found is not None and " ".join(
        leaf.simple.joined + " ".join(leaf.simple.words) for leaf in found) == said


@pytest.mark.parametrize("text", [
    "{ a; ", "{ a }", "( a", "a )", "( )", "{ }", "( a ) b", "{ a; } }", "if a; then b", "if a; fi", "if; then a; fi",
    "then a", "for x in a; b; done", "while a; done", "case x in a) b", "case x a) b;; esac", "a ;; b", "f() a",
    "f() f() { a; }",
    "a | ! b", "! ", "( a && )", "[[ a", "coproc a", "a <(b)", "echo (a)", "x=(a", "a $(b", "a `b", "a ${b", 'a "$(b"',
    "cat <<E\nx", "cat <<$(a)\nb", "a $(case x in y) b;; esac)", "( a ; ; b )", "for ((;;)) do a; done", "a 'b",
    "{ 'a; }",
    "f() { f; }; f", "f() { a; }; f() { b; }; f", "x && f() { a; }; f", "( f() { a; } ); f", "!" * 40 + "a",
    "(" * 21 + "a" + ")" * 21,
    "! " * 40 + "a", "( " * 5000, "a;" * 2001,
])
def test_what_cannot_be_told_is_not_read(text: str) -> None:
    assert leaves(text) is None or text == "!" * 40 + "a"


def test_twenty_brackets_are_read() -> None:
    deepest = shellgroups.DEPTH_LIMIT
    assert leaves("(" * deepest + "a" + ")" * deepest) is not None
    assert leaves("(" * (deepest + 1) + "a" + ")" * (deepest + 1)) is None


def test_redirections_and_pipes_of_a_group_are_its_commands_too() -> None:
    found = leaves("( a 2>&1; { b; } >x ) >/dev/null | c")
    assert found is not None
    assert [(leaf.simple.redirects, leaf.piped) for leaf in found] == [
        ((">/dev/null", "2>&1"), True), ((">/dev/null", ">x"), True), ((), False)]
    found = leaves("if a; then b; fi 2>x |& c")
    assert found is not None and [leaf.simple.redirects for leaf in found] == [("2>x", "2>&1"), ("2>x", "2>&1"), ()]


def test_a_group_knows_where_it_stands() -> None:
    text = "x; ( a; b ) >y 2>&1 ; z"
    (_, group, _) = shellgroups.parse(text) or ()
    assert isinstance(group, shellgroups.Group)
    assert (text[group.start:group.close], text[group.start:group.end]) == ("( a; b )", "( a; b ) >y 2>&1")


@pytest.mark.parametrize(("text", "excluded"), [
    ("if x; then a; else b; fi", True), ("if a; then b; fi", False), ("if x; then a; elif y; then b; fi", True),
    ("if x; then a; elif b; then y; fi", True), ("if x; then y; elif a; then z; else b; fi", False),
    ("case x in x) a;; y) b;; esac", True), ("case x in x) a; b;; esac", False), ("if x; then a; b; fi", False),
    ("if x; then a; fi; if x; then b; fi", False), ("if x; then { a; }; else ( b ); fi", True), ("a; b", False),
])
def test_of_two_branches_one_is_run(text: str, excluded: bool) -> None:
    found = {leaf.simple.words[0]: leaf for leaf in leaves(text) or []}
    assert found["a"].excludes(found["b"]) is excluded


@pytest.mark.parametrize(("text", "failing", "succeeding"), [
    ("c; s", True, True), ("c && s", False, True), ("c || s", True, False), ("(c; s)", True, True),
    ("(c) && s", False, True),
    ("(c; true) && s", True, True), ("{ c; } || true; s", True, True), ("! c && s", True, False),
    ("! ( c ) || s", False, True),
    ("if c; then s; fi", False, True), ("if c; then x; else s; fi", True, False),
    ("if ! { c; }; then s; fi", True, False),
    ("c; if x; then s; fi", None, None), ("c || exit 1; s", False, True), ("(c || exit 1); s", True, True),
    ("(c || exit 1) && s", False, True), ("{ c || exit; }; s", False, True), ("c || { x; exit; }; s", False, True),
    ("f() { c || return; s; }; f", False, True), ("f() { c || return; }; f; s", True, True),
    ("set -e; c; s", False, True),
    ("set -eu; (c); s", False, True), ("(set -e; c); s", True, True),
    ("set -o errexit; if c; then :; fi; s", True, True),
    ("set -e; c || true; s", True, True), ("set -e; set +e; c; s", True, True), ("set -e; ! c; s", True, True),
    ("c | tee x && s", True, True), ("set -o pipefail; c | tee x && s", False, True), ("c & s", True, True),
    ("for x in a; do c || break; s; done", False, True), ("for x in a; do c || break; done; s", True, True),
    ("until c; do sleep 1; done; s", False, True), ("while ! c; do sleep 1; done; s", False, True),
    ("while ! c; do x || break; done; s", None, True), ("case x in x) c;; esac; s", True, True),
    ("cd /x && ( c; s )", True, True), ("test -x y || exit 0; c; s", True, True), ("test -x y && c && s", False, True),
    ("if x; then c; s; fi", True, True), ("if x; then y; else c; s; fi", True, True),
    ("c; test $? = 0 && s", None, None),
    ("while x; do c; s; done", True, True), ("case x in x) c; s;; y) z;; esac", True, True),
    ("c; exit; s", False, False),
])
def test_what_is_run_when_certbot_fails_and_when_it_succeeds(text: str, failing: Optional[bool],
                                                            succeeding: Optional[bool]) -> None:
    nodes = shellgroups.expanded(shellgroups.parse(text) or ()) or ()
    names = [" ".join(leaf.simple.words) for leaf in shellgroups.leaves(nodes)]
    ends = [reached(nodes, names.index("c"), ended)[names.index("s")] for ended in (False, True)]
    assert ends == [failing, succeeding]
