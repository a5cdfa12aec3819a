"""What is tested inside the box: the Debian package beside Debian's own certbot and Apache, in their own places.

The box has no network: the packages that are installed lie in the directory that ``GUARD_PACKAGES`` names. Each test
begins with none of ours installed, and ends so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from tests.support.certbot import Home
from tests.support.context import Context, World, wait_for
from tests.systemd.debian import ONE, TWO, DebianUnit, certbot_ended, nobody_notices, start_certbot, tree, with_apache
from tests.systemd.inside import systemctl

PACKAGES = Path(os.environ["GUARD_PACKAGES"])
NAME = "python3-certbot-guard"
TIMER, WATCH, RECOVER = "certbot-guard-watch.timer", "certbot-guard-watch.service", "certbot-guard-recover.service"
CONFIG, STATE, VOLATILE = Path("/etc/letsencrypt"), Path("/var/lib/certbot-guard"), Path("/run/certbot-guard")
SYSTEM = Path("/etc/systemd/system")

pytestmark = pytest.mark.timeout(380)


class DebiansHome(Home):
    """certbot's directories where Debian has them."""

    def __init__(self, context: Context) -> None:
        super().__init__(context.directory / "unused", context.ca.directory_url, context.world.http_port,
                         context.authority)
        self.config, self.work, self.logs = CONFIG, Path("/var/lib/letsencrypt"), Path("/var/log/letsencrypt")
        assert context.account is not None
        self.take_form(context.world.home, "form.guard.test", context.account)
        self._template = self._template.replace("version = ", "version = 2.1.0 # ", 1)


def told(*words: str, check: bool = True) -> str:
    """What a command of the distribution says; both streams."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                          timeout=200, check=False,
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive",
                               "LC_ALL": "C.UTF-8", "HOME": "/root"})
    assert not check or done.returncode == 0, f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}"
    return done.stdout


def apt(*words: str) -> str:
    return told("apt-get", "-y", "-q", "--no-install-recommends", "-o", f"Dir::Cache::archives={PACKAGES}",
                "-o", "Acquire::http::Proxy=http://127.0.0.1:9", *words)


def package() -> str:
    found, = PACKAGES.glob(f"{NAME}_*.deb")
    return str(found)


def ours() -> set[str]:
    """All files that have our name, but for the package itself and what stands in the checkout."""
    found = told("find", "/etc", "/usr", "/lib", "/var", "/run", "-xdev", "(", "-path", str(PACKAGES), "-o", "-path",
                 "/var/lib/guard-*", ")", "-prune", "-o", "(", "-name", "*certbot-guard*", "-o", "-name",
                 "*certbot_guard*", ")", "-print", check=False)
    return {line for line in found.splitlines() if line.startswith("/")}


def without_state() -> set[str]:
    """What is ours and no purge removes; that does remove what the machine had in the state's directories before."""
    return {path for path in ours() if not path.startswith((str(STATE), str(VOLATILE)))}


@pytest.fixture
def site(world: World) -> Iterator[Context]:
    """A context with Debian's Apache and Debian's certbot in their own places, and the package installed."""
    _distribution()
    context = with_apache(world, DebianUnit)
    context.home, context.state = DebiansHome(context), STATE
    context.ini = CONFIG / "guard.ini"
    context.ini.write_text(f"[notify]\nmail = {context.mailbox.apprise_url}\n")
    context.ini.chmod(0o600)
    drop_in = SYSTEM / "certbot.service.d" / "surroundings.conf"
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("[Service]\n" + "".join(f'Environment="{name}={value}"\n'
                                               for name, value in context.environment.items()))
    systemctl("daemon-reload")
    systemctl("stop", "certbot.timer")  # midnight may come in a test
    yield context
    systemctl("kill", "-s", "KILL", "certbot.service", check=False)
    left = context.close()
    told("dpkg", "--purge", NAME)
    for path in [drop_in.parent, context.home.logs, *(path for path in CONFIG.iterdir() if path.name != "cli.ini")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    assert not left, left


def _distribution() -> None:
    """Debian's certbot and what else our package needs is installed, and nothing of ours."""
    Path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)  # of a machine that is itself a container
    Path("/var/lib/man-db/auto-update").unlink(missing_ok=True)  # an index of all man pages, after each installation
    if not Path("/usr/bin/certbot").exists():
        apt("install", "certbot", "apprise", "python3-click", "python3-rich", "python3-zope.interface")


