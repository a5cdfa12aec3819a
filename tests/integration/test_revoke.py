"""``certbot revoke`` and ``certbot delete`` of a guarded lineage: Apache serves, and nobody is told."""

from __future__ import annotations

from pathlib import Path

from tests.support.certbot import Certbot
from tests.support.context import Context
from tests.support.outage import OutageWatch

NAME = "one.guard.test"
STAYS = "two.guard.test"


def site(context: Context) -> Context:
    """Two guarded lineages whose certificates the CA has signed a moment ago."""
    context.guarded_site(NAME, STAYS)
    context.renew(check=True)
    context.wait_settled()
    assert context.home.version(NAME) == context.home.version(STAYS) == 2
    return context


def state_of(context: Context) -> dict[Path, int]:
    """The state's files, with what changes when one is written."""
    return {path: path.stat().st_mtime_ns for path in context.state.rglob("*") if path.is_file()}


def left_alone(context: Context, run: Certbot, outage: OutageWatch) -> None:
    """Apache was not away, nobody was told anything, and the other lineage is guarded as before."""
    assert run.returncode == 0 and "Traceback" not in run.output, run.output
    assert not outage.intervals and not outage.down and context.apache.serving()
    assert context.home.conf(STAYS)["renewalparams"]["installer"] == "guard"
    context.mailbox.stays_at(0, seconds=0.3)


def test_revoke_and_delete_leave_apache_serving_and_open_no_run(context: Context) -> None:
    site(context)
    shown = context.apache.served_certificate(NAME)
    before, known = state_of(context), len(context.events())
    with context.apache.watch() as outage:
        run = context.certbot("revoke", "--cert-name", NAME, "--no-delete-after-revoke")
        left_alone(context, run, outage)
        assert "revoked" in run.output and context.home.conf_path(NAME).exists()
        run = context.certbot("delete", "--cert-name", NAME)
        left_alone(context, run, outage)
    assert not context.home.conf_path(NAME).exists() and not context.home.live(NAME).exists()
    assert context.apache.served_certificate(NAME) == shown  # as it was loaded
    assert state_of(context) == before and len(context.events()) == known


def test_after_a_revoke_that_deletes_the_virtual_host_that_names_the_files_is_told_and_once_it_is_gone_all_is_well(
        context: Context) -> None:
    site(context)
    with context.apache.watch() as outage:
        run = context.certbot("revoke", "--cert-name", NAME, "--delete-after-revoke")
        left_alone(context, run, outage)
        assert not context.home.conf_path(NAME).exists() and not context.home.live(NAME).exists()
        # An Apache that was stopped now would not start again.
        assert context.renew().returncode == 1
        context.wait_settled()
        assert not outage.intervals and context.home.version(STAYS) == 2
    mail = context.mailbox.wait(1)[0]
    assert f"{STAYS} not renewed" in mail.subject and "take the virtual host out" in mail.text
    assert str(context.home.live(NAME)) in mail.text
    (context.apache.vhosts / f"{NAME}-https.conf").unlink()
    context.renew(check=True)
    context.wait_settled()
    assert context.home.version(STAYS) == 3 and context.mailbox.wait(2)[1].subject.startswith("OK")
    looked = context.guard("watch", "--quiet")
    assert looked.returncode == 0 and not looked.output
