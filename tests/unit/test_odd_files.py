"""What stands where a file of certbot's, of a web server's or of ours is read, and is none: a pipe, a directory, a
device, a huge file, nothing at all. Who reads it says at once what it says of a file that cannot be read, and does not
fill the memory with it."""

from __future__ import annotations

import os
import pickle
import resource
import select
import signal
import struct
import warnings
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timezone
from pathlib import Path
from typing import Any, Callable, Iterator

import cryptography.hazmat.primitives.serialization  # loaded before the memory is limited
import cryptography.x509  # noqa: F401
import pytest

from certbot_guard import (
    adoption_notes,
    business,
    counts,
    installations,
    invocation,
    lineages,
    notify,
    plainfile,
    schedule,
    schema,
    served,
)
from certbot_guard.adoption_notes import Note
from certbot_guard.config import Config
from certbot_guard.errors import PairError, StateError
from certbot_guard.journal import FILE, Journal
from certbot_guard.run import FACTS, Run
from certbot_guard.servers import certificates
from certbot_guard.servers.configuration import Named, Place
from certbot_guard.watch import ari, caanswer, files, ondisk
from tests.support.apache import make_certificate

PATIENCE_SECONDS = 20.0
HUGE_BYTES = 100 * 1000**2
# What a reader may take beside what is there already; a huge file has no place in it.
MEMORY_BYTES = 64 * 1024**2

SAID = "something"
OPTIONS = "config-dir = /srv/letsencrypt\n"


@dataclass(frozen=True)
class Scene:
    """A lineage named ``a`` that was renewed once, and what else is read, all of it well."""

    root: Path

    def __truediv__(self, name: str) -> Path:
        return self.root / name

    @property
    def live(self) -> Path:
        return self.root / "live" / "a"

    @property
    def renewal_file(self) -> Path:
        return self.root / "renewal" / "a.conf"

    @property
    def lineage(self) -> files.Lineage:
        return files.Lineage(self.renewal_file, "a", certificate=self.live / "cert.pem")


def _named(path: Path) -> Named:
    return Named(str(path), Place("/etc/apache2/site.conf", 7))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    found = Scene(tmp_path)
    for name in ("renewal", "archive/a", "live/a", "runs/one", "state"):
        (tmp_path / name).mkdir(parents=True)
    for number in (1, 2):
        certificate, key = make_certificate(["a.example"])
        for name, data in (("cert", certificate), ("fullchain", certificate), ("chain", certificate), ("privkey", key)):
            (tmp_path / f"archive/a/{name}{number}.pem").write_bytes(data)
    for name in ("cert", "fullchain", "chain", "privkey"):
        (found.live / f"{name}.pem").symlink_to(f"../../archive/a/{name}2.pem")
    found.renewal_file.write_text("".join(f"{name} = {found.live}/{name}.pem\n" for name in
                                          ("cert", "privkey", "chain", "fullchain"))
                                  + "[renewalparams]\nauthenticator = standalone\ninstaller = guard\n", "utf-8")
    (found / "cli.ini").write_text(OPTIONS, "utf-8")
    (found / "guard.ini").write_text("[state]\ndir = /srv/state\n", "utf-8")
    (found / "apprise.conf").write_text("json://localhost\n", "utf-8")
    (found / "certbot.list").write_text("/usr/bin/certbot\n", "utf-8")
    (found / "bundle.pem").write_bytes(make_certificate()[0])
    (found / "runs/one" / FACTS).write_text('{"id": "one"}', "utf-8")
    # RFC 9636: one type of local time, an hour east
    (found / "localtime").write_bytes(b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
                                      + struct.pack(">lbb", 3600, 0, 0) + b"ODD\0")
    Journal.open(found / "state", "").close()
    yield found


def _raised(kind: type[BaseException], call: Callable[[], Any]) -> Any:
    """``kind`` where it is raised, else that nothing was."""
    try:
        call()
    except kind:
        return kind
    return SAID


def _database(scene: Scene) -> None:
    with closing(counts._open(scene / "state", "")) as book:
        book.memory()


def _with(module: Any, name: str, value: Any, call: Callable[[], Any]) -> Any:
    setattr(module, name, value)  # in a process of its own
    return call()


def _target(scene: Scene) -> dict[str, Any]:
    path = scene / "apprise.conf"
    return notify._targets(Config(scene / "guard.ini", apprise_configs=(path,)))[f"apprise_config {path}"]


def _note() -> Note:
    return Note(b"", "", certificate=("cert1.pem", "of another"))


