"""The words of a message: an :class:`~certbot_guard.account.Account` as lines for a person. Pure.

Order: is the site up, what failed, until when it matters, what else went wrong, where to look; certbot-guard's own
troubles last. What is cut short in the upper part comes again, longer, under "Details".
"""

from __future__ import annotations

import shlex
from datetime import datetime, timezone
from typing import Any, Callable, Optional

from certbot_guard.account import Account, Failure, moment_of, subproblems
from certbot_guard.text import line, lines, listed

ERROR_LIMIT = 330
DETAIL_LIMIT = 6000
GROUPS = 5
REASON_LIMIT = 250


def body(found: Account, identity: str) -> list[str]:
    """Every line of the body, the first one saying whether the site is up."""
    blocks = [_status(found), *map(lambda make: make(found), _BLOCKS), _where_to_look(found, identity),
              _details(found), _own_troubles(found)]
    result: list[str] = []
    for block in blocks:
        result += ([""] if result and block else []) + block
    return result


# -- is the site up ------------------------------------------------------------------------------------------------


def server_word(found: Account) -> str:
    """What people call it. A server with commands of its own (nginx, haproxy) is not called Apache."""
    control = (found.facts.get("server") or {}).get("control")
    return "the web server" if control == "command" else "Apache"


def state(found: Account) -> str:
    """The web server's state in two or three words, for the title."""
    name = server_word(found)
    if found.serving is not None:
        return f"{name} serves" if found.serving else f"{name} is DOWN"
    if not found.stopped:
        return f"{name} was not touched"
    return f"{name} was started again" if all(outage.ended for outage in found.outages) else f"{name} may be DOWN"


def _status(found: Account) -> list[str]:
    name = _sentence(server_word(found))
    first = _sentence(state(found)) + (" again." if found.is_recovery else ".")
    total = sum(outage.seconds for outage in found.outages)
    if found.serving is not False and found.stopped:
        longest = max(outage.seconds for outage in found.outages)
        first += f" In this run it was not serving for {duration(total)}" + (
            f" in all, {len(found.outages)} times, {duration(longest)} at most." if len(found.outages) > 1 else ".")
    elif found.serving:
        first += " It was not stopped in this run."
    elif found.serving is False:
        since = [outage for outage in found.outages if not outage.ended]
        if since:
            at = f"since {moment(since[-1].since)}, " if since[-1].since else ""
            first += f" It has not been serving {at}for {duration(since[-1].seconds)} so far."
        else:
            first += " It was not stopped by this run, or was serving again after it."
    said = [first]
    failed = found.all("start-failed")
    if found.serving is False and found.left_down:
        said += [f"It is left down: {line(event.get('reason'), REASON_LIMIT)}." for event in found.all("left-down")[-1:]]
        said.append("certbot-guard does not start it against that decision.")
    elif failed and (found.serving is False or found.new("start-failed", "serving")):
        verb = "does not start" if found.serving is False else "did not start at first"
        said.append(f"{name} {verb}: {line(failed[-1].get('reason'), REASON_LIMIT)}")
        said += _quoted(failed[-1].get("detail"), 400, 6)
        if found.serving is False:
            said.append("certbot-guard keeps trying to start it, and writes again when it serves.")
    said += [f"It is left down: {line(event.get('reason'), REASON_LIMIT)}." for event in found.new("left-down")
             if found.serving is not False][:1]
    if found.dry_run:
        said.append("This was a dry run: no certificate would have been replaced.")
    return said


# -- what failed ---------------------------------------------------------------------------------------------------


def _failures(found: Account) -> list[str]:
    groups, said = found.failures(), []
    for number, group in enumerate(groups[:GROUPS]):
        said += ([""] if number else []) + _failure(found, group, ERROR_LIMIT if len(groups) == 1 else 200)
    left_out = [name for group in groups[GROUPS:] for name in group.lineages]
    if left_out:
        said += ["", f"Not renewed either, for {len(groups) - GROUPS} other reasons: {listed(left_out, 10)}"]
    return said


def _failure(found: Account, group: Failure, limit: int) -> list[str]:
    if len(group.lineages) == 1:
        said = [f"Not renewed: {line(group.lineages[0], 120)}{_names(found, group.lineages[0], 5)}"]
    else:
        said = [f"Not renewed, all for the same reason: {len(group.lineages)} lineages: {listed(group.lineages, 10)}"]
    said += _expiry(found, group.lineages)
    said += error_lines(group.event, limit, 3)
    if len(group.lineages) > 1:
        said.append(f"  (as it was for {line(group.lineages[0], 120)})")
    return said


