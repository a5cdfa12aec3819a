"""What no run of certbot sees: what :mod:`certbot_guard.watch` finds, and commands that failed without a word of ours."""

from __future__ import annotations

import re
from typing import Callable, Optional

from certbot_guard import logtail
from certbot_guard.diagnosis.case import Case, Cause, Fields, beginning, quoted
from certbot_guard.phrases import duration
from certbot_guard.text import listed

_AGAIN = "certbot renew --cert-name {lineage}"


def _kind(kind: str, **wanted: object) -> Callable[[Case], Optional[Fields]]:
    """Recognises an event of this kind whose fields have these values; all of its fields can be shown."""

    def seen(case: Case) -> Optional[Fields]:
        if case.kind != kind or any(case.event.get(name) != value for name, value in wanted.items()):
            return None
        return {name: _shown(value) for name, value in case.event.items() if name not in ("n", "mono", "at")}

    return seen


def _shown(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return listed(value, 5, 60)
    return beginning(value, 200) if value is not None else ""


def _command(reason: str = "", *codes: int) -> Callable[[Case], Optional[Fields]]:
    def seen(case: Case) -> Optional[Fields]:
        if case.kind != "command-failed" or reason not in ("", case.event.get("reason")):
            return None
        if codes and case.event.get("code") not in codes:
            return None
        words = case.event.get("command")
        shown = " ".join(str(word) for word in words) if isinstance(words, (list, tuple)) else str(words or "")
        unit = str(case.event.get("unit") or "")
        return {"what": unit or quoted(logtail.masked(shown), 120), "code": str(case.event.get("code")), "signal": str(
            case.event.get("signal") or "a signal"), "took": duration(case.event.get("seconds"))}

    return seen


def _said(pattern: str) -> Callable[[Case], Optional[Fields]]:
    """A command that failed and printed this."""
    compiled = re.compile(pattern)

    def seen(case: Case) -> Optional[Fields]:
        fields = _command("exit")(case)
        found = compiled.search(str(case.event.get("output") or "")[-20_000:]) if fields is not None else None
        return {**fields, **found.groupdict(default="")} if found and fields is not None else None

    return seen


_OF_A_LINEAGE = {"lineage": "example.com"}
_OF_A_COMMAND = {"what": '"certbot renew"', "code": "1", "signal": "SIGKILL", "took": "1 h"}
_OF_A_SERVICE = {**_OF_A_LINEAGE, "place": "192.0.2.7:443 (example.com)", "words": "nobody answers"}
_SEE_LOG = "Read the end of its output and certbot's log"

CAUSES = (
    # -- certbot itself
    Cause("certbot-stale", _kind("stale", last=None), "No run of certbot has been seen on this host for {limit}",
          "host", False, "See what should start it: systemctl list-timers, crontab -l. Run 'certbot renew' once by hand.",
          "", (), {"limit": "3 days"}),
    Cause("certbot-stale", _kind("stale"), "certbot has not run since {last}, which is longer than {limit}", "host", False,
          "See what should start it: systemctl list-timers, crontab -l. Run 'certbot renew' once by hand.", "", (),
          {"last": "2026-11-20 04:17 UTC", "limit": "3 days"}),
    Cause("certbot-not-scheduled", _kind("no-timer", off=[]), "Nothing on this host starts certbot: no timer and no "
          "crontab that renews was found", "host", False, "Enable certbot's timer (systemctl enable --now certbot.timer); "
          "where there is none, certbot-guard setup shows a crontab line that renews twice a day.", "", (), {}),
    Cause("certbot-not-scheduled", _kind("no-timer"), "Nothing on this host starts certbot: {off} is there and switched "
          "off", "host", False, "Switch it on again: systemctl enable --now {off}", "", (), {"off": "certbot.timer"}),
    # -- lineages
    Cause("lineage-expired", _kind("not-renewed", expired=True, autorenew=False), "The certificate has expired, and "
          "autorenew = False in its renewal configuration keeps certbot from renewing it", "configuration", False,
          "Renew it by hand (" + _AGAIN + " --force-renewal), or take that line out; certbot delete --cert-name "
          "{lineage} if it is not needed.", "", (), _OF_A_LINEAGE),
    Cause("lineage-expired", _kind("not-renewed", expired=True), "The certificate has expired, and nothing was heard of an "
          "attempt to renew it", "certbot", False, "Run by hand and read what it says: " + _AGAIN, "", (), _OF_A_LINEAGE),
    Cause("lineage-not-renewed", _kind("not-renewed", autorenew=False), "The certificate expires soon, and autorenew = "
          "False in its renewal configuration keeps certbot from renewing it", "configuration", False, "Renew it by hand "
          "(" + _AGAIN + " --force-renewal), or take that line out; certbot delete --cert-name {lineage} if it is not "
          "needed.", "", (), _OF_A_LINEAGE),
    Cause("lineage-not-renewed", _kind("not-renewed"), "It has been due since {due}, and has not been renewed",
          "certbot", None, "Run by hand and read what it says: " + _AGAIN, "", (),
          {**_OF_A_LINEAGE, "due": "2026-11-20 04:17 UTC"}),
    Cause("lineage-revoked", _kind("revoked"), "The CA asks for its renewal now, before its time: as a rule since it has "
          "revoked this certificate or is about to", "ca", False, "Renew it at once: " + _AGAIN + " --force-renewal", "", (),
          _OF_A_LINEAGE),
    Cause("lost-guard", _kind("lost-guard"), "Its renewal configuration does not say 'installer = guard' any more "
          "(installer: {installer}). certbot drops the line when it runs where this plugin is not installed, and renews "
          "unguarded from then on", "configuration", False, "Install certbot-guard where certbot runs, then: "
          "certbot-guard adopt --cert-name {lineage}", "", ("installer",), {**_OF_A_LINEAGE, "installer": "none"}),
    Cause("plugin-not-installed", _kind("plugin-missing"), "It needs the {role} '{plugin}', which is not installed beside "
          "certbot-guard", "configuration", False, "Install that plugin where certbot runs, then: certbot renew --dry-run "
          "--cert-name {lineage}", "", ("role", "plugin"), {**_OF_A_LINEAGE, "role": "authenticator", "plugin":
          "dns-cloudflare"}),
    Cause("key-mismatch-on-disk", _kind("key-mismatch"), "Its certificate and its private key on the disk do not fit each "
          "other: a web server that loads them does not start", "configuration", False, "Look into {directory}: restore "
          "the pair that belongs together, or renew: " + _AGAIN + " --force-renewal", "", (),
          {**_OF_A_LINEAGE, "directory": "/etc/letsencrypt/live/example.com"}),
    # -- what services show
    Cause("server-down", _kind("server-down"), "It does not serve, and no run of certbot's has it stopped: {reason}",
          "web server", None, "See why: systemctl status, apachectl configtest, its ErrorLog. Then start it.", "", (),
          {"reason": "it was seen serving before"}),
    Cause("served-expired", _kind("shown", what="served-expired"), "Visitors get a certificate that has expired: {words}",
          "web server", False, "If the certificate on the disk is newer, reload the service; else: " + _AGAIN, "", (),
          {**_OF_A_SERVICE, "words": "it expired on 2026-11-20 04:17 UTC"}),
    Cause("served-expiring", _kind("shown", what="served-expiring"), "Visitors get a certificate that expires soon: "
          "{words}", "web server", False, "If the certificate on the disk is newer, reload the service; else: " + _AGAIN,
          "", (), {**_OF_A_SERVICE, "words": "it expires on 2026-11-26 04:17 UTC"}),
    Cause("served-old", _kind("shown", what="served-old"), "Visitors still get an earlier certificate than the one on the "
          "disk: {words}", "web server", False, "Reload the service: apachectl configtest, then apachectl graceful; or "
          "systemctl reload UNIT", "", (), {**_OF_A_SERVICE, "words": "the new one is on the disk since 2026-11-20"}),
    Cause("served-copy", _kind("shown", what="served-copy"), "Visitors get a certificate for these names that is not the "
          "lineage's: {words}", "configuration", False, "Let the service load the files below live/{lineage}/ themselves, "
          "not a copy, which no renewal reaches; then reload it.", "", (),
          {**_OF_A_SERVICE, "words": "it loads /etc/ssl/example.com.pem"}),
    Cause("served-chain", _kind("shown", what="served-chain"), "The chain that the service sends is incomplete: {words}. "
          "Browsers may know the missing part, other clients refuse it", "configuration", False, "Let the service load "
          "fullchain.pem, not cert.pem, and reload it.", "", (),
          {**_OF_A_SERVICE, "words": "the intermediate certificate is missing"}),
    Cause("served-name", _kind("shown", what="served-name"), "The certificate that is shown there is not for that name: "
          "{words}", "configuration", False, "Give that name a certificate of its own (certbot certonly -d NAME), or let "
          "its virtual host load the right one.", "", (), {**_OF_A_SERVICE, "words": "it is for example.org"}),
    Cause("served-silent", _kind("shown", what="served-silent"), "No TLS answer comes from there: {words}", "web server",
          None, "See whether the service runs, and whether its TLS configuration is right.", "", (), _OF_A_SERVICE),
    Cause("served-otherwise", _kind("shown"), "What is shown there is not as it should be: {words}", "web server", None,
          "Look at it as a visitor would: openssl s_client -connect HOST:PORT -servername NAME", "", (), _OF_A_SERVICE),
    Cause("service-not-reloaded", _kind("also-reload-failed"), "{service} could not be reloaded after the renewal and may "
          "show the old certificate: {reason}", "configuration", False, "Reload it by hand and see what it says; the name "
          "stands in [deploy] of guard.ini.", "", ("service",), {"service": "postfix", "reason": "exit code 1"}),
    # -- commands that failed without the plugin
    Cause("command-out-of-memory", _command("memory"), "{what} was killed since there was no memory left", "host", None,
          "See what took the memory (journalctl -k), make room or raise the unit's limit, then run it again.", "", (),
          _OF_A_COMMAND),
    Cause("command-timeout", _command("timeout"), "{what} did not end in {took} and was stopped", "host", None,
          "See what it waited for: " + _SEE_LOG[:1].lower() + _SEE_LOG[1:] + ".", "", (), _OF_A_COMMAND),
    Cause("command-killed", _command("signal"), "{what} was killed by {signal}", "host", None,
          "If nobody did that on purpose, journalctl -k and the unit's limits say why.", "", ("signal",), _OF_A_COMMAND),
    Cause("command-not-started", _command("start"), "{what} could not be started", "configuration", False,
          "See whether the program is there and may be run.", "", (), _OF_A_COMMAND),
    Cause("command-broken-python", _said(r"(?:ModuleNotFoundError|ImportError): (?P<error>[^\n]{1,200})"), "{what} does not "
          "start, since its Python lacks something: {error}", "host", False, "As a rule an upgrade took it away: install "
          "certbot (and certbot-guard) again in the environment that it runs in.", "", (),
          {**_OF_A_COMMAND, "error": "No module named 'certbot'"}),
    Cause("command-lock", _said(r"Another instance of Certbot is already running"), "Another certbot was running, so {what} "
          "did nothing", "host", True, "Nothing now, certbot tries again at its next run. If it stays, a certbot hangs: ps "
          "aux shows it.", "", (), _OF_A_COMMAND),
    Cause("command-plugin-missing", _said(r"The requested (?P<plugin>[\w.:-]{1,60}) plugin does not appear to be installed"),
          "{what} needs the plugin '{plugin}', which is not installed where it runs", "configuration", False,
          "Install it there: pip install certbot-guard, for 'guard'.", "", ("plugin",), {**_OF_A_COMMAND, "plugin": "guard"}),
    Cause("command-try-again", _command("exit", 75), "{what} asks to be run again later (exit code 75)", "host", True,
          "Nothing now, it is run again as it is scheduled.", "", (), _OF_A_COMMAND),
    Cause("command-failed", _command(), "{what} failed with exit code {code} and said nothing through certbot-guard",
          "certbot", None, _SEE_LOG + ": certbot-guard explain", "", ("code",), _OF_A_COMMAND),
)
