"""When certbot sends the request that finalizes an order, as its ACME client's debug records tell it.

An order can be finalized once all of its authorizations are valid (RFC 8555, section 7.4): it asks for no challenge
any more.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any

_LIMIT_CHARACTERS = 100_000
_URL_LIMIT_CHARACTERS = 4_000
# certbot works at one order after the other; a CA that names ever new URLs fills no memory.
_ORDERS = 16


class Finalizing:
    """The last orders that the CA has shown, by the URL that finalizes each."""

    def __init__(self) -> None:
        self._urls: deque[str] = deque(maxlen=_ORDERS)

    def hear(self, message: str, arguments: Any) -> bool:
        """Is this record of the logger ``acme`` (1.12 to 5.8) about the request that finalizes an order?"""
        if message.startswith("Sending POST request to %s"):
            return bool(arguments) and str(arguments[0]) in self._urls
        if message.startswith("Received response:") and len(arguments) >= 3:
            self._learn(str(arguments[2]))
        return False

    def _learn(self, body: str) -> None:
        if '"finalize"' not in body or len(body) > _LIMIT_CHARACTERS:
            return
        try:
            order = json.loads(body)
        except (ValueError, RecursionError):
            return
        url = order.get("finalize") if isinstance(order, dict) else None
        if isinstance(url, str) and len(url) <= _URL_LIMIT_CHARACTERS and url not in self._urls:
            self._urls.append(url)
