"""A renewal in which nothing fails: a window for each lineage that needs one, as long as its challenge; nothing sent.

And what must not make a difference: how lineages are named, which keys they have, IPv6, the locale.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.certbot import Certbot
from tests.support.context import Context
from tests.support.faulty_ca import Request
from tests.support.outage import OutageWatch
from tests.support.site import Site

NAME = "one.guard.test"
# An installer as another package brings one, certbot-apache say: it reloads Apache, and changes nothing.
_OTHER_INSTALLER = '''\
import os, pathlib, signal
from certbot import interfaces
from certbot.plugins import common

class Installer(common.Plugin, interfaces.Installer):
    description = "reloads a server"
    @classmethod
    def add_parser_arguments(cls, add): pass
    def prepare(self): pass
    def more_info(self): return ""
    def get_all_names(self): return []
    def deploy_cert(self, *args): pass
    def enhance(self, *args): pass
    def supported_enhancements(self): return []
    def save(self, *args): pass
    def rollback_checkpoints(self, *args): pass
    def recovery_routine(self): pass
    def config_test(self): pass
    def restart(self):
        os.kill(int(pathlib.Path({pid_file!r}).read_text()), signal.SIGUSR1)
'''


def other_installer(context: Context) -> dict[str, Optional[str]]:
    """An installed package with the installer ``elsewhere``; the environment that has it."""
    package = context.directory / "packages"
    information = package / "elsewhere-1.0.dist-info"
    information.mkdir(parents=True)
    (package / "elsewhere_installer.py").write_text(_OTHER_INSTALLER.format(pid_file=str(context.apache.pid_file)))
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[certbot.plugins]\nelsewhere = elsewhere_installer:Installer\n")
    return {"PYTHONPATH": str(package)}


def shows_the_new_certificate(context: Context, name: str = NAME, server_name: Optional[str] = None) -> bool:
    served = context.apache.served_certificate(server_name or name)
    return context.home.version(name) == 2 and served == context.home.certificate(name)


def settled(context: Context, run: Certbot, outage: OutageWatch) -> None:
    """The run and everything after it has succeeded, and nobody was written to."""
    context.wait_settled()
    assert run.returncode == 0, run.output
    assert not outage.down and context.apache.serving()
    context.mailbox.stays_at(0, seconds=0.3)


def assert_each_window_is_one_challenge(context: Context, names: list[str], intervals: list) -> None:
    """Apache was away once for each of these lineages, in their order, around the challenge and no longer."""
    assert len(intervals) == len(names)
    for name, (begin, end) in zip(names, intervals):
        assert requests(context, "new-order", name)[-1].at < requests(context, "challenge", name)[0].at
        assert begin < requests(context, "challenge", name)[0].at < end
        # It is answered once Apache serves, which whoever watches sees a look later.
        assert end < requests(context, "finalize", name)[0].ended + 0.2


def requests(context: Context, endpoint: str, name: str) -> list[Request]:
    return [request for request in context.ca.seen(endpoint) if name in request.names]


def renew_and_look_during_finalize(context: Context, names: list[str], arguments: Sequence[str] = (),
                                   **options: Any) -> Certbot:
    """Every finalize is answered once Apache serves, which it is to do without that answer."""
    held = [context.ca.hold("finalize", name=name, times=1) for name in names]
    run = context.renew(*arguments, wait=False, **options)
    for fault in held:
        fault.wait()
        context.apache.wait_serving()
        fault.release()
    return run.wait()


def saved_of(context: Context, name: str) -> dict[str, Any]:
    return {**context.home.conf(name), "renewalparams": dict(context.home.conf(name)["renewalparams"])}


def assert_only_certbots_changes(context: Context, name: str, before: dict[str, Any]) -> None:
    """What was in the renewal configuration is there; what is new, certbot alone writes too. No hook, no command."""
    after = saved_of(context, name)
    form = context.world.home.conf("form.guard.test")
    assert {key: after.get(key) for key in before if key not in ("version", "renewalparams")} == {
        key: value for key, value in before.items() if key not in ("version", "renewalparams")}
    assert {key: after["renewalparams"].get(key) for key in before["renewalparams"]} == before["renewalparams"]
    assert set(after) - set(before) <= set(form)
    assert set(after["renewalparams"]) - set(before["renewalparams"]) <= set(form["renewalparams"])
    text = context.home.conf_path(name).read_text()
    assert "hook" not in text and "certbot_guard" not in text


# -- who needs a window ----------------------------------------------------------------------------------------------

MIXES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    # certbot takes them in the order of their names
    "webroot, then standalone": [("a", {"authenticator": "webroot"}), ("b", {})],
    "standalone, then webroot": [("a", {}), ("b", {"authenticator": "webroot"})],
    "another installer, standalone, unguarded": [
        ("a", {"authenticator": "webroot", "installer": "elsewhere"}), ("b", {}),
        ("c", {"authenticator": "webroot", "guarded": False})],
    "five": [("a", {}), ("b", {"authenticator": "webroot", "guarded": False}), ("c", {"key_type": "rsa"}), ("d", {}),
             ("e", {"authenticator": "webroot", "installer": "elsewhere"})],
}


@pytest.mark.core
def test_apache_is_away_for_the_challenge_and_serves_the_new_certificate(context: Context) -> None:
    context.guarded_site(NAME)
    before = saved_of(context, NAME)
    with context.apache.watch() as outage:
        run = renew_and_look_during_finalize(context, [NAME])
        settled(context, run, outage)
    assert_each_window_is_one_challenge(context, [NAME], outage.intervals)
    assert shows_the_new_certificate(context)
    assert_only_certbots_changes(context, NAME, before)
    assert context.home.conf(NAME)["renewalparams"]["installer"] == "guard"


@pytest.mark.parametrize("mix", MIXES)
def test_each_lineage_that_needs_the_port_has_a_window_of_its_own(context: Context, mix: str) -> None:
    lineages = {f"{name}.guard.test": options for name, options in MIXES[mix]}
    for name, options in lineages.items():
        context.obtain(name, **options)
    context.guard_ini()
    context.apache.start()
    before = {name: saved_of(context, name) for name in lineages}
    with context.apache.watch() as outage:
        run = renew_and_look_during_finalize(context, sorted(lineages), env=other_installer(context))
        settled(context, run, outage)
    standalone = [name for name in sorted(lineages) if "authenticator" not in lineages[name]]
    assert_each_window_is_one_challenge(context, standalone, outage.intervals)
    for name, options in lineages.items():
        assert context.home.version(name) == 2
        # for the unguarded one without an installer, that is up to whoever reloads Apache next
        assert options.get("guarded") is False or shows_the_new_certificate(context, name)
        assert_only_certbots_changes(context, name, before[name])
        assert before[name]["renewalparams"].get("installer") == options.get(
            "installer", None if options.get("guarded") is False else "guard")


def test_what_is_not_due_is_left_alone_beside_what_is(context: Context) -> None:
    context.obtain("a.guard.test", days_left=80)
    context.obtain("b.guard.test")
    context.obtain("c.guard.test", days_left=80)
    context.guard_ini()
    context.apache.start()
    before = {name: saved_of(context, f"{name}.guard.test")["renewalparams"] for name in "ac"}
    with context.apache.watch() as outage:
        run = context.renew(force=False)
        settled(context, run, outage)
    assert len(outage.intervals) == 1 and shows_the_new_certificate(context, "b.guard.test")
    assert [context.home.version(f"{name}.guard.test") for name in "abc"] == [1, 2, 1]
    assert before == {name: saved_of(context, f"{name}.guard.test")["renewalparams"] for name in "ac"}


@pytest.mark.core
def test_with_nothing_due_there_is_no_run_no_process_and_no_file(context: Context) -> None:
    context.guarded_site(NAME, days_left=80)
    with context.apache.watch() as outage:
        run = context.renew(force=False, wait=False)
        seen: set[int] = set()
        while run.running:
            seen.update(context.guard_processes())
        assert run.wait().returncode == 0
    assert not seen and not context.guard_processes() and outage.intervals == []
    assert not context.state.exists() and context.home.version(NAME) == 1
    context.mailbox.stays_at(0, seconds=0.3)


# -- ways to call it -------------------------------------------------------------------------------------------------


def test_one_lineage_by_its_name(context: Context) -> None:
    context.guarded_site("a.guard.test", "b.guard.test")
    with context.apache.watch() as outage:
        run = renew_and_look_during_finalize(context, ["b.guard.test"], arguments=("--cert-name", "b.guard.test"))
        settled(context, run, outage)
    assert_each_window_is_one_challenge(context, ["b.guard.test"], outage.intervals)
    assert context.home.version("a.guard.test") == 1 and shows_the_new_certificate(context, "b.guard.test")


def test_quiet_says_nothing(context: Context) -> None:
    context.guarded_site(NAME)
    with context.apache.watch() as outage:
        run = context.renew("--quiet")
        settled(context, run, outage)
    assert run.output == "" and shows_the_new_certificate(context)


def test_a_dry_run_stops_and_starts_apache_and_replaces_nothing(context: Context) -> None:
    context.guarded_site(NAME)
    saved, old = context.home.conf_path(NAME).read_bytes(), context.apache.served_certificate(NAME)
    with context.apache.watch() as outage:
        run = context.renew("--dry-run", "--server", context.home.server, force=False)
        settled(context, run, outage)
    assert len(outage.intervals) == 1 and requests(context, "challenge", NAME)
    assert context.home.version(NAME) == 1 and context.home.conf_path(NAME).read_bytes() == saved
    assert context.apache.served_certificate(NAME) == old


def test_a_dry_run_that_fails_is_told_as_one(context: Context) -> None:
    context.guarded_site(NAME)
    context.ca.invalid_challenge(NAME, "no such page")
    with context.apache.watch() as outage:
        run = context.renew("--dry-run", force=False)
        context.wait_settled()
        assert not outage.down
    assert run.returncode == 1
    assert "dry run" in context.mailbox.stays_at(1, seconds=0.3)[0].subject


# -- keys and names --------------------------------------------------------------------------------------------------


def served_rsa_certificate(apache: Site, name: str) -> x509.Certificate:
    """What a visitor who knows RSA only is shown."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    with socket.create_connection((apache.address, apache.https_port), timeout=5) as plain:
        with client.wrap_socket(plain, server_hostname=name) as tls:
            return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))


