"""From what Apprise logged to a sentence; and what is kept of its log."""

from __future__ import annotations

import logging
import socket
import ssl

import pytest

from certbot_guard import reasons, redact

# As they were logged by Apprise 1.2.0, 1.9.0 and 2.3.0 (measured).
_POOL = "HTTPSConnectionPool(host='hooks.slack.com', port=443): Max retries exceeded with url: /services/T1/B2/s3cr3t "
CASES = [
    ("", f"Socket Exception: {_POOL}(Caused by NewConnectionError(': [Errno 111] Connection refused'))",
     "hooks.slack.com refuses the connection"),
    ("", f"Socket Exception: {_POOL}(Caused by NameResolutionError(\"Failed to resolve 'hooks.slack.com' "
         "([Errno -2] Name or service not known)\"))", "the name hooks.slack.com was not found"),
    ("", f"Socket Exception: {_POOL}(Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] "
         "certificate verify failed: self-signed certificate (_ssl.c:992)')))", "of hooks.slack.com is not trusted here"),
    ("", f"Socket Exception: {_POOL}[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired",
     "of hooks.slack.com has expired"),
    ("", "Socket Exception: HTTPSConnectionPool(host='h.example', port=443): Read timed out. (read timeout=4.0)",
     "h.example did not answer in time"),
    ("", f"Socket Exception: {_POOL}(Caused by ProxyError('Unable to connect to proxy', OSError('403')))", "the proxy"),
    ("Failed to send to Slack: Not Found., error=404.", "", "HTTP 404 from Slack: there is no such address"),
    ("Failed to send to Slack: , error=410.", "", "the webhook or channel was removed: make a new one"),
    ("Failed to send to Slack: , error=429.", "", "HTTP 429 from Slack: it takes no more messages for now"),
    ("Failed to send to Slack: , error=503.", "", "the trouble is at that service"),
    ("Failed to send to Slack: Unauthorized, error=401.", "", "make a new one"),
    ("Failed to send to Slack: invalid_auth, error=200.", "",
     "Slack says invalid_auth: the token in the URL is not accepted"),
    ("Connection error while submitting email to \"mail.example.org\"",
     "Socket Exception: (535, b'5.7.8 Authentication credentials invalid')",
     "the login was refused: check user and password in the URL (mail.example.org said: 535 5.7.8 Authentication"),
    ("A Connection error while submitting email to mail.example.org. Reason: (535, b'5.7.8 no')", "",
     "(mail.example.org said: 535 5.7.8 no)"),
    ("Sending email to \"a@b.example\" failed. Reason: {'a@b.example': (550, b'5.1.1 no such user')}", "",
     "the mailbox was refused: check from= and to= in the URL"),
    ("", "Socket Exception: (552, b'5.3.4 too big')", "the message is too large"),
    ("", "Socket Exception: (451, b'4.7.1 greylisted')", "takes it later"),
    ("", "Socket Exception: STARTTLS extension not supported by server.", "offers no STARTTLS"),
    ("something new", "", "something new"),
    ("", "", "the service did not take it"),
]


@pytest.mark.parametrize("said, heard, expected", CASES, ids=range(len(CASES)))
def test_a_reason_becomes_a_sentence(said: str, heard: str, expected: str) -> None:
    found = reasons.sentence("Slack", said, [heard] if heard else [])
    assert expected in found and "s3cr3t" not in found and len(found) < 300


@pytest.mark.parametrize("error", [
    ConnectionRefusedError(111, "Connection refused"), socket.gaierror(-2, "Name or service not known"),
    socket.timeout("timed out"), ConnectionResetError(104, "Connection reset by peer"),
    ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1000)"),
    OSError(101, "Network is unreachable")])
def test_what_python_says_itself_is_understood(error: Exception) -> None:
    assert reasons.sentence("E-Mail", "", [f"Socket Exception: {error}"]) != "the service did not take it"
    assert "E-Mail" in reasons.sentence("E-Mail", "", [f"Socket Exception: {error}"])


def test_of_the_log_only_reasons_are_kept_and_the_level_is_as_before() -> None:
    logger = logging.getLogger("apprise-of-a-test")
    logger.setLevel(logging.ERROR)
    with reasons.listening("apprise-of-a-test") as listener:
        logger.debug("Slack POST URL: https://hooks.slack.com/services/T1/B2/s3cr3t")
        logger.debug("Payload: %s Socket Exception: ", {"password": "s3cr3t"})
        logger.warning("a warning with s3cr3t")
        logger.debug("Response Details:\r\n%r", b'{"error": "invalid_auth", "for": "s3cr3t"}')
        logger.debug("Response Details:\r\n%r", b"s3cr3t")
        logger.debug("Socket Exception: %s", "refused")
        logger.debug("Socket Exception: %d", "no number")
        for _ in range(100):
            logger.debug("Socket Exception: " + "x" * 100_000)
    assert listener.heard[:2] == ["invalid_auth", "Socket Exception: refused"]
    assert not any("s3cr3t" in one for one in listener.heard)
    assert len(listener.heard) <= 20 and max(map(len, listener.heard)) <= 4000
    assert logger.level == logging.ERROR and logger.handlers == [] and logger.propagate


def test_a_secret_in_a_long_reply_is_still_whole_for_who_strikes_it_out() -> None:
    secret = "s3cr3t-of-the-mail-server"
    reply = f"Socket Exception: (535, b'5.7.8 {'x' * 104} {secret}')"
    found = reasons.sentence("E-Mail", "", [reply])
    assert secret in found
    assert "s3cr3t" not in redact.strike_out(found, [f"mailtos://user:{secret}@mail.example.org"])
