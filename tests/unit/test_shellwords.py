"""What a line of shell says, and what it has the web server do."""

from __future__ import annotations

import time
from typing import Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from certbot_guard import shellwords
from certbot_guard.shellreader import LINE_LIMIT
from certbot_guard.shellwords import Simple, commands, hook_verb, server_verb


def words(line: str, substitutions: bool = False) -> Optional[list[list[str]]]:
    found = commands(line, substitutions)
    return None if found is None else [list(one.words) for one in found]


def test_the_storys_line_is_three_commands() -> None:
    assert commands("apachectl graceful-stop && certbot renew --force-renewal && apachectl start") == [
        Simple(("apachectl", "graceful-stop")), Simple(("certbot", "renew", "--force-renewal"), "&&"),
        Simple(("apachectl", "start"), "&&")]


@pytest.mark.parametrize(("line", "joined"), [
    ("a; b;c ;", ["", ";", ";"]), ("a || b | c & d", ["", "||", "|", "&"]), ("a &&\n\n b", ["", "&&"]),
    ("a # c; d\nb", ["", "\n"]), ("\n\na\n\nb\n", ["", "\n"]), ("a &", [""]), ("a#b", [""]),
])
def test_operators_join_commands(line: str, joined: list[str]) -> None:
    found = commands(line)
    assert found is not None and [one.joined for one in found] == joined


@pytest.mark.parametrize(("line", "said"), [
    ("a 'b c' \"d \\\" e\" f\\ g ''", ["a", "b c", 'd " e', "f g", ""]), ("a \\\n  b", ["a", "b"]),
    ("a $HOME ${X} \"$Y\" $((RANDOM % 60))", ["a", "$HOME", "${X}", "$Y", "$((RANDOM % 60))"]),
    ("test ! -d /x -a \\! -d /y", ["test", "!", "-d", "/x", "-a", "!", "-d", "/y"]), ("a\\", ["a\\"]),
    ("'if' x", ["if", "x"]), ("echo done", ["echo", "done"]),
])
def test_quotes_are_taken_off_and_nothing_is_expanded(line: str, said: list[str]) -> None:
    assert words(line) == [said]


def test_redirections_and_settings_are_no_words() -> None:
    assert commands("A=1 B='x y' a b >/dev/null 2>&1 c=d 2>> /l <in &>/x") == [
        Simple(("a", "b", "c=d"), "", (">/dev/null", "2>&1", "2>>/l", "<in", "&>/x"), ("A=1", "B=x y"))]
    assert commands("a |& b") == [Simple(("a",), "", ("2>&1",)), Simple(("b",), "|")]


def test_a_command_knows_where_it_stands() -> None:
    line = "  A=1 a 'b' >x  && c  "
    assert [line[one.start:one.end] for one in commands(line) or []] == ["A=1 a 'b' >x", "c"]


@pytest.mark.parametrize("line", [
    "if a; then b; fi", "for x in a; do b; done", "while a; do b; done", "(a; b)", "{ a; }", "! a", "f() { a; }",
    "a $(b)", "a `b`", 'a "$(b)"', "a <<E\nb\nE", "a <<<b", "a 'b", 'a "b', "a ;; b", "a &&", "&& a", "a && ; b", "; a",
    "a | | b", "a >", "a > && b", "a <(b)", "case x in y) a;; esac", "[[ -f x ]]", 'a "${b:-$(c)}"', "a ${b:-`c`}",
])
def test_what_is_more_than_simple_commands_is_not_judged(line: str) -> None:
    assert commands(line) is None


def test_a_substitution_stands_as_it_is_where_it_is_asked_for() -> None:
    assert commands("a $(date +%F) \"x $(b)\" >>/l-`c`", substitutions=True) == [
        Simple(("a", "$(date +%F)", "x $(b)"), "", (">>/l-`c`",))]
    assert commands("a $(b '(')", substitutions=True) is None


