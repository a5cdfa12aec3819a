"""The words of a message: an :class:`~certbot_guard.account.Account` as lines for a person. Pure.

Order: is the site up, what failed, why, what it means, what to do, when it is tried again, the exact error, what else went
wrong, where to look; certbot-guard's own troubles last. What is cut short in the upper part comes again, longer, under
"Details". How the lines are laid out (labels, quotes, blocks) is what :mod:`certbot_guard.render` reads.
"""

from __future__ import annotations

import shlex

from certbot_guard import sightings
from certbot_guard.account import Account, Failure
from certbot_guard.phrases import duration, moment, sentence, span
from certbot_guard.reasoning import (
    REASON_LIMIT,
    advice,
    and_more,
    each_advice,
    error_lines,
    masked,
    meaning,
    not_renewed,
    quoted,
    seconds_since,
    why,
)
from certbot_guard.text import line, listed
from certbot_guard.troubles import BLOCKS, ERROR_LIMIT, GROUPS, renewed_names, server_word

DETAIL_LIMIT = 6000
ERRORS_OF_A_GROUP = 6


def body(found: Account, identity: str, log_tail: tuple[str, ...] = ()) -> list[str]:
    """Every line of the body, the first one saying whether the site is up."""
    failures, own, words = _failures(found), _own_troubles(found), found.next_attempt.words
    # One for the whole message: the next run is for all of them.
    attempt = _retried(found) + (
        [f"Next attempt: {line(words, 200)}."] if words and found.news and not found.is_recovery else [])
    nothing_else = {event["kind"] for event in found.news} <= {"guard-error", "config-problem"}
    blocks = [_status(found), own if nothing_else else [], _recovered(found), failures + (attempt if failures else []),
              _errors(found), *map(lambda make: make(found), BLOCKS), [] if failures else attempt, _still(found),
              _where_to_look(found, identity), _details(found), _log_tail(log_tail), [] if nothing_else else own]
    result: list[str] = []
    for block in blocks:
        result += ([""] if result and block else []) + block
    return result


# -- is the site up ------------------------------------------------------------------------------------------------


def state(found: Account) -> str:
    """The web server's state in two or three words, for the title."""
    name = server_word(found)
    if found.serving is not None:
        return f"{name} serves" if found.serving else f"{name} is DOWN"
    if found.from_outside:
        return ""
    if not found.stopped:
        return f"{name} was not " + ("stopped" if found.all("proxy-placing", "proxy-placed") else "touched")
    return f"{name} was started again" if all(outage.ended for outage in found.outages) else f"{name} may be DOWN"


def _status(found: Account) -> list[str]:
    name = sentence(server_word(found))
    first = sentence(state(found)) + (" again." if found.is_recovery and found.server_recovered else ".")
    if found.from_outside and not found.stopped:
        return [first if found.serving is not None else "No web server was looked at."]
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
        said += each_advice(found, "left-down")
    elif failed and (found.serving is False or found.new("start-failed", "serving")):
        verb = "does not start" if found.serving is False else "did not start at first"
        said.append(f"{name} {verb}: {line(failed[-1].get('reason'), REASON_LIMIT)}")
        said += quoted(failed[-1].get("detail"), 400, 6)
        if found.serving is False:
            said.append("certbot-guard keeps trying to start it, and writes again when it serves.")
            said += each_advice(found, "start-failed")
    said += [f"It is left down: {line(event.get('reason'), REASON_LIMIT)}." for event in found.new("left-down")
             if found.serving is not False][:1]
    if found.dry_run:
        said.append("This was a dry run: no certificate would have been replaced.")
    return said


# -- what failed ---------------------------------------------------------------------------------------------------


def _recovered(found: Account) -> list[str]:
    over = [one for one in found.recovered
            if not (one.standing.subject.startswith("server") and found.server_recovered)]
    said = []
    for one in over[:GROUPS * 2]:
        standing = one.standing
        said.append(f"Works again: {line(standing.name, 120)}. {line(one.how, 200)}")
        said.append(f"  It had been wrong since {moment(standing.since)} ({duration(seconds_since(found, standing.since))}): "
                    f"{line(standing.words, 300)}")
    if len(over) > GROUPS * 2:
        said.append(f"and {len(over) - GROUPS * 2} more: {listed([one.standing.name for one in over[GROUPS * 2:]], 20)}")
    return said


