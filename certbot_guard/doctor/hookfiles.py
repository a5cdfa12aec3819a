"""Hooks and options in certbot's own files: renewal configurations, cli.ini, the scripts of renewal-hooks/.

Reads, changes nothing, never raises. Used by doctor's mistakes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Sequence

from certbot_guard import crontables, lineages, text
from certbot_guard.doctor import commandrepair, judging, lines, stopping
from certbot_guard.doctor.result import PROBLEM, WARNING, Result

if TYPE_CHECKING:
    from certbot_guard.doctor.mistakes import Context

_LINE = re.compile(r"\s*([A-Za-z_-]+)\s*=\s*(.*)")
_HOOKS = frozenset({"pre-hook", "post-hook", "renew-hook", "deploy-hook"})
_FORCES = frozenset({"force-renewal", "force-renew", "renew-by-default"})
_CONTROL = re.compile(r"\b(?:apachectl|apache2ctl|httpd|apache2)\b")
_SECTION = re.compile(r"\s*\[")
_LINES_LIMIT = 2000


@dataclass(frozen=True)
class Hook:
    """One line that certbot reads at every run.

    :ivar key: with hyphens: ``pre-hook``, ``installer``; ``script`` for a line of a script in renewal-hooks/
    :ivar text: the line as it stands in the file
    :ivar lineage: whose it is; an empty string: everybody's
    """

    path: Path
    line_number: int
    key: str
    value: str
    text: str
    lineage: str = ""


def find(config_dir: Path, inis: Optional[Sequence[Path]] = None) -> list[Hook]:
    """Each hook and option of certbot's own files that could be a mistake; ``inis`` instead of :func:`cli_inis`."""
    found: list[Hook] = []
    for path in lineages.renewal_files(config_dir):
        said = crontables.read(path)
        if "hook" in said:
            found += [hook for hook in _settings(path, said, lineages.name_of(str(path))) if hook.key in _HOOKS]
    for path in cli_inis() if inis is None else inis:
        found += _settings(path, crontables.read(path), "")
    for kind in ("pre", "post", "deploy"):
        for path in crontables.files(config_dir / "renewal-hooks" / kind):
            # certbot 5.8 hooks.py: list_hooks() takes what is executable and does not end with a tilde
            if os.access(path, os.X_OK) and not path.name.endswith("~"):
                found += _script(path, crontables.read(path))
    return found


def cli_inis() -> list[Path]:
    """The files whose options certbot takes beneath its command line: root's, who starts it."""
    # certbot 5.8 constants.py, CLI_DEFAULTS["config_files"]: the usual directory's, whatever --config-dir says, then
    # $XDG_CONFIG_HOME or ~/.config; cron and systemd hand on no XDG_CONFIG_HOME
    return [Path("/etc/letsencrypt/cli.ini"), Path(os.path.expanduser("~/.config/letsencrypt/cli.ini"))]


def judge(hook: Hook, context: Context) -> list[Result]:
    """What is wrong with it: nothing, or one thing."""
    where = f"{hook.path}, line {hook.line_number}"
    if hook.key in _HOOKS or hook.key == "script":
        why = judging.hook_trouble(hook.value, context)
        if why is None:
            return _not_read(hook)
        mended = commandrepair.mend_hook(hook.value, context)
        instead = hook.text.replace(hook.value, mended) if mended != hook.value and hook.value in hook.text else ""
        if instead and judging.hook_trouble(mended, context):
            instead = ""
        whose = f" of {text.line(hook.lineage, 120)}" if hook.lineage else ""
        says = f"A hook{whose} stops Apache by {why[0]}."
        return [Result("hook-graceful-stop", PROBLEM, says, where, hook.text, why[1],
                       "Stop it so that the start waits for it, or leave the hooks out and let certbot-guard do it "
                       "(`certbot-guard adopt --retire-hooks`).", instead)]
    without = f"# {hook.text.strip()}"
    if hook.key in _FORCES and hook.value.lower() in ("true", "1", "yes", ""):
        says = "Every run of certbot orders new certificates, due or not."
        return [Result("force-renewal", PROBLEM, says, where, hook.text, judging.FORCE_WHY,
                       "Take this line out: certbot renews what is due.", without)]
    if hook.key == "installer" and hook.value == "guard" and context.others():
        listed = text.listed([f"{name} ({said})" for name, said in sorted(context.others().items())], most=5)
        says = f"It names guard for every lineage, over those that name another installer: {listed}."
        return [Result("installer-over-others", WARNING, says, where, hook.text,
                       "Their renewal configurations keep that installer: without this line, or with another "
                       "configuration directory, their renewals are not guarded.",
                       "Take this line out and let `certbot-guard adopt` write it into the renewal configurations.",
                       without)]
    return []


def _not_read(hook: Hook) -> list[Result]:
    """A word for what may be such a hook, and cannot be told."""
    for piece in lines.read_script(hook.value).unread:
        control = _CONTROL.search(piece)
        if control and stopping.STOP.search(piece, control.end()):
            return [not_read(hook)]
    return []


def not_read(hook: Hook) -> Result:
    says = ("Whether a hook stops Apache in a way after which the start may do nothing cannot be told: there is more "
            "in it than doctor can read.")
    return Result("line-not-read", WARNING, says, f"{hook.path}, line {hook.line_number}", hook.text,
                  "`apachectl stop` and `graceful-stop` return while the old Apache still serves its last visitor; the "
                  "start afterwards may do nothing, and then the site is down.",
                  "Look how it stops Apache: `systemctl stop` waits. Or leave the hooks out and let certbot-guard do "
                  "it (`certbot-guard adopt --retire-hooks`).")


def _settings(path: Path, said: str, lineage: str) -> list[Hook]:
    found = []
    for number, line in enumerate(said.split("\n")[:_LINES_LIMIT], 1):
        match = _LINE.match(line)
        if match:
            found.append(Hook(path, number, match[1].replace("_", "-"), _unquoted(match[2].strip()), line.rstrip("\r"),
                              lineage))
    return found


def _script(path: Path, said: str) -> Sequence[Hook]:
    if not re.match(r"#!\s*\S*/(?:env\s+)?(?:ba|da|k|z|a)?sh\b", said):
        return []
    return [Hook(path, number, "script", line.strip(), line.rstrip("\r"))
            for number, line in enumerate(said.split("\n")[:_LINES_LIMIT], 1)
            if line.strip() and not line.lstrip().startswith("#")]


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
