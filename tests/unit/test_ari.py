"""What a CA's renewal information comes to: real certificates and files, a clock and a CA that are passed in."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Optional, Union

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from certbot_guard import schedule
from certbot_guard.watch import ari, files, renewalinfo
from certbot_guard.watch.caanswer import Answer, NoAnswerError
from tests.support.authority import Authority

START = datetime.now(timezone.utc).replace(microsecond=0)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CA, INFO = "https://ca.example/directory", "https://ca.example/renewal-info"
DIRECTORY = {"newOrder": "https://ca.example/new", "renewalInfo": INFO}
PAGE = "https://ca.example/incident-7"
AUTHORITY = Authority()


def window(start: datetime, end: datetime, page: Optional[str] = PAGE) -> bytes:
    document: dict[str, Any] = {"suggestedWindow": {"start": start.isoformat(), "end": end.isoformat()}}
    return json.dumps({**document, "explanationURL": page} if page else document).encode()


@dataclass
class Host:
    """Lineages, what is remembered of them, and a CA whose answers the test chooses."""

    directory: Path
    now: datetime = START
    says: Union[bytes, Answer, Exception, None] = None
    directories: dict[str, Union[bytes, Exception]] = field(
        default_factory=lambda: {CA: json.dumps(DIRECTORY).encode()})
    attempt: Optional[schedule.Attempt] = None
    noted: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    before_answering: Callable[[str], object] = lambda url: None

    def __post_init__(self) -> None:
        (self.directory / "renewal").mkdir()

    def lineage(self, name: str, days_left: float = 80, days: float = 90, more: str = "", server: str = CA) -> Path:
        live = self.directory / "live" / name
        live.mkdir(parents=True, exist_ok=True)
        pem, key = AUTHORITY.issue([name], days_left, days)
        (live / "cert.pem").write_bytes(pem)
        (live / "privkey.pem").write_bytes(key)
        path = self.directory / "renewal" / f"{name}.conf"
        references = "".join(f"{kind} = {live}/{kind}.pem\n" for kind in ("cert", "privkey", "chain", "fullchain"))
        path.write_text(f"{more}{references}[renewalparams]\nauthenticator = standalone\nserver = {server}\n")
        return path

    def fetch(self, url: str, _seconds: float) -> Answer:
        self.asked.append(url)
        self.before_answering(url)
        said = self.directories.get(url, self.says)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Answer) else Answer(said or b"")

    def look(self, deadline_seconds: float = 20.0) -> list[tuple[str, str]]:
        events: list[tuple[str, str]] = []

        def note(kind: str, lineage: str, names: list[str], explanation: str) -> None:
            assert kind == "revoked" and names in ([lineage], [])  # none: its certificate cannot be read now
            events.append((lineage, explanation))

        changes: dict[str, Optional[str]] = {}
        ari.look(list(files.read(self.directory)), note, self.now, self.noted, changes, lambda _now: self.attempt,
                 deadline_seconds, self.fetch)
        for name, value in changes.items():
            self.noted.pop(name, None)
            if value is not None:
                self.noted[name] = value
        return events

    @property
    def questions(self) -> int:
        return sum(url.startswith(INFO) for url in self.asked)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def at_once(host: Host) -> bytes:
    """As Let's Encrypt answers for a revoked certificate: an hour before the question (boulder, core/objects.go)."""
    return window(host.now - HOUR, host.now - HOUR / 2)


# -- what it means ---------------------------------------------------------------------------------------------------


def test_a_certificate_that_the_ca_wants_renewed_now_is_told_with_the_page_that_says_why(host: Host) -> None:
    host.lineage("example.com")
    host.says = at_once(host)
    assert host.look() == [("example.com", PAGE)]


@pytest.mark.parametrize("start, end, days_left, more, told", [
    (-2 * DAY, -DAY, 80, "", True),
    (-30 * DAY, 30 * DAY, 80, "", False),  # within the window every moment is good
    (DAY, 2 * DAY, 80, "", False),
    (-2 * DAY, -DAY, 29, "", False),  # due anyway
    (-2 * DAY, -DAY, 29, "renew_before_expiry = 10 days\n", False),  # the usual window, and a host that waits longer
    (-2 * DAY, -DAY, 80, "renew_before_expiry = 85 days\n", False),
    (-2 * DAY, -DAY, -1, "", False)])
