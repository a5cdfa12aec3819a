"""A challenge through a running Apache: what can be said without one."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest
from acme import standalone

from certbot_guard.errors import ServerError
from certbot_guard.proxying import addresses, asking, loopback, modules, placement, snippet
from certbot_guard.servers import configuration
from certbot_guard.servers.dump import Dump


@pytest.mark.parametrize("name, expected", [
    ("Example.COM.", "example.com"),
    ("bücher.example", "xn--bcher-kva.example"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("_acme.example", "_acme.example"),
    ("192.0.2.1", "192.0.2.1"),
    ("2001:DB8:0::1", "[2001:db8::1]"),
    ("[2001:db8::1]", "[2001:db8::1]"),
])
def test_a_name_becomes_what_a_host_header_says(name, expected):
    assert snippet.host(name) == expected


@pytest.mark.parametrize("name", ["", ".", "a b", 'a"\nLoadModule x', "a..b", "-a.example", "a" * 254, "a\\", "%{x}",
                                  "..example", 'fe80::1%a" x\nLoadModule evil', "[fe80::1%eth0]"])
def test_what_is_no_host_name_never_becomes_a_part_of_the_configuration(name):
    with pytest.raises(ServerError):
        snippet.text(1000, 1, [name])


def test_wildcards_are_left_out_and_alone_are_refused():
    assert "a\\.example" in snippet.text(1000, 1, ["*.a.example", "a.example"])
    assert "*.a" not in snippet.text(1000, 1, ["*.a.example", "a.example"])
    with pytest.raises(ServerError, match="no name"):
        snippet.text(1000, 1, ["*.a.example"])


def test_a_path_of_a_module_that_would_end_its_quotes_is_refused():
    with pytest.raises(ServerError, match="characters"):
        snippet.text(1000, 1, ["a.example"], load=[("proxy", '/usr/lib/"\n/mod_proxy.so')])


def test_only_what_begins_with_the_mark_is_ours():
    assert snippet.is_ours(snippet.text(1000, 1, ["a.example"]).encode())
    assert not snippet.is_ours(b"# see also:\n" + snippet.MARK.encode())
    assert not snippet.is_ours(b"")


FIB = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 192.0.2.7
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
     |-- 169.254.1.1
        /32 host LOCAL
"""
INET6 = ("00000000000000000000000000000001 01 80 10 80       lo\n"
         "20010db8000000000000000000000007 02 40 00 80     eth0\n"
         "fe800000000000000000000000000001 02 40 20 80     eth0\n")


def test_a_wildcard_stands_for_every_address_of_this_machine(tmp_path):
    (tmp_path / "4").write_text(FIB)
    (tmp_path / "6").write_text(INET6)
    def reachable(*listening):
        return addresses.reachable(listening, tmp_path / "4", tmp_path / "6")
    assert reachable("0.0.0.0") == ["192.0.2.7"]
    assert reachable("::") == ["2001:db8::7", "192.0.2.7"]
    assert reachable("127.0.0.1", "192.0.2.7", "0.0.0.0") == ["127.0.0.1", "192.0.2.7"]


def test_where_there_is_no_other_address_the_loopback_is_asked(tmp_path):
    assert addresses.reachable(["0.0.0.0"], tmp_path / "none", tmp_path / "none") == ["127.0.0.1"]
    assert addresses.reachable(["::"], tmp_path / "none", tmp_path / "none") == ["127.0.0.1"]


@pytest.mark.parametrize("location, leads_to, why_not", [
    ("/other", "http://a.example/other", ""),
    ("https://a.example/x", "https://a.example/x", ""),
    ("https://A.example:443/x", "https://A.example:443/x", ""),
    ("https://b.example/x", None, "away"),
    ("https://a.example:8443/x", None, "no redirect"),
    ("https://a.example:80/x", None, "away"),
    ("ftp://a.example/x", None, "no redirect"),
    ("http://[", None, "no URL"),
    ("http://a.example:x/", None, "no URL"),
])
def test_a_redirect_is_followed_as_a_ca_follows_it_and_not_away_from_here(location, leads_to, why_not):
    there, why = asking._next("http://a.example/", location, frozenset(["a.example"]))
    assert (why_not in why) if why_not else (there, why) == (leads_to, "")


def test_what_a_server_said_is_shown_without_anything_that_acts():
    shown = str(asking.Answer(403, b"<b>no\x1b[31m @channel</b>\r\nmore"))
    assert shown.startswith("403: ") and not set(shown) & set("<>@\x1b\r\n")
    assert "(it leads away from here)" in str(asking.Answer(301, b"", "https://x/", "it leads away from here"))