def error_lines(event: dict[str, Any], limit: int, most: int) -> list[str]:
    """The exact error: with an ACME problem its type, its detail and what it says of each name."""
    acme = event.get("acme")
    if not isinstance(acme, dict):
        kind = line(event.get("error_type"), 60)
        said = [f"Error: {line(event.get('error'), limit) or '(no text)'}" + (f" [{kind}]" if kind else "")]
        context = [part for text in event.get("context") or () for part in _shown(str(text), limit * 2, most * 4)]
        return said + [f"  | {part}" for part in context[-most * 4:]]
    said = [f"Error: {line(acme.get('type'), 120)}", f"  {line(acme.get('detail'), limit) or '(no detail)'}"]
    inner = subproblems(event)
    for problem in inner[:most]:
        said.append(f"  {line(problem.get('identifier'), 120) or '(no name)'}: {_short_type(problem.get('type'))}: "
                    f"{line(problem.get('detail'), limit // 2)}")
    return said + ([f"  and {len(inner) - most} more names"] if len(inner) > most else [])


def _shown(text: str, limit: int, most: int) -> list[str]:
    """What certbot showed before an error; its hint, which is always the same, only where there is room for it."""
    if len(text) > limit:
        text = text.rpartition("\nHint: ")[0] or text
    return lines(text, limit, most)


def _refusals(found: Account) -> list[str]:
    said = []
    for event in found.new("refused")[:10]:
        name = str(event.get("lineage"))
        said.append(f"Not renewed, since the web server could not be stopped safely: {line(name, 120)}"
                    f"{_names(found, name, 5)}")
        said += _expiry(found, [name])
        said += _reason(event)
    for event in found.new("left-running", "stop-failed")[:10]:
        what = "was not stopped" if event["kind"] == "left-running" else "could not be stopped"
        said.append(f"{_sentence(server_word(found))} {what} for {line(event.get('lineage'), 120)}:")
        said += _reason(event)
    return said + _and_more(found.new("refused", "left-running", "stop-failed"), 20)


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
        said.append(f"{_sentence(actor)} took over and started {server_word(found)} again.")
    elif not found.stopped or found.serving:
        said.append(f"{_sentence(actor)} took over; {server_word(found)} did not have to be started.")
    else:
        said.append(f"{_sentence(actor)} took over and tries to start {server_word(found)}.")
    return said + _at_work_on(found)


def _at_work_on(found: Account) -> list[str]:
    said = []
    for name in found.unfinished():
        said.append(f"It was at work on {line(name, 120)}{_names(found, name, 5)}, which was not renewed, as far as is known.")
        said += _expiry(found, [name])
    return said


def _overdue(found: Account) -> list[str]:
    words = {"gave-up-lineage": "the lineage was given up", "interrupted": "certbot was interrupted",
             "killed": "certbot was killed"}
    said = []
    last = {event.get("window"): event for event in found.new("overdue")}
    for event in last.values():
        name = str(event.get("lineage"))
        said.append(f"max_outage ({duration(event.get('max_outage_seconds'))}) was about to pass with "
                    f"{server_word(found)} stopped for {line(name, 120)}{_names(found, name, 5)}: "
                    f"{words.get(str(event.get('action')), line(event.get('action'), 60))}.")
        said += _expiry(found, [name])
    missed: dict[str, list[str]] = {}
    for event in found.new("not-attempted"):
        missed.setdefault(line(event.get("reason"), REASON_LIMIT), []).extend(
            str(name) for name in event.get("lineages") or ())
    for reason, names in missed.items():
        said.append(f"Not attempted: {listed(names, 20)}: {reason}.")
        said += _expiry(found, names)
    return said


def _reloads(found: Account) -> list[str]:
    name, said = server_word(found), []
    for event in found.new("reload-refused", "reload-failed")[:10]:
        verb = "was not reloaded, since it would not have survived" if event["kind"] == "reload-refused" else (
            "could not be reloaded")
        said.append(f"{line(event.get('lineage'), 120)} was renewed, but {name} {verb}. "
                    "Visitors see the old certificate until it is reloaded:")
        said += _reason(event)
    for event in found.new("not-served")[:10]:
        said.append(f"{line(event.get('lineage'), 120)} was renewed and {name} reloaded, but the old certificate is "
                    f"still served on: {listed(event.get('where') or (), 10)}")
    return said


