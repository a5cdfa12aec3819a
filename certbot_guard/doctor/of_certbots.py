"""Checks of the certbots on this machine: which there are, how old, and whether the one that renews sees our plugin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Optional

from certbot_guard import installations, text
from certbot_guard.doctor.check import Check, Group, ok, problem, skipped, warning
from certbot_guard.doctor.host import Host
from certbot_guard.doctor.result import Result
from certbot_guard.installations import Installation

OLDEST, NEWEST = (1, 21), 5
_SUPPORTED = "1.21 to 5.x"
# facts of certbot 1.21 to 5.8, measured: an installer that is not there is dropped in silence
_DROPS = ("certbot renew then goes on without the guard, exits with 0, and takes 'installer = guard' out of the "
          "renewal configurations: nothing brings the web server back, and nobody is told.")


def _found(host: Host) -> Iterator[Result]:
    if not host.installations and not host.used:
        yield problem("certbot-found", "no certbot was found", why="Nothing renews the certificates of this machine.",
                      remedy="python3 -m venv /opt/certbot && /opt/certbot/bin/pip install certbot certbot-guard")
        return
    everyone = list(dict.fromkeys([*host.used, *host.installations]))
    yield ok("certbot-found", ", ".join(_shown(one) for one in everyone[:5]))


def _version(host: Host) -> Iterator[Result]:
    for one in host.used:
        version = _numbers(one.version)
        if version is None:
            yield warning("certbot-version", f"which version {_path(one)} is, is not known", why=_sentence(one.problem),
                          remedy=f"see what {_path(one)} --version says")
        elif version < OLDEST:
            yield problem(
                "certbot-version", f"{_path(one)} is certbot {one.version}, which is older than certbot-guard supports",
                why="Before 1.21 a renewal configuration that names the guard makes certbot fail in ways that were not "
                "tested.", remedy=f"use certbot {_SUPPORTED}, such as: python3 -m venv /opt/certbot && "
                "/opt/certbot/bin/pip install certbot certbot-guard")
        elif version[0] > NEWEST:
            yield warning("certbot-version", f"{_path(one)} is certbot {one.version}, newer than any that "
                          "certbot-guard was tested with", why=f"It is tested with {_SUPPORTED}.",
                          remedy="see whether certbot renew --dry-run still works; look for a newer certbot-guard")
        else:
            yield ok("certbot-version", f"{_path(one)} is certbot {one.version}")


def _plugin(host: Host) -> Iterator[Result]:
    starters = {one: job.source for job, one in host.started}
    for one in host.used:
        by = f", which {text.line(starters[one], 160)} starts," if one in starters else ""
        if one.sees_guard:
            yield ok("plugin-visible", f"{_path(one)}{by} sees the plugin")
        elif one.sees_guard is False or not one.program.exists():
            yield problem("plugin-visible", f"{_path(one)}{by} " + (
                "does not see the plugin" if one.program.exists() else "is not there"), why=(
                f"{_sentence(one.problem)} " if one.problem else "") + _DROPS,
                remedy=installations.how_to_install_guard(one))
        else:
            yield warning("plugin-visible", f"whether {_path(one)}{by} sees the plugin is not known",
                          why=_sentence(one.problem), remedy=f"see whether {_path(one)} plugins lists 'guard'")
    named = {job.source for job, _ in host.started}
    for job in host.jobs:
        if job.source not in named and job.active is not False:
            yield warning("plugin-visible", "the certbot that this starts was not found",
                          where=text.line(job.source, 200),
                          line=job.text, remedy="write the whole path of one whose 'certbot plugins' lists 'guard'")


def _one(host: Host) -> Iterator[Result]:
    everyone = list(dict.fromkeys([*host.used, *host.installations]))
    if len(everyone) < 2:
        if everyone:
            yield ok("one-certbot", f"{_path(everyone[0])} is the only one")
        else:
            yield skipped("one-certbot", "there is none")
    elif all(one.sees_guard for one in everyone):
        yield ok("one-certbot", f"there are {len(everyone)}, and each sees the plugin")
    else:
        blind = [one for one in everyone if not one.sees_guard]
        yield warning("one-certbot", f"there are {len(everyone)}: " + ", ".join(_shown(one) for one in everyone[:5]),
                      why=f"Whoever starts {_path(blind[0])}, by hand or by an update, renews without the guard. "
                          "" + _DROPS,
                      remedy=f"remove the one that is not used, or: {installations.how_to_install_guard(blind[0])}")


def _path(one: Installation) -> str:
    return text.line(one.program, 200)


def _shown(one: Installation) -> str:
    return f"{_path(one)} ({one.version or 'version not known'}, {one.kind})"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def _numbers(version: str) -> Optional[tuple[int, int]]:
    match = re.match(r"(\d{1,4})\.(\d{1,4})", version)
    return (int(match[1]), int(match[2])) if match else None


GROUP = Group("certbot", (
    Check("certbot-found", "there is a certbot", "Looks beside this command, on PATH, in /usr/bin, /usr/local/bin, "
          "/snap/bin, /opt/*/bin and root's own .local/bin.", _found),
    Check("certbot-version", "the certbot that renews is a supported one", f"certbot-guard is tested with certbot "
          f"{_SUPPORTED}.", _version),
    Check("plugin-visible", "the certbot that renews sees the plugin", "Asks the Python of each certbot that a timer "
          "or crontab line starts, not just the one this command runs in: a certbot that does not see the plugin "
          "renews without it and exits with 0.", _plugin),
    Check("one-certbot", "there is one certbot, or each sees the plugin", "A second certbot without the plugin undoes "
          "the guard as soon as somebody starts it.", _one),
))
