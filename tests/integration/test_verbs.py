"""certbot's verbs other than a plain ``renew``, and the options on its command line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import certbot
import pytest

from tests.support.certbot import Certbot
from tests.support.context import Context
from tests.support.outage import OutageWatch

NAME = "one.guard.test"
NEW = ("--standalone", "--installer", "guard", "-d", NAME)
CERTBOT = tuple(int(part) for part in certbot.__version__.split(".")[:2])


def settled(context: Context, run: Certbot, outage: OutageWatch, windows: int) -> None:
    """The run has succeeded, Apache was away so often, and nobody was written to."""
    context.wait_settled()
    assert run.returncode == 0, run.output
    assert len(outage.intervals) == windows and not outage.down and context.apache.serving()
    context.mailbox.stays_at(0, seconds=0.3)


def parameters(context: Context, name: str = NAME) -> dict[str, object]:
    return dict(context.home.conf(name)["renewalparams"])


def assert_no_hook_is_saved(context: Context, name: str = NAME) -> None:
    text = context.home.conf_path(name).read_text()
    assert "hook" not in text and "certbot_guard" not in text and parameters(context, name)["installer"] == "guard"


def configuration_of(context: Context) -> dict[Path, str]:
    """What Apache reads."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (context.apache.configuration, *context.apache.vhosts.iterdir())}


def place(path: Path, words: str) -> str:
    """``path:line`` of the line that begins with these words."""
    return f"{path}:" + str(1 + [line.startswith(words) for line in path.read_text().splitlines()].index(True))


def empty_site(context: Context) -> Context:
    """An Apache that serves the name, without a certificate for it."""
    context.apache.add_vhost("one", server_name=NAME)
    context.guard_ini()
    context.apache.start()
    return context


# -- a certificate for the first time --------------------------------------------------------------------------------


@pytest.mark.core
def test_certonly_of_a_new_certificate(context: Context) -> None:
    empty_site(context)
    with context.apache.watch() as outage:
        run = context.certbot("certonly", *NEW)
        settled(context, run, outage, windows=1)
    assert context.home.version(NAME) == 1
    assert_no_hook_is_saved(context)
    with context.apache.watch() as outage:  # and it renews as any other
        run = context.renew()
        settled(context, run, outage, windows=1)
    assert context.home.version(NAME) == 2


def test_certonly_of_a_certificate_that_there_is(context: Context) -> None:
    context.guarded_site(NAME)
    with context.apache.watch() as outage:
        run = context.certbot("certonly", *NEW, "--force-renewal")
        settled(context, run, outage, windows=1)
    assert context.home.version(NAME) == 2
    assert_no_hook_is_saved(context)
    assert context.apache.served_certificate(NAME) == context.home.certificate(NAME)


def test_certonly_that_fails_leaves_apache_serving(context: Context) -> None:
    empty_site(context)
    context.ca.invalid_challenge(NAME, "no such page")
    with context.apache.watch() as outage:
        run = context.certbot("certonly", *NEW)
        context.wait_settled()
        assert outage.intervals and not outage.down
    assert run.returncode == 1 and "Traceback" not in run.output
    assert not context.home.conf_path(NAME).exists()


def test_run_obtains_a_certificate_and_says_where_it_goes(context: Context) -> None:
    empty_site(context)
    before = configuration_of(context)
    with context.apache.watch() as outage:
        run = context.certbot("run", *NEW)
        settled(context, run, outage, windows=1)
    assert context.home.version(NAME) == 1 and configuration_of(context) == before
    assert_no_hook_is_saved(context)
    assert f"SSLCertificateFile {context.home.live(NAME)}" in run.output
    assert f"SSLCertificateKeyFile {context.home.live(NAME, 'privkey')}" in run.output


# -- install: says where the certificate goes, and edits nothing -----------------------------------------------------


def install(context: Context) -> Certbot:
    before = configuration_of(context)
    with context.apache.watch() as outage:
        run = context.certbot("install", "--installer", "guard", "--cert-name", NAME)
        settled(context, run, outage, windows=0)
    assert configuration_of(context) == before
    return run


