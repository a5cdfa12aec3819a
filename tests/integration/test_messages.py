"""Messages of real runs: what they say, when they come again, and what becomes of those that nobody takes."""

from __future__ import annotations

import json

import pytest

from tests.support.context import Context
from tests.support.faulty_ca import STORY_503, problem

ONE, TWO = "one.guard.test", "two.guard.test"


@pytest.mark.core
def test_the_story_told_in_one_mail(context: Context) -> None:
    """What the author of the story had to find out by himself: is the site up, why, is it over, what is to be done."""
    context.guarded_site(ONE)
    context.ca.answer("directory", STORY_503)
    assert context.renew().returncode == 1
    context.wait_settled()
    mail, = context.mailbox.stays_at(1, seconds=0.3)
    assert mail.subject.startswith("WARNING ") and "Apache serves" in mail.subject and "days left" in mail.subject
    first = mail.text[:1000]
    assert first.splitlines()[0].startswith("Apache serves.")
    assert "Why: The CA" in first and "The trouble is the CA's and passes by itself." in first
    assert "It means: the certificate expires on" in first and "visitors notice nothing until then" in first
    assert "What to do: Nothing now" in first and "Next attempt: " in first
    assert "serverInternal" in mail.text


def test_the_same_failure_is_not_told_twice_in_a_day_and_its_end_is_told_once(context: Context) -> None:
    context.guarded_site(ONE)
    with context.ca.answer("directory", STORY_503):
        for _ in range(2):
            assert context.renew().returncode == 1
            context.wait_settled()
    context.mailbox.stays_at(1, seconds=0.3)
    for _ in range(2):
        assert context.renew().returncode == 0
        context.wait_settled()
    _, over = context.mailbox.stays_at(2, seconds=0.3)
    assert over.subject.startswith("OK ") and f"{ONE} works again" in over.subject and "It was renewed." in over.text
    assert not list(context.state.glob("business-*"))


def test_with_remind_every_it_comes_again_sooner(context: Context) -> None:
    context.guarded_site(ONE)
    context.guard_ini(more="[messages]\nremind_every = 1s\n")
    with context.ca.answer("directory", STORY_503):
        for _ in range(2):
            context.renew()
            context.wait_settled()
    context.mailbox.stays_at(2, seconds=0.3)


@pytest.mark.core
def test_a_certbot_with_nothing_due_delivers_what_waits_and_starts_nothing_otherwise(context: Context) -> None:
    context.guarded_site(ONE)
    context.obtain(TWO, days_left=80)
    assert context.renew("--cert-name", TWO, force=False).returncode == 0
    assert not context.state.exists()  # nothing waits: no process, no file
    context.mailbox.refuse()
    with context.ca.answer("directory", STORY_503):
        context.renew("--cert-name", ONE)
        context.wait_settled()
    context.mailbox.heal()
    assert list(context.state.glob("business-*"))
    assert context.renew("--cert-name", TWO, force=False).returncode == 0
    mail, = context.mailbox.wait(1)
    assert ONE in mail.text and "possible repeat" not in mail.subject


def test_what_nobody_takes_is_said_by_certbot_itself_and_shown_by_the_outbox(context: Context) -> None:
    context.guarded_site(ONE)
    context.mailbox.reject("554 5.7.1 no mail today")
    with context.ca.answer("directory", problem(503, "serverInternal", "The service is busy")):
        run = context.renew("--quiet")
    context.wait_settled()
    assert run.returncode == 1
    said = " ".join(run.output.split())
    assert "nobody could be told of this: WARNING" in said and "mail: " in said and "certbot-guard outbox" in said
    shown = context.guard("outbox")
    assert shown.returncode == 1 and "mail: WARNING" in shown.stdout and "no mail today" in shown.stdout
    row, = json.loads(context.guard("outbox", "--json").stdout)
    assert row["channel"] == "mail" and row["attempts"] and row["reason"]
    assert context.guard("outbox", "flush").returncode == 1
    context.mailbox.heal()
    assert context.guard("outbox", "flush").stdout == "mail: 1 sent\n"
    assert context.guard("outbox", "flush").stdout == "Nothing waits: every message has been delivered.\n"
    context.mailbox.stays_at(1, seconds=0.3)


def test_the_last_lines_of_certbots_log_are_there_for_who_asked_for_them(context: Context) -> None:
    context.guarded_site(ONE)
    context.guard_ini(more="[messages]\nlog_lines = 25\n")
    context.ca.invalid_challenge(ONE, "no such page")
    context.renew()
    context.wait_settled()
    text = context.mailbox.wait(1)[0].text
    _, _, tail = text.partition("The last lines of certbot's log:")
    rows = [row for row in tail.splitlines() if row.lstrip().startswith("|")]
    assert len(rows) == 25 and "Some challenges have failed." in "".join(rows), text


def test_a_channel_gets_the_events_and_severities_that_it_takes(context: Context) -> None:
    context.guarded_site(ONE)
    url = context.mailbox.url
    context.guard_ini(channels={"all": url(to="all@guard.test"), "grave": url(to="grave@guard.test"),
                                "over": url(to="over@guard.test")},
                      more="[channel all]\nevents = failure recovery success\n\n[channel grave]\nmin_severity = critical\n"
                           "\n[channel over]\nevents = recovery\n")
    assert context.renew().returncode == 0
    context.wait_settled()
    with context.ca.answer("directory", STORY_503):
        context.renew()
        context.wait_settled()
    context.renew()
    context.wait_settled()
    mails = context.mailbox.stays_at(3, seconds=0.3)
    assert {mail.recipients[0] for mail in mails} == {"all@guard.test"}
    assert [mail.subject.split()[0] for mail in mails] == ["OK", "WARNING", "OK"]
    assert "renewed" in mails[0].subject and "works again" in mails[2].subject
