"""A command line as systemd and as cron read it. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from certbot_guard.errors import GuardError

_PLAIN = re.compile(r"[A-Za-z0-9_./:=@,+-]+", re.ASCII)


def for_systemd(words: Sequence[str]) -> str:
    """The value of an ``ExecStart=`` that runs exactly these words.

    :raises GuardError: a unit file cannot say one of them.
    """
    # systemd 252 load-fragment.c, string_is_safe(): no way of writing these makes them part of a program's path
    if set(words[0]) & set("\"'\\"):
        raise GuardError(f"systemd starts no program whose path has a quote or a backslash in it: {words[0]}")
    quoted = []
    for word in words:
        _refuse_control_characters(word)
        escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")  # systemd.service(5), COMMAND LINES
        quoted.append(escaped if _PLAIN.fullmatch(word) else f'"{escaped}"')
    # "$$" would be one "$" in an argument, and two in the program's own path: variables are switched off instead. Only
    # where there is a "$", since systemd before 244 does not know the colon.
    return (":" if any("$" in word for word in words) else "") + " ".join(quoted)


def for_cron(words: Sequence[str]) -> str:
    """The command of a crontab line that runs exactly these words.

    :raises GuardError: a crontab cannot say one of them.
    """
    for word in words:
        _refuse_control_characters(word)
        if "\\%" in word:
            raise GuardError(f"a crontab cannot name a path with a backslash before a percent sign: {word}")
    return shlex.join(words).replace("%", "\\%")  # crontab(5): a bare one is a line break


def _refuse_control_characters(word: str) -> None:
    if not word.isprintable():  # a lone surrogate, of a name that is not UTF-8, is not printable either
        shown = "".join(letter if letter.isprintable() else "?" for letter in word)
        raise GuardError(f"neither a unit file nor a crontab can name this path, it has control characters: {shown}")