def test_install_names_the_virtual_host_that_uses_the_certificate_already_and_reloads(context: Context) -> None:
    context.guarded_site(NAME)
    before = context.apache.log_tail().count("Doing graceful restart")
    run = install(context)
    assert place(context.apache.vhosts / f"{NAME}-https.conf", "<VirtualHost") in run.output
    assert "already uses" in run.output and "SSLCertificateFile" not in run.output
    assert context.apache.log_tail().count("Doing graceful restart") == before + 1


def test_install_names_the_two_lines_and_the_virtual_host_that_needs_them(context: Context) -> None:
    context.obtain(NAME, vhost="")
    context.apache.add_vhost("other", server_name="other.guard.test", certificate=context.home.live(NAME),
                             key=context.home.live(NAME, "privkey"))
    mine = context.apache.add_vhost("mine", server_name="https://" + NAME, certificate=context.apache.certificate,
                                    key=context.apache.key)
    context.guard_ini()
    context.apache.start()
    output = install(context).output
    assert f"SSLCertificateFile {context.home.live(NAME)}" in output
    assert f"SSLCertificateKeyFile {context.home.live(NAME, 'privkey')}" in output
    assert place(mine, "<VirtualHost") in output and "other.conf" not in output


@pytest.mark.parametrize("names", [[NAME], ["other.guard.test"]], ids=["without TLS", "of another name"])
def test_install_says_so_when_there_is_no_virtual_host_with_tls(context: Context, names: list[str]) -> None:
    context.obtain(NAME, vhost="")
    context.apache.add_vhost("plain", server_name=names[0])
    context.guard_ini()
    context.apache.start()
    output = install(context).output
    assert "443" in output and "SSLEngine on" in output
    assert ("plain.conf:1" in output) == (names == [NAME])


def test_install_with_a_broken_configuration_says_so_and_changes_nothing(context: Context) -> None:
    context.guarded_site(NAME)
    context.apache.break_configuration()
    with context.apache.watch() as outage:
        run = context.certbot("install", "--installer", "guard", "--cert-name", NAME)
    assert run.returncode == 1 and "ThisDirectiveDoesNotExist" in run.output and "Traceback" not in run.output
    assert outage.intervals == []


# -- options ---------------------------------------------------------------------------------------------------------


