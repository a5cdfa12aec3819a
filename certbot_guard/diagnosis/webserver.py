"""The web server's troubles, and the guard's own: events of these kinds say in ``reason`` and ``detail`` why.

What happened (not stopped, did not start, ...) is the event's kind; why is recognised by the sentences that
:mod:`certbot_guard.servers` and :mod:`certbot_guard.session` make, and by Apache's own message numbers (measured, 2.4).
"""

from __future__ import annotations

import re
from typing import Callable, Optional

from certbot_guard import text
from certbot_guard.diagnosis.case import Case, Cause, Fields, beginning, quoted

_DID = {"refused": "{server} was not stopped and the lineage not renewed", "left-running": "{server} was not stopped "
    "for the challenge", "stop-failed": "{server} could not be stopped", "start-failed": "{server} did not start",
    "reload-refused": "{server} was not reloaded and still serves the old certificate", "reload-failed": "{server} "
    "could not be reloaded", "left-down": "{server} is left down", "not-attempted": "lineages were not attempted",
    "overdue": "{server} was stopped for too long"}
# The message is on the same line (a module, an Include) or on the next one (a directive).
_FILE_LINE = re.compile(r"[Ss]yntax error on line (\d{1,7}) of ([^\n:]{1,300})(?::[ \n]*([^\n]{1,600}))?")
_NUMBERED = re.compile(r"\bAH\d{5}: ")


def _because(pattern: str, *kinds: str) -> Callable[[Case], Optional[Fields]]:
    """``pattern`` in the reason or in what the server itself said."""
    compiled = re.compile(pattern)

    def seen(case: Case) -> Optional[Fields]:
        if case.kind not in (kinds or _DID):
            return None
        found = compiled.search(f"{case.reason}\n{case.detail}")
        if not found:
            return None
        named = {name: beginning(value, 100) for name, value in found.groupdict(default="").items()}
        return {**fields_of(case), **named}

    return seen


def fields_of(case: Case) -> dict[str, object]:
    did = _DID.get(case.kind, case.kind)
    return {"did": did.format(server=case.server_word), "server": case.server_word, "kind": case.kind, "reason": quoted(
        case.reason), "said": _said(case.detail), "actor": case.event.get("by") or ""}


def _said(detail: str) -> str:
    """The line of the server's output that says what is wrong: Apache's own, numbered ones before others."""
    lines = text.lines(detail, 4000)
    place = _FILE_LINE.search(detail)
    if place:
        return f": line {place[1]} of {beginning(place[2], 80)}" + (f": {beginning(place[3], 110)}" if place[3] else "")
    for one in [one for one in lines if _NUMBERED.search(one) and "AH00558" not in one] + lines:
        shown = _NUMBERED.split(one, maxsplit=1)[-1] if _NUMBERED.search(one) else one
        if "AH00558" not in one and not re.match(r"Action '|The Apache error log|\[\w{3} \w{3} +\d+ [^\]]*\] "
            r"\[\S+:notice\]", shown):
            return f": {beginning(shown, 140)}"
    return ""


def _of_kind(*kinds: str) -> Callable[[Case], Optional[Fields]]:
    def seen(case: Case) -> Optional[Fields]:
        if case.kind not in kinds:
            return None
        event, where = case.event, case.event.get("where")
        places = text.listed(where, 3, 60) if isinstance(where, (list, tuple)) else text.line(where, 120)
        return {**fields_of(case), "error": quoted(case.error or case.reason), "where": places, "lineage": event.get(
            "lineage") or "a lineage"}

    return seen


def _not_proxied(case: Case) -> Optional[Fields]:
    """The one word of guard.ini that may be right and yet not come true, for one lineage."""
    if case.kind != "config-problem" or not case.event.get("lineage"):
        return None
    return {**fields_of(case), "lineage": text.line(case.event["lineage"], 80)}


def _overdue(action: str) -> Callable[[Case], Optional[Fields]]:
    return lambda case: fields_of(case) if case.kind == "overdue" and (not action or case.event.get("action") ==
        action) else None


_E = {"did": "Apache did not start", "server": "Apache", "kind": "start-failed", "said": ": Invalid command 'Foo'",
    "reason": '"..."', "file": "/etc/letsencrypt/live/example.com/fullchain.pem", "key": "/etc/ssl/old.pem", "port": 80,
    "owner": "nginx (pid 812)", "where": "127.0.0.1:443", "lineage": "example.com", "error": '"..."'}
_K = ("kind",)

