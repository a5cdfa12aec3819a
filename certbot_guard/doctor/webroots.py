"""From which directory Apache serves a name on the challenge's port, as far as its configuration leaves no doubt.

Reads what Apache says of its virtual hosts and the lines between ``<VirtualHost>`` and its end. Whatever could lead the
challenge elsewhere (a proxy, a rewriting, an alias, a condition, a macro) is doubt, and then nothing is said.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Optional

from certbot_guard import plainfile, text
from certbot_guard.servers import execute
from certbot_guard.servers.instance import Instance
from certbot_guard.watch import sites
from certbot_guard.watch.files import Lineage

_SECONDS = 60.0
_LIMIT_BYTES = 16 * 1024 * 1024
_FILE_LIMIT_BYTES = 1024 * 1024
_LOGS = frozenset(("errorlog", "customlog", "transferlog"))  # Debian's: ${APACHE_LOG_DIR}/error.log
_PLAIN = frozenset(("servername", "serveralias", "serveradmin", "documentroot", "loglevel",
                    "sslengine", "sslcertificatefile", "sslcertificatekeyfile", "sslcertificatechainfile",
                    "directoryindex", "sslsessiontickets",
                    "options", "allowoverride", "require", "sslprotocol", "sslciphersuite", "sslhonorcipherorder",
                    "protocols", "header", "addtype", "addcharset", "adddefaultcharset", "expiresactive",
                    "sslusestapling", "serversignature", "usecanonicalname", "rewriteengine", "order",
                    "allow", "deny"))
_SECTION = re.compile(r"<(/?)(\w+)\s*([^>]*)>")
# What certbot's own apache installer writes, and what people do
_REDIRECT = re.compile(r'redirect\s+(?:(?:permanent|temp|30[1278])\s+)?"?/"?\s+"?https://([^/\s"]+)/?"?', re.IGNORECASE)
_REWRITE = re.compile(r'rewriterule\s+\S+\s+"?https://%\{(?:SERVER_NAME|HTTP_HOST)\}(?:%\{REQUEST_URI\}|/?\$1)"?'
                      r"(?:\s+\[[^\]]*\])?", re.IGNORECASE)
_CONDITION = re.compile(r"rewritecond\s+%\{SERVER_NAME\}\s+=\S+(?:\s+\[OR\])?", re.IGNORECASE)
_SAME = ""  # https under the name that was asked for
_NAMES = 100
_RECONFIGURE = (2, 3)


class Webroots:
    """The virtual hosts of one Apache, in its own order."""

    def __init__(self, hosts: Iterable[Any]) -> None:
        self._named: dict[tuple[int, str], Any] = {}
        self._first: dict[int, Any] = {}
        self._patterns: list[str] = []
        self._by_address: set[int] = set()
        for one in hosts:
            if one.address not in ("*", "_default_"):
                self._by_address.add(one.port)
            self._first.setdefault(one.port, one)
            for name in one.names:
                self._named.setdefault((one.port, name.lower()), one)
            self._patterns += [name.lower() for name in one.names if "*" in name or "?" in name]
        self._files: dict[str, list[str]] = {}

    @classmethod
    def of_server(cls, server: Any) -> Webroots:
        """None are known of a server that is no Apache, or that does not say."""
        instance = getattr(server, "instance", None)
        if not isinstance(instance, Instance):
            return cls([])
        result = execute.run([instance.program, "-t", "-D", "DUMP_VHOSTS"], instance.environment, _SECONDS,
                             limit_bytes=_LIMIT_BYTES)
        return cls(sites.parse_dump(result.output) if result.code == 0 else [])

    def of_lineage(self, lineage: Lineage, port: int) -> Mapping[str, str]:
        """The directory of each of its names; empty if there is a doubt about any of them."""
        if not 0 < len(lineage.names) <= _NAMES:
            return {}
        found = {name: self._of_name(name, port) for name in lineage.names}
        return {name: root for name, root in found.items() if root} if all(found.values()) else {}

    def _of_name(self, name: str, port: int, secure: bool = False) -> Optional[str]:
        if name.startswith("*."):
            return None
        if self._by_address & {0, port}:
            return None  # which of them answers depends on the address that the name leads to
        # Of two of one name Apache takes the first; one for every port comes behind those of this port.
        named = self._named.get((port, name.lower())) or self._named.get((0, name.lower()))
        if named is None and not any(fnmatchcase(name.lower(), pattern) for pattern in self._patterns):
            # A name that no virtual host has is answered by the first one of the port: Debian's own site, as a rule.
            named = self._first.get(port) or self._first.get(0)
        if named is None:
            return None
        root, to_https = self._read(named.where)
        if to_https is None:
            return root
        # Let's Encrypt follows it there, and asks for the same path.
        return self._of_name(name, 443, secure=True) if to_https in (_SAME, name.lower()) and not secure else None

    def _read(self, where: str) -> tuple[Optional[str], Optional[str]]:
        """The virtual host at ``file:line``: its document root where there is no doubt, and the name it leads to."""
        path, _, line = where.rpartition(":")
        if path not in self._files:
            self._files[path] = _lines(path)
        said = self._files[path]
        if not line.isdigit() or not 0 < int(line) <= len(said):
            return None, None
        root, to_https = "", None
        for words in (one.strip() for one in said[int(line):]):
            if not words or words.startswith("#"):
                continue
            section = _SECTION.match(words)
            if section:
                ending, name, argument = section[1], section[2].lower(), section[3].strip().strip('"')
                if ending and name == "virtualhost":
                    good = os.path.isabs(root) and os.path.isdir(root)
                    return (root if good else None), to_https
                # What stands for a part of the disk is harmless if its lines are; anything else is a condition.
                if name != "directory" or (not ending and ".well-known" in argument):
                    return None, None
                continue
            directive = words.split(None, 1)[0].lower()
            redirect = _REDIRECT.fullmatch(words)
            if redirect or _REWRITE.fullmatch(words):
                to_https = redirect[1].lower() if redirect else _SAME
            elif _CONDITION.fullmatch(words):
                continue
            elif directive in _LOGS:
                continue
            elif directive not in _PLAIN or "${" in words or (directive in ("require", "deny") and not _lets_in(words)):
                return None, None
            elif directive == "documentroot":
                root = words.split(None, 1)[1].strip().strip('"') if len(words.split(None, 1)) == 2 else ""
        return None, None


def command(lineage: Lineage, roots: Mapping[str, str], certbot: tuple[str, str]) -> str:
    """The line that makes this lineage a webroot one. certbot 2.3 has a verb that does no more than that."""
    program, version = certbot
    numbers = tuple(int(one) for one in re.findall(r"\d+", version)[:2])
    directories = list(dict.fromkeys(roots.values()))
    named = f"--cert-name {shlex.quote(text.line(lineage.name, 200))}"
    config_dir = lineage.path.parent.parent
    named += f" --config-dir {shlex.quote(text.line(config_dir, 300))}" if str(config_dir) != "/etc/letsencrypt" else ""
    if len(directories) == 1 and (not numbers or numbers >= _RECONFIGURE):
        # certbot 5.8 main.py, reconfigure(): takes no domains, so one directory for all; ends with a dry run
        return f"{program} reconfigure {named} --webroot -w {shlex.quote(directories[0])}"
    words = [" ".join([f"-w {shlex.quote(root)}", *(f"-d {shlex.quote(one)}" for one in roots if roots[one] == root)])
             for root in directories]
    kept = f" --installer {shlex.quote(lineage.installer)}" if lineage.installer else ""
    return f"{program} certonly {named} --webroot {' '.join(words)}{kept} --force-renewal"


def adopt(lineages: Sequence[Lineage]) -> str:
    words = " ".join(f"--cert-name {shlex.quote(text.line(one.name, 200))}" for one in lineages[:5])
    return f"certbot-guard adopt {words}" if len(lineages) <= 5 else "certbot-guard adopt --all"


def _lets_in(words: str) -> bool:
    return words.lower().split() == ["require", "all", "granted"]


def _lines(path: str) -> list[str]:
    try:
        data = plainfile.read(path, _FILE_LIMIT_BYTES)
    except OSError:
        return []
    return data.decode("utf-8", "replace").replace("\\\n", " \n").split("\n")
