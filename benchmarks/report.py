"""Where results go: standard output, and docs/performance.md: between the markers of each part, and into its rows of
the table at the top.

A part that was not measured keeps what stands there.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from benchmarks.figures import Options, Section
from tests.support.apache import control_program

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
_HOLDS = {True: "yes", False: "**no**", None: "cannot be told from these"}


def circumstances(options: Options) -> str:
    """One line: when, on what, how busy it was when the part began."""
    apache = subprocess.run([control_program() or "false", "-v"], capture_output=True, text=True).stdout
    version = re.search(r"Apache/([\d.]+)", apache)
    rounds = ", one quick round" if options.quick else ""
    niceness = f", niceness {os.nice(0)}" if os.nice(0) else ""
    return (f"{datetime.now(timezone.utc):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before it"
            f"{niceness}; certbot {metadata.version('certbot')}, Apache {version[1] if version else '?'}, "
            f"Python {platform.python_version()}, Linux {platform.release().partition('-')[0]}{rounds}.")


def text(section: Section, when: str) -> str:
    """Markdown, as it stands between the markers."""
    parts = [f"*{when}*"]
    parts += [f"![{section.image_words[name]}](images/{name})" for name in section.images]
    parts += [table.markdown() for table in section.tables]
    if section.notes:
        parts.append("\n".join(f"- {note}" for note in section.notes))
    return "\n\n".join(parts)


def rows(name: str, section: Section) -> str:
    """The part's rows of the table at the top; the comment in each says whose it is."""
    return "".join(f"| {one.promise} <!-- {name} --> | {one.measured} | {_HOLDS[one.holds]} | "
                   f"[`--only {name}`](#{name}) |\n" for one in section.verdicts)


def written(page: str, name: str, section: Section, when: str) -> str:
    """The page with what this says about the part ``name``, and everything else as it was.

    :raises ValueError: the page has no markers for it, or no row at the top to be replaced.
    """
    marked = re.compile(rf"(<!-- measured: {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    if len(marked.findall(page)) != 1:
        raise ValueError(f"the page has no place for {name}: <!-- measured: {name} --> and <!-- end of {name} -->")
    page = marked.sub(lambda found: f"{found[1]}\n{text(section, when)}\n\n{found[2]}", page)
    if not section.verdicts:
        return page
    row = re.compile(rf"(?:^\|[^\n]*<!-- {name} -->[^\n]*\n)+", re.MULTILINE)
    if len(row.findall(page)) != 1:
        raise ValueError(f"the table at the top of the page has no row with <!-- {name} -->, or not in one place")
    return row.sub(lambda found: rows(name, section), page)


def write(name: str, section: Section, when: str, page: Path = PAGE) -> None:
    """The page says this about the part ``name``, and its images are beside it.

    :raises ValueError: as :func:`written`; nothing was written.
    """
    new = written(page.read_text(), name, section, when)
    for image, svg in section.images.items():
        (page.parent / "images" / image).write_text(svg)
    page.write_text(new)
