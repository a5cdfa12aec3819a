"""What is known of a failure beyond its text: where it came from, what the CA answered, who has the port.

From an exception and what certbot logged before it to the JSON dict ``evidence`` of an event, which
:mod:`certbot_guard.diagnosis` reads. Every key is optional and of bounded size; nothing is looked up while nothing
fails, and nothing here raises: it runs inside certbot. Only what certbot has imported itself is imported.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import re
from typing import Any, Iterator, Optional

_CHAIN_LIMIT = 12
_TEXT_LIMIT = 600
_URL_LIMIT = 300
_CHALLENGES_LIMIT = 100
_BODY_LIMIT = 20_000
_ROUTES_LIMIT_BYTES = 1_000_000
_ADDRESSES_LIMIT = 64
# Patterns as text: compiling them is more than half of what importing the plugin would cost every certbot.
# certbot 2.1 auth_handler.py: "Domain:"; 5.8: "Identifier:". A detail goes on until the next one or a blank line.
_REPORTED = (r"(?m)^ *(?:Domain|Identifier): *(?P<domain>[^\n]*)\n *Type: *(?P<type>[^\n]*)\n *Detail: "
             r"*(?P<detail>[^\n]*(?:\n(?! *(?:Domain|Identifier):|\n|Hint:)[^\n]*)*)")
# certbot 5.8 standalone.py, errors.py: the sentence for people, and the exception's own.
_PORT = r"Could not bind TCP port (\d{1,5})\b|Problem binding to port (\d{1,5})\b"
_ADDRESS = r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\b[0-9a-fA-F]{1,4}:[0-9a-fA-F:]*:[0-9a-fA-F:.]*"
_USER_IN_URL = r"(\w://)[^/\s@]{1,200}@"
_OF_THE_CA = ("acme.", "josepy.", "requests.", "urllib3.")


class Exchange:
    """The last request of certbot's ACME client and what came back, as the client's debug records tell it.

    ``acme.messages.Error`` keeps nothing of the response: its status, Retry-After and Date are only in these records.
    """

    def __init__(self) -> None:
        self.url = ""
        self.status: Optional[int] = None
        self.headers = ""
        self.body = ""

    def hear(self, message: str, arguments: Any) -> None:
        """One record of the logger ``acme``: ``Sending ...`` and ``Received response`` count (acme 1.12 to 5.8)."""
        if message.startswith("Sending ") and isinstance(arguments, tuple) and arguments:
            self.__init__()  # type: ignore[misc]
            self.url = str(arguments[0] if message.startswith("Sending POST") else arguments[-1])[:_URL_LIMIT]
        elif message.startswith("Received response:\nHTTP %d") and len(arguments) >= 3:
            self.status, self.headers = int(arguments[0]), str(arguments[1])[:8000]
            self.body = str(arguments[2])[:_BODY_LIMIT] if self.status >= 400 else ""

    def header(self, name: str) -> str:
        for line in self.headers.split("\n"):
            key, colon, value = line.partition(":")
            if colon and key.strip().lower() == name.lower():
                return value.strip()[:100]
        return ""


def gather(error: Optional[BaseException], exchange: Exchange, challenges: list[dict[str, str]],
           text: str = "") -> dict[str, Any]:
    """The evidence about ``error``, or about a failure of which only the ``text`` is known."""
    try:
        chain = list(_chain(error))
        found: dict[str, Any] = {}
        if chain:
            found["types"] = [f"{type(one).__module__}.{type(one).__qualname__}"[:200] for one in chain]
            found["texts"] = [_said(one) for one in chain]
        _of_system(chain, found)
        _of_exchange(chain, exchange, found)
        if challenges:
            found["challenges"] = challenges[:_CHALLENGES_LIMIT]
        _of_port(chain, [text, *found.get("texts", ())], found)
        if re.search(_ADDRESS, _details(error, challenges, found)):
            found["addresses"] = own_addresses()
        return {key: value for key, value in found.items() if value not in (None, "", [])}
    except Exception:  # certbot must not fail because we look closely
        return {}


def text_of(error: Any) -> str:
    """``str(error)``, or something like it: acme 5.8 cannot show a problem document whose detail is no text."""
    try:
        return str(error)
    except Exception:
        return f"{type(error).__name__} that cannot be shown"


def reported_problems(text: str) -> list[dict[str, str]]:
    """What certbot shows of challenges that failed, ``{domain, type, detail}`` of each."""
    return [{"domain": found["domain"].strip()[:253], "type": found["type"].strip()[:120],
             "detail": " ".join(found["detail"].split())[:_TEXT_LIMIT]}
            for found, _ in zip(re.finditer(_REPORTED, text[:400_000]), range(_CHALLENGES_LIMIT))]


def own_addresses() -> list[str]:
    """The IP addresses of this host, as the kernel's routing table and its list of IPv6 addresses name them."""
    found: dict[str, None] = {}
    address = ""
    for line in _read("/proc/net/fib_trie").splitlines():
        if "|-- " in line:
            address = line.rpartition("|-- ")[2].strip()
        elif line.strip() == "/32 host LOCAL":
            found[address] = None
    for line in _read("/proc/net/if_inet6").splitlines():
        try:
            found[str(ipaddress.IPv6Address(int(line.split()[0], 16)))] = None
        except (ValueError, IndexError):
            continue
    return list(found)[:_ADDRESSES_LIMIT]


