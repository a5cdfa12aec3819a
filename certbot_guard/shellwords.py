"""What a line of POSIX shell says, as far as it is simple, and what a command has the web server do.

Pure: expands nothing, runs nothing, looks at no file. What it cannot tell for certain it does not judge. Used where a
crontab line, a script or a hook of the user's is read: :mod:`certbot_guard.jobs`, doctor and adopt. The web server is
Apache, by its names on Debian, RHEL, SUSE, Alpine, Arch and FreeBSD, and by the programs that control it there.
"""

from __future__ import annotations

import re
from typing import Optional, Sequence

from certbot_guard import shellgroups
from certbot_guard.shellreader import Simple, commands

__all__ = ["Simple", "bare", "commands", "hook_verb", "inner_shell", "server_verb"]

_CONTROLS = {"start": "start", "startssl": "start", "stop": "stop", "restart": "restart", "graceful": "reload",
             "graceful-stop": "graceful-stop"}
_SERVICE_VERBS = {**_CONTROLS, "reload": "reload", "force-reload": "reload", "try-restart": "restart",
                  "condrestart": "restart", "onestart": "start", "onestop": "stop", "onerestart": "restart",
                  "stop-graceful": "graceful-stop"}
_SYSTEMCTL_VERBS = {"start": "start", "stop": "stop", "restart": "restart", "try-restart": "restart",
                    "condrestart": "restart", "reload": "reload", "reload-or-restart": "reload",
                    "try-reload-or-restart": "reload", "reload-or-try-restart": "reload", "force-reload": "reload"}
_CONTROL_PROGRAMS = frozenset({"apachectl", "apache2ctl"})
_BINARIES = frozenset({"httpd", "apache2", "httpd2"})
_SERVICE_PROGRAMS = frozenset({"service", "invoke-rc.d", "rc-service", "rcctl"})
_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh", "ash"})
# httpd(8): options with a value of their own, and those with which it prints something and ends
_VALUED, _PRINTS = "dfCcDeEkTnw", "tSvVlLMhX"
_SERVICE = re.compile(r"(?:(?:rh-)?httpd24-)?(?:apache2?|apache24|httpd)(?:@[\w.-]+)?(?:\.service)?", re.ASCII)
_INIT_SCRIPT = re.compile(r"(?:/etc|/usr/local/etc)/(?:rc\.d/)?(?:init\.d/)?(?:apache2?|apache24|httpd)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=", re.ASCII)
# A program in front that runs the rest of the line: the options that take a word of their own, and how many words
# of its own come before the command.
_IN_FRONT = {
    "sudo": ("ugCDhprRtTU", 0), "doas": ("uC", 0), "env": ("uCS", 0), "nice": ("n", 0), "ionice": ("cnp", 0),
    "nohup": ("", 0), "command": ("", 0), "exec": ("a", 0), "time": ("fo", 0), "chronic": ("", 0), "timeout": ("ks", 1),
    "flock": ("wEo", 1), "setsid": ("", 0), "eatmydata": ("", 0), "chrt": ("", 1), "stdbuf": ("ioe", 0),
    "systemd-cat": ("tp", 0), "cronic": ("", 0), "sem": ("", 0)}
_LONG_VALUED = frozenset({"--user", "--group", "--adjustment", "--signal", "--kill-after", "--class", "--classdata",
                          "--timeout", "--wait", "--identifier", "--priority", "--chdir", "--unset"})
_DEPTH = 4
_HARMLESS_SETTINGS = frozenset({"LANG", "LC_ALL", "LANGUAGE", "PATH", "TERM"})


def bare(words: Sequence[str]) -> tuple[str, ...]:
    """The command without ``sudo -n``, ``env A=b``, ``nice``, ``timeout 60``, ``flock FILE`` and the like in front."""
    left = list(words)
    while left:
        name = _name(left[0])
        if name not in _IN_FRONT:
            break
        valued, own = _IN_FRONT[name]
        rest = left[1:]
        while rest:
            word = rest[0]
            if word == "--":
                rest = rest[1:]
                break
            if word.startswith("--"):
                rest = rest[2 if word in _LONG_VALUED and not (name == "flock" and word == "--close") else 1:]
            elif word.startswith("-") and len(word) > 1:
                rest = rest[2 if word[-1] in valued and len(word) == 2 else 1:]
            elif name in ("env", "sudo") and _ASSIGNMENT.match(word):
                rest = rest[1:]
            else:
                break
        left = rest[own:]
    return tuple(left)


def inner_shell(words: Sequence[str]) -> Optional[str]:
    """The line that ``sh -c LINE`` runs; None where it is no such command."""
    left = bare(words)
    if not left or _name(left[0]) not in _SHELLS:
        return None
    for number, word in enumerate(left[1:], 1):
        if word.startswith("-") and not word.startswith("--") and "c" in word:
            return left[number + 1] if number + 1 < len(left) else None
        if not word.startswith(("-", "+")):
            return None
    return None


