"""This host's and certbot's own troubles, from what the kernel and certbot's own code raise."""

from __future__ import annotations

import argparse
import logging
import os
import resource
import socket
import subprocess
import sys

import pytest
from certbot import configuration, crypto_util, errors
from certbot._internal import account, auth_handler, constants, hooks, lock, storage
from certbot._internal.display import obj
from certbot._internal.plugins import disco, manual, selection, standalone, webroot
from certbot.plugins import dns_common

from certbot_guard.diagnosis import diagnose
from tests.support.authority import Authority
from tests.support.failures import as_text, failure, heard


@pytest.fixture(autouse=True)
def nobody_there():
    with open(os.devnull, "w") as nowhere:
        obj.set_display(obj.NoninteractiveDisplay(nowhere))
        yield


class _Options(argparse.Namespace):
    """What nobody has set is None, as with most of certbot's options."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)


@pytest.fixture
def config(tmp_path):
    """certbot's own defaults, in directories of this test. Not its parser: that would make a capture of its own."""
    chosen = dict(
        constants.CLI_DEFAULTS, config_dir=str(tmp_path / "c"), work_dir=str(tmp_path / "w"),
        logs_dir=str(tmp_path / "l"), server="https://acme.example/dir", verb="renew", domains=[], ip_addresses=[],
        directory_hooks=False, webroot_map={}, webroot_path=[])
    return configuration.NamespaceConfig(_Options(**chosen))


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def both(action, cause, whose, text_only=True):
    event = failure(action)
    found = diagnose(event, {})
    assert (found.cause, found.whose) == (cause, whose), event
    if text_only:
        assert diagnose(as_text(event), {}).cause == cause, event["error"]
    return found, event


# -- ports -----------------------------------------------------------------------------------------------------------


def perform(config, port: int, address: str = "127.0.0.1"):
    """certbot's standalone authenticator, up to where it opens its port."""
    config.namespace.http01_port, config.namespace.http01_address = port, address
    return lambda: standalone.Authenticator(config, "standalone").perform([object()])


def test_a_port_that_is_taken_is_told_with_who_has_it(config):
    other = subprocess.Popen([sys.executable, "-c", "import socket,time; s=socket.create_server(('127.0.0.1',0)); "
        "print(s.getsockname()[1], flush=True); time.sleep(60)"], stdout=subprocess.PIPE)
    try:
        port = int(other.stdout.readline())
        found, event = both(perform(config, port), "port-in-use", "host")
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    assert event["evidence"]["port"] == port and f"(pid {other.pid})" in event["evidence"]["port_owner"]
    assert event["evidence"]["port_owner"] in found.happened and f"Port {port}" in found.happened
    assert str(other.pid) not in found.key


def test_a_port_of_an_address_that_is_not_ours(config):
    both(perform(config, 8080, "192.0.2.1"), "port-address", "configuration")


def test_a_port_that_may_not_be_used(config, monkeypatch):
    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socketserver.TCPServer.server_bind", forbidden)
    both(perform(config, 80), "port-permission", "host")


def test_nobody_is_named_where_the_owner_is_gone(config, taken):
    _, event = both(perform(config, taken), "port-in-use", "host")
    assert "port_owner" not in event["evidence"]  # it is this very process


# -- the system's own errors -------------------------------------------------------------------------------------------


_PLAIN = __file__  # nobody, not even root, may run a file without an x


def _full() -> None:
    with open("/dev/full", "w") as full:
        full.write("x")


def _too_many() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), hard))
    kept = []
    try:
        while True:
            kept.append(open(os.devnull))  # noqa: SIM115 - all of them are closed below
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for one in kept:
            one.close()


def _no_memory() -> None:
    import mmap

    mmap.mmap(-1, 2**46)


def _read_only() -> None:
    raise OSError(30, os.strerror(30), "/etc/letsencrypt/archive/a/cert2.pem")


@pytest.mark.parametrize("action, cause, number", [
    pytest.param(_full, "disk-full", 28, id="full"),
    pytest.param(_too_many, "too-many-files", 24, id="files"),
    pytest.param(_no_memory, "out-of-memory", 12, id="memory"),
    pytest.param(_read_only, "read-only", 30, id="read-only"),
    pytest.param(lambda: subprocess.run([_PLAIN], check=False), "permission", 13, id="permission"),
    pytest.param(lambda: os.kill(os.getpid(), 9999), None, 22, id="another one"),
    pytest.param(lambda: open("/nonexistent/fullchain.pem"), "missing-file", 2, id="missing"),  # noqa: SIM115
])
def test_an_error_of_the_system_is_told_by_its_number(action, cause, number):
    event = failure(action)
    if cause:
        both(action, cause, "configuration" if number == 2 else "host")
    assert event["evidence"]["errno"] == number
    if cause is None:
        found = diagnose(event, {})
        assert found.cause == "unknown" and "Invalid argument" in found.happened