def test_only_a_window_that_is_over_and_early_is_told(
        host: Host, start: timedelta, end: timedelta, days_left: float, more: str, told: bool) -> None:
    host.lineage("example.com", days_left, more=more)
    host.says = window(START + start, START + end)
    assert bool(host.look()) == told


def test_about_an_expired_certificate_nobody_is_asked(host: Host) -> None:
    host.lineage("example.com", -1)
    assert host.look() == [] and host.asked == []


def test_certbot_has_a_day_to_renew_it_by_itself_if_something_starts_it(host: Host) -> None:
    host.lineage("example.com")
    host.says = at_once(host)
    host.attempt = schedule.Attempt(START + 12 * HOUR, "certbot.timer", None)
    told = []
    for hour in range(72):
        host.now = START + hour * HOUR
        host.says = at_once(host)  # a window that begins an hour before each question
        told.append(bool(host.look()))
    assert told == [False] * 23 + [True] * 49 and host.questions == 3


def test_that_day_does_not_begin_again_with_each_question(host: Host) -> None:
    host.lineage("example.com")
    host.attempt = schedule.Attempt(START + 12 * HOUR, "certbot.timer", None)
    for host.now, told in ((START, False), (START + 26 * HOUR, True)):
        host.says = at_once(host)
        assert bool(host.look()) == told
    assert host.questions == 2


@pytest.mark.parametrize("next_run, more", [(3 * DAY, ""), (12 * HOUR, "autorenew = False\n")])
def test_a_certbot_that_does_not_come_in_time_is_not_waited_for(host: Host, next_run: timedelta, more: str) -> None:
    path = host.lineage("example.com")
    path.write_text(path.read_text() + more)
    host.says = at_once(host)
    host.attempt = schedule.Attempt(START + next_run, "certbot.timer", None)
    assert host.look()


def test_it_stands_until_there_is_another_certificate(host: Host) -> None:
    host.lineage("example.com", 32)
    host.says = at_once(host)
    assert host.look()
    for host.says in (NoAnswerError(True), b"<html>", window(START + 20 * DAY, START + DAY)):
        host.now += 3 * DAY  # it is due meanwhile
        assert host.look()
    host.lineage("example.com")
    assert host.look() == []


def test_it_stands_until_the_ca_says_otherwise(host: Host) -> None:
    host.lineage("example.com")
    host.says = at_once(host)
    assert host.look()
    host.now += HOUR
    host.says = window(START + 50 * DAY, START + 52 * DAY)
    assert host.look() and host.questions == 1  # not asked yet
    host.now += DAY
    assert host.look() == [] and host.questions == 2
    host.now, host.says = START + 60 * DAY, None
    assert host.look() == []  # that window is over as well, but is the usual one


def test_a_certificate_that_cannot_be_read_for_a_while_is_not_another_one(host: Host) -> None:
    path = host.lineage("example.com")
    host.says = at_once(host)
    assert host.look()
    text = path.read_text()
    path.write_text("[[[")
    assert host.look()
    path.write_text(text)
    host.says = None
    assert host.look()


def test_a_lineage_that_is_gone_is_forgotten(host: Host) -> None:
    path = host.lineage("example.com")
    host.says = at_once(host)
    host.look()
    assert host.noted
    path.unlink()
    host.look()
    assert host.noted == {}


@pytest.mark.parametrize("noted", [
    "", "{", "null", "[]", "7", '{"of": 1}', '{"of": "", "next": 5}', '{"x": ""}', "[" * 50_000])
def test_what_was_remembered_and_is_damaged_is_asked_for_again(host: Host, noted: str) -> None:
    path = host.lineage("example.com")
    host.noted[f"ari {path}"] = noted
    host.says = at_once(host)
    assert host.look() == [("example.com", PAGE)]


