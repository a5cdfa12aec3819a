"""Where results go: standard output, and between the markers of each part in docs/performance.md.

A part that was not measured keeps what stands between its markers.
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


def circumstances(options: Options) -> str:
    """One line: when, on what, how busy it was when the part began."""
    apache = subprocess.run([control_program() or "false", "-v"], capture_output=True, text=True).stdout
    version = re.search(r"Apache/([\d.]+)", apache)
    rounds = ", one quick round" if options.quick else ""
    return (f"{datetime.now(timezone.utc):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before it, "
            f"niceness {os.nice(0)}; certbot {metadata.version('certbot')}, Apache {version[1] if version else '?'}, "
            f"Python {platform.python_version()}{rounds}.")


def text(section: Section, when: str) -> str:
    """Markdown, as it stands between the markers."""
    parts = [f"*{when}*"]
    parts += [f"![{section.image_words[name]}](images/{name})" for name in section.images]
    parts += [table.markdown() for table in section.tables]
    if section.notes:
        parts.append("\n".join(f"- {note}" for note in section.notes))
    return "\n\n".join(parts)


def write(name: str, section: Section, when: str, page: Path = PAGE) -> None:
    """The page says this about the part ``name``, and its images are beside it.

    :raises ValueError: the page has no markers for it; nothing was written.
    """
    before = page.read_text()
    marked = re.compile(rf"(<!-- measured: {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    if len(marked.findall(before)) != 1:
        raise ValueError(f"{page} has no place for {name}: <!-- measured: {name} --> and <!-- end of {name} -->")
    for image, svg in section.images.items():
        (page.parent / "images" / image).write_text(svg)
    page.write_text(marked.sub(lambda found: f"{found[1]}\n{text(section, when)}\n\n{found[2]}", before))
