"""What else went wrong in a run, besides what the CA refused: a block of lines for each kind of news. Pure.

Called by :mod:`certbot_guard.report`, in the order of :data:`BLOCKS`.
"""

from __future__ import annotations

from typing import Any, Callable

from certbot_guard import sightings
from certbot_guard.account import Account
from certbot_guard.outages import moment_of, parsed
from certbot_guard.phrases import duration, moment, sentence, span
from certbot_guard.reasoning import (
    REASON_LIMIT,
    advice,
    and_more,
    each_advice,
    masked,
    meaning,
    names_of,
    not_renewed,
    quoted,
    reason,
    why,
)
from certbot_guard.text import line, lines, listed

ERROR_LIMIT = 220
GROUPS = 5


def server_word(found: Account) -> str:
    """What people call it. A server with commands of its own (nginx, haproxy) is not called Apache."""
    server = found.facts.get("server")
    control = server.get("control") if isinstance(server, dict) else None
    return "the web server" if control == "command" else "Apache"


def _refusals(found: Account) -> list[str]:
    said: list[str] = []
    groups: dict[str, list[dict[str, Any]]] = {}
    for event in found.new("refused"):
        groups.setdefault(line(event.get("reason"), REASON_LIMIT), []).append(event)
    for because, events in list(groups.items())[:GROUPS]:
        names = list(dict.fromkeys(str(event.get("lineage")) for event in events))
        said += ([""] if said else []) + [not_renewed(found, names), f"Why: {server_word(found)} could not be stopped safely, so it was not: {because}"]
        said += quoted(events[0].get("detail"), 300, 5) + meaning(found, names)
        said += advice(found, found.diagnose(events[0]), names)
    left_out = [str(event.get("lineage")) for events in list(groups.values())[GROUPS:] for event in events]
    said += [f"Not renewed either, for {len(groups) - GROUPS} other reasons: {listed(left_out, 10)}"] if left_out else []
    for event in found.new("left-running", "stop-failed")[:10]:
        what = "was not stopped" if event["kind"] == "left-running" else "could not be stopped"
        said.append(f"{sentence(server_word(found))} {what} for {line(event.get('lineage'), 120)}:")
        said += reason(event)
    said += and_more(found.new("left-running", "stop-failed"), 10)
    return said + each_advice(found, "left-running", "stop-failed")


def _death(found: Account) -> list[str]:
    if not found.new("died"):
        return []
    event = found.new("died")[-1]
    actor = line(event.get("by"), 80) or "certbot-guard's sentinel"
    at = moment_of(event)
    said = ["certbot died before its end (killed, crashed, or the machine went down)"
            + (f"; noticed at {moment(at)}." if at else ".")]
    later = [other for other in found.all("serving") if other.get("n", 0) > event.get("n", 0)]
    if later:
        said.append(f"{sentence(actor)} took over and started {server_word(found)} again.")
    elif not found.stopped or found.serving:
        said.append(f"{sentence(actor)} took over; {server_word(found)} did not have to be started.")
    else:
        said.append(f"{sentence(actor)} took over and tries to start {server_word(found)}.")
    return said + at_work_on(found) + each_advice(found, "died")


def at_work_on(found: Account) -> list[str]:
    said = []
    for name in found.unfinished():
        said.append(f"It was at work on {line(name, 120)}{names_of(found, name, 5)}, which was not renewed, as far as is "
                    "known.")
        said += meaning(found, [name])
    # It came to none of them, so it is the one that expires first that this can hurt.
    return said or (meaning(found, found.alive()) if not found.all("deployed", "lineage-failed") else [])