def test_options_are_kept_in_the_renewal_configuration_and_used_by_the_next_plain_renew(context: Context) -> None:
    empty_site(context)
    elsewhere = context.directory / "elsewhere.ini"
    elsewhere.write_bytes(context.ini.read_bytes())
    elsewhere.chmod(0o600)
    context.ini.write_text(f"[notify]\nmail = json://127.0.0.1:1/nobody\n[state]\ndir = {context.state}\n")
    options = ("--guard-mode", "auto", "--guard-max-outage", "3s", "--guard-config", str(elsewhere))
    with context.apache.watch() as outage:
        run = context.certbot("certonly", *NEW, *options)
        settled(context, run, outage, windows=1)
    saved = parameters(context)
    assert saved["guard_max_outage"] == "3s" and saved["guard_config"] == str(elsewhere)
    assert saved["guard_mode"] == "auto"

    with context.apache.watch() as outage, context.ca.hold("challenge", times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        context.apache.wait_serving(30)  # with the challenge unanswered: after max_outage, which was 5 minutes
        run.wait(60)
    context.wait_settled()
    assert run.returncode == 1 and outage.longest < 25
    assert NAME in context.mailbox.stays_at(1, seconds=0.3)[0].text


def test_a_webroot_lineage_needs_no_window_whatever_the_mode(context: Context) -> None:
    context.guarded_site(NAME, authenticator="webroot")
    with context.apache.watch() as outage:
        run = context.renew("--guard-mode", "stop")
        settled(context, run, outage, windows=0)  # the challenge is answered through Apache
    assert context.home.version(NAME) == 2 and parameters(context)["guard_mode"] == "stop"


BAD_OPTIONS = {"--guard-mode": "stopp", "--guard-max-outage": "5 parsecs"}


@pytest.mark.parametrize("option", BAD_OPTIONS)
@pytest.mark.parametrize("verb", ["renew", "certonly"])
def test_a_bad_option_is_one_clear_sentence_and_apache_is_not_touched(
        context: Context, option: str, verb: str) -> None:
    context.guarded_site(NAME)
    arguments = (option, BAD_OPTIONS[option], "--force-renewal")
    with context.apache.watch() as outage:
        run = context.renew(*arguments) if verb == "renew" else context.certbot("certonly", *NEW, *arguments)
        context.wait_settled()
    assert run.returncode == 1 and outage.intervals == [] and context.home.version(NAME) == 1
    assert not context.ca.seen("new-order") and "Traceback" not in run.output
    said = [line for line in run.output.splitlines() if option in line]
    assert len(said) == 1 and BAD_OPTIONS[option] in said[0] and "write" in said[0]
    assert option in context.mailbox.stays_at(1, seconds=0.3)[0].text
    assert f"guard_{option[8:]}".replace("-", "_") not in parameters(context)


# -- reconfigure, plugins, certificates ------------------------------------------------------------------------------


@pytest.mark.skipif(CERTBOT < (2, 3), reason="certbot reconfigure came with 2.3")
def test_reconfigure_makes_a_lineage_guarded_after_a_trial_in_which_apache_comes_back(context: Context) -> None:
    context.guarded_site(NAME, guarded=False)
    with context.apache.watch() as outage:
        run = context.certbot("reconfigure", "--cert-name", NAME, "--installer", "guard", "--guard-max-outage", "2m")
        settled(context, run, outage, windows=1)
    assert context.home.version(NAME) == 1 and parameters(context)["guard_max_outage"] == "2m"
    assert_no_hook_is_saved(context)
    with context.apache.watch() as outage:
        run = context.renew()
        settled(context, run, outage, windows=1)
    assert context.apache.served_certificate(NAME) == context.home.certificate(NAME)


@pytest.mark.skipif(CERTBOT < (2, 3), reason="certbot reconfigure came with 2.3")
def test_reconfigure_that_fails_leaves_apache_serving_and_the_file_as_it_was(context: Context) -> None:
    context.guarded_site(NAME, guarded=False)
    saved = context.home.conf_path(NAME).read_bytes()
    context.ca.invalid_challenge(NAME, "no such page")
    with context.apache.watch() as outage:
        run = context.certbot("reconfigure", "--cert-name", NAME, "--installer", "guard")
        context.wait_settled()
        assert outage.intervals and not outage.down
    assert run.returncode == 1 and context.home.conf_path(NAME).read_bytes() == saved


@pytest.mark.core
@pytest.mark.parametrize("arguments", [["plugins"], ["plugins", "--init", "--prepare"], ["certificates"]],
                         ids=" ".join)
def test_with_nothing_configured_no_file_is_written_and_no_process_started(
        context: Context, arguments: list[str]) -> None:
    without = context.directory / "without"  # shadows the installed plugin by one that has no entry point
    (without / "certbot_guard-9.dist-info").mkdir(parents=True)
    (without / "certbot_guard-9.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: certbot-guard\nVersion: 9\n")
    other = context.new_home("without-plugin")
    plain = context.certbot(*arguments, check=True, home=other, env={"PYTHONPATH": str(without)})

    run = context.certbot(*arguments, wait=False)
    started: set[int] = set()
    while run.running:
        started.update(context.guard_processes())
    assert run.wait().returncode == 0 and not started and "Traceback" not in run.output
    assert files_below(context.home.directory) == files_below(other.directory)
    assert not context.state.exists()
    assert ("* guard" in run.output, "* guard" in plain.output) == (arguments == ["plugins"], False)


def files_below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}
