"""guard.ini is missing, broken or not to be trusted, and channels fail: what works is used, errors are clear."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Callable

import pytest

from tests.support import apart
from tests.support.certbot import Certbot, program
from tests.support.context import Context
from tests.support.faulty_ca import problem
from tests.support.webhook import Webhook

ONE, WEB = "one.guard.test", "web.guard.test"
SECRET = "s3cr3t-t0ken"


def renew_apart(context: Context) -> Certbot:
    """``context.renew()``, with directories of this test where state is kept when no settings say where."""
    return apart.run(context, str(program()), "renew", "--force-renewal", *context.home.arguments)


def two_kinds(context: Context) -> None:
    """A lineage that needs Apache stopped and one that does not; Apache serves, there is no guard.ini yet."""
    context.obtain(ONE)
    context.obtain(WEB, authenticator="webroot")
    context.apache.start()


def everything_written(context: Context, run: Certbot) -> str:
    """What a stranger to the settings could read."""
    logs = "".join(path.read_text("utf-8", "replace") for path in context.home.logs.glob("*.log*"))
    mails = "".join(mail.subject + mail.text for mail in context.mailbox.messages)
    saved = "".join(path.read_text() for path in context.home.config.glob("renewal/*.conf"))
    return run.output + logs + mails + saved


def assert_clear_and_discreet(context: Context, run: Certbot) -> None:
    text = everything_written(context, run)
    assert SECRET not in text and str(context.mailbox.port) not in text.replace(str(context.ini), "")
    assert "Traceback" not in run.output
    assert context.apache.serving()


# -- the file as a whole ---------------------------------------------------------------------------------------------


def _spoil_by_mode(mode: int) -> Callable[[Context], None]:
    return lambda context: context.ini.chmod(mode)


def _spoil_by_link(context: Context) -> None:
    context.ini.rename(context.directory / "elsewhere.ini")
    context.ini.symlink_to(context.directory / "elsewhere.ini")


def _spoil_by_directory(context: Context) -> None:
    context.ini.unlink()
    context.ini.mkdir()


def _spoil_by_encoding(context: Context) -> None:
    context.ini.write_bytes(context.ini.read_bytes() + "# B\u00fcro\n".encode("latin-1"))


def _spoil_by_owner(context: Context) -> None:
    os.chown(context.ini, 65534, 65534)


NOT_USABLE = {
    "writable by everybody": (_spoil_by_mode(0o666), "can be written by others"),
    "writable by its group": (_spoil_by_mode(0o620), "can be written by others"),
    "a link": (_spoil_by_link, "is a symbolic link, which is not followed"),
    "a directory": (_spoil_by_directory, "is not a plain file"),
    "of another user": (_spoil_by_owner, "belongs to user 65534"),
    "not UTF-8": (_spoil_by_encoding, "not UTF-8"),
}


@pytest.mark.parametrize("what", [
    pytest.param(what, marks=[pytest.mark.core] if what == "writable by everybody" else []) for what in NOT_USABLE])
def test_a_settings_file_that_cannot_be_used_keeps_apache_running_and_says_why(context: Context, what: str) -> None:
    spoil, reason = NOT_USABLE[what]
    two_kinds(context)
    # If it were believed, its command would be run as root.
    believe = f"touch {context.directory}/believed"
    context.guard_ini(server=f"control = command\nstart_command = {believe}\nstop_command = {believe}\n"
                             f"listen = {context.apache.http_port}\n")
    spoil(context)
    with context.apache.watch() as outage:
        run = renew_apart(context)
        context.wait_settled()
    assert outage.intervals == [] and not (context.directory / "believed").exists()
    assert run.returncode == 1 and context.home.version(ONE) == 1
    assert context.home.version(WEB) == 2  # needs no stop, so it is renewed all the same
    assert str(context.ini) in run.output and reason in run.output
    assert_clear_and_discreet(context, run)
    context.mailbox.stays_at(0, seconds=0.3)  # its channels are not believed either
    for command in (("check",), ("notify", "test")):
        said = context.guard(*command)
        assert said.returncode == 2 and str(context.ini) in said.stderr and reason in said.stderr
        assert "Traceback" not in said.output and SECRET not in said.output
    context.mailbox.stays_at(0, seconds=0.3)


@pytest.mark.core
def test_without_a_settings_file_the_defaults_hold_and_certbot_says_that_nobody_is_told(context: Context) -> None:
    two_kinds(context)
    with context.apache.watch() as outage:
        run = renew_apart(context)
        context.wait_settled()
        assert not outage.down
    assert run.returncode == 0 and len(outage.intervals) == 1
    assert context.home.version(ONE) == 2 and context.home.version(WEB) == 2
    assert "nobody is told" in run.output and str(context.ini) in run.output and not context.ini.exists()
    checked, tested = context.guard("check"), context.guard("notify", "test")
    assert (checked.returncode, tested.returncode) == (2, 2)
    assert f"{context.ini} does not exist" in checked.stderr and "[notify]" in tested.stderr
    assert "Traceback" not in checked.output + tested.output


def test_a_settings_file_that_others_can_read_is_used_and_people_are_told(context: Context) -> None:
    context.guarded_site(ONE)
    context.ini.chmod(0o644)
    run = context.renew()
    context.wait_settled()
    assert run.returncode == 0 and f"chmod 600 {context.ini}" in run.output
    assert "chmod 600" in context.mailbox.stays_at(1, seconds=0.3)[0].text
    assert context.guard("check").returncode == 2


# -- a typo in each section ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Typo:
    """``text``, in its line ``at``, is wrong; it replaces ``instead_of`` in a sound file. ``says``: words to read."""

    text: str
    at: int
    says: tuple[str, ...]
    instead_of: str = "# here"


SPOILS_SERVER = {
    "a key of [server]": Typo("max_outgae = 5m", 1, ("'max_outage'",), "drain = 2s"),
    "a value of [server]": Typo("drain = soon", 1, ("'drain'", "5m, 90s"), "drain = 2s"),
    "the name of [server]": Typo("[sevrer]", 1, ("[server]",), "[server]"),
}
SPOILS_LESS = {
    "the name of [notify]": Typo("[notfiy]", 1, ("[notify]",), "[notify]"),
    "a key of [state]": Typo("[state]\ndri = /nowhere", 2, ("'dir'",), "[state]\ndir = STATE"),
}
# All of them find room in one file; a line of [notify] comes first.
SPOILS_NOTHING_ELSE = {
    "a line of [notify] without =": Typo(f"pager json://{SECRET}@127.0.0.1/", 1, ("[notify]", "key = value")),
    "a line of [notify] that is no URL": Typo(f"pager = {SECRET}", 1, ("'pager'", "Apprise URL")),
    "a URL broken over two lines": Typo(f"half = json://127.0.0.1:9\n  /{SECRET}", 2, ("'half'", "one line")),
    "a key and a value of [channel]": Typo("[channel mail]\nmin_severty = critical", 2, ("'min_severity'",)),
    "the name of a channel": Typo("[channel mial]\nmin_severity = critical", 1, ("'mail'",)),
    "a value of [channel]": Typo("[channel hook]\nmin_severity = criticla", 2, ("'critical'",)),
    "an unknown section": Typo(f"[credentials]\npassword = {SECRET}", 1, ("[credentials]", "[notify]")),
    "a key of [certbot]": Typo("[certbot]\nconfig_dri = /nowhere", 2, ("'config_dir'",)),
}
TYPOS = {**SPOILS_SERVER, **SPOILS_LESS, **SPOILS_NOTHING_ELSE}


def write_with(context: Context, *typos: Typo) -> list[int]:
    """A sound file but for these; the number of each typo's line."""
    text = (f"[server]\ncontrol = {context.apache.program}\ndrain = 2s\n\n[notify]\nhook = json://127.0.0.1:9\n"
            f"mail = {context.mailbox.apprise_url}\n# here\n\n[state]\ndir = STATE\n")
    for typo in reversed(typos):
        text = text.replace(typo.instead_of, f"{typo.instead_of}\n{typo.text}" if typo.instead_of == "# here"
                            else typo.text)
    context.guard_ini(text.replace("STATE", str(context.state)))
    return [text[:text.index(typo.text)].count("\n") + typo.at for typo in typos]