def test_the_file_is_named():
    found, event = both(lambda: subprocess.run([_PLAIN], check=False), "permission", "host")
    assert event["evidence"]["filename"] == _PLAIN and "test_diagnosis_host.py" in found.happened


def test_an_error_of_the_system_is_found_behind_certbot_s_own():
    def act():
        try:
            _full()
        except OSError as error:
            raise errors.Error("could not save it") from error

    both(act, "disk-full", "host", text_only=False)


# -- certbot's own -----------------------------------------------------------------------------------------------------


def test_another_certbot_holds_the_lock(tmp_path):
    path = tmp_path / ".certbot.lock"
    holder = subprocess.Popen([sys.executable, "-c", "import fcntl,sys,time; f=open(sys.argv[1],'w'); fcntl.lockf(f, "
        "fcntl.LOCK_EX); print(1, flush=True); time.sleep(60)", str(path)], stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        found, _ = both(lambda: lock.LockFile(str(path)), "lock", "host")
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert found.transient is True and found.advice.startswith("Nothing now")


def test_an_account_that_is_missing(config):
    both(lambda: account.AccountFileStorage(config).load("0123456789abcdef"), "account-missing", "configuration")


def test_an_account_that_cannot_be_read(config):
    store = account.AccountFileStorage(config)
    directory = os.path.join(config.accounts_dir, "abc")
    os.makedirs(directory)
    for name in ("regr.json", "private_key.json", "meta.json"):
        with open(os.path.join(directory, name), "w") as file:
            file.write("{")
    both(lambda: store.load("abc"), "account-unreadable", "host", text_only=False)


def test_a_plugin_that_is_not_installed():
    registry = disco.PluginsRegistry({})
    found, _ = both(lambda: selection.diagnose_configurator_problem("authenticator", "dns-nowhere", registry),
        "plugin-missing", "configuration")
    assert "dns-nowhere" in found.happened and found.key == "plugin-missing|dns-nowhere"


def test_a_plugin_that_does_not_work():
    class Broken:
        problem = errors.MisconfigurationError("no nginx.conf")

    registry = disco.PluginsRegistry({"nginx": Broken()})
    found, _ = both(lambda: selection.diagnose_configurator_problem("installer", "nginx", registry), "plugin-broken",
        "configuration")
    assert "no nginx.conf" in found.happened


def test_a_webroot_that_is_missing():
    found, _ = both(lambda: webroot._validate_webroot("/srv/nonexistent-webroot"), "webroot-missing", "configuration")
    assert "/srv/nonexistent-webroot" in found.happened


def test_a_webroot_that_is_a_file_or_cannot_be_written(config, tmp_path):
    (tmp_path / ".well-known").write_text("a file")
    config.namespace.webroot_map = {"a.example": str(tmp_path)}
    both(lambda: webroot.Authenticator(config, "webroot")._create_challenge_dirs(), "webroot-unwritable", "host")


def test_a_webroot_that_is_not_configured(config):
    both(lambda: webroot.Authenticator(config, "webroot")._create_challenge_dirs(), "webroot-unset", "configuration")


def test_manual_without_a_hook(config):
    config.namespace.manual_auth_hook = config.namespace.manual_cleanup_hook = None
    config.namespace.noninteractive_mode = True
    both(lambda: manual.Authenticator(config, "manual").prepare(), "manual-without-hook", "configuration")


def test_a_hook_that_is_not_there():
    both(lambda: hooks.validate_hook("/nonexistent/deploy", "deploy"), "hook-not-found", "configuration")


def test_a_key_that_does_not_fit(tmp_path):
    authority = Authority()
    one, _ = authority.write(tmp_path, "one", ["a.example"])
    _, other = authority.write(tmp_path, "other", ["a.example"])
    both(lambda: crypto_util.verify_cert_matches_priv_key(str(one), str(other)), "key-mismatch", "configuration")


@pytest.mark.parametrize("content", [None, "[broken", "dns_cloudflare_email = x\n"])
def test_dns_credentials_that_cannot_be_used(tmp_path, content):
    path = tmp_path / "cf.ini"

    def act():
        if content is not None:
            path.write_text(content)
            path.chmod(0o600)
        else:
            dns_common.validate_file(str(path))
        credentials = dns_common.CredentialsConfiguration(str(path), lambda key: f"dns_cloudflare_{key}")
        credentials.require({"api-token": "the token"})

    both(act, "dns-credentials", "configuration")


def test_a_question_that_nobody_is_there_to_answer():
    both(lambda: obj.get_display().input("Which account?"), "needs-a-person", "configuration")


def test_a_challenge_that_the_authenticator_cannot_do():
    from acme import challenges, messages

    chall = messages.ChallengeBody(
        chall=challenges.DNS01(token=b"x" * 32), uri="http://x.invalid", status=messages.STATUS_PENDING)
    path = auth_handler.gen_challenge_path
    arguments = ([chall], [challenges.HTTP01])
    both(lambda: path(*arguments) if path.__code__.co_argcount == 2 else path(*arguments, None),
        "challenge-impossible", "configuration")


def test_a_lineage_whose_files_are_damaged(config, tmp_path):
    os.makedirs(config.renewal_configs_dir)
    path = os.path.join(config.renewal_configs_dir, "a.conf")
    with open(path, "w") as file:
        file.write("".join(f"{kind} = {tmp_path}/{kind}.pem\n" for kind in ("cert", "privkey", "chain", "fullchain")))
    both(lambda: storage.RenewableCert(path, config), "lineage-damaged", "configuration")


def test_a_key_type_that_certbot_does_not_know():
    both(lambda: crypto_util.make_key(bits=256, key_type="ecdsa", elliptic_curve="secp112r1"), "key-unsupported",
        "configuration")


def test_an_installation_that_does_not_fit_together():
    both(lambda: __import__("certbot_dns_nowhere"), "certbot-installation", "certbot", text_only=False)


def test_an_order_that_takes_too_long():
    from acme import errors as acme_errors

    def act():
        raise acme_errors.TimeoutError()

    both(act, "ca-slow", "ca", text_only=False)


def test_what_is_not_known_is_said_to_be_unknown_with_the_error():
    found, _ = both(lambda: 1 / 0, "unknown", "unknown")
    assert "division by zero" in found.happened and "ZeroDivisionError" in found.happened and found.transient is None


# -- the end of certbot without a lineage ------------------------------------------------------------------------------


def fatal(error: BaseException, debug: bool = False):
    """certbot's own last words about an exception."""
    from certbot._internal import log

    with heard() as (_, events), pytest.raises(SystemExit):
        try:
            raise error
        except BaseException:
            log.post_arg_parse_except_hook(*sys.exc_info(), debug=debug, quiet=True, log_path="/nonexistent")
    return [event for event in events if event["kind"] == "fatal"]


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("error, cause", [
    (errors.LockError("Another instance of Certbot is already running."), "lock"),
    (OSError(28, "No space left on device", "/var/log/letsencrypt/letsencrypt.log"), "disk-full"),
    (errors.PluginSelectionError("The requested dns-x plugin does not appear to be installed"), "plugin-missing")])
def test_an_end_without_a_lineage_is_explained_from_the_exception(error, cause, debug):
    event, = fatal(error, debug)
    assert diagnose(event, {}).cause == cause
    assert event["evidence"]["types"][0].endswith(type(error).__name__)


@pytest.mark.parametrize("debug", [False, True])
def test_an_end_by_the_ca_s_refusal_is_explained(debug):
    from acme import messages

    event, = fatal(messages.Error(typ="urn:ietf:params:acme:error:rateLimited", detail="too many certificates (5) "
        "already issued"), debug)
    assert diagnose(event, {}).key == "acme:rateLimited|domain"


def test_an_interrupted_run_is_said_to_be_one():
    event, = fatal(KeyboardInterrupt())
    assert diagnose(event, {}).cause == "interrupted"


# -- hooks and renewal configurations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command, cause, key", [("exit 3", "hook-failed", "hook-failed|deploy-hook|3"), (
    "/nonexistent/program", "hook-not-found", "hook-not-found|deploy-hook")])
