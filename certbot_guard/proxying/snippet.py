"""The text of the configuration file that has Apache hand a challenge to certbot's own server. Pure.

It acts only on a request for a token, under a name of the lineage, while the process that asked for it lives. Else
Apache does what it did before, so that a file that was left behind is harmless. One exception: what is under the path
and not ours is not proxied by a ``ProxyPass`` of its own either. Measured with Apache 2.4.68, and held by
tests/integration/test_proxying.py:

- A ``<Location>`` of the server is merged before those of a virtual host, an ``<If>`` of the server after them. So
  what has to win over a virtual host's own ``<Location />`` stands in ``<If>``.
- ``ProxyPass`` in a ``<Location>`` comes before ``Redirect``, ``Alias`` and the virtual host's ``ProxyPass /``. It
  must not stand in ``<If>``, so names that are not ours are kept from it by the variable ``no-proxy`` (Apache
  2.4.26).
- ``RewriteEngine off`` for a path also switches off the RewriteRules of the server and of the virtual host. So
  nothing has to be inherited by anybody, and no rule that slept so far wakes up.
- A virtual host's own ``<Location />`` with a ``ProxyPass`` still sends the request elsewhere, or nowhere. A
  RewriteRule of the path itself runs after that and sends it to us. It needs the engine that was off before, and is
  told from then by there being a file name.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Iterable, Sequence

from certbot_guard.errors import ServerError

MARK = "# certbot-guard wrote this"
PATH = "/.well-known/acme-challenge/"
VARIABLE = "certbot_guard"
_NO_HOST = "one of the certificate's names is no host name that Apache could be asked for"
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
# RFC 8555, 8.3: a token is base64url.
_TOKEN_PATH = r"^/\.well-known/acme-challenge/[A-Za-z0-9_-]+$"  # nosec B105 # of a challenge


def text(port: int, pid: int, names: Iterable[str], address: str = "127.0.0.1",
         load: Sequence[tuple[str, str]] = ()) -> str:
    """The whole file: tokens of ``names`` go to ``address`` and ``port`` while the process ``pid`` lives.

    :param load: ``(module, path)`` of each module that has to be loaded first
    :raises ServerError: none of ``names`` can be asked for by HTTP, or one is no host name.
    """
    hosts = list(dict.fromkeys(host(name) for name in names if not name.startswith("*.")))
    if not hosts:
        raise ServerError("no name is proved by an HTTP challenge")
    backend = f"http://{address}:{port}"
    marked = f"reqenv('{VARIABLE}') == '{port}'"
    token = f"%{{REQUEST_URI}} =~ m#{_TOKEN_PATH}# && -d '/proc/{pid}'"
    # A subrequest inherits the variable, which a .htaccess may have set: so all of it is asked again.
    ours = f"{marked} && {token}"
    lines = [
        f"{MARK} while a certificate is renewed, and takes it away again.",
        "# If it is still here tomorrow, it does nothing; run: certbot-guard recover",
        *_loading(load),
        # SetEnvIf in the server's own part runs before any section is looked at, in every virtual host.
        *(f'SetEnvIfNoCase Host "^{re.escape(one)}\\.?(:[0-9]+)?$" {VARIABLE}={port}' for one in hosts),
        f'SetEnvIfExpr "! ( {token} )" !{VARIABLE}',
        f'SetEnvIfExpr "%{{REQUEST_URI}} =~ m#^{re.escape(PATH)}# && ! ( {marked} )" no-proxy=1',
        f'<Location "{PATH}">',
        # retry=0: a connection that was refused before certbot listened must not be held against it for a minute.
        f'  ProxyPass "{backend}{PATH}" retry=0 connectiontimeout=5 timeout=30 disablereuse=On',
        "</Location>",
        f'<If "{ours}">',
        "  AuthType None",
        "  AuthMerging Off",
        "  Require all granted",
        *_if_module("access_compat_module", "Order allow,deny", "Allow from all", "Satisfy All"),
        *_if_module("rewrite_module", "RewriteEngine off"),
        *_if_module("security2_module", "SecRuleEngine Off"),
        "</If>",
        "<IfModule rewrite_module>",
        f'  <If "{ours} && -n %{{REQUEST_FILENAME}}">',
        "    RewriteEngine on",
        f'    RewriteRule ^ "{backend}%{{REQUEST_URI}}" [P]',
        "  </If>",
        "</IfModule>",
        # Written in another way (%61cme), or asked for by a subrequest, the path gets past no-proxy.
        f'<If "! ( {ours} ) && %{{REQUEST_FILENAME}} =~ m#^proxy:{re.escape(backend)}/#">',
        "  Require all denied",
        *_if_module("access_compat_module", "Order deny,allow", "Deny from all", "Satisfy All"),
        "</If>",
    ]
    return "\n".join(lines) + "\n"


def is_ours(content: bytes) -> bool:
    """Did we write this file?"""
    return content.startswith(MARK.encode("ascii") + b" ")


def disarmed(content: bytes) -> bytes:
    """The same file with nothing in it that Apache would read. It is still ours, and for whom it was."""
    return b"".join(line if line.startswith(b"#") else b"# " + line for line in content.splitlines(keepends=True))


def is_for(content: bytes, port: int, pid: int) -> bool:
    """Does this file of ours hand over to ``port`` while ``pid`` lives?"""
    wanted = (f"reqenv('{VARIABLE}') == '{port}'", f"-d '/proc/{pid}'")
    return all(words.encode("ascii") in content for words in wanted)


def host(name: str) -> str:
    """``name`` as it stands in a Host header, in lower case: IDNs as ``xn--``, IPv6 addresses in brackets.

    :raises ServerError: it is no host name. It would become a part of a configuration file.
    """
    if "%" in name:  # Python takes any character for an IPv6 address's zone
        raise ServerError(_NO_HOST)
    try:
        address = ipaddress.ip_address(name.strip("[]"))
        return f"[{address}]" if address.version == 6 else str(address)
    except ValueError:
        pass
    try:
        plain = name.rstrip(".").lower() if name.isascii() else name.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        plain = ""
    if len(plain) > 253 or not _HOST.fullmatch(plain):
        raise ServerError(_NO_HOST)
    return plain


def _loading(load: Sequence[tuple[str, str]]) -> list[str]:
    lines = []
    for module, path in load:
        if not re.fullmatch(r"/[\w./+ -]+", path, re.ASCII):
            raise ServerError("the path of Apache's modules has characters that are not written into its configuration")
        lines += [f"<IfModule !{module}_module>", f'  LoadModule {module}_module "{path}"', "</IfModule>"]
    return lines


def _if_module(module: str, *directives: str) -> list[str]:
    return [f"  <IfModule {module}>", *(f"    {line}" for line in directives), "  </IfModule>"]
