"""``certbot-guard watch`` on real files, a real Apache and real services: what it finds, whom it tells, and what it leaves alone."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Optional

import pytest

from tests.faults.test_recover import in_the_window, left_down
from tests.faults.test_run_command import without_plugin
from tests.support.certbot import Certbot, program
from tests.support.context import Context
from tests.support.mailbox import Mail
from tests.support.scripted import Scripted

ONE = "one.guard.test"
HOURS_AGO = 3


def watched(context: Context, *names: str, more: str = "", **options: object) -> Context:
    """A site whose lineages are not due, and an Apache that serves them."""
    options = {"days_left": 80, **options}
    for name in names or (ONE,):
        context.obtain(name, **options)  # type: ignore[arg-type]
    settings(context, more)
    context.apache.start()
    return context


def settings(context: Context, more: str = "") -> None:
    context.guard_ini(more=f"[certbot]\nconfig_dir = {context.home.config}\nlogs_dir = {context.home.logs}\n{more}\n")


def watch(context: Context, code: Optional[int] = None, **options: object) -> Certbot:
    done = context.guard("watch", **options)  # type: ignore[arg-type]
    assert "Traceback" not in done.output
    assert code is None or done.returncode == code, done.output
    return done


def let_time_pass(context: Context, name: str = ONE) -> None:
    """What was just renewed may be about to be loaded; what was renewed hours ago should have been."""
    then = time.time() - HOURS_AGO * 3600
    for path in (context.home.config / "archive" / name).iterdir():
        os.utime(path, (then, then))


def only_mail(context: Context) -> Mail:
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    return mail


@pytest.fixture(autouse=True)
def certbot_has_run(context: Context) -> None:
    """A host on which certbot runs; what starts it is elsewhere."""
    context.certbot("renew", "--no-random-sleep-on-renew", check=True)


def test_where_all_is_well_nothing_is_said_or_changed(context: Context) -> None:
    watched(context, ONE, "two.guard.test")
    starts = context.apache.error_log.read_bytes().count(b"resuming normal operations")
    before = {path: path.stat().st_mtime_ns for path in context.home.config.rglob("*")}
    with context.apache.watch() as outage:
        assert watch(context, 0).stdout == "Nothing is wrong.\n"
        assert context.guard("watch", "--quiet").output == ""
    assert not outage.intervals and starts == context.apache.error_log.read_bytes().count(b"resuming normal operations")
    assert before == {path: path.stat().st_mtime_ns for path in context.home.config.rglob("*")}
    context.mailbox.stays_at(0, seconds=0.3)


# -- what Apache shows -----------------------------------------------------------------------------------------------


def test_a_vhost_that_still_serves_the_old_certificate_is_told_until_it_is_reloaded(context: Context) -> None:
    watched(context, guarded=False, authenticator="webroot")
    assert context.renew().returncode == 0 and context.home.version(ONE) == 2
    assert watch(context, 0).stdout == "Nothing is wrong.\n"  # it may be reloaded any moment now
    let_time_pass(context)
    assert "served-old" not in watch(context, 1).output
    mail = only_mail(context)
    assert "old certificate shown on" in mail.subject and ONE in mail.subject and "Apache serves" in mail.subject
    assert "Reload the service" in mail.text and str(context.apache.https_port) in mail.text
    watch(context, 1)
    only_mail(context)
    context.apache.ctl("graceful")
    context.apache.wait_serving()
    time.sleep(0.5)
    watch(context, 0)
    over = context.mailbox.stays_at(2, seconds=0.3)[1]
    assert over.subject.startswith("OK") and "What is shown there is right again." in over.text


def test_a_vhost_whose_files_were_copied_elsewhere_is_told_with_the_file(context: Context) -> None:
    live = watched(context, guarded=False, authenticator="webroot").home.live(ONE).parent
    copies = context.apache.root / "copies"
    copies.mkdir()
    for kind in ("fullchain", "privkey"):
        shutil.copy(live / f"{kind}.pem", copies / f"{kind}.pem")
    for vhost in context.apache.vhosts.glob(f"*{ONE}*"):
        vhost.write_text(vhost.read_text().replace(f"{live}/", f"{copies}/"))
    context.apache.ctl("graceful")
    assert context.renew().returncode == 0
    let_time_pass(context)
    watch(context, 1)
    assert f"{copies}/fullchain.pem" in only_mail(context).text


def test_a_chain_that_is_cut_short_is_told(context: Context) -> None:
    live = watched(context, guarded=False, authenticator="webroot").home.live(ONE).parent
    assert context.renew().returncode == 0  # what a CA signs has an intermediate
    let_time_pass(context)
    for vhost in context.apache.vhosts.glob(f"*{ONE}*"):
        vhost.write_text(vhost.read_text().replace(f"{live}/fullchain.pem", f"{live}/cert.pem"))
    context.apache.ctl("graceful")
    time.sleep(0.5)
    watch(context, 1)
    mail = only_mail(context)
    assert "chain incomplete" in mail.subject and "fullchain.pem, not cert.pem" in mail.text


def test_an_expired_certificate_is_critical(context: Context) -> None:
    watched(context, days_left=-1)
    watch(context, 1)
    mail = only_mail(context)
    assert mail.subject.startswith("CRITICAL") and "EXPIRED" in mail.subject
    assert "expired certificate shown" in mail.text.lower() or "An expired certificate is shown" in mail.text


def test_endpoints_of_other_services_are_looked_at_the_same_way(context: Context) -> None:
    watched(context, more=f"[watch]\nendpoints = 127.0.0.1:{context.apache.https_port} name={ONE}, 127.0.0.1:{context.mailbox.port} "
                          f"starttls=smtp name=mail.guard.test\n")
    watch(context, 1)
    mail = only_mail(context)
    assert f"127.0.0.1:{context.mailbox.port}" in mail.text and str(context.apache.https_port) not in mail.text
    assert "no TLS answer on" in mail.subject


# -- Apache itself ---------------------------------------------------------------------------------------------------


def test_an_apache_that_served_and_does_not_any_more_is_told_and_left_alone(context: Context) -> None:
    watched(context)
    watch(context, 0)
    context.apache.stop()
    watch(context, 1)
    mail = only_mail(context)
    assert mail.subject.startswith("CRITICAL") and "Apache is DOWN" in mail.subject and not context.apache.serving()
    assert "no run of certbot's has it stopped" in mail.text
    watch(context, 1)
    only_mail(context)
    context.apache.start()
    watch(context, 0)
    over = context.mailbox.stays_at(2, seconds=0.3)[1]
    assert over.subject.startswith("OK") and "Apache serves again" in over.subject


def test_an_apache_that_was_never_seen_serving_is_nobodys_business(context: Context) -> None:
    watched(context)
    context.apache.stop()
    assert watch(context, 0).stdout == "Nothing is wrong.\n"
    context.mailbox.stays_at(0, seconds=0.3)


def test_a_window_of_a_run_is_no_outage(context: Context) -> None:
    watched(context)
    watch(context, 0)
    run, held = in_the_window(context)
    assert not context.apache.serving()
    watch(context, 0)
    context.mailbox.stays_at(0, seconds=0.3)
    held.release()
    run.wait()
    context.wait_settled()
    watch(context, 0)
    context.mailbox.stays_at(0, seconds=0.3)


def test_what_a_killed_run_left_down_is_brought_back_and_told_once(context: Context) -> None:
    watched(context)
    left_down(context)
    done = watch(context)
    assert context.apache.serving() and ": settled" in done.stdout
    assert "certbot died" in only_mail(context).text
    watch(context)
    only_mail(context)


def test_what_waits_is_delivered(context: Context) -> None:
    watched(context)
    context.mailbox.reject()
    context.ca.invalid_challenge(ONE, "no such page")
    context.renew()
    context.wait_settled()
    context.mailbox.stays_at(0, seconds=0.3)
    context.mailbox.heal()
    watch(context)
    context.mailbox.stays_at(0, seconds=0.3)  # a channel that failed a moment ago is left in peace
    for path in (context.state / "journal.db", context.state / "run/journal.db", Path("/run/certbot-guard/journal.db")):
        if path.exists():
            with closing(sqlite3.connect(path, isolation_level=None)) as database:
                database.execute("UPDATE channels SET next_try = '2020-01-01T00:00:00+00:00' WHERE settings = ?",
                                 (str(context.ini),))
    watch(context)
    assert "no such page" in only_mail(context).text


def test_two_that_watch_at_once_tell_once(context: Context) -> None:
    watched(context, days_left=-1)
    three = [context.guard("watch", wait=False) for _ in range(3)]
    codes = [one.wait().returncode for one in three]
    assert set(codes) <= {1, 75} and 1 in codes
    only_mail(context)
    watch(context, 1)
    only_mail(context)


def test_a_watch_that_is_killed_is_made_good_by_the_next(context: Context) -> None:
    watched(context, days_left=-1)
    context.mailbox.hang()
    first = context.guard("watch", wait=False)
    for _ in range(400):
        if context.mailbox.connections:
            break
        time.sleep(0.05)
    first.send(signal.SIGKILL)
    first.wait()
    context.wait_settled()
    context.mailbox.heal()
    watch(context, 1)
    assert "EXPIRED" in only_mail(context).subject


# -- certbot's files and runs ----------------------------------------------------------------------------------------


def test_a_lineage_that_certbot_renewed_where_the_plugin_was_missing_is_told(context: Context) -> None:
    watched(context, authenticator="webroot")
    watch(context, 0)
    bare = Certbot([*without_plugin(context), "renew", "--force-renewal", *context.home.arguments], context.environment, "/",
                   context.directory / "bare").wait()
    assert bare.returncode == 0 and "installer" not in context.home.conf(ONE)["renewalparams"]  # and it says nothing of it
    watch(context, 1)
    mail = only_mail(context)
    assert f"{ONE} not guarded any more" in mail.subject and "certbot-guard adopt --cert-name" in mail.text


def test_a_broken_renewal_configuration_is_told_and_when_it_is_mended(context: Context) -> None:
    watched(context, ONE, "two.guard.test")
    path = context.home.conf_path(ONE)
    sound = path.read_text()
    path.write_text("[renewalparams\n")
    watch(context, 1)
    assert str(path) in only_mail(context).text
    path.write_text(sound)
    watch(context, 0)
    assert "certbot can read it." in context.mailbox.stays_at(2, seconds=0.3)[1].text


def test_a_host_that_has_only_certificates_on_its_disk(context: Context) -> None:
    context.obtain(ONE, days_left=-1, guarded=False, vhost="")
    context.guard_ini(f"[server]\ncontrol = /nonexistent/apachectl\n[notify]\nmail = {context.mailbox.apprise_url}\n[state]\n"
                      f"dir = {context.state}\n[certbot]\nconfig_dir = {context.home.config}\nlogs_dir = {context.home.logs}\n")
    watch(context, 1)
    mail = only_mail(context)
    assert "EXPIRED" in mail.subject and mail.text.startswith("No web server was looked at.")


def test_no_settings_at_all_is_said_and_is_no_traceback() -> None:
    """On a root of its own: state is where it is by default then."""
    apart = Path(__file__).parents[1] / "support" / "clean-root"
    done = subprocess.run([str(apart), str(program("certbot-guard")), "--config", "/etc/no-guard.ini", "watch"], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    if done.returncode == 77:
        pytest.skip("needs root and an overlay")
    assert done.returncode in (0, 1) and "Traceback" not in done.stdout, done.stdout


# -- other services that use the certificates ------------------------------------------------------------------------


def service(context: Context, name: str, script: str) -> str:
    path = context.directory / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"{name}_command = {path}\n"


def test_other_services_are_reloaded_once_after_a_deployment_and_a_failure_is_told(context: Context) -> None:
    notes = context.directory / "notes"
    watched(context, ONE, "two.guard.test", more="[deploy]\n" + service(context, "good", f"echo good >> {notes}") + service(
        context, "bad", f"echo bad >> {notes}; echo 'no such <socket>' >&2; exit 3"))
    assert context.renew().returncode == 0
    context.wait_settled()
    assert sorted(notes.read_text().split()) == ["bad", "good"]
    mail = only_mail(context)
    assert "bad not reloaded" in mail.subject and "exit code 3" in mail.text and "good" not in mail.subject
    service(context, "bad", f"echo mended >> {notes}")
    assert context.renew().returncode == 0
    context.wait_settled()
    assert "It was reloaded." in context.mailbox.stays_at(2, seconds=0.3)[1].text


def test_services_that_hang_keep_nobody_from_being_told(context: Context) -> None:
    watched(context, more="[deploy]\n" + "".join(service(context, f"slow{number}", "sleep 300") for number in range(4)))
    run = context.renew(wait=False)
    run.wait(240)
    context.wait_settled(240)
    mail = only_mail(context)
    assert "slow0 not reloaded" in mail.subject or "not reloaded" in mail.subject
    assert "did not end in" in mail.text and "the services before it took" in mail.text and context.apache.serving()


def test_a_bug_in_what_comes_after_apache_serves_is_told_and_ends_nothing(context: Context) -> None:
    """As when the package is replaced during a run."""
    watched(context, more="[deploy]\n" + service(context, "good", "true"))
    run, held = in_the_window(context)
    directory = next((context.state / "runs").iterdir())
    (directory / "others.lock").symlink_to("nowhere")  # whatever it is that goes wrong there
    held.release()
    run.wait()
    context.wait_settled()
    assert context.apache.serving() and run.returncode == 0
    assert "also_reload" in only_mail(context).text


def test_where_nothing_was_deployed_nothing_is_reloaded(context: Context) -> None:
    notes = context.directory / "notes"
    watched(context, more="[deploy]\n" + service(context, "good", f"echo good >> {notes}"))
    context.ca.invalid_challenge(ONE, "no such page")
    assert context.renew().returncode == 1
    assert context.renew("--dry-run", force=False).returncode is not None
    context.wait_settled()
    assert not notes.exists()


def test_an_endpoint_that_still_shows_the_old_certificate_after_its_reload_is_told_with_the_run(context: Context) -> None:
    watched(context)
    # It has loaded the old one, and its reload does nothing.
    other = Scripted((context.home.live(ONE), context.home.live(ONE, "privkey")))
    context.cleanup(other.close)
    settings(context, f"[deploy]\n{service(context, 'lazy', 'true')}[watch]\nendpoints = 127.0.0.1:{other.port} name={ONE}\n")
    assert context.renew().returncode == 0
    context.wait_settled()
    mail = only_mail(context)
    assert "old certificate shown on" in mail.subject and str(other.port) in mail.text and "Apache serves" in mail.subject
