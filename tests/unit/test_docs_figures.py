"""Each figure in the documentation is a constant of the code, is written there by a program, or has its source here.

A new figure that is in none of these fails the test, which names it: give it a row in ``FIGURES`` with the constant
that it repeats, or, where it is a fact about something else, in ``FACTS`` with where that is from.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, Callable

import apprise
import pytest

from certbot_guard import (
    alsoreload,
    capture,
    channel_rows,
    eventlog,
    givingup,
    heartbeat,
    history_rows,
    hookwatch,
    keeper,
    keptfile,
    logtail,
    message,
    options,
    outbox_rows,
    precedent,
    proxied,
    render,
    shellgroups,
    stakes,
    stale,
    standing,
    standing_rows,
    troubles,
    trust,
)
from certbot_guard.cli import notify
from certbot_guard.config import Config
from certbot_guard.doctor import judging, running
from certbot_guard.overview import drawing, webserver
from certbot_guard.pages import days
from certbot_guard.proxying import selfcheck
from certbot_guard.schema import KEEP_DAMAGED
from certbot_guard.supervise import command, retry
from certbot_guard.units import planning
from certbot_guard.watch import ari, files, looking, of_services, services, sites, tls
from tests.unit.test_docs_links import DOCS, ROOT

# Written by a program as a whole, or from here on; the tests of these programs hold them.
WRITTEN = {"performance.md": "", "compatibility.md": "", "commands.md": "", "channels.md": "",
           "diagnoses.md": "| cause | whose", "doctor.md": "### ", "words.md": "\n## ", "why.md": "<!-- figures:"}
PAGES = [path for path in sorted([*DOCS.glob("*.md"), *DOCS.glob("howto/*.md"), ROOT / "README.md"])
         if WRITTEN.get(path.name, "some") and path.name != "testing.md"]  # of tests, it names what each is about

_WORDS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fifteen": 15, "sixteen": 16, "twenty": 20, "thirty": 30,
    "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90, "hundred": 100, "thousand": 1000, "every": 1,
    "half a": 0.5, "half an": 0.5,
    "a quarter of a": 0.25, "a hundred": 100, "a thousand": 1000, "twice a": 2, "once a": 1}
_LONGEST_FIRST = sorted((rf"\b{word}" for word in _WORDS if word not in ("a", "an", "every")), key=len, reverse=True)
_NUMBER = "|".join([r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\d|[.,]\d)", *_LONGEST_FIRST])
_UNITS = {
    "ms": 0.001, "s": 1, "h": 3600, "d": 86400, "second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800,
    "month": 2592000, "year": 31536000, "%": 0.01, "kB": 1000, "MB": 1e6, "KiB": 1024, "MiB": 1024 ** 2}
_THINGS = ("bytes|times|lines|attempts|tries|characters|processes|places|addresses|certificates|lineages|channels|runs|"
           "causes|messages|letters|columns|copies|failures|services")
_ANY_UNIT = rf"(?:[smhd]|ms|%|[kKM]i?B|seconds?|minutes?|hours?|days?|weeks?|months?|years?|{_THINGS})(?!\w)"
_SHARES = {"third": 1 / 3, "tenth": 0.1, "twenty-fourth": 1 / 24, "quarter more": 0.25}
_FIGURE = re.compile(
    rf"(?<![\w.:/-])(?P<number>{_NUMBER}|\b(?:an?|every))[ -]?(?P<unit>(?<=\d)\s?(?:ms|s|h|d|%|kB|MB|KiB|MiB)(?!\w)|"
    r"(?<!\d)(?:second|minute|hour|day|week|month|year)s?\b|(?<=\d )(?:second|minute|hour|day|week|month|year)s?\b|%)"
    rf"|(?<![\w.:/-])(?P<count>{_NUMBER}) (?:{_THINGS})\b"
    rf"|\b(?:at most|up to|more than|less than|about|newest|at least) (?P<most>{_NUMBER})\b(?![.\d]*[.:]\d)"
    rf"(?! ?{_ANY_UNIT})"
    r"|\ba (?P<share>third|tenth|twenty-fourth|quarter more)\b|\b(?P<hourly>hourly)\b"
    r"|(?<![\w.])(?P<large>\d{1,3}(?:,\d{3})+)\b")
# Not amounts: a second one, a minute that chance gives.
_NO_FIGURE = re.compile(
    r"(?:certbot|[Aa]pprise) up to \d|(?<!about )\ba second(?! (?:under|or two|later))|\ba third one|\ba minute that\b")


def seconds(text: str) -> float:
    """Of a time as systemd writes it."""
    return options.duration(text.replace("min", "m"))


def default(function: Callable[..., Any], name: str) -> Any:
    return inspect.signature(function).parameters[name].default


def of_unit(text: str, key: str) -> str:
    found = re.search(rf"^{key}=(.*)$", text, re.M)
    assert found, key
    return found[1]


def from_script(path: str, name: str) -> Any:
    """A constant of a program that is no module."""
    loader = SourceFileLoader("of_docs", str(ROOT / path))
    spec = importlib.util.spec_from_loader("of_docs", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return getattr(module, name)


HISTORY = (history_rows.KEEP_DAYS * 86400, history_rows.KEEP)
A_TENTH = 1 / stakes.CRITICAL_SHARE
OF_90, OF_6 = 90 * 86400 * A_TENTH, 6 * 86400 * A_TENTH
LATE_LOOKS = sum(hookwatch._LATE_PAUSES_SECONDS)
KINDS = len(notify.KINDS) - 1  # a success goes to those that ask for it
_NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
# What makes a certificate critical whose beginning nobody knows, in times of what is left then.
ASSUMED = stakes.CRITICAL_SHARE * max(
    days * 86400 for days in range(1, 400)
    if stakes.severity(stakes.Validity(_NOW + timedelta(days=days)), _NOW) == "critical")
SETTINGS = {one.name: one.default for one in options.OPTIONS}
HOURLY = {"hourly": 3600}[of_unit(planning._TIMER, "OnCalendar")]
FIRST_REST, LONGEST_REST = channel_rows.BACKOFF_SECONDS[0], channel_rows.BACKOFF_SECONDS[-1]
WAITS = [retry.FIRST_WAIT_SECONDS * 2 ** number for number in range(6)]


# The page, its words, and the amounts in them in order: seconds, bytes, shares, numbers.
FIGURES: list[tuple[str, str, tuple[float, ...]]] = [
    ("doctor.md", "takes longer than a minute and a half,", (running.SECONDS / 1.5,)),
    ("events.md", "the last warnings before it, at most eight", (capture._CONTEXT_LIMIT,)),
    ("events.md", "A line is 256 KiB at the most", (eventlog._LINE_LIMIT_BYTES,)),
    ("fleet.md", "the history that is kept (400 days or 2,000 runs)", HISTORY),
    ("fleet.md", "A ping waits for the service five seconds at the most, from when its process is ready to ask "
     "(which may take up to ten seconds", (heartbeat.DEADLINE_SECONDS, heartbeat.START_SECONDS)),
    ("fleet.md", "that of the watch (an hour)", (HOURLY,)),
    ("flow.md", "for 200 days, as far as the runs that are kept tell", (precedent.COUNTS.total_seconds(),)),
    ("flow.md", "for twenty seconds in all at the most", (selfcheck.TOTAL_SECONDS,)),
    ("flow.md", "waits up to `max_outage` and a minute", (proxied._PATIENCE_SECONDS,)),
    ("flow.md", "waits for the service five seconds at the most, and up to ten for that process to start",
     (heartbeat.DEADLINE_SECONDS, heartbeat.START_SECONDS)),
    ("flow.md", "the sentinel looks every two seconds", (hookwatch.PAUSE_SECONDS,)),
    ("flow.md", "then every 20 seconds, for as long as it takes", (keeper.RETRY_SECONDS[-1],)),
    ("flow.md", "two seconds later it is interrupted, two seconds later killed",
     (givingup._BETWEEN_STEPS_SECONDS,) * 2),
    ("flow.md", "before each hourly watch", (HOURLY,)),
    ("flow.md", "for more than a quarter of a minute and stops Apache only then: the sentinel looks on for 16 seconds",
     (LATE_LOOKS - LATE_LOOKS % 15, round(LATE_LOOKS))),
    ("howto/other-services.md", "takes longer than 30 seconds", (alsoreload._SECONDS,)),
    ("howto/slack.md", "and four messages that begin with TEST", (KINDS,)),
    ("howto/telegram.md", "and four messages that begin with TEST", (KINDS,)),
    ("howto/telegram.md", "Telegram takes 4,096 characters",
     (apprise.Apprise.instantiate("tgram://123456789:AAF-abcdefghijklmnopqrstuv_wxyz012/-1001234567890/").body_maxlen,)),
    ("install.md", "The hourly timer runs", (HOURLY,)),
    ("install.md", "up to two minutes for another certbot's end",
     (from_script("contrib/debian/hand-back", "OTHERS_SECONDS"),)),
    ("limits.md", "an hour later at the most", (HOURLY,)),
    ("limits.md", "the hourly watch", (HOURLY,)),
    ("limits.md", "counts for 200 days", (precedent.COUNTS.total_seconds(),)),
    ("limits.md", "more than 20 brackets within each other", (shellgroups.DEPTH_LIMIT,)),
    ("limits.md", "up to `max_outage` and a minute", (proxied._PATIENCE_SECONDS,)),
    ("messages.md", "at most 190 characters", (message.TITLE_LIMIT,)),
    ("messages.md", "at most five causes at length", (troubles.GROUPS,)),
    ("messages.md", "has at most 20,000", (message.BODY_LIMIT,)),
    ("messages.md", "less than a tenth of its own lifetime** left: 9 days of 90, 14 hours of 6 days",
     (A_TENTH, OF_90, OF_6 - OF_6 % 3600, 6 * 86400)),
    ("messages.md", "90 days are assumed", (ASSUMED,)),
    ("messages.md", "after `remind_every` (24 h)", (SETTINGS["remind_every"],)),
    ("messages.md", "up to a twenty-fourth of that early", (1 / standing.EARLY_SHARE,)),
    ("messages.md", "a minute at first, four hours at the most", (FIRST_REST, LONGEST_REST)),
    ("messages.md", "more than ten minutes late", (message.LATE.total_seconds(),)),
    ("messages.md", "`keep_undelivered` (7 days)", (SETTINGS["keep_undelivered"],)),
    ("messages.md", "at most 200 lines, 12,000 characters", (logtail.LINES_LIMIT, logtail.LIMIT)),
    ("messages.md", "up to 1,024 characters", (render._BRIEF_UP_TO,)),
    ("messages.md", "up to 320 characters", (render._SMS_UP_TO,)),
    ("run.md", "half a second after the command has ended", (command._GRACE_SECONDS,)),
    ("run.md", "SIGTERM, ten seconds later SIGKILL", (command.KILL_AFTER_SECONDS,)),
    ("run.md", "then every 60 minutes", (retry.LONGEST_WAIT_SECONDS,)),
    ("run.md", "up to a quarter more at random", (retry._JITTER_SHARE,)),
    ("settings.md", "at most 1 MiB", (trust.READ_LIMIT_BYTES,)),
    ("setup.md", "the hourly watch", (HOURLY,)),
    ("state-files.md", "| 90 days; 30 days where a channel", (outbox_rows.KEEP_SENT_DAYS * 86400,
                                                               outbox_rows.KEEP_UNDELIVERED_DAYS * 86400)),
    ("state-files.md", "| 400 days, 2,000 runs at the most", HISTORY),
    ("state-files.md", "| what was told of a run (`told`) | 400 days", HISTORY[:1]),
    ("state-files.md", "120 days after it was last seen", (standing_rows.FORGET_DAYS * 86400,)),
    ("state-files.md", "newest 100 that are settled", (stale.KEEP_SETTLED_RUNS,)),
    ("state-files.md", "the newest 3", (KEEP_DAMAGED,)),
    ("state-files.md", "the newest 5", (keptfile.COPIES_KEPT,)),
    ("status.md", "a third of the lifetime left (of ten days or less: half)",
     (1 / 3, files._SHORT_LIFETIME.total_seconds())),
    ("status.md", "for four seconds at the most", (webserver.A_LOOK_SECONDS,)),
    ("status.md", "takes up to a minute", (services.DEADLINE_SECONDS,)),
    ("status.md", "2,000 runs are kept, for 400 days", HISTORY[::-1]),
    ("status.md", "of the last 90 days", (days.DAYS * 86400,)),
    ("status.md", "A terminal of 120 columns", (drawing.WIDE,)),
    ("status.md", "one of less than 72", (drawing.NARROW,)),
    ("tutorial.md", "the hourly watch", (HOURLY,)),
    ("units.md", "| every hour,", (HOURLY,)),
    ("units.md", "longer than three minutes",
     (seconds(of_unit(planning._recover(Config(Path("/x"))), "TimeoutStartSec")),)),
    ("units.md", "runs the watch every hour", (HOURLY,)),
    ("watch.md", "a timer or cron runs it every hour", (HOURLY,)),
    ("watch.md", "Since it comes every hour, a channel that fails rests in between: a minute at first, four "
     "hours at the most",
     (HOURLY, FIRST_REST, LONGEST_REST)),
    ("watch.md", "less than a tenth of that certificate's own lifetime left", (A_TENTH,)),
    ("watch.md", "`stale_after` (3 days) or a tenth of its lifetime", (SETTINGS["stale_after"], A_TENTH)),
    ("watch.md", "with less than a tenth of the lifetime left", (A_TENTH,)),
    ("watch.md", "a third of the lifetime left, but no more than 30 days (as certbot before 4.0 has it), half of it "
     "where that is ten days or less",
     (1 / 3, files._OF_OLDER_CERTBOTS.total_seconds(), files._SHORT_LIFETIME.total_seconds())),
    ("watch.md", "In the first 13 hours after a boot", (looking.JUST_BOOTED.total_seconds(),)),
    ("watch.md", "Not in the first 13 hours after a boot", (looking.JUST_BOOTED.total_seconds(),)),
    ("watch.md", "within a day of the window's beginning", (ari._PATIENCE.total_seconds(),)),
    ("watch.md", "once a day (later, if it says so), about 50 certificates in one look, for 10 seconds at the most",
     (ari._EVERY.total_seconds(), ari.MOST_A_PASS, default(ari.look, "deadline_seconds"))),
    ("watch.md", "expired more than 30 days ago", (files._FORGOTTEN.total_seconds(),)),
    ("watch.md", "less than a tenth of its lifetime is left", (A_TENTH,)),
    ("watch.md", "on the disk for ten minutes", (services.SETTLED_AFTER.total_seconds(),)),
    ("watch.md", "silent for 5 seconds", (default(tls.look, "each_seconds"),)),
    ("watch.md", "What may pass in two seconds is asked again", (tls._AGAIN_SECONDS,)),
    ("watch.md", "asked again ten seconds later", (services._PAUSE_SECONDS,)),
    ("watch.md", "32 places are asked at once, all of them within 60 seconds; an address that stayed silent "
     "three times",
     (default(tls.look, "parallel"), services.DEADLINE_SECONDS, tls._SILENT_LIMIT)),
    ("watch.md", "Of more than 2,000 places", (sites.LIMIT,)),
    ("watch.md", "looked at again ten seconds later", (of_services._RESTART_SECONDS,)),
    ("watch.md", "for 30 seconds at the most", (alsoreload._SECONDS,)),
    ("why.md", "looks from outside, every hour", (HOURLY,)),
]

# The page, its words, and where the figure is from.
FACTS: list[tuple[str, str, str]] = [
    ("README.md", "if it was stopped, up within 2 s", "faults/test_killed.py; below, against performance.md"),
    ("why.md", "if it was stopped, up within 2 s", "the same"),
    ("README.md", "a [ten-minute tutorial]", "how long somebody reads; integration/test_tutorial.py types it faster"),
    ("index.md", "shows both in ten minutes", "the same"),
    ("tutorial.md", "# Ten minutes with certbot-guard", "the same"),
    ("tutorial.md", "builds packages, which takes a minute or two", "script/practice, by hand; the network decides"),
    ("tutorial.md", "a CA was down for 86 minutes", "the story: Let's Encrypt's status page of 2018-12-01"),
    ("tutorial.md", "The site was down for 21 hours", "the story, as its author told it"),
    ("tutorial.md", "In the story that took 21 hours", "the same"),
    ("adopt.md", "Hooks in those two places", "named in the sentence before it"),
    ("events.md", "what each channel said, at most twenty", "telling.py cuts the list; script/events.txt"),
    ("fleet.md", "run at least once a day; every hour is better", "advice"),
    ("fleet.md", "its grace time to a day", "advice"),
    ("flow.md", "which two lines the virtual host needs", "integration/test_verbs.py"),
    ("flow.md", "measured up to about 1 s", "below, against performance.md"),
    ("flow.md", "RSA 4096 or a slow CA a second or two",
     "performance.md, window: 0.75 s of RSA 4096; a CA may take any time"),
    ("howto/cron-line.md", "after five of the same names in seven days",
     "letsencrypt.org/docs/rate-limits; below, against doctor"),
    ("howto/ntfy.md", "limits how many messages it takes in a day", "docs.ntfy.sh, limitations"),
    ("howto/pagerduty.md", "(32 letters and digits)", "PagerDuty's Events API; services/push.py asks for as many"),
    ("limits.md", "up to about a second under load", "below, against performance.md"),
    ("limits.md", "more than 1.2 times the challenge ([measured]: 1.75 and 1.46 times)",
     "below, against performance.md"),
    ("limits.md", "have two channels that do not share a way", "advice"),
    ("messages.md", "a thousand lineages with three causes are three", "an example; unit/test_message.py"),
    ("messages.md", "no more than 1,000 characters", "Pushover takes 1,024, Discord 2,000: what Apprise says of them"),
    ("messages.md", "certificates of 6 days and of 90", "what Let's Encrypt issues"),
    ("messages.md", "twelve lineages, two causes", "the pictures of script/screenshots"),
    ("run.md", "between two attempts nothing", "no amount"),
    ("setup.md", "(twice a day;", "the crontab line below it"),
    ("status.md", "With 1,000 lineages, and 500 virtual hosts of a real Apache that are all asked, `status` "
     "took 2.2 s, `--no-served` 0.6 s", "below, against performance.md"),
    ("units.md", "says the two lines for root's crontab", "the watch's and recover's; unit/test_units.py"),
    ("why.md", "Of one renewal of five lineages", "the table below it"),
]


def prose(page: Path) -> str:
    """A page without what is code, a link's target, or written by a program; blanks are one blank."""
    text = page.read_text("utf-8")
    mark = WRITTEN.get(page.name)
    if mark:
        text = text.partition(mark)[0] + text.partition("<!-- end of figures -->")[2]
    if page.name == "settings.md":
        text = text.partition("### [server]")[0] + text.partition("## certbot's command line")[2]
    text = re.sub(r"^( *)```.*?^ *```$", "", text, flags=re.S | re.M)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return re.sub(r"\s+", " ", text)


