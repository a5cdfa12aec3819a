"""``status`` for a person: a table of lineages and what stands below it, for a terminal of any width, or as plain text.

In a terminal rich draws it; otherwise, and where a terminal is too narrow for a table, it is lines of text. Pure.
"""

from __future__ import annotations

import io
from typing import Optional

from certbot_guard import schedule, text
from certbot_guard.overview import wording
from certbot_guard.overview.certificates import Row
from certbot_guard.overview.channels import Waits
from certbot_guard.overview.gathering import Overview
from certbot_guard.overview.openruns import OpenRun
from certbot_guard.overview.shown import NOT_LOOKED_AT, SAME
from certbot_guard.overview.troubles import Trouble
from certbot_guard.phrases import moment, sentence

# A table of all columns, and one of those that matter most; below that there is none.
WIDE, NARROW = 120, 72
_BAR = {True: 10, False: 6}
_COLOURS = {"critical": "bold red", "warning": "yellow"}
_NAMES = 3
# Names up to so long are not folded where the other columns leave room.
_NAME_WIDTH, _OTHERS_WIDTH = 48, {True: 103, False: 46}
# In plain text a longer one moves its own row, and not every column.
_CELL_WIDTH = 60


def table(found: Overview, width: int, colour: bool, unicode: bool = True) -> str:
    """The lineages, for a terminal of that width."""
    rows = wording.worst_first(found.rows, found.at)
    if width < NARROW:
        return "\n".join(line for row in rows for line in _card(found, row, width, unicode))
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    wide = width >= WIDE
    served = wide or len({row.served.state for row in rows}) > 1  # the same of all is said below
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold" if colour else "")
    longest = max(len(name) for row in rows for name in [text.line(row.lineage.name, 120), *_other_names(row)])
    others = _OTHERS_WIDTH[wide] + (15 if served and not wide else 0)
    # Not min_width: rich 13 widens to it after it has made all fit, and then cuts off the last column.
    made.add_column("lineage", overflow="fold", width=min(longest, max(20, min(_NAME_WIDTH, width - others))))
    for name in ("expires", "guarded", "last attempt", *(("due",) if wide else ()), *(("served",) if served else ()),
                 *(("told",) if wide else ())):
        made.add_column(name, no_wrap=name in ("expires", "due"), overflow="fold")
    for row in rows:
        style = _COLOURS.get(row.severity, "")
        name = Text(text.line(row.lineage.name, 120), style=style)
        for other in _other_names(row) if wide else ():
            name.append(f"\n{other}", style="dim")
        shown = Text(row.served.state, style="" if row.served.state in (SAME, NOT_LOOKED_AT) else style)
        made.add_row(name, Text(expires(found, row, _BAR[wide], unicode, not wide), style=style),
                     Text(wording.guarded(row)), Text(wording.tried(row, found.state_readable, not wide)),
                     *([Text(wording.due(row, found.at))] if wide else []), *([shown] if served else []),
                     *([Text(wording.told(row))] if wide else []))
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=colour, color_system="standard" if colour else None,
            no_color=not colour, legacy_windows=False, markup=False, emoji=False, highlight=False).print(made)
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip().split("\n"))


def plain(found: Overview, unicode: bool = True) -> str:
    """The lineages as lines of text, whatever reads them: columns with two blanks between, nothing folded."""
    head = ["lineage", "expires", "guarded", "last attempt", "due", "served", "told", "names"]
    rows = [[text.line(row.lineage.name, 300), expires(found, row, 10, unicode), wording.guarded(row),
             wording.tried(row, found.state_readable), wording.due(row, found.at), row.served.state,
             wording.told(row) or "-", text.listed(row.lineage.names, 20) or "not known"]
            for row in wording.worst_first(found.rows, found.at)]
    widths = [min(_CELL_WIDTH, max(len(row[number]) for row in [head, *rows])) for number in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [head, *rows])


def no_lineages(found: Overview) -> str:
    """There is none; or nobody can say."""
    if any("/renewal cannot be looked into" in words for words in found.unknown):
        return "Which lineages there are is not known."
    return "No lineage: there is no renewal configuration in " + ", ".join(
        text.line(f"{one.config_dir}/renewal", 200) for one in found.certbots) + "."


def expires(found: Overview, row: Row, width: int, unicode: bool, short: bool = False) -> str:
    share, left = row.share_left(found.at), wording.left(row, found.at, short)
    return f"{wording.bar(share, width, unicode)} {left}" if share is not None else left


def _card(found: Overview, row: Row, width: int, unicode: bool) -> list[str]:
    """One lineage below the other."""
    pairs = [("expires", expires(found, row, 8, unicode)), ("guarded", wording.guarded(row)),
             ("tried", wording.tried(row, found.state_readable)), ("due", wording.due(row, found.at)),
             ("served", row.served.state), ("told", wording.told(row))]
    return [*wrapped(text.line(row.lineage.name, 120), width, ""),
            *(line for name, words in pairs if words for line in wrapped(f"  {name:<8} {words}", width, " " * 11))]


def _other_names(row: Row) -> list[str]:
    others = [name for name in row.lineage.names if name != row.lineage.name]
    return [text.line(name, 80) for name in others[:_NAMES]] + (
        [f"and {len(others) - _NAMES} more"] if len(others) > _NAMES else [])