def renewed(context: Context, *names: str) -> None:
    """certbot's own unit has renewed these, each through the running Apache."""
    assert certbot_ended() == "success", context.home.log()[-4000:]
    assert [context.home.version(name) for name in names] == [2] * len(names), context.home.log()[-4000:]
    assert [event["lineage"] for event in context.events("proxy-placed")] == list(names), context.events("not-proxied")
    for name in names:
        assert context.apache.served_certificate(name) == context.home.certificate(name)


def nothing_is_left() -> None:
    """No unit, no program. Of a package that is not purged, Debian keeps the links by which its units were enabled."""
    found = systemctl("list-units", "--all", "--no-pager", "--no-legend", "--plain").splitlines()
    assert not [line for line in found if "certbot-guard" in line and "not-found inactive" not in line], found
    assert "certbot-guard" not in systemctl("list-unit-files", "--no-pager", "--no-legend", check=False)
    assert shutil.which("certbot-guard", path="/usr/bin") is None
    assert "* guard" not in told("certbot", "plugins")
    assert systemctl("show", "-P", "OnFailure", "certbot.service") == ""


def test_installed_guarding_a_renewal_removed_and_nothing_left(site: Context) -> None:
    site.obtain(ONE, guarded=False, pre_hook="echo a hook of the user's own")
    site.obtain(TWO, guarded=False, days_left=80)
    before = {name: site.home.conf_path(name).read_bytes() for name in (ONE, TWO)}
    mine = without_state()
    site.apache.start()
    with nobody_notices(site):
        apt("install", package())
    assert "* guard" in told("certbot", "plugins")
    assert told("certbot-guard", "--version").startswith("certbot-guard, version ")
    assert systemctl("is-enabled", TIMER, RECOVER) == "enabled\nenabled"
    assert systemctl("is-active", TIMER) == "active" and systemctl("show", "-P", "InvocationID", RECOVER) == ""
    assert systemctl("show", "-P", "OnFailure", "certbot.service") == "certbot-guard-failed@certbot.service.service"
    verified = told("systemd-analyze", "verify", TIMER, WATCH, RECOVER, "certbot-guard-failed@x.service")
    assert "certbot-guard" not in verified, verified

    assert "Done" in told("certbot-guard", "adopt", "--all", "--yes")
    site.home.conf_path(ONE).write_text(site.home.conf_path(ONE).read_text().replace("pre_hook", "unused"))
    with nobody_notices(site):
        start_certbot()
        renewed(site, ONE)
        systemctl("start", WATCH)
        site.mailbox.stays_at(0, seconds=0.3)
    with nobody_notices(site):
        said = apt("remove", NAME)
    assert f"given back as before adopt: {ONE}, {TWO}" in said, said
    nothing_is_left()
    assert site.home.conf_path(TWO).read_bytes() == before[TWO]
    kept = site.home.conf_path(ONE).read_text()
    assert "guard_" not in kept and "installer" not in kept and f"server = {site.home.server}" in kept
    assert "No renewals were attempted" in told("certbot", "renew")
    assert STATE.is_dir() and "guard.ini, which setup has made, is left" in apt("purge", NAME)
    assert "certbot-guard" not in systemctl("list-units", "--all", "--no-pager", "--no-legend", "--plain")
    assert ours() == mine and not STATE.exists() and not VOLATILE.exists() and site.ini.exists()
    assert sorted(path.name for path in (CONFIG / "renewal").iterdir()) == [f"{ONE}.conf", f"{TWO}.conf"]