CAUSES: tuple[Cause, ...] = (
    Cause("server-key-mismatch", _because(r"(?P<file>/\S+) does not fit its key (?P<key>/\S+)"),
          "{did}: the certificate {file} does not fit its key {key}", "configuration", False, "Let SSLCertificateFile "
          "and SSLCertificateKeyFile name files of the same lineage; apachectl configtest does not see this.", "", _K,
          _E),
    Cause("server-key-mismatch", _because(r"AH02565|[Kk]ey values mismatch|KEY_VALUES_MISMATCH"),
          "{did}: a certificate does not fit its key{said}", "configuration", False, "Let SSLCertificateFile and "
          "SSLCertificateKeyFile name files of the same lineage; apachectl configtest does not see this.", "", _K, _E),
    Cause("server-key-encrypted", _because(r"(?P<key>/\S+) is encrypted, and nobody"), "{did}: the key {key} asks for "
          "a password", "configuration", False, "Store the key without a password, or name a program with "
          "SSLPassPhraseDialog exec:.", "", _K, _E),
    Cause("server-key-encrypted", _because(r"AH02564"), "{did}: a private key cannot be used; it may ask for a "
          "password{said}", "configuration", False, "Store the key without a password, or name a program with "
          "SSLPassPhraseDialog exec:.", "", _K, _E),
    Cause("server-certificate-weak", _because(r"(?P<why>(?:ee|ca) key too small|(?:ca )?md too weak)"), "{did}: "
          "OpenSSL does not accept a certificate ({why}){said}", "configuration", False, "Renew that certificate with "
          "a stronger key: certbot renew --cert-name NAME --force-renewal --key-type ecdsa, once and by hand.", "", _K,
          {**_E, "why": "ee key too small"}),
    Cause("server-certificate-unreadable", _because(r"(?P<file>/\S+) cannot be read(?: as PEM)?|AH02561|AH02562|"
          r"[Ff]ailed to configure certificate"), "{did}: a certificate or key that it loads cannot be used{said}",
          "configuration", False, "Look at that file: is it there, complete, and PEM? Restore it or take the virtual "
          "host out.", "", _K, _E),
    Cause("server-port-taken", _because(r"port (?P<port>\d+) belongs to (?P<owner>.{1,100}?), not to"), "{did}: port "
          "{port} belongs to {owner}", "host", None, "Find out who started that program and why; stop it, or give it "
          "another port.", "", ("kind", "port"), _E),
    Cause("server-port-taken", _because(r"Address already in use|(?<!Permission denied: )AH00072"), "{did}: a port "
          "it needs is taken{said}", "host", None, "See who listens there: ss -ltnp. Stop that program, or give it "
          "another port.", "", _K, _E),
    Cause("server-supervised", _because(r"is kept running by (?P<owner>.{1,80}?), which"), "{did}: it is kept running "
          "by {owner}, which would start it again at once", "configuration", False, "Use a webroot or apache "
          "authenticator for this lineage, or control = command with that supervisor's commands.", "", _K, _E),
    Cause("server-disk-full", _because(r"No space left on device|Disk quota"), "{did}: a disk of this host is "
          "full", "host", False, "Make room (df -h, df -i); then the server starts.", "", _K, _E),
    Cause("server-read-only", _because(r"Read-only file system"), "{did}: a file system is read-only", "host", False,
          "See why (dmesg, mount).", "", _K, _E),
    Cause("server-permission", _because(r"Permission denied|Operation not permitted"), "{did}: it may not do "
          "something{said}", "host", False, "Look at owner and mode of what it names, and at SELinux or AppArmor.", "",
          _K, _E),
    Cause("server-missing-file", _because(r"does not exist or is empty|No such file or directory|Cannot "
          r"(?:access|open|load)|must be a directory|AH00526.{0,300}does not exist|unable to open logs|AH00015"),
          "{did}: a file or directory that its configuration names is not there{said}", "configuration", False,
          "Create it or mend the configuration, then: apachectl configtest", "", _K, _E),
    Cause("server-configuration", _because(r"configuration test fails|[Ss]yntax error|Invalid command|bad user name|"
          r"bad group name|test_command|includes .{1,300} endlessly|AH00526|AH00534"), "{did}: its configuration has "
          "an error{said}", "configuration", False, "Mend the configuration, and test it: apachectl configtest", "",
          _K, _E),
    Cause("server-pid-file", _because(r"is in the way and cannot be set aside|AH00058|AH00099|already running"),
          "{did}: its pid file is in the way{said}", "host", None, "Remove the pid file if no Apache runs, and start "
          "it.", "", _K, _E),
    Cause("server-unit", _because(r"systemd knows no unit|is not the name of a systemd unit|systemctl is not "
          r"installed|systemd does not (?:answer|run)|unexpected answer"), "{did}: systemd could not be asked about "
          "it: {reason}", "configuration", None, "Look at control = in guard.ini, and at systemctl status.", "", _K,
          _E),
    Cause("server-unknown", _because(r"no such program|web server (?:of this run )?(?:is not known|cannot be found)|"
          r"cannot be run:|cannot be split into words|needs start_command|cannot be used|does not fulfil"),
          "{did}: which web server it is could not be told: {reason}", "configuration", False, "Look at [server] in "
          "guard.ini.", "", _K, _E),
    Cause("server-by-a-person", _because(r"was masked|was disabled|by somebody|before the run", "left-down"),
          "{did}: a person wanted it so ({reason})", "web server", False, "If that was not meant, start it: the guard "
          "does not do it against that decision.", "", _K,
          {**_E, "did": "Apache is left down", "reason": '"apache2.service was masked while it was stopped"'}),
    Cause("sentinel", _because(r"sentinel"), "{did}: the guard's own process that would bring it back did not live",
          "host", None, "See whether something kills it (memory, a security policy); the next run starts a new one.",
          "", _K, _E),
    Cause("another-run", _because(r"another certbot run has it stopped"), "{did}: another certbot run had it for its "
          "own challenge and did not end in time", "host", True, "Nothing now: certbot tries again with its next run. "
          "Two certbots at the same minute are better apart.", "", _K, _E),
    Cause("state", _because(r"no run can be recorded|cannot be (?:written|opened|used as a state)|neither \S+ nor|"
          r"could be written by others|belongs to user|the run could not be recorded"), "{did}: the guard could not "
          "write down what it does: {reason}", "host", None, "Look at the state directory (/var/lib/certbot-guard, "
          "/run/certbot-guard): a full disk, its owner and mode.", "", _K, _E),
    Cause("stopped-before", _because(r"went down earlier in this run"), "{did}: the web server went down earlier in "
          "this run and does not start", "web server", None, "See why it does not start; the guard keeps "
          "trying.", "", _K, _E),
    Cause("max-outage", _because(r"max_outage had passed"), "{did}: an earlier lineage had kept the web server "
          "stopped until max_outage", "ca", True, "Nothing now: they are tried with the next run.", "", _K, {**_E,
          "did": "Lineages were not attempted"}),
    Cause("certbot-ended", _because(r"certbot ended before"), "{did}: certbot ended before it came to them", "certbot",
          None, "Nothing now: they are tried with the next run. Why certbot ended is said above.", "", _K,
          {**_E, "did": "Lineages were not attempted"}),
    Cause("max-outage", _overdue("gave-up-lineage"), "The challenge took so long that {server} would have been "
          "stopped for longer than max_outage; the lineage was given up", "ca", True, "Nothing now: certbot tries "
          "again with its next run. If it stays, see why the CA is slow for this host, or use webroot, which needs no "
          "stop.", "", _K, _E),
    Cause("max-outage", _overdue(""), "certbot hung while {server} was stopped; it was ended so that {server} could "
          "serve again before max_outage passed", "ca", True, "Nothing now: certbot tries again with its next run. If "
          "it stays, see what hangs (certbot's log), or use webroot, which needs no stop.", "", _K, _E),
    Cause("server-died-reloading", _because(r"died (?:when|soon after) it was reloaded"), "{server} died when it was "
          "reloaded{said}", "web server", None, "Look at its error log; the guard starts it if it can.", "", _K, {**_E,
          "kind": "reload-failed"}),
    Cause("server-slow", _because(r"still listens \d|did not (?:end within|reload within)"), "{did}: it did not do it "
          "in time", "web server", None, "See what keeps it busy (its error log, mod_status), and whether the host is "
          "overloaded.", "", _K, _E),
    Cause("server-ended-at-once", _because(r"right after its start|the start did not end|exit code"), "{did}{said}",
          "web server", None, "Look at its error log (journalctl -u apache2), mend what it says; the guard keeps "
          "trying.", "", _K, _E),
    Cause("server-partly", _because(r"does not listen on|gives something else|does not serve as before|does not "
          r"serve"), "{did}: it runs but does not serve as before: {reason}", "web server", None, "Look at its error "
          "log, and at what was changed in its configuration.", "", _K, _E),
    Cause("no-reload", _because(r"names no reload_command|does not run, so it is not reloaded"), "{did}: {reason}",
          "configuration", False, "If the server needs it, set reload_command in guard.ini; start the server if it "
          "should run.", "", _K, _E),
    Cause("web-server", _of_kind(*_DID), "{did}: {reason}{said}", "web server", None, "Read what the server said; "
          "apachectl configtest and its error log tell more.", "", _K, _E),
    Cause("old-certificate-served", _of_kind("not-served"), "the lineage {lineage} was renewed, but {where} still "
          "serves another certificate", "configuration", None, "Let SSLCertificateFile of that host name the "
          "lineage's live/.../fullchain.pem; or something before the server (a proxy, a CDN) ends TLS there.", "", (),
          _E),
    Cause("serving-again", _of_kind("serving"), "{server} serves again", "web server", True, "Nothing now.", "", (),
          _E),
    Cause("not-proxied", _not_proxied, "With mode = proxy the challenge of {lineage} was to pass through {server}, "
          "which had to be stopped for it: {reason}", "web server", False, "Mend what keeps it from passing, or set "
          "mode = auto, which stops {server} where it has to and tells nobody.", "", (), {**_E, "lineage": "example.com",
          "reason": '"it has a pre hook, which may stop the web server"'}),
    Cause("settings", _of_kind("config-problem"), "There is something wrong in guard.ini: {error}", "configuration",
          False, "Mend that line; certbot-guard check reads the file again.", "", ("shape",), _E),
    Cause("guard-error", _of_kind("guard-error"), "certbot-guard had a trouble of its own: {error}", "host", None,
          "Read the details: a full disk, permissions, or a bug, which its makers want to hear of.", "", ("shape",), _E),
)
