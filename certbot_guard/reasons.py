"""Why a channel did not take a message, from what Apprise logged to one clear sentence.

Apprise names the reason (``Socket Exception: ...``) at DEBUG only, and there it logs URLs and payloads, too. So
:class:`Listener` looks at how a record begins and keeps none but those (and of a reply, no more than a word that we know).
Even these are only looked at to recognise the trouble: what is shown is a sentence of ours, with a host's name, a number,
and a mail server's own reply. The caller strikes out the URL's secrets, and makes it harmless. Used in the deliverer's
child alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

_KEPT = ("Socket Exception: ",)
_REPLIES = ("Response Details",)
_MOST_RECORDS = 20
_MOST_CHARACTERS = 4000

_HOST = re.compile(r"""(?:host=|resolve\s+|email\s+to\s+)['"]?([A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){0,20})"""
                   r"(?![\w@-])")
_STATUS = re.compile(r"\berror=(\d{3})\b")
# smtplib: (535, b'5.7.8 no'), also within {'a@b.example': (550, b'5.1.1 no')} and (552, b'5.3.4 no', 'me@c.example')
_REPLY = re.compile(r"\((\d{3}), b?(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")")

_NETWORK: tuple[tuple[str, str], ...] = (
    (r"Unable to connect to proxy|ProxyError|Tunnel connection failed",
     "the proxy (HTTPS_PROXY) does not let us through to {host}: check the proxy's address and what it allows"),
    (r"certificate has expired", "the TLS certificate of {host} has expired: it has to be renewed there"),
    (r"certificate is not yet valid", "the TLS certificate of {host} is not valid yet: check this machine's clock"),
    (r"Hostname mismatch|IP address mismatch|doesn't match|certificate is not valid for",
     "the TLS certificate of {host} is for another name: check the host's name in the URL"),
    (r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|SSLCertVerificationError",
     "the TLS certificate of {host} is not trusted here: "
     "install its authority on this machine, or check the host's name"),
    (r"Could not find a suitable TLS CA certificate bundle|invalid path: .*\.pem",
     "the file with the trusted authorities cannot be read: check SSL_CERT_FILE and REQUESTS_CA_BUNDLE"),
    (r"WRONG_VERSION_NUMBER|UNKNOWN_PROTOCOL|HTTP_REQUEST|record layer failure|wrong version number",
     "{host} does not speak TLS on that port: check the port and the kind of encryption (mode=) in the URL"),
    (r"Name or service not known|Temporary failure in name resolution|nodename nor servname|getaddrinfo failed|"
     r"NameResolutionError|No address associated with hostname|Failed to resolve",
     "the name {host} was not found: check its spelling in the URL, and this machine's DNS"),
    (r"Connection refused", "{host} refuses the connection: nothing listens on that port, or a firewall refuses it"),
    (r"Network is unreachable|No route to host", "{host} cannot be reached from this machine: check its network"),
    (r"timed? ?out", "{host} did not answer in time"),
    (r"STARTTLS extension not supported",
     "{host} offers no STARTTLS: check the port and the kind of encryption (mode=) in the URL"),
    (r"SMTP AUTH extension not supported|No suitable authentication method",
     "{host} takes no login on that port: leave out user and password, or use its port for encrypted mail"),
    (r"Connection reset|Connection aborted|RemoteDisconnected|Connection unexpectedly closed|UNEXPECTED_EOF|"
     r"EOF occurred|IncompleteRead|Broken pipe|please run connect",
     "{host} closed the connection without an answer"),
)
_STATUSES = {
    "400": "the address or the channel in the URL may be wrong",
    "401": "the token or password in the URL is not accepted: make a new one",
    "403": "the token or password in the URL is not accepted, or may not post there: make a new one",
    "404": "there is no such address: the webhook or channel was removed, or the URL is wrong; make a new one",
    "405": "the address in the URL is not one that takes messages",
    "407": "the proxy wants a login",
    "410": "the webhook or channel was removed: make a new one",
    "413": "the message is too large for it",
    "429": "it takes no more messages for now; it is tried again later",
}
_SERVER_ERROR = "the trouble is at that service; it is tried again later"
_OTHER_STATUS = "it does not take the message"
# https://api.slack.com/methods/chat.postMessage#errors: with HTTP 200, so that Apprise names none of them in a warning.
_SLACK_WORDS = (
    (r"\b(invalid_auth|not_authed|token_revoked|token_expired|account_inactive)\b",
     "the token in the URL is not accepted: make a new one"),
    (r"\b(channel_not_found|is_archived|channel_is_archived)\b",
     "there is no such channel, or it is archived: check its name in the URL"),
    (r"\b(not_in_channel)\b", "the bot is not in that channel: invite it there"),
    (r"\b(missing_scope|no_permission|restricted_action)\b",
     "the token may not post there: give it the scope chat:write"),
)
_SLACK_WORD = re.compile("|".join(pattern for pattern, _ in _SLACK_WORDS))