def assert_named(context: Context, said: str, typo: Typo, number: int) -> None:
    problem = next((line for line in said.splitlines() if f"{context.ini}, line {number}:" in line), said)
    assert all(word in problem for word in typo.says), problem


@pytest.mark.parametrize("what", [
    pytest.param(what, marks=[pytest.mark.core] if what == "a key of [server]" else []) for what in SPOILS_SERVER])
def test_a_typo_in_server_means_that_apache_is_not_stopped_and_people_read_why(context: Context, what: str) -> None:
    two_kinds(context)
    numbers = write_with(context, TYPOS[what])
    with context.apache.watch() as outage:
        run = context.renew()
        context.wait_settled()
    assert run.returncode == 1 and outage.intervals == []
    assert context.home.version(ONE) == 1 and context.home.version(WEB) == 2
    assert_named(context, run.output, TYPOS[what], numbers[0])
    assert f"line {numbers[0]}:" in context.mailbox.stays_at(1, seconds=0.3)[0].text
    assert_clear_and_discreet(context, run)


@pytest.mark.core
def test_typos_elsewhere_are_all_named_and_the_channel_without_one_is_used(context: Context) -> None:
    context.obtain(ONE)
    typos = list(SPOILS_NOTHING_ELSE.values())
    numbers = write_with(context, *typos)
    context.apache.start()
    with context.apache.watch() as outage:
        run = context.renew()
        context.wait_settled()
    assert run.returncode == 0 and context.home.version(ONE) == 2 and len(outage.intervals) == 1 and not outage.down
    mail = context.mailbox.stays_at(1, seconds=0.3)[0]
    for typo, number in zip(typos, numbers):
        assert_named(context, run.output, typo, number)
        assert f"line {number}:" in mail.text
    assert_clear_and_discreet(context, run)


