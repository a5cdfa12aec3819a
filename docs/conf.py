"""Sphinx: the pages of this directory as HTML, by script/docs. They are Markdown, and read as well where they lie."""

from __future__ import annotations

import re
from pathlib import Path

_HERE = Path(__file__).resolve().parent

project = "certbot-guard"
author = "the certbot-guard authors"
copyright = author
_SOURCE = (_HERE.parent / "certbot_guard" / "__init__.py").read_text("utf-8")
release = version = re.findall(r'__version__ = "(.*)"', _SOURCE)[0]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
# The man pages are roff; what is built is not read again.
exclude_patterns = ["_build", "man"]
nitpicky = True
# A terminal shows whatever it shows; the lexer of "console" need not know all of it.
suppress_warnings = ["misc.highlighting_failure"]

# Headings of every depth can be linked to, by the names that GitHub gives them.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
# A block that names no language is what a terminal shows, or a file of somebody's.
highlight_language = "none"

html_theme = "alabaster"
html_theme_options = {"page_width": "64em", "sidebar_width": "16em", "fixed_sidebar": False, "show_powered_by": False,
                      "description": "Apache comes back after every renewal, and people hear of every failure"}
html_sidebars = {"**": ["about.html", "searchbox.html", "navigation.html"]}
html_title = f"certbot-guard {release}"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False

# Pages that a run of the tests, or a person, has still to write: left out of the contents until they are there.
_MAY_BE_MISSING = ("compatibility", "security")


def setup(app: object) -> None:
    app.connect("source-read", _leave_out)  # type: ignore[attr-defined]


def _leave_out(_app: object, page: str, source: list[str]) -> None:
    for name in _MAY_BE_MISSING if page == "index" else ():
        if not (_HERE / f"{name}.md").exists():
            source[0] = source[0].replace(f"\n{name}\n", "\n")
    # README.md is no page here: what it says of the installation is in one, the rest is where this begins.
    up = "../" * page.count("/")
    source[0] = source[0].replace(f"]({up}../README.md#install)", f"]({up}install.md)")
    source[0] = re.sub(r"\]\((\.\./)+README\.md[^)]*\)", f"]({up}index.md)", source[0])