def _chain(error: Optional[BaseException]) -> Iterator[BaseException]:
    """``error`` and what it was made of, outermost first: causes, contexts, and those that it only carries along."""
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(seen) < _CHAIN_LIMIT:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        # urllib3 2: MaxRetryError.reason; acme: IssuanceError.error; certbot: StandaloneBindError.socket_error
        carried = [getattr(one, name, None) for name in ("reason", "error", "socket_error")]
        inner = [argument for argument in one.args if isinstance(argument, BaseException)]
        waiting += [one.__cause__, one.__context__, *carried, *inner]


def _said(error: BaseException) -> str:
    return re.sub(_USER_IN_URL, r"\1***@", text_of(error)[:_TEXT_LIMIT * 4])[:_TEXT_LIMIT]


def _of_system(chain: list[BaseException], found: dict[str, Any]) -> None:
    for one in chain:
        # ssl.SSLError is an OSError whose errno is OpenSSL's: 1 there is not EPERM
        if isinstance(one, OSError) and isinstance(one.errno, int) and type(one).__module__ != "ssl":
            found.setdefault("errno", one.errno)
            if isinstance(one.filename, (str, bytes)):
                found.setdefault("filename", os.fsdecode(one.filename)[:500].encode("utf-8", "replace").decode())
        if isinstance(getattr(one, "verify_code", None), int):  # ssl.SSLCertVerificationError
            found.setdefault("verify_code", one.verify_code)  # type: ignore[attr-defined]
            found.setdefault("verify_message", str(getattr(one, "verify_message", ""))[:200])


def _of_exchange(chain: list[BaseException], exchange: Exchange, found: dict[str, Any]) -> None:
    """Of the response that the exception carries along, else of the last one that was heard of."""
    response = next((one for error in chain for one in _responses(error)), None)
    if response is not None:
        found["status"] = int(response.status_code)
        found["url"] = str(getattr(response, "url", "") or exchange.url)
        found["retry_after"] = str(response.headers.get("Retry-After") or "")[:100]
        found["server_date"] = str(response.headers.get("Date") or "")[:100]
    elif exchange.url:
        found["url"] = exchange.url
        found["server_date"] = exchange.header("Date")
        # An error of this host, after an answer that was in order, has nothing to do with that answer.
        blamed = any(f"{type(error).__module__}.".startswith(_OF_THE_CA) for error in chain)
        if exchange.status is not None and (blamed or exchange.status >= 400):
            found["status"] = exchange.status
            found["retry_after"] = exchange.header("Retry-After")
            found["problem"] = _problem(exchange.body)
    if found.get("url"):
        found["url"] = re.sub(_USER_IN_URL, r"\1", found["url"]).partition("?")[0][:_URL_LIMIT]


def _responses(error: BaseException) -> Iterator[Any]:
    """acme 5.8 client.py: ``ClientError(response)`` and ``ClientError((response, error))``; MissingNonce.response."""
    flat = [getattr(error, "response", None)]
    for argument in error.args:
        flat += argument if isinstance(argument, tuple) else [argument]
    return (one for one in flat if isinstance(getattr(one, "status_code", None), int) and hasattr(one, "headers"))


def _problem(body: str) -> Optional[dict[str, str]]:
    """Type and detail of a problem document: acme 5.8 drops that of an HTTP 409 (``alreadyReplaced``)."""
    try:
        document = json.loads(body)
        return {"type": str(document["type"])[:200], "detail": str(document.get("detail") or "")[:_TEXT_LIMIT]}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _of_port(chain: list[BaseException], texts: list[str], found: dict[str, Any]) -> None:
    named = next((match for match in (re.search(_PORT, said) for said in texts) if match), None)
    if named is None:
        return
    found["port"] = int(named[1] or named[2])
    if found.get("errno") == errno.EADDRINUSE or any("already in use" in text for text in texts):
        found["port_owner"] = _owner(found["port"])


def _owner(port: int) -> str:
    """Who listens there now: ``nginx (pid 812)``."""
    from certbot_guard.servers import processes, sockets

    held = sorted(sockets.listening_pids(port) - {os.getpid()})
    return processes.describe(held[0])[:120] if held else ""


def _details(error: Optional[BaseException], challenges: list[dict[str, str]], found: dict[str, Any]) -> str:
    return "\n".join([str(getattr(error, "detail", ""))[:5000], *(one.get("detail", "") for one in challenges)])


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_ROUTES_LIMIT_BYTES).decode("ascii", "replace")
    except OSError:
        return ""
