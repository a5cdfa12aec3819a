"""A challenge through a running Apache: the file, its place, its coming and going, and the look from outside."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Iterator

import pytest

from certbot_guard.errors import ConfigtestError, ServerError
from certbot_guard.proxying import loopback, placement, placing, selfcheck, snippet
from certbot_guard.proxying.asking import Ports
from certbot_guard.servers.apache import ApacheServer
from tests.support.apache import MODULES_DIRECTORY, control_program
from tests.support.ports import free_port
from tests.support.site import Site
from tests.support.visitors import Load

pytestmark = [
    pytest.mark.skipif(control_program() is None, reason="Apache is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]
FOR_VHOSTS = ("auth_basic", "authn_file", "authz_user", "authz_host", "access_compat")
PROXY = ("proxy", "proxy_http")
NOBODY = 2**22 - 1  # above every pid_max but the highest


def load(site: Site, *modules: str) -> None:
    lines = [f"LoadModule {module}_module {MODULES_DIRECTORY}/mod_{module}.so\n" for module in modules]
    (site.vhosts / "000-modules.conf").write_text("".join(lines))


def vhosts(site: Site) -> dict[str, str]:
    """What people have in their virtual hosts that could catch a challenge."""
    gone = free_port()
    users = site.root / "users"
    users.write_text("visitor:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    users.chmod(0o644)
    hostile = site.root / "hostile"
    (hostile / ".well-known").mkdir(parents=True)
    for directory in (hostile, hostile / ".well-known"):
        directory.chmod(0o755)
        (directory / ".htaccess").write_text("RewriteEngine on\nRewriteRule .* - [F]\nRequire all denied\n")
    basic = f"AuthType Basic\nAuthName x\nAuthUserFile {users}\nRequire valid-user\n"
    return {
        "plain": "",
        "to-https": "Redirect permanent / https://to-https/",
        "rewritten-to-https": "RewriteEngine on\nRewriteRule ^(.*)$ https://%{HTTP_HOST}$1 [R=301,L]",
        "front-controller": "RewriteEngine on\nRewriteRule ^/.*$ /index.html [L]",
        "front-controller-below": f"<Directory {site.docroot}>\nRewriteEngine on\n"
                                  "RewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule . /index.html [L]\n</Directory>",
        "sleeping-rules": "RewriteRule ^ - [F]",
        "proxied": f"ProxyPass / http://127.0.0.1:{gone}/",
        "proxied-but": f"ProxyPass /.well-known/ !\nProxyPass / http://127.0.0.1:{gone}/",
        "proxied-by-location": f"<Location />\nProxyPass http://127.0.0.1:{gone}/\n</Location>",
        "proxied-by-location-but": "<Location /.well-known/acme-challenge/>\nProxyPass !\n</Location>",
        "proxied-and-asked": f"<Location />\n{basic}</Location>\nProxyPass / http://127.0.0.1:{gone}/",
        "not-for-proxies": "<Proxy *>\nRequire all denied\n</Proxy>",
        "password": f"<Location />\n{basic}</Location>",
        "password-below": f"<Directory {site.docroot}>\n{basic}</Directory>",
        "denied": "<Location />\nRequire all denied\n</Location>",
        "denied-there": "<Location /.well-known/acme-challenge/>\nRequire all denied\n</Location>",
        "one-address": "<Location />\nRequire ip 192.0.2.1\n</Location>",
        "denied-as-in-2-2": f"<Location />\nOrder deny,allow\nDeny from all\n{basic}Satisfy all\n</Location>",
        "hidden-files": "<FilesMatch \"^\">\nRequire all denied\n</FilesMatch>",
        "own-404": "ErrorDocument 404 /index.html\nErrorDocument 503 /index.html",
        "aliased": f"Alias /.well-known/acme-challenge/ {site.docroot}/",
        "hostile-htaccess": f"DocumentRoot {hostile}\n<Directory {hostile}>\nAllowOverride All\n</Directory>",
    }


# Measured: nothing of the server's own is merged after these.
BEYOND = {"denied-by-if": '<If "true">\nRequire all denied\n</If>'}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site(open_directory=True) as site:
        load(site, *FOR_VHOSTS, *PROXY)
        for name, extra in {**vhosts(site), **BEYOND}.items():
            site.add_vhost(name, extra=extra)
        site.start()
        yield site


@pytest.fixture
def server(site: Site) -> Iterator[ApacheServer]:
    server = ApacheServer(site.program, site.environment)
    yield server
    assert placing.remove(server, site.vhosts / placement.NAME) == ""


def ports(site: Site) -> Ports:
    return Ports(site.http_port, site.https_port or 0)


def missed(site: Site, names: list[str], port: int) -> dict[str, str]:
    return {one.name: str(one.got) for one in selfcheck.check(names, [site.address], port, ports(site))}


def answer(site: Site, host: str, path: str = snippet.PATH + "token") -> str:
    """Status and first words, asked as by somebody else than us."""
    import http.client

    connection = http.client.HTTPConnection(site.address, site.http_port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return f"{response.status} {response.read(12).decode('utf-8', 'replace')}"
    finally:
        connection.close()


def test_a_challenge_reaches_certbot_whatever_the_virtual_host_does_with_its_visitors(site, server):
    names = [*vhosts_of(site), *BEYOND]
    port = loopback.free_port()
    before = missed(site, names, port)
    assert set(before) == set(names)
    placing.place(server, port, os.getpid(), names)
    assert set(missed(site, names, port)) == set(BEYOND)
    assert missed(site, list(BEYOND), port) == {"denied-by-if": before["denied-by-if"]}


def vhosts_of(site: Site) -> list[str]:
    return sorted(path.stem for path in site.vhosts.glob("*.conf")
                  if path.stem not in ("000-modules", "default-tls", placement.NAME[:-5], *BEYOND))


def test_names_that_are_not_ours_and_other_paths_are_answered_as_before(site, server):
    names = [name for name in vhosts_of(site) if not name.startswith("proxied") or name == "proxied-but"]
    paths = [snippet.PATH + "token", snippet.PATH, snippet.PATH + "a/b", "/", "/.well-known/other"]
    before = {(name, path): answer(site, name, path) for name in names for path in paths}
    port = loopback.free_port()
    placing.place(server, port, os.getpid(), ["plain"])
    with selfcheck.Responder(port) as responder:
        assert answer(site, "PLAIN.:80", responder.path).startswith("200 ")
        after = {(name, path): answer(site, name, path) for name in names for path in paths if name != "plain"}
        assert after == {key: value for key, value in before.items() if key[0] != "plain"}
        for path in paths[1:]:
            assert answer(site, "plain", path) == before["plain", path]


@pytest.mark.parametrize("written", ["/.well-known/%61cme-challenge/", "/x/../.well-known/acme-challenge/",
                                     "/.well-known//acme-challenge/", "/.well-known/acme-challenge/%2e/"])
@pytest.mark.parametrize("pid", [os.getpid(), NOBODY], ids=["alive", "dead"])
def test_a_path_that_is_written_in_another_way_reaches_nobody(site, server, written, pid):
    port = loopback.free_port()
    placing.place(server, port, pid, ["plain"])
    with selfcheck.Responder(port) as responder:
        for host in ("plain", "own-404", "a.stranger"):
            assert not answer(site, host, written + responder.path.rpartition("/")[2]).startswith("200 ")


# What a .htaccess may hold leads to a place that is closed, from one that is the visitor's own.
FORGED = {"DirectoryIndex": "DirectoryIndex /closed/index.html", "FallbackResource": "FallbackResource /closed/index.html"}


@pytest.fixture(params=["mod_rewrite", "without mod_rewrite"])
def shared(request) -> Iterator[Site]:
    """A server on which somebody may write .htaccess files in ``own``, and nobody may see ``closed``."""
    with Site(tls=False, open_directory=True, http_port=free_port()) as site:
        load(site, *PROXY)
        if request.param != "mod_rewrite":
            lines = site.configuration.read_text().splitlines(keepends=True)
            site.configuration.write_text("".join(line for line in lines if "rewrite_module" not in line))
        root = site.root / "shared"
        for name, text in {"closed/index.html": "a secret\n", "own/page.html": "a page\n"}.items():
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text(text)
        for path in (root, *root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        site.add_vhost("shared", extra=f"DocumentRoot {root}\n<Directory {root}>\nRequire all granted\n</Directory>\n"
                       f"<Directory {root}/own>\nAllowOverride All\n</Directory>\n"
                       "<Location /closed>\nRequire all denied\n</Location>")
        site.start()
        yield site


@pytest.mark.parametrize("pid", [os.getpid(), NOBODY], ids=["alive", "dead"])
def test_nobody_opens_a_closed_place_by_saying_that_it_is_a_challenge(shared, pid):
    port = loopback.free_port()
    placing.place(ApacheServer(shared.program, shared.environment), port, pid, ["plain", "shared"])
    with selfcheck.Responder(port) as responder:
        for way in FORGED.values():
            htaccess = shared.root / "shared" / "own" / ".htaccess"
            htaccess.write_text(f"SetEnvIf Request_URI . {snippet.VARIABLE}={port}\n{way}\n")
            htaccess.chmod(0o644)
            assert answer(shared, "shared", "/own/page.html") == "200 a page\n"
            for path in ("/closed/index.html", "/own/", "/own/nothing"):
                assert "secret" not in answer(shared, "shared", path)
            assert answer(shared, "shared", responder.path).startswith("200 ") == (pid != NOBODY)


def test_a_leftover_of_a_process_that_died_changes_nothing(site, server):
    names = [name for name in vhosts_of(site) if not name.startswith("proxied")]
    before = {name: answer(site, name) for name in names}
    port = loopback.free_port()
    placing.place(server, port, NOBODY, vhosts_of(site))
    with selfcheck.Responder(port):  # even if somebody listens there by now
        assert {name: answer(site, name) for name in names} == before
    # mod_proxy has no way to say "as before": what was sent to a backend is looked for on the disk.
    assert answer(site, "proxied").startswith("404")


def test_a_connection_refused_before_certbot_listened_is_not_held_against_it(site, server):
    port = loopback.free_port()
    placing.place(server, port, os.getpid(), ["plain", "proxied-by-location"])
    for name in ("plain", "proxied-by-location"):
        assert answer(site, name).startswith("503")
    assert missed(site, ["plain", "proxied-by-location"], port) == {}


def test_it_is_taken_away_by_another_process_and_only_if_it_is_ours(site, server):
    path = placing.place(server, loopback.free_port(), os.getpid(), ["plain"])
    assert placing.leftovers(server) == [path]
    script = ("import sys; from pathlib import Path; from certbot_guard.proxying import placing\n"
              "from certbot_guard.servers.apache import ApacheServer\n"
              f"server = ApacheServer({site.program!r}, {site.environment!r})\n"
              "print([placing.remove(server, path) for path in placing.leftovers(server)], placing.leftovers(server))")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[''] []", done.stderr
    assert answer(site, "plain").startswith("404")
    path.write_text("# somebody's own\n")
    try:
        assert "not certbot-guard's" in placing.remove(server, path)
        with pytest.raises(ServerError, match="did not write it"):
            placing.place(server, loopback.free_port(), os.getpid(), ["plain"])
        assert path.read_text() == "# somebody's own\n"
    finally:
        path.unlink()
    assert placing.remove(server, path) == ""


def test_a_link_that_leads_to_a_file_of_ours_is_not_ours(site, server, tmp_path):
    target = tmp_path / "target"
    target.write_text(f"{snippet.MARK} once\n")
    path = site.vhosts / placement.NAME
    path.symlink_to(target)
    try:
        assert "not certbot-guard's" in placing.remove(server, path)
        assert path.is_symlink()
    finally:
        path.unlink()


def test_a_broken_configuration_is_refused_before_anything_is_written(site, server):
    site.break_configuration()
    try:
        with pytest.raises(ConfigtestError):
            placing.place(server, loopback.free_port(), os.getpid(), ["plain"])
    finally:
        site.mend_configuration()
    assert not (site.vhosts / placement.NAME).exists()


def test_a_configuration_that_is_broken_meanwhile_keeps_nothing_of_ours(site, server):
    path = placing.place(server, loopback.free_port(), os.getpid(), ["plain"])
    site.break_configuration()
    try:
        assert "taken away, and Apache was not reloaded" in placing.remove(server, path)
        assert not path.exists()
    finally:
        site.mend_configuration()
    server.reload()
    assert answer(site, "plain").startswith("404")


def test_a_file_that_apache_does_not_accept_is_never_where_apache_reads(site, server, monkeypatch):
    seen = []
    rehearse = placing._rehearse

    def rehearse_and_look(instance, content):
        try:
            rehearse(instance, content + "NoSuchDirective on\n")
        finally:
            seen.append(sorted(os.listdir(site.vhosts)))

    monkeypatch.setattr(placing, "_rehearse", rehearse_and_look)
    before = sorted(os.listdir(site.vhosts))
    with pytest.raises(ServerError, match="does not accept the file") as caught:
        placing.place(server, loopback.free_port(), os.getpid(), ["plain"])
    assert "NoSuchDirective" in caught.value.detail
    assert seen == [before] and sorted(os.listdir(site.vhosts)) == before


def test_a_reload_that_fails_takes_the_file_away_again(site, server, monkeypatch):
    def fails():
        raise ServerError("it did not reload")

    monkeypatch.setattr(server, "reload", fails)
    with pytest.raises(ServerError, match="it did not reload"):
        placing.place(server, loopback.free_port(), os.getpid(), ["plain"])
    assert not (site.vhosts / placement.NAME).exists()


def test_nobody_notices_that_it_comes_and_goes(site, server):
    load = Load(site.address, site.http_port)

    async def while_it_comes_and_goes() -> None:
        loop = asyncio.get_running_loop()
        clients = [asyncio.ensure_future(load.client(keep)) for keep in (True, True, False, False)]
        for _ in range(2):
            path = await loop.run_in_executor(None, placing.place, server, loopback.free_port(), os.getpid(), ["plain"])
            assert await loop.run_in_executor(None, placing.remove, server, path) == ""
        load.over = True
        await asyncio.gather(*clients)

    asyncio.run(while_it_comes_and_goes())
    assert load.failed == []
    assert load.answered > 100


def test_modules_are_loaded_from_where_the_others_come_from_unless_something_waits_for_them(tmp_path):
    port = loopback.free_port()
    listen_port = free_port()
    with Site(tls=False, open_directory=True, http_port=listen_port,
              listen=[f"127.0.0.1:{listen_port}", f"[::1]:{listen_port}"]) as bare:
        bare.add_vhost("plain")
        bare.add_vhost("to-https", extra="Redirect permanent / https://to-https/")
        bare.start()
        server = ApacheServer(bare.program, bare.environment)
        path = placing.place(server, port, os.getpid(), ["plain", "to-https"])
        at = selfcheck.places(server.look(), listen_port)
        assert sorted(at) == ["127.0.0.1", "::1"]
        assert selfcheck.check(["plain", "to-https"], at, port, Ports(listen_port, 0)) == []
        assert placing.remove(server, path) == ""
        assert not server.instance.dump.modules & {"proxy", "proxy_http"}
        waiting = bare.vhosts / "waiting.conf"
        waiting.write_text("<IfModule mod_proxy.c>\n  ProxyRequests On\n</IfModule>\n")
        with pytest.raises(ServerError, match="wake up"):
            placing.place(server, port, os.getpid(), ["plain"])
        assert not path.exists()


def test_there_is_no_place_where_nothing_is_included_or_others_can_write(site, server):
    configuration = server.instance.configuration()
    assert placement.path(configuration) == site.vhosts / placement.NAME
    site.vhosts.chmod(0o777)
    try:
        with pytest.raises(ServerError, match="can be written by others"):
            placement.path(configuration)
    finally:
        site.vhosts.chmod(0o755)
    configuration.includes.clear()
    with pytest.raises(ServerError, match="includes no directory"):
        placement.path(configuration)


def test_a_port_that_somebody_else_listens_on_is_found_out(site, server):
    port = loopback.free_port()
    placing.place(server, port, os.getpid(), ["plain"])
    with selfcheck.Responder(port), pytest.raises(ServerError, match="cannot be listened on"):
        selfcheck.check(["plain"], [site.address], port, ports(site))
