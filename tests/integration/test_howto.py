"""The pages of docs/howto: what is to be written there is read without a problem, and what is to be typed is run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import apprise
import certbot
import click
import pytest

from certbot_guard import config
from certbot_guard.cli import commands
from tests.support.box import CANNOT_RUN, CLEAN_ROOT, skip_where_it_is_not_seen
from tests.support.certbot import program
from tests.support.context import Context, wait_for
from tests.support.mailbox import Mailbox
from tests.support.slack import HttpsServices
from tests.support.webhook import Webhook
from tests.unit.test_docs import headings

PAGES = sorted((Path(__file__).parents[2] / "docs" / "howto").glob("*.md"))
KINDS = "failure, refused, outage, recovery"
# Services with one address for everybody; a proxy of the test's own stands there.
HOSTS = ("hooks.slack.com", "slack.com", "api.telegram.org", "events.pagerduty.com",
         "prod-12.westeurope.logic.azure.com", "defaultabc.12.environment.api.powerplatform.com")
OLD = tuple(int(part) for part in apprise.__version__.split(".")[:2]) < (1, 9)


class Block(NamedTuple):
    page: str
    number: int
    language: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.page}-{self.number}"

    @property
    def urls(self) -> list[tuple[str, str]]:
        section = self.text.partition("[notify]")[2].partition("\n[")[0]
        return re.findall(r"^(\S+) = (\w+://\S+)$", section, re.MULTILINE)


def blocks(*languages: str) -> list[Block]:
    """What is fenced in the pages, without the indentation of its list."""
    found = []
    for page in PAGES:
        fenced = re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        for number, match in enumerate(fenced, 1):
            text = re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE)
            if match[2] in languages:
                found.append(Block(page.stem, number, match[2], text))
    return found


def of_page(page: str, language: str) -> list[Block]:
    return [one for one in blocks(language) if one.page == page]


SETTINGS = blocks("ini")


# -- what is to be written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", SETTINGS, ids=[block.id for block in SETTINGS])
def test_settings_are_read_without_a_problem_and_apprise_takes_every_url(block: Block, tmp_path: Path) -> None:
    if OLD and "workflows://" in block.text:
        pytest.skip(f"Apprise {apprise.__version__} has no workflows")
    ini = tmp_path / "guard.ini"
    ini.write_text(block.text)
    ini.chmod(0o600)
    settings = config.load(ini)
    assert [one.text for one in (*settings.problems, *config.check_urls(settings))] == []
    assert [(one.name, one.url) for one in settings.channels] == block.urls


def test_there_are_settings_for_each_service() -> None:
    schemes = {url.partition("://")[0] for block in SETTINGS for _, url in block.urls}
    assert schemes >= {"mailto", "mailtos", "slack", "workflows", "tgram", "ntfys", "pagerduty"}


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target, heading in re.findall(r"\]\(([^)#:]+)(?:#([^)]*))?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
            assert not heading or heading in headings(page.parent / target), f"{page.name}: {target}#{heading}"


# -- what is to be typed -----------------------------------------------------------------------------------------------


def typed() -> Iterator[tuple[str, list[str]]]:
    """Each command of ours or of certbot's: its page, and its words from the program on, up to the shell's next."""
    for page in PAGES:
        text = page.read_text("utf-8")
        lines = [line for block in blocks("", "sh", "text") if block.page == page.stem
                 for line in block.text.replace("\\\n", " ").splitlines()]
        prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
        lines += re.findall(r"`((?:/\S+/)?certbot(?:-guard)? [^`\n]*)`", prose)
        for line in lines:
            for part in re.split(r"&&|;|\|", line.partition(" # ")[0]):
                try:
                    words = shlex.split(part)
                except ValueError:
                    continue
                if words[:1] == ["docker"]:
                    continue  # there it is an image and a directory
                yield from ((page.stem, words[at:]) for at, word in enumerate(words)
                            if word.rsplit("/", 1)[-1] in ("certbot", "certbot-guard"))


def commands_of(name: str) -> list[tuple[str, list[str]]]:
    return [(page, words[1:]) for page, words in typed() if words[0].rsplit("/", 1)[-1] == name and len(words) > 1
            and "..." not in words and re.match(r"[a-z-]+$", words[1])]


def parse(words: list[str]) -> None:
    """:raises click.UsageError: certbot-guard has no such command or option."""
    command: click.Command = commands
    context = command.make_context("certbot-guard", list(words))
    while isinstance(command, click.Group):
        kept = vars(context)  # click 8.2 renamed it
        left = [*(kept.get("_protected_args") or kept.get("protected_args") or []), *context.args]
        name, found, left = command.resolve_command(context, left)
        assert found is not None
        command = found
        context = command.make_context(name, left, parent=context)


def test_every_command_of_ours_is_one() -> None:
    found = commands_of("certbot-guard")
    assert {"setup", "doctor", "check", "notify", "adopt", "run"} <= {words[0] for _, words in found}
    for page, words in found:
        try:
            parse(words)
        except click.ClickException as error:
            pytest.fail(f"{page}: certbot-guard {shlex.join(words)}: {error.format_message()}")
    with pytest.raises(click.UsageError):
        parse(["notify", "test", "--kinds", "outage"])


CERTBOT = tuple(int(part) for part in certbot.__version__.split(".")[:2])
PARSES = """
import json, sys
from certbot._internal import cli
from certbot._internal.plugins import disco
plugins = disco.PluginsRegistry.find_all()
for words in json.load(sys.stdin):
    print(words, file=sys.stderr)
    cli.prepare_and_parse_args(plugins, words)
