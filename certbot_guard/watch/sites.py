"""Where the web server shows certificates: every address, port and name of it that speaks TLS, as places to look at.

Apache is asked which virtual hosts it has (DUMP_VHOSTS); of another server only its sockets are known, so there each
lineage's names are tried. Only addresses of this machine are asked: a failover address may be another machine's now.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass, replace
from typing import Any, Iterable, Iterator, Optional, Sequence

from certbot_guard import plainfile
from certbot_guard.errors import ServerError
from certbot_guard.servers import execute, sockets
from certbot_guard.servers.dump import FILE_LIMIT_BYTES
from certbot_guard.servers.instance import Host, Instance
from certbot_guard.watch.ondisk import Disk, OnDisk, is_address
from certbot_guard.watch.tls import Place

LIMIT = 2000
_DUMP_SECONDS = 120.0
_DUMP_LIMIT_BYTES = 16 * 1024 * 1024
_CONNECT_SECONDS = 1.0
_LOOPBACK = ("127.0.0.1", "::1")
_ADDRESS = re.compile(r"(\S+):(\d+|\*)\s+(?:is a NameVirtualHost|(\S+) \((.*)\))$")
_NAMED = re.compile(r"\s+port (?:\d+|\*) namevhost (\S+) \((.*)\)$")
_ALIAS = re.compile(r"\s+(?:wild )?alias (\S+)$")
_PROXY = re.compile(rb"^\s*RemoteIPProxyProtocol\s+\"?on\b", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Sites:
    """:ivar places: at most :data:`LIMIT` of them
    :ivar left_out: how many more there are
    :ivar problem: why Apache could not be asked, so that its sockets alone are known; or nothing
    """

    places: tuple[Place, ...] = ()
    left_out: int = 0
    problem: str = ""


@dataclass(frozen=True)
class _VirtualHost:
    """One line of DUMP_VHOSTS. ``address`` is ``*`` or an address without brackets; ``port`` 0 is every one."""

    address: str
    port: int
    names: tuple[str, ...]
    where: str


def of_server(server: Any, disk: Sequence[OnDisk], snapshot: Optional[dict[str, Any]] = None) -> Sites:
    """The places of the running ``server``; ``snapshot`` is what its ``look()`` said just now, if that is known.

    :raises ServerError: it could not be looked at.
    """
    snapshot = snapshot if snapshot is not None else server.look()
    disk = disk if isinstance(disk, Disk) else Disk(disk)
    instance, problem = getattr(server, "instance", None), ""
    if isinstance(instance, Instance):
        try:
            return _cut(_of_apache(instance, server.hosts(), snapshot), disk)
        except ServerError as error:
            problem = str(error)
    return replace(_cut(_of_sockets(snapshot, disk, server.name), disk), problem=problem)


def places(server: Any, disk: Sequence[OnDisk]) -> list[Place]:
    """The places of :func:`of_server` alone; none where it could not be looked at."""
    try:
        return list(of_server(server, disk).places)
    except ServerError:
        return []


def _cut(found: Iterable[Place], disk: Disk) -> Sites:
    """Each place once, as the first virtual host of that name has it: it is the one that answers. Where there are too
    many, those first that a lineage has to do with."""
    once: dict[tuple[str, int, str], Place] = {}
    for place in found:
        once.setdefault((place.host, place.port, place.name), place)
    kept = list(once.values())
    if len(kept) > LIMIT:
        kept.sort(key=lambda place: place.name not in disk.by_name and disk.of_files(place) is None)
    return Sites(tuple(kept[:LIMIT]), max(0, len(kept) - LIMIT))


# -- Apache --------------------------------------------------------------------------------------------------------


def _of_apache(instance: Instance, hosts: list[Host], snapshot: dict[str, Any]) -> Iterator[Place]:
    known = {host.place: host for host in hosts}
    virtual = list(_virtual_hosts(instance))
    gave = {(one["address"], one["port"]): one["gave"] for one in snapshot.get("sockets") or []}
    ports_with_tls = {port for (_, port), what in gave.items() if what == "tls"}
    ports_with_tls |= {one.port for one in virtual if one.where in known and known[one.where].tls}
    taken = {(one.address, one.port) for one in virtual}
    addresses = _Addresses(gave, taken, _behind_a_proxy(instance))
    files: dict[tuple[str, ...], tuple[str, ...]] = {}
    for one in virtual:
        host = known.get(one.where)  # a <Macro> makes hosts of which nothing is known but what Apache says
        if host is not None and not host.tls:
            continue
        certificates = host.certificates if host is not None else ()
        if certificates not in files:
            files[certificates] = tuple(os.path.realpath(path) for path in certificates)
        ports = [one.port] if one.port else sorted(ports_with_tls)
        for port in ports:
            if host is None and port not in ports_with_tls:
                continue
            for address in addresses.of(one.address, port):
                for name in _askable((host.names if host is not None else ()) or one.names):
                    yield Place(address, port, name, source=f"the virtual host {one.names[0]} at {one.where}",
                                files=certificates, real_files=files[certificates])


def _virtual_hosts(instance: Instance) -> Iterator[_VirtualHost]:
    """In Apache's own order, which decides who answers for a name.

    :raises ServerError: Apache could not be asked.
    """
    words = [instance.program, "-t", "-D", "DUMP_VHOSTS"]
    result = execute.run(words, instance.environment, _DUMP_SECONDS, limit_bytes=_DUMP_LIMIT_BYTES)
    if result.code != 0:
        raise ServerError("Apache does not say which virtual hosts it has", result.output)
    return parse_dump(result.output)


def parse_dump(output: str) -> Iterator[_VirtualHost]:
    """The virtual hosts in the output of ``-t -D DUMP_VHOSTS``, 2.4.68: an address has one, or a list of named ones."""
    address, port, names, where = "", 0, [], ""
    for line in output.split("\n"):
        head, named, alias = _ADDRESS.match(line), _NAMED.match(line), _ALIAS.match(line)
        if alias is not None:
            names.append(alias.group(1))
            continue
        if (head is not None or named is not None) and names:
            yield _VirtualHost(address, port, tuple(names), where)
            names = []
        if head is not None:
            address, port = head.group(1).strip("[]"), int(head.group(2)) if head.group(2) != "*" else 0
            names, where = [head.group(3)] if head.group(3) else [], head.group(4) or ""
        elif named is not None:
            names, where = [named.group(1)], named.group(2)
    if names:
        yield _VirtualHost(address, port, tuple(names), where)


def _behind_a_proxy(instance: Instance) -> bool:
    """Does a listener want the PROXY protocol first? Such a one answers no visitor who comes straight to it."""
    for path in set(instance.dump.files):
        try:
            if _PROXY.search(plainfile.read(path, FILE_LIMIT_BYTES)):
                return True
        except OSError:
            continue
    return False


class _Addresses:
    """Where a visitor on this machine reaches a virtual host: through the sockets that there really are."""

    def __init__(self, gave: dict[tuple[str, int], str], taken: set[tuple[str, int]], behind_a_proxy: bool) -> None:
        self._gave, self._taken, self._behind_a_proxy = gave, taken, behind_a_proxy
        self._listeners = sockets.listeners()
        self._found: dict[tuple[str, int], list[str]] = {}

    def of(self, address: str, port: int) -> list[str]:
        if (address, port) not in self._found:
            self._found[address, port] = list(dict.fromkeys(self._look(address, port)))
        return self._found[address, port]

    def _look(self, address: str, port: int) -> Iterator[str]:
        held = [one for one in self._listeners if one.port == port and not self._is_proxied(one.address, port)]
        if address not in ("*", "_default_"):
            if is_local(address) and any(one.covers(address, port) for one in held):
                yield address
            return
        for one in held:
            if one.address not in sockets.ANY_ADDRESSES:
                # a host of that address alone answers there
                if (one.address, port) not in self._taken:
                    yield one.address
                continue
            # "::" may or may not take IPv4, and there may be no IPv6 on the loopback interface: it is tried
            ways = [way for way in _LOOPBACK if one.covers(way, port) and (way, port) not in self._taken]
            reached = [way for way in ways if _connects(way, port)]
            yield from reached or ways[-1:]

    def _is_proxied(self, address: str, port: int) -> bool:
        return self._behind_a_proxy and self._gave.get((address, port), "connection") != "tls"


def is_local(address: str) -> bool:
    """Does this machine have ``address``? Asked of its routes: ip_nonlocal_bind lets everything be bound."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # sends nothing
            return str(probe.getsockname()[0]) == address
    except OSError:
        return False


def _connects(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False


# -- another server ------------------------------------------------------------------------------------------------


def _of_sockets(snapshot: dict[str, Any], disk: Disk, server: str) -> Iterator[Place]:
    """Every lineage's first name everywhere before anybody's second: there may be more than can be asked."""
    found = [one for one in snapshot.get("sockets") or [] if one["gave"] == "tls"]
    names = [list(_askable(sorted(one.names))) for one in disk]
    for number in range(max(map(len, names), default=0)):
        for of_lineage in names:
            for one in found if number < len(of_lineage) else ():
                host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(one["address"], one["address"])  # nosec B104 # not bound
                yield Place(host, one["port"], of_lineage[number], source=server, guess=True)


def _askable(names: Iterable[str]) -> Iterator[str]:
    """Apache's aliases are patterns: what can be asked for is a name, or one with a ``*`` for its first label."""
    for name in dict.fromkeys(names):
        rest = name[2:] if name.startswith("*.") else name
        if rest and not is_address(name) and not re.search(r"[*?$\s]", rest):
            yield name
