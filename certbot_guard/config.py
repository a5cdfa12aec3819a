"""guard.ini, read into a :class:`~certbot_guard.settings.Config`. Reading never raises: what is wrong costs only itself.

A bad line of ``[notify]`` costs that channel; a bad ``[server]`` section means that no server is stopped. No
problem holds a secret: an Apprise URL is never quoted.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

from certbot_guard import options
from certbot_guard.inifile import (
    SECTIONS,
    Entry,
    IniFile,
    Problem,
    close,
    has_controls,
    is_known,
    is_url,
    nearest,
    safe,
)
from certbot_guard.settings import Channel, Config, DeployConfig, MessagesConfig, ServerConfig, WatchConfig
from certbot_guard.statedir import UntrustedFileError, is_others, read_trusted
from certbot_guard.urls import check_urls

__all__ = ["SECTIONS", "Channel", "Config", "DeployConfig", "MessagesConfig", "Problem", "ServerConfig", "WatchConfig",
           "check_urls", "default_path", "load"]

APPRISE_CONFIG = "apprise_config"
_COMMAND = "_command"
_PATH = re.compile(r"/[^\x00-\x1f]*|[\w. +-]+(/[\w. +-]+)*")
_UNTIL_THEN = "Until then no web server is stopped and nobody is told by this file."
_READABLE_BY_OTHERS = 0o044
_STRANGERS_LIMIT = 1000


def default_path(config_dir: Path) -> Path:
    return Path(config_dir) / "guard.ini"


def load(path: Path) -> Config:
    """What the file says; a missing one gives the defaults. Never raises."""
    try:
        return _load(Path(os.path.abspath(path)))
    except Exception as error:  # a bug of ours must not make a renewal fail; its text could quote a line
        return _unusable(Path(path), f"{path} cannot be used: certbot-guard's own {type(error).__name__}")


def _load(path: Path) -> Config:
    try:
        data, mode = read_trusted(path)
    except FileNotFoundError:
        return Config(path, missing=True)
    except (UntrustedFileError, OSError) as error:
        return _unusable(path, str(error))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[:error.start].count(b"\n") + 1
        return _unusable(path, f"{path}, line {line}: not UTF-8; save the file as UTF-8")
    found = _config(IniFile(path, text))
    if mode & _READABLE_BY_OTHERS:
        found = replace(found, problems=found.problems + (
            Problem("file", f"{path} holds passwords and can be read by others; run: chmod 600 {path}"),))
    return found


def _unusable(path: Path, reason: str) -> Config:
    return Config(path, server_usable=False, problems=(Problem("file", f"{reason}. {_UNTIL_THEN}"),))


# -- what the lines mean -------------------------------------------------------------------------------------


def _config(ini: IniFile) -> Config:
    server = _server(ini)
    state = _state_dir(ini)
    certbot = _values(ini, "certbot")
    messages = _renamed(_values(ini, "messages"))
    watch = _renamed(_values(ini, "watch"))
    textfile = _values(ini, "metrics").get("textfile")
    channels, files = _channels(ini)
    _notice_lost_server_lines(ini)
    return Config(ini.path, server=server, server_usable=ini.server_usable, channels=channels,
                  apprise_configs=files, messages=MessagesConfig(**messages), watch=WatchConfig(**watch),
                  deploy=_deploy(ini), heartbeat_url=_values(ini, "heartbeat").get("url"),
                  metrics_textfile=Path(textfile) if textfile else None, state_dir=state,
                  certbot_config_dirs=tuple(Path(one) for one in certbot.get("config_dir", ())),
                  certbot_logs_dir=Path(certbot["logs_dir"]) if certbot.get("logs_dir") else None,
                  problems=ini.problems())


def _values(ini: IniFile, section: str, kind: Optional[str] = None,
            leave: Callable[[str], bool] = lambda key: False) -> dict[str, Any]:
    known = options.of_section(kind or section)
    values: dict[str, Any] = {}
    for entry in ini.of_section(section):
        if leave(entry.key):
            continue
        if entry.key not in known:
            ini.problem(section, entry.line, f"unknown key '{safe(entry.key)}' in [{safe(section)}]"
                        + ("" if ini.is_full else nearest(entry.key, known, quote="'")))
        elif entry.key in values:
            ini.problem(section, entry.line, f"'{entry.key}' is there twice in [{safe(section)}]; keep one")
        elif has_controls(entry.value.replace("\t", " ")):
            ini.wrong(entry, "it without control characters")
        else:
            try:
                values[entry.key] = known[entry.key].parse(entry.value)
            except ValueError as error:
                ini.wrong(entry, str(error))
    return values


_IN_SECONDS = ("max_outage", "drain", "remind_every", "keep_undelivered", "stale_after")


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}_seconds" if name in _IN_SECONDS else name: value for name, value in values.items()}


def _server(ini: IniFile) -> ServerConfig:
    values = _values(ini, "server")
    server = ServerConfig(**_renamed(values))
    missing = [name for name in ("start_command", "stop_command", "listen") if not values.get(name)]
    if server.control == "command" and missing:
        line = next(entry.line for entry in ini.of_section("server") if entry.key == "control")
        ini.problem("server", line, "control = command also needs " + " and ".join(missing))
    return server


def _deploy(ini: IniFile) -> DeployConfig:
    """``NAME_command`` is an option for any name, so this section has more keys than the table of options."""
    commands = {}
    for entry in [entry for entry in ini.of_section("deploy") if entry.key.endswith(_COMMAND)]:
        name = entry.key[:-len(_COMMAND)]
        try:
            options.unit_names(name)
            if has_controls(entry.value):
                raise ValueError("it without control characters")
            commands[name] = options.command_line(entry.value)
        except ValueError as error:
            ini.wrong(entry, str(error))
    values = _values(ini, "deploy", leave=lambda key: key.endswith(_COMMAND))
    return DeployConfig(values.get("also_reload", ()), tuple(commands.items()))


def _notice_lost_server_lines(ini: IniFile) -> None:
    """A line in no known section that looks like one of [server] was meant for it, so that one is in doubt.

    Others are not: a typo around a channel must not keep a server from being stopped.
    """
    known = list(options.of_section("server"))
    strangers = {entry.key for entry in ini.entries if not is_known(entry.section)}
    # So many are no typo of one line; each look at one takes as long as reading a hundred.
    if len(strangers) > _STRANGERS_LIMIT or any(close(key, known) for key in strangers):
        ini.server_usable = False


def _state_dir(ini: IniFile) -> Optional[Path]:
    directory = _values(ini, "state").get("dir")
    if directory is not None and is_others(Path(directory)):
        ini.wrong(next(entry for entry in ini.of_section("state") if entry.key == "dir"),
                  "a directory of its own: the one named there is in use for something else")
        return None
    return Path(directory) if directory else None


def _channels(ini: IniFile) -> tuple[tuple[Channel, ...], tuple[Path, ...]]:
    channels: dict[str, Channel] = {}
    files: list[Path] = []
    for entry in ini.of_section("notify"):
        if entry.key == APPRISE_CONFIG:
            files += _apprise_config(ini, entry)
        elif safe(entry.key) != entry.key:
            ini.problem("notify", entry.line, "this line of [notify] does not begin with a channel's name; "
                        "write: name = Apprise URL")
        elif entry.key in channels:
            ini.problem("notify", entry.line, f"the channel '{entry.key}' is there twice; name one of them "
                        "differently")
        elif entry.wrapped:
            # Half of a URL may be one that Apprise accepts, and lead somewhere else.
            ini.problem("notify", entry.wrapped, f"this line continues the channel '{entry.key}' of line "
                        f"{entry.line}; write its URL on one line, and another channel without indentation")
        elif not is_url(entry.value):
            near = close(entry.key, [APPRISE_CONFIG])
            ini.wrong(entry, "an Apprise URL without quotes, such as mailtos://user:password@smtp.example.com"
                      "?to=you@example.com" + (f"; did you mean '{near}'?" if near else ""))
        else:
            channels[entry.key] = Channel(entry.key, entry.value, line=entry.line)
    broken = {entry.key for entry in ini.of_section("notify")} - set(channels)
    for section in [name for name in ini.sections if name.startswith("channel ")]:
        name = section[len("channel "):]
        if name in channels:
            channels[name] = replace(channels[name], **_values(ini, section, "channel"))
        elif name not in broken:  # the line that is broken has its problem already
            ini.problem(section, ini.sections[section], f"[{safe(section)}]: there is no channel "
                        f"'{safe(name)}' in [notify]" + ("" if ini.is_full else nearest(name, channels, quote="'")))
    return tuple(channels.values()), tuple(files)


def _apprise_config(ini: IniFile, entry: Entry) -> list[Path]:
    """The file, if it can be trusted as guard.ini is: it says who is told, and by what program."""
    if "://" in entry.value or entry.wrapped or not _PATH.fullmatch(entry.value):
        ini.wrong(entry, "the path of an Apprise configuration file")
        return []
    path = ini.path.parent / entry.value
    try:
        _, mode = read_trusted(path)
    except FileNotFoundError:
        ini.wrong(entry, "the path of an Apprise configuration file: there is none of that name")
        return []
    except UntrustedFileError as error:
        ini.problem("notify", entry.line, f"{APPRISE_CONFIG} cannot be used: {error}")
        return []
    if mode & _READABLE_BY_OTHERS:
        ini.problem("notify", entry.line, f"{path} holds passwords and can be read by others; "
                    f"run: chmod 600 {path}")
    return [path]