@pytest.mark.parametrize("what, mails", [("the name of [notify]", 0), ("a key of [state]", 1)])
def test_a_typo_costs_the_channels_or_the_place_of_the_state_and_no_renewal(
        context: Context, what: str, mails: int) -> None:
    context.obtain(ONE)
    numbers = write_with(context, TYPOS[what])
    context.apache.start()
    with context.apache.watch() as outage:
        run = renew_apart(context)
        context.wait_settled()
    assert run.returncode == 0 and context.home.version(ONE) == 2 and len(outage.intervals) == 1 and not outage.down
    assert_named(context, run.output, TYPOS[what], numbers[0])
    context.mailbox.stays_at(mails, seconds=0.3)
    assert_clear_and_discreet(context, run)


@pytest.mark.parametrize("what", TYPOS)
def test_check_names_a_typo(context: Context, what: str) -> None:
    numbers = write_with(context, TYPOS[what])
    done = context.guard("check")
    assert done.returncode == 2
    assert_named(context, done.stderr, TYPOS[what], numbers[0])
    assert SECRET not in done.output and "Traceback" not in done.output


@pytest.mark.core
def test_an_unknown_apprise_schema_costs_that_channel_alone(context: Context) -> None:
    context.guarded_site(ONE)
    context.guard_ini(channels={"pager": f"jsn://{SECRET}@127.0.0.1:9/", "mail": context.mailbox.apprise_url})
    number = context.ini.read_text().split("pager")[0].count("\n") + 1
    context.ca.answer("directory", problem(503, "serverInternal", "The service is busy"))
    run = context.renew()
    context.wait_settled()
    assert run.returncode == 1 and ONE in context.mailbox.stays_at(1, seconds=0.3)[0].text
    assert_clear_and_discreet(context, run)
    checked, tested = context.guard("check"), context.guard("notify", "test")
    assert checked.returncode == 2 and f"{context.ini}, line {number}:" in checked.stderr
    assert "'pager'" in checked.stderr and "json" in checked.stderr
    assert tested.returncode == 1 and "mail: sent" in tested.stdout and "pager: failed" in tested.stdout
    assert SECRET not in checked.output + tested.output and "Traceback" not in checked.output + tested.output


def test_a_sound_file_is_called_sound_and_every_channel_gets_a_test_message(context: Context) -> None:
    hook = webhook(context)
    context.guarded_site(ONE)
    context.guard_ini(channels={"mail": context.mailbox.url("me", SECRET), "hook": hook.apprise_url})
    before = context.ini.stat()
    checked, tested = context.guard("check", check=True), context.guard("notify", "test", check=True)
    assert "channel mail" in checked.stdout and "are fine" in checked.stdout and not checked.stderr
    every = "failure, refused, outage, recovery"
    assert sorted(tested.stdout.splitlines()) == [f"hook: sent: {every}", f"mail: sent: {every}"]
    assert SECRET not in checked.output + tested.output
    mails = context.mailbox.stays_at(4, seconds=0.3)
    assert all(mail.subject.startswith("TEST ") and "This is a test" in mail.text for mail in mails)
    hook.stays_at(4, seconds=0.1)
    assert not context.state.exists() and context.ini.stat().st_mtime_ns == before.st_mtime_ns
    assert stat.S_IMODE(context.ini.stat().st_mode) == 0o600


