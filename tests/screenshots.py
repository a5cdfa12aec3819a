"""What script/screenshots runs: sample messages, sent as every message is, photographed as they arrived."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from certbot_guard import notify
from certbot_guard.config import Channel, Config
from certbot_guard.message import Message
from tests.support.mailbox import Mailbox
from tests.support.samples import ALL, Sample

WIDTHS = {"phone": 390, "desktop": 1280}
# Blink's own names for prefers-color-scheme: 0 is dark, 1 is light.
SCHEMES = {"dark": 0, "light": 1}
PICTURES = {"outage-of-the-ca": ("phone-light", "phone-dark", "desktop-light", "desktop-dark"),
            "down": ("phone-dark", "desktop-light"), "recovery": ("phone-dark", "desktop-light"),
            "digest": ("phone-dark", "desktop-light")}
# More than the longest of them needs; what is empty below is cut off.
_HEIGHT = 2600
_LIMIT_BYTES = 150_000


def arrived(sample: Sample) -> str:
    """The HTML part of this message, sent through Apprise to a mail server here."""
    with closing(Mailbox()) as mailbox:
        settings = Config(Path("/nowhere"), channels=(Channel("mail", mailbox.apprise_url),))
        one = Message("sample-1", "sample", sample.event, sample.severity, sample.title, sample.body)
        (outcome,) = notify.AppriseNotifier(settings).deliver([("mail", one)], 30.0)
        assert outcome.ok, outcome.reason
        return mailbox.wait(1)[0].html


def photograph(page: Path, width: int, scheme: int, picture: Path) -> None:
    """The page as a browser of that width shows it, without the empty space below."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}",
             f"--blink-settings=preferredColorScheme={scheme}", f"--window-size={width},{_HEIGHT}",
             f"--screenshot={picture}", page.as_uri()],
            check=True, timeout=60, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    used = subprocess.run(["convert", str(picture), "-format", "%@", "info:"], check=True, stdout=subprocess.PIPE, text=True)
    _, height, _, top = map(int, re.split("[x+]", used.stdout))
    subprocess.run(["convert", str(picture), "-crop", f"{width}x{min(_HEIGHT, top + height + 16)}+0+0", "+repage", "-strip",
                    "+dither", "-colors", "64", "-define", "png:compression-level=9", str(picture)], check=True)
    assert picture.stat().st_size < _LIMIT_BYTES, f"{picture} is too large for a repository"


def main() -> int:
    directory = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        for name, sample in ALL.items():
            page = Path(scratch) / f"{name}.html"
            page.write_text(arrived(sample), "utf-8")
            for kind in PICTURES[name]:
                device, scheme = kind.split("-")
                photograph(page, WIDTHS[device], SCHEMES[scheme], directory / f"mail-{name}-{kind}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
