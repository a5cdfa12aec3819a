"""Where in Apache's configuration a file of ours may stand: found in what Apache reads, never assumed.

Debian includes ``conf-enabled/*.conf`` and ``sites-enabled/*.conf``, RHEL ``conf.d/*.conf``; an Apache that includes
nothing for the whole server has no place. Only looks.
"""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path
from typing import Optional

from certbot_guard import text, trust
from certbot_guard.errors import GuardError, ServerError
from certbot_guard.servers.configuration import Configuration

NAME = "zzz-certbot-guard.conf"
_WILDCARDS = "*?["


def path(configuration: Configuration) -> Path:
    """The file to write: in the last directory from which Apache includes such a file for the whole server.

    The last, since what a module that we load brings into being is then known to nothing that was read before.

    :raises ServerError: there is none, or somebody else could change what is in it; one sentence.
    """
    problem = "Apache's configuration includes no directory of files for the whole server"
    for place in reversed(candidates(configuration)):
        trouble = _distrust(place.parent)
        if not trouble:
            return place
        problem = trouble
    raise ServerError(problem)


def candidates(configuration: Configuration) -> list[Path]:
    """Every path at which Apache would read our file, in the order it reads them. Whom they belong to is not asked."""
    found = []
    for included in configuration.includes:
        directory, pattern = os.path.split(included.path)
        # A whole directory ("Include conf.d/") is none: it would have Apache read files that are just being written.
        if included.certain and any(letter in pattern for letter in _WILDCARDS) and not any(
                letter in directory for letter in _WILDCARDS) and fnmatch.fnmatchcase(NAME, pattern):
            found.append(Path(os.path.normpath(directory)) / NAME)
    return list(dict.fromkeys(one for one in found if one.parent.is_dir()))


def _distrust(directory: Path) -> Optional[str]:
    try:
        descriptor = trust.open_directory(directory, make=False)
        try:
            trust.check_directory(descriptor, directory)
        finally:
            os.close(descriptor)
    except (OSError, GuardError) as error:
        return f"no file is put where Apache would read it: {text.line(error)}"
    return None