def test_the_port_is_one_that_only_root_may_listen_on(tmp_path):
    assert 600 <= loopback.free_port() < 1024
    (tmp_path / "start").write_text("0\n")
    with pytest.raises(ServerError, match="every user"):
        loopback.free_port(tmp_path / "start")
    (tmp_path / "start").write_text("700\n")
    assert 600 <= loopback.free_port(tmp_path / "start") < 700


def test_no_two_that_choose_at_once_get_the_same_port(tmp_path):
    few, ports = tmp_path / "start", []
    few.write_text("620\n")
    with ExitStack() as kept, pytest.raises(ServerError, match="no port from 600 to 619"):
        for _ in range(40):
            ports.append(loopback.port_of(kept.enter_context(loopback.keep(few))))
    assert len(ports) == len(set(ports))


def test_certbots_own_server_listens_on_a_port_that_is_kept_for_it_again_and_again():
    with loopback.keep() as kept:
        for _ in range(2):  # certbot tries again with the names that passed, with allow_subset_of_names
            servers = standalone.HTTP01DualNetworkedServers((loopback.ADDRESS, loopback.port_of(kept)), set())
            servers.serve_forever()
            try:
                assert str(asking.ask(loopback.ADDRESS, "a.example", "/", asking.Ports(loopback.port_of(kept), 0),
                                      frozenset(), 5.0)).startswith("200")
            finally:
                servers.shutdown_and_server_close()


@pytest.fixture
def read(tmp_path):
    def read(text: str, modules: frozenset[str] = frozenset(), **more: str):
        for name, content in more.items():
            path = tmp_path / f"{name}.d"
            path.mkdir(exist_ok=True)
            (path / "a.conf").write_text(content)
        main = tmp_path / "main.conf"
        main.write_text(text)
        files = (str(main), *(str(tmp_path / f"{name}.d" / "a.conf") for name in more))
        dump = Dump(server_root=str(tmp_path), files=files, modules=modules, defines=frozenset(["ON"]))
        return dump, configuration.read(dump, {})
    return read


def test_a_place_is_where_a_wildcard_is_included_for_the_whole_server(read, tmp_path):
    _, found = read(
        "Include mods.d/*.load\n<IfDefine ON>\nIncludeOptional conf.d/*.conf\n</IfDefine>\n"
        "<VirtualHost *>\nInclude vhost.d/*.conf\n</VirtualHost>\n<Directory />\nInclude dir.d/*\n</Directory>\n"
        "<IfVersion > 2.4>\nInclude version.d/*.conf\n</IfVersion>\n<IfDefine !ON>\nInclude off.d/*.conf\n</IfDefine>\n"
        "Include whole.d\nInclude sites.d/*\nInclude a*.d/*.conf\nInclude none.d/*.conf\n",
        **{name: "" for name in ("conf", "vhost", "dir", "version", "off", "whole", "sites", "mods")})
    assert placement.candidates(found) == [tmp_path / "conf.d" / placement.NAME, tmp_path / "sites.d" / placement.NAME]


def test_what_is_included_by_a_file_that_a_virtual_host_includes_is_none(read, tmp_path):
    _, found = read("<VirtualHost *>\nInclude outer.d/*.conf\n</VirtualHost>\n", outer="Include inner.d/*.conf\n",
                    inner="")
    assert placement.candidates(found) == []


def test_modules_that_are_there_need_nothing_and_those_that_are_not_come_from_beside_the_others(read, tmp_path):
    every = frozenset(modules.NEEDED)
    dump, found = read("", every)
    assert modules.missing(dump, found) == []
    (tmp_path / "modules").mkdir()
    dump, found = read("LoadModule x_module modules/mod_x.so\n", every - {"proxy_http"})
    with pytest.raises(ServerError, match="no mod_proxy_http.so"):
        modules.missing(dump, found)
    file = tmp_path / "modules" / "mod_proxy_http.so"
    file.write_bytes(b"")
    tmp_path.chmod(0o700)
    assert modules.missing(dump, found) == [("proxy_http", str(file))]
    file.chmod(0o666)
    with pytest.raises(ServerError, match="root's alone"):
        modules.missing(dump, found)
    file.chmod(0o644)
    os.rename(tmp_path / "modules", tmp_path / "real")
    (tmp_path / "real").chmod(0o777)
    os.symlink(tmp_path / "real", tmp_path / "modules")
    with pytest.raises(ServerError, match="can be written by others"):
        modules.missing(dump, found)


