"""What is read of shell, beside what a real shell does; and text of any kind, which is read or left in no time."""

from __future__ import annotations

import itertools
import random
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbot_guard import adoption_hooks, certbotlines, cron, jobs, shellgroups, shellwords
from certbot_guard.doctor import hookfiles, lines, mistakes
from certbot_guard.doctor.reached import reached
from certbot_guard.job import Job
from certbot_guard.shellreader import LINE_LIMIT
from tests.fuzz.trying import bounded, many, text_of

# Each @ becomes a command of its own name.
_command = st.sampled_from(["@", "@", "@", "@", "! @", "@ 2>&1", "A=1 @ 'x y'", "true", "false", "exit 1", "set -e",
                            "f", "g"])


def _lists(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(inner, min_size=1, max_size=3).flatmap(lambda found: st.lists(
        st.sampled_from(["; ", "; ", " && ", " || ", " | ", "\n", "\n# x\n", " &&\n"]), min_size=len(found) - 1,
        max_size=len(found) - 1).map(lambda joins: "".join(a + b for a, b in zip(found, [*joins, ""]))))


def _shapes(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    shapes = ["{ %s; }", "( %s )", "(%s\n)", "{\n%s\n} 2>&1", "( %s ) 2>&1", "! ( %s )", "! { %s; }",
              "if %s; then %s; fi", "if %s\nthen\n%s\nelse %s; fi", "if %s; then %s; elif %s; then %s; else %s; fi",
              "for x in 1; do %s; done", "for x in 1\ndo %s; break; %s\ndone", "while %s; do %s; break; done",
              "until %s; do %s; break; done 2>&1", "case x in x) %s;; *) %s;; esac",
              "case y in (x|z) %s\n;;\ny) %s; esac", "f() { %s; }", "g() (%s)", "f() { @; return 1; %s; }; f",
              "@ <<E\n( { if\nE\n%s"]
    return st.sampled_from(shapes).flatmap(lambda shape: st.tuples(*[_lists(inner)] * shape.count("%s")).map(
        lambda parts: shape % parts))


_scripts = _lists(st.recursive(_command, lambda inner: _shapes(st.one_of(_command, inner)), max_leaves=12))


def _named(script: str) -> str:
    parts = script.split("@")
    return "".join(f"{part}c{number}" for number, part in enumerate(parts[:-1])) + parts[-1]


def _ran(script: str, fails: set[str], directory: str) -> set[str]:
    """The commands that a shell runs."""
    trace = Path(directory, "trace")
    trace.write_text("")
    names = sorted(set(re.findall(r"\bc[0-9]+\b", script)))
    bodies = [f"{name}() {{ echo {name} >>{trace}; return {int(name in fails)}; }}" for name in names]
    subprocess.run(["sh", "-c", "\n".join([*bodies, "f() { :; }", "g() { :; }", script])], check=False,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20)
    return set(trace.read_text().split())


@many(60)
@given(_scripts, st.integers(0, 10 ** 6))
def test_what_is_run_for_certain_is_run_by_a_shell_and_what_is_not_is_not(script: str, seed: int) -> None:
    script = _named(script)
    if subprocess.run(["sh", "-n", "-c", script], check=False, stderr=subprocess.DEVNULL).returncode:
        return
    nodes = shellgroups.parse(script)
    assert nodes is not None, script
    called = shellgroups.expanded(nodes)
    if called is None:  # a function that calls itself
        return
    found = [leaf.simple.words[0] if leaf.simple.words else "" for leaf in shellgroups.leaves(called)]
    once = {name for name, count in Counter(found).items() if count == 1 and re.fullmatch("c[0-9]+", name)}
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        for certbot in sorted(once)[:2]:
            fails = {name for name in found if chance.random() < 0.5}
            ran = _ran(script, fails, directory)
            if certbot not in ran:
                continue
            told = dict(zip(found, reached(called, found.index(certbot), certbot not in fails)))
            for name in once - {certbot}:
                if found.index(name) > found.index(certbot) and told[name] is not None:
                    assert (name in ran) is told[name], (name, certbot, fails, script)


_PIECES = ["apachectl stop", "certbot renew", "apachectl start", "(", ")", "{ ", "; }", "&&", "||", "|", ";", "! ",
           "if ", "; then ", "; else ", "; fi", "for x in a; do ", "; done", "case x in ", "x) ", ";;", " esac", "f(){",
           "$(", "${", "`", "'", '"', "\\", "<<E", "\nE\n", ">/dev/null 2>&1", "[[ ", " ]]", "sh -c '", "#", "x=(", "!",
           "\t", "f "]


@many(150)
@given(st.one_of(st.lists(st.sampled_from(_PIECES), max_size=30).map("".join), text_of(_PIECES)))
def test_any_text_is_read_or_left(said: str) -> None:
    context = mistakes.Context(systemd=True, debian=True, find_program=lambda _name: None)
    script = Job("/x, line 1", Path("/x"), 1, said, said, True, "script", body=said)
    with bounded():
        for leaf in shellgroups.leaves(shellgroups.parse(said) or ()):
            assert 0 <= leaf.simple.start <= leaf.simple.end <= len(said)
        lines.read_script(said)
        shellwords.hook_verb(said)
        certbotlines.starts(said)
        mistakes.of_job(script, context)
        mistakes.of_hooks([hookfiles.Hook(Path("/x"), 1, "pre-hook", said, f"pre_hook = {said}")], context)
        adoption_hooks.judge({"pre_hook": said, "post_hook": said}, False)
        try:
            entry = cron.parse_line("0 4 * * * " + said)
        except cron.UnreadableError:
            return
        for result in mistakes.of_job(jobs.of_entry(entry, False), context):
            if result.instead:
                new = cron.parse_line(result.instead.split("\n")[-1])
                assert mistakes.of_job(jobs.of_entry(new, False), context) == []


REPEATED = ["(", "{ ", "! ", "((", "if a; then ", "case x in ", "case x in x) ", "$(", "${", '"$(', "`", "f() { ",
            "f()", "<<E\n", "<<E ", "[[ ", "x=(", "( a ) ", "a; ", "a | ", "! a | ", "(a); ", "{ a; }; ", "'",
            "sh -c '", "for x in a; do ", "! ( a ) && ", ">a ", ";; ", "\n", "\\\n", " ", "#\n", "a() { a; }; a; ",
            "f() { f; f; }; f; ", "f() { a; a; }; f; f; ", "certbot renew; ", "( apachectl stop; certbot renew ); ",
            "httpd ", ") ", "fi; ", "then ", "; then", "--force-renewal ", "2>&1 ", "/"]


@pytest.mark.parametrize("piece", REPEATED)
def test_what_goes_on_for_long_comes_to_an_end(piece: str) -> None:
    context = mistakes.Context(systemd=True, debian=True, find_program=lambda _name: None)
    for size in (LINE_LIMIT - 30, lines.SCRIPT_LIMIT - 30):
        said = "certbot renew; " + piece * (size // len(piece))
        with bounded():
            lines.read_script(said)
            shellwords.hook_verb(said)
            hookfiles.judge(hookfiles.Hook(Path("/x"), 1, "pre-hook", said, said), context)
            mistakes.of_job(Job("/x, line 1", Path("/x"), 1, said, said, True, "cron", fields=("0",) * 5), context)
            mistakes.of_job(Job("/x, line 1", Path("/x"), 1, said, said, True, "script", body=said), context)


# -- the line to put instead does what the line did --------------------------------------------------------------------

# Each writes down that it was run, says so on both outputs, and exits as it is told. Whoever stops or starts a server
# is not written down, and succeeds; certbot-guard counts as certbot; flock fails where descriptor 9 is not open.
_STUB = """#!/bin/sh
name=${0##*/}
case "$name $1 $2" in
*" stop "*|*" stop"|*" start "*|*" start") exit 0 ;;
certbot*) name=certbot; set -- ;;
flock*) : >&9 || name=unlocked ;;
esac
echo "$name $*" >>"$TRACE"
while read -r _; do :; done
echo "$name out"
echo "$name err" >&2
eval "exit \\${EXIT_$name:-0}"
"""
_OTHERS = ("c1", "c2", "c3", "systemctl", "flock", "certbot")


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("stubs")
    for name in (*_OTHERS, "apachectl", "service", "certbot-guard", "sleep"):
        (place / name).write_text(_STUB if name != "sleep" else "#!/bin/sh\n")
        (place / name).chmod(0o755)
    (place / "sh").symlink_to("/bin/sh")
    yield place


def _done(line: str, stubs: Path, exits: dict[str, str], at_once: bool) -> tuple[list[str], ...]:
    """What is run; what the others than certbot would have mailed, and what of them is in the log of the line's own."""
    trace, log, lock = stubs / "trace", stubs / "log", stubs / "lock"
    for path in (trace, log, lock):
        path.write_text("")
    ran = subprocess.run(["/bin/sh", "-c", line], check=False, env={"PATH": str(stubs), "TRACE": str(trace), **exits},
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    mail = (ran.stdout + ran.stderr).splitlines()
    done = trace.read_text().splitlines()
    others = [[one for one in said if not one.startswith("certbot")] for said in (mail, log.read_text().splitlines())]
    return sorted(done) if at_once else done, sorted(others[0]), sorted(others[1])


def _instead(line: str, stubs: Path) -> str:
    context = mistakes.Context(systemd=True, debian=True, find_program=lambda _name: None, python=stubs)
    entry = cron.parse_line(f"17 4,16 * * * {line}", settings={"PATH": str(stubs)})
    found = mistakes.of_job(jobs.of_entry(entry, False), context)
    offered = {one.instead for one in found}
    return offered.pop().split(None, 5)[5] if offered and offered != {""} else ""


def _does_the_same(line: str, stubs: Path) -> bool:
    """Whether a line is offered; it is held to doing the same in whatever way each command ends."""
    line = line.replace("LOG", str(stubs / "log")).replace("LOCK", str(stubs / "lock"))
    new = _instead(line, stubs)
    if new:
        named = [name for name in _OTHERS if re.search(rf"\b{name}\b", line)]
        at_once = re.search(r"[^|]\|[^|]| & ", line) is not None  # in no order
        for codes in itertools.product("01", repeat=len(named)):
            exits = {f"EXIT_{name}": code for name, code in zip(named, codes)}
            assert _done(line, stubs, exits, at_once) == _done(new, stubs, exits, at_once), (line, new, exits)
    return bool(new)


_S, _C, _T = "apachectl stop", "certbot renew", "apachectl start"


@pytest.mark.parametrize(("line", "offered"), [
    (f"{_S} || exit 1; {_C}; {_T}", False), (f"c1 || {_S}; {_C}; {_T}", False),
    (f"systemctl is-active -q apache2 && systemctl stop apache2; {_C} -q; systemctl start apache2", True),
    (f"{_S}; {_C}; {_T} && systemctl reload postfix", True), (f"{_S}; {_C} && {_T} && c1", True),
    (f"{_S}; {_C} && {_T} || c1", True), (f"{_S}; {_C}; {_T} || c1", False), (f"{_S}; {_C}; {_T} || true", True),
    (f"{_S} || true; {_C}; {_T}; c1", True), (f"c1 && {_S}; {_C}; {_T}", True),
    (f"{_S}; {_C} || {_T}; c1", True), (f"{_S}; {_C} || {_T} && c1 || c2", True), (f"{_S}; {_C}; {_T}; c1 $?", False),
    (f"{_S}; {_C}; c1 $?; {_T}", True), (f"{_S}; {_C} & {_T}", False), (f"{_S}; {_C}; {_T} & c1", True),
    (f"set -e; {_S}; {_C} || {_T}; c1", True), (f"set -e; c1 && {_S}; {_C}; {_T}; c2", False),
    (f"{_S}; c1 | {_C}; {_T}", True), (f"{_S}; {_C} | {_T}", False), (f"{_S}; : >LOG; {_C}; {_T}", True),
    # how a group ends
    (f"{{ {_S}; {_C}; {_T}; }} && c1", False), (f"( {_S} && {_C} && {_T} ) && c1", True),
    (f"( {_S}; {_C}; {_T} ) || true", True), (f"if {_S}; {_C}; {_T}; then c1; fi", False),
    (f"set -e; ( {_S}; {_C}; {_T} ); c1", False), (f"( {_S}; {_C}; {_T} ); c1 $?", False),
    (f"( {_S}; {_C}; {_T} ); c1", True), (f"if c1; then {_S}; {_C}; {_T}; fi && c2", False),
    (f"sh -c '{_S}; {_C}; {_T}'", True), (f"( sh -c '{_S}; {_C}; {_T}' ) && c1", False),
    # what a group throws away, and what it does not
    ("(sleep 1; certbot renew -q) >> LOG 2>/dev/null", False),
    ("(flock -n 9 || exit 1; certbot renew -q) 9>LOCK >/dev/null 2>&1", False),
    ("(certbot renew; c1) >/dev/null 2>&1", False), ("(certbot renew; apachectl graceful) >/dev/null 2>&1", False),
    ("{ c1; ( certbot renew ); } >/dev/null 2>&1", False), ("( cd / && certbot renew ) >/dev/null 2>&1", True),
    (f"({_S}; {_C}; {_T}) 2>/dev/null", True), (f"({_S}; {_C}; c1; {_T}) &>/dev/null", False),
    (f'sh -c "{_S}; {_C}; {_T}" >>LOG 2>/dev/null', False), (f'sh -c "{_S}; {_C}; {_T}" >>LOG', True),
    ("sh -c 'certbot renew; c1' >/dev/null 2>&1", False), ("sh -c 'certbot renew' >/dev/null 2>&1", True),
    ("sh -c 'certbot renew; c1' >/dev/null 2>&1 || true", False),
    ("cd / && sh -c 'certbot renew' >/dev/null 2>&1 || true", True),
    ("(cd /; sh -c 'certbot renew; c1') >/dev/null 2>&1", False), ("certbot renew >>LOG 2>/dev/null", True),
    ("certbot renew --deploy-hook 'c1 >/dev/null 2>&1' >/dev/null 2>&1", False),
])
def test_the_line_instead_does_what_the_line_did(line: str, offered: bool, stubs: Path) -> None:
    assert _does_the_same(line, stubs) is offered


_plain = st.sampled_from(["c1", "c2", "c3", "! c1", "c1 $?", "true", "sleep 1", "exit 1", "set -e", "cd /", "c1 | c2",
                          "systemctl is-active -q apache2", "apachectl graceful", "c3 >>LOG"])
_away = st.sampled_from(["", "", "", ">/dev/null 2>&1", "2>/dev/null", ">>LOG 2>/dev/null", ">>LOG", ">LOG 2>&1"])
_joint = st.sampled_from(["; ", "; ", "; ", " && ", " && ", " || "])
_wrapped = st.sampled_from(["%s", "%s", "%s", "{ %s; }", "( %s )", "if c1; then %s; fi", "if %s; then c2; fi",
                            "! ( %s )", "sh -c '%s'", "for x in a b; do %s; done", "case x in x) %s;; esac"])


@st.composite
def _around_certbot(draw: st.DrawFn) -> str:
    def some_of(most: int) -> list[str]:
        return draw(st.lists(_plain, max_size=most))

    stop, start = draw(st.sampled_from([(_S, _T), ("systemctl stop apache2", "systemctl start apache2"), ("", "")]))
    certbot = f"certbot renew {draw(_away)}".strip()
    parts = [*some_of(1), stop, *some_of(1), certbot, *some_of(1), start, *some_of(2)]
    parts = [one for one in parts if one]
    line = parts[0] + "".join(draw(_joint) + one for one in parts[1:])
    wrapped = draw(_wrapped)
    if wrapped != "%s":
        line = wrapped % line
        if wrapped[0] != "!":
            line = f"{line} {draw(_away)}".strip()
        line = draw(st.sampled_from(["%s", "%s", "c3; %s", "c3 && %s"])) % line
        line += draw(st.sampled_from(["", "", " || true", " && c2", " || c2", "; c2", "; c2 $?", " | c2"]))
    return line


@many(100)
@given(_around_certbot())
def test_whatever_is_around_certbot_the_line_instead_does_the_same(stubs: Path, line: str) -> None:
    _does_the_same(line, stubs)
