"""What script/demo shows is what it promises to show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(300)
def test_the_demo_tells_the_story_and_how_it_ends_with_the_guard() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.demo"], cwd=CHECKOUT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout
    story, guarded, killed, renewed = re.split(r"\n\([a-d]\) ", done.stdout)[1:]
    assert "Apache is DOWN" in story and "messages sent: 0" in story and failed(story)[0] > 0
    assert "after:  Apache serves, it was away for 0.00 s" in guarded and "messages sent: 1" in guarded
    assert "urn:acme:error:serverInternal" in guarded and "The service is down for maintenance" in guarded
    assert failed(guarded) == [0]
    stopped, through = killed.split("it passes through")
    assert float(re.findall(r"served again ([0-9.]+) s", stopped)[0]) < 10 and failed(stopped)[0] > 0
    assert "certbot died" in stopped and "certbot died" in through and failed(through) == [0]
    assert renewed.count("3 of 3 renewed, exit code 0") == renewed.count("messages: 0") == 2
    assert "Apache was away for 0.00 s" in renewed.partition("certbot-guard")[2]
    plain, with_guard = failed(renewed)
    assert plain > 0 and with_guard == 0


def failed(text: str) -> list[int]:
    """The failed requests of each part of the demo, in its order."""
    return [int(number) for number in re.findall(r"visitors: ([0-9]+) failed requests", text)]
