"""Every option of guard.ini, defined once: its section, form, default and documentation."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any, Callable
from urllib.parse import urlsplit

from certbot_guard.endpoints import Endpoint, endpoint
from certbot_guard.inifile import close

EVENTS = ("failure", "recovery", "success", "refused", "outage", "expiry", "lost-guard")
SEVERITIES = ("info", "warning", "critical")
# Words that a shell acts on; without one they would be passed to the program.
_SHELL_ONLY = frozenset({"&&", "||", "|", "&", ";", ">", ">>", "<", "2>", "2>&1", ">/dev/null"})
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> float:
    """Seconds of ``5m``, ``90s``, ``1h30m`` or a plain number of seconds. :raises ValueError: neither."""
    compact = text.replace(" ", "")
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", compact):
        return float(compact)
    if not re.fullmatch(r"([0-9]{1,9}[smhd])+", compact):
        raise ValueError("a time such as 5m, 90s or 1h30m")
    return float(sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([smhd])", compact)))


def positive_duration(text: str) -> float:
    seconds = duration(text)
    if seconds <= 0:
        raise ValueError("a time longer than 0, such as 5m")
    return seconds


def kept_for(text: str) -> float:
    seconds = duration(text)
    if not 0 < seconds <= 30 * 86400:
        raise ValueError("a time of at most 30d, such as 7d")
    return seconds


def _meant(text: str, choices: tuple[str, ...]) -> str:
    near = close(text, choices)
    return f"; did you mean '{near}'?" if near else ""


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError("one of " + ", ".join(choices) + _meant(text, choices))
        return text
    return parse


def control(text: str) -> str:
    # Strict, since it is quoted where it is not found: an Apprise URL that slipped in never gets there.
    if "://" in text or not re.fullmatch(r"systemd:\s*[\w@:.\\-]+|\w[\w.+-]*|/[^?&#=\x00-\x1f]*", text):
        raise ValueError("auto, command, systemd:UNIT, or the name or path of a program such as apachectl")
    return text


def command_line(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError("a command line with balanced quotes") from error
    if not words:
        raise ValueError("a command line")
    # It is run from /, so a relative path would name something else than its author saw.
    if not re.fullmatch(r"/.+|[^/=-][^/=]*", words[0]):
        raise ValueError("a command whose program is a name or an absolute path")
    if any(word in _SHELL_ONLY or word.endswith(";") for word in words):
        raise ValueError("a command that needs no shell, or put it into: /bin/sh -c '...'")
    return text


def ports(text: str) -> tuple[int, ...]:
    found = text.replace(",", " ").split()
    if not found or not all(re.fullmatch("[0-9]{1,5}", word) and 0 < int(word) < 65536 for word in found):
        raise ValueError("port numbers, such as 80 443")
    return tuple(int(word) for word in found)


def words_of(*choices: str) -> Callable[[str], frozenset[str]]:
    def parse(text: str) -> frozenset[str]:
        found = text.replace(",", " ").split()
        unknown = [word for word in found if word not in choices]
        if not found or unknown:
            raise ValueError("one or more of " + " ".join(choices) + _meant("".join(unknown[:1]), choices))
        return frozenset(found)
    return parse


def number_of_lines(text: str) -> int:
    if not re.fullmatch("[0-9]{1,3}", text) or int(text) > 200:
        raise ValueError("a number of lines from 0 to 200")
    return int(text)


def absolute_path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("an absolute path")
    return text


def absolute_paths(text: str) -> tuple[str, ...]:
    """Several, separated by spaces; a path with a space in it stands in quotes."""
    try:
        found = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError("absolute paths with balanced quotes") from error
    if not found or not all(path.startswith("/") for path in found):
        raise ValueError("one or more absolute paths")
    return found


def endpoints(text: str) -> tuple[Endpoint, ...]:
    return tuple(endpoint(part) for part in text.split(",") if part.strip())


def unit_names(text: str) -> tuple[str, ...]:
    found = tuple(text.replace(",", " ").split())
    if not found or not all(re.fullmatch(r"[A-Za-z0-9][\w@:.\\-]{0,200}", word) for word in found):
        raise ValueError("names of services, such as postfix dovecot")
    return found


def http_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        if parts.scheme in ("http", "https") and parts.hostname and not any(letter.isspace() for letter in text):
            parts.port  # noqa: B018 - raises where it is no number
            return text
    except ValueError:
        pass
    raise ValueError("a URL such as https://hc-ping.com/UUID")


@dataclass(frozen=True)
class Option:
    """One option. ``parse`` makes its value from the text, or raises a ValueError that says what to write."""

    section: str
    name: str
    parse: Callable[[str], Any]
    default: Any
    shown_default: str
    help: str


OPTIONS = (
    Option("server", "control", control, "auto", "auto",
           "How the web server is controlled: `auto` (its systemd unit, else apache2ctl, apachectl or "
           "httpd), `systemd:UNIT`, the name or path of a program like apachectl, `command`, or the name of a "
           "controller that another package provides."),
    Option("server", "mode", one_of("auto", "proxy", "stop", "reload"), "auto", "auto",
           "What becomes of a challenge that needs the server's port (`standalone`). `auto`: it passes through the "
           "running Apache, which is reloaded for it and stopped only where that does not work; `proxy`: the same, and "
           "people are told where it does not work; `stop`: the server is stopped for it, and for every lineage whose "
           "challenge does not go through it by itself; `reload`: the server is never stopped, and no challenge "
           "passes through."),
    Option("server", "max_outage", positive_duration, 300.0, "5m",
           "The longest time the server may be stopped."),
    Option("server", "drain", duration, 2.0, "2s",
           "How long requests in flight at the stop may still take once the port is free again, where a "
           "start has to wait for them (systemd); then they are cut."),
    Option("server", "start", one_of("as-found", "always"), "as-found", "as-found",
           "`as-found` starts only what was serving before; `always` also starts a server found down."),
    Option("server", "start_command", command_line, None, "", "With `control = command`: starts the server."),
    Option("server", "stop_command", command_line, None, "", "With `control = command`: stops the server."),
    Option("server", "reload_command", command_line, None, "",
           "With `control = command`: reloads the server."),
    Option("server", "test_command", command_line, None, "",
           "With `control = command`, and with `systemd:UNIT` where the unit is no Apache: tests its configuration."),
    Option("server", "listen", ports, (), "", "With `control = command`: the ports the server listens on."),
    Option("channel", "events", words_of(*EVENTS), frozenset(EVENTS) - {"success"}, "all but success",
           "Which events go to this channel: " + ", ".join(f"`{event}`" for event in EVENTS) + "."),
    Option("channel", "min_severity", one_of(*SEVERITIES), "info", "info",
           "The least severity that goes to this channel."),
    Option("messages", "remind_every", positive_duration, 86400.0, "24h",
           "How long the same trouble of the same lineage is not told again, unless it becomes graver or its cause "
           "changes."),
    Option("messages", "keep_undelivered", kept_for, 604800.0, "7d",
           "How long a message that a channel did not take is kept and tried again."),
    Option("messages", "log_lines", number_of_lines, 0, "0",
           "How many of the last lines of certbot's log stand at the end of a message; keys and tokens in them are "
           "masked."),
    Option("watch", "stale_after", positive_duration, 259200.0, "3d",
           "How long certbot may not have run before people are told; where its timer or crontab runs it more seldom, "
           "two of those periods."),
    Option("watch", "endpoints", endpoints, (), "",
           "Other services that show a certificate, separated by commas: `HOST:PORT`, each with `starttls=smtp` (or "
           "`imap`, `pop3`, `lmtp`, `sieve`, `ftp`, `postgres`, `ldap`) and `name=NAME` where it needs them."),
    Option("watch", "served", one_of("yes", "no"), "yes", "yes",
           "Whether the certificates that the web server shows are looked at."),
    Option("deploy", "also_reload", unit_names, (), "",
           "systemd units that use the same certificates and are reloaded, too, once a lineage was deployed: `postfix "
           "dovecot`. `NAME_command = ...` in this section names a command for one of them, or for another service."),
    Option("heartbeat", "url", http_url, None, "",
           "Where a dead man's switch that follows Healthchecks' protocol is told of each run and each watch."),
    Option("metrics", "textfile", absolute_path, None, "",
           "Where the numbers are written for node_exporter's textfile collector, such as "
           "`/var/lib/prometheus/node-exporter/certbot_guard.prom`."),
    Option("state", "dir", absolute_path, None, "/var/lib/certbot-guard and /run/certbot-guard",
           "Where the state is kept."),
    Option("certbot", "config_dir", absolute_paths, (), "/etc/letsencrypt",
           "certbot's configuration directories that commands outside certbot look at."),
    Option("certbot", "logs_dir", absolute_path, None, "as in certbot's cli.ini, else /var/log/letsencrypt",
           "Where certbot has its logs, for commands outside certbot."),
)


def of_section(section: str) -> dict[str, Option]:
    return {option.name: option for option in OPTIONS if option.section == section}


def reference() -> str:
    """Every option as Markdown tables, for the documentation."""
    lines = []
    for section in dict.fromkeys(option.section for option in OPTIONS):
        title = "[channel NAME]" if section == "channel" else f"[{section}]"
        lines += [f"### {title}", "", "| option | default | meaning |", "|---|---|---|"]
        lines += [f"| `{option.name}` | {option.shown_default or '-'} | {option.help} |"
                  for option in OPTIONS if option.section == section]
        lines.append("")
    return "\n".join(lines)
