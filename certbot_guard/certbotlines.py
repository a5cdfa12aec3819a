"""Which certbot a line of shell starts, and with what words. Pure.

It looks behind ``sudo``, ``sh -c '...'``, ``certbot-guard run --`` and the like. Used by :mod:`certbot_guard.jobs` and
by doctor, for crontab lines, scripts and what systemd starts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator, Optional, Sequence

from certbot_guard import shellgroups, shellwords

FORCES = ("--force-renewal", "--force-renew", "--renew-by-default")
# certbot's own, the name it had until 2016, and the script that installed it until 2021
_CERTBOT = re.compile(r"(?:\S*/)?(?:certbot|letsencrypt)(?:-auto|\.renew|-[0-9.]+)?")
_GUARD = re.compile(r"(?:\S*/)?certbot-guard")
_PYTHON = re.compile(r"(?:\S*/)?python[0-9.]*")
_VERBS = frozenset({
    "renew", "certonly", "run", "install", "certificates", "delete", "revoke", "register", "plugins", "enhance",
    "unregister", "update_account", "show_account", "rollback", "update_symlinks", "reconfigure", "auth"})
# It talks about certbot, or asks after it, and starts nothing.
_TALKERS = frozenset({
    "echo", "printf", "logger", "grep", "pgrep", "pkill", "killall", "test", "[", "which", "type", "ls", "cat", "mail",
    "mailx", "curl", "wget", "pip", "pip3", "apt", "apt-get", "dnf", "yum", "systemctl", "cp", "rm", "mv", "chmod",
    "chown", "man", "tail", "head", "logrotate", "find", "touch", "mkdir", "cd", "tar", "rsync", "git", "crontab"})
# What follows runs in a container or on another machine.
_ELSEWHERE = frozenset({"docker", "docker-compose", "podman", "podman-compose", "kubectl", "ssh", "lxc", "nsenter",
                        "chroot", "machinectl", "incus", "nerdctl"})
_SPLIT = re.compile(r"[;&|()\n{}`]+")
_LOOSE_LIMIT = 8192
_SUBSTITUTED = re.compile(r"\$\([^()\n]{0,500}(?:certbot|letsencrypt)|`[^`\n]{0,500}(?:certbot|letsencrypt)")
_DEPTH = 4


@dataclass(frozen=True)
class Start:
    """One start of certbot.

    :ivar program: as the line names it; an empty string where that is no program of this machine
    :ivar words: what follows the program
    :ivar guarded: ``certbot-guard run`` is in front of it
    :ivar read: the line around it could be read as commands; else only its words are known
    :ivar python: it is started as ``PYTHON -m certbot``, by this Python
    """

    program: str
    words: tuple[str, ...]
    guarded: bool = False
    read: bool = True
    python: str = ""

    @property
    def verb(self) -> str:
        """certbot's subcommand; an empty string where it is left out."""
        if self.program.endswith(("certbot.renew", "letsencrypt.renew")):
            return "renew"
        return next((word for word in self.words if word in _VERBS), "")

    @property
    def obtains(self) -> bool:
        """Whether it may get a certificate."""
        if self.has("--version", "--help", "-h", "--dry-run", "--staging", "--test-cert"):
            return False
        asks = ("-d", "--domain", "--domains", "--apache", "--nginx", "--standalone", "--webroot")
        return self.verb in ("renew", "certonly", "run", "auth") or (self.verb == "" and self.has(*asks))

    @property
    def forces(self) -> bool:
        return self.has(*FORCES)

    def has(self, *options: str) -> bool:
        return any(word == option or (option.startswith("--") and word.startswith(option + "="))
                   for word in self.words for option in options)

    def value(self, *options: str) -> Optional[str]:
        """What an option says; None where it is not given."""
        for number, word in enumerate(self.words):
            name, equals, value = word.partition("=")
            if name in options and equals and name.startswith("--"):
                return value
            if word in options:
                return self.words[number + 1] if number + 1 < len(self.words) else ""
            short = next((option for option in options if len(option) == 2 and word.startswith(option)), None)
            if short and not word.startswith("--") and len(word) > 2:
                return word[2:].lstrip("=")
        return None


def starts(line: str) -> list[Start]:
    """Each start of certbot in a line of shell, or in a script, that may get a certificate."""
    return [start for start in _in_line(line, 0) if start.obtains]


def of_words(words: Sequence[str], depth: int = 0) -> list[Start]:
    """The same for one command that no shell reads, or that is read already; also those that get no certificate."""
    return list(_in_words(words, depth, True))


def _in_line(line: str, depth: int) -> Iterator[Start]:
    if depth > _DEPTH or ("certbot" not in line and "letsencrypt" not in line):
        return
    read = shellwords.commands(line, substitutions=True)
    parsed = shellgroups.parse(line) if read is None else None
    if parsed is not None:
        read = [leaf.simple for leaf in shellgroups.leaves(parsed)]
    if read is not None:
        found = [start for one in read for start in _in_words(one.words, depth, True)]
        yield from found
        if any(start.obtains for start in found) or not _SUBSTITUTED.search(line[:_LOOSE_LIMIT]):
            return
    for part in _SPLIT.split(line[:_LOOSE_LIMIT]):
        words = tuple(word.strip("\"'`") for word in part.split())
        while words and words[0] in ("if", "then", "else", "elif", "do", "while", "until", "!", "$"):
            words = words[1:]
        if not words or not words[0].startswith("#"):
            yield from _in_words(words, depth, False)


def _in_words(words: Sequence[str], depth: int, read: bool) -> Iterator[Start]:
    left = shellwords.bare(words)
    if not left or depth > _DEPTH:
        return
    name = left[0].rsplit("/", 1)[-1]
    inner = shellwords.inner_shell(left)
    if inner is None and name in ("su", "runuser", "script") and "-c" in left[:-1]:
        inner = left[left.index("-c") + 1]
    if inner is not None:
        for start in _in_line(inner, depth + 1):
            yield start if read else Start(start.program, start.words, start.guarded, False, start.python)
    elif _GUARD.fullmatch(left[0]) or _PYTHON.fullmatch(left[0]) and "certbot_guard.cli" in left:
        if "run" in left[1:]:
            after = left[left.index("--") + 1:] if "--" in left else left[left.index("run") + 1:]
            for start in _in_words(after, depth + 1, read):
                yield Start(start.program, start.words, True, start.read, start.python)
    elif _CERTBOT.fullmatch(left[0]):
        yield Start(left[0], tuple(left[1:]), read=read)
    elif name == "snap" and len(left) > 2 and left[1] == "run":
        command = next((word for word in left[2:] if not word.startswith("-")), "")
        if command in ("certbot", "certbot.renew"):
            yield Start(f"/snap/bin/{command}", tuple(left[left.index(command) + 1:]), read=read)
    elif _PYTHON.fullmatch(left[0]) and "-m" in left[:-1] and left[left.index("-m") + 1] == "certbot":
        yield Start("", tuple(left[left.index("-m") + 2:]), read=read, python=left[0])
    elif name not in _TALKERS and not name.startswith("#"):
        for number, word in enumerate(left[1:], 1):
            if _CERTBOT.fullmatch(word) and not word.startswith("--"):
                yield Start("" if name in _ELSEWHERE else word, tuple(left[number + 1:]), read=read)
                break
