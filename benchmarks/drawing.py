"""Plots as plain SVG, readable on light and dark pages: the card they stand on changes with the reader's scheme."""

from __future__ import annotations

import math
from html import escape
from typing import Mapping, Optional, Sequence

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 820, 270, 90, 22, 48
_SPAN = _WIDTH - _LEFT - _RIGHT
_STYLE = """<style>
  .card { fill: #ffffff; stroke: #d0d7de } text { fill: #1f2328; font: 13px sans-serif } .title { font-weight: bold }
  text.quiet { fill: #59636e } text.group { fill: #59636e; font-style: italic }
  .grid { stroke: #d8dee4 } .limit { stroke: #c0504d; stroke-dasharray: 5 3; stroke-width: 1.5 }
  .people { fill: #c0504d } .guard { fill: #2e7d4f } .base { fill: #e6eaef } text.limit-words { fill: #b03a37 }
  .whisker { stroke: #2e7d4f; stroke-width: 2 }
  .a { fill: #8c9aa8 } .b { fill: #c0504d } .c { fill: #d99a3d } .d { fill: #4c78a8 } .e { fill: #72a5c9 }
  .f { fill: #8d6cab } .g { fill: #2e7d4f } .h { fill: #9bbf85 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #3d444d } text { fill: #f0f6fc } text.quiet, text.group { fill: #9198a1 }
    .grid { stroke: #2b323b } .limit { stroke: #e5756f } text.limit-words { fill: #e5756f }
    .people { fill: #e5756f } .guard { fill: #4fae77 } .base { fill: #262c36 } .whisker { stroke: #4fae77 }
  }
</style>"""


def bars(title: str, groups: Mapping[str, Mapping[str, float]], axis: str = "seconds", digits: int = 2) -> str:
    """A group of horizontal bars for each key, all to one scale: what is nothing shows as nothing."""
    scale = _Scale(0.0, max((value for group in groups.values() for value in group.values()), default=0.0))
    parts, y = [], _TOP
    for name, group in groups.items():
        if name:
            parts.append(_text(16, y + 14, name, "group"))
            y += _ROW
        for label, value in group.items():
            width = max(scale.at(value) - _LEFT, 1.0)
            parts.append(_text(_LEFT - 10, y + 14, label, anchor="end"))
            parts.append(_box(_LEFT, y + 3, width, _ROW - 7, _who(label)))
            parts.append(_text(_LEFT + width + 6, y + 14, f"{value:,.{digits}f}" if value else "0"))
            y += _ROW
        y += 10
    return _svg(title, *_with_axis(scale, axis, y, parts))


def ranges(title: str, groups: Mapping[str, Mapping[str, tuple[float, float, float]]], axis: str,
           limit: Optional[float] = None, limit_words: str = "") -> str:
    """(least, median, most) as a mark with whiskers, and a line at ``limit``; the scale need not begin at nothing."""
    values = [value for group in groups.values() for three in group.values() for value in three]
    values += [limit] if limit is not None else []
    scale = _Scale(min(values, default=0.0), max(values, default=1.0))
    parts, y = [], _TOP + (18 if limit is not None else 0)
    for name, group in groups.items():
        if name:
            parts.append(_text(16, y + 14, name, "group"))
            y += _ROW
        for label, (least, median, most) in group.items():
            parts.append(_text(_LEFT - 10, y + 14, label, anchor="end"))
            parts.append(_line(scale.at(least), y + 10, scale.at(most), y + 10, "whisker"))
            parts += [_line(scale.at(end), y + 5, scale.at(end), y + 15, "whisker") for end in (least, most)]
            parts.append(f'<circle class="guard" cx="{scale.at(median):.1f}" cy="{y + 10:.1f}" r="4.5"/>')
            parts.append(_text(_WIDTH - _RIGHT + 16, y + 14, f"{median:.3f}"))
            y += _ROW
        y += 10
    if limit is not None:
        parts.append(_line(scale.at(limit), _TOP + 8, scale.at(limit), y, "limit"))
        parts.append(_text(scale.at(limit), _TOP + 4, limit_words, "limit-words", "middle"))
    return _svg(title, *_with_axis(scale, axis, y, parts))


