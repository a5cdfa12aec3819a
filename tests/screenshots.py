"""What script/screenshots runs: sample messages, sent as every message is, photographed as they arrived; and the page
of ``certbot-guard report`` about a host that is made up."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from certbot_guard import config as configuration
from certbot_guard import notify
from certbot_guard.config import Channel, Config
from certbot_guard.message import Message
from certbot_guard.overview import gathering, webserver
from certbot_guard.overview.shown import Seen, Served
from certbot_guard.pages import whole
from certbot_guard.schedule import Attempt
from certbot_guard.watch.looking import Eyes
from tests.support import overview
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
# The page of a report goes on and on: so much of it.
REPORTS = {"desktop-light": 1900, "phone-dark": 1800}


def arrived(sample: Sample) -> str:
    """The HTML part of this message, sent through Apprise to a mail server here."""
    with closing(Mailbox()) as mailbox:
        settings = Config(Path("/nowhere"), channels=(Channel("mail", mailbox.apprise_url),))
        one = Message("sample-1", "sample", sample.event, sample.severity, sample.title, sample.body)
        (outcome,) = notify.AppriseNotifier(settings).deliver([("mail", one)], 30.0)
        assert outcome.ok, outcome.reason
        return mailbox.wait(1)[0].html


def report(directory: Path) -> str:
    """The page about a host with a dozen lineages after three months; its Apache and its timer are made up, too."""
    made = overview.realistic(directory)
    soon = Attempt(made.now + timedelta(hours=5), "certbot.timer", 43200.0)
    found = gathering.gather(configuration.load(made.settings), served=False,
                             eyes=Eyes(schedule=lambda now: soon, uptime=lambda: timedelta(days=30)))
    served = Served("same", (Seen("127.0.0.1:443", "same"),))
    found.rows = [replace(row, served=served) for row in found.rows]
    found.look = webserver.Look(webserver.Server("apache2.service", True), complete=True)
    return whole.render(replace(found, host="web1.example.com", settings=Path("/etc/letsencrypt/guard.ini")))


def photograph(page: Path, width: int, scheme: int, picture: Path, tallest: int = _HEIGHT) -> None:
    """The page as a browser of that width shows it, without the empty space below."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}",
             f"--blink-settings=preferredColorScheme={scheme}", f"--window-size={width},{_HEIGHT}",
             f"--screenshot={picture}", page.as_uri()],
            check=True, timeout=60, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    used = subprocess.run(["convert", str(picture), "-format", "%@", "info:"], check=True, stdout=subprocess.PIPE, text=True)
    _, height, _, top = map(int, re.split("[x+]", used.stdout))
    subprocess.run(["convert", str(picture), "-crop", f"{width}x{min(tallest, top + height + 16)}+0+0", "+repage", "-strip",
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
        page = Path(scratch) / "report.html"
        page.write_text(report(Path(scratch) / "host"), "utf-8")
        for kind, tallest in REPORTS.items():
            device, scheme = kind.split("-")
            photograph(page, WIDTHS[device], SCHEMES[scheme], directory / f"report-{kind}.png", tallest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
