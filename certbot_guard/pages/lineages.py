"""The section of lineages: a bar for each on one time line, from today to where its certificate expires. Pure."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from certbot_guard.overview import wording
from certbot_guard.overview.certificates import Row
from certbot_guard.overview.gathering import Overview
from certbot_guard.overview.shown import SAME
from certbot_guard.pages.markup import Child, Markup, hidden, join, outside, table, tag
from certbot_guard.phrases import moment

# So many are shown at once; the others are behind one line, those that expire first before the others.
FIRST = 20
_NAMES = 4
_STEPS = (7, 14, 30, 60, 90, 180, 365)
_LONGEST_DAYS = 400.0


def section(found: Overview) -> Markup:
    rows = wording.worst_first(found.rows, found.at)
    if not rows:
        from certbot_guard.overview.drawing import no_lineages

        return tag("section", tag("h2", "Certificates"), tag("p", no_lineages(found), class_="less"),
                   aria_label="Certificates")
    scale = _Scale(rows, found.at)
    first, others = rows[:FIRST], rows[FIRST:]
    more = None
    if others:
        ends = min((row.not_after for row in others if row.not_after is not None), default=None)
        when = f"; the next of them expires on {moment(ends)[:10]}" if ends is not None else ""
        more = tag("details", tag("summary", f"{len(others):,} more{when}"),
                   _table("More certificates", others, found, scale))
    intro = "Each bar ends where the certificate does. The line across it is when certbot renews it." + (
        " A bar that fills the line ends later." if scale.exceeded else "")
    return tag("section", tag("h2", "Certificates"), tag("p", intro, class_="less"),
               _table("Certificates", first, found, scale), more, aria_label="Certificates")


def _table(caption: str, rows: list[Row], found: Overview, scale: _Scale) -> Markup:
    head: list[str] = ["Lineage", "Expires", "Guarded", "Last attempt", "Served"]
    made = table(caption, head, [_cells(row, found, scale) for row in rows], "lineages")
    return Markup(made.replace(">Expires</th>", f">Expires{scale.ticks()}</th>", 1))


def _cells(row: Row, found: Overview, scale: _Scale) -> list[Child]:
    names = [name for name in row.lineage.names if name != row.lineage.name]
    other = ", ".join(outside(name, 80) for name in names[:_NAMES]) + (
        f" and {len(names) - _NAMES} more" if len(names) > _NAMES else "")
    told = wording.told(row)
    left = wording.left(row, found.at)
    when = f"{moment(row.not_after)[:10]}, " if row.not_after is not None else ""
    ends = f"{when}in {left}" if row.not_after is not None and left[:1].isdigit() else f"{when}{left}"
    due = wording.due(row, found.at)
    return [
        join(outside(row.lineage.name, 120), tag("small", other) if other else None),
        tag("div", scale.bar(row, found.at),
            tag("span", tag("span", ends), tag("span", _due(due), class_="less"), class_="end")),
        tag("div", wording.guarded(row)),
        tag("div", _tried(row, found), tag("small", f"Told: {told}") if told else None),
        tag("div", _shown(row))]


def _due(due: str) -> str:
    words = {"now": "due now", "never": "never renewed: autorenew is off", "not known": "when it is due is not known"}
    return words.get(due, f"due {due}")


def _tried(row: Row, found: Overview) -> Child:
    if row.tried is None or row.tried.at is None:
        return wording.tried(row, found.state_readable)
    return join(tag("span", wording.day(row.tried.at), class_="date"), f" {row.tried.outcome}")


def _shown(row: Row) -> str:
    words = {SAME: "as on the disk", "old": "an old one", "wrong": "not as it should be", "nowhere": "nowhere here"}
    return words.get(row.served.state, row.served.state)


class _Scale:
    """One time line for all bars."""

    def __init__(self, rows: list[Row], now: datetime) -> None:
        days = [left / timedelta(days=1) for left in (row.left(now) for row in rows) if left is not None]
        usual = [one for one in days if one <= _LONGEST_DAYS]  # one of ten years would leave the others no room
        longest = max([14.0, *(usual or days and [_LONGEST_DAYS])])
        self._step = next((step for step in _STEPS if longest / step <= 4.5), _STEPS[-1])
        self.days = float(math.ceil(longest / self._step) * self._step)
        self.exceeded = any(one > self.days for one in days)

    def ticks(self) -> Markup:
        marks = range(self._step, int(self.days) + 1, self._step)
        return tag("svg", tag("text", "today", x="0", y="12"), *[
            tag("text", f"{day} d", x=f"{day / self.days * 100:.1f}%", y="12",
                text_anchor="end" if day / self.days > 0.93 else "middle") for day in marks],
            class_="scale", aria_hidden="true")

    def bar(self, row: Row, now: datetime) -> Markup:
        left = row.left(now)
        if left is None:
            return hidden("")
        share = min(1.0, max(0.0, left / timedelta(days=self.days)))
        grave = row.severity if row.severity in ("critical", "warning") else ""
        shapes: list[Child] = [tag("rect", class_="track", width="100%", height="10", rx="3")]
        if share > 0:
            shapes.append(tag("rect", class_="fill", width=f"{max(share * 100, 0.8):.2f}%", height="10", rx="3"))
        else:
            shapes.append(tag("rect", class_="gone", x="1", y="1", width="99%", height="8", rx="3"))
        due = row.lineage.due()
        if due is not None and row.lineage.autorenew and due > now:
            at = (due - now) / timedelta(days=self.days)
            if at <= 1.0:
                shapes.append(tag("line", class_="due", x1=f"{at:.2%}", x2=f"{at:.2%}", y1="-3", y2="13"))
        return tag("svg", *shapes, class_=f"bar {grave}".strip(), aria_hidden="true")