# -- how often -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retry_after, hours", [
    ("", 24), ("21600", 24), (str(3 * 86400), 72), ("9" * 30, 7 * 24), ("-5", 24), ("soon", 24), ("²", 24),
    ("Wed, 01 Jan 9999 00:00:00 GMT", 7 * 24), ("Wed, 01 Jan 1997 00:00:00 GMT", 24),
    ("Wed, 01 Jan 9999 00:00:00", 24)])
def test_a_lineage_is_asked_about_once_a_day_and_not_sooner_than_its_ca_says(
        host: Host, retry_after: str, hours: int) -> None:
    host.lineage("example.com")
    host.says = Answer(window(START + DAY, START + 2 * DAY), retry_after)
    host.look()
    host.now = START + (hours - 1) * HOUR
    host.look()
    assert host.questions == 1
    host.now = START + hours * HOUR
    host.look()
    assert host.questions == 2


def test_many_lineages_are_asked_about_in_turn_fifty_a_pass(host: Host) -> None:
    for number in range(120):
        host.lineage(f"n{number}.example")
    host.says = window(START + DAY, START + 2 * DAY)
    counts = []
    for _ in range(4):
        before = host.questions
        host.look()
        counts.append(host.questions - before)
        host.now += HOUR
    infos = [url for url in host.asked if url.startswith(INFO)]
    assert counts == [50, 50, 20, 0] and len(set(infos)) == 120


def test_a_ca_without_renewal_information_is_asked_for_it_once_a_day_however_many_lineages_it_has(host: Host) -> None:
    for number in range(30):
        host.lineage(f"n{number}.example")
    host.directories[CA] = b'{"newOrder": "https://ca.example/new"}'
    for _ in range(24):
        host.look()
        host.now += HOUR
    assert host.asked == [CA]
    host.look()
    assert host.asked == [CA, CA]


@pytest.mark.parametrize("trouble", [NoAnswerError(True), RuntimeError("ours"), NoAnswerError(False), b"maintenance"])
def test_a_ca_that_is_down_is_left_alone_for_six_hours(host: Host, trouble: Union[bytes, Exception]) -> None:
    host.lineage("example.com")
    host.directories[CA] = trouble
    for _ in range(12):
        assert host.look() == []
        host.now += HOUR
    assert host.asked == [CA, CA]


def test_another_ca_is_asked_while_one_hangs_and_the_pass_ends(host: Host) -> None:
    released = threading.Event()
    host.directories["https://hangs.example/dir"] = b""
    host.before_answering = lambda url: released.wait(60) if "hangs" in url else None
    for number in range(5):
        host.lineage(f"a{number}.example", server="https://hangs.example/dir")
    host.lineage("z.example")
    host.says = at_once(host)
    began = time.monotonic()
    assert host.look(deadline_seconds=2.0) == [("z.example", PAGE)]
    assert time.monotonic() - began < 20
    host.now += HOUR
    host.look(deadline_seconds=2.0)
    assert host.asked.count("https://hangs.example/dir") == 1
    released.set()


def test_one_lineage_at_which_its_ca_hangs_keeps_no_other_from_being_asked(host: Host) -> None:
    released = threading.Event()
    for name in ("a.example", "b.example"):
        host.lineage(name)
    host.says = at_once(host)
    first: list[str] = []

    def hang(url: str) -> None:
        if url != CA and url == (first or first.append(url) or [url])[0]:
            released.wait(60)

    host.before_answering = hang
    assert host.look(deadline_seconds=1.0) == []
    host.now += 7 * HOUR
    assert len(host.look(deadline_seconds=1.0)) == 1
    released.set()


# -- the protocol ----------------------------------------------------------------------------------------------------


def test_a_certificate_goes_by_the_name_that_rfc_9773_gives_its_example() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(0x8765_4321).not_valid_before(START.replace(tzinfo=None))
            .not_valid_after((START + DAY).replace(tzinfo=None)))
    signer = bytes.fromhex("69885B6B87464041E1B37B847BA0AE2CDE01C8D4")
    with_signer = made.add_extension(x509.AuthorityKeyIdentifier(signer, None, None), critical=False)
    assert renewalinfo.ident(with_signer.sign(key, hashes.SHA256())) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
    assert renewalinfo.ident(made.sign(key, hashes.SHA256())) == ""


