"""The page as a whole: what is to be seen at once, what is wrong, and the sections. Pure."""

from __future__ import annotations

from certbot_guard import __version__, schedule, stakes
from certbot_guard.overview import drawing, wording
from certbot_guard.overview.gathering import Overview
from certbot_guard.overview.openruns import OpenRun
from certbot_guard.overview.troubles import Trouble
from certbot_guard.pages import days, lineages, style
from certbot_guard.pages.markup import Child, Markup, join, outside, table, tag
from certbot_guard.phrases import moment, sentence

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_WORDS = {"critical": "Critical", "warning": "Warning", "info": "Note"}
# What is wrong at once; the others are behind one line.
_FIRST = 12


def render(found: Overview) -> str:
    """The page, whole."""
    host = outside(found.host, 120)
    head = tag("head", tag("meta", charset="utf-8"), tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
               tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("meta", name="referrer", content="no-referrer"), tag("meta", name="robots", content="noindex"),
               tag("meta", name="color-scheme", content="light dark"), tag("title", f"Certificates of {host}"),
               tag("style", Markup(style.sheet())))
    main = tag("main", _facts(found), _findings(found), lineages.section(found), days.section(found), _channels(found),
               _unknown(found))
    foot = tag("footer", tag("p", f"Made by certbot-guard {__version__} at {moment(found.at)}, from "
                             f"{outside(found.settings, 200)}. This page names hosts: it is for those who may know "
                             "them."))
    return "<!DOCTYPE html>\n" + tag("html", head, tag("body", _top(found, host), main, foot), lang="en") + "\n"


def _top(found: Overview, host: str) -> Markup:
    severities = [one.severity for one in found.troubles] + [
        one.severity(found.look.server.serving) for one in found.open_runs if one.is_trouble]
    grave = stakes.gravest(severities) if severities else ""
    if not found.wrong:
        state, symbol, words = "ok", "✓", "Nothing is wrong"
    else:
        count = len(found.wrong)
        state = "critical" if grave == "critical" else "warning"
        symbol, words = "!", "One thing is wrong" if count == 1 else f"{count:,} things are wrong"
    return tag("header", tag("p", f"Certificates and renewals, {moment(found.at)}", class_="eyebrow"), tag("h1", host),
               tag("p", _mark(symbol), tag("span", words, class_="word"), class_=f"state {state}"))


def _mark(symbol: str) -> Markup:
    return tag("span", symbol, class_="mark", aria_hidden="true")


def _facts(found: Overview) -> Markup:
    guarded = sum(row.guarded == "yes" for row in found.rows)
    ends = [row for row in found.rows if row.not_after is not None]
    first = min(ends, key=lambda row: row.not_after or found.at, default=None)
    server, attempt = found.look.server, found.attempt
    states = {True: "serves", False: "does not serve", None: "not known"}
    serving = "stopped for a challenge" if found.stopped_by else states[server.serving]
    soon = "none found" if attempt is None else "not known when" if attempt.when is None else moment(attempt.when)
    after = outside(attempt.source, 100) if attempt is not None else "no timer, no crontab line"
    return tag("dl", *[tag("div", tag("dt", label), tag("dd", words), tag("dd", less) if less else None)
                       for label, words, less in (
        ("Certificates", f"{len(found.rows):,}", f"{guarded:,} guarded"),
        ("Expires first", wording.left(first, found.at) if first is not None else "not known",
         outside(first.lineage.name, 80) if first is not None else ""),
        ("Web server", serving, outside(server.name, 100) or "see the end of this page"),
        ("Next attempt", soon, after))], class_="facts")


def _findings(found: Overview) -> Markup:
    runs = [(one.severity(found.look.server.serving), one) for one in found.open_runs if one.is_trouble]
    left = {grave: [_run(one, found, grave) for of_it, one in runs if of_it == grave]
            for grave in ("critical", "warning")}
    rows: list[Child] = [*left["critical"], *(_finding(one) for one in found.troubles)]
    for one in found.waits:
        rows.append(_plain("warning", f"Not delivered to {outside(one.channel, 80)}", drawing.waits(one),
                           "certbot-guard outbox flush tries now; certbot-guard notify test tells what is wrong with a "
                           "channel."))
    rows += left["warning"]
    if not rows:
        words = "Nothing stands wrong." if found.state_readable else "What stands is not known."
        return tag("section", tag("h2", "Findings"), tag("p", words, class_="less"), aria_label="Findings")
    shown: list[Child] = [tag("ul", *rows[:_FIRST], class_="findings")]
    if rows[_FIRST:]:
        shown.append(tag("details", tag("summary", f"{len(rows) - _FIRST:,} more"),
                         tag("ul", *rows[_FIRST:], class_="findings")))
    return tag("section", tag("h2", "Findings"), *shown, aria_label="Findings")


def _run(one: OpenRun, found: Overview, severity: str) -> Markup:
    words = sentence(drawing.open_run(one, found.look.server.serving))
    return _plain(severity, f"Run {outside(one.id, 60)}", f"{words}.", drawing.open_run_advice(one))


def _finding(one: Trouble) -> Markup:
    since = f"since {moment(one.since)}" if one.since else "found just now"
    told = wording.heard(one)
    return _plain(one.severity, outside(one.name, 120), outside(one.words, 400), one.advice,
                  f"{_WORDS.get(one.severity, 'Note')}, {since}. "
                  + (f"Told: {told}." if told else "Nobody was told yet."))


def _plain(severity: str, title: str, words: str, advice: str, less: str = "") -> Markup:
    return tag("li", _mark("!"), tag("h3", title), tag("p", words),
               tag("p", tag("strong", "What to do: "), outside(advice, 600)) if advice else None,
               tag("p", tag("span", less or f"{_WORDS[severity]}."), class_="less"), class_=severity)


def _channels(found: Overview) -> Markup:
    waits = {one.channel: one.count for one in found.waits}
    rows: list[list[Child]] = [[outside(one.name, 80), one.kind, ", ".join(one.events), one.min_severity,
                                f"{waits[one.name]}" if waits.get(one.name) else "nothing"] for one in found.channels]
    last: list[Child] = [tag("p", drawing.certbot(found, number)) for number in range(len(found.certbots))]
    return join(
        tag("section", tag("h2", "Who is told"),
            tag("p", "By name and kind of service; no address is in this page.", class_="less"),
            table("Who is told", ["Channel", "Service", "Of what", "From", "Waits"], rows),
            *[tag("p", f"{words}.", class_="less") for words in drawing.waits_elsewhere(found)],
            aria_label="Who is told"),
        tag("section", tag("h2", "certbot"), *last,
            tag("p", f"Next attempt: {schedule.words(found.attempt, found.at)}."), aria_label="certbot"))


def _unknown(found: Overview) -> Child:
    server = found.look.server
    said = [*found.unknown, *([drawing.server(found)] if server.serving is None else []),
            *([f"What visitors are shown: {found.look.words}."] if found.look.words and server.serving else [])]
    if not said:
        return None
    return tag("section", tag("h2", "Not known"), tag("ul", *[tag("li", outside(one, 400)) for one in said]),
               aria_label="Not known")