@pytest.mark.parametrize(("command", "verb"), [
    ("apachectl graceful-stop", "graceful-stop"), ("/usr/sbin/apachectl -k stop", "stop"),
    ("apache2ctl -kstop", "stop"),
    ("apache2ctl graceful", "reload"), ("httpd -k stop", "stop"),
    ("/usr/sbin/apache2 -k graceful-stop", "graceful-stop"),
    ("httpd", "start"), ("apachectl -f /x.conf -k restart", "restart"), ("apachectl startssl", "start"),
    ("systemctl stop apache2", "stop"), ("systemctl --quiet --no-block start httpd.service", "start"),
    ("systemctl reload-or-restart apache2", "reload"), ("systemctl stop php-fpm apache2", "stop"),
    ("systemctl restart httpd24-httpd", "restart"), ("systemctl stop apache2@site", "stop"),
    ("service apache2 stop", "stop"), ("/usr/sbin/service httpd graceful", "reload"),
    ("service apache24 onestop", "stop"),
    ("invoke-rc.d apache2 reload", "reload"), ("/etc/init.d/apache2 stop", "stop"),
    ("/etc/init.d/httpd start", "start"),
    ("rc-service apache2 stop", "stop"), ("/etc/rc.d/init.d/httpd restart", "restart"),
    ("sudo -n -u root systemctl stop apache2", "stop"), ("sudo A=b apachectl stop", "stop"),
    ("env -i A=b apachectl stop", "stop"), ("nice -n 19 timeout -k 5 60 apachectl stop", "stop"),
    ("flock -n /run/l apachectl stop", "stop"), ("sh -c 'apachectl stop'", "stop"),
    ("sudo bash -ec 'service apache2 stop'", "stop"),
    ("apachectl configtest", None), ("apachectl", None), ("httpd -t", None), ("apache2 -v -k stop", None),
    ("systemctl stop nginx", None), ("systemctl status apache2", None), ("systemctl --user stop apache2", None),
    ("systemctl -H web1 stop apache2", None), ("service nginx stop", None), ("/etc/init.d/apache2", None),
    ("echo apachectl stop", None), ("apachectl stop start", None), ("sh -c 'apachectl stop; rm x'", None),
    ("sudo", None),
    ("systemctl kill apache2", None), ("/etc/init.d/nginx stop", None), ("systemctl stop apache2-exporter", None),
])
def test_what_a_command_has_the_web_server_do(command: str, verb: Optional[str]) -> None:
    found = commands(command)
    assert found is not None and [server_verb(one.words) for one in found] == [verb]


def test_nothing_is_no_verb() -> None:
    assert server_verb([]) is None and hook_verb("") is None


@pytest.mark.parametrize(("hook", "verb"), [
    ("apachectl graceful-stop", "graceful-stop"), ("sudo systemctl stop apache2.service httpd", "stop"),
    ("service apache2 stop || true", "stop"), ("/etc/init.d/apache2 stop; sleep 2", "stop"),
    (": && apachectl start", "start"), ("apachectl stop >/dev/null 2>&1 &", "stop"),
    ("sh -c 'sleep 1; apachectl start'", "start"), ("LC_ALL=C apachectl graceful # quietly", "reload"),
    ("{ apachectl stop; }", "stop"), ("( sudo apachectl graceful-stop ) >/dev/null 2>&1 || true", "graceful-stop"),
    ("( { (apachectl start); } )", "start"), ("sh -c '( apachectl stop )'", "stop"),
    # these do more, or not to the machine's own Apache, or nobody can tell
    ("systemctl stop apache2 php-fpm", None), ("apachectl stop && rm -rf x", None), ("apachectl stop | cat", None),
    ("apachectl -f /x.conf -k stop", None), ("apachectl stop; apachectl start", None),
    ("service apache2 stop now", None), ("APACHE_CONFDIR=/etc/apache2-b apachectl stop", None),
    ("/srv/stop.sh", None), ("true", None), ("sleep 5", None), ("apachectl 'stop", None),
    ("true x; apachectl stop", None),
    ("if true; then apachectl stop; fi", None), ("apachectl stop || mail root", None),
    ("sleep $(rm x); apachectl stop", None), ("{ apachectl stop; rm x; }", None), ("{ apachectl stop", None),
    ("( sleep $(rm x); apachectl stop )", None), ("! ( apachectl stop )", None), ("off() { apachectl stop; }", None),
    ("( apachectl stop; apachectl start )", None), ("( apachectl stop ) | cat", None),
    ("{ A=1 apachectl stop; }", None),
    ("for a in b; do apachectl stop; done", None), ("( if true; then apachectl stop; fi )", None),
])
def test_a_hook_that_does_nothing_else_is_told_by_its_verb(hook: str, verb: Optional[str]) -> None:
    assert hook_verb(hook) == verb


def test_shells_in_shells_come_to_an_end() -> None:
    line = "apachectl stop"
    for _ in range(8):
        line = "sh -c " + "'" + line.replace("'", "'\\''") + "'"
    assert hook_verb(line) is None


@settings(max_examples=60, deadline=None)
@given(some.text(alphabet=some.sampled_from("ab \t\n\\'\"`$(){}&|;<>#=01-/\0\r\x1b\ud800é"), max_size=60))
def test_no_text_is_too_odd(line: str) -> None:
    for found in (commands(line), commands(line, substitutions=True)):
        for one in found or []:
            assert 0 <= one.start <= one.end <= len(line)
            server_verb(one.words)
    hook_verb(line)


@pytest.mark.parametrize("piece", ["a ", "\\", "$((", "$(", "&&a", "\n", "sudo ", "2>x ", "$((()", "\\\n"])
def test_a_long_line_takes_no_long_time(piece: str) -> None:
    began = time.monotonic()
    for line in (piece * (LINE_LIMIT // len(piece)), piece * 100_000):
        hook_verb(line)
        commands(line, substitutions=True)
    assert time.monotonic() - began < 1
    assert commands("a" * (LINE_LIMIT + 1)) is None
    assert shellwords.bare(["sudo"] * 1000) == ()
