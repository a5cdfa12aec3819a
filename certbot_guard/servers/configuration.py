"""Apache's configuration as far as it matters here: which certificates it loads, for which hosts, and what it includes.

Read from the files that Apache says it read (:mod:`certbot_guard.servers.dump`), for the directives that no dump shows.
Sections are followed as far as it can be known whether they are active: what depends on something else
(``<IfVersion>``, ``<If>``, a ``<Macro>``) is marked uncertain. What the words of a directive stand for is known by
:mod:`certbot_guard.servers.directives`.
"""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass, field, replace
from typing import Optional

from certbot_guard.errors import ConfigtestError
from certbot_guard.servers import directives
from certbot_guard.servers.directives import Meaning
from certbot_guard.servers.dump import Dump

_DEPTH_LIMIT = 32


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
        self._meaning = Meaning(dump, environment)
        self._files = {os.path.realpath(path) for path in dump.files}
        self._configuration = configuration

    def file(self, path: str, context: _Context) -> None:
        if context.depth > _DEPTH_LIMIT:
            raise ConfigtestError(f"the configuration includes {path} endlessly")
        stack = [(context, "")]
        for number, line in directives.lines(path):
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
            vhost = TLS(place, tuple(self._meaning.words(rest)) or ("*",))
            if context.active is not False:
                self._configuration.vhosts.append(vhost)
            return replace(context, tls=vhost, for_all=False)
        for_all = context.for_all and name in ("ifdefine", "ifmodule", "iffile", "ifversion")
        return replace(context, active=_both(context.active, self._meaning.is_active(name, rest)), for_all=for_all)

    def _directive(self, line: str, context: _Context, place: Place) -> None:
        name, _, rest = line.partition(" ")
        name = name.lower()
        if name == "define":
            self._meaning.define(rest)
            return
        if name == "undefine":
            self._meaning.undefine(rest.strip())
            return
        words = self._meaning.words(rest)
        if not words:
            return
        if name in ("include", "includeoptional"):
            self._include(words[0], context, place)
        elif name == "loadmodule" and len(words) > 1:
            path = self._meaning.path(words[1])
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
            path = self._meaning.path(words[0])
            if into is not None:
                into.append(Named(path or words[0], place, context.active is True and path is not None))

    def _include(self, pattern: str, context: _Context, place: Place) -> None:
        path = self._meaning.path(pattern)
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


def _both(outer: Optional[bool], inner: Optional[bool]) -> Optional[bool]:
    if outer is False or inner is False:
        return False
    return True if outer and inner else None


def _host_name(word: str) -> str:
    """``ServerName`` may hold a scheme and a port as well."""
    return re.sub(r"^[a-z]+://|:[0-9]+$", "", word.lower())
