"""Checks of guard.ini: the file, its channels, and what else of this machine it names."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from typing import Optional

from certbot_guard import config as configuration
from certbot_guard import text, textfile
from certbot_guard.doctor.check import Check, Group, ok, problem, skipped
from certbot_guard.doctor.host import Host
from certbot_guard.doctor.result import Result
from certbot_guard.servers import execute
from certbot_guard.servers import units as systemd

_NOBODY = "When a renewal fails nobody is told; the messages wait in the state directory, and go to the system log."


def _file(host: Host) -> Iterator[Result]:
    path = text.line(host.config.path, 300)
    if host.config.missing:
        yield problem("settings", f"there is no {path}", why=_NOBODY, remedy="certbot-guard setup")
        return
    for one in host.config.problems:
        yield problem("settings", text.line(one.text, 600), where=path, remedy="docs/settings.md has every setting")
    if not host.config.problems:
        yield ok("settings", f"{path} can be used as it is")


def _channels(host: Host) -> Iterator[Result]:
    if host.config.missing:
        yield skipped("channels", "there are no settings")
        return
    count = len(host.config.channels) + len(host.config.apprise_configs)
    if not count:
        yield problem("channels", "guard.ini names no channel that can be used", where=text.line(host.config.path, 300),
                      why=_NOBODY, remedy="have certbot-guard setup ask for what is needed, or write a line into its "
                      "section [notify]")
        return
    refused = configuration.check_urls(host.config)
    for one in refused:
        yield problem("channels", text.line(one.text, 600), where=text.line(host.config.path, 300),
                      why="Nothing is sent through it.", remedy="docs/channels.md has what each service's URL looks "
                                                                "like")
    if not refused:
        names = [one.name for one in host.config.channels] + [path.name for path in host.config.apprise_configs]
        yield ok("channels", f"Apprise takes every one: {text.listed(names)}")


def _also_reload(host: Host) -> Iterator[Result]:
    deploy = host.config.deploy
    commands = dict(deploy.commands)
    services = [name for name in deploy.also_reload if name not in commands]
    if not services and not commands:
        yield skipped("also-reload", "guard.ini names no other service to reload")
        return
    bad = [_without_program(name, command) for name, command in commands.items()]
    if services and not host.under_systemd:
        bad += [(name, "there is no systemd here that could reload it", f"a line {name}_command = ... in [deploy]")
                for name in services]
    elif services:
        shown = systemd.show([systemd.full_name(name) for name in services], ["LoadState"])
        bad += [(name, "systemd knows no such unit", "systemctl list-units shows the names that it knows")
                for name, unit in zip(services, shown) if unit.get("LoadState") == "not-found"]
    found = [one for one in bad if one is not None]
    for name, says, remedy in found:
        yield problem("also-reload", f"[deploy] {text.line(name, 100)}: {text.line(says, 200)}",
                      where=text.line(host.config.path, 300), why="It goes on with the old certificate after a "
                                                                  "renewal.",
                      remedy=remedy)
    if not found:
        yield ok("also-reload", f"they are there: {text.listed([*services, *commands])}")


def _without_program(name: str, command: str) -> Optional[tuple[str, str, str]]:
    program = shlex.split(command)[0]
    if shutil.which(program, path=os.pathsep.join(execute.SBIN)):
        return None
    return name, f"there is no program {program} that could be run", f"the whole path of a program in {name}_command"


def _textfile(host: Host) -> Iterator[Result]:
    path = host.config.metrics_textfile
    if path is None:
        yield skipped("metrics-textfile", "guard.ini names no file for the numbers")
        return
    try:
        textfile.refuse_unusable(path)
    except textfile.TextfileError as error:
        yield problem("metrics-textfile", text.line(error, 400), why="Prometheus sees old numbers, or none.",
                      remedy="name a directory that node_exporter reads in [metrics] textfile")
        return
    yield ok("metrics-textfile", f"{text.line(path, 300)} can be written")


GROUP = Group("Settings", (
    Check("settings", "guard.ini can be read, is root's alone, and has no mistake", "Mode, owner, unknown keys and "
          "values: what is wrong in it costs what docs/settings.md says.", _file),
    Check("channels", "there is a channel, and Apprise takes the URL of each", "A URL that Apprise does not take sends "
          "nothing. Nothing is sent by this look.", _channels),
    Check("also-reload", "the other services that are reloaded after a renewal are there", "The units of [deploy] "
          "also_reload and the programs of its commands.", _also_reload),
    Check("metrics-textfile", "the file for Prometheus can be written", "[metrics] textfile.", _textfile),
))
