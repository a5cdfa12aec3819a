"""Checks of the web server: found, configuration and certificates fine, serving; and of the challenge's port."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from certbot_guard import text
from certbot_guard.doctor import of_passage, passages, webroots
from certbot_guard.doctor.check import Check, Group, ok, problem, skipped, some, warning
from certbot_guard.doctor.host import Host, http_port
from certbot_guard.doctor.result import Result
from certbot_guard.errors import ForeignOwnerError, PairError, ServerError
from certbot_guard.servers import processes
from certbot_guard.watch.files import Lineage

_NO_SERVER = "no web server that could be controlled was found"
_NOT_STOPPED = "It is not stopped for a challenge then, since it would not come back; the lineages that need that fail."


def _control(host: Host) -> Iterator[Result]:
    try:
        yield ok("server-control", text.line(host.server.name, 200))
    except ServerError as error:
        nothing_is_named = host.config.server_usable and host.config.server.control.strip() == "auto"
        if nothing_is_named and host.config.watch.served == "no":
            yield skipped("server-control", "there is none, and [watch] served = no says so")
            return
        report = warning if nothing_is_named else problem
        yield report("server-control", text.line(error, 400), where=text.line(host.config.path, 300),
                     why="No web server is stopped, started or reloaded.", remedy="where there is one, name it in "
                     "guard.ini: [server] control = ...; where there is none, write [watch] served = no")


def _configuration(host: Host) -> Iterator[Result]:
    if not _is_known(host):
        yield skipped("server-configuration", _NO_SERVER)
        return
    error = host.server_check
    if error is None or isinstance(error, PairError):
        yield ok("server-configuration", "its own configuration test passes")
    else:
        yield problem("server-configuration", text.line(error, 300), why=f"{_detail(error)}{_NOT_STOPPED}",
                      remedy="mend what it says; apachectl configtest says it again")


def _certificates(host: Host) -> Iterator[Result]:
    if not _is_known(host):
        yield skipped("server-certificates", _NO_SERVER)
        return
    error = host.server_check
    if isinstance(error, PairError):
        yield problem("server-certificates", text.line(error, 400), why=f"{_detail(error)}Its own test passes, but it "
                      f"does not start with this, and dies of it when it is reloaded. {_NOT_STOPPED}",
                      remedy="name the two files of one lineage there: fullchain.pem and privkey.pem in its live/ "
                             "directory")
    elif error is not None:
        yield skipped("server-certificates", "its configuration has to be mended first")
    else:
        yield ok("server-certificates", "each certificate that it loads can be read and fits its key")


def _serving(host: Host) -> Iterator[Result]:
    if not _is_known(host):
        yield skipped("server-serving", _NO_SERVER)
    elif host.snapshot["serving"]:
        places = [f"[{one['address']}]:{one['port']}" if ":" in str(one["address"])
                  else f"{one['address']}:{one['port']}" for one in host.snapshot.get("sockets") or []]
        yield ok("server-serving", f"{text.line(host.server.name, 200)} serves" + (
            f" on {text.listed(places, 6)}" if places else ""))
    else:
        yield problem("server-serving", f"{text.line(host.server.name, 200)} does not serve",
                      why="Visitors get no answer. A server that was down before a renewal is left down by it.",
                      remedy="if a renewal left it so: certbot-guard recover; else start it, and see what it says")


def _port(host: Host) -> Iterator[Result]:
    if not host.standalone:
        yield skipped("challenge-port", "no lineage has the authenticator standalone, so none needs a port of its own")
        return
    for port in host.listening:
        yield _of_port(host, port, [one for one in host.standalone if http_port(one) == port])


def _of_port(host: Host, port: int, lineages: list[Lineage]) -> Result:
    for_whom = f"{len(lineages)} lineage{'s' if len(lineages) > 1 else ''} with the authenticator standalone"
    addresses = dict.fromkeys(str(one.parameters.get("http01_address") or "") for one in lineages)
    try:
        if _is_known(host):
            if any([host.server.claims(port, address) for address in addresses]):
                bare = [one for one in lineages if not one.guarded and not _has_hooks(one)]
                if bare:
                    return problem("challenge-port", f"port {port} is {text.line(host.server.name, 200)}'s, and "
                                   f"nothing stops it for {text.listed([one.name for one in bare])}", why="certbot "
                                   "cannot listen there, so their renewal fails.", remedy=webroots.adopt(bare))
                return ok("challenge-port", f"port {port} is {text.line(host.server.name, 200)}'s, which makes way "
                          f"for the challenges of {for_whom}")
        elif host.listening[port]:
            owner = processes.describe(min(host.listening[port]))
            raise ForeignOwnerError(f"port {port} belongs to {owner}, and {_NO_SERVER}", port, owner)
    except ForeignOwnerError as error:
        return problem("challenge-port", text.line(error, 300), why=f"certbot cannot listen there, and certbot-guard "
                       f"does not stop what it does not know, so the renewal of {for_whom} fails.",
                       remedy="use the authenticator webroot for them; or name that server in guard.ini: [server] "
                              "control = ")
    return ok("challenge-port", f"port {port} is free, for {for_whom}")


def _has_hooks(lineage: Lineage) -> bool:
    return bool(lineage.parameters.get("pre_hook"))


def _avoidable(host: Host) -> Iterator[Result]:
    if not host.standalone or not _is_known(host):
        yield skipped("standalone-avoidable", "no lineage has the authenticator standalone" if not host.standalone
                      else _NO_SERVER)
        return
    stopped_for = [one for one in host.standalone if not _passes(host, one)]
    if not stopped_for:
        yield ok("standalone-avoidable", "each challenge is expected to pass through the running web server")
        return
    roots = webroots.Webroots.of_server(host.server)
    found = [(one, roots.of_lineage(one, http_port(one))) for one in stopped_for]
    able = [(one, directories) for one, directories in found if directories]
    yield from some([warning(
        "standalone-avoidable", f"{text.line(one.name, 120)} could be renewed without stopping "
        f"{text.line(host.server.name, 200)}", where=text.line(one.path, 300),
        why=f"Its names are served from {text.listed(dict.fromkeys(directories.values()), 3, 200)}, where certbot's "
        "authenticator webroot can put the challenge. If that does not work the command changes nothing.",
        remedy="once, by hand:", instead=webroots.command(one, directories, _version(host)))
        for one, directories in able],
        "lineages")
    if not able:
        yield ok("standalone-avoidable", "no lineage with the authenticator standalone could surely do without it")


def _passes(host: Host, lineage: Lineage) -> bool:
    """Is its challenge expected to pass through the running server, now or once it is guarded?"""
    try:
        return not passages.of_lineage(host, lineage).why_not
    except ServerError:
        return False


def _version(host: Host) -> tuple[str, str]:
    """The program to write, and its version."""
    one = host.used[0] if host.used else None
    return (shlex.quote(text.line(one.program, 300)), one.version) if one else ("certbot", "")


def _is_known(host: Host) -> bool:
    try:
        return host.server is not None
    except ServerError:
        return False


def _detail(error: ServerError) -> str:
    return f"It says: {text.line(error.detail, 600)}. " if error.detail else ""


GROUP = Group("Web server", (
    Check("server-control", "the web server can be controlled", "The one that guard.ini means is found: by systemd, by "
          "apachectl, or by commands of your own.", _control),
    Check("server-configuration", "its configuration test passes", "A server whose test fails is not stopped, since it "
          "would not start again.", _configuration),
    Check("server-certificates", "the certificates that it loads fit their keys", "Apache's own test passes with a "
          "pair that does not fit; its start fails, and a reload ends it.", _certificates),
    Check("server-serving", "it serves", "Its listening sockets, and whether they answer.", _serving),
    Check("challenge-port", "who has the port of the challenge is known", "certbot's authenticator standalone listens "
          "on port 80 (http01_port): only our web server may be there, or nobody.", _port),
    of_passage.CHECK,
    Check("standalone-avoidable", "no lineage has the web server stopped where webroot would do", "Of lineages whose "
          "challenge cannot pass through the running server (passage): where Apache serves every name of one from a "
          "directory, and nothing in its virtual hosts is in the way, webroot renews without any stop.", _avoidable),
))
