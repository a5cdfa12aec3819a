"""Every kind of site that people have, in the Apache of a context: its virtual hosts, and what its visitors want of it.

Built of what tests/integration/test_proxying.py asks for in single requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Optional

from tests.integration.test_proxying import FOR_VHOSTS, PROXY, load, vhosts
from tests.support.backend import BEHIND, Backend
from tests.support.context import Context
from tests.support.visitors import Ask

LOGIN = "visitor:password"
WELL_KNOWN = "/.well-known/acme-challenge/"
# No token (RFC 8555: base64url has no full stop), so it stays whose it is.
KEPT = WELL_KNOWN + "kept.txt"


@dataclass
class Kind:
    """What stands in its virtual hosts, and what is asked of it while its certificate is renewed.

    :ivar https: what stands in the one for HTTPS; None: the same, and it is asked the same
    """

    http: str
    asks: list[Ask]
    https: Optional[str] = None
    download: Optional[Ask] = None
    websockets: list[Ask] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.https is None:
            self.https = self.http
            self.asks = [*self.asks, *(replace(ask, tls=True) for ask in self.asks)]


class Sites:
    """Sites, one after the other, and the backend behind some of them.

    :ivar asks: what visitors of all of them want; with :attr:`downloads` and :attr:`websockets`
    """

    def __init__(self, context: Context, modules: bool = True) -> None:
        self.context, self.apache, self.backend = context, context.apache, Backend()
        context.cleanup(self.backend.close)
        self.asks: list[Ask] = []
        self.downloads: list[Ask] = []
        self.websockets: list[Ask] = []
        if modules:
            load(self.apache, *FOR_VHOSTS, *PROXY, "proxy_wstunnel")
        self.apache.add_vhost("000-nobodys", server_name="localhost")  # who asks for no name that is known
        self.file(self.apache.docroot, KEPT, "kept\n")
        self.extras = vhosts(self.apache)

    def add(self, kind: str, name: str, **options: Any) -> Path:
        """A due lineage ``name``, with a site of this kind."""
        made = KINDS[kind](self, name)
        live = self.context.obtain(name, vhost="", **options)
        self.host(name, made)
        self.apache.add_vhost(f"{name}-https", server_name=name, extra=made.https or "",
                              certificate=live / "fullchain.pem", key=live / "privkey.pem")
        return live

    def host(self, name: str, made: Kind) -> None:
        """The virtual host for HTTP alone, and its visitors."""
        self.apache.add_vhost(f"{name}-http", server_name=name, extra=made.http)
        self.asks += made.asks
        self.websockets += made.websockets
        self.downloads += [made.download] if made.download else []

    def file(self, root: Path, path: str, content: str) -> None:
        """``path`` below ``root``, which everybody may read."""
        file = root / path.lstrip("/")
        for directory in reversed([one for one in file.parents if one == root or root in one.parents]):
            directory.mkdir(exist_ok=True)
            directory.chmod(0o755)
        file.write_text(content)
        file.chmod(0o644)


def plain(sites: Sites, name: str) -> Kind:
    return Kind("", [Ask(name), Ask(name, "/none", status=404, says=None), Ask(name, KEPT, says=b"kept\n")],
                download=Ask(name, "/slow.bin"))


def _to_https(extra: str) -> Callable[[Sites, str], Kind]:
    def build(sites: Sites, name: str) -> Kind:
        away = [Ask(name, path, status=301, says=None, location=f"https://{name}{path}") for path in ("/", "/a", KEPT)]
        return Kind(sites.extras[extra].replace("to-https", name), [*away, Ask(name, tls=True)], https="",
                    download=Ask(name, "/slow.bin", tls=True))
    return build


def proxied(sites: Sites, name: str) -> Kind:
    port = sites.backend.port
    return Kind(f"ProxyPass /tunnel ws://127.0.0.1:{port}/tunnel\n"
                f"ProxyPass /upgrade http://127.0.0.1:{port}/upgrade upgrade=websocket\n"
                f"ProxyPass / http://127.0.0.1:{port}/",
                [Ask(name, "/", says=BEHIND), Ask(name, "/.well-known/other", says=BEHIND)],
                download=Ask(name, "/slow.bin"),
                websockets=[Ask(name, "/tunnel"), Ask(name, "/upgrade"), Ask(name, "/tunnel", tls=True)])


def proxied_by_location(sites: Sites, name: str) -> Kind:
    return Kind(f"<Location />\nProxyPass http://127.0.0.1:{sites.backend.port}/\n</Location>",
                [Ask(name, "/", says=BEHIND)], download=Ask(name, "/slow.bin"))


def password(sites: Sites, name: str) -> Kind:
    return Kind(sites.extras["password"], _asked_for_a_password(name, "/index.html"),
                download=Ask(name, "/slow.bin", login=LOGIN))


def _asked_for_a_password(name: str, path: str, tls: bool = False) -> list[Ask]:
    return [Ask(name, path, tls, login=LOGIN), Ask(name, path, tls, 401, None),
            Ask(name, WELL_KNOWN, tls, 401, None)]


def _front_controller(extra: str) -> Callable[[Sites, str], Kind]:
    def build(sites: Sites, name: str) -> Kind:
        return Kind(sites.extras.get(extra, extra),
                    [Ask(name, "/any/page"), Ask(name, "/.well-known/other"), Ask(name)])
    return build


def _htaccess(asks: Callable[[str], list[Ask]], **lines: str) -> Callable[[Sites, str], Kind]:
    """Its own files, and a .htaccess of these lines: ``root`` at the top, ``there`` beside the challenges."""
    def build(sites: Sites, name: str) -> Kind:
        root = sites.apache.root / name
        sites.file(root, "index.html", "it works\n")
        sites.file(root, KEPT, "kept\n")
        for where, content in lines.items():
            sites.file(root, ".htaccess" if where == "root" else WELL_KNOWN + ".htaccess", content)
        return Kind(f"DocumentRoot {root}\n<Directory {root}>\nAllowOverride All\nRequire all granted\n</Directory>",
                    asks(name))
    return build


def htaccess_forbids(sites: Sites, name: str) -> Kind:
    return Kind(sites.extras["hostile-htaccess"],
                [Ask(name, path, status=403, says=None) for path in ("/", "/index.html", KEPT)])


def deep(sites: Sites, name: str) -> Kind:
    """To https, which asks for a password and gives every page to one program."""
    return Kind(sites.extras["to-https"].replace("to-https", name),
                [Ask(name, "/a", status=301, says=None, location=f"https://{name}/a"),
                 *_asked_for_a_password(name, "/any/page", tls=True)],
                https=f"{sites.extras['password']}\n{sites.extras['front-controller']}")


def deep_in_one(sites: Sites, name: str) -> Kind:
    """All of it in each virtual host, and in a .htaccess again."""
    made = _htaccess(lambda name: [], root="RewriteEngine on\nRewriteRule !^index\\.html$ /index.html [L]\n",
                     there="Require all denied\nRewriteEngine on\nRewriteRule ^ - [F]\n")(sites, name)
    return Kind(f"{made.http}\n{sites.extras['password']}\nRewriteEngine on\nRewriteCond %{{REQUEST_URI}} ^/old\n"
                f"RewriteRule ^ https://{name}/new [R=301,L]\nRewriteRule ^/.*$ /index.html [PT]",
                [Ask(name, "/old", status=301, says=None, location=f"https://{name}/new"),
                 *_asked_for_a_password(name, "/any/page")])


def among_others(sites: Sites, name: str) -> Kind:
    """One of many names: the others have no lineage, and challenges of their own, which look as ours do."""
    proxy = proxied(sites, f"proxied.{name}")
    theirs = _htaccess(lambda name: [Ask(name, WELL_KNOWN + "a-token", says=b"theirs\n"), Ask(name)])
    for other, kind in ((f"plain.{name}", theirs(sites, f"plain.{name}")),
                        (f"proxied.{name}", proxy),
                        (f"password.{name}", password(sites, f"password.{name}"))):
        kind.asks = [ask for ask in kind.asks if not ask.tls]  # they have no certificate
        kind.websockets = [ask for ask in kind.websockets if not ask.tls]
        sites.host(other, kind)
    sites.file(sites.apache.root / f"plain.{name}", WELL_KNOWN + "a-token", "theirs\n")
    return plain(sites, name)


KINDS: dict[str, Callable[[Sites, str], Kind]] = {
    "plain": plain,
    "to-https": _to_https("to-https"),
    "rewritten-to-https": _to_https("rewritten-to-https"),
    "proxied": proxied,
    "proxied-by-location": proxied_by_location,
    "password": password,
    "front-controller": _front_controller("front-controller"),
    "front-controller-below": _front_controller("front-controller-below"),
    "fallback": _front_controller("FallbackResource /index.html"),
    "htaccess-forbids": htaccess_forbids,
    "htaccess-elsewhere": _htaccess(
        lambda name: [Ask(name), Ask(name, "/a", status=302, says=None, location="https://elsewhere.test/")],
        root="RewriteEngine on\nRewriteRule !^index\\.html$ https://elsewhere.test/ [R=302,L]\n"),
    "htaccess-own-404": _htaccess(
        lambda name: [Ask(name), Ask(name, "/none", status=404), Ask(name, KEPT, status=403, says=None)],
        root="ErrorDocument 404 /index.html\nErrorDocument 503 /index.html\n", there="Require all denied\n"),
    "htaccess-there": _htaccess(
        lambda name: [Ask(name), Ask(name, KEPT, status=403, says=None), Ask(name, WELL_KNOWN, status=403, says=None)],
        there="RewriteEngine on\nRewriteRule ^ - [F]\nErrorDocument 404 /index.html\nRequire all denied\n"),
    "deep": deep,
    "deep-in-one": deep_in_one,
    "among-others": among_others,
}
