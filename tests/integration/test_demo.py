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
    story, guarded, killed, outages = re.split(r"\n\([a-d]\) ", done.stdout)[1:]
    assert "Apache is DOWN" in story and "messages sent: 0" in story
    assert "after:  Apache serves, it was away for 0.00 s" in guarded and "messages sent: 1" in guarded
    assert "urn:acme:error:serverInternal" in guarded and "The service is down for maintenance" in guarded
    assert float(re.findall(r"served again ([0-9.]+) s", killed)[0]) < 10 and "certbot died" in killed
    assert outages.count("3 of 3 renewed, exit code 0") == 2 and "longest outage" in outages
    assert outages.rstrip().splitlines()[2].endswith("messages: 0")
