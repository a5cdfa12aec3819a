"""What Apache prints of its configuration, and what stands in its files: read as far as it makes sense, in bounded time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbot_guard.errors import GuardError
from certbot_guard.proxying import placement
from certbot_guard.servers import configuration, directives
from certbot_guard.servers.dump import Dump
from certbot_guard.watch import sites
from tests.fuzz.trying import bounded, is_quiet, many, text_of, witness, words

OUTPUT = ['ServerRoot: "/etc/apache2"', 'PidFile: "/run/a.pid"', 'Main ErrorLog: "/var/log/error.log"', 'Main ErrorLog: "|cat"',
          "Define: DUMP_VHOSTS", "Define: x=y", "Loaded Modules:", " core_module (static)", " ssl_module (shared)",
          "Included configuration files:", "  (*) /etc/apache2/apache2.conf", "    (146) /etc/apache2/a b.conf",
          "VirtualHost configuration:", "*:80                   is a NameVirtualHost",
          "         default server a.example (/etc/apache2/a.conf:1)", "         port 80 namevhost a.example (/a.conf:1)",
          "                 alias www.a.example", "                 wild alias *.a.example",
          "[::1]:443              b.example (/b.conf:7)", "_default_:*            c.example (/c.conf:0)",
          "1.2.3.4:99999          is a NameVirtualHost", "\u0664:\u0664\u0664   x (y)", "AH00558: apache2: Could not", "Syntax OK"]
FILES = ["<VirtualHost *:443>", "</VirtualHost>", "<IfModule mod_ssl.c>", "<IfModule !ssl_module>", "</IfModule>",
         "<IfDefine x>", "<IfFile \"/etc/passwd\">", "<If \"%{HTTP_HOST} == 'x'\">", "<Macro a $b>", "Define a ${b}${b}",
         "Define b ${a}${a}", "Define c \"x y\"", "UnDefine a", "Undefine", "ServerName https://a.example:443", "ServerAlias a b",
         "SSLEngine on", "SSLEngine", "SSLCertificateFile ${a}/cert.pem", "SSLCertificateFile 'x", "SSLCertificateKeyFile \"a\\\"b\"",
         "Include ${c}", "Include conf.d/*.conf", "IncludeOptional [", "Include main.conf", "LoadModule a_module modules/a.so",
         "Listen 443 https", "Listen [::]:80", "SSLPassPhraseDialog exec:/bin/x", "# x \\", "a \\", "\\", "<", "</", "<>", "<VirtualHost"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("apache")
    (found / "conf.d").mkdir()
    return found


@given(st.one_of(st.text(max_size=200), text_of(OUTPUT)))
@many(300)
def test_any_output_is_read(output: str) -> None:
    with bounded():
        found = Dump.parse(output)
        assert all(path.startswith("/") for path in found.files)
        found.log_path()
        for one in sites.parse_dump(output):
            assert one.names and one.port >= 0


@given(st.one_of(st.binary(max_size=200), text_of(FILES).map(lambda text: text.encode("utf-8", "surrogatepass"))),
       st.one_of(words, text_of(FILES)))
@many(300)
def test_any_file_is_read_or_refused_in_one_sentence(directory: Path, main: bytes, included: str) -> None:
    paths = [directory / "main.conf", directory / "conf.d" / "a.conf"]
    paths[0].write_bytes(main)
    paths[1].write_bytes(included.encode("utf-8", "surrogatepass"))
    dump = Dump(str(directory), files=tuple(map(str, paths)), defines=frozenset({"x"}), modules=frozenset({"ssl", "core"}))
    with bounded(), witness.watching(directory):
        assert dump.count_vhosts() >= 0
        try:
            found = configuration.read(dump, {"APACHE_LOG_DIR": "/var/log", "a": "${a}", "b": "${a}${a}"})
        except GuardError as error:
            assert is_quiet(str(error))
            return
        placement.candidates(found)
        assert all(isinstance(named.path, str) for vhost in [found.server, *found.vhosts] for named in vhost.certificates)


@pytest.mark.parametrize("unit", ["\n", " ", " \n", "(", "a", "a:", ":80 ", "\"", "(1) /", "Define: ", "alias ", " port 80 namevhost a ",
                                  "_module (static)", "*:80 x (", "1"])
def test_a_long_output_takes_no_longer_than_its_length(unit: str) -> None:
    for begins in ("", "\n", "ServerRoot: \"", "*:80 ", "  port 80 namevhost x (", "  (", " a_module ("):
        output = begins + (unit * 200_000)[:200_000] + "x"
        with bounded():
            Dump.parse(output)
            list(sites.parse_dump(output))


@pytest.mark.parametrize("unit", ["${", "${a}", "$", "\"", "'", "\\", "\\\"", " ", "\" ", "<", "</", "\\\n", "a\\\n", "\" \\\" ", "[", "!"])
def test_a_long_line_takes_no_longer_than_its_length(unit: str, directory: Path) -> None:
    path = directory / "long.conf"
    for begins in ("Define b ", "Include ", "SSLCertificateFile ", "<IfModule ", "ServerName ", ""):
        path.write_text(begins + (unit * 20_000)[:20_000] + "x\n")
        with bounded():
            try:
                configuration.read(Dump(str(directory), files=(str(path),)), {"a": "1"})
            except GuardError as error:  # an empty name is the whole directory, and so this file
                assert "endlessly" in str(error)


def test_definitions_that_double_each_other_do_not_fill_the_memory(directory: Path) -> None:
    path = directory / "doubling.conf"
    path.write_text("Define a0 xxxxxxxxxx\n" + "".join(
        f"Define a{number} ${{a{number - 1}}}${{a{number - 1}}}\n" for number in range(1, 64)) + "SSLCertificateFile /${a63}\n")
    with bounded():
        found = configuration.read(Dump(str(directory), files=(str(path),)), {})
        assert all(not one.certain and len(one.path) < 1000 for one in found.server.certificates)
        assert directives.Meaning(Dump(), {"a": "${a}${a}"}).path("/${a}") is None