def test_rsa_and_ecdsa_twins_of_the_same_names_are_both_renewed_and_both_served(context: Context) -> None:
    names = [NAME, "www.guard.test"]
    context.obtain("twin-ec", names, vhost="")
    context.obtain("twin-rsa", names, vhost="", key_type="rsa")
    both = "".join(f"SSLCertificateFile {context.home.live(twin)}\n"
                   f"SSLCertificateKeyFile {context.home.live(twin, 'privkey')}\n"
                   for twin in ("twin-ec", "twin-rsa"))
    context.apache.add_vhost("twins", port=context.apache.https_port, server_name=NAME,
                             extra=f"ServerAlias www.guard.test\nSSLEngine on\n{both}")
    context.guard_ini()
    context.apache.start()
    with context.apache.watch() as outage:
        run = context.renew()
        settled(context, run, outage)
    assert len(outage.intervals) == 2
    assert shows_the_new_certificate(context, "twin-ec", NAME)
    assert isinstance(context.home.certificate("twin-rsa").public_key(), rsa.RSAPublicKey)
    assert context.home.version("twin-rsa") == 2
    assert served_rsa_certificate(context.apache, NAME) == context.home.certificate("twin-rsa")


HOSTILE_NAMES = {
    "a shell's commands and quotes": "$(touch${IFS}PWNED) `touch PWNED`; touch PWNED & a'b\"c\\d",
    "a newline": "a\nBcc: all@guard.test\n\ntouch PWNED",
    "markup and spaces": " <script>alert(1)<!channel>  %s {0} --pre-hook=touch ",
}


