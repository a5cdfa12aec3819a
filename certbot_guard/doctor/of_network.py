"""Checks of what is reached over the network: channels, dead man's switch, CA. Nothing is sent to anybody."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Optional
from urllib.parse import urlsplit

from certbot_guard import __version__, text, urls
from certbot_guard.doctor import channel_targets, reaching
from certbot_guard.doctor.check import Check, Group, ok, problem, skipped, warning
from certbot_guard.doctor.reaching import PLAIN, TLS, Target
from certbot_guard.doctor.result import Result

if TYPE_CHECKING:
    from certbot_guard.doctor.host import Host

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
_OFFLINE = "not looked at: --offline"
_DIRECTORY_SECONDS = 10.0
_DIRECTORY_BYTES = 64 * 1024
_DIRECTORIES = 5
_AT_ONCE = 16


def _channels(host: Host) -> Iterator[Result]:
    if host.offline:
        yield skipped("channels-reachable", _OFFLINE)
        return
    if not host.config.channels and not host.config.apprise_configs:
        yield skipped("channels-reachable", "there is no channel")
        return
    with urls.silent():
        named = list(channel_targets.of_config(host.config))
    known = [(name, target) for name, target in named if target is not None]
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as threads:
        reasons = list(threads.map(lambda one: reaching.why_not(one[1], host.environment), known))
    failed = [(name, target, reason) for (name, target), reason in zip(known, reasons) if reason]
    for name, target, reason in failed:
        yield problem("channels-reachable", f"the channel '{text.line(name, 60)}' cannot be reached: {target}: "
                                            f"{reason}",
                      where=text.line(host.config.path, 300), why="Messages wait for it until it can be, and nobody is "
                      "told by it.", remedy="see that this host may connect there (name, port, firewall, proxy), then: "
                      "certbot-guard notify test")
    unknown = [name for name, target in named if target is None]
    beside = f"; where these lead is not known: {text.listed(unknown, 5, 60)}" if unknown else ""
    if not failed and known:
        shown = [f"{text.line(name, 60)} ({target})" for name, target in known]
        yield ok("channels-reachable", f"{', '.join(shown[:6])}{' and more' if len(shown) > 6 else ''}{beside}")
    elif not failed:
        yield skipped("channels-reachable", "there is no channel whose address is known" + beside)


def _heartbeat(host: Host) -> Iterator[Result]:
    url = host.config.heartbeat_url
    if not url:
        yield skipped("heartbeat-reachable", "guard.ini names no dead man's switch")
        return
    if host.offline:
        yield skipped("heartbeat-reachable", _OFFLINE)
        return
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    target = Target(parts.hostname or "", parts.port or (443 if secure else 80), TLS if secure else PLAIN)
    reason = reaching.why_not(target, host.environment)
    if reason:
        yield problem("heartbeat-reachable", f"the dead man's switch cannot be reached: {target}: {reason}",
                      why="It raises the alarm although renewals go well.", remedy="see that this host may connect "
                          "there")
    else:
        yield ok("heartbeat-reachable", f"{target}")


def _sender(host: Host) -> Iterator[Result]:
    if not (host.config.channels or host.config.apprise_configs or host.config.heartbeat_url):
        yield skipped("sent-unprivileged", "there is no channel and no dead man's switch")
        return
    try:
        sender = host.sender
    except OSError as error:
        yield warning("sent-unprivileged", f"as whom messages are sent is not known: {text.line(error, 200)}",
                      why="Where no such process can be started, no message is sent.",
                      remedy="certbot-guard notify test")
        return
    if not sender.reason and not sender.root:
        yield ok("sent-unprivileged", f"messages are sent as {text.line(sender.user, 60)}")
        return
    yield warning("sent-unprivileged", f"messages are sent as {text.line(sender.user, 60)}: "
                                       f"{text.line(sender.reason, 300)}",
                  why="What a service answers is read by large libraries. A mistake in one of them would have root's "
                      "rights.",
                  remedy="let everybody read what is named there (an environment below /opt instead of /root, a CA "
                         "bundle with mode 0644); in a container or a unit, allow CAP_SETUID and CAP_SETGID and set no "
                         "SecureBits=")


def ask_directories(host: Host) -> list[tuple[str, str, Optional[datetime]]]:
    """Of each CA's directory that a lineage names: its URL, what is wrong with it, and what time it is there."""
    named = dict.fromkeys(one.server or LETS_ENCRYPT for one in host.lineages if not one.error)
    unverified = {one.server or LETS_ENCRYPT for one in host.lineages
                  if str(one.parameters.get("no_verify_ssl")).lower() == "true"}
    wanted = list(named or {LETS_ENCRYPT: None})[:_DIRECTORIES]
    with ThreadPoolExecutor(max_workers=_DIRECTORIES) as threads:
        return list(threads.map(lambda url: (url, *_ask(url, host.environment, url not in unverified)), wanted))