def figures(text: str) -> Iterator[re.Match[str]]:
    none = [found.span() for found in _NO_FIGURE.finditer(text)]
    code = [found.span() for found in re.finditer(r"`[^`]*`", text)]
    for found in _FIGURE.finditer(text):
        if not any(begin <= found.start() < end for begin, end in (*none, *code)):
            yield found


def amount(found: re.Match[str]) -> float:
    if found["share"]:
        return _SHARES[found["share"]]
    if found["hourly"]:
        return 3600.0
    number = found["number"] or found["count"] or found["most"] or found["large"]
    value = _WORDS[number] if number in _WORDS else float(number.replace(",", ""))
    unit = (found["unit"] or "").strip()
    return value * _UNITS.get(unit, _UNITS.get(unit.rstrip("s"), 1))


def amounts(text: str) -> list[float]:
    return [amount(found) for found in figures(text)]


@pytest.mark.parametrize("page, words, values", FIGURES, ids=[f"{page}: {words}"[:60] for page, words, _ in FIGURES])
def test_the_figure_is_the_constant_s(page: str, words: str, values: tuple[float, ...]) -> None:
    assert words in prose(DOCS / page), "the page has other words now"
    assert amounts(words) == pytest.approx(list(values))


@pytest.mark.parametrize("page, words, source", FACTS, ids=[f"{page}: {words}"[:60] for page, words, _ in FACTS])
def test_a_figure_with_another_source_is_there(page: str, words: str, source: str) -> None:
    assert source and words in prose(ROOT / page if page == "README.md" else DOCS / page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_there_is_no_figure_without_a_source(page: Path) -> None:
    text = prose(page)
    name = page.name if page == ROOT / "README.md" else str(page.relative_to(DOCS))
    known = [found.span() for where, words, _ in (*FIGURES, *FACTS) if where == name
             for found in re.finditer(re.escape(words), text)]
    unknown = [text[max(0, found.start() - 60):found.end() + 40] for found in figures(text)
               if not any(begin <= found.start() and found.end() <= end for begin, end in known)]
    assert unknown == [], "give each a row in FIGURES or FACTS"


# -- figures that are measured: the page that quotes one says what performance.md does ---------------------------------

MEASURED = (DOCS / "performance.md").read_text("utf-8")


def cells(row: str) -> list[str]:
    """The first row of performance.md that begins with these words."""
    line = next(line for line in MEASURED.splitlines() if line.startswith(f"| {row}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_what_is_said_of_a_killed_certbot_is_not_less_than_what_was_measured() -> None:
    worst = re.search(r"after ([\d.]+) s at the most", cells("certbot is killed in a window")[1])
    assert worst is not None and float(worst[1]) <= 2


def test_what_is_said_of_a_reload_is_the_slowest_answer_that_was_measured() -> None:
    requests = MEASURED.partition("<!-- measured: requests -->")[2].partition("<!-- end of requests -->")[0]
    row = r"^\| (?:guard, `mode = auto`|webroot, .*) \| ([\d.]+) s \| \d+ \|$"
    slowest = [float(found) for found in re.findall(row, requests, re.M)]
    assert slowest and 0.5 < max(slowest) < 1.5


def test_what_is_said_of_slow_answers_and_of_long_keys_was_measured() -> None:
    window = MEASURED.partition("<!-- measured: window -->")[2]
    shown = [re.search(rf"^\| {row}.*?\*\*([\d.]+)\*\*", window, re.M) for row in (
        "1, RSA key of 4096 bits", "1, each answer of the CA 0.2 s late")]
    assert shown[0] and shown[1] and f"{shown[0][1]} and {shown[1][1]} times" in prose(DOCS / "limits.md")
    promised = re.search(r"at most ([\d.]+) times what the challenge", MEASURED)
    assert promised and f"more than {promised[1]} times" in prose(DOCS / "limits.md")


def test_how_long_status_takes_is_what_was_measured() -> None:
    for words, row in (("`status` took", "`certbot-guard status`, 1,000"),
                       ("`--no-served`", "`certbot-guard status --no-served`, 1,000")):
        said = re.search(rf"{re.escape(words)} ([\d.]+) s", prose(DOCS / "status.md"))
        assert said and said[1] == f"{float(cells(row)[1].split()[0]):.1f}"


def test_the_rate_limit_is_the_one_that_doctor_names() -> None:
    assert "at most 5 times in 7 days" in judging.FORCE_WHY


def test_the_waits_of_run_and_the_patience_with_a_mail_server_are_the_constants_s() -> None:
    waits = ", ".join(f"{wait / 60:.0f}" for wait in WAITS)
    assert f"after {waits} and then every" in prose(DOCS / "run.md") and WAITS[-1] * 2 >= retry.LONGEST_WAIT_SECONDS
    assert f"(SMTP: {default(tls.look, 'each_seconds') * tls._PATIENCE['smtp']:.0f})" in prose(DOCS / "watch.md")


def test_apprise_has_as_many_services_as_the_readme_says() -> None:
    said = re.search(r"(\d+)\+ other channels", prose(ROOT / "README.md"))
    known = len(apprise.Apprise().details()["schemas"])
    if apprise.__version__ == "1.2.0":  # Debian 12's; docs/compatibility.md says so
        said = re.search(r"It knows (\d+) services", prose(DOCS / "compatibility.md"))
        assert said and known == int(said[1])
    else:
        assert said and known > int(said[1])


def test_a_figure_is_read_as_a_person_reads_it() -> None:
    assert amounts("five seconds, 1,024 characters, half a second, a tenth, 256 KiB, up to two minutes, hourly, every "
                   "hour") == \
        pytest.approx([5, 1024, 0.5, 0.1, 262144, 120, 3600, 3600])
    assert not amounts("a second channel, `5 seconds`, certbot 5.8, mode 0600, port 80, a minute that chance gives")
