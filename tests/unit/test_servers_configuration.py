"""Apache's configuration, read from files: which certificates it loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from certbot_guard.errors import ConfigtestError
from certbot_guard.servers import certificates, configuration
from certbot_guard.servers.dump import Dump

OUTPUT = """\
AH00112: Warning: DocumentRoot [/nowhere] does not exist
ServerRoot: "/etc/apache2"
Main DocumentRoot: "/var/www/html"
Main ErrorLog: "/var/log/apache2/error.log"
Mutex default: dir="/var/run/apache2/" mechanism=default
PidFile: "/var/run/apache2/apache2.pid"
Define: DUMP_RUN_CFG
Define: SITE=/srv/a site
User: name="www-data" id=33
Included configuration files:
  (*) /etc/apache2/apache2.conf
    (146) /etc/apache2/mods-enabled/ssl.load
      (3) /etc/apache2/with space.conf
Loaded Modules:
 core_module (static)
 ssl_module (shared)
"""


def read(directory: Path, environment: dict | None = None, modules: tuple = ("ssl",), **files: str):
    """The configuration of ``main`` and other files in ``directory``, all of which Apache has listed."""
    paths = []
    for name, text in sorted(files.items(), key=lambda item: item[0] != "main"):
        path = directory / f"{name}.conf"
        path.write_text(text)
        paths.append(str(path))
    dump = Dump(server_root=str(directory), files=tuple(paths), modules=frozenset(modules))
    return configuration.read(dump, environment or {})


def pairs(found) -> list[tuple[str, str]]:
    return [(certificate.path, key.path) for certificate, key in certificates.pairs(found)]


def test_dump() -> None:
    dump = Dump.parse(OUTPUT)
    assert dump.server_root == "/etc/apache2" and dump.pid_file == "/var/run/apache2/apache2.pid"
    assert dump.files == (
        "/etc/apache2/apache2.conf",
        "/etc/apache2/mods-enabled/ssl.load",
        "/etc/apache2/with space.conf",
    )
    assert dump.modules == {"core", "ssl"} and "DUMP_RUN_CFG" not in dump.defines
    assert str(dump.log_path()) == "/var/log/apache2/error.log"


@pytest.mark.parametrize("log", ["syslog:local1", "|/usr/bin/rotatelogs /x", ""])
def test_a_log_that_is_no_file(log: str) -> None:
    assert Dump(error_log=log).log_path() is None


def test_count_vhosts(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("<VirtualHost *:80>\n</VirtualHost>\n<virtualhost *:81>\n</virtualhost>\n")
    assert Dump(files=(str(tmp_path / "a"), str(tmp_path / "gone"))).count_vhosts() == 2


def test_several_certificates_of_one_host_have_keys_of_the_same_number(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        main="""
        <VirtualHost *:443>
          SSLEngine on
          SSLCertificateFile /rsa.pem
          SSLCertificateFile "/ec dsa.pem"
          SSLCertificateKeyFile /rsa.key
          SSLCertificateKeyFile '/ecdsa.key'
        </VirtualHost>""",
    )
    assert pairs(found) == [("/rsa.pem", "/rsa.key"), ("/ec dsa.pem", "/ecdsa.key")]


def test_a_certificate_without_a_key_has_it_inside(tmp_path: Path) -> None:
    found = read(
        tmp_path, main="<VirtualHost *:443>\nSSLEngine on\nSSLCertificateFile tls/both.pem\n</VirtualHost>"
    )
    both = str(tmp_path / "tls" / "both.pem")
    assert pairs(found) == [(both, both)]


def test_a_host_inherits_from_the_server_what_it_does_not_say(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        main="""
        SSLCertificateFile /server.pem
        SSLCertificateKeyFile /server.key
        <VirtualHost *:443>
          SSLEngine on
        </VirtualHost>
        <VirtualHost *:443>
          SSLEngine on
          SSLCertificateFile /own.pem
          SSLCertificateKeyFile /own.key
        </VirtualHost>""",
    )
    assert pairs(found) == [("/server.pem", "/server.key"), ("/own.pem", "/own.key")]


@pytest.mark.parametrize(
    "host, loaded",
    [
        ("<VirtualHost *:443>\nSSLEngine off\n", False),
        ("<VirtualHost *:443>\n", True),  # 443 is https by itself
        ("<VirtualHost *:8443>\n", False),
        ("<VirtualHost *:9443>\n", True),  # Listen says https
        ("<VirtualHost *:8443>\nSSLEngine ON\n", True),
        ("<VirtualHost *:8443>\nSSLEngine optional\n", True),
    ],
)
def test_only_hosts_with_tls_load_certificates(tmp_path: Path, host: str, loaded: bool) -> None:
    found = read(tmp_path, main=f"Listen 9443 https\n{host}SSLCertificateFile /a.pem\n</VirtualHost>")
    assert bool(pairs(found)) is loaded


@pytest.mark.parametrize(
    "section, loaded",
    [
        ("<IfModule mod_ssl.c>", True),
        ("<IfModule ssl_module>", True),
        ("<IfModule !mod_ssl.c>", False),
        ("<IfModule mod_gnutls.c>", False),
        ("<IfDefine YES>", True),
        ("<IfDefine !YES>", False),
        ("<IfDefine NO>", False),
        ("<IfFile /etc/passwd>", True),
        ("<IfFile /nosuch>", False),
        ("<IfVersion >= 2.4>", False),  # uncertain: not judged
        ("<Macro site $name>", False),
        ("<Directory />", True),
    ],
)
def test_sections(tmp_path: Path, section: str, loaded: bool) -> None:
    end = "</" + section[1:].split()[0] + ">"
    found = read(
        tmp_path,
        main=f"Define YES\n{section}\n<VirtualHost *:443>\nSSLEngine on\n"
        f"SSLCertificateFile /a.pem\n</VirtualHost>\n{end}\n",
    )
    assert bool(pairs(found)) is loaded


def test_includes_variables_and_continued_lines(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {"FROM_ENVVARS": "/srv"},
        main="Define site ${FROM_ENVVARS}/site\nInclude ssl.conf\nIncludeOptional nothing*.conf\n",
        ssl="""
        # SSLCertificateFile /comment.pem
        <VirtualHost *:443>
          SSLEngine on
          SSLCertificateFile \\
             ${site}/cert.pem
          Include [k]ey.conf
        </VirtualHost>""",
        key="SSLCertificateKeyFile ${site}/key.pem\n",
    )
    assert pairs(found) == [("/srv/site/cert.pem", "/srv/site/key.pem")]
    assert str(found.vhosts[0].certificates[0].place) == f"{tmp_path / 'ssl.conf'}:5"


def test_an_unknown_variable_is_not_judged(tmp_path: Path) -> None:
    found = read(
        tmp_path, main="<VirtualHost *:443>\nSSLEngine on\nSSLCertificateFile ${NOBODY}/a.pem\n</VirtualHost>"
    )
    assert pairs(found) == []


def test_an_include_that_apache_did_not_list_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "other.conf").write_text("SSLEngine on\nSSLCertificateFile /a.pem\n")
    assert pairs(read(tmp_path, main=f"Include {tmp_path}/other.conf\n")) == []


def test_a_file_that_includes_itself_ends_in_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigtestError, match="endlessly"):
        read(tmp_path, main="Include main.conf\n")