def _overdue(found: Account) -> list[str]:
    words = {"gave-up-lineage": "the lineage was given up", "interrupted": "certbot was interrupted",
             "killed": "certbot was killed"}
    said = []
    last = {event.get("window"): event for event in found.new("overdue")}
    for event in last.values():
        name = str(event.get("lineage"))
        said.append(f"max_outage ({duration(event.get('max_outage_seconds'))}) was about to pass with "
                    f"{server_word(found)} stopped for {line(name, 120)}{names_of(found, name, 5)}: "
                    f"{words.get(str(event.get('action')), line(event.get('action'), 60))}.")
        said += meaning(found, [name])
    missed: dict[str, list[str]] = {}
    for event in found.new("not-attempted"):
        missed.setdefault(line(event.get("reason"), REASON_LIMIT), []).extend(
            str(name) for name in event.get("lineages") or ())
    for because, names in missed.items():
        said.append(f"Not attempted: {listed(names, 20)}: {because}.")
        said += meaning(found, names)
    return said + each_advice(found, "overdue", "not-attempted")


def _reloads(found: Account) -> list[str]:
    name, said = server_word(found), []
    for event in found.new("reload-refused", "reload-failed")[:10]:
        verb = "was not reloaded, since it would not have survived" if event["kind"] == "reload-refused" else (
            "could not be reloaded")
        visitors = "" if found.serving is False else ". Visitors see the old certificate until it is reloaded"
        said.append(f"{line(event.get('lineage'), 120)} was renewed, but {name} {verb}{visitors}:")
        said += reason(event) + _until(found, event)
    for event in found.new("not-served")[:10]:
        said.append(f"{line(event.get('lineage'), 120)} was renewed and {name} reloaded, but the old certificate is "
                    f"still served on: {listed(event.get('where') or (), 10)}")
        said += _until(found, event)
    return said + each_advice(found, "reload-refused", "reload-failed", "not-served")


def _until(found: Account, event: dict[str, Any]) -> list[str]:
    """Until when the old certificate, which visitors see, is good."""
    old = [parsed(one.get("not_after")) for one in found.all("lineage") if one.get("lineage") == event.get("lineage")]
    if not old or old[-1] is None:
        return []
    left = (old[-1] - found.now).total_seconds()
    if left <= 0:
        return [f"It means: the old certificate EXPIRED on {moment(old[-1])}; browsers refuse the site."]
    return [f"It means: the old certificate expires on {moment(old[-1])}, in {span(left)}; visitors notice nothing until then."]


def _broken(found: Account) -> list[str]:
    events = found.new("lineage-broken")
    said = []
    for event in events[:5]:
        said.append("Renewal configuration that certbot cannot read, so it renews nothing there: "
                    f"{line(event.get('path') or event.get('lineage') or 'unknown file', 200)}")
        said.append(f"  {line(event.get('error'), REASON_LIMIT)}")
    said += each_advice(found, "lineage-broken")
    return said + ([f"and {len(events) - 5} more: " + listed([
        event.get("path") or event.get("lineage") for event in events[5:]], 10)] if len(events) > 5 else [])


def _fatal(found: Account) -> list[str]:
    said = []
    for event in found.new("fatal")[:3]:
        said.append(f"certbot ended with this error: {line(masked(event.get('error')), ERROR_LIMIT)}")
        said += [f"  | {part}" for text in (event.get("context") or ())[-3:] for part in lines(masked(text), 300, 3)]
    if said and not found.new("died"):
        said += at_work_on(found)
    for event in found.new("fatal")[:1]:
        said += [why(found.diagnose(event)), *advice(found, found.diagnose(event), found.alive())]
    return said


def _hooks(found: Account) -> list[str]:
    said = []
    for event in found.new("hook-failed")[:10]:
        command = line(masked(event.get("command")), 200)
        said.append(f"The {line(event.get('hook'), 60)} failed with exit code {line(event.get('code'), 12)}"
                    + (f": {command}" if command else ""))
        said += quoted(masked("\n".join(found.output_of(event))), 300, 5)
        said += advice(found, found.diagnose(event), [])
    return said + and_more(found.new("hook-failed"), 10)


def renewed_names(found: Account) -> list[str]:
    return list(dict.fromkeys(str(event.get("lineage")) for event in found.all("deployed")))


def _renewed(found: Account) -> list[str]:
    names = renewed_names(found)
    return [f"Renewed in this run: {listed(names, 20)}"] if names else []


BLOCKS: tuple[Callable[[Account], list[str]], ...] = (
    sightings.blocks, _refusals, _death, _overdue, _reloads, _broken, _fatal, _hooks, _renewed)
