"""The text of guard.ini as we write it: a new one with comments, and channels set in one that is there.

All of it is text in, text out; :func:`read` and :func:`write` are :mod:`certbot_guard.keptfile`'s for this file. What
comes back is read again before it is handed out: nothing is written that would not be read as it was meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from certbot_guard import keptfile, options
from certbot_guard.config import APPRISE_CONFIG
from certbot_guard.errors import GuardError
from certbot_guard.inifile import Entry, IniFile, has_controls, is_url, safe

_BOM = "\ufeff"


class SettingsTextError(GuardError):
    """guard.ini cannot be made to say this; nothing was changed. The sentence holds no part of a URL."""


def read(path: Path) -> Optional[str]:
    """The whole text, its line ends and byte order mark kept; None if there is no file.

    :raises GuardError: it cannot be trusted, or read, or is not UTF-8.
    """
    data = keptfile.read(path)
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[:error.start].count(b"\n") + 1
        raise SettingsTextError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from error


def write(path: Path, text: str, seen: Optional[str] = None) -> Optional[Path]:
    """``path`` holds ``text``, mode 0600 and ours; returns where the old one is kept, None if there was none to keep.

    Unchanged text writes nothing. After an error, a crash or a power cut it holds the old or the new text, whole.

    :param seen: what it held when the new text was made, empty if there was none; if it is something else by now,
        nothing is written
    :raises GuardError: it cannot be written, or would be written where somebody else could change it.
    """
    return keptfile.write(path, text.encode("utf-8"), None if seen is None else seen.encode("utf-8"))


# -- channels ------------------------------------------------------------------------------------------------


def with_channels(text: str, channels: Mapping[str, str]) -> str:
    """The same text with these channels in ``[notify]``; every other byte of it is as it was.

    A channel that is there keeps its place; a new one stands behind the last. A second line of the same name, and
    the lines that continued the old URL, are gone.

    :raises SettingsTextError: a name or URL would not be read back as it is, or the text is too broken to say where
        a channel belongs.
    """
    for name, url in channels.items():
        _refuse(name, url)
    result = text
    for name, url in channels.items():
        result = _set(result, name, url)
    _refuse_side_effects(text, result, channels)
    return result


def _refuse(name: str, url: str) -> None:
    if name != name.strip() or safe(name) != name or name == APPRISE_CONFIG:
        raise SettingsTextError("a channel's name is made of letters, digits, spaces and . - _ + ( ), at most 60 of "
                                f"them, and is not {APPRISE_CONFIG}")
    if not is_url(url) or url != url.strip() or not _encodes(url):
        raise SettingsTextError(f"the URL of the channel '{name}' cannot stand in guard.ini: write it without line "
                                "breaks, quotes, and spaces at its ends, beginning with its service such as mailtos://")


def _encodes(text: str) -> bool:
    return not any(0xd800 <= ord(letter) < 0xe000 for letter in text)


def _set(text: str, name: str, url: str) -> str:
    ini = _parsed(text)
    lines = text.split("\n")
    own = [entry for entry in ini.of_section("notify") if entry.key == name]
    gone = {number for entry in own for number in _continued(lines, entry, ini)} | {entry.line for entry in own[1:]}
    if own:
        lines[own[0].line - 1] = _replaced(lines[own[0].line - 1], url)
        return "\n".join(line for number, line in enumerate(lines, 1) if number not in gone)
    return _added(lines, ini, f"{name} = {url}")


def _replaced(line: str, url: str) -> str:
    before, equals, after = line.partition("=")
    value = after.strip()
    space = after[:len(after) - len(after.lstrip())] if value else " "
    end = after[len(after.rstrip()):] if value else "\r" * after.endswith("\r")
    return f"{before}{equals}{space}{url}{end}"


def _added(lines: list[str], ini: IniFile, line: str) -> str:
    present = ini.of_section("notify")
    if present:
        last = present[-1]
        behind, indent = max([last.line, *_continued(lines, last, ini)]), last.indent
        # The indentation as it stands there, so that what follows is read as before.
        above = lines[last.line - 1].lstrip(_BOM)
        return _inserted(lines, behind, above[:indent] + line)
    if "notify" in ini.sections:
        behind = ini.sections["notify"]
        while behind < len(lines) and lines[behind].startswith(("#", ";")):  # what is said of the section
            behind += 1
        return _inserted(lines, behind, line)
    text = "\n".join(lines)
    end = "\r\n" if lines[0].endswith("\r") else "\n"
    if text.strip(_BOM):
        text += end * (1 if text.endswith("\n") else 2)
    return f"{text}[notify]{end}{line}{end}"


def _inserted(lines: list[str], behind: int, line: str) -> str:
    if behind == len(lines):  # that line has no end yet
        end = "\r\n" if len(lines) > 1 and lines[-2].endswith("\r") else "\n"
        return "\n".join(lines) + f"{end}{line}{end}"
    carriage = "\r" * lines[behind - 1].endswith("\r")
    return "\n".join([*lines[:behind], line + carriage, *lines[behind:]])


def _continued(lines: list[str], entry: Entry, ini: IniFile) -> list[int]:
    """The numbers of the lines that continue this entry."""
    if not entry.wrapped:
        return []
    others = {one.line for one in ini.entries} | set(ini.sections.values())
    found = []
    for number in range(entry.line + 1, len(lines) + 1):
        line = lines[number - 1].strip()
        if number in others or line.startswith("["):
            break
        if line and not line.startswith(("#", ";")):
            found.append(number)
    return found


def _parsed(text: str) -> IniFile:
    return IniFile(Path("guard.ini"), text[1:] if text.startswith(_BOM) else text)


def _refuse_side_effects(before: str, after: str, channels: Mapping[str, str]) -> None:
    def others(ini: IniFile) -> list[tuple[str, str, str]]:
        return [(one.section, one.key, one.value) for one in ini.entries
                if one.section != "notify" or one.key not in channels]

    old, new = _parsed(before), _parsed(after)
    ours = {one.key: one.value for one in new.of_section("notify") if one.key in channels and not one.wrapped}
    if others(old) != others(new) or {*old.sections, "notify"} != {*new.sections, "notify"} or ours != dict(channels):
        raise SettingsTextError("guard.ini is too broken to say where a channel belongs in it; mend what "
                                "\"certbot-guard check\" names first")


# -- a new file ----------------------------------------------------------------------------------------------

_HEAD = """\
# What certbot-guard does. "certbot-guard check" says whether all of it is right, "certbot-guard notify test" tries the
# channels. A line that begins with # is a comment: those below show the options, with their defaults or an example.
# This file holds passwords and names what root runs, so it is root's alone, mode 0600.
"""
_ABOUT = {
    "notify": "Who is told. Each line is a channel: a name of yours, =, and the URL of an Apprise service.",
    "server": "How a challenge that needs the web server's port gets it: it passes through, or the server is stopped.",
    "messages": "How often the same is told, and for how long it is tried.",
    "watch": "What \"certbot-guard watch\" looks at.",
    "deploy": "What else uses the certificates and is reloaded with them.",
    "heartbeat": "A dead man's switch that is told of each run.",
    "metrics": "Numbers for Prometheus.",
    "state": "Where is remembered what was told.",
    "certbot": "Where certbot's files are, for commands outside certbot.",
}
_CHANNEL = ("# [channel NAME]", "# What goes to the channel of that name; without it, all but success.")
_EXAMPLES = {"also_reload": "postfix dovecot", "endpoints": "mail.example.com:25 starttls=smtp",
             "url": "https://hc-ping.com/UUID", "textfile": "/var/lib/prometheus/node-exporter/certbot_guard.prom",
             "dir": "/var/lib/certbot-guard", "logs_dir": "/var/log/letsencrypt",
             "events": "failure recovery refused outage expiry lost-guard"}
_MAIL = "email = mailtos://user:password@smtp.example.com?from=guard@example.com&to=ops@example.com"


def fresh(channels: Mapping[str, str], values: Optional[Mapping[str, Mapping[str, str]]] = None) -> str:
    """A new guard.ini: these channels, these values (section, option, text), and a comment for everything else.

    :raises SettingsTextError: a channel, or a value, cannot stand in it.
    """
    given = values or {}
    parts = [_HEAD]
    for section, about in _ABOUT.items():
        lines = [f"[{section}]", f"# {about}"]
        if section == "notify" and not channels:
            lines.append(f"# {_MAIL}")
        lines += [_option(option, given.get(section, {})) for option in options.of_section(section).values()
                  if option.name in given.get(section, {}) or _shown(option)]
        parts.append("\n".join(lines) + "\n")
        if section == "notify":
            parts.append("\n".join([*_CHANNEL, *(_option(option, {}) for option in
                                                 options.of_section("channel").values())]) + "\n")
    return with_channels("\n".join(parts), channels)


def _shown(option: options.Option) -> bool:
    return option.section != "server" or not option.name.endswith("_command") and option.name != "listen"


def _option(option: options.Option, given: Mapping[str, str]) -> str:
    if option.name not in given:
        return f"# {option.name} = {_EXAMPLES.get(option.name, option.shown_default)}"
    text = given[option.name]
    try:
        if has_controls(text) or text != text.strip():
            raise ValueError("it on one line")
        option.parse(text)
    except ValueError as error:
        raise SettingsTextError(f"the value of '{option.name}' in [{option.section}] is not usable; "
                                f"write {error}") from error
    return f"{option.name} = {text}"
