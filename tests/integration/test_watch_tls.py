"""What services show over TLS, looked at on real sockets: Apache, aiosmtpd, and servers that speak by a script."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Callable, Iterator, Optional, Sequence

import pytest

from certbot_guard.servers.apache import ApacheServer, find_program
from certbot_guard.servers.command import CommandServer
from certbot_guard.watch import sites
from certbot_guard.watch.handshake import chain_of
from certbot_guard.watch.judge import Disk, Trouble, judge, on_disk
from certbot_guard.watch.starttls import NoTLSError
from certbot_guard.watch.tls import Place, Shown, look
from tests.support.apache import PrivateApache, control_program
from tests.support.authority import Authority
from tests.support.listener import BadListener
from tests.support.mailbox import Mailbox
from tests.support.ports import free_port
from tests.support.scripted import Scripted

with_apache = [pytest.mark.skipif(control_program() is None, reason="Apache is not installed"),
               pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
DEADLINE_SECONDS = 60.0


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


class Lineages:
    """certbot's directory with lineages made up at once. A lineage's chain has its authority behind the certificate."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.authority = directory, Authority()
        self._count: dict[str, int] = {}
        directory.chmod(0o755)

    def issue(self, name: str, names: Sequence[str] = (), days_left: float = 60) -> Path:
        """The lineage's next certificate. Returns its directory in live/."""
        number = self._count[name] = self._count.get(name, 0) + 1
        certificate, key = self.authority.issue(names or [name], days_left)
        archive, live = self.directory / "archive" / name, self.directory / "live" / name
        for directory in (archive, live):
            directory.mkdir(parents=True, exist_ok=True)
        files = {"cert": certificate, "fullchain": certificate + self.authority.certificate, "privkey": key}
        for kind, data in files.items():
            (archive / f"{kind}{number}.pem").write_bytes(data)
            link = live / f"{kind}.pem"
            if link.is_symlink():
                link.unlink()
            link.symlink_to(archive / f"{kind}{number}.pem")
        return live


@pytest.fixture
def lineages(tmp_path: Path) -> Lineages:
    return Lineages(tmp_path)


@pytest.fixture
def apache() -> Iterator[PrivateApache]:
    with PrivateApache() as private:
        yield private


@pytest.fixture
def everywhere() -> Iterator[PrivateApache]:
    """One whose TLS port is on every address."""
    port, plain = free_port(), free_port()
    with PrivateApache(http_port=plain, https_port=port, listen=[f"127.0.0.1:{plain}", f"{port} https"]) as private:
        yield private


def serve(apache: PrivateApache, live: Path, name: str, file: str = "fullchain.pem", extra: str = "") -> None:
    apache.add_vhost(name, certificate=live / file, key=live / "privkey.pem", extra=extra)


def server_of(apache: PrivateApache) -> ApacheServer:
    program = find_program(apache.environment)
    assert program is not None
    return ApacheServer(program, apache.environment)


def troubles(apache: PrivateApache, lineages: Lineages) -> list[Trouble]:
    """What a pass of the watch finds."""
    disk = on_disk(lineages.directory)
    found = sites.of_server(server_of(apache), disk)
    assert found.places and not found.problem
    return [trouble for shown in look(found.places, DEADLINE_SECONDS) for trouble in judge(shown, disk, now(), True)]


def judged(found: sites.Sites, disk: Disk) -> list[str]:
    shown = look(found.places, DEADLINE_SECONDS)
    return [trouble.kind for one in shown for trouble in judge(one, disk, now(), True)]


def kinds(found: Sequence[Trouble]) -> list[tuple[str, str]]:
    return [(trouble.kind, trouble.place.name) for trouble in found]


