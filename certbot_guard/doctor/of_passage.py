"""The check of challenges that are to pass through the running Apache: which do, which do not, and why not."""

from __future__ import annotations

from collections.abc import Iterator

from certbot_guard import text
from certbot_guard.doctor import passages
from certbot_guard.doctor.check import Check, ok, problem, skipped, some, warning
from certbot_guard.doctor.host import Host, http_port
from certbot_guard.doctor.passages import Way
from certbot_guard.doctor.result import Result
from certbot_guard.errors import ServerError
from certbot_guard.watch.files import Lineage

_ID = "passage"
_NAMES = 5


def _look(host: Host) -> Iterator[Result]:
    guarded = [one for one in host.standalone if one.guarded]
    if not guarded:
        yield skipped(_ID, "no guarded lineage has the authenticator standalone")
        return
    try:
        concerned = _who_need_the_port(host, guarded)
        ways = {one: passages.of_lineage(host, one) for one in concerned}
    except ServerError as error:
        yield skipped(_ID, f"that is not known: {text.line(error, 200)}")
        return
    if not concerned:
        yield skipped(_ID, "no lineage needs a port that the web server has")
        return
    yield from _wrong(host, ways)
    server = text.line(host.server.name, 200)
    passing = [one.name for one in concerned if not ways[one].why_not]
    if passing:
        yield ok(_ID, f"{server} keeps serving while {text.listed(passing, _NAMES)} "
                      f"{'is' if len(passing) == 1 else 'are'} renewed: the challenge is expected to pass through it")
    for why in dict.fromkeys(way.why_not for way in ways.values() if way.chosen and way.why_not != passages.NEITHER):
        names = [one.name for one, way in ways.items() if way.why_not == why]
        yield ok(_ID, f"{server} is stopped for the challenge of {text.listed(names, _NAMES)}: {why}")


def _wrong(host: Host, ways: dict[Lineage, Way]) -> Iterator[Result]:
    server = text.line(host.server.name, 200)
    groups: dict[Way, list[Lineage]] = {}
    for one, way in ways.items():
        if way.why_not == passages.NEITHER:
            yield problem(_ID, f"{server} neither stops for the challenge of {text.line(one.name, 120)} nor lets it "
                          f"pass: {way.why_not}", where=text.line(one.path, 300), why="certbot cannot listen on its "
                          "port, so the renewal fails.", remedy="set mode = auto, or use the authenticator webroot")
        elif way.why_not and not way.chosen:
            groups.setdefault(way, []).append(one)
    yield from some([warning(
        _ID, f"{server} will be stopped for the challenge of {text.listed([one.name for one in lineages], _NAMES)}: "
        f"{text.line(way.why_not, 400)}", where=text.line(lineages[0].path, 300) if len(lineages) == 1 else "",
        why="Visitors get no answer for some seconds at each renewal.",
        remedy=f"{way.remedy}; or, if the stop is meant, set mode = stop") for way, lineages in groups.items()],
        "reasons")


def _who_need_the_port(host: Host, lineages: list[Lineage]) -> list[Lineage]:
    """Those whose challenge needs a port that the server has. Each port is asked for once: all processes are looked at.

    :raises ServerError: that port is somebody else's, or the server is not known
    """
    places = {one: (http_port(one), str(one.parameters.get("http01_address") or "")) for one in lineages}
    claimed = {place: host.server.claims(*place) for place in set(places.values())}
    return [one for one in lineages if claimed[places[one]]]


CHECK = Check(_ID, "which challenges pass through the running Apache, and which have it stopped", "With mode = auto a "
              "standalone challenge passes through the running Apache where that is possible. Looked at without "
              "touching Apache's configuration: the mode, pre hooks, a directory that Apache includes files from, "
              "mod_proxy_http, how it went last time. What a virtual host does with the challenge shows at the "
              "renewal alone: each name is asked for a token then, and Apache is stopped if one does not get it.",
              _look)