def below(found: Overview) -> list[tuple[str, list[str]]]:
    """What stands below the table: a label, and its lines."""
    said: list[tuple[str, list[str]]] = [("web server", [server(found)])]
    states = {row.served.state for row in found.rows}
    why = f": {found.look.words}" if found.look.words and found.look.words not in said[0][1][0] else ""
    if why or len(states) == 1:
        what = sentence(", ".join(states)) if len(states) == 1 else "Not all was looked at"
        said.append(("served", [f"{what}{why}."]))
    said.append(("certbot", [certbot(found, number) for number in range(len(found.certbots))]))
    said.append(("next attempt", [sentence(schedule.words(found.attempt, found.at)) + "."]))
    said.append(("told by", [", ".join(f"{text.line(one.name, 80)} ({one.kind})" for one in found.channels)]))
    said.append(("outbox", [*([f"{text.line(one.channel, 120)}: {waits(one)}" for one in found.waits]
                              or [_if_known(found, "Nothing waits.")]), *waits_elsewhere(found)]))
    said.append(("open runs", [line for one in found.open_runs for line in _open_run(one, found)] or ["None."]))
    said.append(("troubles", [line for one in found.troubles for line in trouble(one)]
                 or [_if_known(found, "None stands.")]))
    if found.settings_problems:
        said.append(("settings", [f"{found.settings_problems} to be mended: certbot-guard check"]))
    return said + ([("not known", found.unknown)] if found.unknown else [])


def waits_elsewhere(found: Overview) -> list[str]:
    """A sentence, or none."""
    count = found.waits_elsewhere
    return [f"{count} message{' waits' if count == 1 else 's wait'} for the channels of another guard.ini: "
            "certbot-guard outbox"] if count else []


def _if_known(found: Overview, words: str) -> str:
    return words if found.state_readable else "Not known."


def server(found: Overview) -> str:
    one, run = found.look.server, found.stopped_by
    if run is not None:
        return f"{text.line(one.name, 120) or 'It'} is stopped for a challenge of {text.line(run.stopped, 120)} now."
    if one.serving is None:
        who = f"{text.line(one.name, 120)}: not" if one.name else "Not"
        return f"{who} known: {one.words or 'it was not looked at'}."
    return f"{text.line(one.name, 120)} {'serves' if one.serving else 'does not serve'}."


def certbot(found: Overview, number: int) -> str:
    one = found.certbots[number]
    where = f"{one.config_dir}: " if len(found.certbots) > 1 else ""
    if one.at is None:
        return f"{where}No run of certbot renew is known."
    how = "" if one.ok is None else ", and went well" if one.ok else ", and FAILED"
    return f"{where}Ran last at {wording.ago(one.at, found.at)}{how}."


def waits(one: Waits) -> str:
    """``2 messages since 2026-11-16 18:29 UTC, tried 3 times: connection refused``"""
    why = f": {text.line(one.reason, 200)}" if one.reason else ""
    return (f"{one.count} message{'' if one.count == 1 else 's'} since {moment(one.since)}, "
            f"tried {one.attempts} time{'' if one.attempts == 1 else 's'}{why}")


def _open_run(one: OpenRun, found: Overview) -> list[str]:
    advice = open_run_advice(one)
    return [f"{text.line(one.id, 60)}: {open_run(one, found.look.server.serving)}.",
            *([f"  What to do: {advice}"] if advice else [])]


def open_run(one: OpenRun, serving: Optional[bool]) -> str:
    """What is known of it. :param serving: a server that was started by hand, or by a boot, is not stopped any more"""
    what = {"left unfinished": "its certbot is gone and nobody has settled it",
            "not readable": "its record cannot be read"}.get(one.state, one.state)
    if not one.stopped:
        return what
    whom = text.line(one.stopped, 120)
    if serving and one.is_trouble:
        return f"{what}; it stopped the web server for {whom}, which serves again"
    return f"{what}; the web server is stopped for {whom}"


def open_run_advice(one: OpenRun) -> str:
    if not one.is_trouble:
        return ""
    return "certbot-guard recover" + (" starts the web server again, and people are told." if one.stopped else
                                      " settles it, and people are told.")


def trouble(one: Trouble) -> list[str]:
    since = f" (since {moment(one.since)})" if one.since else " (found just now)"
    return [f"{one.severity}: {text.line(one.name, 120)}{since}: {text.line(one.words, 300)}",
            f"  Told: {wording.heard(one) or 'nobody yet'}.", *([f"  What to do: {one.advice}"] if one.advice else [])]


def listing(parts: list[tuple[str, list[str]]], width: Optional[int]) -> str:
    """Labels on the left, their lines beside them; beneath, where there is little room. ``width`` None: not folded."""
    column = max(len(label) for label, _ in parts) + 2
    if width is not None and width < 60:
        return "\n".join(line for label, lines in parts for line in [
            label, *(folded for words in lines for folded in wrapped(f"  {words}", width, "  "))])
    said = []
    for label, lines in parts:
        for number, words in enumerate(lines):
            indent = " " * (column + len(words) - len(words.lstrip()))
            said += wrapped((label if not number else "").ljust(column) + words, width, indent)
    return "\n".join(said)


def wrapped(words: str, width: Optional[int], indent: str) -> list[str]:
    import textwrap

    if width is None or len(words) <= width:
        return [words]
    indent = indent if len(indent) < width - 10 else ""
    return textwrap.wrap(words, max(width, 20), subsequent_indent=indent, break_long_words=True, drop_whitespace=True,
                         break_on_hyphens=False) or [words]