def strips(title: str, runs: Mapping[str, tuple[float, Sequence[tuple[float, float]]]],
           axis: str = "seconds since the renewal was started") -> str:
    """A line of time for each key: (how long it is, when something was away), in seconds, all to one scale."""
    scale = _Scale(0.0, max((seconds for seconds, _ in runs.values()), default=0.0))
    parts, y = [], _TOP
    for label, (seconds, away) in runs.items():
        parts.append(_text(_LEFT - 10, y + 14, label, anchor="end"))
        parts.append(_box(_LEFT, y + 3, scale.at(seconds) - _LEFT, _ROW - 7, "base"))
        parts += [_box(scale.at(begin), y + 3, max(1.0, scale.at(end) - scale.at(begin)), _ROW - 7, _who(label))
                  for begin, end in away]
        parts.append(_text(scale.at(seconds) + 6, y + 14, f"{seconds:.1f} s", "quiet"))
        y += _ROW + 4
    return _svg(title, *_with_axis(scale, axis, y, parts))


def stacks(title: str, rows: Mapping[str, Mapping[str, float]], axis: str = "seconds") -> str:
    """A bar of parts for each key, all to one scale, and below them which part is which."""
    scale = _Scale(0.0, max((sum(parts.values()) for parts in rows.values()), default=0.0))
    kinds: dict[str, str] = {}
    parts, y = [], _TOP
    for label, row in rows.items():
        so_far = 0.0
        parts.append(_text(_LEFT - 10, y + 14, label, anchor="end"))
        for kind, value in row.items():
            style = kinds.setdefault(kind, "abcdefgh"[len(kinds) % 8])
            parts.append(_box(scale.at(so_far), y + 3, scale.at(so_far + value) - scale.at(so_far), _ROW - 7, style))
            so_far += value
        parts.append(_text(scale.at(so_far) + 6, y + 14, f"{so_far:.2f} s", "quiet"))
        y += _ROW + 4
    parts, y = _with_axis(scale, axis, y, parts)
    y += 10
    for kind, style in kinds.items():
        parts.append(_box(_LEFT, y + 4, 12, 12, style))
        parts.append(_text(_LEFT + 20, y + 14, kind, "quiet"))
        y += 19
    return _svg(title, parts, y)


class _Scale:
    """From values to places on the page; begins and ends at a round number."""

    def __init__(self, least: float, most: float) -> None:
        across = (most - least) or abs(most) or 1.0
        size = 10.0 ** math.floor(math.log10(across / 4))
        self.step = next(size * times for times in (1, 2, 5, 10) if across / (size * times) <= 6)
        self._first = math.floor(least / self.step + 1e-9)
        self._last = max(math.ceil(most / self.step - 1e-9), self._first + 1)

    def ticks(self) -> list[float]:
        return [number * self.step for number in range(self._first, self._last + 1)]

    def words(self, tick: float) -> str:
        return f"{tick:,.{max(0, -math.floor(math.log10(self.step) + 1e-9))}f}"

    def at(self, value: float) -> float:
        return _LEFT + (value / self.step - self._first) / (self._last - self._first) * _SPAN


def _with_axis(scale: _Scale, axis: str, bottom: float, parts: Sequence[str]) -> tuple[list[str], float]:
    """The parts with a grid behind them and its numbers and unit below: (parts, where they end)."""
    grid = []
    for tick in scale.ticks():
        grid.append(_line(scale.at(tick), _TOP, scale.at(tick), bottom + 4, "grid"))
        grid.append(_text(scale.at(tick), bottom + 18, scale.words(tick), "quiet", "middle"))
    grid.append(_text(_LEFT + _SPAN / 2, bottom + 36, axis, "quiet", "middle"))
    return [*grid, *parts], bottom + 42


def _who(label: str) -> str:
    return "guard" if label.startswith(("guard", "certbot-guard")) else "people"


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _box(x: float, y: float, width: float, height: float, style: str) -> str:
    return f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    words = escape(text.replace("`", ""))
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def _svg(title: str, parts: Sequence[str], bottom: float) -> str:
    height = bottom + 14
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}">', _STYLE,
        f'<rect class="card" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1:.0f}" rx="6"/>',
        _text(16, 28, title, "title"), *parts, "</svg>", ""])