@dataclass(frozen=True)
class Reader:
    """Who reads a file, and what it says where that cannot be read.

    :ivar otherwise: where it says something else: of a part that makes no sense, of a directory that it can use
    """

    file: str
    call: Callable[[Scene], Any]
    nothing: Any
    otherwise: Mapping[str, Any] = field(default_factory=dict)


def _pair(certificate: str, key: str) -> Callable[[Scene], Any]:
    return lambda scene: _raised(PairError, lambda: certificates._check_pair(
        _named(scene / certificate), _named(scene / key), False))


CERT, KEY = "archive/a/cert2.pem", "archive/a/privkey2.pem"
CONF, OLD = "renewal/a.conf", "archive/a/cert1.pem"
READERS: dict[str, Reader] = {
    "plainfile.whole": Reader(
        CERT, lambda scene: _raised(OSError, lambda: plainfile.whole(scene / CERT, 9999)), OSError),
    "plainfile.check": Reader(
        CERT, lambda scene: _raised(OSError, lambda: plainfile.check(scene / CERT, 9999)), OSError),
    "ondisk._certificates": Reader(
        CERT, lambda scene: _raised(OSError, lambda: ondisk._certificates(scene / CERT)), OSError,
        otherwise={"huge": SAID}),
    "ondisk._certificates, quietly": Reader(CERT, lambda scene: ondisk._certificates(scene / CERT, quietly=True), ()),
    "ondisk.on_disk, an older one": Reader(OLD, lambda scene: ondisk.on_disk(scene.root)[0].older, frozenset()),
    "files._certificate": Reader(CERT, lambda scene: files._certificate(scene.live / "cert.pem"), (None, ())),
    "files._fits, the certificate": Reader(
        CERT, lambda scene: files._fits(scene.live / "cert.pem", scene.live / "privkey.pem"), None),
    "files._fits, the key": Reader(
        KEY, lambda scene: files._fits(scene.live / "cert.pem", scene.live / "privkey.pem"), None),
    "files._read": Reader(CONF, lambda scene: bool(files._read(scene.renewal_file).error), True),
    "ari._certificate": Reader(CERT, lambda scene: ari._certificate(scene.lineage), ("", "")),
    "certificates._check_pair, the certificate": Reader(CERT, _pair(CERT, KEY), PairError),
    "certificates._check_pair, the key": Reader(KEY, _pair(CERT, KEY), PairError),
    "certificates._check_readable": Reader("bundle.pem", lambda scene: _raised(
        PairError, lambda: certificates._check_readable(_named(scene / "bundle.pem"))), PairError),
    "certificates._parses": Reader(CERT, lambda scene: certificates._parses(str(scene / CERT)), False),
    "caanswer._trust": Reader("bundle.pem", lambda scene: _raised(
        OSError, lambda: caanswer._trust(str(scene / "bundle.pem"), "")), OSError, otherwise={"directory": SAID}),
    "counts._lineage, the configuration": Reader(
        CONF, lambda scene: counts._lineage(scene.renewal_file), counts.Lineage("a", None, None)),
    "counts._lineage, the certificate": Reader(
        CERT, lambda scene: counts._lineage(scene.renewal_file), counts.Lineage("a", True, None)),
    "counts._open": Reader(f"state/{FILE}", lambda scene: _raised(StateError, lambda: _database(scene)), StateError),
    "schema._refuse_newer": Reader(f"state/{FILE}", lambda scene: _raised(
        OSError, lambda: schema._refuse_newer(scene / "state" / FILE)), OSError, otherwise={"huge": SAID}),
    "lineages.parsed": Reader(CONF, lambda scene: _raised(
        OSError, lambda: lineages.parsed(scene.renewal_file)), OSError, otherwise={"huge": ValueError}),
    "lineages.value": Reader(CONF, lambda scene: lineages.value(scene.renewal_file, "installer"), None),
    "lineages.validity": Reader(CERT, lambda scene: lineages.validity(scene.root, "a"), None),
    "served._fingerprints": Reader(
        OLD, lambda scene: len(served._fingerprints(scene / "archive/a")), 1),
    "served._newest": Reader(CERT, lambda scene: served._newest(scene.live / "cert.pem"), None),
    "served._names": Reader(CERT, lambda scene: served._names(scene.live / "cert.pem"), []),
    "adoption_notes.newest_certificate": Reader(
        CERT, lambda scene: adoption_notes.newest_certificate(scene.root, "a"), ("", "")),
    "adoption_notes._is_of_another": Reader(
        OLD, lambda scene: adoption_notes._is_of_another(scene.root, "a", _note()), False),
    "invocation._file_options": Reader("cli.ini", lambda scene: invocation._file_options(str(scene / "cli.ini")), {}),
    "business._directories": Reader(
        "guard.ini", lambda scene: business._directories(scene / "guard.ini"), (),
        otherwise=dict.fromkeys(("pipe", "device", "huge"), business._DEFAULT)),
    "notify._targets": Reader("apprise.conf", lambda scene: "problem" in _target(scene), True),
    "installations._is_debians": Reader("certbot.list", lambda scene: _with(
        installations, "_DPKG_LIST", scene / "certbot.list",
        lambda: installations._is_debians(Path("/usr/bin/certbot"), Path("/usr/bin/certbot"))), False),
    "schedule.local_zone": Reader("localtime", lambda scene: _with(
        schedule, "_LOCALTIME", str(scene / "localtime"), lambda: schedule.local_zone() is timezone.utc), True),
    "run.Run.load": Reader(f"runs/one/{FACTS}", lambda scene: _raised(
        StateError, lambda: Run.load(scene / "runs/one")), StateError),
}


