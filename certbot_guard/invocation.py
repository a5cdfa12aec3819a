"""What certbot was asked to do, where certbot itself never told us: it ended before it made an instance of the plugin.

The one place that reads certbot's command line and ``cli.ini`` for itself. Only the few options that say where things
are; certbot's own parser (certbot._internal.cli) is not public.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

_DEFAULTS = {"config-dir": "/etc/letsencrypt", "logs-dir": "/var/log/letsencrypt", "guard-config": None}
# Verbs certbot knows (5.8); the first word that is one of them is the verb.
_VERBS = {"run", "certonly", "renew", "delete", "revoke", "register", "unregister", "update_account", "install",
          "config_changes", "rollback", "plugins", "update_symlinks", "enhance", "certificates", "reconfigure",
          "show_account", "auth"}
_FILE_LIMIT = 1024 * 1024  # characters


@dataclass(frozen=True)
class Invocation:
    verb: Optional[str]
    config_dir: Path
    logs_dir: Path
    guard_config: Path
    dry_run: bool


def read(arguments: list[str]) -> Invocation:
    """What a certbot command line says, ``cli.ini`` files beneath it as certbot reads them.

    :param arguments: without the program's name
    """
    said = _options(arguments)
    chosen = dict(_DEFAULTS)
    for path in _cli_ini(said):
        chosen.update(_file_options(path))
    chosen.update({name: value for name, value in said.items() if name in _DEFAULTS})
    config_dir = Path(os.path.abspath(str(chosen["config-dir"])))
    named = chosen["guard-config"]
    return Invocation(
        verb=next((word for word in arguments if word in _VERBS), None),
        config_dir=config_dir, logs_dir=Path(os.path.abspath(str(chosen["logs-dir"]))),
        guard_config=Path(os.path.abspath(named)) if named else config_dir / "guard.ini",
        dry_run="--dry-run" in arguments)


def masked(arguments: list[str]) -> list[str]:
    """The command line, fit to be kept: values of options that look like secrets, and hooks, are taken out."""
    kept, hide = [], False
    for word in arguments:
        name, equals, _ = word.partition("=")
        secret = any(part in name.lower() for part in ("key", "token", "secret", "password", "hmac", "kid", "email"))
        hook = name.endswith("-hook") and word.startswith("--")
        if hide and not word.startswith("-"):
            kept.append("***")
            hide = False
        elif word.startswith("-") and (secret or hook):
            kept.append(name + ("=***" if equals else ""))
            hide = not equals
        else:
            kept.append(word)
            hide = False
    return kept


def _options(arguments: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for index, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        name = {"-c": "--config"}.get(name, name)
        if name.startswith("--") and name[2:] in (*_DEFAULTS, "config"):
            if equals:
                found[name[2:]] = value
            elif index + 1 < len(arguments):
                found[name[2:]] = arguments[index + 1]
    return found


def _cli_ini(said: dict[str, str]) -> list[str]:
    # certbot 5.8 cli_constants.py: CLI_DEFAULTS["config_files"]
    home = os.environ.get("XDG_CONFIG_HOME", "~/.config")
    default = [os.path.join(_DEFAULTS["config-dir"] or "", "cli.ini"),
               os.path.expanduser(os.path.join(home, "letsencrypt", "cli.ini"))]
    return default + ([said["config"]] if "config" in said else [])


def _file_options(path: str) -> dict[str, str]:
    found = {}
    try:
        with open(path, encoding="utf-8", errors="replace", opener=_plain) as file:
            said = file.read(_FILE_LIMIT + 1)
            for line in said.split("\n") if len(said) <= _FILE_LIMIT else ():
                name, equals, value = line.strip().partition("=")
                if equals and not name.startswith(("#", ";")) and name.strip().lstrip("-") in _DEFAULTS:
                    found[name.strip().lstrip("-")] = value.strip().strip("\"'")
    except OSError:
        pass
    return found


def _plain(path: str, flags: int) -> int:
    """For ``open()``, as its opener: a plain file is opened, and nothing else is waited for or read.

    As :mod:`certbot_guard.plainfile` does it: a certbot with nothing due comes by here, and pays for no further import.

    :raises OSError: it cannot be opened, or is no plain file.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError("it is no plain file")
