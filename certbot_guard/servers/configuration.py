"""Apache's configuration as far as it matters here: where its files are, and which certificates it loads.

Two sources. What Apache says of itself (``-t -D DUMP_...``) is believed; the files it says it read are then
read for the directives that no dump shows. Sections are followed as far as it can be known whether they are
active: what depends on something else (``<IfVersion>``, ``<If>``, a ``<Macro>``) is marked uncertain.
"""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Iterator, Optional

from certbot_guard.errors import ConfigtestError

DUMPS = ("DUMP_RUN_CFG", "DUMP_INCLUDES", "DUMP_MODULES")
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|(\S+)')
_VARIABLE = re.compile(r"\$\{([^}:]+)\}")
_DEPTH_LIMIT = 32


@dataclass(frozen=True)
class Dump:
    """What Apache said of its configuration. Paths are as given there; empty where it said nothing."""

    server_root: str = ""
    pid_file: str = ""
    error_log: str = ""
    files: tuple[str, ...] = ()
    defines: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, output: str) -> Dump:
        """Read the output of ``-t`` with :data:`DUMPS`. Lines of other programs in it are passed over."""

        def value(label: str) -> str:
            found = re.search(rf'^{label}: "(.*)"$', output, re.MULTILINE)
            return found.group(1) if found else ""

        return cls(
            server_root=value("ServerRoot"),
            pid_file=value("PidFile"),
            error_log=value("Main ErrorLog"),
            files=tuple(re.findall(r"^\s+\((?:\*|\d+)\) (/.*)$", output, re.MULTILINE)),
            defines=frozenset(re.findall(r"^Define: (.+)$", output, re.MULTILINE)) - set(DUMPS),
            modules=frozenset(re.findall(r"^ (\S+)_module \((?:static|shared)\)$", output, re.MULTILINE)),
        )

    def log_path(self) -> Optional[Path]:
        """The main error log if it is a file: it may also be syslog, or a program behind a pipe."""
        return Path(self.error_log) if self.error_log.startswith("/") else None

    def count_vhosts(self) -> int:
        """About how many virtual hosts there are: it only decides how long a start may take."""
        count = 0
        for path in set(self.files):
            try:
                count += Path(path).read_bytes().lower().count(b"<virtualhost")
            except OSError:
                continue
        return count