def _limited(call: Callable[[], Any]) -> Any:
    """What ``call`` says, in a process that has little memory and no time to wait."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    mine, its = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python >= 3.12: of a fork beside threads
        child = os.fork()
    if not child:
        try:
            limit = pages * resource.getpagesize() + MEMORY_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            try:
                said: Any = ("said", call())
            except BaseException as error:
                said = ("raised", type(error))
            os.write(its, pickle.dumps(said))
        finally:
            os._exit(0)
    os.close(its)
    try:
        ready, _, _ = select.select([mine], [], [], PATIENCE_SECONDS)
        assert ready, "it waits for somebody, or comes to no end"
        data = os.read(mine, 1024**2)
    finally:
        os.close(mine)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    how, found = pickle.loads(data)
    return found


def _odd(path: Path, what: str) -> None:
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "huge":
        path.touch()
        os.truncate(path, HUGE_BYTES)


@pytest.mark.parametrize("what", ["pipe", "directory", "device", "huge", "none"])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_such_file_is_one_that_cannot_be_read(scene: Scene, name: str, what: str) -> None:
    reader = READERS[name]
    _odd(scene / reader.file, what)
    assert _limited(lambda: reader.call(scene)) == reader.otherwise.get(what, reader.nothing)


@pytest.mark.parametrize("name", READERS)
def test_a_plain_file_is_read_and_behind_a_link_as_well(scene: Scene, name: str) -> None:
    reader = READERS[name]
    said = _limited(lambda: reader.call(scene))
    assert said != reader.nothing and not (isinstance(said, type) and issubclass(said, BaseException))
    path = scene / reader.file
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere").name)
    assert _limited(lambda: reader.call(scene)) == said


def test_a_pipe_that_somebody_holds_open_and_says_nothing_in_is_no_settings_file(scene: Scene) -> None:
    _odd(scene / "guard.ini", "pipe")
    writer = os.open(scene / "guard.ini", os.O_RDWR | os.O_NONBLOCK)
    try:
        assert _limited(lambda: business._directories(scene / "guard.ini")) == business._DEFAULT
        assert _limited(lambda: invocation._file_options(str(scene / "guard.ini"))) == {}
    finally:
        os.close(writer)


def test_the_whole_of_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert plainfile.whole(tmp_path / "file", 5) == b"12345" and plainfile.check(tmp_path / "file", 5) is None
    for refuses in (plainfile.whole, plainfile.check):
        with pytest.raises(OSError, match="too large"):
            refuses(tmp_path / "file", 4)


def test_of_a_directory_is_said_that_it_is_one(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        plainfile.opened(tmp_path)


def test_a_certificate_that_breaks_off_in_blanks_is_none(tmp_path: Path) -> None:
    """A pattern that tries each share of them anew would be at it for hours."""
    (tmp_path / "cert.pem").write_bytes(b"-----BEGIN CERTIFICATE-----" + b" " * 200_000)
    assert _limited(lambda: ondisk._certificates(tmp_path / "cert.pem")) == ()


def test_a_file_of_apprise_s_says_the_same_whatever_its_lines_end_with(scene: Scene) -> None:
    for data in (b"json://a\njson://b\n", b"json://a\r\njson://b\r\n", b"json://a\rjson://b\r"):
        (scene / "apprise.conf").write_bytes(data)
        assert _target(scene)["file"] == "json://a\njson://b\n"


def test_the_options_of_a_cli_ini_are_found_whatever_its_lines_end_with(tmp_path: Path) -> None:
    (tmp_path / "cli.ini").write_bytes(b"# one\r\nconfig-dir = /a\r\nlogs-dir = '/b'")
    assert invocation._file_options(str(tmp_path / "cli.ini")) == {"config-dir": "/a", "logs-dir": "/b"}
