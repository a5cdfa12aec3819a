"""An ACME account of its own, registered in a moment and written as certbot keeps it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import urlsplit

import josepy
from acme import client, messages
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def register(directory_url: str, ca_bundle: Path, accounts: Path) -> str:
    """A new account at this server, in certbot's directory ``accounts``; returns the name certbot has for it."""
    private = rsa.generate_private_key(65537, 2048)
    key = josepy.JWKRSA(key=private)
    network = client.ClientNetwork(key, verify_ssl=str(ca_bundle))  # type: ignore[arg-type]  # requests takes a path
    acme = client.ClientV2(client.ClientV2.get_directory(directory_url, network), network)
    made = acme.new_account(messages.NewRegistration(terms_of_service_agreed=True))
    # certbot/_internal/account.py, 2.1 to 5.8: the MD5 of the public key's PEM
    name = hashlib.md5(private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    where = urlsplit(directory_url)
    directory = accounts / where.netloc / where.path.strip("/") / name
    directory.mkdir(parents=True)
    (directory / "private_key.json").write_text(key.json_dumps())
    (directory / "regr.json").write_text(json.dumps({"body": {}, "uri": made.uri}))
    (directory / "meta.json").write_text(
        json.dumps({"creation_dt": "2026-01-01T00:00:00Z", "creation_host": "localhost"}))
    return name
