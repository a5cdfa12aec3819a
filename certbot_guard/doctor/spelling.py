"""Commands in what doctor says, so that they work where they are copied to: whole paths, and the settings file meant.

Pure but for a look at PATH. Called once, for all results, by ``certbot-guard doctor``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional

from certbot_guard.doctor.result import Result

_USUAL = Path("/etc/letsencrypt/guard.ini")
_GUARD = re.compile(r"(?<![\w/.-])certbot-guard (?=(?:adopt|explain|notify|recover|setup|units)\b)")
_CERTBOT = re.compile(r"(?<![\w/.-])certbot (?=(?:certonly|plugins|reconfigure|renew)\b)")


def spelled(found: Sequence[Result], config_path: Path, certbot: Optional[Path] = None,
            which: Callable[[str], Optional[str]] = shutil.which) -> list[Result]:
    """The same results, with remedies that a shell of this user's finds the programs of.

    :param certbot: the one that renews; None: not known
    """
    guard = _word("certbot-guard", Path(sys.executable).with_name("certbot-guard"), which)
    if config_path != _USUAL:
        guard += f" --config {shlex.quote(str(config_path))}"
    its_certbot = _word("certbot", certbot, which)

    def one(result: Result) -> Result:
        remedy = _GUARD.sub(lambda _: f"{guard} ", result.remedy)
        return replace(result, remedy=_CERTBOT.sub(lambda _: f"{its_certbot} ", remedy))

    return [one(result) for result in found]


def _word(name: str, program: Optional[Path], which: Callable[[str], Optional[str]]) -> str:
    there = which(name)
    if program is None or not program.exists() or (there and os.path.realpath(there) == os.path.realpath(program)):
        return name
    return shlex.quote(str(program))
