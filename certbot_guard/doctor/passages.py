"""Whether the challenge of a standalone lineage is expected to pass through the running Apache, and why not.

What :mod:`certbot_guard.proxied` will ask before a renewal, as far as it can be seen without touching Apache's
configuration: whether each name gets its token through the virtual hosts is seen only then. Changes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from certbot_guard import plainfile, precedent, statedir, text
from certbot_guard.errors import ServerError
from certbot_guard.outages import parsed
from certbot_guard.proxying import loopback, modules, ourfile, placement, placing, snippet
from certbot_guard.run import Run

if TYPE_CHECKING:
    from certbot_guard.doctor.host import Host
    from certbot_guard.watch.files import Lineage

_PRE_HOOK = re.compile(r"^[ \t]*pre[-_]hook[ \t]*[=: \t]", re.MULTILINE)
# The server is not stopped for it, and does not let it pass.
NEITHER = "mode = reload"
_ANY_PORT, _ANY_PROCESS = 600, 1
_LIMIT_BYTES = 1024 * 1024
# passage.py, proxying/placing.py and selfcheck.py
_SEEN_IN_A_RUN_ALONE = ("a token did not come through", "Apache did not load", "Apache does not accept the file",
                        "Apache answers HTTP nowhere")


@dataclass(frozen=True)
class Way:
    """:ivar why_not: why the server is stopped for it; nothing: its challenge is expected to pass through
    :ivar chosen: somebody wants it so, or this server can do no other, so there is nothing to mend
    :ivar remedy: what to do, a sentence or a command
    """

    why_not: str = ""
    chosen: bool = False
    remedy: str = ""


def of_server(host: Host) -> Way:
    """What keeps every challenge from passing through this server.

    :raises ServerError: it cannot be asked just now, or its configuration has to be mended first
    """
    instance = getattr(host.server, "instance", None)
    if instance is None:
        return Way("only an Apache can let it pass", chosen=True)
    if host.server_check is not None:
        raise host.server_check
    configuration = instance.configuration()
    try:
        placing.refuse_old(instance)
    except ServerError as error:
        return Way(str(error), remedy="update Apache")
    try:
        path = placement.path(configuration)
        if os.path.lexists(path) and not ourfile.is_ours(path):
            return Way(f"{text.line(path, 300)} is there already, and certbot-guard did not write it",
                       remedy="rename that file")
    except ServerError as error:
        return Way(str(error), remedy="let Apache include a directory of root's for the whole server, outside of any "
                                      "virtual host: IncludeOptional conf.d/*.conf")
    try:
        modules.missing(instance.dump, configuration)
    except ServerError as error:
        return Way(str(error), remedy="load mod_proxy and mod_proxy_http in Apache's own configuration (on Debian: "
                                      "a2enmod proxy_http, and a restart)")
    try:
        if os.geteuid() == 0:  # nobody else may listen there
            loopback.free_port()
    except ServerError as error:
        return Way(str(error), remedy="sysctl net.ipv4.ip_unprivileged_port_start=1024, and in /etc/sysctl.d")
    return Way()


def of_lineage(host: Host, one: Lineage) -> Way:
    """:raises ServerError: it is not known: the server cannot be asked"""
    mode, hook = mode_of(host, one), _pre_hook(host, one)
    if mode == "reload":
        return Way("mode = reload, and its own pre hook" if hook else NEITHER, chosen=True)
    if mode == "stop":
        return Way("mode = stop", chosen=True)
    try:
        snippet.text(_ANY_PORT, _ANY_PROCESS, one.names)
    except ServerError as error:
        return Way(str(error), remedy="use an authenticator for DNS, or look at the names in that file")
    if hook:
        return Way(f"it has a pre hook ({hook}), which may stop the web server", remedy="take the hook out if it only "
                   "stops the web server; in a renewal configuration certbot-guard adopt does it")
    if host.passage_of_server.why_not:
        return host.passage_of_server
    return _as_it_was(host, one)


def mode_of(host: Host, one: Lineage) -> str:
    return str(one.parameters.get("guard_mode") or host.config.server.mode)


def runs(host: Host) -> list[Run]:
    """Those that are kept. Only reads."""
    return precedent.past(statedir.every_directory(host.config.state_dir))


def _as_it_was(host: Host, one: Lineage) -> Way:
    """By what became of it last time."""
    config_dir = str(one.path.parent.parent)
    why_not = precedent.against(host.runs, config_dir, one.name, host.now())
    if why_not:
        return Way(why_not, remedy="see why the CA got another answer than this machine: certbot-guard explain")
    last = _last_try(host.runs, config_dir, one.name)
    # What can be seen now was looked at above, and may be mended since.
    if last is None or last["kind"] == "proxy-placed" or not str(last.get("reason")).startswith(_SEEN_IN_A_RUN_ALONE):
        return Way()
    when = parsed(last.get("at"))
    return Way(f"its last one could not{f' ({when:%Y-%m-%d})' if when else ''}: {text.line(last.get('reason'), 300)}",
               remedy="mend that, then try it: certbot renew --dry-run --cert-name " + text.line(one.name, 120))


def _last_try(kept: Sequence[Run], config_dir: str, name: str) -> Optional[dict[str, Any]]:
    for run in reversed(kept):
        if run.facts.get("config_dir") == config_dir:
            tries = [event for event in run.events() if event["kind"] in ("proxy-placed", "not-proxied")
                     and event.get("lineage") == name]
            if tries:
                return tries[-1]
    return None


def _pre_hook(host: Host, one: Lineage) -> str:
    """Where one is; nothing where there is none to be seen."""
    # adopt offers to take out one that only stops the web server; of any other this speaks once there is the guard.
    if one.guarded and one.parameters.get("pre_hook"):
        return "in its renewal configuration"
    config_dir = one.path.parent.parent
    directory = config_dir / "renewal-hooks" / "pre"
    try:
        if os.listdir(directory):
            return f"in {text.line(directory, 200)}"
    except OSError:
        pass
    if _PRE_HOOK.search(_content(config_dir / "cli.ini")):
        return f"in {text.line(config_dir / 'cli.ini', 200)}"
    saying = [job for job in host.jobs if "--pre-hook" in job.command]
    return f"in {text.line(saying[0].source, 200)}" if saying else ""


def _content(path: Path) -> str:
    try:
        return plainfile.read(path, _LIMIT_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