def test_the_units_that_the_command_writes_and_the_packages_get_along(site: Context) -> None:
    mine = without_state()
    apt("install", package())
    assert "Everything is there as it should be." in told("certbot-guard", "units", "show")
    assert "nothing was changed" in told("certbot-guard", "units", "install", "--yes")
    assert "the distribution's package's" in told("certbot-guard", "units", "remove", "--yes")
    assert not list(SYSTEM.glob("certbot-guard*")) and systemctl("is-active", TIMER) == "active"
    checked = told("certbot-guard", "doctor", "--only", "watch-timer", "--only", "boot-unit", "--only",
                   "unit-failure-told", check=False)
    assert "Nothing is wrong: 3 ok" in checked, checked

    # What the settings ask for is more than the package knows of: /etc goes first.
    site.ini.write_text(site.ini.read_text() + "[metrics]\ntextfile = /srv/metrics/guard.prom\n")
    assert "is not there" in told("certbot-guard", "doctor", "--only", "watch-timer", check=False)
    told("certbot-guard", "units", "install", "--yes")
    assert systemctl("show", "-P", "FragmentPath", WATCH) == f"{SYSTEM}/{WATCH}"
    assert sorted(path.name for path in SYSTEM.glob("certbot-guard*")) == ["certbot-guard-failed@.service", WATCH]
    assert "is not" not in told("certbot-guard", "doctor", "--only", "watch-timer", check=False)
    assert "in use again" in told("certbot-guard", "units", "remove", "--yes")
    assert systemctl("show", "-P", "FragmentPath", WATCH).startswith("/lib/")
    assert systemctl("is-active", TIMER) == "active"
    assert systemctl("is-enabled", TIMER, RECOVER) == "enabled\nenabled"

    told("certbot-guard", "units", "install", "--yes")
    told("dpkg", "--purge", NAME)
    nothing_is_left()
    assert ours() == mine


def test_an_upgrade_in_the_middle_of_a_renewal(site: Context) -> None:
    apt("install", package())
    site.obtain(ONE)
    site.apache.start()
    timer = systemctl("show", "-P", "InvocationID", TIMER)
    with nobody_notices(site):
        with site.ca.hold("challenge", times=1) as held:
            start_certbot()
            held.wait()
            told("dpkg", "-i", package())
            assert systemctl("show", "-P", "InvocationID", TIMER) == timer
            held.release()
        renewed(site, ONE)
    assert systemctl("show", "-P", "InvocationID", TIMER) == timer and systemctl("is-active", TIMER) == "active"
    assert site.home.conf(ONE)["renewalparams"]["installer"] == "guard"
    site.mailbox.stays_at(0, seconds=0.3)


def test_a_removal_waits_for_the_end_of_a_renewal(site: Context) -> None:
    apt("install", package())
    site.obtain(ONE)
    site.apache.start()
    mine = tree()
    with nobody_notices(site), site.ca.hold("challenge", times=1) as held:
        start_certbot()
        held.wait()
        log = site.directory / "removal"
        with open(log, "wb") as output:
            removal = subprocess.Popen(["dpkg", "--remove", NAME], stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=output)
        wait_for(lambda: "another certbot is at work" in log.read_text(), 60, "the sentence")
        assert removal.poll() is None
        held.release()
        assert removal.wait(120) == 0, log.read_text()
        renewed(site, ONE)
    assert f"given back as before adopt: {ONE}" in log.read_text()
    nothing_is_left()
    assert "installer" not in site.home.conf(ONE)["renewalparams"] and tree() == mine
    site.mailbox.stays_at(0, seconds=0.3)


def test_a_removal_goes_on_where_a_certificate_cannot_be_given_back(site: Context) -> None:
    apt("install", package())
    for name in (ONE, TWO):
        site.obtain(name)
    linked = site.home.conf_path(TWO)
    elsewhere = site.directory / "elsewhere.conf"
    linked.rename(elsewhere)
    linked.symlink_to(elsewhere)
    said = told("dpkg", "--remove", NAME)
    sentence, = [line for line in said.splitlines() if str(linked) in line]
    assert "take 'installer = guard' and the lines that begin with guard_ out of that file" in sentence
    assert "Traceback" not in said and "installer" not in site.home.conf(ONE)["renewalparams"]
    nothing_is_left()


def test_a_damaged_installation_can_be_removed(site: Context) -> None:
    apt("install", package())
    site.obtain(ONE)
    Path("/usr/lib/python3/dist-packages/certbot_guard/adoption.py").write_text("not Python")
    said = told("dpkg", "--remove", NAME)
    assert "take 'installer = guard'" in said and "/etc/letsencrypt/renewal" in said
    nothing_is_left()