@dataclass(frozen=True)
class Place:
    """Where a directive stands."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class Named:
    """A file that a directive names, where it is named, and whether the directive surely is active."""

    path: str
    place: Place
    certain: bool = True


@dataclass
class TLS:
    """What one virtual host, or the server itself (``addresses`` empty), says about TLS."""

    place: Place
    addresses: tuple[str, ...] = ()
    engine: Optional[str] = None
    certificates: list[Named] = field(default_factory=list)
    keys: list[Named] = field(default_factory=list)
    chains: list[Named] = field(default_factory=list)
    authorities: list[Named] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@dataclass
class Configuration:
    """All of :class:`TLS` in the files, and what is true for the whole server."""

    server: TLS
    vhosts: list[TLS] = field(default_factory=list)
    https_ports: set[str] = field(default_factory=lambda: {"443"})
    passphrase_from_program: bool = False
    # Where files are included for the whole server (the pattern, absolute), in the order they are read.
    includes: list[Named] = field(default_factory=list)
    module_files: list[Named] = field(default_factory=list)


def read(dump: Dump, environment: dict[str, str]) -> Configuration:
    """Read the files of ``dump``.

    ``environment`` has what the server's ``${VARIABLES}`` may come from. A file that cannot be read is passed
    over: Apache itself could, and its own test is the judge of that.

    :raises ConfigtestError: a file includes itself, at any depth.
    """
    main = dump.files[0] if dump.files else ""
    configuration = Configuration(TLS(Place(main, 0)))
    _Reader(dump, environment, configuration).file(main, _Context(configuration.server))
    return configuration


@dataclass(frozen=True)
class _Context:
    """Where the reader is: whose directives these are, and whether they are active (None: nobody knows)."""

    tls: TLS
    active: Optional[bool] = True
    depth: int = 0
    # Outside of every section but those that only ask whether their inside is active.
    for_all: bool = True


class _Reader:
    def __init__(self, dump: Dump, environment: dict[str, str], configuration: Configuration) -> None:
        self._dump = dump
        self._variables = dict(environment)
        self._defines = set(dump.defines)
        self._files = {os.path.realpath(path) for path in dump.files}
        self._configuration = configuration

    def file(self, path: str, context: _Context) -> None:
        if context.depth > _DEPTH_LIMIT:
            raise ConfigtestError(f"the configuration includes {path} endlessly")
        stack = [(context, "")]
        for number, line in _lines(path):
            place = Place(path, number)
            if line.startswith("</"):
                if len(stack) > 1:
                    stack.pop()
            elif line.startswith("<"):
                name, _, rest = line.strip("<>").partition(" ")
                stack.append((self._section(name.lower(), rest.strip(), stack[-1][0], place), name))
            elif stack[-1][0].active is not False:
                self._directive(line, stack[-1][0], place)

    def _section(self, name: str, rest: str, context: _Context, place: Place) -> _Context:
        if name == "virtualhost":
            vhost = TLS(place, tuple(self._words(rest) or ()) or ("*",))
            if context.active is not False:
                self._configuration.vhosts.append(vhost)
            return replace(context, tls=vhost, for_all=False)
        for_all = context.for_all and name in ("ifdefine", "ifmodule", "iffile", "ifversion")
        return replace(context, active=_both(context.active, self._condition(name, rest)), for_all=for_all)

    def _condition(self, name: str, rest: str) -> Optional[bool]:
        """Is the inside of this section active? None: it depends on what is not looked at."""
        negated, subject = rest.startswith("!"), rest.lstrip("!").strip().strip("\"'")
        if name == "ifdefine":
            holds: Optional[bool] = subject in self._defines
        elif name == "ifmodule":
            module = re.fullmatch(r"(?:mod_(\w+)\.c|(\w+)_module)", subject)
            holds = (module.group(1) or module.group(2)) in self._dump.modules if module else None
            if not self._dump.modules:
                holds = None
        elif name == "iffile":
            path = self._path(subject)
            holds = None if path is None else os.path.exists(path)
        elif name in ("if", "else", "elseif", "ifversion", "ifdirective", "ifsection", "macro"):
            return None
        else:
            return True
        return holds if holds is None else holds != negated

    def _directive(self, line: str, context: _Context, place: Place) -> None:
        name, _, rest = line.partition(" ")
        name = name.lower()
        if name == "define":
            self._define(rest)
            return
        if name == "undefine":
            self._defines.discard(rest.strip())
            return
        words = self._words(rest)
        if not words:
            return
        if name in ("include", "includeoptional"):
            self._include(words[0], context, place)
        elif name == "loadmodule" and len(words) > 1:
            path = self._path(words[1])
            self._configuration.module_files.append(Named(path or words[1], place, path is not None))
        elif name == "listen" and len(words) > 1 and words[1].lower() == "https":
            self._configuration.https_ports.add(words[0].rpartition(":")[2])
        elif name in ("servername", "serveralias"):
            context.tls.names.extend(_host_name(word) for word in words)
        elif name == "sslengine":
            context.tls.engine = words[0].lower()
        elif name == "sslpassphrasedialog" and not words[0].lower().startswith("builtin"):
            self._configuration.passphrase_from_program = True
        else:
            into = {
                "sslcertificatefile": context.tls.certificates,
                "sslcertificatekeyfile": context.tls.keys,
                "sslcertificatechainfile": context.tls.chains,
                "sslcacertificatefile": context.tls.authorities,
            }.get(name)
            path = self._path(words[0])
            if into is not None:
                into.append(Named(path or words[0], place, context.active is True and path is not None))

    def _define(self, rest: str) -> None:
        words = [match.group(1) or match.group(2) or match.group(3) or "" for match in _WORD.finditer(rest)]
        if words:
            self._defines.add(words[0])
            if len(words) > 1:
                self._variables[words[0]] = self._expand(words[1]) or words[1]

    def _include(self, pattern: str, context: _Context, place: Place) -> None:
        path = self._path(pattern)
        if path is None:
            return
        if context.for_all:
            self._configuration.includes.append(Named(path, place, context.active is True))
        found = [path]
        if os.path.isdir(path):
            found = sorted(os.path.join(top, name) for top, _, names in os.walk(path) for name in names)
        elif any(character in path for character in "*?["):
            found = sorted(glob.glob(path))
        for one in found:
            # What Apache did not list it did not read: an Include in a section that is not active, for one.
            if os.path.realpath(one) in self._files:
                self.file(one, replace(context, depth=context.depth + 1))

    def _words(self, text: str) -> Optional[list[str]]:
        words = []
        for match in _WORD.finditer(text):
            quoted = match.group(1) if match.group(1) is not None else match.group(2)
            words.append(re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match.group(3))
        return [self._expand(word) or word for word in words]

    def _expand(self, word: str) -> Optional[str]:
        """``word`` with its ``${VARIABLES}`` replaced, or None if one of them is not known."""
        for _ in range(8):
            unknown = [name for name in _VARIABLE.findall(word) if name not in self._variables]
            if unknown:
                return None
            if not _VARIABLE.search(word):
                return word
            word = _VARIABLE.sub(lambda match: self._variables[match.group(1)], word)
        return None

    def _path(self, word: str) -> Optional[str]:
        """The absolute path a directive means, or None if it cannot be known."""
        expanded = self._expand(word)
        if expanded is None or (not expanded.startswith("/") and not self._dump.server_root):
            return None
        return os.path.join(self._dump.server_root, expanded)


def _host_name(word: str) -> str:
    """``ServerName`` may hold a scheme and a port as well."""
    return re.sub(r"^[a-z]+://|:[0-9]+$", "", word.lower())


def _both(outer: Optional[bool], inner: Optional[bool]) -> Optional[bool]:
    if outer is False or inner is False:
        return False
    return True if outer and inner else None


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """``(number, line)`` of each line that says something, continued lines joined."""
    try:
        text = Path(path).read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return
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
