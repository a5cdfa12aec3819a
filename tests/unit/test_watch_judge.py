"""What is trouble and what is none, judged from made-up certificates and files."""

from __future__ import annotations

import datetime
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certbot_guard.watch.handshake import asked_name
from certbot_guard.watch.judge import Disk, OnDisk, judge, on_disk
from certbot_guard.watch.ondisk import fingerprint
from certbot_guard.watch.sites import parse_dump
from certbot_guard.watch.tls import Place, Shown

NOW = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.timezone.utc)
_KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "middle", "other", "leaf")}


def certificate(names: Sequence[str], left: float = 60, days: float = 90, subject: str = "", signer: str = "middle",
                key: str = "leaf", ca: str = "Test CA") -> bytes:
    """DER; ``left`` days of ``days`` are left at :data:`NOW`."""
    end = NOW + datetime.timedelta(days=left)
    organization = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, ca)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*organization, x509.NameAttribute(NameOID.COMMON_NAME, subject or "x")]))
        .issuer_name(x509.Name([*organization, x509.NameAttribute(NameOID.COMMON_NAME, signer)]))
        .public_key(_KEYS[key].public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(end - datetime.timedelta(days=days)).not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(_KEYS[key].public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(_KEYS[signer].public_key()), critical=False))
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternative, critical=False)
    return builder.sign(_KEYS[signer], hashes.SHA256()).public_bytes(serialization.Encoding.DER)


MIDDLE = certificate([], subject="middle", signer="root", key="middle")
NAMES = ("a.test", "www.a.test")
OLD, NEW = certificate(NAMES, left=20), certificate(NAMES, left=80)
VHOST = Place("127.0.0.1", 443, "a.test", source="the virtual host a.test at /etc/apache2/a.conf:1")


def disk(leaf: bytes = NEW, older: Sequence[bytes] = (OLD,), names: Sequence[str] = NAMES, lineage: str = "a.test",
         since: Optional[datetime.datetime] = NOW - datetime.timedelta(days=2)) -> Disk:
    archive = f"/le/archive/{lineage}"
    return Disk([OnDisk(lineage, frozenset(names), (leaf, MIDDLE), frozenset(map(fingerprint, older)), since,
                        f"/le/live/{lineage}", archive, frozenset({f"{archive}/fullchain2.pem"}))])


def loading(path: str, real: str = "", **more: Any) -> Place:
    return replace(VHOST, files=(path,), real_files=(real or path,), **more)


def found(chain: Sequence[bytes], place: Place = VHOST, known: Optional[Disk] = None, unknown_ok: bool = True,
          **more: Any) -> list[str]:
    known = disk() if known is None else known
    return [trouble.kind for trouble in judge(Shown(place, tuple(chain)), known, NOW, unknown_ok, **more)]


def test_the_certificate_on_the_disk_is_no_trouble():
    assert found([NEW, MIDDLE]) == []


def test_an_earlier_certificate_is_told_with_the_date_of_the_new_one():
    trouble, = judge(Shown(loading("/le/live/a.test/fullchain.pem"), (OLD, MIDDLE)), disk(), NOW, True)
    assert (trouble.kind, trouble.lineage) == ("served-old", "a.test")
    assert trouble.words == ("it expires on 2026-12-14 12:00 UTC; the new one is on the disk since "
                             "2026-11-22 12:00 UTC, and not loaded")
    assert trouble.not_after == NOW + datetime.timedelta(days=20)


def test_what_was_renewed_a_moment_ago_may_still_be_served_as_it_was():
    hour = datetime.timedelta(hours=1)
    assert found([OLD, MIDDLE], known=disk(since=NOW - hour / 2), settled_after=hour) == []
    assert found([OLD, MIDDLE], known=disk(since=NOW - hour * 2), settled_after=hour) == ["served-old"]


def test_an_earlier_certificate_from_a_file_that_no_renewal_reaches_is_a_copy():
    trouble, = judge(Shown(loading("/etc/ssl/a.pem"), (OLD, MIDDLE)), disk(), NOW, True)
    assert trouble.kind == "served-copy"
    assert "it loads /etc/ssl/a.pem, not /le/live/a.test/fullchain.pem" in trouble.words


def test_a_numbered_file_of_the_archive_is_one_that_no_renewal_reaches():
    assert found([OLD, MIDDLE], loading("/le/archive/a.test/fullchain1.pem")) == ["served-copy"]


def test_a_link_to_the_files_of_the_lineage_is_no_copy():
    assert found([OLD, MIDDLE], loading("/etc/ssl/a.pem", "/le/archive/a.test/fullchain2.pem")) == ["served-old"]


def test_a_copy_that_a_hook_keeps_up_to_date_is_no_trouble():
    assert found([NEW, MIDDLE], loading("/etc/ssl/a.pem")) == []


def test_a_certificate_older_than_the_archive_is_known_by_its_names_and_its_ca():
    stranger = certificate(NAMES, left=10)
    assert found([stranger, MIDDLE], loading("/etc/ssl/a.pem")) == ["served-copy"]
    assert found([certificate(NAMES, left=10, ca="Another CA"), MIDDLE], loading("/etc/ssl/a.pem")) == []