def test_a_hook_that_fails_is_explained(command, cause, key):
    with heard() as (_, events):
        hooks._run_hook("deploy-hook", command)
    event = next(event for event in events if event["kind"] == "hook-failed")
    assert diagnose(event, {}).cause == cause and diagnose(event, {}).key == key


def test_a_renewal_configuration_that_is_broken_is_named(config):
    from certbot._internal import renewal

    os.makedirs(config.renewal_configs_dir)
    path = os.path.join(config.renewal_configs_dir, "a.conf")
    with open(path, "w") as file:
        file.write("not a configuration\n")
    with heard() as (_, events):
        try:
            renewal.handle_renewal_request(config)
        except errors.Error as error:
            logging.getLogger("certbot._internal.log").error(str(error))
    broken = [event for event in events if event["kind"] == "lineage-broken"]
    found = diagnose(broken[0], {})
    assert found.cause == "renewal-configuration" and "a.conf" in found.happened


def test_two_errors_of_a_catch_all_row_are_two_troubles_and_their_times_are_not():
    def key(error):
        return diagnose({"kind": "lineage-failed", "lineage": "a.example", "error_type": "PluginError", "error": error}, {}).key

    assert key("the first thing is wrong") != key("something else is wrong")
    assert key("order 123456 of 2026-11-24 02:15:30 is wrong") == key("order 98765 of 2026-11-25 03:15:31 is wrong")


def test_an_auth_hook_that_failed_is_not_said_to_be_of_no_consequence():
    for hook, harmless in (("deploy-hook", True), ("post-hook", True), ("pre-hook", False), ("manual-auth-hook", False)):
        found = diagnose({"kind": "hook-failed", "hook": hook, "command": "/etc/x.sh", "code": 1}, {})
        assert ("does not depend on it" in found.happened + found.advice) == harmless, found
