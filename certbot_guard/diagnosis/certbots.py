"""certbot's own troubles: locks, configuration, accounts, plugins, hooks, by certbot's sentences (2.1 to 5.8)."""

from __future__ import annotations

import re
from typing import Callable, Optional

from certbot_guard.diagnosis.case import Case, Cause, Fields, beginning, classed, either, quoted, said

_USING = "https://eff-certbot.readthedocs.io/en/stable/using.html"
_NEXT = "Nothing now: certbot tries again with its next run."


def _kind(kind: str, *more: Callable[[Case], bool]) -> Callable[[Case], Optional[Fields]]:
    def seen(case: Case) -> Optional[Fields]:
        if case.kind != kind or not all(way(case) for way in more):
            return None
        event = case.event
        path, code = event.get("path"), event.get("code")
        return {"hook": event.get("hook") or "hook", "code": code if isinstance(code, int) else "", "error": quoted(
            case.error), "path": path if isinstance(path, str) else "a file"}

    return seen


def _quoting(*ways: Callable[[Case], Optional[Fields]]) -> Callable[[Case], Optional[Fields]]:
    def seen(case: Case) -> Optional[Fields]:
        found = either(*ways)(case)
        return None if found is None else {"error": quoted(case.error), **found}

    return seen


def _exit_code(*codes: int) -> Callable[[Case], bool]:
    return lambda case: case.event.get("code") in codes


def _after_the_certificate(case: Case) -> bool:
    return re.match(r"(?:--)?(?:deploy|post|renew)\b", str(case.event.get("hook") or "")) is not None


def _damaged_json(case: Case) -> Optional[Fields]:
    """An account's files cannot be parsed, which josepy says in the words it has for what a CA sends."""
    return {} if case.is_a("DeserializationError") and case.kind == "lineage-failed" and case.status is None else None


_HOOK = {"hook": "deploy-hook", "code": 1}
_PATH = {"path": "/etc/letsencrypt/renewal/example.com.conf", "error": '"..."'}

# An event of its own, or words that say more than what else is in the error.
FIRST: tuple[Cause, ...] = (
    Cause("hook-not-found", _kind("hook-failed", _exit_code(126, 127)), "The {hook} could not be run: there is no "
          "such program, or it may not be executed (exit code {code})", "configuration", False, "Write the program's "
          "whole path: cron and systemd have a shorter PATH than a login. See that the file is executable.", "", (
          "hook",), {**_HOOK, "code": 127}),
    Cause("hook-failed", _kind("hook-failed", _after_the_certificate), "The {hook} failed with exit code {code}; the "
          "certificate does not depend on it, what the hook does has not been done", "configuration", None, "Read what "
          "the hook printed, mend it and run its command by hand once.", "", ("hook", "code"), _HOOK),
    Cause("hook-failed", _kind("hook-failed"), "The {hook} failed with exit code {code}; where a certificate was not "
          "issued, that may be why", "configuration", None, "Read what the hook printed, mend it and run its command "
          "by hand once.", "", ("hook", "code"), {"hook": "manual-auth-hook", "code": 1}),
    Cause("certbot-died", _kind("died"), "certbot ended without a word: it was killed, crashed, ran out of memory, or "
          "the machine went down", "host", None, "Look at what happened then: journalctl -k (out of memory: \"Killed "
          "process\"), last -x for a reboot, a timeout of the service.", "", (), {}),
    Cause("renewal-configuration", _kind("lineage-broken", lambda case: "unexpected error" not in case.error),
          "The renewal configuration {path} cannot be used: {error}", "configuration", False, "Mend that file "
          "(certbot certificates shows what certbot makes of it), or obtain the certificate again: certbot certonly "
          "--cert-name NAME.", "", ("shape",), _PATH),
    Cause("lock", either(said(r"Another instance of Certbot is already running"), classed("LockError")),
          "Another certbot was running, so this one did nothing", "host", True, _NEXT + " If it stays, a certbot "
          "hangs: ps aux shows it.", "", (), {}),
    Cause("interrupted", either(said(r"Exiting due to user request"), classed("SignalExit", "KeyboardInterrupt")),
          "certbot was interrupted by a signal before its end", "host", True, _NEXT + " If it happens each time, "
          "something ends it: a timeout, a service that is stopped.", "", (), {}),
    Cause("account-unreadable", _quoting(classed("AccountStorageError"), _damaged_json), "The ACME account on this "
          "host cannot be read or written: {error}", "host", False, "Look at the files below accounts/ in certbot's "
          "configuration directory.", "", ("shape",), _PATH),
    Cause("renewal-configuration", _kind("lineage-broken"), "The renewal configuration {path} cannot be used: {error}",
          "configuration", False, "Mend that file, or obtain the certificate again: certbot certonly --cert-name "
          "NAME.", "", ("shape",), _PATH),
)

