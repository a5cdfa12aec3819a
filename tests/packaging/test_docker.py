"""The image of contrib/docker/Dockerfile: what it copies is what a build needs, and the image does as its page says.

No image is built or fetched here: ``GUARD_TEST_IMAGE=certbot-guard`` names one that was built as docs/howto/docker.md
says. A container gets that page's command line and its guard.ini, with a test's directories as volumes, its ports and
its mailbox. Apache, the ACME server and who reloads Apache run on the host.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Iterator

import pytest

from tests.integration.test_container import Host
from tests.packaging import test_wheel
from tests.support import processes
from tests.support.certbot import Certbot
from tests.support.context import Context, wait_for

CHECKOUT = Path(__file__).resolve().parent.parent.parent
DOCKERFILE = CHECKOUT / "contrib" / "docker" / "Dockerfile"
PAGE = CHECKOUT / "docs" / "howto" / "docker.md"
IMAGE = os.environ.get("GUARD_TEST_IMAGE", "")
ONE = "one.guard.test"
needs_image = pytest.mark.skipif(
    not IMAGE, reason="GUARD_TEST_IMAGE names no image; docs/howto/docker.md says how one is built")


# -- what is copied ----------------------------------------------------------------------------------------------------


@test_wheel.pytestmark
def test_what_the_image_is_built_from_makes_the_whole_wheel(tmp_path: Path) -> None:
    """As its lines COPY put it into an empty directory: a build there misses nothing."""
    for line in re.findall(r"^COPY (.*)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE):
        *sources, to = line.split()
        for source in sources:
            assert to.startswith("/src/"), line
            there = tmp_path / to.strip("/") / ("" if not to.endswith("/") else source)
            there.parent.mkdir(parents=True, exist_ok=True)
            if (CHECKOUT / source).is_dir():
                assert not to.endswith("/"), f"{line}: COPY leaves the name of a directory away"
                shutil.copytree(CHECKOUT / source, there, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(CHECKOUT / source, there)
    source = tmp_path / "src"
    ours = {str(path.relative_to(source)) for path in (source / "certbot_guard").rglob("*") if path.is_file()}
    pages = {path.name for path in (CHECKOUT / "docs" / "man").glob("*.1")}
    test_wheel._run(test_wheel._BUILDER, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"),
                    str(source), cwd=tmp_path)
    wheel, = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        inside = opened.namelist()
    assert ours and {name for name in inside if name.startswith("certbot_guard/")} == ours
    assert pages and {name.rsplit("/", 1)[1] for name in inside if "/share/man/man1/" in name} == pages
    assert any(name.endswith("LICENSE") for name in inside)


# -- what the image does -----------------------------------------------------------------------------------------------


def _docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, check=False)


class Container:
    """``run`` is the page's ``docker run``. Each volume is a directory of this test's under the name of the page."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.asks = context.directory / "asks"
        self.asks.mkdir()
        context.state.mkdir(mode=0o700, exist_ok=True)
        self.places = {"/etc/letsencrypt": context.home.config, "/var/lib/letsencrypt": context.home.work,
                       "/var/log/letsencrypt": context.home.logs, "/var/lib/certbot-guard": context.state,
                       "/var/www/html": context.apache.docroot, "/run/certbot-guard-asks": self.asks}
        self.names: list[str] = []

    def obtain(self, authenticator: str) -> None:
        """A due lineage of ONE that names the places as the container sees them."""
        self.context.obtain(ONE, authenticator=authenticator)
        conf = self.context.home.conf_path(ONE)
        text = conf.read_text()
        for inside in ("/etc/letsencrypt", "/var/www/html"):
            text = text.replace(str(self.places[inside]), inside)
        conf.write_text(text)

    def guard_ini(self, **options: str) -> None:
        """As the page has it, for this test's ports and mailbox."""
        world = self.context.world
        text = PAGE.read_text("utf-8").partition("```ini\n")[2].partition("```")[0]
        own = {"listen": f"{world.http_port} {world.https_port}", "email": self.context.mailbox.apprise_url}
        for name, value in {**own, **options}.items():
            text, count = re.subn(rf"^( *{name} =).*$", rf"\1 {value}", text, flags=re.MULTILINE)
            assert count == 1, name
        self.context.guard_ini(re.sub(r"^ +", "", text, flags=re.MULTILINE))

    def renew(self, *options: str, wait: bool = True) -> Certbot:
        line = re.search(r"^ *(docker run .*)$", PAGE.read_text("utf-8"), re.MULTILINE)
        assert line
        words = shlex.split(line.group(1))
        at = words.index("certbot-guard")
        assert words[at:] == ["certbot-guard", "renew"]
        given = [self._volume(word) if before == "-v" else word for before, word in zip(["", *words], words[:at])]
        bundle = Path(self.context.environment["REQUESTS_CA_BUNDLE"])
        self.names.append(f"{self.context.directory.name}-{len(self.names) + 1}")
        home = self.context.home
        certbots = home.arguments[home.arguments.index("--server"):]
        run = Certbot([*given, "--name", self.names[-1], "-e", f"REQUESTS_CA_BUNDLE={bundle}",
                       "-v", f"{bundle.parent}:{bundle.parent}:ro", "-e", f"GUARD_TEST={self.context.directory}",
                       *options, IMAGE, "renew", "--force-renewal", *certbots],
                      dict(os.environ), "/", self.context.directory / self.names[-1])
        self.context.runs.append(run)
        return run.wait() if wait else run

    def _volume(self, word: str) -> str:
        inside = word.split(":")[1]
        return f"{self.places[inside]}:{inside}"

    def close(self) -> None:
        if self.names:
            _docker("rm", "-f", *self.names)