# -- channels that fail ----------------------------------------------------------------------------------------------


def webhook(context: Context) -> Webhook:
    made = Webhook()
    context.cleanup(made.close)
    return made


def troubled_channels(context: Context) -> dict[str, Webhook]:
    """One webhook for each way to fail."""
    hooks = {name: webhook(context) for name in ("refuses", "hangs", "fails", "drips")}
    hooks["refuses"].refuse()
    hooks["hangs"].hang()
    hooks["fails"].fail(500)
    hooks["drips"].drip()
    return hooks


def test_channels_that_refuse_hang_fail_and_drip_delay_neither_apache_nor_the_others(context: Context) -> None:
    hooks = troubled_channels(context)
    context.guarded_site(ONE)
    context.guard_ini(channels={**{name: hook.apprise_url for name, hook in hooks.items()},
                                "mail": context.mailbox.apprise_url})
    with context.apache.watch() as outage:
        run = context.kill_at("challenge")
        mail = context.mailbox.wait(1, timeout=15)[0]
        assert hooks["hangs"].connections and hooks["drips"].connections
        context.apache.wait_serving(6)
        context.wait_settled(60)
    assert run.killed_at is not None and not outage.down
    assert len(outage.intervals) == 1 and outage.intervals[0][1] < mail.at  # it served first
    for hook in hooks.values():
        hook.heal()
    assert context.renew(timeout=150).returncode == 0  # the next run delivers what is left
    context.wait_settled(60)
    for hook in hooks.values():
        # What they missed is over: they get the end of it, and what that replaces.
        delivered = hook.stays_at(1, seconds=0.3)[0]
        assert delivered.title.startswith("OK ") and "works again" in delivered.text.lower()
        assert "takes the place of one message" in delivered.text and "certbot died" in delivered.text
        assert ONE in delivered.text
    assert [mail.subject.split()[0] for mail in context.mailbox.stays_at(2, seconds=0.1)] == ["WARNING", "OK"]


def test_when_all_channels_are_down_the_message_is_kept_and_comes_later_once(context: Context) -> None:
    hook = webhook(context)
    context.guarded_site(ONE)
    context.guard_ini(channels={"hook": hook.apprise_url, "mail": context.mailbox.apprise_url})
    hook.fail(503)
    context.mailbox.refuse()
    context.ca.answer("directory", problem(503, "serverInternal", "The service is busy"))
    assert context.renew().returncode == 1
    context.wait_settled()
    assert context.apache.serving() and not hook.received and not context.mailbox.messages
    context.ca.clear()
    hook.heal()
    context.mailbox.heal()
    assert context.guard("outbox").returncode == 1
    flushed = context.guard("outbox", "flush")
    assert flushed.returncode == 0 and "mail: 1 sent" in flushed.stdout and "hook: 1 sent" in flushed.stdout
    for _ in range(2):
        assert context.guard("outbox").stdout == "Nothing waits: every message has been delivered.\n"
        assert context.renew().returncode == 0
        context.wait_settled()
    # The failure, and its end.
    (mail, over), (posted, _) = context.mailbox.stays_at(2, seconds=0.3), hook.stays_at(2, seconds=0.1)
    assert ONE in mail.text and "The service is busy" in mail.text and ONE in posted.text
    assert over.subject.startswith("OK ") and "It was renewed." in over.text
    assert "possible repeat" not in mail.subject + posted.title


def test_apache_serves_before_the_first_delivery_begins(context: Context) -> None:
    context.guarded_site(ONE)
    context.mailbox.hang()
    context.ca.invalid_challenge(ONE, "no such page")
    with context.apache.watch() as outage:
        run = context.renew(wait=False)
        context.wait_until(lambda: context.mailbox.connections, run)
        assert not outage.down and len(outage.intervals) == 1 and context.apache.serving()
        context.mailbox.heal()  # cuts the connection: whoever hung goes on
        run.wait()
        context.wait_settled(60)
    assert run.returncode == 1
    context.guard("recover")
    assert "no such page" in context.mailbox.wait(1)[0].text
