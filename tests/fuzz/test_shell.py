"""What is read of shell, beside what a real shell does; and text of any kind, which is read or left in no time."""

from __future__ import annotations

import random
import re
import subprocess
import tempfile
from collections import Counter
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