def test_an_older_certificate_for_other_names_is_one_of_its_own_and_no_copy():
    assert found([certificate(["a.test"], left=20), MIDDLE], loading("/etc/ssl/a.pem")) == []


def test_a_certificate_of_another_machine_for_the_same_names_is_no_copy_if_it_is_newer():
    assert found([certificate(NAMES, left=89), MIDDLE], unknown_ok=False) == []


def test_after_a_change_of_the_configuration_that_was_not_loaded_a_reload_is_what_is_missing():
    both = Disk([*disk(), *disk(certificate(["b.test"]), (), ["b.test"], "b.test")])
    trouble, = judge(Shown(loading("/le/live/b.test/fullchain.pem"), (OLD, MIDDLE)), both, NOW, True)
    assert trouble.kind == "served-old" and "its configuration names /le/live/b.test/ by now" in trouble.words


@pytest.mark.parametrize("leaf, older, kinds", [
    (certificate(NAMES, left=-1), True, ["served-expired"]),
    (certificate(NAMES, left=8), True, ["served-expiring"]),
    (certificate(NAMES, left=0.5, days=6), True, ["served-expiring"]),
    (certificate(NAMES, left=1, days=6), True, ["served-old"]),
    (certificate(NAMES, left=-1), False, ["served-expired"]),
    (certificate(NAMES, left=8), False, []),  # of what the disk has, the look at the disk tells
])
def test_how_grave_it_is_is_a_share_of_its_own_lifetime(leaf: bytes, older: bool, kinds: list[str]):
    known = disk(older=[leaf]) if older else disk(leaf, ())
    assert found([leaf, MIDDLE], known=known) == kinds


def test_an_endpoint_is_told_of_without_any_lineage():
    place = Place("mail.test", 993, "mail.test", source="[watch] endpoints")
    soon, gone = certificate(["mail.test"], left=3), certificate(["mail.test"], left=-3)
    assert found([soon], place, Disk(), unknown_ok=False) == ["served-expiring"]
    assert found([gone], place, Disk(), unknown_ok=False) == ["served-expired"]
    assert found([certificate(["imap.test"])], place, Disk(), unknown_ok=False) == ["served-name"]


def test_an_address_as_an_endpoint_needs_no_certificate_for_that_address():
    assert found([NEW, MIDDLE], Place("127.0.0.1", 8443, "127.0.0.1"), unknown_ok=False) == []


@pytest.mark.parametrize("place", [Place("127.0.0.1", 443, "default"), Place("127.0.0.1", 443, "x.elsewhere.test"),
                                   Place("127.0.0.1", 443, "default", files=("/etc/ssl/certs/snakeoil.pem",),
                                         real_files=("/etc/ssl/certs/snakeoil.pem",))])
def test_a_virtual_host_that_no_lineage_knows_is_no_trouble_whatever_it_shows(place: Place):
    assert found([certificate(["snakeoil"], left=-100, signer="other", key="other")], place) == []
    assert judge(Shown(place, problem="nobody answers"), disk(), NOW, True) == []


def test_an_alias_for_the_house_alone_needs_no_certificate():
    assert found([NEW, MIDDLE], loading("/le/live/a.test/fullchain.pem", name="web1.internal")) == []


def test_a_name_of_a_lineage_under_a_certificate_that_is_for_another_is_told():
    shown = Shown(loading("/etc/ssl/snakeoil.pem"), (certificate(["snakeoil"], key="other"), MIDDLE))
    trouble, = judge(shown, disk(), NOW, True)
    assert trouble.kind == "served-name"
    assert trouble.words == ("it is for snakeoil, where /etc/ssl/snakeoil.pem is configured; "
                             "the lineage a.test has one for a.test")


def test_a_wildcard_is_for_one_label_and_not_for_two():
    wild = certificate(["*.a.test"])
    known = disk(wild, (), ["*.a.test"], "wild")
    wrong = ["served-name"]
    for name, kinds in (("x.a.test", []), ("*.a.test", []), ("x.y.a.test", wrong), ("a.test", wrong)):
        assert found([wild, MIDDLE], Place("h.test", 443, name), known, unknown_ok=False) == kinds, name


def test_a_chain_cut_short_is_told_by_the_name_of_what_is_missing():
    trouble, = judge(Shown(VHOST, (NEW,)), disk(), NOW, True)
    assert trouble.kind == "served-chain"
    assert trouble.words == ("the intermediate certificate 'middle' is missing: "
                             "only the server's own certificate is sent")


def test_a_chain_in_another_order_or_with_its_root_is_whole():
    root = certificate([], subject="root", signer="root", key="root")
    assert found([NEW, root, MIDDLE]) == []
    assert found([NEW, MIDDLE, root]) == []


def test_an_intermediate_of_the_same_name_with_another_key_is_not_the_one_that_is_needed():
    other = certificate([], subject="middle", signer="root", key="other")
    assert found([NEW, other]) == ["served-chain"]