_MISSING = either(
    said(r"The requested (?P<plugin>[\w.:-]{1,60}) plugin does not appear to be installed"),
    said(r"Could not select or initialize the requested installer (?P<plugin>[\w.:-]{1,60}?)\.?(?:\n|$)"),
    said(r"(?P<plugin>\w{1,40}) could not be determined or is not installed"))
_NOT_INSTALLED = "certbot's plugin {plugin} is not installed (any more)"


def _plugin_missing(of_dns: bool) -> Callable[[Case], Optional[Fields]]:
    """Only the plugins of DNS providers are snaps of their own."""
    def seen(case: Case) -> Optional[Fields]:
        found = _MISSING(case)
        return found if found is not None and found["plugin"].startswith("dns-") == of_dns else None

    return seen


_PLUGIN = {"plugin": "dns-cloudflare", "error": '"..."'}

CAUSES: tuple[Cause, ...] = (
    Cause("key-mismatch", _quoting(said(r"matches the private key located at|verifying the certificate located at|"
          r"[Kk]ey (?:and|or) (?:CSR|certificate) do(?:es)? not match|KEY_VALUES_MISMATCH|key values mismatch")),
          "A certificate and its private key do not belong together: {error}", "configuration", False,
          "Renew that lineage with a new key: certbot renew --cert-name NAME --force-renewal --new-key, once and by "
          "hand.", "", (), {"error": '"..."'}),
    Cause("plugin-missing", _plugin_missing(True), _NOT_INSTALLED, "configuration", False, "Install it in the same "
          "place as certbot itself: the distribution's package, 'snap install certbot-{plugin}', or pip in the same "
          "environment.", _USING, ("plugin",), _PLUGIN),
    Cause("plugin-missing", _plugin_missing(False), _NOT_INSTALLED, "configuration", False, "Install the plugin into "
          "the same environment as certbot.", _USING, ("plugin",), {"plugin": "nginx"}),
    Cause("plugin-broken", said(r"The (?P<plugin>[\w.:-]{1,60}) plugin is not working[^\n]*\n?(?:The error was: "
          r")?(?P<error>[^\n]{0,200})"), "certbot's plugin {plugin} does not work here: {error}", "configuration",
          False, "Mend what it says of its configuration; the program it works with may be missing.", _USING, ("plugin", "shape"), _PLUGIN),
    Cause("account-missing", either(classed("AccountNotFound"), said(r"Account at \S+ does not exist"), said(
          r"[Pp]lease choose an account"), said(r"No account has been chosen|Account is not set|register with the "
          r"ACME server first")), "The ACME account that the lineage uses is not on this host", "configuration", False,
          "Restore accounts/ in certbot's configuration directory from a backup, or run '{register}' and put "
          "the new account's id (certbot show_account) into 'account =' of the renewal configuration.", _USING, (), {}),
    Cause("registration", _quoting(said(r"Unable to register an account with ACME server")), "certbot could not make "
          "an account at the CA: {error}", "configuration", None, "Run '{register}' by hand and answer what the "
          "CA wants.", "", ("shape",), _PATH),
    Cause("webroot-missing", either(said(r"(?P<path>/[^\n:]{0,200}) does not exist or is not a directory")),
          "The webroot {path} is not there", "configuration", False, "Create the directory, or set webroot_path and "
          "[[webroot_map]] in the renewal configuration to the site's DocumentRoot.", _USING, (),
          {"path": "/var/www/old"}),
    Cause("webroot-unset", said(r"must have a webroot|Missing parts of webroot configuration"), "The webroot "
          "authenticator is not told which directory belongs to each name", "configuration", False, "Renew once by "
          "hand with --webroot-path for these names; certbot keeps it.", _USING, (), {}),
    Cause("manual-without-hook", said(r"authentication script must be provided|--manual-auth-hook when using the "
          r"manual"), "The lineage was made by hand (manual), and nothing can answer its challenge when nobody is "
          "there", "configuration", False, "Give it a --manual-auth-hook, or another authenticator.", _USING, (), {}),
    Cause("hook-not-found", either(classed("HookCommandNotFound"), said(r"Unable to find \S{1,40} command "
          r"(?P<command>[^\n]{1,100}?) in the PATH")), "A hook's program is not there or not executable: {command}",
          "configuration", False, "Write the program's whole path, and see that it is executable.", "", (),
          {"command": "/usr/local/bin/deploy"}),
    Cause("dns-credentials", _quoting(said(r"credentials configuration|^File not found: |^Path is a directory: |"
          r"required to proceed")), "The credentials of the DNS authenticator cannot be used: {error}",
          "configuration", False, "Look at the file that 'dns_..._credentials =' in the renewal configuration names: "
          "is it there, complete, and readable for root?", _USING, ("shape",), _PATH),
    Cause("dns-provider", _quoting(said(r"Error (?:adding|deleting) TXT record|Unable to determine (?:zone|managed|"
          r"base|Domain)|Error (?:communicating with|determining zone)|find (?:a )?(?:domain|zone|hosted zone) for|"
          r"DNS API")), "The DNS provider's interface did not do what the authenticator asked: {error}", "dns", None,
          "Look at whether the credentials are still good and may change this zone, and at the provider's status.", "",
          ("shape",), _PATH),
    Cause("needs-a-person", _quoting(classed("MissingCommandlineFlag"), said(r"Missing command ?line flag")),
          "certbot had a question and nobody was there to answer: {error}", "configuration", False, "Run the same "
          "command once by hand in a terminal, without --quiet, and answer.", "", ("shape",), _PATH),
    Cause("challenge-impossible", said(r"any combination of challenges|preferred challenges"), "The authenticator of "
          "this lineage cannot answer a challenge that the CA offers for these names", "configuration", False,
          "A wildcard name needs a DNS authenticator; otherwise look at pref_challs in the renewal configuration.",
          _USING, (), {}),
    Cause("challenges-failed", said(r"(?:Some|All) challenges have failed|Failed authorization procedure"),
          "The CA did not accept the challenges, and which answer it got is not in what certbot said", "unknown", None,
          "Look for \"reported these problems\" in certbot's log.", "", (), {}),
    Cause("ca-slow", either(said(r"were not finalized by the CA"), lambda case: {} if case.is_a("TimeoutError") and
          "acme" in case.modules else None), "{ca} did not finish in the time that certbot waits", "ca", True, _NEXT,
          "https://letsencrypt.status.io/", (), {"ca": "The CA"}),
    Cause("order-failed", said(r"The certificate order failed"), "{ca} gave the order up and did not say why", "ca",
          None, _NEXT + " If it stays, ask the CA.", "https://letsencrypt.status.io/", (), {"ca": "The CA"}),
    Cause("wildcard", said(r"not support issuing wildcard"), "{ca} issues no wildcard certificates", "configuration",
          False, "Use another CA, or list the names one by one.", "", (), {"ca": "The CA"}),
    Cause("lineage-damaged", _quoting(classed("CertStorageError"), said(r"to be a symlink|of symlink|Target \w+ does "
          r"not exist|required but missing for this certificate|No certificate found with name|missing a required")),
          "The lineage's files are not as certbot left them: {error}", "configuration", False, "Restore live/, "
          "archive/ and renewal/ from one backup, or obtain the certificate again: certbot certonly --cert-name NAME.",
          "", ("shape",), _PATH),
    Cause("key-unsupported", _quoting(said(r"Unsupported (?:RSA key|elliptic curve)|Invalid (?:curve|key_type)|"
          r"key_type specified|of an unsupported type")), "certbot cannot make the kind of key that is configured: "
          "{error}", "configuration", False, "Look at key_type, rsa_key_size and elliptic_curve in the renewal "
          "configuration.", "", ("shape",), _PATH),
    Cause("configuration", _quoting(classed("ConfigurationError"), said(r"expected one argument|unrecognized "
          r"arguments")), "certbot's options contradict each other or are not valid: {error}", "configuration", False,
          "Mend the command line, cli.ini or the renewal configuration.", _USING, ("shape",), _PATH),
    Cause("certbot-installation", _quoting(classed("ImportError", "ModuleNotFoundError", "AttributeError",
          "DistributionNotFound", "VersionConflict"), said(r"^(?:ImportError|ModuleNotFoundError|AttributeError):")),
          "certbot's own programs do not fit together: {error}", "certbot", False, "Install certbot and its plugins "
          "anew from one source; pip packages beside the distribution's are the usual reason.",
          "https://certbot.eff.org/", ("shape",), _PATH),
    Cause("missing-file", lambda case: {"error": quoted(case.error), "path": f" ({beginning(case.filename, 120)})" if
          case.filename else ""} if case.errno == 2 or case.said(r"No such file or directory") else None,
          "A file that certbot needs is not there{path}", "configuration", False, "Restore it from a backup, or "
          "obtain the certificate again: certbot certonly --cert-name NAME.", "", (), {"path": " (/etc/letsencrypt/archive/example.com/privkey1.pem)"}),
    Cause("authenticator", _quoting(classed("PluginError", "MisconfigurationError", "NotSupportedError")),
          "One of certbot's plugins could not do its work: {error}", "configuration", None, "Read the details.", "",
          ("shape",), _PATH),
)