@pytest.mark.parametrize("base, server, asked", [
    (INFO, CA, True), ("http://ca.example/info", CA, False), ("http://ca.example/info", "http://ca.example/dir", True),
    (INFO, "http://ca.example/dir", True), ("file:///etc/shadow", "http://ca.example/dir", False),
    ("//ca.example", CA, False), (7, CA, False), (None, CA, False), ("", CA, False)])
def test_where_the_directory_sends_us_is_no_weaker_than_the_directory(
        host: Host, base: Any, server: str, asked: bool) -> None:
    host.lineage("example.com", server=server)
    host.directories[server] = json.dumps({**DIRECTORY, "renewalInfo": base}).encode()
    host.look()
    assert len(host.asked) == (2 if asked else 1)


@pytest.mark.parametrize("body", [
    b"", b"null", b"[]", b"7", b'"x"', b"{}", b"[" * 60_000, b"{" + b'"a":{' * 9_000, b"\xff\xfe",
    b'{"suggestedWindow": []}', b'{"suggestedWindow": {}}', b'{"suggestedWindow": {"start": 1, "end": 2}}',
    b'{"a": ' + b"9" * 50_000 + b"}", window(START - HOUR, START - HOUR), window(START - HOUR, START - DAY),
    *(json.dumps({"suggestedWindow": {"start": start, "end": end}}).encode() for start, end in (
        ("2020-01-01", "2020-01-02"), ("2020-01-01T00:00:00", "2020-01-02T00:00:00"),
        ("0001-01-01T00:00:00+14:00", "2020-01-02T00:00:00Z"), ("2020-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"),
        ("2020-13-01T00:00:00Z", "2020-01-02T00:00:00Z"), ("2020-01-01T00:00:00Z\n", "2020-01-02T00:00:00Z"),
        ("٢020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"), ("2020-01-01T00:00:00+99:00", "2020-01-02T00:00:00Z")))])
def test_an_answer_that_is_none_says_nothing(host: Host, body: bytes) -> None:
    host.lineage("example.com")
    host.says = body
    assert host.look() == [] and host.questions == 1


def test_times_are_read_as_rfc_3339_writes_them() -> None:
    for start in ("2020-01-01T02:00:00.123456789+02:00", "2020-01-01t00:00:00z", "2019-12-31T19:00:00-05:00"):
        suggested = {"start": start, "end": "2020-01-02T04:00:00Z"}
        found = renewalinfo._window(json.dumps({"suggestedWindow": suggested}).encode())
        assert found is not None and found.start == datetime(2020, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize("page, shown", [
    ("https://ca.example/why?a=b&c=d#e", True), ("http://ca.example:8080", True), (None, False),
    (["https://ca.example"], False), ("javascript:alert(1)", False), ("https://good.example@evil.example/", False),
    ("https://ca.example/\nBcc: x", False), ("https://ca.example/<!channel>", False),
    ("https://ca.example/ run this", False), ("https://ca.ex\u0430mple/", False),
    ("https://ca.example/](x", False), ("https://ca.example/" + "a" * 300, False), ("https://", False)])
def test_the_page_that_says_why_is_an_address_and_nothing_else(host: Host, page: Any, shown: bool) -> None:
    host.lineage("example.com")
    host.says = window(START - 2 * HOUR, START - HOUR, page)
    assert host.look() == [("example.com", page if shown else "")]


_KEYS = ["suggestedWindow", "start", "end", "explanationURL", "newOrder", "renewalInfo"]
_json = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                     lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(_KEYS) | st.text(), inner),
                     max_leaves=12)


@given(st.binary() | _json.map(lambda value: json.dumps(value).encode()), st.text())
def test_whatever_a_ca_answers_nothing_falls_over(body: bytes, retry_after: str) -> None:
    found = renewalinfo._window(body)
    assert found is None or found.start < found.end
    assert timedelta(0) <= renewalinfo._pause(retry_after, START) <= 7 * DAY
    try:
        assert renewalinfo._renewal_info(CA, body) is None or b"https://" in body
    except NoAnswerError:
        pass
