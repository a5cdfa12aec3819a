"""The section of runs: a strip of days with runs and outages, and the newest runs as a table. Pure."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta

from certbot_guard import text
from certbot_guard.overview.gathering import Overview
from certbot_guard.overview.past import told
from certbot_guard.overview.results import RunRow
from certbot_guard.pages.markup import Child, Markup, hidden, join, outside, table, tag
from certbot_guard.phrases import duration, moment

DAYS = 90
FIRST, MOST = 10, 200
# What is tallest in the strip: five minutes, the usual max_outage.
_TALLEST_SECONDS = 300.0
_NAMES = 5


def section(found: Overview) -> Markup:
    today = found.at.date()
    since = today - timedelta(days=DAYS - 1)
    runs = [one for one in found.runs if one.started is not None and since <= one.started.date() <= today]
    by_day: dict[date, list[RunRow]] = {}
    for one in runs:
        if one.started is not None:
            by_day.setdefault(one.started.date(), []).append(one)
    failed, gaps = sum(one.ok is False for one in runs), [gap for one in runs for gap in one.outages]
    said = (f"{len(runs):,} run{'' if len(runs) == 1 else 's'} with something to do, {failed:,} of them failed. "
            + (f"The web server was stopped {len(gaps):,} time{'' if len(gaps) == 1 else 's'}, for "
               f"{duration(sum(gap.seconds for gap in gaps))} in all, "
               f"{duration(max(gap.seconds for gap in gaps))} at the most."
               if gaps else "The web server was not stopped."))
    through = sum(len(one.without_a_stop) for one in runs)
    if through:
        said += f" {through:,} challenge{' was' if through == 1 else 's were'} let through it while it served."
    later = sum(one.started is not None and one.started.date() > today for one in found.runs)
    if later:
        said += (f" {later:,} more {'is' if later == 1 else 'are'} dated later than today and not shown here: was the "
                 "clock set back?")
    if not found.state_readable:
        said = "What is remembered of runs could not all be read. " + said
    strip = tag("ol", *[_day(since + timedelta(days=number), by_day) for number in range(DAYS)], class_="days")
    ends = tag("p", tag("span", f"{since:%Y-%m-%d}"), tag("span", f"{today:%Y-%m-%d}"), class_="ends",
               aria_hidden="true")
    return tag("section", tag("h2", f"Runs and outages, {DAYS} days"), tag("p", said, class_="less"), strip, ends,
               _key(), _runs(runs, found.at), aria_label="Runs and outages")


def _day(day: date, by_day: dict[date, list[RunRow]]) -> Markup:
    runs = by_day.get(day, [])
    failed = sum(one.ok is False for one in runs)
    seconds = sum(gap.seconds for one in runs for gap in one.outages)
    words = f"{day:%Y-%m-%d}: " + ("no run with something to do" if not runs else f"{len(runs)} run"
                                   f"{'' if len(runs) == 1 else 's'}" + (f", {failed} failed" if failed else ""))
    words += f", stopped for {duration(seconds)}" if seconds else ""
    return tag("li", _column(bool(runs), bool(failed), seconds), hidden(words), title=words)


def _column(ran: bool, failed: bool, seconds: float) -> Markup:
    """The upper square is the runs', the pillar below it the outages'."""
    what = "failed" if failed else "run" if ran else "none"
    shapes: list[Child] = [tag("rect", class_=what, width="100%", height="20", rx="2")]
    if failed:
        shapes += [tag("line", class_="cross", x1="15%", y1="4", x2="85%", y2="16"),
                   tag("line", class_="cross", x1="85%", y1="4", x2="15%", y2="16")]
    tall = 0.0 if seconds <= 0 else 4 + 34 * min(1.0, math.log1p(seconds) / math.log1p(_TALLEST_SECONDS))
    if tall:
        shapes.append(tag("rect", class_="gap", y="24", width="100%", height=f"{tall:.1f}", rx="2"))
    return tag("svg", *shapes, aria_hidden="true")


def _key() -> Markup:
    rows = [("runs that went well", _small(tag("rect", class_="run", width="12", height="12", y="2", rx="2"))),
            ("a run failed", _small(tag("rect", class_="failed", width="12", height="12", y="2", rx="2"),
                                    tag("line", class_="cross", x1="3", y1="5", x2="9", y2="11"),
                                    tag("line", class_="cross", x1="9", y1="5", x2="3", y2="11"))),
            ("nothing to do", _small(tag("rect", class_="none", width="12", height="12", y="2", rx="2"))),
            ("below: how long the web server was stopped",
             _small(tag("rect", class_="gap", x="3", width="6", height="16", rx="2")))]
    return tag("ul", *[tag("li", picture, words) for words, picture in rows], class_="key days-key")


def _small(*shapes: Child) -> Markup:
    return tag("svg", *shapes, aria_hidden="true")


def _runs(runs: list[RunRow], now: datetime) -> Markup:
    if not runs:
        return join(None)
    head = ["When", "How it went", "Lineages", "Web server stopped", "Told"]
    shown = [table("The newest runs", head, [_cells(one, now) for one in runs[:FIRST]], "runs")]
    others = runs[FIRST:MOST]
    if others:
        left_out = len(runs) - MOST
        words = f"{len(others)} earlier run{'' if len(others) == 1 else 's'}" + (
            f"; {left_out:,} more are in certbot-guard history" if left_out > 0 else "")
        rows = [_cells(one, now) for one in others]
        shown.append(tag("details", tag("summary", words), table("Earlier runs", head, rows, "runs")))
    return join(*shown)


def _cells(one: RunRow, now: datetime) -> list[Child]:
    groups: dict[str, list[str]] = {}
    for name, outcome in one.results.items():
        groups.setdefault(outcome, []).append(name)
    word = "ok" if one.ok else "critical" if one.ok is False else ""
    lineages: list[Child] = [tag("div", f"{outcome}: {text.listed(names, _NAMES, 80)}")
                             for outcome, names in groups.items()]
    gaps: list[Child] = [tag("div", duration(gap.seconds) + ("" if gap.ended else ", and not started since"))
                         for gap in one.outages]
    gaps += [tag("div", words) for words in _passages(one)]
    how = one.outcome + (", a dry run" if one.dry_run else "")
    return [tag("span", moment(one.started), class_="date"),
            tag("div", tag("span", how, class_="word"), tag("small", outside(one.command, 120)), class_=word or None),
            tag("div", *lineages) if lineages else None, tag("div", *gaps) if gaps else None,
            tag("div", told(one, now))]


def _passages(one: RunRow) -> list[str]:
    said = []
    if one.without_a_stop:
        said.append("not stopped, the challenge was let through" if not one.not_let_through and not one.outages else
                    f"let through: {text.listed(one.without_a_stop, _NAMES, 80)}")
    return said + [f"not let through: {text.line(name, 80)}: {text.line(why_not, 250)}"
                   for name, why_not in list(one.not_let_through.items())[:_NAMES]]
