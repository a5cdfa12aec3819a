"""The addresses at which this machine can be reached, as far as the kernel tells: what a wildcard listener stands for.

A virtual host may be for one address alone (``<VirtualHost 192.0.2.7:80>``), so asking the loopback would prove nothing
of it.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Iterable

_IPV4 = Path("/proc/net/fib_trie")
_IPV6 = Path("/proc/net/if_inet6")
_LOOPBACK = {4: "127.0.0.1", 6: "::1"}
# A machine with more has them from one block, for one purpose.
_LIMIT = 64


def reachable(listening: Iterable[str], ipv4: Path = _IPV4, ipv6: Path = _IPV6) -> list[str]:
    """Where to ask a server that listens on these addresses: wildcards replaced by all that they stand for.

    The loopback stands in only where there is nothing else.
    """
    found: list[str] = []
    for address in listening:
        if address == "::":  # takes IPv4 as well, on Linux
            found += _local(6, ipv6) + _local(4, ipv4)
        elif address in ("0.0.0.0", ""):  # nosec B104 # compared, not bound
            found += _local(4, ipv4)
        else:
            found.append(address)
    return list(dict.fromkeys(found))[:_LIMIT]


def _local(version: int, table: Path) -> list[str]:
    try:
        content = table.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        content = ""
    if version == 4:
        written = re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", content)
    else:
        written = [":".join(re.findall("....", line.split()[0])) for line in content.splitlines() if line]
    usable = []
    for one in dict.fromkeys(written):
        try:
            address = ipaddress.ip_address(one)
        except ValueError:
            continue
        if not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified):
            usable.append(str(address))
    return usable or ([_LOOPBACK[version]] if version == 4 or "00000000000000000000000000000001" in content else [])