class Listener(logging.Handler):
    """Keeps, in memory, what begins as a known kind of record does, and nothing else."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.heard: list[str] = []

    def handle(self, record: logging.LogRecord) -> bool:
        try:
            begins = str(record.msg)
            if begins.startswith(_KEPT) and len(self.heard) < _MOST_RECORDS:
                self.heard.append(record.getMessage()[:_MOST_CHARACTERS])
            elif begins.startswith(_REPLIES) and len(self.heard) < _MOST_RECORDS:
                known = _SLACK_WORD.search(record.getMessage()[:_MOST_CHARACTERS])
                self.heard += [known[0]] if known else []
        except Exception:  # nosec B110 # a record that cannot be formatted says nothing
            pass
        return False


@contextmanager
def listening(name: str = "apprise") -> Iterator[Listener]:
    """Hear what is logged meanwhile. The logger's level is DEBUG for that long; no other handler shows what that adds."""
    logger, listener = logging.getLogger(name), Listener()
    level, passes_on = logger.level, logger.propagate
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield listener
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
        logger.propagate = passes_on


def sentence(service: str, said: str, heard: list[str]) -> str:
    """Why it did not go out; Apprise's own words where they are not understood, and a plain no where there are none.

    :param service: the service as Apprise names it. :param said: its warnings. :param heard: what a listener kept.
    """
    everything = "\n".join([*heard, said])
    host = _HOST.search(everything)
    name = host[1] if host else service or "the server"
    for found in _REPLY.finditer(everything):
        return _mail(name, found[1], found[2] or found[3] or "")
    for pattern, words in _NETWORK:
        if re.search(pattern, everything, re.IGNORECASE):
            return words.format(host=name)
    for pattern, words in _SLACK_WORDS:
        known = re.search(pattern, everything)
        if known:
            return f"{service or 'the service'} says {known[1]}: {words}"
    status = _STATUS.search(said)
    if status and not status[1].startswith("2"):
        return f"HTTP {status[1]} from {service or 'the service'}: " + _STATUSES.get(
            status[1], _SERVER_ERROR if status[1] >= "500" else _OTHER_STATUS)
    return said or "the service did not take it"


def _mail(host: str, code: str, reply: str) -> str:
    """What an SMTP server's reply means (RFC 5321, RFC 3463), with the reply."""
    # Not cut here: half a secret would not be found by who strikes them out.
    said = f'{host} said: {code} {" ".join(reply.replace(chr(92) + "n", " ").split())}'.rstrip()
    more = re.match(r"\s*([245]\.\d{1,3}\.\d{1,3})\b", reply)
    extended = more[1] if more else ""
    if code in ("535", "534", "538") or extended.startswith("5.7.8"):
        return f"the login was refused: check user and password in the URL ({said})"
    if code == "530":
        return f"the mail server wants a login, or encryption: put user and password in the URL ({said})"
    if code == "552" or extended in ("5.3.4", "5.2.3"):
        return f"the message is too large, or the mailbox is full ({said})"
    if extended.startswith("5.2.2"):
        return f"the mailbox is full ({said})"
    if extended.startswith("5.1.") or code in ("550", "551", "553"):
        return f"the mailbox was refused: check from= and to= in the URL ({said})"
    if code.startswith("4"):
        return f"the mail server takes it later; it is tried again ({said})"
    return f"the mail server refused the message ({said})"
