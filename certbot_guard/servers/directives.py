"""The lines of Apache's configuration, and what is known of what they mean: quotes, variables, paths, conditions.

Three-valued where it has to be: what depends on something that is not looked at (``<IfVersion>``, ``<If>``, a
``<Macro>``) or names a variable that nobody has set is not known, which is None. Which directives matter, and whose
they are, is for :mod:`certbot_guard.servers.configuration`, which reads the files with this.
"""

from __future__ import annotations

import os
import re
from typing import Iterator, Optional

from certbot_guard import plainfile
from certbot_guard.servers.dump import FILE_LIMIT_BYTES, Dump

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|(\S+)')
_VARIABLE = re.compile(r"\$\{([^}:]{1,200})\}")
# Longer than any path; and definitions that double each other would fill the memory.
_WORD_LIMIT = 8192


def lines(path: str) -> Iterator[tuple[int, str]]:
    """``(number, line)`` of each line that says something, continued lines joined. Of an unreadable file none."""
    try:
        said = plainfile.read(path, FILE_LIMIT_BYTES)
    except OSError:
        return
    if len(said) == FILE_LIMIT_BYTES:  # half a line could name half a path
        said = said[:said.rfind(b"\n") + 1]
    text = said.decode("utf-8", "surrogateescape")
    joined, first = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        first = first or number
        if line.endswith("\\"):
            joined += line[:-1]
            continue
        complete, joined = (joined + line).strip().replace("\t", " "), ""
        if complete and not complete.startswith("#"):
            yield first, complete
        first = 0


class Meaning:
    """What words stand for at this place of the configuration: each ``Define`` on the way to it has been told.

    :param environment: what the server's ``${VARIABLES}`` may come from
    """

    def __init__(self, dump: Dump, environment: dict[str, str]) -> None:
        self._server_root = dump.server_root
        self._modules = dump.modules
        self._variables = dict(environment)
        self._defines = set(dump.defines)

    def define(self, rest: str) -> None:
        """``rest`` is what stands behind ``Define``."""
        words = [match.group(1) or match.group(2) or match.group(3) or "" for match in _WORD.finditer(rest)]
        if words:
            self._defines.add(words[0])
            if len(words) > 1:
                self._variables[words[0]] = self._expand(words[1]) or words[1]

    def undefine(self, name: str) -> None:
        self._defines.discard(name)

    def is_active(self, name: str, rest: str) -> Optional[bool]:
        """Is the inside of the section ``<name rest>`` active? None: it depends on what is not looked at."""
        negated, subject = rest.startswith("!"), rest.lstrip("!").strip().strip("\"'")
        if name == "ifdefine":
            holds: Optional[bool] = subject in self._defines
        elif name == "ifmodule":
            module = re.fullmatch(r"(?:mod_(\w+)\.c|(\w+)_module)", subject)
            holds = (module.group(1) or module.group(2)) in self._modules if module else None
            if not self._modules:
                holds = None
        elif name == "iffile":
            path = self.path(subject)
            holds = None if path is None else os.path.exists(path)
        elif name in ("if", "else", "elseif", "ifversion", "ifdirective", "ifsection", "macro"):
            return None
        else:
            return True
        return holds if holds is None else holds != negated

    def words(self, text: str) -> list[str]:
        """Each without its quotes; one that names a variable that is not known is as it stands."""
        words = []
        for match in _WORD.finditer(text):
            quoted = match.group(1) if match.group(1) is not None else match.group(2)
            words.append(re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match.group(3))
        return [self._expand(word) or word for word in words]

    def path(self, word: str) -> Optional[str]:
        """The absolute path a directive means, or None if it cannot be known."""
        expanded = self._expand(word)
        if expanded is None or (not expanded.startswith("/") and not self._server_root):
            return None
        return os.path.join(self._server_root, expanded)

    def _expand(self, word: str) -> Optional[str]:
        """``word`` with its ``${VARIABLES}`` replaced, or None if one of them is not known."""
        for _ in range(8):
            if len(word) > _WORD_LIMIT:
                return None
            unknown = [name for name in _VARIABLE.findall(word) if name not in self._variables]
            if unknown:
                return None
            if not _VARIABLE.search(word):
                return word
            word = _VARIABLE.sub(lambda match: self._variables[match.group(1)], word)
        return None
