"""What the documentation takes from the code is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from certbot_guard import diagnosis
from certbot_guard.doctor import catalogue
from tests.support.samples import OUTAGE_OF_THE_CA

DOCS = Path(__file__).parents[2] / "docs"


def test_the_documentation_has_every_diagnosis() -> None:
    assert diagnosis.reference() in (DOCS / "diagnoses.md").read_text("utf-8"), (
        "write it again: script/reference")


def test_the_documentation_has_every_check_of_doctor() -> None:
    assert (DOCS / "doctor.md").read_text("utf-8").endswith(catalogue.reference()), "write it again: script/reference"


def test_the_documentation_s_example_is_what_a_message_says() -> None:
    example = f"```\n{OUTAGE_OF_THE_CA.title}\n\n{OUTAGE_OF_THE_CA.body}\n```\n"
    assert example in (DOCS / "messages.md").read_text("utf-8"), (
        "put it there again: python -c 'from tests.support.samples import OUTAGE_OF_THE_CA as one; "
        "print(one.title, one.body, sep=chr(10) * 2)'")


def test_every_page_and_picture_that_the_documentation_names_is_there() -> None:
    for page in [*DOCS.glob("*.md"), DOCS.parent / "README.md"]:
        for target, heading in re.findall(r"\]\(([^)#:]+)(?:#([^)]*))?\)", page.read_text("utf-8")):
            if Path(target).parent.name == "transcripts" and not (DOCS / "transcripts").exists():
                continue  # script/transcripts has not been run yet
            assert (page.parent / target).exists(), f"{page.name}: {target}"
            assert not heading or heading in headings(page.parent / target), f"{page.name}: {target}#{heading}"


def headings(page: Path) -> list[str]:
    """As GitHub names them in links."""
    return [re.sub(r"[^\w -]", "", found).strip().lower().replace(" ", "-")
            for found in re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)]