def test_nothing_is_said_of_a_chain_that_is_not_known():
    assert judge(Shown(VHOST, (NEW,), chain_known=False), disk(), NOW, True) == []
    assert found([certificate(["a.test"], signer="other")], unknown_ok=False) == []


def test_no_answer_is_trouble_where_a_lineage_should_be():
    trouble, = judge(Shown(VHOST, problem="the connection is refused"), disk(), NOW, True)
    assert (trouble.kind, trouble.lineage, trouble.words) == ("served-silent", "a.test", "the connection is refused")
    assert judge(Shown(VHOST, problem="no time", asked=False), disk(), NOW, True) == []


def test_where_a_name_is_a_guess_only_what_is_shown_of_a_lineage_counts():
    guess = replace(VHOST, guess=True)
    assert judge(Shown(guess, problem="it wants no such name"), disk(), NOW, True) == []
    assert found([certificate(["other.test"], key="other"), MIDDLE], guess) == []
    assert found([OLD, MIDDLE], guess) == ["served-old"]


def test_words_of_strangers_are_harmless_and_short():
    evil = certificate(["<!channel>.test\x1b[31m", *(f"n{number}.test" for number in range(50))])
    trouble, = judge(Shown(Place("h.test", 443, "h.test"), (evil,)), Disk(), NOW, False)
    assert trouble.kind == "served-name" and "<" not in trouble.words and "\x1b" not in trouble.words
    assert len(trouble.words) <= 300


def test_what_is_no_certificate_is_no_answer():
    assert found([b"nonsense"]) == ["served-silent"]


def pem(*ders: bytes) -> bytes:
    return b"".join(x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM) for der in ders)


def lineage(config_dir: Path, name: str, versions: Sequence[bytes], current: int) -> None:
    for directory in ("live", "archive"):
        (config_dir / directory / name).mkdir(parents=True)
    for number, leaf in enumerate(versions, 1):
        (config_dir / "archive" / name / f"cert{number}.pem").write_bytes(pem(leaf))
        (config_dir / "archive" / name / f"fullchain{number}.pem").write_bytes(pem(leaf, MIDDLE))
    for kind in ("cert", "fullchain"):
        os.symlink(f"../../archive/{name}/{kind}{current}.pem", config_dir / "live" / name / f"{kind}.pem")


def test_certbots_files_are_read_with_their_history(tmp_path: Path):
    later = certificate(NAMES, left=85)
    lineage(tmp_path, "a.test", [OLD, NEW, later], current=2)
    one, = on_disk(tmp_path)
    assert (one.lineage, one.names, one.fullchain) == ("a.test", frozenset(NAMES), (NEW, MIDDLE))
    assert one.older == {fingerprint(OLD)}  # not the later one: somebody went back
    assert one.files == {str(tmp_path / "archive/a.test/cert2.pem"), str(tmp_path / "archive/a.test/fullchain2.pem")}
    assert one.since is not None


def test_files_that_cannot_be_read_cost_that_lineage_alone(tmp_path: Path):
    lineage(tmp_path, "a.test", [NEW], 1)
    lineage(tmp_path, "broken", [NEW], 1)
    (tmp_path / "archive/broken/fullchain1.pem").write_bytes(
        b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    (tmp_path / "archive/broken/cert1.pem").write_bytes(b"")
    (tmp_path / "live" / "README").write_text("not a lineage")
    (tmp_path / "live" / "circle").symlink_to("circle")
    assert [one.lineage for one in on_disk(tmp_path)] == ["a.test"]
    assert on_disk(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name, asked", [("a.test", "a.test"), ("a.test.", "a.test"), ("", None), ("127.0.0.1", None),
                                         ("::1", None), ("*.a.test", "certbot-guard-watch.a.test")])
def test_addresses_are_not_asked_for_and_wildcards_are_by_some_label(name: str, asked: Optional[str]):
    assert asked_name(name) == asked


def test_apaches_list_of_virtual_hosts_is_read_whole():
    dump = """VirtualHost configuration:
[::1]:8443             six.test (/a.conf:45)
*:443                  is a NameVirtualHost
         default server one.test (/a.conf:1)
         port 443 namevhost one.test (/a.conf:1)
         port 443 namevhost two.test (/b.conf:7)
                 alias www.two.test
                 wild alias *.two.test
*:*                    any.test (/a.conf:51)
*:24000                m.test (macro 'v' (defined on line 55 of "/a.conf") used on line 60 of "/a.conf":1)
"""
    assert [(one.address, one.port, one.names, one.where) for one in parse_dump(dump)] == [
        ("::1", 8443, ("six.test",), "/a.conf:45"), ("*", 443, ("one.test",), "/a.conf:1"),
        ("*", 443, ("two.test", "www.two.test", "*.two.test"), "/b.conf:7"), ("*", 0, ("any.test",), "/a.conf:51"),
        ("*", 24000, ("m.test",), 'macro \'v\' (defined on line 55 of "/a.conf") used on line 60 of "/a.conf":1')]