# mods-enabled/status.conf of Debian 12, in part
_STATUS = """<IfModule mod_status.c>
	ExtendedStatus On
	<IfModule mod_proxy.c>
		# Show Proxy LoadBalancer status in mod_status
		ProxyStatus On
	</IfModule>
</IfModule>
"""


def test_what_debian_has_for_the_status_page_is_no_danger_and_what_is_beside_it_is(read, tmp_path):
    (tmp_path / "modules").mkdir()
    for name in ("mod_proxy.so", "mod_proxy_http.so"):
        (tmp_path / "modules" / name).touch(0o644)
    load = "LoadModule x_module modules/mod_x.so\n"
    assert len(modules.missing(*read(load + _STATUS, frozenset(["setenvif"])))) == 2
    for danger in (_STATUS.replace("ProxyStatus On", "ProxyStatus On\nProxyRequests On"),
                   _STATUS.replace("LoadBalancer", "LoadBalancer \\\nProxyRequests On\n#"),
                   # Apache takes the line after the backslash for a part of the comment here as well.
                   "<IfModule mod_proxy.c>\r\n# a \\\r\n</IfModule>\r\nProxyRequests On\r\n</IfModule>\r\n",
                   _STATUS + "<IfModule mod_proxy.c>\nProxyRequests On\n</IfModule>\n"):
        with pytest.raises(ServerError, match="wake up"):
            modules.missing(*read(load + danger, frozenset(["setenvif"])))


@pytest.mark.parametrize("waiting", ["<IfModule mod_proxy.c>", "  <ifmodule !proxy_module>",
                                     '<IfModule "proxy_http_module">', "<IfDirective ProxyPass>"])
def test_no_module_is_loaded_that_a_part_of_the_configuration_waits_for(read, waiting):
    end = waiting.split()[0].replace("<", "</") + ">"
    dump, found = read(f"{waiting}\nProxyRequests On\n{end}\n", frozenset(["setenvif"]))
    with pytest.raises(ServerError, match="wake up"):
        modules.missing(dump, found)


@pytest.mark.parametrize("line, waits", [
    ('  SetHandler "proxy:unix:/run/php.sock|fcgi://localhost"', True), ("RewriteRule ^/a http://b/ [P]", True),
    ("RewriteRule ^/a http://b/ [L,proxy]", True), ("RewriteRule ^/a http://b/ [QSA, P, L]", True),
    ("RewriteRule ^/a /b [L,PT]", False), ("# RewriteRule ^/a http://b/ [P]", False), ("SetHandler server-status", False),
])
def test_nor_is_one_that_answers_with_an_error_without_it_woken_up(read, tmp_path, line, waits):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "mod_proxy.so").touch(0o644)
    (tmp_path / "modules" / "mod_proxy_http.so").touch(0o644)
    configuration = "LoadModule x_module modules/mod_x.so\n" + line + "\n"
    if waits:
        with pytest.raises(ServerError, match="wake up"):
            modules.missing(*read(configuration, frozenset(["setenvif"])))
    assert modules.missing(*read(configuration, frozenset(["setenvif", "proxy", "proxy_http"]))) == []
    if not waits:
        assert len(modules.missing(*read(configuration, frozenset(["setenvif"])))) == 2


@pytest.mark.parametrize("line, runs, armed", [
    ("AllowOverride All", "", True), ("  allowoverride AuthConfig fileinfo", "", True), ("AllowOverride None", "", False),
    ("AllowOverride AuthConfig Limit", "", False), ("# AllowOverride All", "", False),
    ("AllowOverride All", "php7", False), ("AllowOverride All", "cgid", False), ("AllowOverride All", "cgi", False),
])
def test_nobody_is_given_a_proxy_for_his_htaccess_who_could_not_run_a_program(read, tmp_path, line, runs, armed):
    (tmp_path / "modules").mkdir()
    for name in ("mod_proxy.so", "mod_proxy_http.so"):
        (tmp_path / "modules" / name).touch(0o644)
    configuration = f"LoadModule x_module modules/mod_x.so\n<Directory /srv>\n{line}\n</Directory>\n"
    loaded = frozenset(["setenvif", runs])
    if armed:
        with pytest.raises(ServerError, match="AllowOverride"):
            modules.missing(*read(configuration, loaded))
        assert len(modules.missing(*read(configuration, loaded | {"proxy"}))) == 1
    else:
        assert len(modules.missing(*read(configuration, loaded))) == 2