@pytest.mark.parametrize("kind", HOSTILE_NAMES)
def test_a_hostile_lineage_name_is_a_name_and_nothing_else(context: Context, kind: str) -> None:
    name = HOSTILE_NAMES[kind]
    live = context.obtain(name, [NAME], vhost="")
    link = context.directory / "live"  # an Apache configuration cannot hold every name
    link.symlink_to(live)
    context.apache.host("hostile", link, [NAME])
    context.guard_ini()
    context.apache.start()
    with context.apache.watch() as outage:
        run = renew_and_look_during_finalize(context, [NAME], cwd=str(context.directory))
        settled(context, run, outage)
    assert_each_window_is_one_challenge(context, [NAME], outage.intervals)
    assert shows_the_new_certificate(context, name, NAME)

    context.ca.clear()
    context.ca.invalid_challenge(NAME, "no such page")
    with context.apache.watch() as outage:
        run = context.renew(cwd=str(context.directory))
        context.wait_settled()
        assert not outage.down
    assert run.returncode == 1 and context.home.version(name) == 2
    mail = context.mailbox.stays_at(1, seconds=0.3)[0]
    assert NAME in mail.text and "no such page" in mail.text
    assert all(word in mail.text for word in name.replace("<", "‹").replace(">", "›").replace("&", "＆")
               .replace("`", "'").replace("@", "(at)").split())
    assert "Bcc" not in mail.message and mail.recipients == ["ops@guard.test"]
    assert "<script" not in mail.text and "<!channel" not in mail.text and len(mail.subject.splitlines()) == 1
    assert_nothing_was_touched(context)


def assert_nothing_was_touched(context: Context) -> None:
    places = [Path("/"), *context.directory.rglob("*/"), Path.cwd()]
    assert not [place for place in places if (place / "PWNED").exists()]


# -- surroundings of the server --------------------------------------------------------------------------------------


@pytest.mark.core
def test_an_apache_on_ipv6_only(new_context: Callable[..., Context]) -> None:
    context = new_context(address="::1")
    context.world.pebble.resolve_everything("", "::1")
    context.guarded_site(NAME)
    with context.apache.watch() as outage:
        run = renew_and_look_during_finalize(context, [NAME])
        settled(context, run, outage)
    assert_each_window_is_one_challenge(context, [NAME], outage.intervals)
    assert shows_the_new_certificate(context)


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_a_settings_file_with_umlauts_in_a_plain_locale(context: Context, locale: dict[str, Optional[str]]) -> None:
    context.obtain(NAME)
    context.guard_ini(channels={"büro": context.mailbox.apprise_url}, more="# Änderungen nur durch Jürgen – 日本\n"
                      "[channel büro]\nmin_severity = warning\n")
    context.apache.start()
    context.ca.invalid_challenge(NAME, "die Seite „grün“ fehlt")
    with context.apache.watch() as outage:
        run = context.renew(env=locale)
        context.wait_settled()
        assert outage.intervals and not outage.down
    assert run.returncode == 1 and "certbot_guard" not in run.output  # certbot's own traceback is certbot's affair
    mail = context.mailbox.stays_at(1, seconds=0.3)[0]
    assert "die Seite „grün“ fehlt" in mail.text and "guard.ini" not in mail.text