class TestApache:
    pytestmark = with_apache

    def test_nothing_is_wrong_with_a_server_that_serves_its_lineages(self, apache: PrivateApache, lineages: Lineages):
        live = lineages.issue("a.test", ["a.test", "www.a.test"])
        serve(apache, live, "a.test", extra="ServerAlias www.a.test in.house")
        serve(apache, lineages.issue("wild", ["*.b.test"]), "x.b.test", extra="ServerAlias *.b.test")
        apache.start()
        assert troubles(apache, lineages) == []

    def test_a_renewal_without_a_reload_is_noticed_and_gone_after_it(self, apache: PrivateApache, lineages: Lineages):
        serve(apache, lineages.issue("a.test", days_left=20), "a.test")
        serve(apache, lineages.issue("b.test"), "b.test")
        apache.start()
        live = lineages.issue("a.test")
        trouble, = troubles(apache, lineages)
        assert (trouble.kind, trouble.lineage, trouble.place.name) == ("served-old", "a.test", "a.test")
        assert "not loaded" in trouble.words and str(apache.vhosts) in trouble.place.source
        assert live.is_dir()
        server_of(apache).reload()
        assert troubles(apache, lineages) == []

    def test_files_that_were_copied_elsewhere_are_noticed_once_the_lineage_is_renewed(
            self, apache: PrivateApache, lineages: Lineages):
        live = lineages.issue("a.test", days_left=20)
        apache.write_certificate((live / "fullchain.pem").read_bytes(), (live / "privkey.pem").read_bytes())
        apache.add_vhost("a.test", certificate=apache.certificate, key=apache.key)
        apache.start()
        assert troubles(apache, lineages) == []
        lineages.issue("a.test")
        assert ("served-copy", "a.test") in kinds(troubles(apache, lineages))
        server_of(apache).reload()
        trouble = next(one for one in troubles(apache, lineages) if one.place.name == "a.test")
        assert trouble.kind == "served-copy"
        assert f"it loads {apache.certificate}, not {live}/fullchain.pem" in trouble.words

    def test_a_chain_cut_short_is_noticed(self, apache: PrivateApache, lineages: Lineages):
        serve(apache, lineages.issue("a.test"), "a.test", file="cert.pem")
        apache.start()
        trouble, = troubles(apache, lineages)
        assert trouble.kind == "served-chain" and "'certbot-guard test authority' is missing" in trouble.words

    @pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
    def test_the_whole_chain_is_seen(self, apache: PrivateApache, lineages: Lineages, version: str):
        live = lineages.issue("a.test")
        serve(apache, live, "a.test", extra=f"SSLProtocol -all +{version}")
        (apache.vhosts / "default-tls.conf").unlink()
        apache.start()
        one, = look([Place("127.0.0.1", apache.https_port or 0, "a.test")], DEADLINE_SECONDS)
        assert one.chain == on_disk(lineages.directory)[0].fullchain and one.chain_known

    @pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
    def test_a_server_that_wants_a_certificate_of_ours_has_shown_its_own(
            self, apache: PrivateApache, lineages: Lineages, version: str):
        live = lineages.issue("a.test")
        serve(apache, live, "a.test", extra=f"SSLProtocol -all +{version}\nSSLVerifyClient require\n"
                                            f"SSLCACertificateFile {live}/fullchain.pem")
        (apache.vhosts / "default-tls.conf").unlink()
        apache.ctl("start")
        deadline = time.monotonic() + 15
        while not apache.get():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert troubles(apache, lineages) == []

    def test_an_expired_certificate_is_noticed(self, apache: PrivateApache, lineages: Lineages):
        serve(apache, lineages.issue("a.test", days_left=-1), "a.test")
        apache.start()
        assert kinds(troubles(apache, lineages)) == [("served-expired", "a.test")]

    def test_a_name_that_is_answered_with_the_default_certificate_is_noticed(
            self, apache: PrivateApache, lineages: Lineages):
        lineages.issue("a.test")
        apache.add_vhost("a.test", certificate=apache.certificate, key=apache.key)
        apache.start()
        trouble, = troubles(apache, lineages)
        assert (trouble.kind, trouble.place.name) == ("served-name", "a.test")

    def test_ipv6_is_looked_at_as_well_as_ipv4(self, everywhere: PrivateApache, lineages: Lineages):
        serve(everywhere, lineages.issue("a.test", days_left=20), "a.test")
        everywhere.start()
        lineages.issue("a.test")
        assert sorted(trouble.place.host for trouble in troubles(everywhere, lineages)) == ["127.0.0.1", "::1"]

    def test_a_virtual_host_on_an_address_of_another_machine_is_not_asked(
            self, everywhere: PrivateApache, lineages: Lineages):
        apache, live = everywhere, lineages.issue("a.test")
        (apache.vhosts / "far.conf").write_text(
            f"<VirtualHost 192.0.2.1:{apache.https_port}>\nServerName a.test\nSSLEngine on\n"
            f"SSLCertificateFile {live}/fullchain.pem\nSSLCertificateKeyFile {live}/privkey.pem\n</VirtualHost>\n")
        apache.start()
        places = sites.of_server(server_of(apache), Disk()).places
        assert {place.host for place in places} == {"127.0.0.1", "::1"}

    def test_a_broken_configuration_leaves_the_sockets_to_look_at(self, apache: PrivateApache, lineages: Lineages):
        serve(apache, lineages.issue("a.test", days_left=20), "a.test")
        apache.start()
        lineages.issue("a.test")
        apache.break_configuration()
        disk = on_disk(lineages.directory)
        server = server_of(apache)
        server.instance.dump = _dump_of(apache)
        found = sites.of_server(server, disk)
        assert "configuration test fails" in found.problem
        assert judged(found, disk) == ["served-old"]

    def test_another_server_is_asked_for_each_lineages_names(self, apache: PrivateApache, lineages: Lineages):
        serve(apache, lineages.issue("a.test", days_left=20), "a.test")
        lineages.issue("elsewhere.test")  # not served here, which is no trouble
        apache.start()
        lineages.issue("a.test")
        disk = on_disk(lineages.directory)
        server = CommandServer("true", "true", None, None, (apache.https_port or 0,), {})
        found = sites.of_server(server, disk)
        assert [(place.name, place.port) for place in found.places] == [
            ("a.test", apache.https_port), ("elsewhere.test", apache.https_port)]
        assert judged(found, disk) == ["served-old"]

    def test_no_more_places_than_the_limit_and_those_of_lineages_first(
            self, apache: PrivateApache, lineages: Lineages, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(sites, "LIMIT", 2)
        apache.add_vhost("x.test", certificate=apache.certificate, key=apache.key, extra="ServerAlias y.test z.test")
        serve(apache, lineages.issue("a.test"), "zz.test", extra="ServerAlias a.test")
        apache.start()
        found = sites.of_server(server_of(apache), on_disk(lineages.directory))
        assert [place.name for place in found.places] == ["zz.test", "a.test"] and found.left_out == 4


def _dump_of(apache: PrivateApache):
    """What a watch knew of this Apache before its configuration broke: which processes are its own."""
    from certbot_guard.servers.dump import Dump

    return Dump(server_root=str(apache.root), pid_file=str(apache.pid_file), error_log=str(apache.error_log))


# -- other servers -------------------------------------------------------------------------------------------


def says(*steps: bytes) -> Callable[[socket.socket], bool]:
    """``b"> ..."`` is said; ``b"< ..."`` has to be heard, or the server leaves."""

    def script(connection: socket.socket) -> bool:
        for step in steps:
            if step.startswith(b"> "):
                connection.sendall(step[2:])
            else:
                wanted, heard = step[2:], b""
                while len(heard) < len(wanted):
                    data = connection.recv(len(wanted) - len(heard))
                    if not data:
                        return False
                    heard += data
                if heard != wanted:
                    connection.sendall(b"unexpected: " + heard)
                    return False
        return True

    return script


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return Authority().write(tmp_path, "service", ["mail.test"])


@pytest.fixture
def scripted(pair: tuple[Path, Path]) -> Iterator[Callable[..., Scripted]]:
    made: list[Scripted] = []

    def make(script: Callable[[socket.socket], bool] = lambda connection: True) -> Scripted:
        made.append(Scripted(pair, script))
        return made[-1]

    yield make
    for one in made:
        one.close()


def shown_at(port: int, starttls: str = "", **more: float) -> Shown:
    one, = look([Place("127.0.0.1", port, "mail.test", starttls)], DEADLINE_SECONDS, **more)
    return one


_LDAP = bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"
DIALOGUES = {
    "smtp": says(b"> 220-mail.test\r\n220 ESMTP\r\n", b"< EHLO [127.0.0.1]\r\n",
                 b"> 250-mail.test\r\n250-starttls\r\n250 HELP\r\n", b"< STARTTLS\r\n", b"> 220 go\r\n"),
    "lmtp": says(b"> 220 mail.test\r\n", b"< LHLO [127.0.0.1]\r\n", b"> 250-mail.test\r\n250 STARTTLS\r\n",
                 b"< STARTTLS\r\n", b"> 220 go\r\n"),
    "imap": says(b"> * OK [CAPABILITY IMAP4rev1] ready\r\n", b"< a STARTTLS\r\n", b"> * CAPABILITY\r\na OK begin\r\n"),
    "pop3": says(b"> +OK ready\r\n", b"< STLS\r\n", b"> +OK begin\r\n"),
    "sieve": says(b'> "IMPLEMENTATION" "x"\r\n"STARTTLS"\r\nOK "ready"\r\n', b"< STARTTLS\r\n", b"> OK\r\n"),
    "ftp": says(b"> 220-hello\r\n  and more\r\n220 ready\r\n", b"< AUTH TLS\r\n", b"> 234 go\r\n"),
    "postgres": says(b"< \x00\x00\x00\x08\x04\xd2\x16\x2f", b"> S"),
    "ldap": says(b"< " + _LDAP, b"> " + bytes.fromhex("300c02010178070a010004000400")),
}
REFUSALS = {
    "smtp": (says(b"> 220 x\r\n", b"< EHLO [127.0.0.1]\r\n", b"> 250 HELP\r\n"), "it does not offer STARTTLS"),
    "imap": (says(b"> * OK x\r\n", b"< a STARTTLS\r\n", b"> a NO <@here> no certificate\r\n"),
             "after STARTTLS it said 'a NO ‹(at)here› no certificate'"),
    "pop3": (says(b"> -ERR too many\r\n"), "after the greeting it said '-ERR too many'"),
    "sieve": (says(b"> BYE \"later\"\r\n"), "after the greeting it said 'BYE \"later\"'"),
    "ftp": (says(b"> 220 x\r\n", b"< AUTH TLS\r\n", b"> 534 not here\r\n"), "after AUTH TLS it said '534 not here'"),
    "postgres": (says(b"< \x00\x00\x00\x08\x04\xd2\x16\x2f", b"> N"), "it says that it does not take TLS"),
    "ldap": (says(b"< " + _LDAP, b"> " + bytes.fromhex("300c02010178070a013504000400")),
             "it refuses TLS: LDAP result 53"),
}


@pytest.mark.parametrize("protocol", sorted(DIALOGUES))
def test_a_certificate_behind_starttls_is_seen(scripted: Callable[..., Scripted], pair: tuple[Path, Path],
                                               protocol: str):
    one = shown_at(scripted(DIALOGUES[protocol]).port, protocol)
    assert not one.problem and one.chain == (ssl.PEM_cert_to_DER_cert(pair[0].read_text()),)


@pytest.mark.parametrize("protocol", sorted(REFUSALS))
def test_a_refused_starttls_is_told_in_the_servers_words(scripted: Callable[..., Scripted], protocol: str):
    script, words = REFUSALS[protocol]
    assert shown_at(scripted(script).port, protocol).problem == words


def test_a_real_mail_server_shows_its_certificate(tmp_path: Path):
    mailbox = Mailbox.secure(tmp_path, Authority(), names=("mail.test",))
    try:
        one = shown_at(mailbox.port, "smtp")
        assert judge(one, Disk(), now(), False) == [] and one.chain
    finally:
        mailbox.refuse()


def test_a_closed_port_is_told():
    assert shown_at(free_port()).problem == "the connection is refused"


def test_a_server_that_restarts_meanwhile_is_no_trouble(pair: tuple[Path, Path]):
    port, made = free_port(), []
    timer = threading.Timer(0.5, lambda: made.append(Scripted(pair, port=port)))
    timer.start()
    try:
        assert shown_at(port).chain
    finally:
        timer.join(10)
        for one in made:
            one.close()


@pytest.mark.parametrize("said, words", [
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak TLS there"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "it does not speak TLS there"),
    (b"", "it closed the connection during the TLS handshake"),
    (b"\x15\x03\x03\x00\x02\x02\x28", "the TLS handshake failed"),
])
def test_what_is_no_tls_is_told_as_what_it_is(scripted: Callable[..., Scripted], said: bytes, words: str):
    def script(connection: socket.socket) -> bool:
        connection.recv(4096)
        connection.sendall(said)
        return False

    assert shown_at(scripted(script).port).problem.startswith(words)


@pytest.mark.parametrize("drip", [b"", b"\x16\x03\x03\x40\x00"])
@pytest.mark.parametrize("protocol", ["", "imap"])
def test_silence_and_dripping_have_an_end_and_hold_up_nobody(scripted: Callable[..., Scripted], drip: bytes,
                                                             protocol: str):
    port = free_port()
    bad = BadListener(port, drip if not protocol or not drip else b"* OK and so on and on", seconds_per_byte=0.1)
    good = scripted()
    try:
        places = [Place("127.0.0.1", port if number == 3 else good.port, "mail.test", protocol if number == 3 else "")
                  for number in range(12)]
        began = time.monotonic()
        found = look(places, DEADLINE_SECONDS, parallel=4, each_seconds=1.0)
        assert time.monotonic() - began < DEADLINE_SECONDS / 2
        assert [bool(one.chain) for one in found] == [number != 3 for number in range(12)]
        assert [one.place for one in found] == places
        assert found[3].problem == "no TLS answer within 1 s"
    finally:
        bad.close()


@pytest.mark.parametrize("protocol, drip", [("", b"\x16\x03\x03\x40\x00"), ("imap", b"* OK and so on and on")])
def test_a_visit_to_a_peer_that_drips_ends_by_itself(protocol: str, drip: bytes):
    port = free_port()
    bad = BadListener(port, drip, seconds_per_byte=0.1)
    ended: list[bool] = []

    def visit() -> None:
        with pytest.raises(NoTLSError):
            chain_of("127.0.0.1", port, "mail.test", protocol, time.monotonic() + 1)
        ended.append(True)

    try:
        thread = threading.Thread(target=visit, daemon=True)
        thread.start()
        thread.join(20)
        assert ended
    finally:
        bad.close()


def test_an_address_that_stays_silent_is_not_asked_for_all_its_names():
    port = free_port()
    bad = BadListener(port)
    try:
        found = look([Place("127.0.0.1", port, f"n{number}.test") for number in range(100)], DEADLINE_SECONDS,
                     parallel=4, each_seconds=0.5)
        assert {one.problem for one in found} == {"no TLS answer within 1 s"} and all(one.asked for one in found)
        assert bad.connections < 20
    finally:
        bad.close()


def test_what_there_is_no_time_for_is_not_called_silent():
    port = free_port()
    bad = BadListener(port)
    try:
        places = [Place("127.0.0.1", port, f"n{number}.test") for number in range(8)]
        found = look(places, 0.5, parallel=2, each_seconds=20)
        assert [one.asked for one in found] == [False] * 8
        assert [judge(one, Disk(), now(), False) for one in found] == [[]] * 8
    finally:
        bad.close()


@pytest.mark.parametrize("host", ["does-not-exist.invalid", "x" * 70 + ".test", "a..b"])
def test_a_host_that_is_not_found_is_told(host: str):
    one, = look([Place(host, 443, host)], DEADLINE_SECONDS)
    assert "is not found" in one.problem


def test_a_name_that_cannot_be_asked_for_costs_that_place_alone(scripted: Callable[..., Scripted]):
    port = scripted().port
    found = look([Place("127.0.0.1", port, name) for name in ("x" * 70 + ".test", "mail.test", "a..b", ".x", "a\0b")],
                 DEADLINE_SECONDS)
    assert [bool(one.chain) for one in found] == [False, True, False, False, False]


def test_the_name_is_asked_for_and_addresses_are_not(pair: tuple[Path, Path]):
    asked: list[Optional[str]] = []
    server = Scripted(pair)
    server._context.sni_callback = lambda _socket, name, _context: asked.append(name)
    try:
        for name in ("mail.test", "*.mail.test", "127.0.0.1", "::1", ""):
            assert look([Place("127.0.0.1", server.port, name)], DEADLINE_SECONDS)[0].chain
        assert asked == ["mail.test", "certbot-guard-watch.mail.test", None, None, None]
    finally:
        server.close()