def _broken(found: Account) -> list[str]:
    events = found.new("lineage-broken")
    said = []
    for event in events[:5]:
        said.append("Renewal configuration that certbot cannot read, so it renews nothing there: "
                    f"{line(event.get('path') or event.get('lineage') or 'unknown file', 200)}")
        said.append(f"  {line(event.get('error'), REASON_LIMIT)}")
    return said + ([f"and {len(events) - 5} more: " + listed([
        event.get("path") or event.get("lineage") for event in events[5:]], 10)] if len(events) > 5 else [])


def _fatal(found: Account) -> list[str]:
    said = []
    for event in found.new("fatal")[:3]:
        said.append(f"certbot ended with this error: {line(event.get('error'), ERROR_LIMIT)}")
        said += [f"  | {part}" for text in (event.get("context") or ())[-3:] for part in lines(text, 300, 3)]
    if said and not found.new("died"):
        said += _at_work_on(found)
    return said


def _hooks(found: Account) -> list[str]:
    said = []
    for event in found.new("hook-failed")[:10]:
        command = line(event.get("command"), 200)
        said.append(f"The {line(event.get('hook'), 60)} failed with exit code {line(event.get('code'), 12)}"
                    + (f": {command}" if command else ""))
        said += _quoted("\n".join(found.output_of(event)), 300, 5)
    return said + _and_more(found.new("hook-failed"), 10)


def _renewed(found: Account) -> list[str]:
    names = list(dict.fromkeys(str(event.get("lineage")) for event in found.all("deployed")))
    return [f"Renewed in this run: {listed(names, 20)}"] if names else []


_BLOCKS: tuple[Callable[[Account], list[str]], ...] = (
    _failures, _refusals, _death, _overdue, _reloads, _broken, _fatal, _hooks, _renewed)


# -- where to look -------------------------------------------------------------------------------------------------


def _where_to_look(found: Account, identity: str) -> list[str]:
    facts = found.facts
    log = facts.get("log_file") or facts.get("logs_dir")
    said = [f"Log: {line(log, 300)} on {line(facts.get('host'), 60)}"] if log else []
    arguments = facts.get("argv")
    if isinstance(arguments, (list, tuple)) and arguments:
        command = shlex.join(str(part) for part in arguments)
        said.append(f"Command: {line(command if command.startswith(('certbot', '/')) else 'certbot ' + command, 300)}")
    if facts.get("server_name"):
        said.append(f"Web server: {line(facts['server_name'], 120)}")
    versions = f"certbot {line(facts.get('certbot_version'), 20)}, certbot-guard {line(facts.get('guard_version'), 20)}"
    said.append(f"Started: {line(facts.get('started'), 40)}; {versions}; id {identity}")
    return said