def _still(found: Account) -> list[str]:
    """What was told before is said again in a line each, so that no message makes it look as if all else were well."""
    said = []
    for standing in found.still[:GROUPS * 2]:
        said.append(f"Still so, as told before: {line(standing.name, 120)}, since {moment(standing.since)}: "
                    f"{line(standing.words, 300)}")
    if len(found.still) > GROUPS * 2:
        more = [standing.name for standing in found.still[GROUPS * 2:]]
        said.append(f"and {len(more)} more: {listed(more, 20)}")
    return said


def _retried(found: Account) -> list[str]:
    """That this was not the first attempt: ``certbot-guard run --retry-for`` kept the news of the others back."""
    return [f"It was tried {int(event['attempts'])} times within {duration(event.get('seconds'))}, each time in vain."
            for event in found.all("retried")[-1:] if isinstance(event.get("attempts"), int)]


def _failures(found: Account) -> list[str]:
    groups, said = found.failures(), []
    for number, group in enumerate(groups[:GROUPS]):
        said += ([""] if number else []) + _failure(found, group)
    left_out = [name for group in groups[GROUPS:] for name in group.lineages]
    if left_out:
        said += ["", f"Not renewed either, for {len(groups) - GROUPS} other reasons: {listed(left_out, 10)}"]
    return said


def _failure(found: Account, group: Failure) -> list[str]:
    return [not_renewed(found, group.lineages), why(group.diagnosis), *meaning(found, group.lineages),
            *advice(found, group.diagnosis, group.lineages)]


def _errors(found: Account) -> list[str]:
    """The exact errors of what failed, one for each cause."""
    groups, said = found.failures()[:GROUPS], []
    for group in groups:
        if len(groups) > 1:
            said.append(f"{line(group.lineages[0], 120)}" + (" and the others" if len(group.lineages) > 1 else "") + ":")
        said += error_lines(group.event, ERROR_LIMIT if len(groups) == 1 else 200, 3, brief=True)
        if len(group.others) > 1:
            said.append(f"  (as it was for {line(group.lineages[0], 120)}; where it reads differently is in the details)")
        elif len(groups) == 1 and len(group.lineages) > 1:
            said.append(f"  (as it was for {line(group.lineages[0], 120)})")
    return said


# -- where to look -------------------------------------------------------------------------------------------------


def _where_to_look(found: Account, identity: str) -> list[str]:
    facts = found.facts
    log = facts.get("log_file") or facts.get("logs_dir")
    said = [f"Log: {line(log, 300)} on {line(facts.get('host'), 60)}"] if log else []
    arguments = facts.get("argv")
    if isinstance(arguments, (list, tuple)) and arguments:
        command = masked(shlex.join(str(part) for part in arguments))
        said.append(f"Command: {line(command if command.startswith(('certbot', '/')) else 'certbot ' + command, 300)}")
    if facts.get("server_name"):
        said.append(f"Web server: {line(facts['server_name'], 120)}")
    said += _why_stopped(found)
    certbot = f"certbot {line(facts.get('certbot_version'), 20)}, " if facts.get("certbot_version") else ""
    versions = f"{certbot}certbot-guard {line(facts.get('guard_version'), 20)}"
    started = line(facts.get("started"), 40).partition(".")
    zone = started[2].lstrip("0123456789")  # what is compared in milliseconds is read in seconds
    said.append(f"Started: {started[0]}{zone}; {versions}; id {identity}")
    return said


def _why_stopped(found: Account) -> list[str]:
    """A sentence, where a challenge might have passed through the server; with mode = proxy it has news of its own."""
    said_elsewhere = {event.get("lineage") for event in found.all("config-problem")}
    stopped = {outage.lineage for outage in found.outages} - said_elsewhere
    reasons = {str(event.get("lineage")): line(event.get("reason"), REASON_LIMIT)
               for event in found.all("not-proxied") if event.get("lineage") in stopped}
    if not reasons or found.serving is False:
        return []
    because = next(iter(reasons.values()))
    names = [name for name, reason in reasons.items() if reason == because]
    more = len(set(reasons.values())) - 1
    others = f" (and {more} other reason{'s' if more > 1 else ''}: certbot-guard history)" if more else ""
    return [f"The challenge of {listed(names, 3, 60)} could not pass through the running web server: {because}{others}"]


def _down_for(found: Account) -> float:
    """This run's outages; or, where an earlier run left it down, since people were told."""
    known = [seconds_since(found, one.standing.since) for one in found.recovered if one.standing.subject.startswith("server")]
    return sum(outage.seconds for outage in found.outages) or max(known, default=0.0)