def _ask(url: str, environment: dict[str, str], verified: bool) -> tuple[str, Optional[datetime]]:
    if urlsplit(url).scheme not in ("https", "http"):
        return "it is no https address", None
    context = reaching.context(reaching.bundle(environment))
    if not verified:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(url, headers={"User-Agent": f"certbot-guard/{__version__}"})
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=_DIRECTORY_SECONDS) as answer:
            when = _date(answer.headers.get("Date"))
            said = json.loads(answer.read(_DIRECTORY_BYTES))
    except urllib.error.HTTPError as error:
        return f"it answers {error.code}", _date(error.headers.get("Date"))
    except urllib.error.URLError as error:
        why = error.reason
        return reaching.reason(why) if isinstance(why, Exception) else text.line(why, 200), None
    except ValueError:
        return "what it answers is no ACME directory", None
    except Exception as error:  # http.client's and ssl's own
        return reaching.reason(error), None
    fine = isinstance(said, dict) and isinstance(said.get("newOrder"), str)
    return "" if fine else "what it answers is no ACME directory", when


def _date(header: Optional[str]) -> Optional[datetime]:
    try:
        when = parsedate_to_datetime(header or "")
    except (TypeError, ValueError, IndexError):
        return None
    return when if when.tzinfo is not None else None


def _acme(host: Host) -> Iterator[Result]:
    if host.offline:
        yield skipped("acme-directory", _OFFLINE)
        return
    for url, reason, _ in host.directories:
        shown = text.line(url, 200)
        if reason:
            yield problem("acme-directory", f"the CA cannot be asked: {shown}: {reason}", why="certbot cannot renew "
                          "what is due.", remedy="see that this host may connect there (name, port, firewall, proxy, "
                          "REQUESTS_CA_BUNDLE); if others cannot either, wait: the CA's status page says more")
        else:
            yield ok("acme-directory", f"{shown} answers")


GROUP = Group("Network", (
    Check("channels-reachable", "every channel can be connected to", "A connection to the host and port of each "
          "channel, with TLS where it is meant; of a mail server also whether it offers STARTTLS. Nothing is sent, "
          "nobody logs in: certbot-guard notify test does. Where a URL does not say where it leads, nothing is "
          "tried.", _channels),
    Check("sent-unprivileged", "who talks to a service is not root", "Messages are sent, and pings made, by processes "
          "that become the user nobody for good, where that is possible. Where it is not, as with an environment below "
          "/root or in a container without CAP_SETUID, they are sent as root, since people have to hear of a failure. "
          "One such process is started and says as whom it would send; it sends nothing.", _sender),
    Check("heartbeat-reachable", "the dead man's switch can be connected to", "A connection, no ping.", _heartbeat),
    Check("acme-directory", "the CA answers", "The directory of each CA that a renewal configuration names, or Let's "
          "Encrypt's.", _acme),
))