def _details(found: Account) -> list[str]:
    """What the upper part had to cut, at more length."""
    said: list[str] = []
    groups = found.failures()
    for group in groups[:GROUPS]:
        short = error_lines(group.event, ERROR_LIMIT if len(groups) == 1 else 200, 3)
        long = error_lines(group.event, DETAIL_LIMIT // min(len(groups), GROUPS), 50)
        names = [name for name in found.names(group.lineages[0])] if len(group.lineages) == 1 else []
        if long != short or len(names) > 5 or len(group.lineages) > 10:
            said += [f"{listed(group.lineages, 100)}:"] + ([f"Names: {listed(names, 100)}"] if len(names) > 5 else [])
            said += long
    for event in found.new("refused", "left-running", "stop-failed", "reload-refused", "reload-failed")[:5]:
        if len(str(event.get("detail") or "")) > 300:
            said += [f"{line(event.get('lineage'), 120)}: {line(event.get('reason'), REASON_LIMIT)}"]
            said += _quoted(event.get("detail"), 3000, 30)
    for event in found.new("start-failed")[-1:]:
        if len(str(event.get("detail") or "")) > 400:
            said += [f"What {server_word(found)} said:"] + _quoted(event.get("detail"), 3000, 30)
    return ["Details", *said] if said else []


def _own_troubles(found: Account) -> list[str]:
    said = [f"guard.ini: {line(event.get('text'), 400)}" for event in found.new("config-problem")[:10]]
    said += [f"certbot-guard's own trouble ({line(event.get('where'), 60)}): {line(event.get('error'), 400)}"
             for event in found.new("guard-error")[:10]]
    return said + _and_more(found.new("config-problem", "guard-error"), 20)


# -- the title's parts -----------------------------------------------------------------------------------------------


def headlines(found: Account) -> list[str]:
    """What happened, most important first, each in a few words."""
    said = []
    if found.is_recovery:
        said.append(f"again, after {duration(sum(outage.seconds for outage in found.outages))}")
    if found.new("died"):
        said.append("certbot died")
    if found.not_renewed():
        said.append(f"{listed(found.not_renewed(), 2, 40)} not renewed")
    for kinds, words in (
            (("left-down",), "left down on purpose"), (("overdue",), "max_outage reached"),
            (("start-failed",), "" if found.serving is False else "did not start at first"),
            (("reload-refused", "reload-failed"), "new certificate not loaded"),
            (("not-served",), "old certificate still served"),
            (("lineage-broken",), "renewal configuration not readable"), (("fatal",), "certbot gave up"),
            (("hook-failed",), "a hook failed"), (("left-running", "stop-failed"), "could not be stopped"),
            (("guard-error", "config-problem"), "certbot-guard needs attention")):
        if words and found.new(*kinds):
            said.append(words)
    return said


def shortest_time_left(found: Account) -> str:
    """``12 days left`` of the certificate that expires first among those not renewed, or nothing."""
    soonest = min(found.not_renewed_expiry(), default=None)
    if soonest is None:
        return ""
    seconds = (soonest - found.now).total_seconds()
    return "certificate EXPIRED" if seconds <= 0 else f"{span(seconds)} left"


# -- small words -----------------------------------------------------------------------------------------------------


def _expiry(found: Account, lineages: list[str]) -> list[str]:
    known = sorted((found.expiry[name], name) for name in lineages if name in found.expiry)
    if not known:
        return ["  When the certificate expires is not known."] if len(lineages) == 1 else []
    when, name = known[0]
    seconds = (when - found.now).total_seconds()
    who = "The certificate" if len(lineages) == 1 else f"The first certificate ({line(name, 120)})"
    if seconds <= 0:
        return [f"  {who} EXPIRED on {moment(when)}, {span(-seconds)} ago."]
    return [f"  {who} expires on {moment(when)}, in {span(seconds)}."]


def _names(found: Account, lineage: str, most: int) -> str:
    names = found.names(lineage)
    return f" ({listed(names, most, 80)})" if names and names != [lineage] else ""


def _reason(event: dict[str, Any]) -> list[str]:
    return [f"  {line(event.get('reason'), REASON_LIMIT)}"] + _quoted(event.get("detail"), 300, 5)


def _quoted(value: Any, limit: int, most: int) -> list[str]:
    return [f"  | {part}" for part in lines(value, limit, most)]


def _and_more(events: list, shown: int) -> list[str]:
    return [f"and {len(events) - shown} more"] if len(events) > shown else []


def _short_type(kind: Any) -> str:
    return line(kind, 120).rpartition(":")[2]


def _sentence(words: str) -> str:
    # "certbot-guard's" begins a sentence as it is: it is a name.
    return words if words.startswith("certbot") else words[:1].upper() + words[1:]


def moment(when: Optional[datetime]) -> str:
    return f"{when.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC" if when else "an unknown time"


def duration(value: Any) -> str:
    """Seconds as a person says them: ``1.3 s``, ``95 s``, ``4 min 10 s``, ``3 h 5 min``, ``21 days``."""
    try:
        seconds = max(0.0, float(value))
    except (TypeError, ValueError):
        return "an unknown time"
    if seconds < 10:
        return f"{max(seconds, 0.1):.1f} s" if seconds else "0 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(round(seconds)), 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    return span(seconds)


def span(seconds: float) -> str:
    """Whole days, or whole hours of less than two days: never more than there is."""
    hours = int(seconds // 3600)
    if hours < 48:
        return f"{hours} hour" + ("" if hours == 1 else "s") if hours else "less than an hour"
    return f"{hours // 24} days"