def _details(found: Account) -> list[str]:
    """What the upper part had to cut, at more length."""
    said: list[str] = []
    groups = found.failures()
    for group in groups[:GROUPS]:
        room = DETAIL_LIMIT // min(len(groups), GROUPS) // min(len(group.others), ERRORS_OF_A_GROUP)
        short = error_lines(group.event, ERROR_LIMIT if len(groups) == 1 else 200, 3, brief=True)
        long = error_lines(group.event, room, 50)
        names = [name for name in found.names(group.lineages[0])] if len(group.lineages) == 1 else []
        if long != short or len(names) > 5 or len(group.lineages) > 10:
            said += [f"{listed(group.lineages, 100)}:"] + ([f"Names: {listed(names, 100)}"] if len(names) > 5 else [])
            said += long
        for other in list(group.others.values())[1:ERRORS_OF_A_GROUP]:
            said += [f"{line(other.get('lineage'), 120)}:", *error_lines(other, room, 20)]
        if len(group.others) > ERRORS_OF_A_GROUP:
            said.append(f"and {len(group.others) - ERRORS_OF_A_GROUP} more of the same cause that read differently")
    for event in found.new("refused", "left-running", "stop-failed", "reload-refused", "reload-failed")[:5]:
        if len(str(event.get("detail") or "")) > 300:
            said += [f"{line(event.get('lineage'), 120)}: {line(event.get('reason'), REASON_LIMIT)}"]
            said += quoted(event.get("detail"), 3000, 30)
    for event in found.new("start-failed")[-1:]:
        if len(str(event.get("detail") or "")) > 400:
            said += [f"What {server_word(found)} said:"] + quoted(event.get("detail"), 3000, 30)
    return ["Details", *said] if said else []


def _log_tail(rows: tuple[str, ...]) -> list[str]:
    return ["The last lines of certbot's log:", *[f"  | {line(row, 500)}" for row in rows]] if rows else []


def _own_troubles(found: Account) -> list[str]:
    said = [f"guard.ini: {line(event.get('text'), 400)}" for event in found.new("config-problem")[:10]]
    said += [f"certbot-guard's own trouble ({line(event.get('where'), 60)}): {line(event.get('error'), 400)}"
             for event in found.new("guard-error")[:10]]
    said += and_more(found.new("config-problem", "guard-error"), 20)
    return said + each_advice(found, "config-problem", "guard-error")


# -- the title's parts -----------------------------------------------------------------------------------------------


def headlines(found: Account) -> list[str]:
    """What happened, most important first, each in a few words."""
    said = []
    if found.is_recovery and found.server_recovered:
        said.append(f"again, after {duration(_down_for(found))}")
    elif found.is_recovery:
        names = [one.standing.name for one in found.recovered]
        longest = max(seconds_since(found, one.standing.since) for one in found.recovered)
        verb = "works again" if len(names) == 1 else "work again"
        said.append(f"{listed(names, 2, 40)} {verb} after {duration(longest)}")
    elif not found.news and renewed_names(found):
        said.append(f"{listed(renewed_names(found), 2, 40)} renewed")
    if found.new("died"):
        said.append("certbot died")
    if found.not_renewed():
        said.append(f"{listed(found.not_renewed(), 2, 40)} not renewed")
    for kinds, words in (
            (("left-down",), "left down on purpose"), (("overdue",), "max_outage reached"),
            (("start-failed",), "" if found.serving is False else "did not start at first"),
            (("reload-refused", "reload-failed"), f"new certificate{_of(found, 'reload-refused', 'reload-failed')} not loaded"),
            (("not-served",), f"old certificate{_of(found, 'not-served')} still served"),
            (("lineage-broken",), "renewal configuration not readable"), (("fatal",), "certbot gave up"),
            (("hook-failed",), "a hook failed"), (("left-running", "stop-failed"), "could not be stopped"),
            (("guard-error", "config-problem"), "certbot-guard needs attention")):
        if words and found.new(*kinds):
            said.append(words)
    return said + sightings.headlines(found)


def _of(found: Account, *kinds: str) -> str:
    names = [str(event.get("lineage")) for event in found.new(*kinds) if event.get("lineage")]
    return f" of {listed(dict.fromkeys(names), 2, 40)}" if names else ""


def shortest_time_left(found: Account) -> str:
    """``12 days left`` of the certificate that expires first among those not renewed, or nothing."""
    known = found.soonest(found.not_renewed() + sightings.lineages(found))
    if known is None:
        return ""
    seconds = -seconds_since(found, known[1].not_after)
    return "certificate EXPIRED" if seconds <= 0 else f"{span(seconds)} left"


# -- small words -----------------------------------------------------------------------------------------------------
