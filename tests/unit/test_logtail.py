"""What is left of certbot's log when its last lines are shown: no key, no signature, nothing that acts."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

import josepy
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from certbot_guard import logtail
from tests.unit.test_message_text import acts_on_nothing

AT = "2026-11-24 04:15:03,123:DEBUG:acme.client:"
RSA_KEY, EC_KEY = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())


def pem(key: Any, form: serialization.PrivateFormat) -> str:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


PEMS = [pem(key, form) for key in (RSA_KEY, EC_KEY)
        for form in (serialization.PrivateFormat.TraditionalOpenSSL, serialization.PrivateFormat.PKCS8)]


def survives(secret: str, shown: str, length: int = 16) -> bool:
    """Whether a piece of ``secret`` of that length stands in ``shown``."""
    return any(secret[start:start + length] in shown for start in range(max(1, len(secret) - length + 1)))


def assert_gone(secret: str, shown: str) -> None:
    for line in secret.split("\n"):
        if line and not line.startswith("-----"):
            assert not survives(line, shown), shown


@pytest.mark.parametrize("line", [
    "2026-11-24 04:15:03,123:DEBUG:certbot._internal.main:certbot version: 5.8.0",
    "2026-11-24 04:15:03,123:DEBUG:acme.client:Sending GET request to https://acme-v02.api.letsencrypt.org/directory.",
    "2026-11-24 04:15:03,123:ERROR:certbot._internal.renewal:Failed to renew certificate www.example.com with error: "
    "urn:ietf:params:acme:error:rateLimited :: There were too many requests :: too many certificates (5) "
    "already issued for this exact set of identifiers in the last 168h0m0s, retry after 2026-11-25 13:11:47 UTC",
    '  File "/usr/lib/python3/dist-packages/acme/client.py", line 997, in _check_response',
    "    return acme_client.BackwardsCompatibleClientV2(net, key, config.server)",
    "2026-11-24 04:15:03,123:DEBUG:certbot._internal.storage:Writing new private key to /etc/x/privkey2.pem.",
    "Domain: www.a-rather-long-host-name-with-many-words-in-it.example.com",
    "  Detail: During secondary validation: 192.0.2.7: Fetching http://example.com/: Timeout during connect",
    "Hook 'pre-hook' reported error code 1", "token: is invalid", "The nonce: was not found", "token: expired.",
    "urn:ietf:params:acme:error:unauthorized :: The client lacks sufficient authorization :: 192.0.2.7: Invalid response",
    "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='acme.invalid')",
    "2026-11-24 04:15:03,123:DEBUG:certbot._internal.main:Arguments: ['--key-type', 'ecdsa', '--reuse-key', '-q']",
])
def test_what_explains_a_failure_is_left_as_it_is(line: str) -> None:
    assert logtail.masked(line) == line


TOKEN, THUMB = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA", "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
SECRET = "s3cr3t+Pa/ss"


@pytest.mark.parametrize("line, secret", [
    (f"Storing nonce: {SECRET}", SECRET), (f"Replay-Nonce: {SECRET}", SECRET),
    ("Storing nonce: oFvnlFP1wIhRlY", "oFvnlFP1wIhRlY"),
    (f'      "token": "{TOKEN}",', TOKEN), (f"Expected \"{TOKEN}.{THUMB}\" (got \"x\")", THUMB),
    (f"Attempting to save validation to /var/www/.well-known/acme-challenge/{TOKEN}", TOKEN),
    ("http://a.example/.well-known/acme-challenge/short_tok: 404", "short_tok"),
    (f"Arguments: ['--eab-kid', 'kid-7', '--eab-hmac-key', '{SECRET}', '-q']", SECRET),
    ("Arguments: ['--eab-kid', 'kid-7', '-q']", "kid-7"), (f"Arguments: ['--dns-x-api-token={SECRET}']", SECRET),
    (f"certbot renew --eab-hmac-key {SECRET} -q", SECRET), (f"certbot --eab-hmac-key='{SECRET}'", SECRET),
    (f"Var eab_hmac_key={SECRET} (set by user).", SECRET), (f"dns_cloudflare_api_token = {SECRET}", SECRET),
    (f"AWS_SECRET_ACCESS_KEY={SECRET} certbot renew", SECRET), (f"Authorization: Bearer {SECRET}", SECRET),
    (f"curl -H 'Authorization: Basic {SECRET}' https://x.example/", SECRET), (f"'X-Auth-Key': '{SECRET}'", SECRET),
    ("token: is+abc", "is+abc"), ("password: Invalid", "Invalid"),
    (f"X-Api-Key: {SECRET}", SECRET), (f"Cookie: a=b; session={SECRET}", SECRET),
    ("https://ops:s3cr3t@proxy.example:3128/", "s3cr3t"),
    ("smtp://user:p@ss@mail.example", "p@ss"), (f"curl -u admin:{SECRET} https://x.example/", SECRET),
    (f"https://x.example/update?key={SECRET}&host=a", SECRET),
    ("auth-key: 1234567893feefc5f0q5000bfo0c38d90bbeb", "1234567893feefc5f0q5"),
    ("global key 0123456789abcdef0123456789abcdef01234", "0123456789abcdef"), (f'{{"password": "{SECRET}"}}', SECRET),
    (f"{{\\\"hmac\\\": \\\"{SECRET}\\\"}}", SECRET), ('{"kty": "RSA", "d": "AbCd0123", "n": "x"}', "AbCd0123"),
    (f"requests with headers {{'Authorization': 'token {SECRET}'}}", SECRET), (f"password: '{SECRET}'", SECRET),
    (f"it sent Bearer {SECRET} there", SECRET),
    (f'"passphrase": "a \\"{SECRET}\\" b"', SECRET),
])
def test_a_secret_is_struck_out(line: str, secret: str) -> None:
    shown = logtail.masked(f"{AT}{line}\n")
    assert secret not in shown and logtail.MASK in shown and shown.startswith(AT)


def test_a_signed_request_as_certbot_logs_it() -> None:
    key = josepy.JWKRSA(key=josepy.ComparableRSAKey(RSA_KEY))
    signed = josepy.JWS.sign(b'{"resource": "new-account"}', key=key, alg=josepy.RS256)
    document = json.loads(signed.json_dumps(indent=2))
    shown = logtail.masked(f"{AT}Sending POST request to https://ca.example/sign-me-up:\n"
                           f"{json.dumps(document, indent=2)}\n")
    assert "https://ca.example/sign-me-up" in shown
    for value in (document["payload"], document["signature"], document.get("protected", "")):
        assert not value or value not in shown
    assert logtail.masked(json.dumps(key.to_partial_json())).count(logtail.MASK) >= 6


def test_a_key_whose_first_line_was_cut_off_is_struck_out() -> None:
    for key in PEMS:
        lines = key.split("\n")[1:-2]
        shown = logtail.masked("\n".join(lines) + "\n-----END PRIVATE KEY-----\n")
        assert not [line for line in lines if len(line) >= 20 and survives(line, shown, 8)]


def test_so_is_the_last_line_of_such_a_key_however_short() -> None:
    shown = logtail.masked(f"{'Ab1+' * 16}\nP3CdZHw8ZE8b7BRc+Ro=\n-----END PRIVATE KEY-----\nand then this\n")
    assert "P3Cd" not in shown and "c+Ro" not in shown and shown.endswith("and then this\n")


# -- whatever stands around it -----------------------------------------------------------------------------------------

AROUND = st.text(max_size=60)
WRAPPED = st.sampled_from([
    lambda it: it, lambda it: repr(it), lambda it: repr(it.encode()), lambda it: json.dumps({"key": it}),
    lambda it: it.replace("\n", "\r\n"), lambda it: "\n".join("    " + line for line in it.split("\n")),
    lambda it: it[:len(it) * 2 // 3], lambda it: json.dumps(json.dumps(it))])


@settings(max_examples=200, deadline=None)
@given(AROUND, st.sampled_from(PEMS), WRAPPED, AROUND)
def test_no_private_key_survives(before: str, key: str, wrapped: Any, after: str) -> None:
    assert_gone(key, logtail.masked(f"{AT}{before}{wrapped(key)}{after}\n{AT}next\n"))


@settings(max_examples=200, deadline=None)
@given(AROUND, st.binary(min_size=16, max_size=256), st.sampled_from(["protected", "payload", "signature"]),
       st.sampled_from([json.dumps, repr, lambda it: json.dumps(json.dumps(it)), lambda it: json.dumps(it, indent=2),
                        lambda it: repr(json.dumps(it).encode())]), AROUND)
def test_no_signature_survives(before: str, content: bytes, name: str, written: Any, after: str) -> None:
    value = base64.urlsafe_b64encode(content).decode().rstrip("=")
    shown = logtail.masked(f"{AT}{before}{written({'alg': 'x', name: value, 'z': 1})}{after}\n")
    assert not survives(value, shown.replace(before, ""))


@settings(deadline=None)
@given(st.lists(st.text() | st.sampled_from(["-----BEGIN X-----\n", "<!channel>", "\x1b[31m", "@everyone", "token=",
                                             "\n"])))
def test_what_is_shown_acts_on_nothing(parts: list[str]) -> None:
    path = Path("/tmp") / f"guard-logtail-{os.getpid()}"
    path.write_text("".join(parts), "utf-8", "surrogatepass")
    try:
        shown = logtail.tail(path, 20)
    finally:
        path.unlink()
    assert len(shown) <= 20 and all(acts_on_nothing(line) and len(line) <= logtail.LINE_LIMIT for line in shown)


@pytest.mark.parametrize("unit", ["a", "a.", "token-", "://", "-----BEGIN X-----\n", '"key": "', "\\\"", "--key ",
                                  "key=", "A1b", "-",
                                  "authorization : ", "x-key", "secret" + " " * 9])
def test_the_time_it_takes_grows_with_the_length_only(unit: str) -> None:
    began = time.process_time()
    logtail.masked(unit * (logtail.WINDOW_BYTES // len(unit)))
    assert time.process_time() - began < 5


# -- the end of a file -------------------------------------------------------------------------------------------------


def test_the_last_lines_and_no_more(tmp_path: Path) -> None:
    log = tmp_path / "letsencrypt.log"
    log.write_text("".join(f"{AT}line {number}\n" for number in range(100)))
    assert logtail.tail(log, 3) == [f"{AT}line {number}" for number in (97, 98, 99)]
    assert logtail.tail(log, 0) == [] and logtail.tail(log, -1) == []
    assert len(logtail.tail(log, 10_000)) == 100


def test_a_key_that_began_before_the_part_that_is_read_is_not_shown(tmp_path: Path) -> None:
    log = tmp_path / "letsencrypt.log"
    body = PEMS[0].split("\n", 1)[1]
    log.write_text(f"{AT}-----BEGIN PRIVATE KEY-----\n" + "A" * logtail.WINDOW_BYTES + "\n" + body + f"{AT}the end\n")
    assert logtail.tail(log, 50) == [f"{AT}the end"]


def test_it_is_bounded_whatever_the_log_holds(tmp_path: Path) -> None:
    log = tmp_path / "letsencrypt.log"
    log.write_text("".join(f"{AT}{'long words ' * 100}{number}\n" for number in range(500)))
    shown = logtail.tail(log, 500)
    assert sum(map(len, shown)) <= logtail.LIMIT and shown[-1].endswith("499")


def test_what_is_no_file_gives_no_lines(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "missing", Path("/dev/zero")):
        assert logtail.tail(path, 5) == []


def test_certbots_count_of_failures_does_not_take_the_place_of_what_failed(tmp_path: Path) -> None:
    log = tmp_path / "letsencrypt.log"
    failed = "2026-11-24 04:17:01,002:ERROR:certbot._internal.renewal:Failed to renew certificate a with error: 503"
    end = ("2026-11-24 04:17:01,003:DEBUG:certbot._internal.log:Exiting abnormally:\nTraceback (most recent call last):\n"
           "  File \"main.py\", line 1\ncertbot.errors.Error: {}\n2026-11-24 04:17:01,004:ERROR:certbot._internal.log:{}\n")
    count = "1 renew failure(s), 0 parse failure(s)"
    log.write_text(f"{failed}\n{end.format(count, count)}")
    assert logtail.tail(log, 5) == [failed]
    log.write_text(f"{failed}\n{end.format('no such account', 'no such account')}")
    assert logtail.tail(log, 5)[-1].endswith("no such account")


@pytest.mark.parametrize("said", ["slack://TokenA/TokenB/#ops", "mailtos://me:secret@smtp.example?to=you", "tgram://123:abc/42",
                                  "json://user:pass@host/path", "URL=pover://key@token"])
def test_of_an_apprise_url_nothing_is_left_but_the_service(said: str) -> None:
    masked = logtail.masked(f"before {said} after")
    assert masked.startswith("before ") and masked.endswith(f"://{logtail.MASK} after")


@pytest.mark.parametrize("said", ["ldap://dc1.example:389 refused", "unix:///var/run/docker.sock: permission denied",
                                  "https://acme-v02.api.letsencrypt.org/directory", "Detail.https://acme.example/x",
                                  "tcp://10.0.0.1:2375: refused", "urn:ietf:params:acme:error:badNonce", "file:///etc/x"])
def test_addresses_that_people_need_to_read_are_left(said: str) -> None:
    assert logtail.masked(said) == said


def test_what_is_cut_is_masked_first() -> None:
    said = logtail.end_of("first line\nmailtos://me:verysecretpassword@smtp.example\nthe end", 40)
    assert "secret" not in said and "password" not in said and said.endswith("the end")
