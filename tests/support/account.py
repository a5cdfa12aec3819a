"""An ACME account, registered in a moment and written as certbot keeps it.

Each test has its own: Pebble, told to reuse no authorization of an account, does it once in a hundred times (2.10,
``rand.Intn(100) > percent``), and then there is no challenge.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import josepy
from acme import client, messages
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


@dataclass(frozen=True)
class Account:
    """``name`` is what certbot calls it, ``uri`` what the server does."""

    directory_url: str
    name: str
    uri: str
    key: str

    @classmethod
    def register(cls, directory_url: str, ca_bundle: Path) -> Account:
        private = rsa.generate_private_key(65537, 2048)
        key = josepy.JWKRSA(key=private)
        network = client.ClientNetwork(key, verify_ssl=str(ca_bundle))  # type: ignore[arg-type]  # requests takes a path
        directory = messages.Directory.from_json(network.get(directory_url).json())  # acme 1.21 has no get_directory()
        acme = client.ClientV2(directory, network)
        made = acme.new_account(messages.NewRegistration(terms_of_service_agreed=True))
        # certbot/_internal/account.py, 1.21 to 5.8: the MD5 of the public key's PEM
        name = hashlib.md5(private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()
        return cls(directory_url, name, made.uri, key.json_dumps())

    def write(self, accounts: Path) -> None:
        """It is one of those in certbot's directory ``accounts``."""
        where = urlsplit(self.directory_url)
        directory = accounts / where.netloc / where.path.strip("/") / self.name
        directory.mkdir(parents=True)
        (directory / "private_key.json").write_text(self.key)
        (directory / "regr.json").write_text(json.dumps({"body": {}, "uri": self.uri}))
        (directory / "meta.json").write_text(
            json.dumps({"creation_dt": "2026-01-01T00:00:00Z", "creation_host": "localhost"}))
