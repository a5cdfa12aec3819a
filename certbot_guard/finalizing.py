"""When certbot sends the request that finalizes an order, as its ACME client's debug records tell it.

An order can be finalized once all of its authorizations are valid (RFC 8555, section 7.4): it asks for no challenge
any more.
"""

from __future__ import annotations

import json
from typing import Any

_LIMIT_CHARACTERS = 100_000


class Finalizing:
    """The orders that the CA has shown so far, by the URL that finalizes each."""

    def __init__(self) -> None:
        self._urls: set[str] = set()

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
        if isinstance(order, dict) and isinstance(order.get("finalize"), str):
            self._urls.add(order["finalize"])
