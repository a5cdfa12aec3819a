"""Plots as plain SVG, readable on light and dark pages: the card they stand on changes with the reader's scheme."""

from __future__ import annotations

from html import escape
from typing import Mapping, Sequence

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 820, 270, 90, 22, 48
_STYLE = """<style>
  .card { fill: #ffffff; stroke: #d0d7de } text { fill: #1f2328; font: 13px sans-serif } .title { font-weight: bold }
  .quiet { fill: #59636e } .people { fill: #c0504d } .guard { fill: #2e7d4f } .base { fill: #e6eaef }
  .a { fill: #8c9aa8 } .b { fill: #c0504d } .c { fill: #d99a3d } .d { fill: #4c78a8 } .e { fill: #72a5c9 }
  .f { fill: #8d6cab } .g { fill: #2e7d4f } .h { fill: #9bbf85 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #3d444d } text { fill: #f0f6fc } .quiet { fill: #9198a1 } .people { fill: #e5756f }
    .guard { fill: #4fae77 } .base { fill: #262c36 }
  }
</style>"""


def bars(title: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """A group of horizontal bars for each key, all to one scale: what is nothing shows as nothing."""
    most = max((value for group in groups.values() for value in group.values()), default=0.0) or 1.0
    parts, y = [], _TOP
    for name, group in groups.items():
        parts.append(_text(16, y + 14, name, "quiet"))
        y += _ROW
        for label, value in group.items():
            width = value / most * (_WIDTH - _LEFT - _RIGHT)
            parts.append(_text(_LEFT - 10, y + 14, label, anchor="end"))
            parts.append(_box(_LEFT, y + 3, max(width, 1.0), _ROW - 7, _who(label)))
            parts.append(_text(_LEFT + max(width, 1.0) + 6, y + 14, f"{value:.2f}" if value else "0"))
            y += _ROW
        y += 10
    return _svg(title, y, parts)


def strips(title: str, runs: Mapping[str, tuple[float, Sequence[tuple[float, float]]]]) -> str:
    """A line of time for each key: (how long it is, when something was away), in seconds, all to one scale."""
    most = max((seconds for seconds, _ in runs.values()), default=0.0) or 1.0
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    parts, y = [], _TOP
    for label, (seconds, away) in runs.items():
        parts.append(_text(_LEFT - 10, y + 14, label, anchor="end"))
        parts.append(_box(_LEFT, y + 3, seconds * scale, _ROW - 7, "base"))
        parts += [_box(_LEFT + begin * scale, y + 3, max(1.0, (end - begin) * scale), _ROW - 7, _who(label))
                  for begin, end in away]
        parts.append(_text(_LEFT + seconds * scale + 6, y + 14, f"{seconds:.1f} s", "quiet"))
        y += _ROW + 4
    return _svg(title, y + 6, parts)


def stacks(title: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """A bar of parts for each key, all to one scale, and below them which part is which."""
    most = max((sum(parts.values()) for parts in rows.values()), default=0.0) or 1.0
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    kinds: dict[str, str] = {}
    parts, y = [], _TOP
    for label, row in rows.items():
        x = float(_LEFT)
        parts.append(_text(_LEFT - 10, y + 14, label, anchor="end"))
        for kind, value in row.items():
            style = kinds.setdefault(kind, "abcdefgh"[len(kinds) % 8])
            parts.append(_box(x, y + 3, value * scale, _ROW - 7, style))
            x += value * scale
        parts.append(_text(x + 6, y + 14, f"{sum(row.values()):.2f} s", "quiet"))
        y += _ROW + 4
    y += 10
    for kind, style in kinds.items():
        parts.append(_box(_LEFT, y + 4, 12, 12, style))
        parts.append(_text(_LEFT + 20, y + 14, kind, "quiet"))
        y += 19
    return _svg(title, y, parts)


def _who(label: str) -> str:
    return "guard" if label.startswith("guard") else "people"


def _box(x: float, y: float, width: float, height: float, style: str) -> str:
    return f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    words = escape(text.replace("`", ""))
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def _svg(title: str, bottom: float, parts: Sequence[str]) -> str:
    height = bottom + 14
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}">', _STYLE,
        f'<rect class="card" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1:.0f}" rx="6"/>',
        _text(16, 28, title, "title"), *parts, "</svg>", ""])
