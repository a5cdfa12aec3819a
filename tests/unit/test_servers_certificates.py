"""Certificates and keys that Apache could not load are found before it is asked to."""

from __future__ import annotations

from pathlib import Path

import pytest

from certbot_guard.errors import ConfigtestError
from certbot_guard.servers import certificates
from certbot_guard.servers.configuration import TLS, Configuration, Named, Place
from tests.support.apache import make_certificate

PLACE = Place("/etc/apache2/site.conf", 7)


def host(certificate: Path, key: Path, **more: list) -> Configuration:
    tls = TLS(PLACE, ("*:443",), "on", [Named(str(certificate), PLACE)], [Named(str(key), PLACE)], **more)
    return Configuration(TLS(Place("", 0)), [tls])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = make_certificate()
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    return tmp_path / "cert.pem", tmp_path / "key.pem"


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_pair_that_fits(tmp_path: Path, kind: str) -> None:
    for name, data in zip(("c", "k"), make_certificate(kind=kind)):
        (tmp_path / name).write_bytes(data)
    certificates.check(host(tmp_path / "c", tmp_path / "k"))


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_pair_that_does_not_fit_names_both_and_the_line(files: tuple[Path, Path], kind: str) -> None:
    files[0].write_bytes(make_certificate(kind=kind)[0])
    with pytest.raises(ConfigtestError) as caught:
        certificates.check(host(*files))
    assert all(
        text in str(caught.value) for text in (str(files[0]), str(files[1]), "/etc/apache2/site.conf:7")
    )


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"]
)
def test_a_damaged_file_is_named(files: tuple[Path, Path], which: int, content: bytes) -> None:
    files[which].write_bytes(content)
    with pytest.raises(ConfigtestError) as caught:
        certificates.check(host(*files))
    assert str(caught.value).startswith(str(files[which]))


def test_a_missing_file(files: tuple[Path, Path]) -> None:
    files[1].unlink()
    with pytest.raises(ConfigtestError):
        certificates.check(host(*files))


def test_an_encrypted_key_is_refused_unless_a_program_knows_its_password(files: tuple[Path, Path]) -> None:
    for path, data in zip(files, make_certificate(password=b"secret")):
        path.write_bytes(data)
    found = host(*files)
    with pytest.raises(ConfigtestError, match="encrypted"):
        certificates.check(found)
    found.passphrase_from_program = True
    certificates.check(found)


@pytest.mark.parametrize("directive", ["chains", "authorities"])
def test_a_damaged_chain_or_authority_file(files: tuple[Path, Path], tmp_path: Path, directive: str) -> None:
    (tmp_path / "chain.pem").write_bytes(make_certificate()[0])
    certificates.check(host(*files, **{directive: [Named(str(tmp_path / "chain.pem"), PLACE)]}))
    (tmp_path / "chain.pem").write_bytes(make_certificate()[0].replace(b"A", b"!"))
    with pytest.raises(ConfigtestError, match="chain.pem"):
        certificates.check(host(*files, **{directive: [Named(str(tmp_path / "chain.pem"), PLACE)]}))


def test_a_key_in_hardware_is_not_judged() -> None:
    certificates.check(host(Path("/nosuch.pem"), Path("pkcs11:object=key")))
