"""HTML from Python without a template: what is not made here is escaped, always. Pure."""

from __future__ import annotations

from html import escape
from typing import Any, Union

from certbot_guard import text

_VOID = frozenset({"meta", "br", "rect", "line"})


class Markup(str):
    """HTML that was made here. Any other string is text from outside."""


Child = Union[str, Markup, None]


def tag(name: str, /, *children: Child, **attributes: Any) -> Markup:
    """An element. ``class_`` is ``class``, ``aria_label`` is ``aria-label``; an attribute that is None is left out."""
    shown = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()
                    if value is not None)
    if name in _VOID and not children:
        return Markup(f"<{name}{shown}>" if name in ("meta", "br") else f"<{name}{shown}/>")
    return Markup(f"<{name}{shown}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    return Markup("".join(child if isinstance(child, Markup) else escape(child)
                          for child in children if child is not None))


def outside(value: Any, limit: int = 300) -> str:
    """Text from outside as one harmless line; escaped where it is put."""
    return text.line(value, limit)


def hidden(words: str) -> Markup:
    """For who listens to the page."""
    return tag("span", words, class_="hidden")


def table(caption: str, head: list[str], rows: list[list[Child]], class_: str = "") -> Markup:
    """A table that stays one for who listens to it, also where the style sheet lays it out as cards on a phone."""
    top = tag("thead", tag("tr", *[tag("th", words, scope="col", role="columnheader") for words in head], role="row"),
              role="rowgroup")
    body = [tag("tr", tag("th", cells[0], scope="row", role="rowheader"), *[
        tag("td", cell if cell else "–", role="cell", data_label=label) for label, cell in zip(head[1:], cells[1:])],
        role="row") for cells in rows]
    return tag("table", tag("caption", caption, class_="hidden"), top, tag("tbody", *body, role="rowgroup"),
               role="table", class_=class_ or None)