@pytest.fixture
def container(context: Context) -> Iterator[Container]:
    if not shutil.which("docker") or _docker("info").returncode:
        pytest.skip("no docker daemon answers here")
    if _docker("image", "inspect", IMAGE).returncode:
        pytest.skip(f"there is no image {IMAGE}: build it as docs/howto/docker.md says")
    found = Container(context)
    context.cleanup(found.close)
    yield found


@pytest.fixture
def host(context: Context, container: Container) -> Host:
    found = Host(context, container.asks)
    context.cleanup(found.close)
    return found


@needs_image
def test_webroot_is_renewed_and_the_host_is_asked_once_for_a_reload(
        context: Context, container: Container, host: Host) -> None:
    container.obtain("webroot")
    container.guard_ini()
    context.apache.start()
    with context.apache.watch() as outage:
        run = container.renew()
    assert run.returncode == 0, run.output
    wait_for(lambda: context.apache.served_certificate(ONE) == context.home.certificate(ONE), what="the reload")
    assert context.home.version(ONE) == 2
    assert host.reloads == 1 and not outage.intervals
    assert not context.mailbox.messages


# With the host's process numbers, and the right to look into the host's processes.
SEES_ALL = ("--pid", "host", "--cap-add", "SYS_PTRACE")


@needs_image
@pytest.mark.parametrize("options, settings, sentence", [
    ((), {"control": "auto", "mode": "auto"}, "no apache2ctl, apachectl or httpd was found"),
    ((), {}, "Could not bind TCP port"),
    ((), {"mode": "auto"}, "belongs to a process that cannot be seen, not to"),
    (("--pid", "host"), {"mode": "auto"}, "belongs to a process that cannot be seen, not to"),
    (SEES_ALL, {"mode": "auto"}, "outside of this container, not to"),
], ids=["auto", "page", "commands", "pid-host", "sees-all"])
def test_standalone_does_not_stop_apache_and_people_are_told_why(
        context: Context, container: Container, options: tuple[str, ...], settings: dict[str, str],
        sentence: str) -> None:
    container.obtain("standalone")
    container.guard_ini(**settings, stop_command="touch /run/certbot-guard-asks/stop")
    context.apache.start()
    with context.apache.watch() as outage:
        run = container.renew(*options)
    assert run.returncode == 1 and context.home.version(ONE) == 1
    assert context.apache.serving() and not outage.intervals
    assert sentence in run.output and "Traceback" not in run.output
    assert sentence in context.mailbox.wait(1)[0].text
    assert not (container.asks / "stop").exists()


@needs_image
@pytest.mark.parametrize("options", [(), SEES_ALL], ids=["own", "sees-all"])
def test_apache_serves_when_the_container_is_killed_and_the_next_one_tells(
        context: Context, container: Container, host: Host, options: tuple[str, ...]) -> None:
    container.obtain("webroot")
    container.guard_ini()
    context.apache.start()
    with context.apache.watch() as outage, context.ca.hold("challenge", times=1) as held:
        run = container.renew(*options, wait=False)
        held.wait(40)
        of_this_run = context.run_directory().name
        assert any("certbot_guard.sentinel" in processes.arguments_of(pid) for pid in processes.marked(of_this_run))
        assert _docker("kill", container.names[-1]).returncode == 0
        run.wait()
        assert not processes.wait_gone(lambda: processes.marked(of_this_run), 10)
    assert not context.mailbox.messages
    again = container.renew(*options)
    assert again.returncode == 0, again.output
    assert context.apache.serving() and not outage.intervals
    assert host.reloads == 1
    assert "certbot ended without a word: it was killed" in context.mailbox.wait(1)[0].text
