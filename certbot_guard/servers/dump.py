"""What Apache says of its own configuration (``-t -D DUMP_...``): where its files are, what is defined and loaded.

It is believed; :mod:`certbot_guard.servers.configuration` reads in the files what no dump shows. Asked for by
:class:`~certbot_guard.servers.instance.Instance`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from certbot_guard import plainfile

DUMPS = ("DUMP_RUN_CFG", "DUMP_INCLUDES", "DUMP_MODULES")
# Of one file of the configuration no more is read: room for tens of thousands of virtual hosts in one.
FILE_LIMIT_BYTES = 16 * 1024 * 1024


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
            files=tuple(re.findall(r"^[ \t]+\((?:\*|\d+)\) (/.*)$", output, re.MULTILINE)),
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
                count += plainfile.read(path, FILE_LIMIT_BYTES).lower().count(b"<virtualhost")
            except OSError:
                continue
        return count