def server_verb(words: Sequence[str], _depth: int = 0) -> Optional[str]:
    """``stop``, ``graceful-stop``, ``start``, ``restart`` or ``reload``: what this command has the web server do.

    None: something else, or nothing that can be told. It may do more than that, such as stop a second service.
    """
    return _judge(words, _depth)[0]


def hook_verb(hook: str, _depth: int = 0) -> Optional[str]:
    """The verb if the whole hook, a line of shell, does nothing but that to the machine's web server; else None.

    ``sleep N``, ``true``, ``:`` and ``|| true`` beside it count as nothing, and so do brackets around it. An Apache
    that is named by a configuration file or directory of its own is not the machine's.
    """
    if _depth > _DEPTH:
        return None
    verbs: list[str] = []
    for one in _in_brackets(hook):
        if one.joined == "|" or any(setting.partition("=")[0] not in _HARMLESS_SETTINGS for setting in one.settings):
            return None
        left = bare(one.words)
        if left in ((":",), ("true",), ("/bin/true",), ("/usr/bin/true",)) or (
                len(left) == 2 and _name(left[0]) == "sleep" and re.fullmatch(r"[0-9.]+[smhd]?", left[1])):
            continue
        verb, alone = _judge(one.words, _depth)
        if verb is None or not alone:
            return None
        verbs.append(verb)
    return verbs[0] if len(verbs) == 1 else None


def _in_brackets(hook: str) -> list[Simple]:
    """The commands of a line, also of those in ``{ ...; }`` and ``( ... )``; none where there is more in it."""
    simple = commands(hook)
    if simple is not None:
        return simple
    # A substitution may do anything.
    found = shellgroups.leaves(shellgroups.parse(hook) or ()) if "$(" not in hook and "`" not in hook else []
    plain = all(group.kind in ("{", "(") for leaf in found for group, _ in leaf.within)
    return [leaf.simple for leaf in found] if plain else []


def _judge(words: Sequence[str], depth: int) -> tuple[Optional[str], bool]:
    """The verb, and whether the command does nothing besides, to the machine's own web server."""
    left = bare(words)
    if not left or depth > _DEPTH:
        return None, False
    inner = inner_shell(left)
    if inner is not None:
        verb = hook_verb(inner, depth + 1)
        return verb, verb is not None
    name, rest = _name(left[0]), left[1:]
    if name in _CONTROL_PROGRAMS:
        return _by_control(rest, False)
    if name in _BINARIES and not _INIT_SCRIPT.fullmatch(left[0]):
        return _by_control(rest, True)
    if name == "systemctl":
        return _by_systemctl(rest)
    if _INIT_SCRIPT.fullmatch(left[0]):
        return (_SERVICE_VERBS.get(rest[0]), len(rest) == 1) if rest else (None, False)
    if name in _SERVICE_PROGRAMS:
        plain = [word for word in rest if not word.startswith("-")]
        if name == "rcctl":
            plain = plain[1:2] + plain[:1]
        if len(plain) >= 2 and _SERVICE.fullmatch(plain[0]):
            return _SERVICE_VERBS.get(plain[1]), len(plain) == 2
    return None, False


def _by_control(rest: Sequence[str], binary: bool) -> tuple[Optional[str], bool]:
    """apachectl and the binary: ``-k VERB``, for apachectl also the verb alone."""
    verbs: list[str] = []
    others = 0
    at = 0
    while at < len(rest):
        word = rest[at]
        if word.startswith("-") and len(word) > 1:
            if word[1] in _PRINTS:
                return None, False
            if word[1] in _VALUED:
                value = word[2:] or (rest[at + 1] if at + 1 < len(rest) else "")
                at += 0 if word[2:] else 1
                if word[1] == "k":
                    verbs.append(value)
                else:
                    others += 1
            else:
                others += 1
        elif binary:
            return None, False
        else:
            verbs.append(word)
        at += 1
    if binary and not verbs:
        verbs = ["start"]
    verb = _CONTROLS.get(verbs[0]) if len(verbs) == 1 else None
    return verb, verb is not None and others == 0


def _by_systemctl(rest: Sequence[str]) -> tuple[Optional[str], bool]:
    plain: list[str] = []
    at = 0
    while at < len(rest):
        word = rest[at]
        if re.match(r"-[HM]|--(?:host|machine|user|root|image)\b", word):
            return None, False  # another machine's, or a user's
        if word in ("-t", "-p", "-s", "-n", "-o", "--type", "--property", "--signal", "--lines", "--output",
                    "--job-mode"):
            at += 1
        elif not word.startswith("-"):
            plain.append(word)
        at += 1
    if len(plain) < 2 or plain[0] not in _SYSTEMCTL_VERBS:
        return None, False
    ours = [unit for unit in plain[1:] if _SERVICE.fullmatch(unit)]
    return (_SYSTEMCTL_VERBS[plain[0]], len(ours) == len(plain) - 1) if ours else (None, False)


def _name(program: str) -> str:
    return program.rsplit("/", 1)[-1]