"""


def test_every_command_of_certbots_is_one(tmp_path: Path) -> None:
    found = [words for _, words in commands_of("certbot") if (words[0] != "plugins" or len(words) == 1)
             and (words[0] != "reconfigure" or CERTBOT >= (2, 3))]
    assert ["renew", "--dry-run"] in found and len(found) >= 5
    done = subprocess.run([sys.executable, "-I", "-c", PARSES], input=json.dumps(found), env={"HOME": str(tmp_path)},
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


# -- what is said to arrive --------------------------------------------------------------------------------------------


def local(url: str, context: Context, hook: Webhook) -> str:
    """The same URL with a server of the test's own in the place of the one with a name of its own."""
    if url.startswith("mailto"):
        query = "&".join(part for part in url.partition("?")[2].split("&") if not part.startswith(("mode=", "smtp=")))
        who = url.partition("://")[2].partition("@smtp.")
        return f"mailto://{who[0] + '@' if who[1] else ''}127.0.0.1:{context.mailbox.port}?{query}"
    if url.startswith("ntfys://"):
        return re.sub(r"ntfys://([^/@]*@)?[^/]+/", rf"ntfy://\g<1>127.0.0.1:{hook.port}/", url)
    return url


TOLD = [block for block in SETTINGS if block.urls]


@pytest.mark.parametrize("block", TOLD, ids=[block.id for block in TOLD])
def test_a_test_message_reaches_every_channel_of_the_pages(block: Block, context: Context) -> None:
    if OLD and "workflows://" in block.text:
        pytest.skip(f"Apprise {apprise.__version__} has no workflows")
    context.mailbox.close()
    logins = re.findall(r"mailtos://([^:]+):([^@]+)@", block.text)
    context.mailbox = Mailbox(login=next(((user.replace("%40", "@"), password) for user, password in logins), None))
    with closing(Webhook()) as hook, closing(HttpsServices(context.directory, names=HOSTS)) as https:
        text = block.text
        for _, url in block.urls:
            text = text.replace(url, local(url, context, hook))
        context.guard_ini(f"{text}\n[state]\ndir = {context.state}\n" if "[state]" not in text else text)
        # The page's own command, or the one for all.
        words = next((words for page, words in commands_of("certbot-guard") if page == block.page
                      and words[:2] == ["notify", "test"] and "--kind" in words), ["notify", "test"])
        done = context.guard(*words, env={"HTTPS_PROXY": https.proxy, "REQUESTS_CA_BUNDLE": str(https.bundle)})
        assert done.returncode == 0, done.output
        counted = dict(re.findall(r"^(\S+): sent: (.*)$", done.stdout, re.MULTILINE))
        names = dict(block.urls)
        assert set(counted) == {name for name in names if words[-1] not in names or name == words[-1]}
        # A mail to two is two.
        arrived = len({mail.text for mail in context.mailbox.messages}) + len(hook.received) + len(https.received)
        assert arrived == sum(len(kinds.split(", ")) for kinds in counted.values()), (done.stdout, arrived)
        assert not any("Traceback" in line for line in done.output.splitlines())
    page = next(page for page in PAGES if page.stem == block.page).read_text("utf-8")
    for name, kinds in counted.items():
        if f"`{name}: sent: " in page and "min_severity" not in block.text or "--kind" in words:
            assert f"`{name}: sent: {kinds}`" in page
    if block.page == "email":
        assert kinds == KINDS
        assert all("TEST" in mail.subject for mail in context.mailbox.messages)
    if block.page == "pagerduty":
        assert [document["event_action"] for document in https.received] == ["trigger"]


# -- from the cron line ------------------------------------------------------------------------------------------------

INSIDE = """
set -u
mkdir -p /etc/letsencrypt /var/spool/cron/crontabs
rm -f /var/spool/cron/crontabs/* /etc/cron.d/certbot*
printf '%s\\n' "$2" >/var/spool/cron/crontabs/root
chmod 600 /var/spool/cron/crontabs/root
"$1" doctor --only mistakes >/tmp/doctor
echo "doctor $?"
sed -n 's/^  \\(problem\\|warning\\) \\([a-z-]*\\):.*/found \\2/p' /tmp/doctor
new=$(sed -n '/^    instead:/{n;p}' /tmp/doctor)
printf 'instead %s\\n' "$new"
"$1" setup --plan >/tmp/plan
printf 'setup %s\\n' "$(sed -n '/^  Put instead:/{n;s/^ *//;p}' /tmp/plan)"
printf '%s\\n' "$new" >/var/spool/cron/crontabs/root
"$1" doctor --only mistakes >/tmp/doctor
echo "doctor $?"
"""


def test_the_cron_line_is_found_and_both_commands_show_the_line_that_the_page_shows() -> None:
    skip_where_it_is_not_seen()
    old, new = (line for block in of_page("cron-line", "") for line in block.text.splitlines() if " * * " in line)
    done = subprocess.run([str(CLEAN_ROOT), "bash", "-c", INSIDE, "inside", str(program("certbot-guard")), old],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    if done.returncode == CANNOT_RUN:
        pytest.skip(f"no clean root can be had here: {done.stdout.strip()}")
    said = done.stdout.splitlines()
    page = (PAGES[0].parent / "cron-line.md").read_text("utf-8")
    named = re.findall(r"`([a-z-]+)`", page.partition("four mistakes in the old line (")[2].partition(")")[0])
    assert [line.split()[1] for line in said if line.startswith("found ")] == named and len(named) == 4, done.stdout
    here = new.replace("/opt/certbot/bin", str(program().parent))
    shown = [line for line in said if line.startswith(("instead ", "setup "))]
    assert shown == [f"instead {here}", f"setup {here}"], done.stdout
    assert [line for line in said if line.startswith("doctor ")] == ["doctor 1", "doctor 0"], done.stdout


def test_the_new_cron_line_renews_and_apache_serves_before_during_and_after(context: Context) -> None:
    context.apache.close()
    context.obtain("one.guard.test", authenticator="webroot")
    context.guard_ini()
    context.apache.start()
    new = next(line for block in of_page("cron-line", "") for line in block.text.splitlines() if "--retry-for" in line)
    words = shlex.split(new.replace("/opt/certbot/bin", str(program().parent)))[5:]
    assert words[1] == "run" and words[-1] == "--quiet"
    line = shlex.join([*words, *context.home.arguments])
    with context.apache.watch() as outage:
        done = subprocess.run(["sh", "-c", line], env=context.environment, cwd="/", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=90, check=False)
    context.wait_settled()
    assert done.returncode == 0 and context.home.version("one.guard.test") == 2, done.stdout
    wait_for(lambda: context.apache.served_certificate("one.guard.test") == context.home.certificate("one.guard.test"))
    assert not outage.intervals and context.apache.serving()


# -- other services ----------------------------------------------------------------------------------------------------


def test_another_service_is_reloaded_once_by_the_command_of_the_page_and_a_failure_is_told(context: Context) -> None:
    block = next(block for block in of_page("other-services", "ini") if "[deploy]" in block.text)
    reload = context.directory / "bin" / "reload-haproxy"
    mark = context.directory / "reloaded"
    reload.write_text(f"#!/bin/sh\necho once >>{mark}\n")
    reload.chmod(0o755)
    text = block.text.replace("also_reload = postfix dovecot\n", "")
    text = text.replace("/usr/local/sbin/reload-haproxy", str(reload))
    context.obtain("one.guard.test", authenticator="webroot")
    context.guard_ini(more=text)
    context.apache.start()
    context.renew(check=True)
    context.wait_settled()
    assert mark.read_text() == "once\n" and not context.mailbox.messages
    reload.write_text("#!/bin/sh\necho no such thing; exit 3\n")
    context.renew(check=True)
    assert "haproxy" in context.mailbox.wait(1)[0].text
